//! What goes on beside the requests.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::{Mutex, watch};

use super::budget;
use super::expiring::Expiring;
use crate::client::{CredentialId, Stage};
use crate::clock::{self, Timestamp};
use crate::directory::{Directory, Lessons, Recorded, Sightings, Snapshot};
use crate::gateway;
use crate::policy::{Asking, Silent};
use crate::store::{Epoch, Store, StoreError, local};
use crate::telemetry::Metrics;

/// How often new sightings are written, and how long the pause between may become where that is much work.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
const FLUSH_REST_MOST: Duration = Duration::from_secs(30);
/// How often it is looked at whether brownouts have spent their budgets.
const BUDGETS_EVERY: Duration = Duration::from_secs(2);
/// How often first uses of keys are written at most.
const FIRST_USES_EVERY: Duration = Duration::from_millis(100);
/// How often it is recorded what certificates say that were only named.
const LEARN_EVERY: Duration = Duration::from_secs(2);
/// How often clients are counted, by stage and as such that are left.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// The pause after counting and after writing, at least, as many times as long: of many clients it is
/// no small work.
const REST: u32 = 50;
/// How often the sightings of other replicas are read: counts, stages and grace need them.
const LOAD_EVERY: Duration = Duration::from_mins(1);
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
        let mut again = tokio::time::interval(COUNT_EVERY);
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

/// Writes sightings to the store now and then, and sets the gauges that come of them.
#[derive(Clone)]
pub(super) struct KeepSightings {
    sightings: Arc<Sightings>,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    metrics: Metrics,
    /// With how far back a certificate counts as still in use.
    live: Arc<ArcSwap<gateway::Live>>,
}

impl KeepSightings {
    pub(super) fn new(
        sightings: &Arc<Sightings>,
        store: &Arc<dyn Store>,
        directory: &Arc<Directory>,
        metrics: &Metrics,
        live: &Arc<ArcSwap<gateway::Live>>,
    ) -> Self {
        Self {
            sightings: Arc::clone(sightings),
            store: Arc::clone(store),
            directory: Arc::clone(directory),
            metrics: metrics.clone(),
            live: Arc::clone(live),
        }
    }

    /// Tells the store what is new; whether it took it.
    async fn flush(&self) -> bool {
        let now = clock::now();
        let told = self.sightings.flush(self.store.as_ref(), now.day());
        let is_told = Self::report(&told.await);
        self.sightings
            .forget(|credential| self.is_over(credential, now));
        is_told
    }

    /// Whether nobody asks any more when the credential was last used.
    fn is_over(&self, credential: &CredentialId, now: Timestamp) -> bool {
        self.directory.is_loaded() && self.directory.view().is_over(credential, now)
    }

    /// Tells the store what does not wait; whether it took it.
    async fn flush_urgent(&self) -> bool {
        let store = self.store.as_ref();
        let told = self.sightings.flush_urgent(store, clock::now().day());
        Self::report(&told.await)
    }

    /// Whether a rotated key is in use decides what the old one may still do, at every replica.
    async fn tell_first_uses(&self) {
        loop {
            self.sightings.first_use().await;
            self.flush_urgent().await;
            tokio::time::sleep(FIRST_USES_EVERY).await;
        }
    }

    /// Says what was wrong; whether the store took it.
    fn report(told: &Result<u64, StoreError>) -> bool {
        match told {
            Ok(0) => {}
            Ok(damaged) => {
                tracing::warn!(
                    damaged,
                    "the store holds entries of what was seen that cannot be read: last times were replaced, counts were left out"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "sightings are kept in memory until the store takes them");
            }
        }
        told.is_ok()
    }

    /// Stops brownouts that have spent their budgets. While the store is not there for that, or was
    /// not `told`, gives those that this gateway ends for itself; `spent` were so before.
    async fn keep_budgets(&self, told: bool, spent: &BTreeSet<Epoch>) -> BTreeSet<Epoch> {
        let (directory, sightings) = (&self.directory, &self.sightings);
        let kept = budget::keep(directory, sightings, self.store.as_ref()).await;
        let is_kept = kept.is_ok();
        if let Err(error) = kept {
            tracing::warn!(%error, "whether a brownout has spent its budget is not known");
            directory.note(error);
        }
        let spent = if told && is_kept {
            BTreeSet::new()
        } else {
            budget::spent(directory, sightings, spent)
        };
        let number = i64::try_from(spent.len()).unwrap_or(i64::MAX);
        self.metrics.brownouts_spent.set(number);
        spent
    }

    async fn load(&self) {
        let now = clock::now();
        let is_over = |credential: &CredentialId| self.is_over(credential, now);
        match self.sightings.load(self.store.as_ref(), is_over).await {
            Ok(0) => {}
            Ok(damaged) => {
                tracing::warn!(
                    damaged,
                    "the store holds last times that cannot be read: each is left out until its client calls again"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "the sightings of other replicas cannot be read now");
            }
        }
    }

    async fn keep(&self) {
        let mut load = tokio::time::interval(LOAD_EVERY);
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        let mut keep_budgets = tokio::time::interval(BUDGETS_EVERY);
        let mut count = tokio::time::interval(COUNT_EVERY);
        let mut spent = BTreeSet::new();
        loop {
            tokio::select! {
                _ = load.tick() => self.load().await,
                _ = flush.tick() => {
                    let begun = clock::monotonic();
                    if self.flush().await {
                        let rest = begun.elapsed().saturating_mul(REST);
                        flush.reset_after(rest.clamp(FLUSH_EVERY, FLUSH_REST_MOST));
                    }
                }
                _ = keep_budgets.tick() => {
                    let told = self.flush_urgent().await;
                    spent = self.keep_budgets(told, &spent).await;
                }
                _ = count.tick() => {
                    let begun = clock::monotonic();
                    let counting = self.clone();
                    let counted = tokio::task::spawn_blocking(move || counting.count_stages());
                    if let Err(error) = counted.await {
                        tracing::error!(%error, "clients cannot be counted");
                    }
                    let rest = begun.elapsed().saturating_mul(REST);
                    count.reset_after(rest.max(COUNT_EVERY));
                }
            }
        }
    }

    fn count_stages(&self) {
        let (now, window) = (clock::now(), self.live.load().window);
        let mut counts = [0i64; Stage::ALL.len()];
        let mut expiring = Expiring::default();
        let view = self.directory.view();
        view.clients(now, |client, active, issued, ends| {
            let stage = Stage::of(active, issued, self.sightings.of(client), window, now);
            for (known, count) in Stage::ALL.iter().zip(&mut counts) {
                *count = count.saturating_add(i64::from(*known == stage));
            }
            if active {
                expiring.count(stage, ends, now);
            }
        });
        expiring.set(&self.metrics);
        for (stage, count) in Stage::ALL.iter().zip(counts) {
            self.metrics
                .clients
                .with_label_values(&[stage.as_str()])
                .set(count);
        }
    }
}

#[async_trait]
impl BackgroundService for KeepSightings {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // Whatever the end interrupts is told once more, under the number that it had.
        tokio::select! {
            () = self.keep() => {}
            () = self.tell_first_uses() => {}
            _ = shutdown.changed() => {}
        }
        self.flush().await;
    }
}
