//! What was acknowledged to clients and to the operator, and so must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyferry::key::{KeyId, KeyStatus};
use keyferry::store::{Record, RecordId};

use super::support::dice::Dice;
use super::whole::Whole;

/// How many of the keys that hold for long are tried in each round.
const SAMPLE: u64 = 30;

/// What must be true of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    Revoked,
    /// Somebody wanted to revoke it, and was not told what came of it: as the store says, for good.
    Either,
}

/// What was acknowledged so far.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// Keys by their text.
    keys: BTreeMap<String, Fate>,
    clients: BTreeSet<String>,
    /// The keys about which something was said since they were last tried.
    fresh: BTreeSet<String>,
    acknowledged: usize,
}

impl Ledger {
    /// Whoever has the key was told that it is his.
    pub(crate) fn works(&self, key: &str) {
        self.book().set(key, Fate::Works);
        self.book().acknowledged += 1;
    }

    /// Somebody is about to revoke the key.
    pub(crate) fn is_doubtful(&self, key: &str) {
        self.book().set(key, Fate::Either);
    }

    pub(crate) fn is_revoked(&self, key: &str) {
        self.book().set(key, Fate::Revoked);
        self.book().acknowledged += 1;
    }

    pub(crate) fn has_client(&self, id: &str) {
        let mut book = self.book();
        book.clients.insert(id.to_owned());
        book.acknowledged += 1;
    }

    /// How much was acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.book().acknowledged
    }

    /// All of it is in the store, and is what the gateway does: of the keys, those that are fresh and
    /// some of the others, or all. `ask` gives the status of a request with a key.
    pub(crate) fn holds(
        &self,
        whole: &Whole,
        dice: Option<&mut Dice>,
        mut ask: impl FnMut(&str) -> u16,
    ) {
        let mut book = self.book();
        for client in &book.clients {
            let id = RecordId::Client(client.parse().expect("a client id"));
            assert!(whole.record(&id).is_some(), "{client} is lost");
        }
        for (key, fate) in &mut book.keys {
            let is_revoked = is_revoked(whole, key);
            if *fate == Fate::Either {
                *fate = if is_revoked {
                    Fate::Revoked
                } else {
                    Fate::Works
                };
            }
            assert_eq!(is_revoked, *fate == Fate::Revoked, "{key}");
        }
        let all: Vec<_> = book.keys.iter().collect();
        let mut tried: BTreeSet<_> = match dice {
            None => book.keys.keys().cloned().collect(),
            Some(dice) => (0..SAMPLE)
                .filter_map(|_| dice.pick(&all))
                .map(|(key, _)| (*key).clone())
                .collect(),
        };
        tried.append(&mut std::mem::take(&mut book.fresh));
        for key in tried {
            let expected = match book.keys[&key] {
                Fate::Revoked => 401,
                _ => 200,
            };
            assert_eq!(ask(&key), expected, "{key}");
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn set(&mut self, key: &str, fate: Fate) {
        self.keys.insert(key.to_owned(), fate);
        self.fresh.insert(key.to_owned());
    }
}

/// The id in a key's text.
pub(crate) fn id_of(key: &str) -> &str {
    key.split('_').nth(2).expect("a key")
}

/// What the store says of the key, which it must know.
fn is_revoked(whole: &Whole, key: &str) -> bool {
    let id: KeyId = id_of(key).parse().expect("a key id");
    match whole.record(&RecordId::Key(id)) {
        Some(Record::Key(record)) => matches!(record.status, KeyStatus::Revoked { .. }),
        other => panic!("{key} is lost: {other:?}"),
    }
}
