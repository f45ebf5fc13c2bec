//! What goes on beside the requests.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::{Mutex, watch};

use crate::clock::{self, Timestamp};
use crate::directory::{Directory, Lessons, Recorded, Snapshot};
use crate::policy::{Asking, Silent};
use crate::store::{Store, local};

/// How often it is recorded what certificates say that were only named.
const LEARN_EVERY: Duration = Duration::from_secs(2);
/// How often it is worked out where nobody is left to be asked for a certificate.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How often the snapshot is written at least.
const SAVE_EVERY: Duration = Duration::from_mins(15);

/// Follows the store.
pub(super) struct Follow(pub(super) Arc<Directory>);

#[async_trait]
impl BackgroundService for Follow {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.0.follow() => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// Keeps a file to start from while the store cannot be reached.
pub(super) struct KeepSnapshot {
    snapshot: watch::Receiver<Snapshot>,
    directory: Arc<Directory>,
    every: Duration,
}

impl KeepSnapshot {
    /// The file is as old as it goes when the gateway dies, so it is written several times within
    /// the time for which it is good.
    pub(super) fn new(
        snapshot: watch::Receiver<Snapshot>,
        directory: &Arc<Directory>,
        max_stale: Duration,
    ) -> Self {
        Self {
            snapshot,
            directory: Arc::clone(directory),
            every: max_stale.div_f64(4.0).min(SAVE_EVERY),
        }
    }

    /// Writes the file. Gives when what is in it was confirmed by the store.
    async fn save(&self, known: Option<Timestamp>) -> Option<Timestamp> {
        let (snapshot, directory) = (self.snapshot.borrow().clone(), Arc::clone(&self.directory));
        let save = move || directory.save(&snapshot, known, clock::now());
        match tokio::task::spawn_blocking(save).await {
            Ok(Ok(saved)) => saved.or(known),
            Ok(Err(error)) => {
                tracing::error!(%error, "the snapshot cannot be written; the one before stays");
                known
            }
            Err(error) => {
                tracing::error!(%error, "writing the snapshot failed");
                known
            }
        }
    }
}

#[async_trait]
impl BackgroundService for KeepSnapshot {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut save = tokio::time::interval(self.every);
        let (mut known, mut other) = (None, self.snapshot.clone());
        loop {
            tokio::select! {
                _ = save.tick() => known = self.save(known).await,
                // Whoever starts with the new peppers must be able to open it, and to use what it holds.
                Ok(()) = other.changed() => known = self.save(None).await,
                _ = shutdown.changed() => break,
            }
        }
        self.save(known).await;
    }
}

/// Serves the embedded store to commands while the gateway holds its file.
pub(super) struct Commands(Mutex<Option<local::Listener>>);

impl Commands {
    pub(super) fn new(server: local::Listener) -> Self {
        Self(Mutex::new(Some(server)))
    }
}

#[async_trait]
impl BackgroundService for Commands {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Some(server) = self.0.lock().await.take() else {
            return;
        };
        let stop = async move {
            let _ = shutdown.changed().await;
        };
        if let Err(error) = server.serve(stop).await {
            tracing::error!(%error, "commands can no longer reach the store");
        }
    }
}

/// Records what was learned of those who proved themselves.
pub(super) struct Learn {
    lessons: Arc<Lessons>,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
}

impl Learn {
    pub(super) fn new(
        lessons: &Arc<Lessons>,
        store: &Arc<dyn Store>,
        directory: &Arc<Directory>,
    ) -> Self {
        Self {
            lessons: Arc::clone(lessons),
            store: Arc::clone(store),
            directory: Arc::clone(directory),
        }
    }

    async fn record(&self) {
        match self.lessons.record(self.store.as_ref(), clock::now()).await {
            Ok(recorded) if recorded == Recorded::default() => {}
            Ok(Recorded {
                certificates,
                digests,
            }) => {
                tracing::info!(
                    certificates,
                    digests,
                    "recorded what certificates say that were only named, and digests of keys under \
                     the current pepper"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "what was learned is recorded once the store takes it");
                self.directory.note(error);
            }
        }
    }
}

#[async_trait]
impl BackgroundService for Learn {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut learn = tokio::time::interval(LEARN_EVERY);
        let all = async {
            loop {
                learn.tick().await;
                self.record().await;
            }
        };
        tokio::select! {
            () = all => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// Works out now and then where nobody is left to be asked for a certificate.
pub(super) struct KeepAsking(pub(super) Arc<ArcSwap<Asking>>);

#[async_trait]
impl BackgroundService for KeepAsking {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut again = tokio::time::interval(ASK_EVERY);
        loop {
            tokio::select! {
                _ = again.tick() => {
                    if let Some(Silent { everywhere, hosts }) = self.0.load().work_out() {
                        tracing::info!(
                            everywhere,
                            ?hosts,
                            "where clients are no longer asked for certificates, since all that could come by one are retired"
                        );
                    }
                }
                _ = shutdown.changed() => break,
            }
        }
    }
}
