//! Rotating: a new key takes the place of one, which goes on for a while.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::receipt::Seal;
use super::{ApiKey, Format, IdempotencyToken, KeyFault, KeyId, KeyRecord, Peppers};
use crate::client::{Disabled, Holdings, TooManyKeys};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};

const RECEIPT_CONTEXT: &[u8] = b"rotate.v1\0";

/// How long a key stays good beside the one that takes its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// Not at all: it ends with the rotation.
    #[serde(rename = "0")]
    Nothing,
    /// An hour.
    #[serde(rename = "1h")]
    Hour,
    /// A day.
    #[default]
    #[serde(rename = "24h")]
    Day,
    /// Seven days.
    #[serde(rename = "7d")]
    Week,
    /// Thirty days.
    #[serde(rename = "30d")]
    Month,
}

/// The text is not an overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an overlap is one of 0, 1h, 24h, 7d and 30d")]
pub struct NotAnOverlap;

impl Overlap {
    const ALL: [(Self, &'static str, u64); 5] = [
        (Self::Nothing, "0", 0),
        (Self::Hour, "1h", 1),
        (Self::Day, "24h", 24),
        (Self::Week, "7d", 7 * 24),
        (Self::Month, "30d", 30 * 24),
    ];

    fn row(self) -> (&'static str, Duration) {
        let row = Self::ALL.iter().find(|(overlap, ..)| *overlap == self);
        row.map_or(("0", Duration::ZERO), |(_, text, hours)| {
            (text, Duration::from_hours(*hours))
        })
    }

    /// The same as a duration.
    #[must_use]
    pub fn as_duration(self) -> Duration {
        self.row().1
    }
}

impl FromStr for Overlap {
    type Err = NotAnOverlap;

    fn from_str(text: &str) -> Result<Self, NotAnOverlap> {
        let row = Self::ALL.iter().find(|(_, known, _)| *known == text);
        row.map(|(overlap, ..)| *overlap).ok_or(NotAnOverlap)
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().0)
    }
}

/// A wish for another key in the place of `key`, by somebody who may have it.
pub struct Rotation<'a> {
    /// The client, with all certificates and all keys that can be used, `key`, and the key that it
    /// was rotated to before.
    pub of: &'a Holdings,
    /// The key whose place is taken.
    pub key: KeyId,
    /// How long it stays good.
    pub overlap: Overlap,
    /// When the new key ends by itself; none when it ends as the old one would have: a client does
    /// not lengthen its own access.
    pub expires_at: Option<Timestamp>,
    /// Whether the key that `key` was rotated to before was ever used.
    pub successor_used: bool,
    /// How many keys that can be used the client may have at the same time.
    pub most: usize,
    /// How a lost answer can be repeated.
    pub retry: Option<Retry<'a>>,
}

/// What repeats the answer to a rotation: the client's token, together with the key that it showed.
#[derive(Clone, Copy)]
pub struct Retry<'a> {
    /// The client's token.
    pub token: &'a IdempotencyToken,
    /// The key that is rotated, as it was shown.
    pub shown: &'a ApiKey,
    /// Until when the answer can be repeated.
    pub until: Timestamp,
}

/// What comes of a rotation.
#[derive(Debug)]
pub enum Rotated {
    /// This key, once the change is carried out.
    Issued(ApiKey, Box<Change>),
    /// This key, which the client was already shown under the same token.
    Repeated(ApiKey),
}

