//! Backups: everything that a store holds, in one file that any kind of store can be restored from.
//!
//! The file is NDJSON. Its first line is a [`Header`], each further one a [`Line`], and the last,
//! `{"is":"end","lines":N,"mac":"HEX"}`, has an HMAC-SHA-256 over all bytes before `"mac"`, under
//! a key that is made of the current record key, or of the pepper where there is no record key.
//! Nothing of a file is used before that is found right and every line was read.

mod bring;
mod make;
mod merge;
mod order;
mod read;
mod restore;
mod seen;
mod under_way;
mod write;

use std::collections::BTreeMap;
use std::fmt;

use hmac::Hmac;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

pub use make::{Made, NotMade, make};
pub use merge::is_revoked;
pub use order::{Order, Restored, Revocations};
pub use read::{Backup, BackupError, Contents, Lines};
pub use restore::{NotRestored, restore};
pub use under_way::is_being_restored;
pub use write::Writer;

use super::{Epoch, EventHash, Head, Record, RecordKeyVersion, RecordKeys};
use crate::client::{ClientId, History, Sighting, Use};
use crate::clock::Timestamp;
use crate::key::{KeyRecord, PepperVersion, Peppers, keyed};

/// The form of the file that this program writes and reads.
const FORM: u32 = 1;
/// What keys are made for that authenticate backups.
const CONTEXT: &[u8] = b"backup.v1\0";
/// What tells whether two configurations have the same pepper.
const CHECK: &[u8] = b"backup.pepper.v1\0";
/// The beginning of the last line.
const END: &str = "{\"is\":\"end\",\"lines\":";

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The form of the file.
    pub keyferry_backup: u32,
    /// The version of the program that wrote it.
    pub program: String,
    /// When.
    pub at: Timestamp,
    /// Of which store.
    pub store: String,
    /// Where its history stood just before the records were read.
    pub head: Head,
    /// What the file is authenticated with.
    pub key: SealedWith,
    /// What tells the peppers of the keys' digests from others of the same versions.
    pub peppers: BTreeMap<PepperVersion, String>,
}

/// The secret that a backup is authenticated with, by its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SealedWith {
    /// A record key.
    RecordKey(RecordKeyVersion),
    /// A pepper.
    Pepper(PepperVersion),
}

impl fmt::Display for SealedWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecordKey(version) => write!(f, "record key {version} (store.record_keys)"),
            Self::Pepper(version) => write!(f, "pepper {version} (key.pepper)"),
        }
    }
}

/// A line between the first and the last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", deny_unknown_fields)]
pub enum Line {
    /// A record, and the change that wrote it.
    Record {
        /// The number of the change.
        version: Epoch,
        /// What it says, see [`kept`].
        record: Box<Record>,
    },
    /// What was seen of a client, last.
    Sighting {
        /// It.
        sighting: Sighting,
    },
    /// The last use of a credential.
    Use {
        /// It.
        used: Use,
    },
    /// Requests of a client on some days.
    Days {
        /// Whose.
        client: ClientId,
        /// How many.
        days: History,
    },
    /// Something is missing, since it was not believed or could not be read.
    LeftOut {
        /// It, and why, for people.
        what: String,
    },
}

/// The secrets of a configuration, any of which may have authenticated a backup.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'a> {
    /// What its store is authenticated with.
    pub record_keys: &'a RecordKeys,
    /// What its digests are made with.
    pub peppers: &'a Peppers,
}

impl Secrets<'_> {
    /// What a new backup is authenticated with.
    #[must_use]
    pub fn current(&self) -> SealedWith {
        match self.record_keys.current() {
            Some(version) => SealedWith::RecordKey(version),
            None => SealedWith::Pepper(self.peppers.current()),
        }
    }

    /// What tells each pepper from others of its version.
    #[must_use]
    pub fn checks(&self) -> BTreeMap<PepperVersion, String> {
        let check = |version| self.peppers.derive_with(version, CHECK).map(hex::encode);
        let versions = self.peppers.versions();
        versions
            .filter_map(|version| Some((version, check(version)?)))
            .collect()
    }

    /// Begins the MAC of a backup; nothing when the secret is not known.
    fn mac(&self, with: SealedWith) -> Option<Hmac<Sha256>> {
        let key = match with {
            SealedWith::RecordKey(version) => self.record_keys.derive(version, CONTEXT),
            SealedWith::Pepper(version) => self.peppers.derive_with(version, CONTEXT),
        };
        Some(keyed(&key?))
    }
}

/// The record as a backup has it: without the key, though sealed, of which a claim that broke off
/// could be answered again.
#[must_use]
pub fn kept(record: Record) -> Record {
    match record {
        Record::Key(key) => KeyRecord {
            receipt: None,
            ..key
        }
        .into(),
        other => other,
    }
}

/// What tells two records apart that say different things.
fn content(record: &Record) -> EventHash {
    let json = match record {
        Record::Key(key) if key.receipt.is_some() => serde_json::to_vec(&kept(record.clone())),
        other => serde_json::to_vec(other),
    };
    EventHash::of(&json.unwrap_or_default())
}

#[cfg(test)]
mod tests;
