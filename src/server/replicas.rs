//! Tells those that share the store how this gateway is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::watch;

use super::health::is_ready;
use crate::clock::{self, Timestamp};
use crate::directory::Directory;
use crate::store::{Replica, ReplicaState, Store, host};
use crate::telemetry::Metrics;

/// How often it is told that nothing has changed.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// How often it is looked whether something has.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells the store how this gateway is: when that changes, and now and then. No request waits for it.
pub(super) struct TellReplicas {
    /// By which the others tell this gateway from its predecessor.
    id: String,
    since: Timestamp,
    /// The digest of what it runs with.
    configuration: watch::Receiver<String>,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    metrics: Metrics,
    max_stale: Duration,
}

impl TellReplicas {
    pub(super) fn new(
        configuration: watch::Receiver<String>,
        (store, directory): (&Arc<dyn Store>, &Arc<Directory>),
        metrics: &Metrics,
        max_stale: Duration,
    ) -> Self {
        Self {
            id: clock::unique().simple().to_string(),
            since: clock::now(),
            configuration,
            store: Arc::clone(store),
            directory: Arc::clone(directory),
            metrics: metrics.clone(),
            max_stale,
        }
    }

    fn state(&self) -> ReplicaState {
        if self.metrics.draining.get() != 0 {
            ReplicaState::Draining
        } else if is_ready(&self.directory, self.max_stale) {
            ReplicaState::Ready
        } else if self.directory.is_loaded() {
            ReplicaState::Stale
        } else {
            ReplicaState::Starting
        }
    }

    fn replica(&self, state: ReplicaState) -> Replica {
        Replica {
            id: self.id.clone(),
            host: host().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since,
            state,
            epoch: self.directory.epoch(),
            store_age: self.directory.age().as_secs(),
            configuration: self.configuration.borrow().clone(),
            is_taken_over: self.metrics.reload_success.get() == 1,
        }
    }

    async fn keep(&self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let (mut told, mut at, mut is_heard) = (None, clock::monotonic(), true);
        loop {
            look.tick().await;
            let replica = self.replica(self.state());
            let news = Some((
                replica.state,
                replica.configuration.clone(),
                replica.is_taken_over,
            ));
            if told == news && at.elapsed() < TELL_EVERY {
                continue;
            }
            // What was not taken is told again the next time that it is due.
            (told, at) = (news, clock::monotonic());
            let heard = self.store.announce(&replica).await;
            if let (Err(error), true) = (&heard, is_heard) {
                tracing::warn!(%error, "other gateways do not hear of this one until the store answers");
            }
            is_heard = heard.is_ok();
        }
    }
}

#[async_trait]
impl BackgroundService for TellReplicas {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.keep() => {}
            _ = shutdown.changed() => {}
        }
        // Whoever is not told sees for himself, some time later.
        let _ = self
            .store
            .announce(&self.replica(ReplicaState::Stopped))
            .await;
    }
}
