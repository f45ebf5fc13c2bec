//! Divides each client's requests per second among the gateways that share a store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::clock;
use crate::limit::Budgets;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// How often it is told what clients ask for.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Tells the store what clients ask for here, and learns what they ask for everywhere. Requests wait
/// for none of it.
pub(super) struct ShareBudgets {
    budgets: Arc<Budgets>,
    store: Arc<dyn Store>,
    metrics: Metrics,
}

impl ShareBudgets {
    /// None where no client has a rate.
    pub(super) fn of(
        budgets: Option<&Arc<Budgets>>,
        store: &Arc<dyn Store>,
        metrics: &Metrics,
    ) -> Option<Self> {
        Some(Self {
            budgets: Arc::clone(budgets?),
            store: Arc::clone(store),
            metrics: metrics.clone(),
        })
    }

    /// Tells and learns, `tick` after it was last told.
    async fn tell(&self, tick: Duration, now: Instant) -> Result<(), StoreError> {
        let told = self.budgets.demands(tick, now);
        if let Some(totals) = self.store.demands(&told).await? {
            for (told, total) in told.iter().zip(totals) {
                self.budgets.learn(&told.client, total, tick);
            }
            let shared = i64::try_from(told.len()).unwrap_or(i64::MAX);
            self.metrics.budgets_shared.set(shared);
        }
        Ok(())
    }

    async fn keep(&self) {
        let mut tell = tokio::time::interval(TELL_EVERY);
        let (mut last, mut is_heard) = (clock::monotonic(), true);
        loop {
            tell.tick().await;
            let now = clock::monotonic();
            let told = self.tell(now.saturating_duration_since(last), now).await;
            last = now;
            if let Err(error) = &told {
                // Better too much for a while than what a client may have at none.
                self.budgets.forget_others();
                self.metrics.budgets_shared.set(0);
                if is_heard {
                    tracing::warn!(
                        %error,
                        "until the store answers, each gateway gives every client its whole requests per second"
                    );
                }
            }
            is_heard = told.is_ok();
        }
    }
}

#[async_trait]
impl BackgroundService for ShareBudgets {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.keep() => {}
            _ = shutdown.changed() => {}
        }
    }
}
