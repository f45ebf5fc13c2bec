//! The stable codes of refusals: the one table of status, code and title.

use std::time::Duration;

use crate::certificate;

/// What a client's program may decide by. Codes never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is explained in docs/PROBLEMS.md, which a test keeps complete"
)]
pub enum Code {
    RequestMalformed,
    QuestionUnclear,
    CredentialAmbiguous,
    CredentialMissing,
    KeyMalformed,
    KeyInvalid,
    CertificateRevoked,
    CertificateUntrusted,
    CertificateChainIncomplete,
    CertificateInvalid,
    CertificateWrongPurpose,
    CertificateWeak,
    CertificateSuperseded,
    CertificateNotYetValid,
    CertificateExpired,
    CertificateRetired,
    CredentialConflict,
    ClientDisabled,
    ClientUnregistered,
    ApprovalPending,
    ScopeMissing,
    Brownout,
    CertificateRequired,
    KeyRequired,
    HandshakeRequired,
    FrontRequired,
    CrossSiteRequest,
    RouteNotFound,
    ResourceNotFound,
    MethodNotAllowed,
    RequestTimeout,
    KeyAlreadyIssued,
    KeyRotated,
    TooManyKeys,
    ExpectationUnknown,
    AuthorityMismatch,
    RateLimited,
    HeadTooLarge,
    InternalError,
    TransferCodingUnknown,
    CertificateRevocationUnknown,
    StoreUnavailable,
    BackendUnavailable,
    Overloaded,
    HttpVersionUnknown,
}

impl Code {
    /// Every code, by status.
    pub const ALL: [Self; 45] = [
        Self::RequestMalformed,
        Self::QuestionUnclear,
        Self::CredentialAmbiguous,
        Self::CredentialMissing,
        Self::KeyMalformed,
        Self::KeyInvalid,
        Self::CertificateRevoked,
        Self::CertificateUntrusted,
        Self::CertificateChainIncomplete,
        Self::CertificateInvalid,
        Self::CertificateWrongPurpose,
        Self::CertificateWeak,
        Self::CertificateSuperseded,
        Self::CertificateNotYetValid,
        Self::CertificateExpired,
        Self::CertificateRetired,
        Self::CredentialConflict,
        Self::ClientDisabled,
        Self::ClientUnregistered,
        Self::ApprovalPending,
        Self::ScopeMissing,
        Self::Brownout,
        Self::CertificateRequired,
        Self::KeyRequired,
        Self::HandshakeRequired,
        Self::FrontRequired,
        Self::CrossSiteRequest,
        Self::RouteNotFound,
        Self::ResourceNotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::KeyAlreadyIssued,
        Self::KeyRotated,
        Self::TooManyKeys,
        Self::ExpectationUnknown,
        Self::AuthorityMismatch,
        Self::RateLimited,
        Self::HeadTooLarge,
        Self::InternalError,
        Self::TransferCodingUnknown,
        Self::CertificateRevocationUnknown,
        Self::StoreUnavailable,
        Self::BackendUnavailable,
        Self::Overloaded,
        Self::HttpVersionUnknown,
    ];

