//! The parts that a running gateway replaces when its configuration changes.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::authorities::{Authorities, NotTrusted};
use super::secrets::CountSecrets;
use crate::clock;
use crate::config::{Backend, Config};
use crate::directory::{Directory, Snapshot};
use crate::gateway;
use crate::key::Peppers;
use crate::secret::Secret;
use crate::sign::{Names, Signer};
use crate::store::{RecordKeys, Reseal, Resealed, Store};
use crate::telemetry::Metrics;

/// What the key of snapshots is made for.
const SNAPSHOT: &[u8] = b"snapshot.v1\0";

/// What is replaced, and where it is used.
pub(super) struct Live {
    gateway: Arc<ArcSwap<gateway::Live>>,
    authorities: Arc<Authorities>,
    /// Those of the store.
    record_keys: RecordKeys,
    snapshots: Option<Snapshots>,
    backends: Vec<String>,
    names: Names,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    metrics: Metrics,
}

/// The snapshot under each pepper.
#[derive(Clone)]
pub(super) struct Snapshots {
    path: PathBuf,
    /// What the store is called.
    of: String,
    newest: watch::Sender<Snapshot>,
}

/// Why a configuration that is right is not taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// What is made or written now would be worth nothing a moment later.
    #[error(
        "{what} {version} is the current one, and is gone or has another secret; keep it, write the \
         new one beside it, and make that the current one first"
    )]
    Current { what: &'static str, version: u32 },
    /// Clients would be refused.
    #[error(
        "pepper {version} is gone or has another secret, and {keys} keys that can be used need it; \
         take it away when keyferry store status counts none"
    )]
    PepperNeeded { version: u32, keys: u64 },
    /// Clients would become unknown.
    #[error(
        "a record key is gone or has another secret, or unsigned_records refuses, and {records} \
         records would no longer be believed; run keyferry store reseal first"
    )]
    RecordKeyNeeded { records: u64 },
    /// Nobody could be verified, or fewer than are meant.
    #[error(transparent)]
    Authorities(#[from] NotTrusted),
    /// The store does not answer.
    #[error(
        "a secret is gone or has become another, and whether it is needed cannot be told now: {0}"
    )]
    CannotTell(String),
}

