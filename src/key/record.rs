//! What the store remembers of a key.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Digest, KeyId};
use crate::client::ClientId;
use crate::clock::Timestamp;

/// A key id and, once it was issued, the digest of its secret.
///
/// A client that calls by certificate has a key id before it has a key: backends see the same id
/// before and after the move.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// The public id.
    pub id: KeyId,
    /// Whose key it is.
    pub client: ClientId,
    /// The digest of the key; none while it is only reserved, or was never fetched.
    pub digest: Option<Digest>,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// When the id was made.
    pub created_at: Timestamp,
    /// When the key was shown.
    pub issued_at: Option<Timestamp>,
    /// The first moment at which the key is no longer good.
    pub expires_at: Option<Timestamp>,
    /// What the key may be used for, where routes ask for scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// The key that took its place, once it was rotated: from then on it only ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<KeyId>,
    /// For repeating the answer to a claim whose answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// Whether a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum KeyStatus {
    /// In use, or reserved for its client.
    Active,
    /// Never again.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// By whom.
        by: RevokedBy,
    },
}

impl KeyStatus {
    /// Whether a key of this status that ends at `end` can be used.
    ///
    /// # Errors
    ///
    /// The fault, revocation first.
    pub fn usable(self, end: Option<Timestamp>, now: Timestamp) -> Result<(), KeyFault> {
        match self {
            Self::Revoked { .. } => Err(KeyFault::Revoked),
            Self::Active if end.is_some_and(|end| now >= end) => Err(KeyFault::Expired),
            Self::Active => Ok(()),
        }
    }
}

/// Who revoked a key. After the operator did, the client may claim another; after the client did,
/// it may not by itself: whoever stole its certificate could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedBy {
    /// The operator.
    Operator,
    /// The client, with the key.
    Client,
}

/// The issued key, sealed under a key that only the pepper together with the client's idempotency
/// token and certificate gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Base64 of nonce and ciphertext.
    pub sealed: String,
    /// Until when the answer can be repeated.
    pub until: Timestamp,
}

/// Why a key that was presented is not good. The client is told `key_invalid`; the log is told this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// No such key id.
    Unknown,
    /// The id exists, the secret is another (or was never issued).
    WrongSecret,
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired,
}

impl KeyFault {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::WrongSecret => "wrong_secret",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl KeyRecord {
    /// The key id `id` for `client`, without a key: reserved until the client fetches it.
    #[must_use]
    pub const fn reserved(id: KeyId, client: ClientId, now: Timestamp) -> Self {
        Self {
            id,
            client,
            digest: None,
            status: KeyStatus::Active,
            created_at: now,
            issued_at: None,
            expires_at: None,
            scopes: Vec::new(),
            rotated_to: None,
            receipt: None,
        }
    }

    /// Whether it can be used by somebody who proved to hold it.
    ///
    /// # Errors
    ///
    /// The fault, revocation first.
    pub fn usable(&self, now: Timestamp) -> Result<(), KeyFault> {
        self.status.usable(self.expires_at, now)
    }

    /// Whether the client's certificates can still claim a key by this id: its own, or the one after
    /// it. Every other key that was fetched stays the only one, also when it has ended: whoever
    /// holds an old certificate gets none.
    #[must_use]
    pub const fn is_claimable(&self) -> bool {
        match self.status {
            KeyStatus::Active => !self.is_issued(),
            KeyStatus::Revoked { by, .. } => matches!(by, RevokedBy::Operator),
        }
    }

    /// Whether somebody holds it, and it can be used.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.is_issued() && self.usable(now).is_ok()
    }

    /// Whether a key was ever shown under this id.
    #[must_use]
    pub const fn is_issued(&self) -> bool {
        self.digest.is_some()
    }
}

/// One thing that a key may be used for: 1 to 64 characters of `A-Za-z0-9._:/-`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Box<str>);

/// The text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is 1 to 64 characters of A-Z a-z 0-9 . _ : / -")]
pub struct NotAScope;

impl Scope {
    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Scope {
    type Error = NotAScope;

    fn try_from(text: String) -> Result<Self, NotAScope> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into_boxed_str()))
        } else {
            Err(NotAScope)
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        Self::try_from(text.to_owned())
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0.into()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
