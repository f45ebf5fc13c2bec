//! What is done to keys.

use super::{Digest, KeyRecord, KeyStatus, RevokedBy};
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

/// Puts the digest of the key that was read as `version` in the place of one of an older pepper;
/// nothing when it has none of an older one.
#[must_use]
pub fn digest_anew(
    (version, record): (Epoch, KeyRecord),
    digest: Digest,
    now: Timestamp,
) -> Option<Change> {
    let is_older = |stored: &Digest| stored.pepper() < digest.pepper();
    record.digest.as_ref().is_some_and(is_older).then(|| {
        let renewed = KeyRecord {
            digest: Some(digest),
            ..record
        };
        let write = Write::replace(version, renewed);
        Change::new(Action::KeyDigestRenewed, Actor::Gateway, now, vec![write])
    })
}
