//! Counts the connections that are open, and closes those beyond what there may be.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use prometheus::{IntCounter, IntGauge};

use crate::verify::Metrics;

/// In front of the application `A`.
pub(super) struct Entrance<A> {
    app: Arc<A>,
    most: i64,
    open: IntGauge,
    rejected: IntCounter,
}

/// A connection that is open.
struct Open<'a>(&'a IntGauge);

impl<A> Entrance<A> {
    pub(super) fn new(app: A, most: u32, metrics: &Metrics) -> Self {
        Self {
            app: Arc::new(app),
            most: most.into(),
            open: metrics.connections.clone(),
            rejected: metrics.connections_rejected.clone(),
        }
    }
}

impl<'a> Open<'a> {
    fn new(open: &'a IntGauge) -> Self {
        open.inc();
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Entrance<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let open = Open::new(&self.open);
        if open.0.get() > self.most {
            self.rejected.inc();
            return None;
        }
        self.app.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.app.cleanup().await;
    }
}
