//! Words by which clients are put together.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most tags that a client has.
pub const MOST_TAGS: usize = 32;

/// A word that the operator gives to clients, to speak of all that have it: 1 to 64 characters of
/// `a-z0-9._/=-`, such as `mobile` or `region=eu`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Box<str>);

/// What a client is tagged with, in the order of the alphabet.
pub type Tags = BTreeSet<Tag>;

/// The text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 1 to 64 characters of a-z 0-9 . _ / = -")]
pub struct NotATag;

impl Tag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = NotATag;

    fn from_str(text: &str) -> Result<Self, NotATag> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._/=-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(NotATag)
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = NotATag;

    fn try_from(text: String) -> Result<Self, NotATag> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0.into()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_plain_word() {
        for good in ["mobile", "region=eu", "team/a.b_c-d", &"a".repeat(64)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "Mobile",
            "a b",
            "!a",
            "a,b",
            "ä",
            "a:b",
            &"a".repeat(65),
        ] {
            assert_eq!(bad.parse::<Tag>(), Err(NotATag), "{bad:?}");
        }
    }
}
