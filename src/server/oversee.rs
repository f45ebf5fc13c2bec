//! Decides again on what is under way.

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::gateway::Overseer;

/// Looks after exchanges that last.
pub(super) struct Oversee(pub(super) Overseer);

#[async_trait]
impl BackgroundService for Oversee {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.0.oversee() => {}
            _ = shutdown.changed() => {}
        }
    }
}
