//! What the store remembers of a certificate.

use serde::{Deserialize, Serialize};

use super::{Facts, Fingerprint, Whole};
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
    /// The configured authority that it was verified under; unknown while it was only named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The certificate of the same client that it took over from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<Fingerprint>,
    /// The certificate that took over from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_by: Option<Fingerprint>,
    /// The client that it seems to belong to, while it waits for the operator's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<ClientId>,
    /// All of it, where backends are told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Whole>,
}

impl CertificateRecord {
    /// A certificate of which nothing else is known.
    #[must_use]
    pub const fn new(
        fingerprint: Fingerprint,
        mapping: Mapping,
        source: Source,
        created_at: Timestamp,
    ) -> Self {
        Self {
            fingerprint,
            mapping,
            source,
            facts: None,
            created_at,
            ca: None,
            renews: None,
            renewed_by: None,
            proposed: None,
            whole: None,
        }
    }

    /// Whether what it says and who issued it are known, so that a renewal can be compared.
    #[must_use]
    pub const fn is_learned(&self) -> bool {
        self.facts.is_some() && self.ca.is_some()
    }

    /// Whether it identifies this client.
    #[must_use]
    pub fn is_of(&self, client: &ClientId) -> bool {
        matches!(&self.mapping, Mapping::Mapped { client: own, .. } if own == client)
    }

    /// The same certificate, of which this is known.
    #[must_use]
    pub fn with_facts(self, facts: Option<Facts>) -> Self {
        Self { facts, ..self }
    }
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
    /// Nobody any more, since a newer certificate of this client took its place. The operator can
    /// undo that.
    Superseded {
        /// The client.
        client: ClientId,
        /// The key id that it was seen under.
        key: KeyId,
        /// Since when.
        at: Timestamp,
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

impl Mapping {
    /// Whose certificate it is or was, as far as that is recorded.
    #[must_use]
    pub const fn client(&self) -> Option<&ClientId> {
        match self {
            Self::Mapped { client, .. } | Self::Superseded { client, .. } => Some(client),
            Self::Pending | Self::Twin { .. } | Self::Removed { .. } => None,
        }
    }
}

/// How a certificate came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It was verified at its first sight.
    FirstSight,
    /// The operator added it.
    Operator,
}
