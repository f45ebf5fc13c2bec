//! The name of a client.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::KeyId;

/// A client's name: 1 to 64 characters of `a-z0-9._-`. It never changes and is never reused.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(Arc<str>);

/// The text is not a client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client id is 1 to 64 characters of a-z 0-9 . _ -")]
pub struct NotAClientId;

impl ClientId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id that `text` was taken from.
    pub(crate) fn known(text: &str) -> Self {
        Self(text.into())
    }

    /// The characters of `name` that an id may have, with one hyphen for each run of others between them.
    pub(crate) fn plain(name: &str) -> String {
        let mut id = String::new();
        for c in name.chars().map(|c| c.to_ascii_lowercase()) {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_' {
                id.push(c);
            } else if !id.is_empty() && !id.ends_with('-') {
                id.push('-');
            }
        }
        id.truncate(id.trim_end_matches('-').len());
        id
    }

    /// An id for a client that enrols itself: what its certificate calls itself, made fit, and
    /// the end of its new key id, since two clients may call themselves the same.
    #[must_use]
    pub fn suggest(name: Option<&str>, key: KeyId) -> Self {
        let mut stem = Self::plain(name.unwrap_or("client"));
        stem.truncate(48);
        let stem = match stem.trim_end_matches('-') {
            "" => "client",
            stem => stem,
        };
        let key = key.to_string();
        let tail = key.get(24..).unwrap_or(&key);
        Self(format!("{stem}-{tail}").into())
    }
}

impl FromStr for ClientId {
    type Err = NotAClientId;

    fn from_str(text: &str) -> Result<Self, NotAClientId> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(NotAClientId)
        }
    }
}

impl TryFrom<String> for ClientId {
    type Error = NotAClientId;

    fn try_from(text: String) -> Result<Self, NotAClientId> {
        text.parse()
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_plain_and_short() {
        assert!("acme-payments".parse::<ClientId>().is_ok());
        for bad in ["", "Acme", "a b", "ä", "a/b", "a\n", &"a".repeat(65)] {
            assert_eq!(bad.parse::<ClientId>(), Err(NotAClientId), "{bad:?}");
        }
    }

    #[test]
    fn what_an_id_may_not_have_becomes_one_hyphen() {
        for (name, plain) in [
            ("Acme Corp (EU)", "acme-corp-eu"),
            ("--a--b.c_d", "a-b.c_d"),
            ("Müller", "m-ller"),
            ("例え", ""),
        ] {
            assert_eq!(ClientId::plain(name), plain);
        }
        let key = KeyId::generate();
        let tail = key.to_string().split_off(24);
        for (name, stem) in [
            (None, "client".to_owned()),
            (Some("例え"), "client".to_owned()),
            (Some("Acme!"), "acme".to_owned()),
            (Some(&*format!("{} b", "a".repeat(47))), "a".repeat(47)),
        ] {
            let suggested = ClientId::suggest(name, key);
            assert_eq!(suggested.as_str(), format!("{stem}-{tail}"));
        }
    }

    proptest! {
        #[test]
        fn whatever_a_certificate_calls_itself_the_suggestion_is_an_id(name in ".{0,200}") {
            let suggested = ClientId::suggest(Some(&name), KeyId::generate());
            prop_assert_eq!(suggested.as_str().parse(), Ok(suggested.clone()));
        }
    }
}
