//! How much depends on each secret that can be changed, so that it is seen when an old one can go.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::clock;
use crate::directory::Directory;
use crate::gateway;
use crate::key::PepperVersion;
use crate::store::{RecordKeys, Reseal, Resealed, Store, StoreError};
use crate::telemetry::Metrics;

/// How often keys are counted, and how long after one look through all records the next begins.
const EVERY: Duration = Duration::from_secs(10);
/// How long between two steps of that look, so that a large store hardly feels it.
const PAUSE: Duration = Duration::from_millis(100);

/// What unsigned records are counted as.
const UNSIGNED: &str = "none";

/// Counts the records by record key, and the usable keys by pepper.
pub(super) struct CountSecrets {
    pub(super) store: Arc<dyn Store>,
    pub(super) directory: Arc<Directory>,
    pub(super) record_keys: RecordKeys,
    /// With the peppers.
    pub(super) live: Arc<ArcSwap<gateway::Live>>,
    pub(super) metrics: Metrics,
}

impl CountSecrets {
    /// The directory has all keys. Of a pepper that none needs there are 0, so that this is seen.
    async fn keep_keys(&self) -> Infallible {
        let gauge = &self.metrics.keys;
        let mut shown: BTreeSet<PepperVersion> = BTreeSet::new();
        loop {
            let mut keys = self.directory.view().keys_by_pepper(clock::now());
            for pepper in self.live.load().peppers.versions() {
                keys.entry(pepper).or_default();
            }
            for (pepper, number) in &keys {
                let number = i64::try_from(*number).unwrap_or(i64::MAX);
                gauge.with_label_values(&[pepper.to_string()]).set(number);
            }
            for gone in shown.iter().filter(|pepper| !keys.contains_key(pepper)) {
                let _ = gauge.remove_label_values(&[gone.to_string()]);
            }
            shown = keys.into_keys().collect();
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Only the store knows who signed a record: signing anew makes no event. It is looked through a
    /// step at a time, again and again, unless all that is believed is of one kind.
    async fn keep_records(&self) -> Infallible {
        loop {
            let kinds = self.record_keys.versions().len();
            if kinds.saturating_add(self.record_keys.accepts_unsigned().into()) < 2 {
                self.metrics.store_records.reset();
            } else {
                match self.count().await {
                    Ok(found) => self.set(&found),
                    Err(error) => {
                        tracing::debug!(%error, "the records of the store cannot be counted now");
                    }
                }
            }
            tokio::time::sleep(clock::jittered(EVERY)).await;
        }
    }

    async fn count(&self) -> Result<Resealed, StoreError> {
        let mut found = self.store.reseal(Reseal::Count, None).await?;
        while let Some(next) = found.next.take() {
            tokio::time::sleep(clock::jittered(PAUSE)).await;
            found = found.and(self.store.reseal(Reseal::Count, Some(&next)).await?);
        }
        Ok(found)
    }

    fn set(&self, found: &Resealed) {
        let set = |name: &str, records: u64| {
            let gauge = self.metrics.store_records.with_label_values(&[name]);
            gauge.set(i64::try_from(records).unwrap_or(i64::MAX));
        };
        self.metrics.store_records.reset();
        for version in self.record_keys.versions() {
            let records = found.by_key.get(&version).copied();
            set(&version.to_string(), records.unwrap_or_default());
        }
        if self.record_keys.accepts_unsigned() {
            set(UNSIGNED, found.unsigned);
        }
    }
}

#[async_trait]
impl BackgroundService for CountSecrets {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            _ = self.keep_keys() => {}
            _ = self.keep_records() => {}
            _ = shutdown.changed() => {}
        }
    }
}
