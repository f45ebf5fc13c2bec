//! The mailbox of a webhook: how far was told, and what waits or is dead.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Finished, Letter, Message, Place};
use crate::clock::Timestamp;
use crate::store::{self, Epoch, Head, SLOTS};

/// How many messages wait at most; what is not read by then waits in the history.
pub const MOST_WAITING: usize = 1000;
/// How many dead ones are kept; the oldest make room.
pub const MOST_DEAD: usize = 1000;

/// What a keeper notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Who keeps the webhook; nobody, when that one said that it ends.
    pub keeper: Option<Uuid>,
    /// Grows while the keeper lives.
    pub beat: u64,
    /// Up to where the history was read.
    pub read: Head,
    /// How many messages about the change after that were told, where not all of them had room.
    #[serde(default)]
    pub part: usize,
    /// Up to where the clock was read.
    pub clock: Place,
    /// The brownouts that refuse certificates, by whom they are for.
    #[serde(default)]
    pub brownouts: BTreeMap<String, UnderWay>,
    /// Which migrations are finished.
    #[serde(flatten)]
    pub finished: Finished,
    /// Since when the receiver wants nothing any more, if it said so (410).
    #[serde(default)]
    pub gone: Option<Timestamp>,
    /// When the receiver last took a message.
    #[serde(default)]
    pub taken: Option<Timestamp>,
    /// When it last did not, and why.
    #[serde(default)]
    pub failed: Option<(Timestamp, String)>,
    /// How many messages wait, for those who do not read them all.
    #[serde(default)]
    pub waiting: usize,
    /// How many are dead.
    #[serde(default)]
    pub dead: usize,
}

/// A brownout that refuses certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The version of its phase.
    pub version: Epoch,
    /// Since when.
    pub since: Timestamp,
    /// How often it had refused before.
    pub spent: u64,
    /// Since when no more, until that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Timestamp>,
}

impl Page {
    /// Of a webhook that is told of what happens from now on, when the store stands at `read`.
    #[must_use]
    pub fn new(read: Head, now: Timestamp) -> Self {
        Self {
            keeper: None,
            beat: 0,
            read,
            part: 0,
            clock: Place {
                at: now,
                client: None,
            },
            brownouts: BTreeMap::new(),
            finished: Finished::default(),
            gone: None,
            taken: None,
            failed: None,
            waiting: 0,
            dead: 0,
        }
    }

    /// What stands on a page of the store; nothing when that is not believed, or of a newer version.
    #[must_use]
    pub fn read(page: &store::Page) -> Option<Self> {
        serde_json::from_str(page.text.as_deref()?).ok()
    }
}

/// A mailbox, with what was changed since it was read.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// The page.
    pub page: Page,
    version: u64,
    letters: BTreeMap<u16, Letter>,
    /// What a newer gateway put in, whose types are not known here: it is kept as it is.
    unknown: BTreeMap<u16, String>,
    touched: BTreeSet<u16>,
}

impl Mailbox {
    /// A mailbox of which `page` was read as `version`, or that is new, then `letters`. Slots of what
    /// is not believed are emptied.
    #[must_use]
    pub fn new((version, page): (u64, Page), letters: store::Legible<store::Letter, u16>) -> Self {
        let mut mailbox = Self {
            page,
            version,
            letters: BTreeMap::new(),
            unknown: BTreeMap::new(),
            touched: BTreeSet::new(),
        };
        mailbox.fill(letters);
        mailbox
    }

    /// Takes in what stands in the slots.
    fn fill(&mut self, letters: store::Legible<store::Letter, u16>) {
        self.touched.extend(letters.damaged.into_iter().flatten());
        for store::Letter { slot, text } in letters.entries {
            let Some(text) = text else {
                self.touched.insert(slot);
                continue;
            };
            match serde_json::from_str(&text) {
                Ok(letter) => drop(self.letters.insert(slot, letter)),
                Err(_) => drop(self.unknown.insert(slot, text)),
            }
        }
    }

