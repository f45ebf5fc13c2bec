//! An open connection: how long a client may take, and how the connection is ended before the
//! client ends it.
//!
//! The door puts a [`Wire`] between the TLS stream and Pingora, and whoever knows of a connection
//! holds its [`Line`]. The line is told how far the requests are; the wire sees the bytes go by,
//! and keeps the deadlines while, and only while, the client is waited for.

mod age;
mod closing;
mod frames;
mod lines;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use pingora::server::ShutdownWatch;

pub(super) use age::while_young;
pub use closing::Closing;
pub use lines::Lines;
pub(super) use wire::Wire;

use super::telling::Telling;
use crate::telemetry::Metrics;

/// How long a client may take, and for how long a connection is kept.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// For the head of a request, from its first byte.
    pub head_timeout: Duration,
    /// For reading anything at all of what is sent to it.
    pub write_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// How old a connection gets before it takes no more requests.
    pub max_age: Duration,
    /// The bytes of a request's body that come in a second at least, on average.
    pub body_minimum_rate: u32,
}

/// An open connection, for whoever watches over it.
pub struct Line {
    /// Even while the head of a request is waited for, odd while a request is served. Only of
    /// HTTP/1.1, where one follows the other.
    turn: AtomicU32,
    /// From the answer 101 on, WebSocket is spoken.
    upgraded: AtomicBool,
    /// It is old, and has a while for the request whose answer says so.
    is_asked_to_go: AtomicBool,
    /// No more requests are taken.
    over: AtomicBool,
    /// How many requests are served now.
    serving: AtomicU32,
    closing: OnceLock<Closing>,
    peer: OnceLock<SocketAddr>,
    reader: AtomicWaker,
    writer: AtomicWaker,
    metrics: Metrics,
    telling: Arc<Telling>,
}

impl Line {
    pub(super) fn new(metrics: Metrics, telling: Arc<Telling>) -> Self {
        Self {
            turn: AtomicU32::new(0),
            upgraded: AtomicBool::new(false),
            is_asked_to_go: AtomicBool::new(false),
            over: AtomicBool::new(false),
            serving: AtomicU32::new(0),
            closing: OnceLock::new(),
            peer: OnceLock::new(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            metrics,
            telling,
        }
    }

    /// Says who is at the other end.
    pub(super) fn is_from(&self, peer: Option<SocketAddr>) {
        if let Some(peer) = peer {
            let _ = self.peer.set(peer);
        }
    }

    /// Ends the connection now, unless that was done before. A WebSocket gets a close frame with the
    /// reason; whatever else is under way is cut off, so that nobody takes it for whole.
    pub fn close(&self, closing: Closing) {
        if self.closing.set(closing).is_err() {
            return;
        }
        closing.count(&self.metrics);
        if let Some(untold) = self.telling.tell(closing.as_str()) {
            tracing::info!(
                peer = self.peer.get().map(tracing::field::display),
                reason = closing.as_str(),
                meaning = closing.meaning(),
                untold = Some(untold).filter(|untold| *untold > 0),
                "connection closed"
            );
        }
        self.reader.wake();
        self.writer.wake();
    }

    /// Why it is being closed by us, if it is.
    #[must_use]
    pub fn closing(&self) -> Option<Closing> {
        self.closing.get().copied()
    }

    /// The next request of HTTP/1.1 is waited for.
    pub(super) fn await_head(&self) {
        if self.turn.load(Ordering::Relaxed) & 1 == 1 {
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The head of a request of HTTP/1.1 was read.
    pub(super) fn has_head(&self) {
        if self.turn.load(Ordering::Relaxed) & 1 == 0 {
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The answer that goes out next is 101.
    pub fn upgrade(&self) {
        self.upgraded.store(true, Ordering::Release);
    }

    /// Waits until it is to be closed if there is no request on it, for whoever saw the signal
    /// `wind_up`.
    pub(super) async fn is_left(&self, wind_up: &mut ShutdownWatch) {
        loop {
            let is_told = *wind_up.borrow_and_update();
            let is_left = is_told && !self.is_asked_to_go.load(Ordering::Relaxed);
            if is_left || wind_up.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether it takes no more requests.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A request is served until the guard is dropped.
    #[must_use]
    pub fn serve(self: &Arc<Self>) -> Serving {
        self.serving.fetch_add(1, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }
}

/// A request that is served on a connection.
#[derive(Debug)]
pub struct Serving(Arc<Line>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("peer", &self.peer.get())
            .field("closing", &self.closing.get())
            .finish_non_exhaustive()
    }
}
