//! The outcome of a verification: [`Verified`] or [`Rejected`], and nothing between.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::chain::Link;
use super::twin::Forms;
use super::{Alias, Facts, Fingerprint, explain};
use crate::clock::Timestamp;

/// Which of the configured certificate authorities, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaIndex(pub u16);

/// Why a certificate is not accepted, in the order of weight: what comes first decides the answer
/// when there are several problems, so that a mild one never hides a grave one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It was revoked by its issuer.
    Revoked,
    /// It does not lead to a certificate authority that is trusted here.
    Untrusted,
    /// An intermediate certificate is missing.
    ChainIncomplete,
    /// It breaks a rule of RFC 5280, or cannot be read.
    Invalid,
    /// It may not be used by a client.
    WrongPurpose,
    /// A key or a signature of the chain is too weak.
    Weak,
    /// Whether it was revoked cannot be told, since a revocation list is missing or not current.
    RevocationUnknown,
    /// A newer certificate of the same client has taken its place.
    Superseded,
    /// Its validity has not begun.
    NotYetValid,
    /// Its validity has ended.
    Expired,
}

impl Reason {
    /// Every reason, gravest first.
    pub const ALL: [Self; 10] = [
        Self::Revoked,
        Self::Untrusted,
        Self::ChainIncomplete,
        Self::Invalid,
        Self::WrongPurpose,
        Self::Weak,
        Self::RevocationUnknown,
        Self::Superseded,
        Self::NotYetValid,
        Self::Expired,
    ];

    /// The stable code that clients, logs and metrics see.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Revoked => "certificate_revoked",
            Self::Untrusted => "certificate_untrusted",
            Self::ChainIncomplete => "certificate_chain_incomplete",
            Self::Invalid => "certificate_invalid",
            Self::WrongPurpose => "certificate_wrong_purpose",
            Self::Weak => "certificate_weak",
            Self::RevocationUnknown => "certificate_revocation_unknown",
            Self::Superseded => "certificate_superseded",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::Expired => "certificate_expired",
        }
    }
}

impl Serialize for Reason {
    /// As its code, like everywhere else.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// One thing that is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "CertificateProblem")]
pub struct Problem {
    /// Where in the chain: 0 is the client's certificate.
    pub depth: u32,
    /// What kind of problem.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// One sentence for whoever holds the certificate, that names what is wrong and what to do.
    pub detail: String,
    /// The error of OpenSSL that tells of it, when it was found by one.
    #[serde(skip)]
    pub(super) fault: i32,
}

/// What a verification found out: all that does not depend on the time, and the dates that do.
/// It is judged anew at each request, by [`Verdict::at`].
#[derive(Clone, Debug)]
pub struct Verdict {
    pub(super) fingerprint: Fingerprint,
    pub(super) generation: u64,
    pub(super) facts: Option<Arc<Facts>>,
    pub(super) outcome: Outcome,
    /// The other names of a good certificate.
    pub(super) forms: Arc<Forms>,
    /// Why nobody can tell whether a good certificate was revoked, where that is let pass.
    pub(super) unknown: Option<Arc<str>>,
    /// The dates of every certificate of the chain, the client's first.
    pub(super) dates: Vec<Dates>,
    /// No certificate that could be an issuer begins or ends within this span, so that another
    /// verification within it would find the same.
    pub(super) span: (Timestamp, Timestamp),
}

/// What was found, apart from the dates.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// A strict verification succeeded under this authority.
    Good(CaIndex),
    /// It did not; never empty, gravest first.
    Bad(Vec<Problem>),
}

/// From when to when a certificate of the chain is valid.
#[derive(Clone, Debug)]
pub(super) struct Dates {
    not_before: Timestamp,
    not_after: Timestamp,
    /// What a sentence calls it; empty for the client's own.
    name: Box<str>,
}

impl Dates {
    pub(super) fn of(link: &Link, depth: usize) -> Self {
        let facts = &link.content.facts;
        Self {
            not_before: facts.not_before,
            not_after: facts.not_after,
            name: if depth == 0 {
                Box::default()
            } else {
                facts.subject.as_str().into()
            },
        }
    }

    /// The first moment after it.
    pub(super) const fn end(&self) -> Timestamp {
        self.not_after
    }

    fn problem(&self, depth: usize, now: Timestamp) -> Option<Problem> {
        let (reason, detail) = if now < self.not_before {
            let detail = explain::not_yet_valid(&self.name, self.not_before, now);
            (Reason::NotYetValid, detail)
        } else if now >= self.not_after {
            let detail = explain::expired(&self.name, self.not_after, now);
            (Reason::Expired, detail)
        } else {
            return None;
        };
        Some(Problem::new(depth, reason, detail))
    }
}

