//! What a certificate says of itself, as text that is safe to show.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The parts of a certificate that people and records need. None of it decides anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The subject (RFC 4514 order and escapes; control characters escaped as well).
    pub subject: String,
    /// The issuer, in the same form.
    pub issuer: String,
    /// The serial number, in lower-case hex.
    pub serial: String,
    /// The SHA-256 of the SubjectPublicKeyInfo, in lower-case hex: the same key has the same.
    pub spki: String,
    /// The first moment of its validity.
    pub not_before: Timestamp,
    /// The last moment of its validity (RFC 5280 section 4.1.2.5: inclusive).
    pub not_after: Timestamp,
}
