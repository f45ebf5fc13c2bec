//! What makes a stored record or event believable: a MAC under a secret that the store does not
//! have. Whoever can write to the store, and no more, makes up none.
//!
//! The stored form has exactly one text: `{"schema":2,` what it says `,"mac":"VERSION:HEX"}`, and
//! with schema 1 the same without a MAC. Nothing of it is read before its MAC is found right.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Epoch, RecordId};
use crate::key::{is_same_key, keyed};
use crate::secret::SecretBytes;

/// The stored form without a MAC.
const UNSIGNED: u32 = 1;
/// The stored form with one; the newest that this program knows.
pub(super) const SCHEMA: u32 = 2;

const DIGITS: usize = 64;

/// Which record key a MAC was made with.
pub type RecordKeyVersion = u32;

/// A secret that records and events are authenticated with.
#[derive(Clone)]
pub struct RecordKey {
    version: RecordKeyVersion,
    state: Hmac<Sha256>,
}

impl RecordKey {
    /// The record key `secret`, known as `version`.
    #[must_use]
    pub fn new(version: RecordKeyVersion, secret: &SecretBytes) -> Self {
        let state = keyed(secret.expose());
        Self { version, state }
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.state.clone();
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            mac.update(&length.to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordKey({}, [redacted])", self.version)
    }
}

/// What new records and events are signed with, and what stored ones are believed for.
///
/// A clone is the same: what [takes the place](Self::replace) of one takes that of all, so that a
/// running store goes on with other keys. Whatever is signed or checked is so with one state of them.
#[derive(Clone, Debug)]
pub struct RecordKeys(Arc<ArcSwap<Believed>>);

#[derive(Debug)]
struct Believed {
    /// The first signs.
    keys: Vec<RecordKey>,
    accept_unsigned: bool,
}

impl RecordKeys {
    /// No key: nothing is signed, and everything is believed.
    #[must_use]
    pub fn none() -> Self {
        Self::of(Vec::new(), true)
    }

    /// `current` signs; what was signed with one of `others` is believed as well.
    pub fn new(current: RecordKey, others: impl IntoIterator<Item = RecordKey>) -> Self {
        Self::of(std::iter::once(current).chain(others).collect(), false)
    }

    fn of(keys: Vec<RecordKey>, accept_unsigned: bool) -> Self {
        let believed = Believed {
            keys,
            accept_unsigned,
        };
        Self(Arc::new(ArcSwap::from_pointee(believed)))
    }

    /// The same keys, and what is not signed at all is believed, too.
    #[must_use]
    pub fn accepting_unsigned(self) -> Self {
        Self::of(self.0.load().keys.clone(), true)
    }

    /// Puts what `next` is now in the place of these, here and in every clone.
    pub fn replace(&self, next: &Self) {
        self.0.store(next.0.load_full());
    }

    /// Whether anybody who can write to the store is believed.
    #[must_use]
    pub fn accepts_unsigned(&self) -> bool {
        self.0.load().accept_unsigned
    }

    /// The version of the key that signs; none when nothing is signed.
    #[must_use]
    pub fn current(&self) -> Option<RecordKeyVersion> {
        self.0.load().keys.first().map(|key| key.version)
    }

    /// Every key that is known.
    #[must_use]
    pub fn versions(&self) -> Vec<RecordKeyVersion> {
        self.0.load().keys.iter().map(|key| key.version).collect()
    }

    /// The keys that `next` does not have, or has with another secret.
    #[must_use]
    pub fn missing_in(&self, next: &Self) -> Vec<RecordKeyVersion> {
        let next = next.0.load();
        let is_there = |key: &RecordKey| {
            let next = next.keys.iter().find(|next| next.version == key.version);
            next.is_some_and(|next| is_same_key(&key.state, &next.state))
        };
        let known = self.0.load();
        let missing = known.keys.iter().filter(|key| !is_there(key));
        missing.map(|key| key.version).collect()
    }

