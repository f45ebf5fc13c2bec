//! Changes.

use serde::{Deserialize, Serialize};

use super::{Epoch, Head, Origin, Record, StoreError};
use crate::clock::Timestamp;

/// Who caused a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Actor {
    /// The gateway itself, on a certificate's first sight or first use.
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

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gateway => f.write_str("gateway"),
            Self::Client { id } => write!(f, "client {id}"),
            Self::Operator { name } => write!(f, "operator {name}"),
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// A verified certificate was seen first, and took over from one that is known.
    CertificateRenewed,
    /// A certificate that was only named was verified, and what it says was recorded.
    CertificateLearned,
    /// The operator gave a certificate that is to come to a client.
    CertificateAnnounced,
    /// That a certificate was announced was taken back.
    AnnouncementWithdrawn,
    /// A certificate identifies nobody any more, since a newer one took its place.
    CertificateSuperseded,
    /// That a certificate was superseded was undone.
    CertificateRestored,
    /// A key was shown to its client by self-service.
    KeyClaimed,
    /// A key was issued by the operator.
    KeyIssued,
    /// A new key took the place of one, which goes on for a while.
    KeyRotated,
    /// A key was revoked.
    KeyRevoked,
    /// The revocation of a key was taken back.
    KeyRestored,
    /// The digest of a key was made anew with the current pepper.
    KeyDigestRenewed,
    /// A client was given tags, or lost some.
    ClientTagged,
    /// A phase was set.
    PhaseSet,
    /// The setting of a phase was taken back.
    PhaseUndone,
    /// Records came from a backup or another store, and more of them follow.
    StoreRestoring,
    /// With this, all that were to come from a backup or another store have come.
    StoreRestored,
}

impl Action {
    /// Whether somebody who was let in no longer is: it must not get lost again.
    #[must_use]
    pub const fn takes_away(self) -> bool {
        matches!(
            self,
            Self::ClientDisabled
                | Self::CertificateRemoved
                | Self::CertificateSuperseded
                | Self::AnnouncementWithdrawn
                | Self::KeyRevoked
                | Self::StoreRestored
        )
    }
}

impl std::fmt::Display for Action {
    /// As it is stored.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// One atomic change: every write is done under one epoch, or none is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// What was done.
    pub action: Action,
    /// By whom.
    pub actor: Actor,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When.
    pub at: Timestamp,
    /// Why, in the words of whoever caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The records to write; no two with the same id.
    pub writes: Vec<Write>,
    /// How far whoever makes it knows the store: one that has lost that is not written to.
    #[serde(default)]
    pub follows: Epoch,
}

impl Change {
    /// A change for no stated reason.
    #[must_use]
    pub const fn new(action: Action, actor: Actor, at: Timestamp, writes: Vec<Write>) -> Self {
        Self {
            action,
            actor,
            origin: None,
            at,
            reason: None,
            writes,
            follows: Epoch::NONE,
        }
    }

    /// One change that does what all of these do; none when there are none. They are of one kind,
    /// and write different records.
    #[must_use]
    pub fn of_all(changes: impl IntoIterator<Item = Self>) -> Option<Self> {
        changes.into_iter().reduce(|mut all, next| {
            all.writes.extend(next.writes);
            all
        })
    }

    /// The same change, for `reason` when there is one.
    #[must_use]
    pub fn because(mut self, reason: Option<Reason>) -> Self {
        self.reason = reason.or(self.reason);
        self
    }

    /// The same change, for a store that still has the change `known`.
    #[must_use]
    pub fn following(mut self, known: Epoch) -> Self {
        self.follows = known;
        self
    }

    /// Whether a store that is at `head` may be changed so.
    ///
    /// # Errors
    ///
    /// [`StoreError::Lost`] when it has lost what the change follows.
    pub(super) fn expect_kept(&self, head: Head) -> Result<(), StoreError> {
        if head.epoch < self.follows {
            return Err(StoreError::Lost {
                known: self.follows,
                has: head.epoch,
            });
        }
        Ok(())
    }

    /// The same change, caused from `origin`.
    #[must_use]
    pub fn caused_from(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}

/// Why a change was made, in one line: 1 to 500 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(Box<str>);

/// The text is not a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason is one line of 1 to 500 characters")]
pub struct NotAReason;

impl TryFrom<String> for Reason {
    type Error = NotAReason;

    fn try_from(text: String) -> Result<Self, NotAReason> {
        let fits = (1..=500).contains(&text.chars().count()) && !text.contains(char::is_control);
        fits.then(|| Self(text.into_boxed_str())).ok_or(NotAReason)
    }
}

impl std::str::FromStr for Reason {
    type Err = NotAReason;

    fn from_str(text: &str) -> Result<Self, NotAReason> {
        Self::try_from(text.to_owned())
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0.into()
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
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
