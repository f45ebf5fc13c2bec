//! Whether a key would be good, for somebody who is known without it.

use super::{Freshness, Identity, Lookup, Refused};
use crate::clock::Timestamp;
use crate::directory::View;
use crate::key::{ApiKey, KeyFault, Peppers};

/// What is told of a key that was only shown to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is good, and the asker's own.
    Good,
    /// It is none, or not a good one of anybody's.
    Unknown,
    /// It is the asker's own, to the last digit, and has ended by itself.
    Expired,
    /// It is good, and another client's.
    OtherClient,
}

impl Checked {
    /// The word of the answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::OtherClient => "other-client",
        }
    }
}

/// What `asker`, who proved itself by certificate, is told of `key`. Whatever the asker could not
/// have known by holding the whole key looks like a key that does not exist. Nothing while the
/// directory must catch up first.
#[must_use]
pub fn check(
    view: &View,
    peppers: &Peppers,
    key: &ApiKey,
    asker: &Identity,
    freshness: Freshness,
    now: Timestamp,
) -> Option<Checked> {
    let lookup = Lookup { view, freshness };
    let checked = match lookup.by_key(key, peppers, now) {
        Ok(found) if found.client() == asker.client() => Checked::Good,
        Ok(_) => Checked::OtherClient,
        Err(Refused::Unconfirmed) => return None,
        Err(Refused::KeyInvalid {
            id,
            fault: KeyFault::Expired,
        }) if view.key(&id)?.client() == asker.client() => Checked::Expired,
        Err(_) => Checked::Unknown,
    };
    Some(checked)
}
