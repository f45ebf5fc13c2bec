//! The door: every connection passes it, and none passes without its verdict.
//!
//! Pingora's own TLS listener hides failed handshakes, so the door sits on a plain TCP service and
//! does the handshake itself: under a deadline of its own, with every failure counted and
//! explained. It asks for a client certificate and completes for whoever proves to hold the key of
//! one, good or not; what it learned goes along as a [`Connection`], and each request is judged by
//! it anew.

mod acceptor;
mod connection;
mod failure;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::TlsAccept;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::tls::server::handshake_with_callback;
use pingora::server::ShutdownWatch;
use prometheus::IntGauge;

pub use acceptor::{AcceptorError, ClientCertificates, MinimumTls, ServerCertificate, Settings};
pub use connection::Connection;

use crate::certificate::Verifier;
use crate::clock;
use crate::telemetry::Metrics;
use crate::tls::ssl::{SslAcceptor, SslRef};
use failure::Failure;

/// The application of the public listener, in front of the application `A` that speaks HTTP.
pub struct Door<A> {
    acceptor: SslAcceptor,
    deadline: Duration,
    verifier: Arc<Verifier>,
    proxy: Arc<A>,
    metrics: Metrics,
    open: IntGauge,
}

impl<A: ServerApp + Send + Sync> Door<A> {
    /// A door with `settings`, in front of `proxy`.
    ///
    /// # Errors
    ///
    /// [`AcceptorError`] when the server's certificates cannot be used.
    pub fn new(
        settings: &Settings,
        verifier: Arc<Verifier>,
        proxy: A,
        metrics: Metrics,
    ) -> Result<Self, AcceptorError> {
        Ok(Self {
            acceptor: acceptor::build(settings, &verifier)?,
            deadline: settings.handshake_timeout,
            verifier,
            proxy: Arc::new(proxy),
            open: metrics.connections.with_label_values(&["open"]),
            metrics,
        })
    }

    /// The handshake, or why there is none, with OpenSSL's words.
    async fn handshake(&self, tcp: TcpStream) -> Result<Stream, (Failure, String)> {
        let handshake = handshake_with_callback(&self.acceptor, tcp, self);
        match tokio::time::timeout(self.deadline, handshake).await {
            Ok(Ok(tls)) => Ok(Box::new(tls)),
            Ok(Err(error)) => {
                let words = failure::words(&error);
                Err((Failure::of(&words), words))
            }
            Err(_) => Err((Failure::Deadline, String::new())),
        }
    }
}

#[async_trait]
impl<A: Send + Sync> TlsAccept for Door<A> {
    /// Runs once the peer has proven to hold the key of the certificate that it sent.
    async fn handshake_complete_callback(
        &self,
        ssl: &SslRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        self.metrics
            .handshakes
            .with_label_values(&["ok", ssl.version_str()])
            .inc();
        Some(Arc::new(Connection::of(ssl, &self.verifier, clock::now())))
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync> ServerApp for Door<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let _open = Open::count(&self.open);
        let peer = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().map(ToString::to_string));
        let peer = peer.unwrap_or_default();
        let Ok(tcp) = stream.into_any().downcast::<TcpStream>() else {
            tracing::error!(peer, "the listener gave something else than a TCP stream");
            return None;
        };
        match self.handshake(*tcp).await {
            Ok(tls) => {
                let mut next = Some(tls);
                while let Some(stream) = next {
                    next = self.proxy.process_new(stream, shutdown).await;
                }
            }
            Err((failure, words)) => {
                self.metrics
                    .handshakes
                    .with_label_values(&["failed", ""])
                    .inc();
                self.metrics
                    .handshake_failures
                    .with_label_values(&[failure.reason()])
                    .inc();
                failure.log(&peer, &words);
            }
        }
        None
    }

    async fn cleanup(&self) {
        self.proxy.cleanup().await;
    }
}

/// Counts a connection for as long as it is open.
struct Open(IntGauge);

impl Open {
    fn count(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
