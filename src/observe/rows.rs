//! Rows with a count each, and no more of them than there is place for.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use foldhash::fast::RandomState;
use papaya::HashMap;

use super::Times;
use crate::clock::Timestamp;

/// So many different things, each with how often and when it was seen.
pub(super) struct Rows<K> {
    rows: HashMap<K, Tally, RandomState>,
    most: usize,
}

/// [`Times`] that many threads raise.
#[derive(Debug)]
struct Tally {
    count: AtomicU64,
    first: AtomicI64,
    last: AtomicI64,
}

impl<K: Eq + Hash> Rows<K> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            rows: HashMap::default(),
            most,
        }
    }

    /// Counts one more of `key`; `false` when there is no place for another row.
    pub(super) fn note(&self, key: K, at: Timestamp) -> bool {
        let rows = self.rows.pin();
        let tally = match rows.get(&key) {
            Some(tally) => tally,
            // Requests at the same moment may make it a few more.
            None if rows.len() >= self.most => {
                return false;
            }
            None => rows.get_or_insert_with(key, || Tally::new(at)),
        };
        tally.count.fetch_add(1, Ordering::Relaxed);
        tally.first.fetch_min(at.as_unix(), Ordering::Relaxed);
        tally.last.fetch_max(at.as_unix(), Ordering::Relaxed);
        true
    }

    /// Every row.
    pub(super) fn rows<R>(&self, row: impl Fn(&K, Times) -> R) -> Vec<R> {
        let rows = self.rows.pin();
        rows.iter()
            .map(|(key, tally)| row(key, tally.times()))
            .collect()
    }
}

impl Tally {
    const fn new(at: Timestamp) -> Self {
        Self {
            count: AtomicU64::new(0),
            first: AtomicI64::new(at.as_unix()),
            last: AtomicI64::new(at.as_unix()),
        }
    }

    fn times(&self) -> Times {
        Times {
            count: self.count.load(Ordering::Relaxed),
            first: Timestamp::from_unix(self.first.load(Ordering::Relaxed)),
            last: Timestamp::from_unix(self.last.load(Ordering::Relaxed)),
        }
    }
}

impl<K> fmt::Debug for Rows<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