/// A secret that is known: its kind, its name, and whether it is the one that is used now.
type Known = (&'static str, String, bool);

impl Live {
    /// The parts of `config`, with which the gateway starts. `store` has its record keys.
    pub(super) fn new(
        config: &Config,
        authorities: &Arc<Authorities>,
        (store, directory): (&Arc<dyn Store>, &Arc<Directory>),
        metrics: &Metrics,
    ) -> Self {
        let name = |backend: &Backend| backend.name.clone();
        let backends: Vec<_> = config.backends.iter().map(name).collect();
        let names = config.headers.names.clone();
        let parts = parts(config, &backends, &names);
        let snapshots = Snapshots::of(config);
        let live = Self {
            gateway: Arc::new(ArcSwap::from_pointee(parts)),
            authorities: Arc::clone(authorities),
            record_keys: config.store.record_keys().clone(),
            snapshots,
            backends,
            names,
            store: Arc::clone(store),
            directory: Arc::clone(directory),
            metrics: metrics.clone(),
        };
        live.show(&[]);
        live
    }

    /// What requests begin with.
    pub(super) const fn gateway(&self) -> &Arc<ArcSwap<gateway::Live>> {
        &self.gateway
    }

    /// Counts what depends on each secret.
    pub(super) fn counting(&self) -> CountSecrets {
        CountSecrets {
            store: Arc::clone(&self.store),
            directory: Arc::clone(&self.directory),
            record_keys: self.record_keys.clone(),
            live: Arc::clone(&self.gateway),
            metrics: self.metrics.clone(),
        }
    }

    /// Where the snapshot is, and under which pepper it is written.
    pub(super) const fn snapshots(&self) -> Option<&Snapshots> {
        self.snapshots.as_ref()
    }

    /// Puts the parts of `config` in the place of those that are used, all or none. Gives what is
    /// known then.
    ///
    /// # Errors
    ///
    /// [`NotTaken`] when credentials that are good would be refused afterwards: who wants that
    /// restarts the gateway.
    pub(super) async fn take_over(&self, mut config: Config) -> Result<String, NotTaken> {
        let running = self.gateway.load_full();
        let authorities = self.authorities.next(&mut config).await?;
        let mut next = parts(&config, &self.backends, &self.names);
        // A backend that is no longer there is there until the gateway is restarted.
        for (next, running) in next.signers.iter_mut().zip(&running.signers) {
            if next.is_none() {
                next.clone_from(running);
            }
        }
        let record_keys = config.store.record_keys();
        self.expect_record_keys(record_keys).await?;
        self.expect_peppers(&running.peppers, &next.peppers).await?;

        warn_of_same_names(&running, &next);
        let before = self.known();
        let believes_more = self.record_keys.believe_less_than(record_keys);
        self.record_keys.replace(record_keys);
        if let Some(snapshots) = &self.snapshots {
            snapshots.seal_under(&next.peppers);
        }
        // In this order: whom a new authority issued to is treated as it says.
        self.gateway.store(Arc::new(next));
        authorities.trust();
        let mut is_refused = false;
        self.directory.refused(|_, count| is_refused |= count > 0);
        if is_refused && believes_more {
            self.directory.load_again();
        }
        Ok(self.show(&before))
    }

    /// Every record must be believed afterwards, and what is written until then.
    async fn expect_record_keys(&self, next: &RecordKeys) -> Result<(), NotTaken> {
        let (what, missing) = ("record key", self.record_keys.missing_in(next));
        if let Some(version) = self
            .record_keys
            .current()
            .filter(|now| missing.contains(now))
        {
            return Err(NotTaken::Current { what, version });
        }
        let unsigned = self.record_keys.accepts_unsigned() && !next.accepts_unsigned();
        if missing.is_empty() && !unsigned {
            return Ok(());
        }
        let found = Resealed::all(self.store.as_ref(), Reseal::Count).await;
        let found = found.map_err(|error| NotTaken::CannotTell(error.to_string()))?;
        let kept = next.versions();
        let lost = found.by_key.iter();
        let lost = lost.filter(|(key, _)| missing.contains(key) || !kept.contains(key));
        let unsigned = if unsigned { found.unsigned } else { 0 };
        match lost
            .map(|(_, records)| records)
            .sum::<u64>()
            .saturating_add(unsigned)
        {
            0 => Ok(()),
            records => Err(NotTaken::RecordKeyNeeded { records }),
        }
    }

    /// Every key must be good afterwards, and what is issued until then.
    async fn expect_peppers(&self, running: &Peppers, next: &Peppers) -> Result<(), NotTaken> {
        let (what, missing) = ("pepper", running.missing_in(next).collect::<Vec<_>>());
        if let Some(version) = Some(running.current()).filter(|now| missing.contains(now)) {
            return Err(NotTaken::Current { what, version });
        }
        if missing.is_empty() {
            return Ok(());
        }
        let caught_up = self.directory.catch_up().await;
        caught_up.map_err(|error| NotTaken::CannotTell(error.to_string()))?;
        let needed = self.directory.view().keys_by_pepper(clock::now());
        let needed = missing
            .iter()
            .find_map(|version| needed.get_key_value(version));
        match needed {
            None => Ok(()),
            Some((&version, &keys)) => Err(NotTaken::PepperNeeded { version, keys }),
        }
    }

    fn known(&self) -> Vec<Known> {
        let parts = self.gateway.load();
        let (pepper, record_key) = (parts.peppers.current(), self.record_keys.current());
        let peppers = parts.peppers.versions();
        let peppers = peppers.map(|version| ("pepper", version.to_string(), version == pepper));
        let keys = self.record_keys.versions().into_iter();
        let keys = keys.map(|key| ("record_key", key.to_string(), Some(key) == record_key));
        let signers = parts.signers.iter().flatten();
        let signers = signers.map(|signer| ("signing", signer.key().id().to_owned(), true));
        peppers.chain(keys).chain(signers).collect()
    }

    /// Shows which secrets are known, now that they are no longer those `before`.
    fn show(&self, before: &[Known]) -> String {
        let (known, gauges) = (self.known(), &self.metrics.secret_current);
        for (kind, name, is_current) in &known {
            let gauge = gauges.with_label_values(&[kind, name.as_str()]);
            gauge.set(i64::from(*is_current));
        }
        let is_gone =
            |(kind, name, _): &&Known| !known.iter().any(|now| (now.0, &now.1) == (*kind, name));
        for (kind, name, _) in before.iter().filter(is_gone) {
            // There is none when two went by one name.
            let _ = gauges.remove_label_values(&[kind, name.as_str()]);
        }
        let told = known.iter().map(|(kind, name, is_current)| {
            let mark = if *is_current { " (current)" } else { "" };
            format!("{kind} {name}{mark}")
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

/// What of `config` is replaced while the gateway runs, with the `backends` and the header `names`
/// with which it was started. What can be replaced without a restart is added here.
fn parts(config: &Config, backends: &[String], names: &Names) -> gateway::Live {
    let signer = |name: &String| {
        let backend = config.backends.iter().find(|backend| backend.name == *name);
        let key = backend.and_then(|backend| backend.signing.clone());
        key.map(|key| Signer::new(key, names.clone()))
    };
    gateway::Live {
        fronts: Arc::clone(&config.fronts),
        peppers: config.keys.peppers.clone(),
        renewal: config.renewal.clone(),
        signers: backends.iter().map(signer).collect(),
    }
}

/// A backend finds the secret by its name, so it cannot have two of one name.
fn warn_of_same_names(running: &gateway::Live, next: &gateway::Live) {
    let pairs = running
        .signers
        .iter()
        .flatten()
        .zip(next.signers.iter().flatten());
    for (before, after) in pairs.filter(|(before, after)| before.key().is_renewed_by(after.key())) {
        tracing::warn!(
            key_id = before.key().id(),
            backend_sees = after.key().id(),
            "a signing secret has become another under the same key_id: its backend cannot tell them \
             apart and refuses requests until it has the new one; give a new secret a new key_id"
        );
    }
}

impl Snapshots {
    fn of(config: &Config) -> Option<Self> {
        let path = config.offline.snapshot.clone()?;
        let of = config.store.to_string();
        let newest = under(&config.keys.peppers, &path, &of).next()?;
        let newest = watch::Sender::new(newest);
        Some(Self { path, of, newest })
    }

    /// The snapshot under each of `peppers`, the current one first.
    pub(super) fn under<'a>(&'a self, peppers: &'a Peppers) -> impl Iterator<Item = Snapshot> {
        under(peppers, &self.path, &self.of)
    }

    /// The snapshot that is to be written, now and from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Snapshot> {
        self.newest.subscribe()
    }

    fn seal_under(&self, peppers: &Peppers) {
        if let Some(snapshot) = self.under(peppers).next() {
            self.newest.send_replace(snapshot);
        }
    }
}

/// The snapshot of a gateway with this configuration under each pepper, the current one first; none
/// when none is kept.
#[must_use]
pub fn snapshots(config: &Config) -> Vec<Snapshot> {
    let (peppers, of) = (&config.keys.peppers, config.store.to_string());
    let path = config.offline.snapshot.iter();
    path.flat_map(|path| under(peppers, path, &of)).collect()
}

fn under(peppers: &Peppers, path: &std::path::Path, of: &str) -> impl Iterator<Item = Snapshot> {
    let keys: Vec<_> = peppers.derive(SNAPSHOT, &[of.as_bytes()]).collect();
    let path = path.to_owned();
    keys.into_iter()
        .map(move |key| Snapshot::new(path.clone(), Secret::new(key.to_vec())))
}
