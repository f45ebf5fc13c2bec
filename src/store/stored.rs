//! The stored form of records.

use super::authentic::{Opened, RecordKeys, Refusal, Refused, damaged};
use super::{Epoch, Record, RecordId, Versioned};

/// A record as it is loaded; a refused one costs only itself.
pub type Loaded = Result<Versioned, Refused>;

const VERSION: &str = "\"version\":";
const RECORD: &str = ",\"record\":";

impl Versioned {
    /// The stored form of `record` as of `version`.
    #[must_use]
    pub fn encode(version: Epoch, record: &Record, keys: &RecordKeys) -> String {
        let json = serde_json::to_string(record).unwrap_or_default();
        let body = format!("{VERSION}{version}{RECORD}{json}");
        authenticated(&record.id(), version, &json, |parts| {
            keys.close(&body, parts)
        })
    }

    /// Reads the stored form of the record `id`.
    ///
    /// # Errors
    ///
    /// [`Refused`] when it is not authentic, damaged, or another record than `id` says.
    pub fn decode(id: &RecordId, stored: &[u8], keys: &RecordKeys) -> Loaded {
        let opened = Opened::read(stored).map_err(|why| why.of(id))?;
        let (version, json) = numbered(&opened).map_err(|why| why.of(id))?;
        let checked = |parts: &[&[u8]]| keys.check(opened.mac.as_ref(), parts);
        authenticated(id, version, json, checked).map_err(|why| why.of(id))?;
        let record: Record = serde_json::from_str(json).map_err(|error| damaged(&error).of(id))?;
        if record.id() != *id {
            let why = format!("it says that it is {}", record.id());
            return Err(Refusal::Damaged(why).of(id));
        }
        Ok(Self { version, record })
    }

    /// The version that the stored form of the record `id` names, whether or not it is authentic:
    /// what is to be replaced is only compared.
    pub(super) fn version_of(id: &RecordId, stored: &[u8]) -> Result<Epoch, Refused> {
        let opened = Opened::read(stored).map_err(|why| why.of(id))?;
        let (version, _) = numbered(&opened).map_err(|why| why.of(id))?;
        Ok(version)
    }
}

fn numbered<'a>(opened: &Opened<'a>) -> Result<(Epoch, &'a str), Refusal> {
    let numbered = opened.numbered(VERSION, RECORD);
    let possible = numbered.filter(|(version, _)| *version <= Epoch::LAST);
    possible.ok_or_else(|| damaged(&"it has no version that there can be"))
}

