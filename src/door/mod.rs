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
mod gate;
pub mod hello;
mod http;
mod journal;
mod line;
mod notes;
mod opening;
mod pool;
pub mod proxy_header;
mod resumption;
mod sessions;
mod settings;
mod telling;
mod terms;
mod ticket;

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::TlsAccept;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::tls::server::handshake_with_callback;
use pingora::protocols::{GetSocketDigest as _, Stream};
use pingora::server::ShutdownWatch;

pub use acceptor::AcceptorError;
pub use connection::{Connection, Through, Tls};
pub use failure::Failure;
pub use gate::Bounds;
pub use http::{Http, HttpLimits, Patience, Refuse, UNWANTED_WITHIN, unreadable};
pub use journal::{Entry, Journal, Origin, Share};
pub use line::{Closing, Lifetimes, Line, Lines, Serving};
pub use notes::Offer;
pub use settings::{MinimumTls, Resumption, ServerCertificate, Sessions, Settings};
pub use terms::{Prepared, Terms};

use crate::certificate::Verifier;
use crate::clock;
use crate::policy::{Asking, ClientCertificates};
use crate::telemetry::Metrics;
use crate::tls::ssl::SslRef;
use gate::{Arrival, Gate, Guest, Open, Rejected};
use line::Wire;
use notes::Notes;
use opening::Opening;
use pool::Pool;
use telling::Telling;

/// The application of the public listener, in front of the application `A` that speaks HTTP.
pub struct Door<A> {
    terms: Arc<Terms>,
    asking: Arc<ArcSwap<Asking>>,
    verifier: Arc<Verifier>,
    proxy: Arc<A>,
    metrics: Metrics,
    journal: Arc<Journal>,
    gate: Arc<Gate>,
    pool: Pool,
    lifetimes: Lifetimes,
    lines: Arc<Lines>,
    telling: Arc<Telling>,
}

/// What a handshake that completed gave.
struct Shaken {
    stream: Stream,
    line: Arc<Line>,
}

/// How a connection ends that does not get past the door.
enum Ended {
    Failed(Failed),
    /// By the gate, which has counted it.
    Rejected,
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
    /// A door that shakes hands by `terms`, in front of `proxy`. Where nobody is left to be asked for
    /// a certificate, `asking` says at each handshake. What fails is noted in `journal`.
    #[must_use]
    pub fn new(
        terms: Arc<Terms>,
        (bounds, lifetimes): (&Bounds, Lifetimes),
        verifier: Arc<Verifier>,
        asking: Arc<ArcSwap<Asking>>,
        proxy: A,
        metrics: Metrics,
        journal: Arc<Journal>,
    ) -> Self {
        for failure in Failure::ALL {
            metrics
                .handshake_failures
                .with_label_values(&[failure.as_str()]);
        }
        for closing in Closing::ALL {
            let closed = &metrics.connections_closed;
            closed.with_label_values(&[closing.as_str()]);
        }
        Self {
            terms,
            asking,
            verifier,
            proxy: Arc::new(proxy),
            gate: Gate::new(bounds, &metrics),
            pool: Pool::default(),
            metrics,
            journal,
            lifetimes,
            lines: Arc::default(),
            telling: Arc::new(Telling::new()),
        }
    }

    /// The connections that are open.
    #[must_use]
    pub const fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// The handshake within its deadline, on threads of its own, for as long as there is room.
    async fn handshake(
        self: &Arc<Self>,
        tcp: TcpStream,
        terms: Arc<Prepared>,
        mut arrival: Arrival,
        peer: Option<IpAddr>,
        notes: &Arc<Notes>,
    ) -> Result<(Shaken, Open), Ended>
    where
        A: 'static,
    {
        let (door, notes) = (Arc::clone(self), Arc::clone(notes));
        let handshake = async move {
            let caller = || notes.caller().map_or(peer, |caller| Some(caller.ip()));
            let displaced = arrival.displaced();
            let shaking = notes.during(door.shake_hands(tcp, &terms, &notes, &arrival.guest));
            let done = tokio::select! {
                done = tokio::time::timeout(terms.deadline(), shaking) => done,
                () = displaced => return Err(arrival.make_room(caller()).into()),
            };
            let shaken = done.unwrap_or_else(|_| Err(Failure::TimeoutBeforeHello.into()))?;
            let open = arrival.open(caller())?;
            Ok((shaken, open))
        };
        let done = self.pool.spawn(handshake).await;
        done.unwrap_or_else(|_| Err(Failure::Other.into()))
    }

