//! The admin listener's connections: HTTP/1.1, by hyper.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::sync::Semaphore;

use super::{Admin, Peer};

/// How many connections there are at a time. More are closed.
const CONNECTIONS: usize = 256;
/// How long a head may take.
const HEAD: Duration = Duration::from_secs(10);

/// Answers on every connection.
pub struct App {
    router: Router,
    room: Arc<Semaphore>,
}

impl App {
    /// Answers as `admin` does.
    #[must_use]
    pub fn new(admin: Admin) -> Self {
        Self {
            router: admin.router(),
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }
}

#[async_trait]
impl ServerApp for App {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let _room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let digest = stream.get_socket_digest();
        let peer =
            digest.and_then(|digest| digest.peer_addr()?.as_inet().map(std::net::SocketAddr::ip));
        let service = self.router.clone().layer(Extension(Peer(peer)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = std::pin::pin!(connection);
        let mut shutdown = shutdown.clone();
        let done = tokio::select! {
            done = connection.as_mut() => done,
            _ = shutdown.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a connection to the admin listener ended early");
        }
        None
    }
}
