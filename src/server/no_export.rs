//! In place of `export` where the program was built without the feature `otlp`: there is nothing to
//! send.

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::watch;

use crate::config;
use crate::telemetry::{Metrics, Spans};

/// There is none.
pub(super) enum Export {}

impl Export {
    /// Nothing is recorded, and so nothing sent.
    pub(super) fn of(
        _: watch::Receiver<Option<config::Collector>>,
        _: &Metrics,
    ) -> (Spans, Option<Self>) {
        (Spans::default(), None)
    }
}

#[async_trait]
impl BackgroundService for Export {
    async fn start(&self, _: ShutdownWatch) {
        match *self {}
    }
}