    async fn shake_hands(
        &self,
        mut tcp: TcpStream,
        terms: &Prepared,
        notes: &Notes,
        guest: &Guest,
    ) -> Result<Shaken, Ended> {
        let balancers = terms.balancers();
        if let Some(balancers) = balancers {
            proxy_header::take(&mut tcp, balancers, notes).await?;
            let caller = notes.caller();
            if let Some(caller) = caller.filter(|caller| !terms.fronts().are_at(caller.ip())) {
                guest.counts_for(&self.gate, caller.ip())?;
            }
        }
        let name = match opening::look(&mut tcp).await {
            Ok(Opening::Tls { server_name }) => server_name,
            Ok(Opening::Failed(Failure::ProxyHeader)) if balancers.is_some() => {
                return Err(Failure::ProxyHeaderMalformed.into());
            }
            Ok(Opening::Failed(failure)) => {
                return Err(Ended::Failed(Failed {
                    failure,
                    words: String::new(),
                    tcp: Some(Box::new(tcp)),
                }));
            }
            Err(_) => return Err(Failure::ClosedBeforeHello.into()),
        };
        self.gate.begin(notes.caller().map(|caller| caller.ip()))?;
        let digest = tcp.get_socket_digest();
        let peer = digest.and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let is_front = terms.fronts().asks([notes.balancer(), peer]);
        let name = name.as_deref();
        notes.note_server_name(name);
        let passing = Passing {
            policy: terms.names().policy(name),
            door: self,
        };
        let policy = if is_front {
            // Whatever the name: its certificate is no client's, and is looked at by each request.
            ClientCertificates::Explain
        } else if self.asking.load().asks(name) {
            passing.policy
        } else {
            ClientCertificates::NeverAsk
        };
        let acceptor = terms.acceptor(name, policy).ok_or(Failure::Other)?;
        match handshake_with_callback(acceptor, tcp, &passing).await {
            Ok(tls) => {
                let line = connection::line(tls.ssl_digest().as_deref());
                let line = line.unwrap_or_else(|| self.line());
                let stream = Wire::new(tls, Arc::clone(&line), &self.lifetimes);
                Ok(Shaken {
                    stream: Box::new(stream),
                    line,
                })
            }
            Err(error) => {
                let words = failure::words(&error);
                let refused = notes.refused();
                let (failure, words) = refused.unwrap_or_else(|| (Failure::of(&words), words));
                Err(Ended::Failed(Failed {
                    failure,
                    words,
                    tcp: None,
                }))
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
        if let Some(untold) = self.telling.tell(failure.as_str()) {
            let (openssl, certificate) = match failure {
                Failure::CertificateRejected => ("", words),
                _ => (words, ""),
            };
            tracing::info!(
                peer = peer.map(tracing::field::display),
                reason = failure.as_str(),
                meaning = failure.meaning(),
                remedy = failure.remedy(),
                openssl = Some(openssl).filter(|words| !words.is_empty()),
                certificate = Some(certificate).filter(|words| !words.is_empty()),
                server_name = offer.server_name,
                untold = Some(untold).filter(|untold| *untold > 0),
                "TLS handshake failed"
            );
        }
        if let Some(peer) = peer {
            let now = clock::now();
            self.journal.note(peer.ip(), failure, words, offer, now);
        }
    }
}

impl From<Rejected> for Ended {
    fn from(_: Rejected) -> Self {
        Self::Rejected
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(Failed {
            failure,
            words: String::new(),
            tcp: None,
        })
    }
}

impl<A> Door<A> {
    /// What comes of a handshake that is done, under this policy for the client's certificate.
    pub fn passed(&self, ssl: &SslRef, policy: ClientCertificates) -> Connection {
        let version = ssl.version_str();
        let done = &self.metrics.handshakes;
        done.with_label_values(&["ok", version]).inc();
        Connection::of(ssl, policy, &self.verifier, self.line(), clock::now())
    }

    fn line(&self) -> Arc<Line> {
        Arc::new(Line::new(self.metrics.clone(), Arc::clone(&self.telling)))
    }
}

/// A handshake under way.
struct Passing<'a, A> {
    /// What the configuration says for the name that the client asks for.
    policy: ClientCertificates,
    door: &'a Door<A>,
}

#[async_trait]
impl<A: Send + Sync> TlsAccept for Passing<'_, A> {
    /// Runs once the peer has proven to hold the key of the certificate that it sent.
    async fn handshake_complete_callback(
        &self,
        ssl: &SslRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(self.door.passed(ssl, self.policy)))
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Door<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let peer = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr()?.as_inet().copied());
        let Ok(tcp) = stream.into_any().downcast::<TcpStream>() else {
            tracing::error!(?peer, "the listener gave something else than a TCP stream");
            return None;
        };
        let address = peer.map(|peer| peer.ip());
        // A balancer stands for many; whom it is about, its header tells.
        let terms = self.terms.current();
        let counted = address.filter(|_| terms.balancers().is_none());
        // And a front for all its clients.
        let counted = counted.filter(|address| !terms.fronts().are_at(*address));
        let Ok(arrival) = self.gate.arrive(counted) else {
            return None;
        };
        let notes = Arc::new(Notes::default());
        match self.handshake(*tcp, terms, arrival, address, &notes).await {
            Ok((Shaken { stream, line }, _open)) => {
                line.is_from(notes.caller().or(peer));
                let _listed = self.lines.list(&line);
                let age = clock::jittered(self.lifetimes.max_age);
                line::while_young(&line, age, shutdown, |wind_up| async move {
                    let mut next = Some(stream);
                    while let Some(stream) = next {
                        next = self.proxy.process_new(stream, &wind_up).await;
                    }
                })
                .await;
            }
            Err(Ended::Rejected) => {}
            Err(Ended::Failed(failed)) => {
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