    /// Whether `next` believes what these do not.
    #[must_use]
    pub fn believe_less_than(&self, next: &Self) -> bool {
        let accepts_more = next.accepts_unsigned() && !self.accepts_unsigned();
        accepts_more || !next.missing_in(self).is_empty()
    }

    /// A key for another use, which the record key `version` gives with `context`; nothing when it
    /// is not known.
    pub(super) fn derive(&self, version: RecordKeyVersion, context: &[u8]) -> Option<[u8; 32]> {
        let believed = self.0.load();
        let key = believed.keys.iter().find(|key| key.version == version)?;
        Some(key.mac(&[context]).finalize().into_bytes().into())
    }

    /// The stored form of what says `body`. The MAC is of `parts`.
    pub(super) fn close(&self, body: &str, parts: &[&[u8]]) -> String {
        match self.0.load().keys.first() {
            None => format!("{{\"schema\":{UNSIGNED},{body}}}"),
            Some(key) => {
                let mac = hex::encode(key.mac(parts).finalize().into_bytes());
                format!(
                    "{{\"schema\":{SCHEMA},{body},\"mac\":\"{}:{mac}\"}}",
                    key.version
                )
            }
        }
    }

    /// Whether this is the MAC of `parts`, or none is needed.
    pub(super) fn check(&self, mac: Option<&StoredMac>, parts: &[&[u8]]) -> Result<(), Refusal> {
        let believed = self.0.load();
        let Some(mac) = mac else {
            return if believed.accept_unsigned {
                Ok(())
            } else {
                Err(Refusal::Unsigned)
            };
        };
        if believed.keys.is_empty() && believed.accept_unsigned {
            return Ok(());
        }
        let key = believed.keys.iter().find(|key| key.version == mac.key);
        let key = key.ok_or(Refusal::UnknownKey(mac.key))?;
        let right = key.mac(parts).verify_slice(&mac.bytes);
        right.map_err(|_| Refusal::WrongMac)
    }
}

/// A stored form taken apart.
pub(super) struct Opened<'a> {
    /// What it says, not to be believed yet.
    pub(super) body: &'a str,
    pub(super) mac: Option<StoredMac>,
}

pub(super) struct StoredMac {
    pub(super) key: RecordKeyVersion,
    bytes: [u8; DIGITS / 2],
}

impl<'a> Opened<'a> {
    pub(super) fn read(stored: &'a [u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(stored).map_err(|error| damaged(&error))?;
        let whole = || damaged(&"it does not begin or end as it should");
        let inner = text.strip_prefix("{\"schema\":").ok_or_else(whole)?;
        let (schema, inner) = inner.split_once(',').ok_or_else(whole)?;
        match number(schema).ok_or_else(whole)? {
            UNSIGNED => Ok(Self {
                body: inner.strip_suffix('}').ok_or_else(whole)?,
                mac: None,
            }),
            SCHEMA => {
                let inner = inner.strip_suffix("\"}").ok_or_else(whole)?;
                let (body, mac) = inner.rsplit_once(",\"mac\":\"").ok_or_else(whole)?;
                Ok(Self {
                    body,
                    mac: Some(StoredMac::read(mac).ok_or_else(whole)?),
                })
            }
            schema => Err(Refusal::Schema(schema)),
        }
    }

    /// The number after `before` with which the body begins, and what follows after `between`.
    pub(super) fn numbered(&self, before: &str, between: &str) -> Option<(Epoch, &'a str)> {
        let (version, rest) = self.body.strip_prefix(before)?.split_once(between)?;
        Some((Epoch(number(version)?), rest))
    }
}

impl StoredMac {
    fn read(text: &str) -> Option<Self> {
        let (key, digits) = text.split_once(':')?;
        let mut bytes = [0; DIGITS / 2];
        let is_lower = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if !digits.bytes().all(is_lower) {
            return None;
        }
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        let key = number(key)?;
        Some(Self { key, bytes })
    }
}

