//! Where clients, certificates and keys are remembered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Builder, Built};
use crate::config::file::{self, StoreKind, UnsignedRecords};
use crate::config::problem::KeyPath;
use crate::config::settings::{Offline, StoreSettings};
use crate::store::{RecordKey, RecordKeys, embedded, redis};

/// What one answer of the store holds at most.
const FEWEST_EVENTS: u32 = 1000;
/// The shortest time without a word from the store that means anything: it is asked every two
/// seconds.
const SHORTEST_STALE: Duration = Duration::from_secs(5);
const LONGEST_STALE: Duration = Duration::from_hours(24);

impl Builder<'_> {
    /// What is done while the store cannot be reached. That there is no table is told by `store`.
    pub(super) fn offline(&mut self, typed: Option<&file::Store>) -> Built<Offline> {
        let at = KeyPath::top("store");
        let max_stale = typed.map_or(LONGEST_STALE, |typed| typed.max_stale.as_duration());
        let max_stale = if max_stale < SHORTEST_STALE {
            let wrong = "a store that is well may be silent for so long";
            Err(self.problem(&at.key("max_stale"), wrong, "write 5s or more"))
        } else if max_stale > LONGEST_STALE {
            let wrong = "what is revoked meanwhile would be accepted for too long";
            Err(self.problem(&at.key("max_stale"), wrong, "write 24h or less"))
        } else {
            Ok(max_stale)
        };
        let snapshot = typed.and_then(|typed| typed.snapshot.as_deref());
        let at = at.key("snapshot");
        let is_embedded = typed.is_some_and(|typed| typed.kind == Some(StoreKind::Embedded));
        self.unused(&at, snapshot.is_some() && is_embedded, r#"kind = "redis""#);
        let snapshot = snapshot.map(|path| self.file(&at, path, "keyferry.snapshot"));
        Ok(Offline {
            max_stale: max_stale?,
            snapshot: snapshot.transpose()?,
        })
    }

    pub(super) fn store(&mut self, typed: Option<file::Store>) -> Built<StoreSettings> {
        let at = KeyPath::top("store");
        let write =
            r#"write a table [store] with kind = "embedded" and path, or kind = "redis" and url"#;
        let mut typed = self.required(&at, typed, write)?;
        let kind = typed.kind;
        let events_kept = self.events_kept(&at.key("events_kept"), typed.events_kept);
        let unsigned = typed.unsigned_records;
        let typed_keys = std::mem::take(&mut typed.record_keys);
        let record_keys = self.record_keys(&at, typed_keys, unsigned, kind);
        let write = r#"write kind = "embedded" or "redis""#;
        match self.required(&at.key("kind"), kind, write)? {
            StoreKind::Embedded => {
                for (key, is_typed) in [
                    ("url", typed.url.is_some()),
                    ("user", typed.user.is_some()),
                    ("password_file", typed.password_file.is_some()),
                    ("sentinel", typed.sentinel.is_some()),
                    ("cluster", typed.cluster.is_some()),
                    ("tls", typed.tls.is_some()),
                    ("connect_timeout", typed.connect_timeout.is_some()),
                    ("response_timeout", typed.response_timeout.is_some()),
                ] {
                    self.unused(&at.key(key), is_typed, r#"kind = "redis""#);
                }
                let write = r#"write path = "state/keyferry.redb""#;
                let path = self.required(&at.key("path"), typed.path.as_deref(), write)?;
                let path = self.file(&at.key("path"), path, "keyferry.redb");
                Ok(StoreSettings::Embedded(embedded::Settings {
                    record_keys: record_keys?,
                    events_kept: events_kept?,
                    path: path?,
                }))
            }
            StoreKind::Redis => {
                self.unused(
                    &at.key("path"),
                    typed.path.is_some(),
                    r#"kind = "embedded""#,
                );
                let redis = self.redis(&at, typed);
                Ok(StoreSettings::Redis(Box::new(redis::Settings {
                    record_keys: record_keys?,
                    events_kept: events_kept?,
                    ..redis?
                })))
            }
        }
    }

    fn events_kept(&mut self, at: &KeyPath, typed: u32) -> Built<u64> {
        if typed < FEWEST_EVENTS {
            let wrong =
                format!("with {typed} a gateway that was away for a moment loads everything");
            return Err(self.problem(at, wrong, format!("write {FEWEST_EVENTS} or more")));
        }
        Ok(u64::from(typed))
    }

    /// What records are authenticated with. Who can write to the file of the embedded store can
    /// read the secrets beside it, so there it is no must.
    fn record_keys(
        &mut self,
        at: &KeyPath,
        typed: Vec<file::RecordKey>,
        unsigned: UnsignedRecords,
        kind: Option<StoreKind>,
    ) -> Built<RecordKeys> {
        let at = at.key("record_keys");
        let accepts = unsigned == UnsignedRecords::Accept;
        let typed = typed.into_iter().map(|typed| (typed.version, typed.file));
        let keys = self.versioned_secrets(&at, typed)?;
        let mut keys = keys
            .iter()
            .map(|(version, secret)| RecordKey::new(*version, secret));
        match keys.next() {
            Some(current) if accepts => Ok(RecordKeys::new(current, keys).accepting_unsigned()),
            Some(current) => Ok(RecordKeys::new(current, keys)),
            None if accepts || kind != Some(StoreKind::Redis) => Ok(RecordKeys::none()),
            None => {
                let write = r#"write record_keys = [{ version = 1, file = "record.key" }]; while the store still holds what is not signed, add unsigned_records = "accept""#;
                Err(self.problem(&at, "missing", write))
            }
        }
    }

    fn unused(&mut self, at: &KeyPath, typed: bool, kind: &str) {
        if typed {
            let write = format!("take it away, or write {kind}");
            self.problem(at, "is of no use to this kind of store", write);
        }
    }

    /// A file that the gateway makes, in a folder that is there; `name` is what it could be called.
    pub(super) fn file(&mut self, at: &KeyPath, path: &Path, name: &str) -> Built<PathBuf> {
        let path = self.resolve(path);
        if path.is_dir() {
            let wrong = format!("{} is a folder", path.display());
            let write = format!("name the file in it, for instance {name}");
            return Err(self.problem(at, wrong, write));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            let wrong = format!("the folder {} does not exist", folder.display());
            let write = format!("make it with: mkdir -p -m 700 {}", folder.display());
            return Err(self.problem(at, wrong, write));
        }
        Ok(path)
    }
}
