//! The outcome of a verification: [`Verified`] or [`Rejected`], and nothing between.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Facts, Fingerprint};
use crate::clock::Timestamp;

/// Which of the configured certificate authorities, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaIndex(pub u16);

/// Why a certificate is not accepted, in the order of weight: what comes first decides the answer
/// when there are several problems, so that a mild one never hides a grave one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// A newer certificate of the same client has taken its place.
    Superseded,
    /// Its validity has not begun.
    NotYetValid,
    /// Its validity has ended.
    Expired,
}

impl Reason {
    /// Every reason, gravest first.
    pub const ALL: [Self; 9] = [
        Self::Revoked,
        Self::Untrusted,
        Self::ChainIncomplete,
        Self::Invalid,
        Self::WrongPurpose,
        Self::Weak,
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
            Self::Superseded => "certificate_superseded",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::Expired => "certificate_expired",
        }
    }
}

/// One thing that is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where in the chain: 0 is the client's certificate.
    pub depth: u32,
    /// What kind of problem.
    pub reason: Reason,
    /// One sentence for whoever holds the certificate, that names what is wrong and what to do.
    pub detail: String,
}

/// A certificate that is good at the moment it was asked about. Only [`super::Verdict::at`] makes
/// one, and only one of these can become an identity.
#[derive(Clone)]
pub struct Verified {
    pub(super) fingerprint: Fingerprint,
    pub(super) facts: Arc<Facts>,
    pub(super) ca: CaIndex,
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

    /// The certificate authority that its chain leads to.
    #[must_use]
    pub const fn ca(&self) -> CaIndex {
        self.ca
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({})", self.fingerprint)
    }
}

/// A certificate whose holder proved to have its key, and that is not good. It explains itself and
/// can do nothing else: no function takes it to an identity.
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
