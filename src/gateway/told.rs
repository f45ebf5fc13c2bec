//! What a client is told of a refusal. Nothing that it did not prove to know.

#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::{Code, Refusal};
use crate::certificate::{Rejected, Trust};
use crate::clock::Timestamp;
use crate::framing::Unreadable;
use crate::head::Malformed;
use crate::identity::Refused;
use crate::policy::{Accept, Denial};

impl Refusal {
    /// The code, by which a client's program may decide.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed(Malformed::Expectation) => Code::ExpectationUnknown,
            Self::Malformed(Malformed::TooLarge) => Code::HeadTooLarge,
            Self::Malformed(_) | Self::Token(_) | Self::NotARotation => Code::RequestMalformed,
            Self::Unreadable(unreadable) => unreadable_code(*unreadable),
            Self::Ambiguous(_) => Code::CredentialAmbiguous,
            Self::RouteNotFound => Code::RouteNotFound,
            Self::TooSlow => Code::RequestTimeout,
            Self::Identity(refused) => identity_code(refused),
            Self::Policy(denied) => policy_code(&denied.why),
            Self::StoreUnavailable => Code::StoreUnavailable,
            Self::Overloaded => Code::Overloaded,
            Self::BackendUnavailable => Code::BackendUnavailable,
            Self::ResourceNotFound => Code::ResourceNotFound,
            Self::MethodNotAllowed(_) => Code::MethodNotAllowed,
            Self::KeyAlreadyIssued(_) | Self::KeyEnded { .. } => Code::KeyAlreadyIssued,
            Self::KeyRotated(_) => Code::KeyRotated,
            Self::TooManyKeys(_) => Code::TooManyKeys,
            Self::AuthorityMismatch => Code::AuthorityMismatch,
            Self::RateLimited(_) => Code::RateLimited,
            Self::CertificateRequired | Self::CertificateAsserted => Code::CertificateRequired,
            Self::KeyRequired => Code::KeyRequired,
            Self::HandshakeRequired => Code::HandshakeRequired,
            Self::Question(_) => Code::QuestionUnclear,
            Self::FrontRequired => Code::FrontRequired,
            Self::CrossSite => Code::CrossSiteRequest,
            Self::Internal(_) => Code::InternalError,
        }
    }

    /// When to try again, for what passes by itself.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        if let Self::RateLimited(limited) = self {
            return Some(limited.retry_after());
        }
        match self.brownout() {
            Some((_, until)) => {
                let seconds = u64::try_from(until.seconds_since(now)).unwrap_or_default();
                Some(Duration::from_secs(seconds.max(1)))
            }
            None => self.code().retry_after(),
        }
    }

    /// The detail that a client is told: none, where that is to be `terse` about certificates.
    pub(super) fn told(&self, terse: bool, trust: &Trust) -> Option<String> {
        let is_withheld = terse && self.tells_of_a_certificate();
        (!is_withheld).then(|| self.detail(trust))
    }

    /// One sentence or more for a human: what is wrong and what to do. Issuers that are accepted go
    /// by their names in `trust`.
    #[must_use]
    pub fn detail(&self, trust: &Trust) -> String {
        match self {
            Self::Malformed(malformed) => sentence(malformed),
            Self::Unreadable(unreadable) => sentence(unreadable),
            Self::Token(malformed) => sentence(malformed),
            Self::Ambiguous(ambiguous) => sentence(ambiguous),
            Self::RouteNotFound => "No route serves this host and path.".to_owned(),
            Self::TooSlow => "The body of the request came too slowly; try again.".to_owned(),
            Self::Identity(refused) => identity_detail(refused),
            Self::Policy(denied) => policy_detail(&denied.why, trust),
            Self::StoreUnavailable => STORE_UNAVAILABLE.to_owned(),
            Self::Overloaded => {
                "The gateway is busy with more than it can do; try again.".to_owned()
            }
            Self::BackendUnavailable => BACKEND_UNAVAILABLE.to_owned(),
            Self::ResourceNotFound => "There is no such resource of this client here.".to_owned(),
            Self::MethodNotAllowed(allowed) => format!("This resource answers to {allowed}."),
            Self::KeyAlreadyIssued(when) => {
                format!("This client fetched its key {when}. {SHOWN_ONCE}")
            }
            Self::KeyEnded { id, at } => format!(
                "This client's key {id} ended by itself at {at}. A certificate alone gets no second \
                 key. Ask the operator for another one (keyferry key issue), or to let this \
                 certificate fetch one (keyferry key revoke {id})."
            ),
            Self::KeyRotated(to) => {
                format!("This key was rotated before, to the key {to}; use that one. {ROTATED}")
            }
            Self::TooManyKeys(has) => {
                format!(
                    "This client has {has} keys that can be used, and may have no more. {END_ONE}"
                )
            }
            Self::AuthorityMismatch => AUTHORITY_MISMATCH.to_owned(),
            Self::RateLimited(limited) => limited.detail(),
            Self::NotARotation => NOT_A_ROTATION.to_owned(),
            Self::CertificateRequired => CERTIFICATE_REQUIRED.to_owned(),
            Self::CertificateAsserted => CERTIFICATE_ASSERTED.to_owned(),
            Self::KeyRequired => KEY_REQUIRED.to_owned(),
            Self::HandshakeRequired => HANDSHAKE_REQUIRED.to_owned(),
            Self::CrossSite => "A browser sent this request on behalf of another site.".to_owned(),
            Self::Question(unclear) => sentence(unclear),
            Self::FrontRequired => FRONT_REQUIRED.to_owned(),
            Self::Internal(_) => INTERNAL.to_owned(),
        }
    }
}

