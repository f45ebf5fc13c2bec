//! Tells the store what was seen of clients, and counts them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use super::budget;
use super::expiring::Expiring;
use crate::client::{CredentialId, Stage};
use crate::clock::{self, Timestamp};
use crate::directory::{Directory, Sightings};
use crate::gateway;
use crate::store::{Epoch, Store, StoreError};
use crate::telemetry::Metrics;

/// How often new sightings are written, and whether brownouts have spent their budgets is looked at.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// How long only what is urgent is written, at most, where writing all of it is much work.
const FLUSH_REST_MOST: Duration = Duration::from_secs(30);
/// How often first uses of keys are written at most.
const FIRST_USES_EVERY: Duration = Duration::from_millis(100);
/// How often clients are counted, by stage and as such that are left.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// The pause after counting and after writing, at least, as many times as long: of many clients it is
/// no small work.
const REST: u32 = 50;
/// How often the sightings of other replicas are read: counts, stages and grace need them.
const LOAD_EVERY: Duration = Duration::from_mins(1);

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
        let mut count = tokio::time::interval(COUNT_EVERY);
        let (mut spent, mut last, mut rest) = (BTreeSet::new(), clock::monotonic(), Duration::ZERO);
        loop {
            tokio::select! {
                _ = load.tick() => self.load().await,
                _ = flush.tick() => {
                    let told = if last.elapsed() < rest {
                        self.flush_urgent().await
                    } else {
                        let begun = clock::monotonic();
                        let told = self.flush().await;
                        // What was not taken is tried again the next time.
                        let took = if told { begun.elapsed() } else { Duration::ZERO };
                        (last, rest) = (begun, took.saturating_mul(REST).min(FLUSH_REST_MOST));
                        told
                    };
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
