//! A link to the operator's own words about the move.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The address of a page that tells clients how to move: `https://`, in characters that a header
/// can hold, at most 500 of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guide(Box<str>);

/// The text is not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guide is the address of a page: https://… without spaces, quotes, < and >")]
pub struct NotAGuide;

impl Guide {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Guide {
    type Err = NotAGuide;

    fn from_str(text: &str) -> Result<Self, NotAGuide> {
        let fits = |b: u8| b.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&b);
        let host = text.strip_prefix("https://").unwrap_or_default();
        if !host.is_empty() && !host.starts_with('/') && text.len() <= 500 && text.bytes().all(fits)
        {
            Ok(Self(text.into()))
        } else {
            Err(NotAGuide)
        }
    }
}

impl TryFrom<String> for Guide {
    type Error = NotAGuide;

    fn try_from(text: String) -> Result<Self, NotAGuide> {
        text.parse()
    }
}

impl From<Guide> for String {
    fn from(guide: Guide) -> Self {
        guide.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guide_is_an_address_that_a_header_can_hold() {
        assert!(
            "https://docs.example.com/move?x=1#a"
                .parse::<Guide>()
                .is_ok()
        );
        for bad in [
            "",
            "http://docs.example.com/",
            "https://",
            "https:///x",
            "https://a/<b>",
            "https://a/b c",
            "https://a/b\r\nSet-Cookie: x",
            "https://ä/",
        ] {
            assert_eq!(bad.parse::<Guide>(), Err(NotAGuide), "{bad:?}");
        }
    }
}