impl Verdict {
    /// The verdict at this moment: one comparison for each certificate of the chain when it is
    /// good. However old the verdict is, nothing is good after any certificate of its chain ended;
    /// [`super::Verifier::current`] also finds another chain when there is one.
    ///
    /// # Errors
    /// Everything that is wrong, gravest first.
    pub fn at(&self, now: Timestamp) -> Result<Verified, Rejected> {
        let dates = self.dates.iter().enumerate();
        let late = dates.filter_map(|(depth, dates)| dates.problem(depth, now));
        let problems = match &self.outcome {
            Outcome::Good(ca) => {
                let late: Vec<_> = late.collect();
                match (&self.facts, late.is_empty()) {
                    (Some(facts), true) => {
                        return Ok(Verified {
                            fingerprint: self.fingerprint,
                            facts: Arc::clone(facts),
                            ca: *ca,
                            forms: Arc::clone(&self.forms),
                            unknown: self.unknown.clone(),
                        });
                    }
                    (None, _) => vec![Problem::new(0, Reason::Invalid, explain::UNREADABLE.into())],
                    (Some(_), false) => late,
                }
            }
            Outcome::Bad(problems) => problems.iter().cloned().chain(late).collect(),
        };
        Err(Rejected {
            fingerprint: self.fingerprint,
            facts: self.facts.clone(),
            problems: in_order(problems),
            at: now,
        })
    }

    /// Which set of certificate authorities it was found under.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The SHA-256 of the certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Whether no issuer began or ended to be valid between the verification and this moment.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.span.0 <= now && now < self.span.1
    }

    pub(super) const fn is_good(&self) -> bool {
        matches!(self.outcome, Outcome::Good(_))
    }
}

/// Gravest first, then nearest to the client's certificate.
pub(super) fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.reason, problem.depth));
    problems
}

impl Problem {
    pub(super) fn new(depth: usize, reason: Reason, detail: String) -> Self {
        Self {
            depth: u32::try_from(depth).unwrap_or(u32::MAX),
            reason,
            detail,
            fault: 0,
        }
    }
}

/// A certificate that is good at the moment it was asked about. Only [`Verdict::at`] makes one, and
/// only one of these can become an identity.
///
/// It reads like this from outside:
///
/// ```
/// fn fingerprint(good: &keyferry::certificate::Verified) -> String {
///     good.fingerprint().to_string()
/// }
/// ```
///
/// and cannot be made there, not even out of all that it is made of:
///
/// ```compile_fail,E0451
/// use keyferry::certificate::{CaIndex, Facts, Fingerprint, Verified};
///
/// fn forge(fingerprint: Fingerprint, facts: std::sync::Arc<Facts>) -> Verified {
///     Verified { fingerprint, facts, ca: CaIndex(0) }
/// }
/// ```
#[derive(Clone)]
pub struct Verified {
    pub(super) fingerprint: Fingerprint,
    pub(super) facts: Arc<Facts>,
    pub(super) ca: CaIndex,
    pub(super) forms: Arc<Forms>,
    pub(super) unknown: Option<Arc<str>>,
}

impl Verified {
    /// The SHA-256 of the certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// What it says of itself.
    #[must_use]
    pub const fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// The SHA-256 of the certificate's other form: with ECDSA, whoever has a certificate can make
    /// a second one of it that is as good. What is decided about one holds for both.
    #[must_use]
    pub fn twin(&self) -> Option<&Fingerprint> {
        self.forms.twin.as_ref()
    }

    /// The names by which older gateways know it: its own, and that of its other form, since nobody
    /// can tell which of the two they saw.
    #[must_use]
    pub fn sha1s(&self) -> &[Alias] {
        &self.forms.sha1s
    }

    /// The certificate authority that its chain leads to.
    #[must_use]
    pub const fn ca(&self) -> CaIndex {
        self.ca
    }

    /// Why nobody can tell whether it was revoked, when it is accepted all the same
    /// ([`super::WhenUnknown::Accept`]).
    #[must_use]
    pub fn revocation_unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({})", self.fingerprint)
    }
}

/// A certificate whose holder proved to have its key, and that is not good. It explains itself and
/// can do nothing else: no function takes it to an identity.
///
/// ```
/// fn explain(bad: &keyferry::certificate::Rejected) -> &str {
///     &bad.problems()[0].detail
/// }
/// ```
///
/// A [`Verified`] is something else, and there is no way from the one to the other:
///
/// ```compile_fail,E0308
/// use keyferry::certificate::{Rejected, Verified};
///
/// fn pass(bad: Rejected) -> Verified {
///     bad
/// }
/// ```
///
/// ```compile_fail,E0277
/// use keyferry::certificate::{Rejected, Verified};
///
/// fn convert(bad: Rejected) -> Verified {
///     bad.into()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Rejected {
    pub(super) fingerprint: Fingerprint,
    pub(super) facts: Option<Arc<Facts>>,
    pub(super) problems: Vec<Problem>,
    pub(super) at: Timestamp,
}

impl Rejected {
    /// The SHA-256 of the certificate, for the log.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// What it says of itself, where that can be read.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// Everything that is wrong, gravest first; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The gravest reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.problems
            .first()
            .map_or(Reason::Invalid, |problem| problem.reason)
    }

    /// The time that it was judged by.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}