/// A number in its one text form.
fn number<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse()
        .ok()
        .filter(|number: &T| number.to_string() == text)
}

/// A record or an event of the store that is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{what} is refused: {why}")]
pub struct Refused {
    /// What it is.
    pub what: What,
    /// What is wrong with it.
    pub why: Refusal,
}

/// What is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum What {
    /// What stands in the place of this record.
    Record(RecordId),
    /// An event, or what is no record at all.
    Other(String),
}

impl From<&RecordId> for What {
    fn from(id: &RecordId) -> Self {
        Self::Record(id.clone())
    }
}

impl From<String> for What {
    fn from(what: String) -> Self {
        Self::Other(what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(id) => id.fmt(f),
            Self::Other(what) => what.fmt(f),
        }
    }
}

/// Why a record or an event is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It is not in the form in which this program writes.
    #[error("it is damaged ({0})")]
    Damaged(String),
    /// A newer version of this program wrote it, or nobody did.
    #[error("it has schema {0}, and this program knows {SCHEMA}; run the version that wrote it")]
    Schema(u32),
    /// It has no MAC.
    #[error("it has no MAC, and store.unsigned_records does not accept that")]
    Unsigned,
    /// Its MAC was made with a key that is not known.
    #[error("its MAC is of record key {0}, which store.record_keys does not have")]
    UnknownKey(RecordKeyVersion),
    /// Somebody without the record key wrote it, or changed it.
    #[error("its MAC is wrong: somebody without the record key wrote or changed it")]
    WrongMac,
}

impl Refusal {
    /// Every name that [`Self::as_str`] gives.
    pub const NAMES: [&'static str; 5] =
        ["damaged", "schema", "unsigned", "unknown_key", "wrong_mac"];

    /// A name for counting.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        let [damaged, schema, unsigned, unknown_key, wrong_mac] = Self::NAMES;
        match self {
            Self::Damaged(_) => damaged,
            Self::Schema(_) => schema,
            Self::Unsigned => unsigned,
            Self::UnknownKey(_) => unknown_key,
            Self::WrongMac => wrong_mac,
        }
    }

    /// With what it is about.
    pub(super) fn of(self, what: impl Into<What>) -> Refused {
        let what = what.into();
        Refused { what, why: self }
    }
}

pub(super) fn damaged(why: &impl fmt::Display) -> Refusal {
    Refusal::Damaged(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn key(version: RecordKeyVersion, byte: u8) -> RecordKey {
        RecordKey::new(version, &Secret::new(vec![byte; 32]))
    }

    #[test]
    fn what_takes_the_place_of_record_keys_does_so_in_every_clone() {
        let keys = RecordKeys::new(key(1, 1), []).accepting_unsigned();
        let (running, before) = (keys.clone(), keys.close("x", &[b"x"]));
        keys.replace(&RecordKeys::new(key(2, 2), [key(1, 1)]));
        assert_eq!(
            (running.current(), running.versions()),
            (Some(2), vec![2, 1])
        );
        assert!(!running.accepts_unsigned());
        let check = |stored: &str| {
            let opened = Opened::read(stored.as_bytes()).unwrap();
            running.check(opened.mac.as_ref(), &[b"x"])
        };
        assert_eq!(check(&before), Ok(()));
        assert_eq!(check(&running.close("x", &[b"x"])), Ok(()));
        keys.replace(&RecordKeys::new(key(2, 2), []));
        assert_eq!(check(&before), Err(Refusal::UnknownKey(1)));
    }

    #[test]
    fn a_record_key_that_went_or_became_another_is_missed() {
        let keys = RecordKeys::new(key(2, 2), [key(1, 1)]);
        let missing = |next: RecordKeys| keys.missing_in(&next);
        assert!(missing(RecordKeys::new(key(1, 1), [key(2, 2)])).is_empty());
        assert_eq!(missing(RecordKeys::new(key(2, 2), [key(1, 9)])), [1]);
        assert_eq!(missing(RecordKeys::none()), [2, 1]);
    }
}