/// Why a key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum NotRotated {
    /// The client is disabled.
    #[error(transparent)]
    Disabled(#[from] Disabled),
    /// The key cannot be used any more.
    #[error("the key {0} is {word}; use another, or issue one", word = .1.as_str())]
    Ended(KeyId, KeyFault),
    /// Another key took its place before, and that one is in use or was ended on purpose.
    #[error("the key {0} was rotated before, to {1}; rotate that one")]
    Before(KeyId, KeyId),
    /// The old key would go on beside as many others as there may be.
    #[error(transparent)]
    TooMany(#[from] TooManyKeys),
    /// The system has no randomness to give.
    #[error("the system has no randomness to give: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl Rotation<'_> {
    /// Decides at `now`. The new key has an id of its own, the scopes of the old one, and all the
    /// client's certificates map to it. The old one ends by itself when the overlap is over, never
    /// later than it would have.
    ///
    /// A key that was rotated before is rotated again only while the key that took its place was
    /// never used: its answer was lost, so it ends, and there is one unused key at a time. Once it
    /// was used, whoever still has the old one could otherwise take the client over.
    ///
    /// A rotation that ends a key makes no more of them, and so is never one too many.
    ///
    /// # Errors
    ///
    /// [`NotRotated`].
    pub fn decide(
        self,
        (format, peppers): (&Format, &Peppers),
        actor: Actor,
        now: Timestamp,
    ) -> Result<Rotated, NotRotated> {
        self.of.expect_active()?;
        let (version, old) = self.usable(self.key, now)?;
        let before = match old.rotated_to {
            None => None,
            Some(next) => {
                let refused = NotRotated::Before(old.id, next);
                let Ok(unused) = self.usable(next, now) else {
                    return Err(refused);
                };
                if let Some(key) = self.repeated(&unused.1, format, peppers, now) {
                    return Ok(Rotated::Repeated(key));
                }
                if self.successor_used || unused.1.rotated_to.is_some() {
                    return Err(refused);
                }
                Some(unused)
            }
        };
        if before.is_none() && self.overlap != Overlap::Nothing {
            self.of.expect_room(self.most, now)?;
        }
        let expires_at = before.map_or(old, |(_, unused)| unused).expires_at;
        let key = ApiKey::generate(KeyId::generate(), format)?;
        let seal = self.seal(peppers);
        let receipt = match (seal, self.retry) {
            (Some(seal), Some(retry)) => seal.close(&key, retry.until)?,
            _ => None,
        };
        let new = KeyRecord {
            digest: Some(key.digest(peppers)),
            issued_at: Some(now),
            expires_at: self.expires_at.or(expires_at),
            scopes: old.scopes.clone(),
            receipt,
            ..KeyRecord::reserved(key.id(), self.of.id().clone(), now)
        };
        let end = now.plus(self.overlap.as_duration());
        let mut writes = vec![
            self.of.hold(),
            ended(*version, old, end, key.id()),
            Write::create(new),
        ];
        writes.extend(before.map(|(version, unused)| ended(*version, unused, now, key.id())));
        writes.extend(self.of.map_to(key.id()));
        let change = Change::new(Action::KeyRotated, actor, now, writes);
        Ok(Rotated::Issued(key, Box::new(change)))
    }

    fn usable(&self, id: KeyId, now: Timestamp) -> Result<&(Epoch, KeyRecord), NotRotated> {
        let ended = |fault| NotRotated::Ended(id, fault);
        let mut issued = self.of.keys.iter().filter(|(_, key)| key.is_issued());
        let known = issued.find(|(_, key)| key.id == id);
        let known = known.ok_or_else(|| ended(KeyFault::Unknown))?;
        known.1.usable(now).map_err(ended)?;
        Ok(known)
    }

    fn repeated(
        &self,
        unused: &KeyRecord,
        format: &Format,
        peppers: &Peppers,
        now: Timestamp,
    ) -> Option<ApiKey> {
        let receipt = unused.receipt.as_ref()?;
        let seal = self.seal(peppers)?;
        seal.open(receipt, unused.id, format, now)
    }

    /// The seal that only the client's token and the old key together with the pepper give.
    fn seal(&self, peppers: &Peppers) -> Option<Seal> {
        let Retry { token, shown, .. } = self.retry?;
        let proof = shown.reveal().as_bytes();
        Some(Seal::new(RECEIPT_CONTEXT, proof, token, peppers))
    }
}

/// The key ends at `end`, or earlier when it would have, and `next` has taken its place.
fn ended(version: Epoch, key: &KeyRecord, end: Timestamp, next: KeyId) -> Write {
    let ended = KeyRecord {
        expires_at: Some(key.expires_at.map_or(end, |before| before.min(end))),
        rotated_to: Some(next),
        receipt: None,
        ..key.clone()
    };
    Write::replace(version, ended)
}

#[cfg(test)]
mod tests;
