//! HTTP/2: the connection is driven here, so that it is bounded and known why it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, handshake};
use pingora::protocols::{Digest, Stream};
use pingora::server::ShutdownWatch;
use tokio::task::JoinSet;

use super::{Http, HttpLimits, peer};

/// How many requests of one connection may break the rules before it is closed; a good one in between
/// forgives nothing.
const MALFORMED: u32 = 32;
/// How many streams that the client has reset may still cost something here (CVE-2023-44487).
const RESET: usize = 20;
/// How many streams this side may have to reset for a client's errors.
const RESET_FOR_ERRORS: usize = 64;
/// How many bytes of an answer wait for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;
/// The headers of a request, decoded, may be so many times as large as a head over HTTP/1 before not
/// even the gateway looks at them; it refuses all that are larger than that itself.
const LARGER: usize = 2;

/// How long a client that was told to go, and has nothing under way, may take to do so.
const PARTING: Duration = Duration::from_secs(10);

/// Why this side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Frames that cost much and ask for nothing.
    Flood,
    /// A rule of RFC 9113 that concerns the whole connection was broken.
    Protocol,
    /// Too many requests broke a rule.
    Malformed,
    /// It made as many requests as one may.
    Requests,
}

impl Closed {
    pub(super) const ALL: [Self; 4] =
        [Self::Flood, Self::Protocol, Self::Malformed, Self::Requests];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Protocol => "protocol",
            Self::Malformed => "malformed",
            Self::Requests => "requests",
        }
    }

    /// What `error` tells, unless it is the network's or the client's own doing.
    fn by(error: &pingora::Error) -> Option<Self> {
        let error: &h2::Error = error.root_cause().downcast_ref()?;
        match error.reason() {
            _ if !error.is_library() => None,
            Some(Reason::NO_ERROR) | None => None,
            Some(Reason::ENHANCE_YOUR_CALM) => Some(Self::Flood),
            Some(_) => Some(Self::Protocol),
        }
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Http<A> {
    /// Serves requests, as many at a time as may be, until the connection ends.
    pub(super) async fn http2(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let peer = peer(&stream);
        let digest = Arc::new(Digest {
            ssl_digest: stream.get_ssl_digest(),
            timing_digest: stream.get_timing_digest(),
            proxy_digest: stream.get_proxy_digest(),
            socket_digest: stream.get_socket_digest(),
        });
        // The wire beneath keeps its deadline.
        let mut link = match handshake(stream, Some(options(self.limits))).await {
            Ok(link) => link,
            Err(error) => return self.closed(Closed::by(&error), peer),
        };
        let (mut stopping, mut course) = (shutdown.clone(), Course::new(self.limits));
        let mut under_way = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stops| *stops), if !course.draining => {
                    course.drain(&mut link);
                    continue;
                }
                accepted = HttpSession::from_h2_conn(&mut link, Arc::clone(&digest)) => accepted,
                Some(_) = under_way.join_next() => continue,
                () = tokio::time::sleep(course.patience(self.patience.idle)), if under_way.is_empty() => {
                    if course.draining {
                        break;
                    }
                    // It hears of it first: what it sends at this moment would be lost.
                    course.drain(&mut link);
                    continue;
                }
            };
            match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    let (app, shutdown) = (Arc::clone(&self.app), shutdown.clone());
                    let session = ServerSession::new_http2(session);
                    under_way.spawn(async move {
                        app.process_new_http(session, &shutdown).await;
                    });
                    course.request(&mut link);
                }
                Ok(Some(H2Accept::Rejected)) => course.malformed(&mut link),
                Ok(None) => break,
                Err(error) => {
                    course.closed = course.closed.or_else(|| Closed::by(&error));
                    break;
                }
            }
        }
        // They find out by themselves that nobody listens, and are accounted for.
        under_way.detach_all();
        self.closed(course.closed, peer);
    }

    /// Counts why a connection was ended by us, and tells it where the client is to blame.
    fn closed(&self, why: Option<Closed>, peer: Option<SocketAddr>) {
        let Some(why) = why else { return };
        let reason = why.as_str();
        self.http2_closed.with_label_values(&[reason]).inc();
        if why != Closed::Requests {
            let peer = peer.map(tracing::field::display);
            tracing::info!(peer, reason, "closed an HTTP/2 connection for what it sent");
        }
    }
}

/// What a connection has asked for so far.
struct Course {
    limits: HttpLimits,
    requests: u32,
    malformed: u32,
    draining: bool,
    closed: Option<Closed>,
}

type Link = h2::server::Connection<Stream, Bytes>;

impl Course {
    const fn new(limits: HttpLimits) -> Self {
        Self {
            limits,
            requests: 0,
            malformed: 0,
            draining: false,
            closed: None,
        }
    }

    /// For how long nothing may be under way.
    fn patience(&self, idle: Duration) -> Duration {
        if self.draining {
            idle.min(PARTING)
        } else {
            idle
        }
    }

    /// Takes no request more, but what the client sends before it hears of that.
    fn drain(&mut self, link: &mut Link) {
        link.graceful_shutdown();
        self.draining = true;
    }

    fn request(&mut self, link: &mut Link) {
        self.requests = self.requests.saturating_add(1);
        let HttpLimits {
            requests, streams, ..
        } = self.limits;
        if self.requests == requests && !self.draining {
            self.closed = Some(Closed::Requests);
            self.drain(link);
        }
        // It was told, and should have heard.
        if self.requests == requests.saturating_add(streams.saturating_mul(2)) {
            self.cut(link, Closed::Flood);
        }
    }

    fn malformed(&mut self, link: &mut Link) {
        self.malformed = self.malformed.saturating_add(1);
        if self.malformed == MALFORMED {
            self.cut(link, Closed::Malformed);
        }
    }

    fn cut(&mut self, link: &mut Link, why: Closed) {
        self.closed = Some(why);
        link.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }
}

fn options(limits: HttpLimits) -> H2Options {
    let headers = limits.head.bytes.saturating_mul(LARGER);
    let mut options = H2Options::default();
    options
        .max_header_list_size(u32::try_from(headers).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .initial_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_concurrent_reset_streams(RESET)
        .max_pending_accept_reset_streams(RESET)
        .max_local_error_reset_streams(Some(RESET_FOR_ERRORS))
        .max_send_buffer_size(SEND_BUFFER);
    options
}
