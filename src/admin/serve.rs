//! The admin listener's connections: HTTP/1.1, by hyper, within TLS where that is meant.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;

use super::{Admin, Live, Peer};
use crate::limit::{AtOnce, network};
use crate::tls::ssl::{Ssl, SslAcceptor};
use crate::tls::tokio_ssl::SslStream;

/// How many connections there are at a time. More are closed.
const CONNECTIONS: usize = 256;
/// How many of them one address has.
const OF_ONE: u32 = 64;
/// How long a handshake may take, and each head.
const HEAD: Duration = Duration::from_secs(10);
/// How long whoever asked may take nothing of an answer.
const STALLED: Duration = Duration::from_secs(20);

/// Answers on every connection.
pub struct App {
    router: Router,
    live: Arc<ArcSwap<Live>>,
    room: Arc<Semaphore>,
    addresses: Arc<AtOnce>,
}

impl App {
    /// Answers as `admin` does.
    #[must_use]
    pub fn new(admin: Admin) -> Self {
        Self {
            live: Arc::clone(&admin.live),
            router: admin.router(),
            room: Arc::new(Semaphore::new(CONNECTIONS)),
            addresses: AtOnce::new(OF_ONE),
        }
    }

    /// Answers on one connection until it ends, or the gateway does.
    async fn answer(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        shutdown: &ShutdownWatch,
    ) -> hyper::Result<()> {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(STALLED));
        let stream = Box::pin(stream);
        let service = self.router.clone().layer(Extension(peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = std::pin::pin!(connection);
        let mut shutdown = shutdown.clone();
        tokio::select! {
            done = connection.as_mut() => done,
            _ = shutdown.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
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
        let network = peer.map(network).unwrap_or_default();
        let _one = self.addresses.enter(network)?;
        let peer = Peer(peer);
        let acceptor = self.live.load().tls.clone();
        let done = match acceptor {
            None => self.answer(stream, peer, shutdown).await,
            Some(acceptor) => match shake_hands(&acceptor, stream).await {
                Ok(stream) => self.answer(stream, peer, shutdown).await,
                Err(why) => {
                    tracing::debug!(%why, "a handshake with the admin listener failed");
                    return None;
                }
            },
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a connection to the admin listener ended early");
        }
        None
    }
}

async fn shake_hands(acceptor: &SslAcceptor, stream: Stream) -> Result<SslStream<Stream>, String> {
    let shown = |error: &dyn Display| error.to_string();
    let ssl = Ssl::new(acceptor.context()).map_err(|error| shown(&error))?;
    let mut stream = SslStream::new(ssl, stream).map_err(|error| shown(&error))?;
    let shaken = timeout(HEAD, Pin::new(&mut stream).accept()).await;
    shaken
        .map_err(|_| "it took too long".to_owned())?
        .map_err(|error| shown(&error))?;
    Ok(stream)
}
