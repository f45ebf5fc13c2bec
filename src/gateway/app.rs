//! What the door hands connections to: Pingora's proxy, told how each connection lives.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::tls::SslDigest;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::Gateway;
use super::running::Running;
use crate::door::{Lifetimes, UNWANTED_WITHIN};

/// The gateway in the phases of pingora-proxy.
#[derive(Clone)]
pub struct Proxy(Arc<Gateway>);

impl Proxy {
    /// Carries out what `gateway` decides.
    #[must_use]
    pub const fn new(gateway: Arc<Gateway>) -> Self {
        Self(gateway)
    }
}

impl Deref for Proxy {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.0
    }
}

/// The gateway as an application: one exchange after the other on HTTP/1.1, many at a time on
/// HTTP/2.
pub struct App {
    proxy: Arc<HttpProxy<Proxy>>,
    gateway: Arc<Gateway>,
    lifetimes: Lifetimes,
}

impl App {
    /// Serves by `proxy`, which carries out what `gateway` decides. A connection of HTTP/1.1 is kept for `idle_timeout` between requests.
    #[must_use]
    pub fn new(proxy: HttpProxy<Proxy>, gateway: Arc<Gateway>, lifetimes: Lifetimes) -> Self {
        Self {
            proxy: Arc::new(proxy),
            gateway,
            lifetimes,
        }
    }
}

/// What is known of the connection that the request comes on.
fn digest(session: &ServerSession) -> Option<&Arc<SslDigest>> {
    session.digest()?.ssl_digest.as_ref()
}

#[async_trait]
impl HttpServerApp for App {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let digest = digest(&session).map(Arc::clone);
        let http2 = session.as_http1().is_none();
        let http2 = http2.then(|| session.req_header().method.clone());
        let running = Arc::new(Running::new(digest, http2));
        session.set_total_drain_timeout(Some(UNWANTED_WITHIN));
        if let Some(connection) = running.connection() {
            let line = connection.line();
            if line.is_over() {
                return None;
            }
            if running.http2.is_none() {
                let idle = self.lifetimes.idle_timeout.as_secs();
                session.set_keepalive(Some(idle.max(1)));
            } else {
                // The client may read frames, and leave no room for those of this stream.
                session.set_write_timeout(Some(self.lifetimes.write_timeout));
            }
        }
        let serve = self.proxy.process_new_http(session, shutdown);
        let served = running.run(serve).await;
        if served.is_none() {
            self.gateway.account_cut(&running);
        }
        served.flatten()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
