//! What a client is told of a refusal: the one table of status, code and words.

#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::Refusal;
use crate::certificate::{Reason, Rejected};
use crate::identity::Refused;
use crate::policy::{Accept, Denial};

/// What a client is told.
#[derive(Debug)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub reason: &'static str,
    /// The short form.
    pub title: &'static str,
    /// One sentence for a human.
    pub detail: String,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

/// When to try again after a failure that passes by itself.
const SOON: Option<Duration> = Some(Duration::from_secs(5));

fn told(status: u16, reason: &'static str, title: &'static str, detail: impl Into<String>) -> Told {
    Told {
        status,
        reason,
        title,
        detail: detail.into(),
        retry_after: None,
    }
}

impl Refusal {
    /// What the client is told. Nothing that it did not prove to know.
    #[must_use]
    pub fn told(&self) -> Told {
        match self {
            Self::Malformed(malformed) => told(
                400,
                "request_malformed",
                "The request cannot be read",
                sentence(malformed),
            ),
            Self::Token(malformed) => told(
                400,
                "request_malformed",
                "The request cannot be read",
                sentence(malformed),
            ),
            Self::Ambiguous(ambiguous) => told(
                400,
                "credential_ambiguous",
                "More than one API key",
                sentence(ambiguous),
            ),
            Self::RouteNotFound => told(
                404,
                "route_not_found",
                "Nothing is served here",
                "No route serves this host and path.",
            ),
            Self::Identity(refused) => identity(refused),
            Self::Policy(denial) => policy(denial),
            Self::StoreUnavailable => Told {
                retry_after: SOON,
                ..told(
                    503,
                    "store_unavailable",
                    "The credential cannot be checked now",
                    "The gateway cannot reach its store, and does not know this credential yet. It is not refused; try again.",
                )
            },
            Self::Overloaded => Told {
                retry_after: SOON,
                ..told(
                    503,
                    "overloaded",
                    "Too many requests at once",
                    "The gateway is busy with more than it can do; try again.",
                )
            },
            Self::BackendUnavailable => Told {
                retry_after: SOON,
                ..told(
                    503,
                    "backend_unavailable",
                    "The service does not answer",
                    "The gateway accepted the request, but the service behind it did not answer.",
                )
            },
            Self::ResourceNotFound => told(
                404,
                "resource_not_found",
                "No such resource",
                "There is no such resource of this client here.",
            ),
            Self::MethodNotAllowed(allowed) => told(
                405,
                "method_not_allowed",
                "Not with this method",
                format!("This resource answers to {allowed}."),
            ),
            Self::KeyAlreadyIssued(when) => told(
                409,
                "key_already_issued",
                "The key was fetched before",
                format!(
                    "This client fetched its key {when}. A key is shown once: use it, or ask the operator to revoke it, then fetch a new one."
                ),
            ),
            Self::CertificateRequired => told(
                403,
                "certificate_required",
                "Only with a certificate",
                "A key is fetched with the client certificate; this connection proved none.",
            ),
            Self::HandshakeRequired => told(
                403,
                "handshake_required",
                "Prove the certificate again",
                "This connection resumed an earlier TLS session; connect again without resumption and repeat the request.",
            ),
            Self::CrossSite => told(
                403,
                "cross_site_request",
                "Not from another site",
                "A browser sent this request on behalf of another site.",
            ),
            Self::Internal(_) => told(
                500,
                "internal_error",
                "The gateway failed",
                "Something went wrong in the gateway; the request id finds it in the log.",
            ),
        }
    }
}

fn identity(refused: &Refused) -> Told {
    match refused {
        Refused::Unconfirmed => Refusal::StoreUnavailable.told(),
        Refused::KeyMalformed(_) => told(
            401,
            "key_malformed",
            "This is not a whole API key",
            "The key looks cut off or mistyped; copy it again, all of it.",
        ),
        Refused::KeyInvalid { .. } => told(
            401,
            "key_invalid",
            "The API key is not accepted",
            "The key is unknown, revoked or expired. Use the newest key that you were given, or fetch one with your certificate.",
        ),
        Refused::CertificateRejected(rejected) => certificate(rejected),
        Refused::Unregistered(_) => told(
            403,
            "client_unregistered",
            "Nobody is known by this certificate",
            "The certificate is good, but it was not given to a client here. Send its SHA-256 fingerprint to the operator.",
        ),
        Refused::ApprovalPending(_) => told(
            403,
            "approval_pending",
            "Waiting for approval",
            "The certificate is good and was seen for the first time; the operator has yet to approve it.",
        ),
        Refused::Conflict { .. } => told(
            403,
            "credential_conflict",
            "Certificate and key are of different clients",
            "Send the certificate or the key, or a pair that belongs to one client.",
        ),
        Refused::ClientDisabled(_) => told(
            403,
            "client_disabled",
            "The client is disabled",
            "The operator disabled this client; none of its credentials is accepted.",
        ),
    }
}

fn certificate(rejected: &Rejected) -> Told {
    let title = match rejected.reason() {
        Reason::Revoked => "Your certificate was revoked",
        Reason::Untrusted => "Your certificate's issuer is not trusted here",
        Reason::ChainIncomplete => "Your certificate's chain is incomplete",
        Reason::Invalid => "Your certificate breaks a rule",
        Reason::WrongPurpose => "Your certificate is not for clients",
        Reason::Weak => "Your certificate is too weak",
        Reason::Superseded => "Your certificate was replaced",
        Reason::NotYetValid => "Your certificate is not valid yet",
        Reason::Expired => "Your certificate has expired",
    };
    let details: Vec<&str> = rejected
        .problems()
        .iter()
        .map(|problem| problem.detail.as_str())
        .collect();
    told(401, rejected.reason().code(), title, details.join(" "))
}

fn policy(denial: &Denial) -> Told {
    match denial {
        Denial::CredentialMissing(accept) => {
            let wanted = match accept {
                Accept::Certificate => {
                    "Connect with your client certificate; this route accepts no key alone."
                }
                Accept::Key => "Send your API key as 'Authorization: Bearer <key>'.",
                Accept::Either | Accept::None => {
                    "Connect with your client certificate, or send your API key as 'Authorization: Bearer <key>'."
                }
            };
            told(
                401,
                "credential_missing",
                "No credential came with the request",
                wanted,
            )
        }
        Denial::CertificateRetired => told(
            401,
            "certificate_retired",
            "Certificates are no longer accepted here",
            "Your certificate is good, but this route accepts API keys only. Fetch your key with the certificate, once.",
        ),
        Denial::CertificateAuthority => told(
            401,
            "certificate_untrusted",
            "Your certificate's issuer is not accepted here",
            "Your certificate is good, but this route accepts certificates of another issuer.",
        ),
        Denial::ScopeMissing(scope) => told(
            403,
            "scope_missing",
            "The key may not do this",
            format!("This route asks for the scope '{scope}', which your key has not."),
        ),
    }
}

/// An error's text as a sentence.
fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), chars.as_str())
    })
}