const STORE_UNAVAILABLE: &str = "The gateway cannot reach its store, and cannot tell whether this \
    credential is good. It is not refused; try again.";
const BACKEND_UNAVAILABLE: &str =
    "The gateway accepted the request, but the service behind it did not answer.";
const SHOWN_ONCE: &str = "A key is shown once: use it, or ask the operator to revoke it, then \
    fetch a new one.";
const MAY_CLAIM: &str = "It can still fetch your API key, for a while, and do nothing else.";
const ROTATED: &str = "When nobody has it, ask the operator for another \
    (keyferry key rotate).";
const END_ONE: &str = "Revoke one that nobody uses any more (GET keys, then DELETE keys/<key id>), \
    wait until one ends, or rotate with {\"overlap\":\"0\"}, which ends this key at once.";
const AUTHORITY_MISMATCH: &str = "The certificate was shown on a connection whose TLS server name is \
    another than this request's host, and certificates are treated otherwise there. Connect to this \
    host under its own name, or leave the certificate out and send an API key.";
const NOT_A_ROTATION: &str = "Send no body, or {\"overlap\":\"24h\"} with one of 0, 1h, 24h, 7d \
    and 30d: how long the old key stays good.";
const CERTIFICATE_REQUIRED: &str =
    "A key is fetched with the client certificate; this connection proved none.";
const CERTIFICATE_ASSERTED: &str = "Your certificate came by a proxy in front, and a key is given \
    only to who proves one to the gateway itself. Call the gateway directly, or ask the operator \
    for a key.";
const KEY_REQUIRED: &str = "A key is rotated and revoked with a key; a certificate alone does not do. The operator can, too.";
const HANDSHAKE_REQUIRED: &str = "This connection resumed an earlier TLS session; connect again \
    without resumption and repeat the request.";
const FRONT_REQUIRED: &str = "Questions are answered only to a proxy that is set up to ask ([[front]] \
    with asks) and that shows itself by its address and its certificate or secret.";
const INTERNAL: &str =
    "Something went wrong in the gateway; the request id finds it in the operator's log.";

const fn unreadable_code(unreadable: Unreadable) -> Code {
    match unreadable {
        Unreadable::TooLong | Unreadable::TooMany => Code::HeadTooLarge,
        Unreadable::Coding => Code::TransferCodingUnknown,
        Unreadable::Version => Code::HttpVersionUnknown,
        Unreadable::Line
        | Unreadable::RequestLine
        | Unreadable::Field
        | Unreadable::Length
        | Unreadable::TwoFramings
        | Unreadable::Chunk => Code::RequestMalformed,
    }
}

