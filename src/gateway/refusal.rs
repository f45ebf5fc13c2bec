//! Every way to say no, gathered from the stages.

#![deny(clippy::wildcard_enum_match_arm)]

use super::Limited;
use crate::certificate::Rejected;
use crate::clock::Timestamp;
use crate::credential::Ambiguous;
use crate::directory::Unavailable;
use crate::framing::Unreadable;
use crate::front::Unclear;
use crate::head::Malformed;
use crate::identity::Identity;
use crate::identity::Refused;
use crate::key::{KeyId, NotAToken};
use crate::policy::{Denial, Denied};
use crate::store::Epoch;

/// Why a request gets no further.
#[derive(Debug)]
pub enum Refusal {
    /// Its head has no single reading.
    Malformed(Malformed),
    /// What came before any request could be read.
    Unreadable(Unreadable),
    /// It carries two keys.
    Ambiguous(Ambiguous),
    /// No route serves it.
    RouteNotFound,
    /// What it presented identifies nobody.
    Identity(Refused),
    /// Its certificate was shown on a connection for another host, where certificates are treated
    /// otherwise.
    AuthorityMismatch,
    /// Its caller may not use the route.
    Policy(Denied),
    /// Its body came too slowly.
    TooSlow,
    /// What the store knows is needed and cannot be told.
    StoreUnavailable,
    /// Too much is going on.
    Overloaded,
    /// The backend did not answer, or could not be reached.
    BackendUnavailable,
    /// Self-service has no such resource.
    ResourceNotFound,
    /// Self-service knows the resource, but not this method.
    MethodNotAllowed(&'static str),
    /// The client was shown its key before.
    KeyAlreadyIssued(String),
    /// The client's key has ended by itself, and a certificate alone gets no other.
    KeyEnded {
        /// Which.
        id: KeyId,
        /// When.
        at: Timestamp,
    },
    /// The key was rotated before, to this one.
    KeyRotated(KeyId),
    /// The client has so many keys that can be used, and may have no more.
    TooManyKeys(usize),
    /// Only a certificate that was proven on this connection may do this.
    CertificateRequired,
    /// The certificate was forwarded by a front, whose word is not enough for this.
    CertificateAsserted,
    /// Only a key may do this.
    KeyRequired,
    /// The certificate must be proven anew, in a full handshake.
    HandshakeRequired,
    /// The front that asks does not say clearly about what, or asks about what is not for it.
    Question(Unclear),
    /// Only a front that shows itself, and is there to ask, may ask.
    FrontRequired,
    /// A browser sent it for another site.
    CrossSite,
    /// Too many of something came from one client, or from one address.
    RateLimited(Limited),
    /// The body of a rotation says something else than an overlap.
    NotARotation,
    /// The idempotency key is none.
    Token(NotAToken),
    /// A fault of ours.
    Internal(&'static str),
}

impl Refusal {
    /// The scheme of `WWW-Authenticate` (RFC 9110 section 11.6.1), for answers with 401.
    #[must_use]
    pub const fn challenge() -> &'static str {
        "Bearer realm=\"keyferry\""
    }

    /// What only the log is told.
    #[must_use]
    pub fn for_log(&self) -> Option<String> {
        match self {
            Self::Identity(Refused::KeyInvalid { id, fault }) => {
                Some(format!("{} {id}", fault.as_str()))
            }
            Self::Identity(
                Refused::CertificateRejected(rejected) | Refused::CertificateLapsed(rejected),
            ) => Some(listed(rejected)),
            Self::Identity(Refused::Conflict { certificate, key }) => Some(format!(
                "the certificate is {certificate}'s, the key is {key}'s"
            )),
            Self::Identity(Refused::ClientDisabled(client)) => Some(client.to_string()),
            Self::Identity(Refused::Unregistered(certificate)) => {
                Some(certificate.fingerprint().to_string())
            }
            Self::Identity(
                Refused::ApprovalPending(fingerprint) | Refused::Superseded(fingerprint),
            ) => Some(fingerprint.to_string()),
            Self::Malformed(Malformed::Forwarded(why)) => Some(why.to_string()),
            Self::Question(unclear) => Some(unclear.to_string()),
            Self::Internal(what) => Some((*what).to_owned()),
            Self::Identity(Refused::Unconfirmed | Refused::KeyMalformed(_))
            | Self::Malformed(_)
            | Self::Unreadable(_)
            | Self::Token(_)
            | Self::Ambiguous(_)
            | Self::RouteNotFound
            | Self::TooSlow
            | Self::AuthorityMismatch
            | Self::Policy(_)
            | Self::StoreUnavailable
            | Self::Overloaded
            | Self::BackendUnavailable
            | Self::ResourceNotFound
            | Self::MethodNotAllowed(_)
            | Self::KeyAlreadyIssued(_)
            | Self::KeyEnded { .. }
            | Self::KeyRotated(_)
            | Self::TooManyKeys(_)
            | Self::NotARotation
            | Self::RateLimited(_)
            | Self::CertificateRequired
            | Self::CertificateAsserted
            | Self::KeyRequired
            | Self::HandshakeRequired
            | Self::FrontRequired
            | Self::CrossSite => None,
        }
    }

    /// The kind of credential that was refused, for counting.
    #[must_use]
    pub const fn auth(&self) -> &'static str {
        match self {
            Self::Identity(refused) => match refused {
                Refused::KeyMalformed(_) | Refused::KeyInvalid { .. } => "key",
                Refused::CertificateRejected(_)
                | Refused::CertificateLapsed(_)
                | Refused::Unregistered(_)
                | Refused::Superseded(_)
                | Refused::ApprovalPending(_) => "certificate",
                Refused::Conflict { .. } => "both",
                Refused::Unconfirmed | Refused::ClientDisabled(_) => "none",
            },
            Self::Policy(denied) => match denied.why {
                Denial::CertificateRetired
                | Denial::CertificateAuthority(_)
                | Denial::Retired
                | Denial::Brownout { .. } => "certificate",
                Denial::ScopeMissing(_) => "key",
                Denial::CredentialMissing(_) => "none",
            },
            Self::AuthorityMismatch => "certificate",
            Self::Ambiguous(_) => "key",
            Self::Malformed(_)
            | Self::Unreadable(_)
            | Self::Token(_)
            | Self::RouteNotFound
            | Self::TooSlow
            | Self::StoreUnavailable
            | Self::Overloaded
            | Self::BackendUnavailable
            | Self::ResourceNotFound
            | Self::MethodNotAllowed(_)
            | Self::KeyAlreadyIssued(_)
            | Self::KeyEnded { .. }
            | Self::KeyRotated(_)
            | Self::TooManyKeys(_)
            | Self::NotARotation
            | Self::RateLimited(_)
            | Self::CertificateRequired
            | Self::CertificateAsserted
            | Self::KeyRequired
            | Self::HandshakeRequired
            | Self::Question(_)
            | Self::FrontRequired
            | Self::CrossSite
            | Self::Internal(_) => "none",
        }
    }

