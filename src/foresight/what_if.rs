//! Who would break if certificates were refused.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What would become of a client.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It called by certificate and not by key: it would break.
    WouldBreak,
    /// So it did, but its last certificate ends before: it breaks anyway, unless it renews.
    EndsBefore,
    /// It called by both: only its requests by certificate would be refused.
    Dual,
    /// It called by key alone: nothing would change.
    Moved,
    /// Nothing came from it: nobody knows.
    Silent,
}

/// What was seen of a client within the time that is looked back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Requests served for a certificate alone.
    pub by_certificate: u64,
    /// Requests served for a key.
    pub by_key: u64,
}

impl Outcome {
    /// Every outcome, the worst first.
    pub const ALL: [Self; 5] = [
        Self::WouldBreak,
        Self::EndsBefore,
        Self::Dual,
        Self::Moved,
        Self::Silent,
    ];

    /// What would become of a client that was seen so, and whose last certificate ends then, if
    /// certificates were refused from `off` on.
    #[must_use]
    pub fn of(used: Used, certificates_end: Option<Timestamp>, off: Timestamp) -> Self {
        match (used.by_certificate > 0, used.by_key > 0) {
            (true, true) => Self::Dual,
            (true, false) if certificates_end.is_some_and(|end| end <= off) => Self::EndsBefore,
            (true, false) => Self::WouldBreak,
            (false, true) => Self::Moved,
            (false, false) => Self::Silent,
        }
    }

    /// The word for screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WouldBreak => "would break",
            Self::EndsBefore => "ends before",
            Self::Dual => "dual",
            Self::Moved => "moved",
            Self::Silent => "silent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_decides_and_then_when_the_certificate_ends() {
        let off = Timestamp::from_unix(1_000);
        let of = |by_certificate, by_key, end: Option<i64>| {
            let used = Used {
                by_certificate,
                by_key,
            };
            Outcome::of(used, end.map(Timestamp::from_unix), off)
        };
        assert_eq!(of(1, 0, Some(1_001)), Outcome::WouldBreak);
        assert_eq!(of(1, 0, None), Outcome::WouldBreak);
        assert_eq!(of(1, 0, Some(1_000)), Outcome::EndsBefore);
        assert_eq!(of(1, 1, Some(1)), Outcome::Dual);
        assert_eq!(of(0, 1, Some(1)), Outcome::Moved);
        assert_eq!(of(0, 0, Some(1)), Outcome::Silent);
    }
}
