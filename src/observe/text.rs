//! What a header says, as text that can be shown and does not grow.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::key::Format;
use crate::text::escaped;

/// How many characters of a value are kept; a longer one is told from others by its hash.
const LONGEST: usize = 96;
/// How many bytes of a longer value's hash are kept.
const HASH: usize = 8;
/// What is kept of a value that holds one of our keys.
const A_KEY: &str = "(an API key)";

/// A header's value: printable, of bounded length, and no key of ours. Values that differ remain
/// different.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct HeaderText(String);

impl HeaderText {
    /// What the header `name` says, all its fields in their order; none when it says nothing.
    #[must_use]
    pub fn read(headers: &HeaderMap, name: &HeaderName, format: &Format) -> Option<Self> {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if values.iter().all(|value| value.trim_ascii().is_empty()) {
            return None;
        }
        let value = values.join(&b", "[..]);
        if format.occurs_in(&value) {
            return Some(Self(A_KEY.to_owned()));
        }
        let text = String::from_utf8_lossy(&value);
        let mut shown = escaped(&text, LONGEST);
        let is_whole =
            matches!(text, std::borrow::Cow::Borrowed(_)) && text.chars().count() <= LONGEST;
        if !is_whole {
            let hash = hex::encode(Sha256::digest(&value));
            shown.push('…');
            shown.extend(hash.chars().take(HASH.saturating_mul(2)));
        }
        Some(Self(shown))
    }
}

impl fmt::Display for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-client-id");

    fn read(values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value).unwrap());
        }
        let format = Format::new("kf", "live").unwrap();
        HeaderText::read(&headers, &NAME, &format).map(|text| text.to_string())
    }

    #[test]
    fn a_value_is_kept_as_it_is() {
        assert_eq!(
            read(&[b"CN=acme,O=Acme"]).as_deref(),
            Some("CN=acme,O=Acme")
        );
        assert_eq!(read(&["Zürich".as_bytes()]).as_deref(), Some("Zürich"));
        assert_eq!(read(&[b"a", b"b"]).as_deref(), Some("a, b"));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[b"", b"  "]), None);
    }

    #[test]
    fn v20_a_hostile_value_neither_steers_a_terminal_nor_grows() {
        let hostile = "a\u{202e}b\tc\u{9b}2J\\d".as_bytes();
        assert_eq!(
            read(&[hostile]).as_deref(),
            Some("a\\u{202e}b\\tc\\u{9b}2J\\\\d")
        );
        assert!(read(&[&b"\xff\xfe"[..]]).unwrap().is_char_boundary(0));
        let long = vec![b'a'; 60_000];
        assert!(read(&[&long]).unwrap().chars().count() < 120);
        let escapes = vec![b'\t'; 60_000];
        let worst = read(&[&[b"x", &escapes[..], b"x"].concat()]).unwrap();
        assert!(worst.len() < 1200, "{}", worst.len());
    }

    #[test]
    fn values_that_differ_remain_different() {
        let long = |end: &str| [&[b'a'; 200][..], end.as_bytes()].concat();
        assert_ne!(read(&[&long("1")]), read(&[&long("2")]));
        assert_ne!(read(&[&b"\xff"[..]]), read(&[&b"\xfe"[..]]));
        assert_ne!(read(&[b"\\t"]), read(&[&b"a\tb"[..]]));
    }

    #[test]
    fn k17_a_key_is_not_kept() {
        let key = "kf_live_0197f3c2a1b27c3d8e4f5a6b7c8d9e0f_x";
        assert_eq!(read(&[key.as_bytes()]).as_deref(), Some(A_KEY));
    }
}
