//! What the store remembers of a client.

use serde::{Deserialize, Serialize};

use super::{ClientId, Tags};
use crate::clock::Timestamp;

/// A client. Records are never deleted: a disabled client keeps its name for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRecord {
    /// Its name.
    pub id: ClientId,
    /// Whether its credentials are accepted.
    pub status: ClientStatus,
    /// When it became known.
    pub created_at: Timestamp,
    /// What the operator calls it, in any words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the operator tagged it with, to put it into cohorts.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Whether a client's credentials are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum ClientStatus {
    /// They are.
    Active,
    /// None of them is, neither certificate nor key.
    Disabled {
        /// Since when.
        at: Timestamp,
    },
}

impl ClientRecord {
    /// A new client that is accepted.
    #[must_use]
    pub const fn new(id: ClientId, description: Option<String>, now: Timestamp) -> Self {
        Self {
            id,
            status: ClientStatus::Active,
            created_at: now,
            description,
            tags: Tags::new(),
        }
    }

    /// Whether its credentials are accepted.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.status, ClientStatus::Active)
    }
}