    /// Who was refused, when policy refused somebody known.
    #[must_use]
    pub fn caller(&self) -> Option<&Identity> {
        if let Self::Policy(denied) = self {
            denied.caller.as_deref()
        } else {
            None
        }
    }

    /// The brownout that refused: the version of its phase, and until when it does.
    #[must_use]
    pub fn brownout(&self) -> Option<(Epoch, Timestamp)> {
        if let Self::Policy(denied) = self
            && let Denial::Brownout { phase, until } = denied.why
        {
            Some((phase, until))
        } else {
            None
        }
    }

    /// Whether it says what is wrong with a certificate, or which others would do.
    pub(super) fn tells_of_a_certificate(&self) -> bool {
        let of_another = |denied: &Denied| matches!(denied.why, Denial::CertificateAuthority(_));
        self.rejected().is_some() || matches!(self, Self::Policy(denied) if of_another(denied))
    }

    /// The certificate that it is about, for the client that proved to hold it.
    #[must_use]
    pub fn rejected(&self) -> Option<&Rejected> {
        if let Self::Identity(
            Refused::CertificateRejected(rejected) | Refused::CertificateLapsed(rejected),
        ) = self
        {
            Some(rejected)
        } else {
            None
        }
    }
}

fn listed(rejected: &Rejected) -> String {
    let problems: Vec<_> = rejected
        .problems()
        .iter()
        .map(|problem| format!("{}@{}", problem.reason.code(), problem.depth))
        .collect();
    format!("{} {}", rejected.fingerprint(), problems.join(" "))
}

/// What each stage refuses with becomes a refusal by `?`.
macro_rules! gather {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Refusal {
            fn from(refused: $from) -> Self {
                Self::$variant(refused)
            }
        })*
    };
}

gather! {
    Malformed => Malformed,
    Unreadable => Unreadable,
    Ambiguous => Ambiguous,
    Refused => Identity,
    Denied => Policy,
    NotAToken => Token,
    Unclear => Question,
}

impl From<Denial> for Refusal {
    fn from(why: Denial) -> Self {
        Self::Policy(why.into())
    }
}

impl From<Unavailable> for Refusal {
    fn from(_: Unavailable) -> Self {
        Self::StoreUnavailable
    }
}
