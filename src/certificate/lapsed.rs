//! Certificates of which only the end has come.

use std::time::Duration;

use super::verdict::Outcome;
use super::{CaIndex, Fingerprint, Reason, Rejected, Verdict};
use crate::clock::Timestamp;

/// A certificate with which nothing is wrong but that its own validity has ended: under a strict
/// verification it is good, its issuers are valid now, and it is not revoked. It is not a
/// [`Verified`](super::Verified) and does not become one; what it may still do, an operator must
/// have allowed. Only [`Verdict::lapsed`] makes one:
///
/// ```
/// use std::time::Duration;
///
/// fn is_recent(lapsed: &keyferry::certificate::Lapsed) -> bool {
///     lapsed.is_within(Duration::from_secs(3600))
/// }
/// ```
///
/// and nothing else does, not even out of all that it is made of, and least of all a [`Rejected`],
/// which may be wrong in any other way:
///
/// ```compile_fail,E0451
/// use keyferry::certificate::{CaIndex, Lapsed, Rejected};
/// use keyferry::clock::Timestamp;
///
/// fn forge(rejected: Rejected, ended: Timestamp) -> Lapsed {
///     Lapsed { rejected, ca: CaIndex(0), ended }
/// }
/// ```
///
/// ```compile_fail,E0277
/// use keyferry::certificate::{Lapsed, Rejected};
///
/// fn convert(bad: Rejected) -> Lapsed {
///     bad.into()
/// }
/// ```
///
/// ```compile_fail,E0308
/// use keyferry::certificate::{Lapsed, Verified};
///
/// fn pass(lapsed: Lapsed) -> Verified {
///     lapsed
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Lapsed {
    rejected: Rejected,
    ca: CaIndex,
    ended: Timestamp,
}

impl Verdict {
    /// The certificate, when at this moment nothing is wrong with it but that it has ended: no
    /// other problem of its own, however mild, and none of its issuers'.
    #[must_use]
    pub fn lapsed(&self, now: Timestamp) -> Option<Lapsed> {
        let Outcome::Good(ca) = self.outcome else {
            return None;
        };
        // Whether it was revoked must be known for that.
        if self.unknown.is_some() {
            return None;
        }
        let ended = self.dates.first()?.end();
        let rejected = self.at(now).err()?;
        let [problem] = rejected.problems() else {
            return None;
        };
        let own_end = problem.reason == Reason::Expired && problem.depth == 0;
        (own_end && ended <= now).then_some(Lapsed {
            rejected,
            ca,
            ended,
        })
    }
}

impl Lapsed {
    /// The SHA-256 of the certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        self.rejected.fingerprint()
    }

    /// The certificate authority that its chain leads to.
    #[must_use]
    pub const fn ca(&self) -> CaIndex {
        self.ca
    }

    /// The first moment at which it was no longer good.
    #[must_use]
    pub const fn ended(&self) -> Timestamp {
        self.ended
    }

    /// Whether it ended less than `grace` ago.
    #[must_use]
    pub fn is_within(&self, grace: Duration) -> bool {
        self.rejected.at() < self.ended.plus(grace)
    }

    /// The same as whoever has not allowed anything sees it.
    #[must_use]
    pub const fn rejected(&self) -> &Rejected {
        &self.rejected
    }
}
