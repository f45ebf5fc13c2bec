//! How far a client has moved: worked out from what was seen, never set by hand.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// When a client last called with each kind of credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The last request by certificate.
    pub by_certificate: Option<Timestamp>,
    /// The last request by key.
    pub by_key: Option<Timestamp>,
}

impl Seen {
    /// The later of both, for each kind. Merging is idempotent and knows no order, so replicas
    /// need not agree before they write.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            by_certificate: self.by_certificate.max(other.by_certificate),
            by_key: self.by_key.max(other.by_key),
        }
    }
}

/// How far a client has moved.
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
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Known, never seen.
    Registered,
    /// Calls by certificate and has no key.
    CertOnly,
    /// Has a key and has not used it.
    KeyIssued,
    /// Used both within the window.
    Dual,
    /// Calls by key, and not by certificate within the window.
    KeyOnly,
    /// Disabled.
    Retired,
}

impl Stage {
    /// Every stage, in the order of the way.
    pub const ALL: [Self; 6] = [
        Self::Registered,
        Self::CertOnly,
        Self::KeyIssued,
        Self::Dual,
        Self::KeyOnly,
        Self::Retired,
    ];

    /// The stage of a client that is `active`, for which a key was `issued` or not, and that was
    /// `seen` so; what lies further back than `window` no longer counts as use beside the other.
    #[must_use]
    pub fn of(active: bool, issued: bool, seen: Seen, window: Duration, now: Timestamp) -> Self {
        let recent = |at: Option<Timestamp>| at.is_some_and(|at| at.plus(window) >= now);
        match (active, seen.by_certificate, seen.by_key) {
            (false, ..) => Self::Retired,
            (true, certificate, Some(_)) if recent(certificate) => Self::Dual,
            (true, _, Some(_)) => Self::KeyOnly,
            (true, ..) if issued => Self::KeyIssued,
            (true, Some(_), None) => Self::CertOnly,
            (true, None, None) => Self::Registered,
        }
    }

    /// The word for screens, labels and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::CertOnly => "cert-only",
            Self::KeyIssued => "key-issued",
            Self::Dual => "dual",
            Self::KeyOnly => "key-only",
            Self::Retired => "retired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_walks_through_the_stages() {
        const WEEK: Duration = Duration::from_hours(7 * 24);
        let day = |n: i64| Timestamp::from_unix(n * 86_400);
        let stage = |issued, certificate: Option<i64>, key: Option<i64>| {
            let seen = Seen {
                by_certificate: certificate.map(day),
                by_key: key.map(day),
            };
            Stage::of(true, issued, seen, WEEK, day(100))
        };
        assert_eq!(stage(false, None, None), Stage::Registered);
        assert_eq!(stage(false, Some(99), None), Stage::CertOnly);
        assert_eq!(stage(true, Some(99), None), Stage::KeyIssued);
        assert_eq!(stage(true, Some(99), Some(100)), Stage::Dual);
        assert_eq!(stage(true, Some(92), Some(100)), Stage::KeyOnly);
        assert_eq!(
            Stage::of(false, true, Seen::default(), WEEK, day(1)),
            Stage::Retired
        );
    }
}