    /// Is kept by `keeper` from now on, who tells in the same write what was `missed` before. Every
    /// message is written again, since the record key that it was signed with may go.
    pub fn take_over(&mut self, keeper: Uuid, missed: Option<&Message>, now: Timestamp) {
        self.page.keeper = Some(keeper);
        self.touched.extend(self.letters.keys());
        self.touched.extend(self.unknown.keys());
        if let Some(missed) = missed {
            self.put(missed, now);
        }
    }

    /// Of which version it is.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Every message.
    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.values()
    }

    /// How many more may wait.
    #[must_use]
    pub fn room(&self) -> usize {
        let waiting = self.letters().filter(|letter| letter.waits()).count();
        MOST_WAITING
            .saturating_sub(waiting)
            .saturating_sub(self.unknown.len())
    }

    /// Puts a message in, unless it is there.
    pub fn put(&mut self, message: &Message, now: Timestamp) {
        let is_there = |letter: &Letter| letter.id == message.id;
        if self.letters().any(is_there) {
            return;
        }
        let is_free =
            |slot: &u16| !self.letters.contains_key(slot) && !self.unknown.contains_key(slot);
        let free = (0..SLOTS).find(is_free);
        if let Some(slot) = free {
            self.letters.insert(slot, Letter::of(message, now));
            self.touched.insert(slot);
        }
    }

    /// Does `change` to the message `id`, and takes it out when that says so.
    pub fn with(&mut self, id: &str, change: impl FnOnce(&mut Letter) -> bool) {
        let found = self.letters.iter_mut().find(|(_, letter)| letter.id == id);
        let Some((&slot, letter)) = found else {
            return;
        };
        if change(letter) {
            self.letters.remove(&slot);
        }
        self.touched.insert(slot);
    }

    /// What is to be stored of it: the page, and what was changed. The oldest of too many dead make room.
    #[must_use]
    pub fn posting(&mut self, name: &str) -> store::Posting {
        let dead = self.letters.iter();
        let dead = dead.filter_map(|(slot, letter)| Some((letter.dead?, *slot)));
        let mut dead: Vec<_> = dead.collect();
        dead.sort_unstable();
        let too_many = dead.len().saturating_sub(MOST_DEAD);
        for (_, slot) in dead.drain(..too_many) {
            self.letters.remove(&slot);
            self.touched.insert(slot);
        }
        self.page.dead = dead.len();
        self.page.waiting = self.letters.len().saturating_sub(dead.len());
        let text = |slot: &u16| {
            let known = self.letters.get(slot).map(json);
            known.or_else(|| self.unknown.get(slot).cloned())
        };
        let letter = |slot: &u16| store::Letter {
            slot: *slot,
            text: text(slot),
        };
        store::Posting {
            mailbox: name.to_owned(),
            expected: self.version,
            page: json(&self.page),
            letters: self.touched.iter().map(letter).collect(),
        }
    }

    /// What was given by [`Self::posting`] is stored.
    pub fn is_posted(&mut self) {
        self.version = self.version.saturating_add(1);
        self.touched.clear();
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Kind;
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn message(about: &str) -> Message {
        Message::new(Kind::KeyIssued, NOW, &[about], json!({}))
    }

    fn mailbox() -> Mailbox {
        let page = Page::new(Head::default(), NOW);
        Mailbox::new((0, page), store::Legible::default())
    }

    #[test]
    fn what_is_posted_reads_back() {
        let mut mailbox = mailbox();
        for about in ["a", "b", "a"] {
            mailbox.put(&message(about), NOW);
        }
        let posting = mailbox.posting("hook");
        assert_eq!((posting.expected, posting.letters.len()), (0, 2));
        mailbox.is_posted();
        let page: Page = serde_json::from_str(&posting.page).unwrap();
        assert_eq!((page.waiting, page.dead), (2, 0));
        let letters = store::Legible {
            entries: posting.letters,
            damaged: vec![Some(9)],
        };
        let mut read = Mailbox::new((1, page), letters);
        assert!(read.letters().eq(mailbox.letters()));
        read.with(&message("a").id, |_| true);
        let posting = read.posting("hook");
        let slots: Vec<_> = posting.letters.iter().map(|letter| letter.slot).collect();
        assert_eq!((posting.expected, slots), (1, vec![0, 9]));
        assert!(posting.letters.iter().all(|letter| letter.text.is_none()));
        // The slot is free again.
        read.is_posted();
        read.put(&message("c"), NOW);
        assert_eq!(read.posting("hook").letters[0].slot, 0);
    }

    #[test]
    fn what_a_newer_gateway_put_in_is_left_alone() {
        let text = r#"{"id":"msg_1","kind":"client.moved"}"#.to_owned();
        let newer = store::Letter {
            slot: 0,
            text: Some(text),
        };
        let letters = store::Legible {
            entries: vec![newer.clone()],
            damaged: Vec::new(),
        };
        let page = Page::new(Head::default(), NOW);
        let mut mailbox = Mailbox::new((1, page), letters);
        assert_eq!(mailbox.room(), MOST_WAITING - 1);
        mailbox.put(&message("a"), NOW);
        let posting = mailbox.posting("hook");
        let slots: Vec<_> = posting.letters.iter().map(|letter| letter.slot).collect();
        assert_eq!(slots, [1]);
        // Written again, it is what it was.
        mailbox.is_posted();
        mailbox.take_over(Uuid::nil(), None, NOW);
        assert_eq!(mailbox.posting("hook").letters[0], newer);
    }

    #[test]
    fn who_takes_over_says_so_and_what_was_missed_in_one_write() {
        let mut mailbox = mailbox();
        mailbox.put(&message("a"), NOW);
        assert_eq!(mailbox.posting("hook").letters.len(), 1);
        mailbox.is_posted();
        let missed = Message::missed(None, Epoch(7), NOW);
        mailbox.take_over(Uuid::max(), Some(&missed), NOW);
        let posting = mailbox.posting("hook");
        let page: Page = serde_json::from_str(&posting.page).unwrap();
        assert_eq!((page.keeper, page.waiting), (Some(Uuid::max()), 2));
        let letters = posting.letters.iter();
        let letters: Vec<Letter> = letters
            .map(|letter| serde_json::from_str(letter.text.as_deref().unwrap()).unwrap())
            .collect();
        let ids = letters.iter().map(|letter| &letter.id);
        assert!(ids.eq([&message("a").id, &missed.id]));
    }

    #[test]
    fn a_page_of_the_version_before_is_read_and_one_that_is_not_believed_is_not() {
        let found = |text: Option<&str>| store::Page {
            version: 3,
            text: text.map(str::to_owned),
        };
        let mut page = Page::new(Head::default(), NOW);
        page.finished.all = Some(NOW);
        let text = json!(page).to_string();
        assert!(text.contains(r#""finished":1795418999"#), "{text}");
        assert_eq!(Page::read(&found(Some(&text))), Some(page));
        assert_eq!(Page::read(&found(None)), None);
        assert_eq!(Page::read(&found(Some("{}"))), None);
    }

    #[test]
    fn there_is_room_for_so_many_and_the_oldest_dead_go_first() {
        let mut mailbox = mailbox();
        let limit = MOST_WAITING + MOST_DEAD;
        for n in 0..limit {
            mailbox.put(&message(&n.to_string()), NOW);
        }
        assert_eq!(mailbox.room(), 0);
        for n in 0..limit {
            let later = NOW.plus(std::time::Duration::from_secs(n as u64));
            mailbox.with(&message(&n.to_string()).id, |letter| {
                letter.die("no", later);
                false
            });
        }
        let posting = mailbox.posting("hook");
        let gone = posting
            .letters
            .iter()
            .filter(|letter| letter.text.is_none());
        assert_eq!(gone.count(), MOST_WAITING);
        assert_eq!((mailbox.page.dead, mailbox.page.waiting), (MOST_DEAD, 0));
        let mut left = mailbox.letters();
        assert!(
            left.all(|letter| letter.dead.unwrap() > NOW.plus(std::time::Duration::from_secs(999)))
        );
        drop(left);
        assert_eq!(mailbox.room(), MOST_WAITING);
    }
}
