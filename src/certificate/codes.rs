//! What the errors of OpenSSL's verification mean for a client's certificate.
//!
//! docs/CERTIFICATES.md has the whole table, with those that no client's certificate can meet; a
//! test keeps the two in step and makes a certificate for each.

use super::Reason;

/// A name cannot be compared with constraints.
pub(super) const UNSUPPORTED_NAME_SYNTAX: i32 = 53;

/// The reason that an error of OpenSSL (`X509_V_ERR_…`, by number) stands for. `None` where it is
/// not the error that decides: whether an issuer is missing or is not trusted takes more than
/// OpenSSL knows, and dates are judged by ourselves at every request.
pub(super) const fn reason(error: i32) -> Option<Reason> {
    Some(match error {
        // CERT_SIGNATURE_FAILURE
        7 => Reason::Untrusted,
        // INVALID_PURPOSE
        26 => Reason::WrongPurpose,
        // EE_KEY_TOO_SMALL, CA_KEY_TOO_SMALL, CA_MD_TOO_WEAK
        66..=68 => Reason::Weak,
        // CERT_CHAIN_TOO_LONG, PATH_LENGTH_EXCEEDED
        22 | 25
        // UNHANDLED_CRITICAL_EXTENSION, INVALID_NON_CA, PROXY_CERTIFICATES_NOT_ALLOWED
        | 34 | 37 | 40
        // INVALID_EXTENSION, INVALID_POLICY_EXTENSION, NO_EXPLICIT_POLICY, UNNESTED_RESOURCE
        | 41..=43 | 46
        // INVALID_CA … EC_KEY_EXPLICIT_PARAMS: what X509_V_FLAG_X509_STRICT adds
        | 78..=94 => Reason::Invalid,
        error if is_name_constraint(error) => Reason::Invalid,
        _ => return None,
    })
}

/// Whether the error tells of a name that an issuer's constraints forbid or that cannot be
/// compared with them: `PERMITTED_VIOLATION` to `UNSUPPORTED_NAME_SYNTAX`.
pub(super) const fn is_name_constraint(error: i32) -> bool {
    matches!(error, 47..=49 | 51..=53)
}