/// Gives `work` all that the MAC of a record is of.
fn authenticated<T>(
    id: &RecordId,
    version: Epoch,
    json: &str,
    work: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    let (kind, name) = (id.kind(), id.name());
    work(&[
        b"record.v1",
        kind.as_bytes(),
        name.as_bytes(),
        &version.0.to_be_bytes(),
        json.as_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::ClientRecord;
    use crate::clock::Timestamp;
    use crate::secret::Secret;
    use crate::store::{Event, RecordKey};

    fn client(id: &str) -> Record {
        ClientRecord::new(id.parse().unwrap(), None, Timestamp::from_unix(1)).into()
    }

    fn key(version: u32, byte: u8) -> RecordKey {
        RecordKey::new(version, &Secret::new(vec![byte; 32]))
    }

    fn keys() -> RecordKeys {
        RecordKeys::new(key(1, 1), [])
    }

    fn refusal(id: &str, stored: &str, keys: &RecordKeys) -> Option<&'static str> {
        let read = Versioned::decode(&client(id).id(), stored.as_bytes(), keys);
        read.err().map(|refused| refused.why.as_str())
    }

    #[test]
    fn what_is_stored_reads_back() {
        for keys in [keys(), RecordKeys::none()] {
            let stored = Versioned::encode(Epoch(7), &client("a"), &keys);
            let read = Versioned::decode(&client("a").id(), stored.as_bytes(), &keys).unwrap();
            assert_eq!(
                (read.version, read.record.id()),
                (Epoch(7), client("a").id())
            );
            let json: serde_json::Value = serde_json::from_str(&stored).unwrap();
            assert_eq!(json["version"], 7, "{stored}");
        }
    }

    #[test]
    fn o4_a_damaged_foreign_or_misplaced_record_is_refused() {
        for keys in [keys(), RecordKeys::none()] {
            let stored = Versioned::encode(Epoch(7), &client("a"), &keys);
            let schema = if keys.accepts_unsigned() { 1 } else { 2 };
            for (bad, why) in [
                (stored.trim_start_matches('{').to_owned(), "damaged"),
                (stored.trim_end_matches('}').to_owned(), "damaged"),
                (
                    stored.replace("\"version\"", "\"extra\":1,\"version\""),
                    "damaged",
                ),
                (stored.replace(":7,", ":07,"), "damaged"),
                (stored.replacen(&format!(":{schema},"), ":3,", 1), "schema"),
            ] {
                assert_eq!(refusal("a", &bad, &keys), Some(why), "{bad}");
            }
        }
        let stored = Versioned::encode(Epoch(7), &client("a"), &RecordKeys::none());
        assert_eq!(refusal("b", &stored, &RecordKeys::none()), Some("damaged"));
    }

    /// The directory keeps no more of it, and would take an older record for as new.
    #[test]
    fn a_version_that_there_cannot_be_is_refused() {
        for (version, why) in [(Epoch::LAST, None), (Epoch::LAST.next(), Some("damaged"))] {
            let stored = Versioned::encode(version, &client("a"), &keys());
            assert_eq!(refusal("a", &stored, &keys()), why, "{version}");
        }
    }

    #[test]
    fn what_was_written_without_the_record_key_is_refused() {
        let stored = Versioned::encode(Epoch(7), &client("a"), &keys());
        let other = Versioned::encode(Epoch(7), &client("b"), &keys());
        let tail = |stored: &str| stored.rsplit_once(",\"mac\"").unwrap().1.to_owned();
        let unsigned = Versioned::encode(Epoch(7), &client("a"), &RecordKeys::none());
        let stolen = stored.replace(&tail(&stored), &tail(&other));
        for (id, forged, why) in [
            ("a", unsigned.clone(), "unsigned"),
            ("a", stored.replace(":7,", ":8,"), "wrong_mac"),
            ("a", stored.replace("\"active\"", "\"Active\""), "wrong_mac"),
            ("a", stolen, "wrong_mac"),
            ("b", stored.clone(), "wrong_mac"),
            (
                "a",
                stored.replace("\"mac\":\"1:", "\"mac\":\"2:"),
                "unknown_key",
            ),
            (
                "a",
                stored.replace("\"mac\":\"1:", "\"mac\":\"01:"),
                "damaged",
            ),
        ] {
            assert_ne!(
                forged,
                if id == "a" {
                    stored.clone()
                } else {
                    String::new()
                }
            );
            assert_eq!(refusal(id, &forged, &keys()), Some(why), "{forged}");
        }
        let other_key = RecordKeys::new(key(1, 2), []);
        assert_eq!(refusal("a", &stored, &other_key), Some("wrong_mac"));
        // What an operator can choose to believe.
        assert_eq!(refusal("a", &unsigned, &keys().accepting_unsigned()), None);
        assert_eq!(
            refusal("a", &stored, &other_key.accepting_unsigned()),
            Some("wrong_mac")
        );
        assert_eq!(refusal("a", &stored, &RecordKeys::none()), None);
        assert_eq!(
            refusal("a", &stored, &RecordKeys::new(key(2, 2), [key(1, 1)])),
            None
        );
    }

    proptest! {
        #[test]
        fn no_change_of_a_byte_goes_unnoticed(at: prop::sample::Index, flip in 1u8..) {
            let mut stored = Versioned::encode(Epoch(7), &client("a"), &keys()).into_bytes();
            let at = at.index(stored.len());
            stored[at] ^= flip;
            prop_assert!(Versioned::decode(&client("a").id(), &stored, &keys()).is_err());
        }

        #[test]
        fn anything_at_all_is_refused_without_a_panic(
            stored in prop::collection::vec(any::<u8>(), 0..200),
            schema in 0u32..4,
            text in ".{0,80}",
        ) {
            let id = client("a").id();
            prop_assert!(Versioned::decode(&id, &stored, &keys()).is_err());
            for body in [text.clone(), format!("\"version\":1,\"record\":{text}")] {
                let made_up = format!("{{\"schema\":{schema},{body},\"mac\":\"1:{:064}\"}}", 0);
                prop_assert!(Versioned::decode(&id, made_up.as_bytes(), &keys()).is_err());
                prop_assert!(Event::decode(Epoch(1), made_up.as_bytes(), &keys()).is_err());
            }
        }
    }
}
