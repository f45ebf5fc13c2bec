//! The snapshot, under whichever peppers there are.

use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::config::Config;
use crate::directory::Snapshot;
use crate::key::Peppers;
use crate::secret::Secret;

/// What the key of snapshots is made for.
const SNAPSHOT: &[u8] = b"snapshot.v1\0";

/// The snapshot under each pepper.
#[derive(Clone)]
pub(super) struct Snapshots {
    path: PathBuf,
    /// What the store is called.
    of: String,
    newest: watch::Sender<Snapshot>,
}

impl Snapshots {
    pub(super) fn of(config: &Config) -> Option<Self> {
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

    /// From now on it is written under `peppers`.
    pub(super) fn seal_under(&self, peppers: &Peppers) {
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

fn under(peppers: &Peppers, path: &Path, of: &str) -> impl Iterator<Item = Snapshot> {
    let keys: Vec<_> = peppers.derive(SNAPSHOT, &[of.as_bytes()]).collect();
    let path = path.to_owned();
    keys.into_iter()
        .map(move |key| Snapshot::new(path.clone(), Secret::new(key.to_vec())))
}
