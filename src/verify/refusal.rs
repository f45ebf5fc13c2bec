//! Why a request goes nowhere, and what is said of it: one table of status, reason, and what to do.

use std::net::SocketAddr;

use http::StatusCode;
use pingora::protocols::http::ServerSession;
use serde::Serialize;

use crate::framing::Unreadable;
use crate::front::Unclear;
use crate::head::Malformed;
use crate::sign::Invalid;

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What came is no request.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// It can be read in two ways, or in none.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// CONNECT or TRACE.
    #[error("CONNECT and TRACE are not served here")]
    Method,
    /// The proxy that asks does not say clearly about what.
    #[error("{0}")]
    Asked(#[from] Unclear),
    /// No header of an identity.
    #[error("the request has no signature, so it did not come through the gateway")]
    Unsigned,
    /// A header that backends could take for another.
    #[error("backends may take the header {0:?} for one that is checked under another name")]
    Disguised(String),
    /// The signature is not believed.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// It was believed before.
    #[error("this signature was used before; each is good for one request")]
    Replayed,
    /// More requests in a minute than can be remembered.
    #[error("so many requests came in the last minute that no more can be told from repeated ones")]
    Full,
    /// The body is another.
    #[error("the body does not fit the request's Content-Digest")]
    Body,
    /// The backend does not answer.
    #[error("the backend cannot be reached, or broke off")]
    Backend,
}

/// Who sent it; of a Unix socket, nobody knows.
pub(super) fn peer(session: &ServerSession) -> Option<SocketAddr> {
    session.client_addr()?.as_inet().copied()
}

/// What is said to whoever sent the request (RFC 9457).
#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    status: u16,
    detail: String,
    reason: &'a str,
    request_id: &'a str,
    next_step: &'a str,
}

const THROUGH: &str = "call the API through the gateway; whoever runs it looks for this request_id in the log of the verifier";
const ONE_WAY: &str = "send the request that you mean, in one form";
const SECRETS: &str = "give the verifier the secret that the gateway signs with, or the public key to it, under the same key id ([[backend]] signing)";
const ALGORITHM: &str = "give a new key a key id of its own, and the verifier the key of that name: a secret for hmac-sha256, a public key for ed25519";

impl Refusal {
    /// Every reason, for metrics.
    pub const REASONS: [&'static str; 17] = [
        "backend_unavailable",
        "body_mismatch",
        "expectation_unknown",
        "head_too_large",
        "header_disguised",
        "http_version_unknown",
        "method_not_allowed",
        "question_unclear",
        "request_malformed",
        "signature_header",
        "signature_key_unknown",
        "signature_malformed",
        "signature_mismatch",
        "signature_missing",
        "signature_not_current",
        "signature_replayed",
        "too_many_signatures",
    ];

    /// Status, reason, and what to do.
    const fn row(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unreadable(Unreadable::TooLong | Unreadable::TooMany)
            | Self::Malformed(Malformed::TooLarge) => (431, "head_too_large", ONE_WAY),
            Self::Unreadable(Unreadable::Version) => (
                505,
                "http_version_unknown",
                "speak HTTP/1.1: set protocol = \"http1\" for this backend at the gateway",
            ),
            Self::Malformed(Malformed::Expectation) => (417, "expectation_unknown", ONE_WAY),
            Self::Unreadable(_) | Self::Malformed(_) => (400, "request_malformed", ONE_WAY),
            Self::Method => (405, "method_not_allowed", "use another method"),
            Self::Asked(_) => (
                401,
                "question_unclear",
                "have the proxy set the headers of its form, and remove those of others (docs/VERIFY.md)",
            ),
            Self::Unsigned => (401, "signature_missing", THROUGH),
            Self::Disguised(_) => (
                401,
                "header_disguised",
                "leave the header out; the gateway never sends it",
            ),
            Self::Invalid(Invalid::Header(_)) => (401, "signature_header", THROUGH),
            Self::Invalid(Invalid::Form) => (401, "signature_malformed", THROUGH),
            Self::Invalid(Invalid::Algorithm) => (401, "signature_malformed", ALGORITHM),
            Self::Invalid(Invalid::UnknownKey) => (401, "signature_key_unknown", SECRETS),
            Self::Invalid(Invalid::Time) => (
                401,
                "signature_not_current",
                "set the clocks of gateway and backend by NTP; a signature is good for a minute",
            ),
            Self::Invalid(Invalid::Mismatch) => (
                401,
                "signature_mismatch",
                "if it came through the gateway: see that nothing in between changes method, Host, path or query, and that both have the same secret",
            ),
            Self::Replayed => (
                401,
                "signature_replayed",
                "send the request through the gateway again, which signs it anew",
            ),
            Self::Full => (
                503,
                "too_many_signatures",
                "let the verifier remember more (--remember), or run more of them",
            ),
            Self::Body => (
                400,
                "body_mismatch",
                "send the body that the digest was made of",
            ),
            Self::Backend => (
                502,
                "backend_unavailable",
                "see that the backend runs and listens where the verifier calls it",
            ),
        }
    }

    /// The reason, stable, for programs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.row().1
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::UNAUTHORIZED)
    }

    /// What 401 has to ask for (RFC 9110 section 15.5.2).
    pub(super) const CHALLENGE: &'static str = "Signature realm=\"keyferry\"";

    /// The problem document.
    #[must_use]
    pub fn document(&self, request_id: &str) -> String {
        let (status, reason, next_step) = self.row();
        let document = Document {
            // `type` is absent, so it is `about:blank`, and the title that of the status.
            title: self.status().canonical_reason().unwrap_or_default(),
            status,
            detail: self.to_string(),
            reason,
            request_id,
            next_step,
        };
        serde_json::to_string(&document).unwrap_or_default()
    }
}
