//! HTTP on a connection that passed the door, before the application sees a request of it.
//!
//! Pingora would do this too, but answers what it cannot read by itself: uncounted, unexplained, and
//! after reading more freely than HTTP allows. So the head of each request over HTTP/1 is read here
//! first, and connections over HTTP/2 are driven here, where it is known why they end.

mod chunked;
mod http1;
mod http2;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use prometheus::IntCounterVec;

use crate::framing::{Limits, Unreadable};

/// For how long the rest of a body comes that is not wanted any more, since the answer is out. Whoever
/// is closed on while he sends may never get to read it.
pub const UNWANTED_WITHIN: Duration = Duration::from_secs(3);

/// What a connection may ask of the gateway.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// How large the head of a request may be.
    pub head: Limits,
    /// How many requests one connection may make.
    pub requests: u32,
    /// How many requests may be under way at a time on one connection of HTTP/2.
    pub streams: u32,
    /// How much of the body of one request over HTTP/2 may come before it is asked for, in bytes.
    pub stream_window: u32,
    /// How much of all of them on one connection.
    pub connection_window: u32,
}

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two requests.
    pub idle: Duration,
    /// For the rest of a head over HTTP/1, once it began; where a [`Line`](super::Line) keeps its
    /// own deadlines, those count.
    pub head: Duration,
}

/// Says what is answered to a request over HTTP/1 that cannot be read, and accounts for it.
pub trait Refuse: Send + Sync {
    /// The answer, to the byte. The connection is closed after it.
    fn refuse(&self, why: Unreadable, peer: Option<SocketAddr>) -> Vec<u8>;
}

/// Speaks HTTP in front of the application `A`, which sees only requests that can be read.
pub struct Http<A> {
    app: Arc<A>,
    limits: HttpLimits,
    patience: Patience,
    refuse: Arc<dyn Refuse>,
    http2_closed: IntCounterVec,
}

impl<A> Http<A> {
    /// HTTP within `limits`, in front of `app`, for clients that may try its `patience`. Connections of
    /// HTTP/2 that are closed for what they sent are counted in `http2_closed`, by `reason`.
    pub fn new(
        app: A,
        (limits, patience): (HttpLimits, Patience),
        refuse: Arc<dyn Refuse>,
        http2_closed: IntCounterVec,
    ) -> Self {
        for closed in http2::Closed::ALL {
            http2_closed.with_label_values(&[closed.as_str()]);
        }
        Self {
            app: Arc::new(app),
            limits,
            patience,
            refuse,
            http2_closed,
        }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Http<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            self.http2(stream, shutdown).await;
        } else {
            self.http1(stream, shutdown).await;
        }
        None
    }

    async fn cleanup(&self) {
        self.app.http_cleanup().await;
    }
}

/// What could not be read of a body in chunks, when that is why `error` came.
#[must_use]
pub fn unreadable(error: &pingora::Error) -> Option<Unreadable> {
    let cause = error.root_cause().downcast_ref::<std::io::Error>()?;
    cause.get_ref()?.downcast_ref().copied()
}

/// The address that the connection came from.
fn peer(stream: &Stream) -> Option<SocketAddr> {
    stream.get_socket_digest()?.peer_addr()?.as_inet().copied()
}