fn identity_code(refused: &Refused) -> Code {
    match refused {
        Refused::Unconfirmed => Code::StoreUnavailable,
        Refused::KeyMalformed(_) => Code::KeyMalformed,
        Refused::KeyInvalid { .. } => Code::KeyInvalid,
        Refused::CertificateRejected(rejected) | Refused::CertificateLapsed(rejected) => {
            rejected.reason().into()
        }
        Refused::Unregistered(_) => Code::ClientUnregistered,
        Refused::Superseded(_) => Code::CertificateSuperseded,
        Refused::ApprovalPending(_) => Code::ApprovalPending,
        Refused::Conflict { .. } => Code::CredentialConflict,
        Refused::ClientDisabled(_) => Code::ClientDisabled,
    }
}

fn identity_detail(refused: &Refused) -> String {
    let text = match refused {
        Refused::CertificateRejected(rejected) => return certificate_detail(rejected),
        Refused::CertificateLapsed(rejected) => {
            return format!("{} {MAY_CLAIM}", certificate_detail(rejected));
        }
        Refused::Unconfirmed => STORE_UNAVAILABLE,
        Refused::KeyMalformed(_) => "The key looks cut off or mistyped; copy it again, all of it.",
        Refused::KeyInvalid { .. } => {
            "The key is unknown, revoked or expired. Use the newest key that you were given, or \
             fetch one with your certificate."
        }
        Refused::Unregistered(_) => {
            "The certificate is good, but it was not given to a client here. Send its SHA-256 \
             fingerprint to the operator."
        }
        Refused::Superseded(_) => {
            "The certificate is good, but a newer one of the same client has taken its place. Use \
             the newest."
        }
        Refused::ApprovalPending(_) => {
            "The certificate is good and was seen for the first time; the operator has yet to \
             approve it."
        }
        Refused::Conflict { .. } => {
            "Send the certificate or the key, or a pair that belongs to one client."
        }
        Refused::ClientDisabled(_) => {
            "The operator disabled this client; none of its credentials is accepted."
        }
    };
    text.to_owned()
}

/// Every problem, for the connection that proved to hold the key of the certificate.
fn certificate_detail(rejected: &Rejected) -> String {
    let details: Vec<&str> = rejected
        .problems()
        .iter()
        .map(|problem| problem.detail.as_str())
        .collect();
    details.join(" ")
}

const fn policy_code(denial: &Denial) -> Code {
    match denial {
        Denial::CredentialMissing(_) => Code::CredentialMissing,
        Denial::CertificateRetired | Denial::Retired => Code::CertificateRetired,
        Denial::Brownout { .. } => Code::Brownout,
        Denial::CertificateAuthority(_) => Code::CertificateUntrusted,
        Denial::ScopeMissing(_) => Code::ScopeMissing,
    }
}

fn policy_detail(denial: &Denial, trust: &Trust) -> String {
    let text = match denial {
        Denial::CredentialMissing(Accept::Certificate) => {
            "Connect with your client certificate; this route accepts no key alone."
        }
        Denial::CredentialMissing(Accept::Key) => {
            "Send your API key as 'Authorization: Bearer <key>'."
        }
        Denial::CredentialMissing(Accept::Either | Accept::None) => {
            "Connect with your client certificate, or send your API key as 'Authorization: Bearer \
             <key>'."
        }
        Denial::CertificateRetired => {
            "Your certificate is good, but this route accepts API keys only. Fetch your key with \
             the certificate, once."
        }
        Denial::Retired => {
            "Your certificate is good, but clients like you are accepted by API key only. Fetch your \
             key with the certificate, once."
        }
        Denial::Brownout { until, .. } => {
            return format!(
                "Your certificate is good, but certificates are being given up, and are refused for \
                 a while, until {until}, so that whoever still uses them notices. Fetch your key \
                 with the certificate, once: a key is never refused for this."
            );
        }
        Denial::CertificateAuthority(accepted) => {
            return format!(
                "Your certificate is good, but this route accepts certificates of another issuer \
                 only. Use one that leads to {}.",
                trust.accepted(accepted)
            );
        }
        Denial::ScopeMissing(scope) => {
            return format!("This route asks for the scope '{scope}', which your key has not.");
        }
    };
    text.to_owned()
}

/// An error's text as a sentence.
pub(super) fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first.map_or_else(String::new, |first| format!("{first}{}.", chars.as_str()))
}