    /// Status, code and title.
    #[rustfmt::skip]
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::RequestMalformed => (400, "request_malformed", "The request cannot be read"),
            Self::QuestionUnclear => (400, "question_unclear", "The proxy in front asks what cannot be answered"),
            Self::CredentialAmbiguous => (400, "credential_ambiguous", "More than one API key"),
            Self::CredentialMissing => (401, "credential_missing", "No credential came with the request"),
            Self::KeyMalformed => (401, "key_malformed", "This is not a whole API key"),
            Self::KeyInvalid => (401, "key_invalid", "The API key is not accepted"),
            Self::CertificateRevoked => (401, "certificate_revoked", "Your certificate was revoked"),
            Self::CertificateUntrusted => (401, "certificate_untrusted", "Your certificate's issuer is not accepted here"),
            Self::CertificateChainIncomplete => (401, "certificate_chain_incomplete", "Your certificate's chain is incomplete"),
            Self::CertificateInvalid => (401, "certificate_invalid", "Your certificate breaks a rule"),
            Self::CertificateWrongPurpose => (401, "certificate_wrong_purpose", "Your certificate is not for clients"),
            Self::CertificateWeak => (401, "certificate_weak", "Your certificate is too weak"),
            Self::CertificateSuperseded => (401, "certificate_superseded", "Your certificate was replaced"),
            Self::CertificateNotYetValid => (401, "certificate_not_yet_valid", "Your certificate is not valid yet"),
            Self::CertificateExpired => (401, "certificate_expired", "Your certificate has expired"),
            Self::CertificateRetired => (401, "certificate_retired", "Certificates are no longer accepted here"),
            Self::CredentialConflict => (403, "credential_conflict", "Certificate and key are of different clients"),
            Self::ClientDisabled => (403, "client_disabled", "The client is disabled"),
            Self::ClientUnregistered => (403, "client_unregistered", "Nobody is known by this certificate"),
            Self::ApprovalPending => (403, "approval_pending", "Waiting for approval"),
            Self::ScopeMissing => (403, "scope_missing", "The key may not do this"),
            Self::Brownout => (403, "brownout", "Certificates are refused for a while"),
            Self::CertificateRequired => (403, "certificate_required", "Only with a certificate"),
            Self::KeyRequired => (403, "key_required", "Only with a key"),
            Self::HandshakeRequired => (403, "handshake_required", "Prove the certificate again"),
            Self::FrontRequired => (403, "front_required", "Only a proxy in front may ask"),
            Self::CrossSiteRequest => (403, "cross_site_request", "Not from another site"),
            Self::RouteNotFound => (404, "route_not_found", "Nothing is served here"),
            Self::ResourceNotFound => (404, "resource_not_found", "No such resource"),
            Self::MethodNotAllowed => (405, "method_not_allowed", "Not with this method"),
            Self::RequestTimeout => (408, "request_timeout", "The request came too slowly"),
            Self::KeyAlreadyIssued => (409, "key_already_issued", "The key was fetched before"),
            Self::KeyRotated => (409, "key_rotated", "The key was rotated before"),
            Self::TooManyKeys => (409, "too_many_keys", "The client has as many keys as it may have"),
            Self::ExpectationUnknown => (417, "expectation_unknown", "What the request expects is not known here"),
            Self::AuthorityMismatch => (421, "authority_mismatch", "The connection was made for another host"),
            Self::RateLimited => (429, "rate_limited", "Too many requests"),
            Self::HeadTooLarge => (431, "head_too_large", "The head of the request is too large"),
            Self::InternalError => (500, "internal_error", "The gateway failed"),
            Self::TransferCodingUnknown => (501, "transfer_coding_unknown", "The transfer coding is not known here"),
            Self::CertificateRevocationUnknown => (503, "certificate_revocation_unknown", "Revocation cannot be checked now"),
            Self::StoreUnavailable => (503, "store_unavailable", "The credential cannot be checked now"),
            Self::BackendUnavailable => (503, "backend_unavailable", "The service does not answer"),
            Self::Overloaded => (503, "overloaded", "Too many requests at once"),
            Self::HttpVersionUnknown => (505, "http_version_unknown", "This version of HTTP is not spoken here"),
        }
    }

    /// The HTTP status (RFC 9110 section 15).
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// The code as clients, logs and metrics see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// A few words for a human.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().2
    }

    /// When to try again, for what passes by itself.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        if self.status() == 503 {
            Some(Duration::from_secs(5))
        } else {
            None
        }
    }
}

impl From<certificate::Reason> for Code {
    fn from(reason: certificate::Reason) -> Self {
        use certificate::Reason;
        match reason {
            Reason::Revoked => Self::CertificateRevoked,
            Reason::Untrusted => Self::CertificateUntrusted,
            Reason::ChainIncomplete => Self::CertificateChainIncomplete,
            Reason::Invalid => Self::CertificateInvalid,
            Reason::WrongPurpose => Self::CertificateWrongPurpose,
            Reason::Weak => Self::CertificateWeak,
            Reason::RevocationUnknown => Self::CertificateRevocationUnknown,
            Reason::Superseded => Self::CertificateSuperseded,
            Reason::NotYetValid => Self::CertificateNotYetValid,
            Reason::Expired => Self::CertificateExpired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_have_one_code_wherever_it_is_seen() {
        for reason in certificate::Reason::ALL {
            assert_eq!(Code::from(reason).as_str(), reason.code());
        }
    }
}
