//! Decides again on whatever lasts, by the very rules by which it was admitted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::{Code, Gateway};
use super::{Begin, Running};
use crate::clock;
use crate::door::{Closing, Lifetimes};
use crate::identity::Freshness;

/// How often everything that lasts is decided on again, and from which age on.
const EVERY: Duration = Duration::from_secs(1);
/// After a change it is done at once, but no more often than this.
const PAUSE: Duration = Duration::from_millis(100);
/// After how many others are let on.
const AT_ONCE: usize = 256;
/// A request that still waits for its answer is not cut off before it is as old as this: most are
/// answered by then, and nothing flows meanwhile.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// A connection that was told to close and did not is not waited for any longer.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// Looks after the exchanges of a gateway.
pub struct Overseer {
    gateway: Arc<Gateway>,
    lifetimes: Lifetimes,
}

impl Overseer {
    /// Looks after the exchanges of `gateway`.
    #[must_use]
    pub const fn new(gateway: Arc<Gateway>, lifetimes: Lifetimes) -> Self {
        Self { gateway, lifetimes }
    }

    /// Goes on for ever.
    pub async fn oversee(&self) {
        let mut changes = self.gateway.parts.directory.watch();
        let mut lasting = Vec::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                Ok(()) = changes.changed() => tokio::time::sleep(PAUSE).await,
            }
            self.gateway.begun.take_into(&mut lasting);
            lasting.retain(|(_, running)| running.strong_count() > 0);
            self.look_after(&lasting).await;
        }
    }

    async fn look_after(&self, lasting: &[Begin]) {
        for some in lasting.chunks(AT_ONCE) {
            let now = clock::monotonic();
            for (began, running) in some {
                let age = now.saturating_duration_since(*began);
                if age >= EVERY
                    && let Some(running) = running.upgrade()
                    && let Some(closing) = self.look_at(&running, age, now)
                {
                    self.end(&running, closing, now);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn look_at(&self, running: &Running, age: Duration, now: Instant) -> Option<Closing> {
        if self.is_slow(running, now) {
            return Some(Closing::SlowBody);
        }
        if age < ANSWERED_WITHIN && !running.flows.load(Ordering::Relaxed) {
            return None;
        }
        let code = self.refused(running)?;
        Some(Closing::Refused(code.as_str()))
    }

    /// Whether its client takes too long for the body. With what it sends it buys more time.
    fn is_slow(&self, running: &Running, now: Instant) -> bool {
        let rate = u64::from(self.lifetimes.body_minimum_rate);
        let (Some(from), Some(bought)) = (
            running.body_from.get(),
            running.received().checked_div(rate),
        ) else {
            return false;
        };
        let until = self
            .lifetimes
            .head_timeout
            .saturating_add(Duration::from_secs(bought));
        !running.has_body.load(Ordering::Relaxed) && now.saturating_duration_since(*from) > until
    }

    /// Why it would be refused now. That the store cannot be asked is no reason: nobody becomes
    /// worse by that.
    fn refused(&self, running: &Running) -> Option<Code> {
        let head = running.asked.get()?.head();
        let directory = &self.gateway.parts.directory;
        let freshness = if directory.is_reachable() {
            Freshness::Confirmed
        } else {
            Freshness::Following
        };
        let live = self.gateway.parts.live.load();
        let now = clock::now();
        let clients = running.clients(&live.fronts, now)?;
        let admitted = self.gateway.admit(&head, &clients, &live, freshness, now);
        let code = admitted.err()?.code();
        (code != Code::StoreUnavailable).then_some(code)
    }

    fn end(&self, running: &Running, closing: Closing, now: Instant) {
        let told = running.closing.get_or_init(|| {
            if running.http2.is_none()
                && let Some(connection) = running.connection()
            {
                connection.line().close(closing);
            }
            now
        });
        let waited = now.saturating_duration_since(*told);
        if (running.http2.is_some() || waited >= CLOSED_WITHIN) && running.cut.set(closing).is_ok()
        {
            if running.http2.is_some() {
                closing.count(&self.gateway.parts.metrics);
            }
            running.waker.wake();
        }
    }
}
