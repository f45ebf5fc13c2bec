//! What is done to keys.

use super::{KeyRecord, KeyStatus, RevokedBy};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};

/// Revokes the key that was read as `version`. Its id goes on to name the client's certificates'
/// identity until there is a new key.
#[must_use]
pub fn revoke((version, record): (Epoch, KeyRecord), actor: Actor, now: Timestamp) -> Change {
    let by = match actor {
        Actor::Operator { .. } => RevokedBy::Operator,
        Actor::Client { .. } | Actor::Gateway => RevokedBy::Client,
    };
    let revoked = KeyRecord {
        status: KeyStatus::Revoked { at: now, by },
        receipt: None,
        ..record
    };
    Change::new(
        Action::KeyRevoked,
        actor,
        now,
        vec![Write::replace(version, revoked)],
    )
}
