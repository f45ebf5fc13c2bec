//! Tells webhooks what happens: see [`crate::webhook`] for how nothing of it gets lost.

mod brownouts;
mod conflicts;
mod keeper;
mod look;
pub(crate) mod send;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config;
use crate::directory::{Directory, Sightings};
use crate::gateway::{self, Conflict};
use crate::store::{RecordKeys, Store};
use crate::telemetry::Metrics;
use conflicts::Noted;
use keeper::Keeper;

/// How long the last messages may take at the end, or until other webhooks are told.
const LAST: Duration = Duration::from_secs(4);

/// What all who tell have in common.
pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    pub(super) record_keys: RecordKeys,
    pub(super) directory: Arc<Directory>,
    pub(super) sightings: Arc<Sightings>,
    /// With how far back a certificate counts as still in use.
    pub(super) live: Arc<ArcSwap<gateway::Live>>,
    pub(super) metrics: Metrics,
    /// Whether other gateways use the store, or could.
    pub(super) is_shared: bool,
}

/// Tells those of the moment, for as long as they are configured.
pub(super) struct TellWebhooks {
    webhooks: watch::Receiver<Vec<config::Webhook>>,
    conflicts: Mutex<mpsc::Receiver<Conflict>>,
    world: Arc<World>,
}

impl TellWebhooks {
    pub(super) fn new(
        webhooks: watch::Receiver<Vec<config::Webhook>>,
        conflicts: mpsc::Receiver<Conflict>,
        world: World,
    ) -> Self {
        Self {
            webhooks,
            conflicts: Mutex::new(conflicts),
            world: Arc::new(world),
        }
    }

    /// Keeps `webhooks` until `ended`.
    fn keep(&self, webhooks: &[config::Webhook], ended: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for webhook in webhooks {
            self.world.metrics.expect_webhook(&webhook.name);
            match Keeper::new(webhook.clone(), Arc::clone(&self.world)) {
                Ok(keeper) => drop(tasks.spawn(keeper.run(ended.clone()))),
                Err(error) => {
                    tracing::error!(webhook = webhook.name, %error, "a webhook cannot be told");
                }
            }
        }
        tasks
    }

    /// Forgets what was counted of webhooks that are gone.
    fn forget(&self, before: &[config::Webhook], now: &[config::Webhook]) {
        let is_gone = |name: &str| !now.iter().any(|webhook| webhook.name == name);
        for webhook in before.iter().filter(|webhook| is_gone(&webhook.name)) {
            self.world.metrics.forget_webhook(&webhook.name);
        }
    }
}

#[async_trait]
impl BackgroundService for TellWebhooks {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut conflicts = self.conflicts.lock().await;
        let mut watch = self.webhooks.clone();
        let mut noted = Noted::default();
        loop {
            let webhooks = watch.borrow_and_update().clone();
            let (end, ended) = watch::channel(false);
            let mut tasks = self.keep(&webhooks, &ended);
            let has_ended = tokio::select! {
                () = noted.put_all(&mut conflicts, &webhooks, &self.world) => true,
                changed = watch.changed() => changed.is_err(),
                _ = shutdown.changed() => true,
            };
            end.send_replace(true);
            let last = async { while tasks.join_next().await.is_some() {} };
            if timeout(LAST, last).await.is_err() {
                tracing::warn!("webhooks were not told all before the end; it is told later");
            }
            if has_ended {
                return;
            }
            self.forget(&webhooks, &watch.borrow());
        }
    }
}
