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
mod hello;
mod journal;
mod notes;
mod opening;
mod proxy_header;

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::TlsAccept;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::tls::server::handshake_with_callback;
use pingora::protocols::{GetSocketDigest as _, Stream};
use pingora::server::ShutdownWatch;
use prometheus::IntGauge;

pub use acceptor::{AcceptorError, ClientCertificates, MinimumTls, ServerCertificate, Settings};
pub use connection::{Connection, Through, Tls};
pub use failure::Failure;
pub use journal::{Entry, Journal, Origin, Share};
pub use notes::Offer;

use crate::certificate::Verifier;
use crate::clock;
use crate::front::Fronts;
use crate::policy::{Asking, Network};
use crate::telemetry::Metrics;
use crate::tls::ssl::{SslAcceptor, SslRef};
use notes::Notes;
use opening::Opening;

/// The application of the public listener, in front of the application `A` that speaks HTTP.
pub struct Door<A> {
    /// Asks clients for their certificates.
    acceptor: SslAcceptor,
    /// Does not.
    silent: SslAcceptor,
    asking: Arc<Asking>,
    deadline: Duration,
    balancers: Option<Vec<Network>>,
    fronts: Arc<Fronts>,
    verifier: Arc<Verifier>,
    proxy: Arc<A>,
    metrics: Metrics,
    journal: Arc<Journal>,
    open: IntGauge,
}

/// A handshake that did not complete.
struct Failed {
    failure: Failure,
    /// OpenSSL's own, if it was asked.
    words: String,
    /// The connection, when it can still be answered on.
    tcp: Option<Box<TcpStream>>,
}

impl<A: ServerApp + Send + Sync> Door<A> {
    /// A door with `settings`, in front of `proxy`. Whom it asks for a certificate, `asking` says at
    /// each handshake. What fails is noted in `journal`.
    ///
    /// # Errors
    ///
    /// [`AcceptorError`] when the server's certificates cannot be used.
    pub fn new(
        settings: &Settings,
        verifier: Arc<Verifier>,
        asking: Arc<Asking>,
        proxy: A,
        metrics: Metrics,
        journal: Arc<Journal>,
    ) -> Result<Self, AcceptorError> {
        for failure in Failure::ALL {
            metrics
                .handshake_failures
                .with_label_values(&[failure.as_str()]);
        }
        Ok(Self {
            acceptor: acceptor::build(settings, ClientCertificates::Optional, &verifier)?,
            silent: acceptor::build(settings, ClientCertificates::Off, &verifier)?,
            asking,
            deadline: settings.handshake_timeout,
            balancers: settings.balancers.clone(),
            fronts: Arc::clone(&settings.fronts),
            verifier,
            proxy: Arc::new(proxy),
            open: metrics.connections.with_label_values(&["open"]),
            metrics,
            journal,
        })
    }

    /// The handshake within its deadline.
    async fn handshake(&self, tcp: TcpStream, notes: &Arc<Notes>) -> Result<Stream, Failed> {
        let handshake = notes.during(self.shake_hands(tcp, notes));
        let done = tokio::time::timeout(self.deadline, handshake).await;
        done.unwrap_or_else(|_| Err(Failure::TimeoutBeforeHello.into()))
    }

    async fn shake_hands(&self, mut tcp: TcpStream, notes: &Notes) -> Result<Stream, Failed> {
        if let Some(balancers) = &self.balancers {
            proxy_header::take(&mut tcp, balancers, notes).await?;
        }
        let name = match opening::look(&mut tcp).await {
            Ok(Opening::Tls { server_name }) => server_name,
            Ok(Opening::Failed(Failure::ProxyHeader)) if self.balancers.is_some() => {
                return Err(Failure::ProxyHeaderMalformed.into());
            }
            Ok(Opening::Failed(failure)) => {
                return Err(Failed {
                    failure,
                    words: String::new(),
                    tcp: Some(Box::new(tcp)),
                });
            }
            Err(_) => return Err(Failure::ClosedBeforeHello.into()),
        };
        let digest = tcp.get_socket_digest();
        let peer = digest.and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let is_front = self.fronts.asks([notes.balancer(), peer]);
        let acceptor = if is_front || self.asking.asks(name.as_deref()) {
            &self.acceptor
        } else {
            &self.silent
        };
        match handshake_with_callback(acceptor, tcp, self).await {
            Ok(tls) => Ok(Box::new(tls)),
            Err(error) => {
                let words = failure::words(&error);
                Err(Failed {
                    failure: Failure::of(&words),
                    words,
                    tcp: None,
                })
            }
        }
    }

    /// Counts a failure, notes it and tells it: of `peer`, or of whom a balancer there named.
    fn failed(&self, peer: Option<SocketAddr>, failed: &Failed, notes: &Notes) {
        let peer = notes.caller().or(peer);
        let failure = if notes.heard_hello() {
            failed.failure.after_hello()
        } else {
            failed.failure
        };
        let metrics = &self.metrics;
        metrics.handshakes.with_label_values(&["failed", ""]).inc();
        metrics
            .handshake_failures
            .with_label_values(&[failure.as_str()])
            .inc();
        let (words, offer) = (failed.words.as_str(), notes.offer());
        tracing::info!(
            peer = peer.map(tracing::field::display),
            reason = failure.as_str(),
            meaning = failure.meaning(),
            remedy = failure.remedy(),
            openssl = Some(words).filter(|words| !words.is_empty()),
            server_name = offer.server_name,
            "TLS handshake failed"
        );
        if let Some(peer) = peer {
            let now = clock::now();
            self.journal.note(peer.ip(), failure, words, offer, now);
        }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            words: String::new(),
            tcp: None,
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
            .and_then(|digest| digest.peer_addr()?.as_inet().copied());
        let Ok(tcp) = stream.into_any().downcast::<TcpStream>() else {
            tracing::error!(?peer, "the listener gave something else than a TCP stream");
            return None;
        };
        let notes = Arc::new(Notes::default());
        match self.handshake(*tcp, &notes).await {
            Ok(tls) => {
                let mut next = Some(tls);
                while let Some(stream) = next {
                    next = self.proxy.process_new(stream, shutdown).await;
                }
            }
            Err(failed) => {
                self.failed(peer, &failed, &notes);
                if let (Failure::PlainHttp, Some(tcp)) = (failed.failure, failed.tcp) {
                    opening::tell_to_use_https(*tcp).await;
                }
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
