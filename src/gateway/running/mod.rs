//! Exchanges that are under way, so that they can be ended before their client ends them.
//!
//! A request is decided on when it comes; a WebSocket or a download goes on for hours. Whatever
//! lasts longer than a second is decided on again and again by the [`Overseer`].

mod notes;
mod overseer;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use atomic_waker::AtomicWaker;
use http::Method;
use pingora::protocols::tls::SslDigest;

pub(super) use notes::{is_grpc, note_answer};
pub use overseer::Overseer;

use super::Exchange;
use crate::clock::{self, Timestamp};
use crate::door::{Closing, Connection};
use crate::front::{Believed, Fronts};
use crate::head::Kept;

/// Among how many lists those that began lately are spread, so that nobody waits for anybody; a
/// power of two.
const SHARDS: usize = 32;

tokio::task_local! {
    /// The exchange that the task serves.
    static CURRENT: Arc<Running>;
}

/// An exchange, as whoever watches over it sees it.
pub(super) struct Running {
    /// What its connection proved, and the connection itself.
    pub(super) connection: Option<Arc<SslDigest>>,
    /// The method, of HTTP/2: many are on one connection, and end one by one.
    pub(super) http2: Option<Method>,
    is_noted: AtomicBool,
    /// What was asked for and by what right, when that can change.
    asked: OnceLock<Kept>,
    /// The connection as the client of a front has it, behind one, and which that is.
    behind_front: OnceLock<(Connection, Option<Believed>)>,
    /// Since when its client has to send a body.
    body_from: OnceLock<Instant>,
    /// Nothing is waited for from the client any more, or it may take its time.
    has_body: AtomicBool,
    /// Something goes on between client and backend; else the answer is still waited for.
    flows: AtomicBool,
    received: AtomicU64,
    /// When its connection was told to close.
    closing: OnceLock<Instant>,
    cut: OnceLock<Closing>,
    waker: AtomicWaker,
    /// What was known of it when it was cut.
    left: Mutex<Option<Box<Exchange>>>,
}

impl Running {
    pub(super) const fn new(connection: Option<Arc<SslDigest>>, http2: Option<Method>) -> Self {
        Self {
            connection,
            http2,
            is_noted: AtomicBool::new(false),
            asked: OnceLock::new(),
            behind_front: OnceLock::new(),
            body_from: OnceLock::new(),
            has_body: AtomicBool::new(false),
            flows: AtomicBool::new(false),
            received: AtomicU64::new(0),
            closing: OnceLock::new(),
            cut: OnceLock::new(),
            waker: AtomicWaker::new(),
            left: Mutex::new(None),
        }
    }

    /// Runs `serve` until it is done, or until it is cut; then nothing of it is left.
    pub(super) async fn run<T>(self: &Arc<Self>, serve: impl Future<Output = T>) -> Option<T> {
        let mut serve = std::pin::pin!(CURRENT.scope(Arc::clone(self), serve));
        std::future::poll_fn(|cx| match serve.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_cut(cx).map(|()| None),
        })
        .await
    }

    fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
        if self.cut.get().is_none() {
            self.waker.register(cx.waker());
        }
        match self.cut.get() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }

    /// The exchange that this task serves.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// What was admitted once is asked for again while it lasts, by the client of a front as such.
    pub(super) fn ask_again(
        &self,
        head: Kept,
        behind_front: Option<(Connection, Option<Believed>)>,
    ) {
        if let Some(behind_front) = behind_front {
            let _ = self.behind_front.set(behind_front);
        }
        let _ = self.asked.set(head);
    }

    /// The connection as whoever asked has it: without the certificate that a front forwarded, once
    /// that front is not believed any more.
    pub(super) fn clients(&self, fronts: &Fronts, now: Timestamp) -> Option<Cow<'_, Connection>> {
        let connection = self.connection()?;
        let Some((clients, front)) = self.behind_front.get() else {
            return Some(Cow::Borrowed(connection));
        };
        let is_still = |front| fronts.still_believe(front, connection.sent(), now);
        Some(if front.as_ref().is_none_or(is_still) {
            Cow::Borrowed(clients)
        } else {
            Cow::Owned(clients.without_certificate())
        })
    }

    /// The client has to send a body, from now on.
    pub(super) fn await_body(&self, now: Instant) {
        let _ = self.body_from.set(now);
    }

    /// So much of the body came; whether that was all. Whoever did not wait for leave to send it has
    /// to send it from now on.
    pub(super) fn receive(&self, bytes: usize, is_all: bool) {
        if bytes > 0 && self.body_from.get().is_none() {
            self.await_body(clock::monotonic());
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.received.fetch_add(bytes, Ordering::Relaxed);
        if is_all {
            self.has_body.store(true, Ordering::Relaxed);
        }
    }

    /// The backend answers; whatever it still wants to read is between the two.
    pub(super) fn begin_to_flow(&self) {
        self.has_body.store(true, Ordering::Relaxed);
        self.flows.store(true, Ordering::Relaxed);
    }

    /// How much of the body came.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Keeps what is known of an exchange that is dropped, for its account.
    pub(super) fn leave(&self, exchange: Exchange) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = Some(Box::new(exchange));
    }

    /// Why it was cut, and what was known of it.
    pub(super) fn cut(&self) -> Option<(Closing, Box<Exchange>)> {
        let closing = self.cut.get().copied()?;
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        Some((closing, left.take()?))
    }

    pub(super) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()?.extension.get::<Connection>()
    }
}

/// The exchanges that began lately and have to be looked after.
pub(super) struct Begun([Mutex<Vec<Begin>>; SHARDS]);

/// When an exchange began.
type Begin = (Instant, Weak<Running>);

impl Begun {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Has the exchange looked after from now on, for as long as it lasts.
    pub(super) fn note(&self, began: Instant, running: &Arc<Running>) {
        if running.is_noted.swap(true, Ordering::Relaxed) {
            return;
        }
        // Above the bits that are the same for all, by their alignment and size.
        let shard = (Arc::as_ptr(running).addr() >> 8) & SHARDS.wrapping_sub(1);
        if let Some(shard) = self.0.get(shard) {
            let mut list = shard.lock().unwrap_or_else(PoisonError::into_inner);
            list.push((began, Arc::downgrade(running)));
        }
    }

    /// Takes those that are not over yet.
    fn take_into(&self, all: &mut Vec<Begin>) {
        for shard in &self.0 {
            let begun = {
                let mut begun = shard.lock().unwrap_or_else(PoisonError::into_inner);
                let room = Vec::with_capacity(begun.len().min(1_024));
                std::mem::replace(&mut *begun, room)
            };
            let running = begun.into_iter();
            all.extend(running.filter(|(_, running)| running.strong_count() > 0));
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("cut", &self.cut.get())
            .finish_non_exhaustive()
    }
}
