//! What a certificate says of itself, as text that is safe to show.

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::name;
use crate::clock::Timestamp;
use crate::tls::x509::X509Ref;

/// The parts of a certificate that people and records need. None of it decides anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The subject (RFC 4514 order and escapes; control characters, invisible ones and those that
    /// change the direction of text are escaped as well).
    pub subject: String,
    /// The issuer, in the same form.
    pub issuer: String,
    /// The alternative names of the subject (RFC 5280 section 4.2.1.6), sorted: `DNS:`, `email:`,
    /// `URI:`, `IP:`, `DN:` and a value that is safe to show, or all of it in hex after `#`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternative_names: Vec<String>,
    /// The serial number, in lower-case hex.
    pub serial: String,
    /// The SHA-256 of the subject public key info, in lower-case hex: the same key has the same.
    pub spki: String,
    /// The first moment of its validity.
    pub not_before: Timestamp,
    /// The end of its validity. RFC 5280 section 4.1.2.5 would include this second, OpenSSL does
    /// not; the stricter one holds.
    pub not_after: Timestamp,
}

/// The certificate is not DER, as RFC 5280 section 4.1 demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be read: it is not DER as in RFC 5280; have it issued again")]
pub struct Unreadable;

impl Facts {
    /// What `certificate` says of itself.
    ///
    /// # Errors
    /// When its bytes are not DER, or its dates not in the forms of RFC 5280 section 4.1.2.5.
    pub fn of(certificate: &X509Ref) -> Result<Self, Unreadable> {
        let der = certificate.to_der().map_err(|_| Unreadable)?;
        let content = Content::read(&der).map_err(|_| Unreadable)?;
        Ok(content.facts)
    }

    /// The subject's most specific common name as it stands in the certificate, unescaped: to
    /// derive a name from, as [`crate::client::ClientId::suggest`] does, never to show.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        Self::common_name_in(&self.subject)
    }

    /// The common name in a subject, after RFC 2253 or RFC 4514; of several, the most specific.
    #[must_use]
    pub fn common_name_in(subject: &str) -> Option<String> {
        name::common_name(subject)
    }

    /// The e-mail addresses that it names, as they stand in it: those among its alternative names
    /// first, then those of its subject. Nobody has looked whether they are addresses.
    pub fn emails(&self) -> impl Iterator<Item = String> {
        let alternative = self.alternative_names.iter();
        alternative
            .filter_map(|name| name.strip_prefix("email:").map(str::to_owned))
            .chain(name::emails(&self.subject))
    }
}
