//! A message: what is told, in the form of the Standard Webhooks specification.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Kind;
use crate::clock::Timestamp;
use crate::store::Epoch;
use crate::text;

/// How many characters of a text that people chose are told.
const LONGEST_TEXT: usize = 100;

/// What is told once.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// By which receivers know repeats: it is made of what the message is about, and of nothing else.
    pub id: String,
    /// The type.
    pub kind: Kind,
    /// When it happened.
    pub at: Timestamp,
    /// What there is to say. No secret, and no text of strangers.
    pub data: Value,
}

impl Message {
    /// What happened `at`, and tells `data`. What it is `about` makes the id: the same about the same, for
    /// ever and everywhere.
    #[must_use]
    pub fn new(kind: Kind, at: Timestamp, about: &[&str], data: Value) -> Self {
        let mut hash = Sha256::new_with_prefix(b"webhook.v1");
        for part in std::iter::once(kind.as_str()).chain(about.iter().copied()) {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hash.update(length.to_be_bytes());
            hash.update(part);
        }
        let hash = hex::encode(hash.finalize());
        Self {
            id: format!("msg_{}", hash.get(..32).unwrap_or_default()),
            kind,
            at,
            data,
        }
    }

    /// That changes after `from`, which may not be known, until `to` could not be read.
    #[must_use]
    pub fn missed(from: Option<Epoch>, to: Epoch, now: Timestamp) -> Self {
        let data = json!({ "after": from, "until": to });
        Self::new(Kind::HistoryMissed, now, &[&to.to_string()], data)
    }

    /// The body that is sent and signed.
    #[must_use]
    pub fn body(&self) -> String {
        json!({
            "type": self.kind,
            "timestamp": self.at.to_string(),
            "data": self.data,
        })
        .to_string()
    }
}

/// A text that people chose, so that it can do no harm where it is shown.
pub(super) fn shown(text: &str) -> String {
    text::escaped(text, LONGEST_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_of_what_it_is_about_and_of_nothing_else() {
        let id = |second, about: &[&str], data: &str| {
            let at = Timestamp::from_unix(second);
            Message::new(Kind::KeyIssued, at, about, json!(data)).id
        };
        assert_eq!(id(1, &["a", "b"], "x"), id(2, &["a", "b"], "y"));
        assert_ne!(id(1, &["a", "b"], "x"), id(1, &["ab"], "x"));
        let at = Timestamp::from_unix(1);
        let other = Message::new(Kind::Test, at, &["a", "b"], json!("x"));
        assert_ne!(other.id, id(1, &["a", "b"], "x"));
        // Two versions that run at the same time must agree.
        assert_eq!(
            id(1, &["a", "b"], "x"),
            "msg_35909798b5d5effc23bde4d97282b178"
        );
    }

    #[test]
    fn the_body_is_as_the_specification_has_it() {
        let at = Timestamp::from_unix(1_795_418_999);
        let message = Message::new(
            Kind::Test,
            at,
            &[],
            json!({ "said": shown("a\"\n\u{202e}") }),
        );
        let read: Value = serde_json::from_str(&message.body()).unwrap();
        let expected = json!({
            "type": "webhook.test",
            "timestamp": "2026-11-23T07:29:59Z",
            "data": { "said": "a\"\\n\\u{202e}" },
        });
        assert_eq!(read, expected);
    }
}
