//! What connections are handed to: Pingora's proxy, told how long to wait.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::Proxy;
use crate::door::UNWANTED_WITHIN;

/// How long whoever calls is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two requests.
    pub idle: Duration,
    /// For the next piece of a body, and until a piece of an answer is taken.
    pub piece: Duration,
}

/// The guard before its backend, as an application.
pub struct App {
    proxy: Arc<HttpProxy<Proxy>>,
    patience: Patience,
}

impl App {
    /// Serves by `proxy`, within its `patience`.
    #[must_use]
    pub fn new(proxy: HttpProxy<Proxy>, patience: Patience) -> Self {
        Self {
            proxy: Arc::new(proxy),
            patience,
        }
    }
}

#[async_trait]
impl HttpServerApp for App {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        session.set_total_drain_timeout(Some(UNWANTED_WITHIN));
        session.set_keepalive(Some(self.patience.idle.as_secs().max(1)));
        session.set_read_timeout(Some(self.patience.piece));
        session.set_write_timeout(Some(self.patience.piece));
        self.proxy.process_new_http(session, shutdown).await
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
