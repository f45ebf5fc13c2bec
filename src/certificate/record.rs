//! What the store remembers of a certificate.

use serde::{Deserialize, Serialize};

use super::{Facts, Fingerprint};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::key::KeyId;

/// A certificate that the operator named, or that was verified here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRecord {
    /// The SHA-256 of its DER form.
    pub fingerprint: Fingerprint,
    /// Whom it identifies.
    pub mapping: Mapping,
    /// How it came to be known.
    pub source: Source,
    /// What it says of itself; unknown while only its fingerprint was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// When it became known.
    pub created_at: Timestamp,
}

/// Whom a certificate identifies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Mapping {
    /// This client, seen by backends under this key id.
    Mapped {
        /// The client.
        client: ClientId,
        /// The key id.
        key: KeyId,
    },
    /// Nobody yet: it waits for the operator's word.
    Pending,
    /// Nobody: it is the other form of a certificate that was seen before, and whoever shows it
    /// tries to be somebody new.
    Twin {
        /// The certificate that was seen.
        of: Fingerprint,
    },
    /// Nobody any more. The record stays, so that the certificate does not enrol again.
    Removed {
        /// Since when.
        at: Timestamp,
    },
}

/// How a certificate came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It was verified at its first sight.
    FirstSight,
    /// The operator added it.
    Operator,
}
