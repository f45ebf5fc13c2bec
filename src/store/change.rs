//! Changes, and the events that they leave.

use serde::{Deserialize, Serialize};

use super::{Epoch, Record};
use crate::clock::Timestamp;

/// Who caused a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Actor {
    /// The gateway itself, on a client's first sight.
    Gateway,
    /// A client, by self-service.
    Client {
        /// Its id.
        id: crate::client::ClientId,
    },
    /// The operator, by command.
    Operator {
        /// The login name of whoever ran it.
        name: String,
    },
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A client was made by the operator.
    ClientAdded,
    /// A client was disabled.
    ClientDisabled,
    /// A client was enabled again.
    ClientEnabled,
    /// A verified certificate was seen first, and made its client and key id.
    CertificateEnrolled,
    /// A verified certificate was seen first, and waits for approval.
    CertificatePending,
    /// The operator gave a certificate to a client.
    CertificateAdded,
    /// A certificate identifies nobody any more.
    CertificateRemoved,
    /// A key was shown to its client by self-service.
    KeyClaimed,
    /// A key was issued by the operator.
    KeyIssued,
    /// A key was revoked.
    KeyRevoked,
}

/// One atomic change: every write is done under one epoch, or none is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// What was done.
    pub action: Action,
    /// By whom.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// The records to write; no two with the same id.
    pub writes: Vec<Write>,
}

/// One record to write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Write {
    /// The version that the record must have now; [`Epoch::NONE`] when there must be none.
    pub expected: Epoch,
    /// What it becomes.
    pub record: Record,
}

impl Write {
    /// A record that must not exist yet.
    pub fn create(record: impl Into<Record>) -> Self {
        Self {
            expected: Epoch::NONE,
            record: record.into(),
        }
    }

    /// A record in place of the one that was read as `version`.
    pub fn replace(version: Epoch, record: impl Into<Record>) -> Self {
        Self {
            expected: version,
            record: record.into(),
        }
    }
}

/// What a change left in the stream: replicas follow it, and it says who did what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The change's number.
    pub epoch: Epoch,
    /// What was done.
    pub action: Action,
    /// By whom.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// The records as they became.
    pub records: Vec<Record>,
}

impl Event {
    /// The event of `change` as number `epoch`.
    #[must_use]
    pub fn of(change: &Change, epoch: Epoch) -> Self {
        Self {
            epoch,
            action: change.action,
            actor: change.actor.clone(),
            at: change.at,
            records: change
                .writes
                .iter()
                .map(|write| write.record.clone())
                .collect(),
        }
    }
}
