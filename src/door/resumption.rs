//! By what clients resume their sessions, until a period is over or the settings are others.
//!
//! A resumed session goes on with what was proven when it began, and is followed by another one that
//! goes on with the same. So that a certificate is proven anew at least twice a day, however often its
//! session is resumed, nothing of one period is good in the next: there is another key of tickets then,
//! or an empty memory.

use std::sync::Arc;
use std::time::Duration;

use super::acceptor::AcceptorError;
use super::sessions::Kept;
use super::settings::Resumption;
use super::ticket::TicketKey;
use crate::clock::Timestamp;

/// How long a period is.
const LENGTH: Duration = Duration::from_hours(12);

/// A stretch of time, by its number: the same at all gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period(i64);

impl Period {
    pub(super) fn of(now: Timestamp) -> Self {
        let length = i64::try_from(LENGTH.as_secs()).unwrap_or(i64::MAX);
        Self(now.as_unix().div_euclid(length))
    }

    pub(super) const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

/// What there is of one period to resume sessions by.
pub(super) enum Resuming {
    /// The key of tickets.
    Tickets(TicketKey),
    /// The sessions themselves.
    Memory(Arc<Kept>),
}

impl Resuming {
    pub(super) fn new(wanted: &Resumption, now: Timestamp) -> Result<Self, AcceptorError> {
        Ok(match wanted {
            Resumption::Tickets(shared) => Self::Tickets(TicketKey::new(shared.as_ref(), now)?),
            Resumption::Memory(bytes) => Self::Memory(Arc::new(Kept::new(*bytes, Period::of(now)))),
        })
    }

    /// Whether it is what to go on with at `now`.
    pub(super) fn is_for(&self, wanted: &Resumption, now: Timestamp) -> bool {
        match (self, wanted) {
            (Self::Tickets(key), Resumption::Tickets(shared)) => key.is_for(shared.as_ref(), now),
            (Self::Memory(sessions), Resumption::Memory(bytes)) => {
                sessions.are_for(*bytes, Period::of(now))
            }
            _ => false,
        }
    }

    /// Another one took its place: whatever is kept goes.
    pub(super) fn end(&self) {
        if let Self::Memory(sessions) = self {
            sessions.end();
        }
    }
}
