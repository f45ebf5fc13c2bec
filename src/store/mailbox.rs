//! Mailboxes: what is to be told to somebody, kept until it was.
//!
//! A mailbox is a page, on which its keeper notes how far it came, and numbered slots for letters. Who
//! changes it names the version that it has seen, so of several at once one does, and a letter is put in
//! together with the note that it was: neither without the other. That makes no event and no epoch.
//! As with records, nobody is believed who can write to the store and no more.

use serde::{Deserialize, Serialize};

use super::authentic::{Opened, RecordKeys, Refusal, Refused, damaged};

/// How many slots a mailbox has.
pub const SLOTS: u16 = 2048;

/// The page of a mailbox, and its version. Versions begin with 1 and grow by one with every change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The version.
    pub version: u64,
    /// What stands on it, JSON; none when that is not believed.
    pub text: Option<String>,
}

/// A letter, and the slot that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The slot, below [`SLOTS`].
    pub slot: u16,
    /// What it says: JSON. None: the slot is to be empty.
    pub text: Option<String>,
}

/// A change of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    /// The name of the mailbox: 1 to 64 characters of `a-z0-9._-`.
    pub mailbox: String,
    /// The version that it must have; 0 when there must be none.
    pub expected: u64,
    /// What stands on the page from now on.
    pub page: String,
    /// The letters to put in or to take out.
    pub letters: Vec<Letter>,
}

/// Where something stands in a mailbox. It is part of what is authenticated, so that nothing can be
/// put in another place.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Page,
    Slot(u16),
}

const MAILBOX: &str = "\"mailbox\":";

impl Place {
    fn text(self) -> String {
        match self {
            Self::Page => "page".to_owned(),
            Self::Slot(slot) => slot.to_string(),
        }
    }

    /// The stored form of the JSON `text`.
    pub(super) fn close(self, mailbox: &str, text: &str, keys: &RecordKeys) -> String {
        let place = self.text();
        let parts: [&[u8]; 4] = [
            b"mailbox.v1",
            mailbox.as_bytes(),
            place.as_bytes(),
            text.as_bytes(),
        ];
        keys.close(&format!("{MAILBOX}{text}"), &parts)
    }

    /// What a stored form says.
    pub(super) fn open(
        self,
        mailbox: &str,
        stored: &[u8],
        keys: &RecordKeys,
    ) -> Result<String, Refused> {
        let place = self.text();
        let read = || {
            let Opened { body, mac } = Opened::read(stored)?;
            let text = body.strip_prefix(MAILBOX);
            let text = text.ok_or_else(|| damaged(&"it is of no mailbox"))?;
            let parts: [&[u8]; 4] = [
                b"mailbox.v1",
                mailbox.as_bytes(),
                place.as_bytes(),
                text.as_bytes(),
            ];
            keys.check(mac.as_ref(), &parts)?;
            Ok(text.to_owned())
        };
        read().map_err(|why: Refusal| why.of(format!("{place} of the mailbox {mailbox}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::store::RecordKey;

    #[test]
    fn what_is_in_a_mailbox_is_believed_only_in_its_place() {
        let keys = RecordKeys::new(RecordKey::new(1, &Secret::new(vec![1; 32])), []);
        let stored = Place::Slot(7).close("hook", r#"{"a":1}"#, &keys);
        let open = |place: Place, mailbox: &str, stored: &str| {
            let opened = place.open(mailbox, stored.as_bytes(), &keys);
            opened.map_err(|refused| refused.why.as_str())
        };
        let slot = Place::Slot(7);
        assert_eq!(open(slot, "hook", &stored).as_deref(), Ok(r#"{"a":1}"#));
        let unsigned = slot.close("hook", "{}", &RecordKeys::none());
        for (place, mailbox, stored, why) in [
            (Place::Slot(8), "hook", stored.clone(), "wrong_mac"),
            (Place::Page, "hook", stored.clone(), "wrong_mac"),
            (slot, "other", stored.clone(), "wrong_mac"),
            (slot, "hook", stored.replace(":1}", ":2}"), "wrong_mac"),
            (slot, "hook", unsigned, "unsigned"),
            (slot, "hook", "{}".to_owned(), "damaged"),
        ] {
            assert_eq!(open(place, mailbox, &stored), Err(why), "{stored}");
        }
    }
}
