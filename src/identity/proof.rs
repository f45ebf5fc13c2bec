//! By what an identity was proven.

use crate::certificate::CaIndex;
use crate::client::Seen;
use crate::clock::Timestamp;

/// How an identity was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By a certificate of this authority.
    Certificate(CaIndex),
    /// By a key.
    Key,
    /// By a certificate of this authority and by a key of the same client.
    Both(CaIndex),
}

impl Proof {
    /// What was seen of a client that proved itself so at `now`.
    #[must_use]
    pub const fn seen(self, now: Timestamp) -> Seen {
        let (by_certificate, by_key) = match self {
            Self::Certificate(_) => (Some(now), None),
            Self::Key => (None, Some(now)),
            Self::Both(_) => (Some(now), Some(now)),
        };
        Seen {
            by_certificate,
            by_key,
        }
    }
}
