//! When clients were last seen, collected in memory and written to the store now and then.

use std::sync::atomic::{AtomicI64, Ordering};

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::client::{ClientId, Seen, Sighting};
use crate::clock::Timestamp;
use crate::store::{Store, StoreError};

/// The last time of each kind for every client. Noting one takes no lock and no store write.
#[derive(Debug, Default)]
pub struct Sightings(HashMap<ClientId, Times, RandomState>);

#[derive(Debug, Default)]
struct Times {
    seen: Latest,
    /// As far as the store knows it.
    told: Latest,
}

/// A [`Seen`] that many threads raise.
#[derive(Debug)]
struct Latest {
    by_certificate: AtomicI64,
    by_key: AtomicI64,
}

const NEVER: i64 = i64::MIN;

/// How many the store is told at a time.
const BATCH: usize = 1000;

impl Default for Latest {
    fn default() -> Self {
        Self {
            by_certificate: AtomicI64::new(NEVER),
            by_key: AtomicI64::new(NEVER),
        }
    }
}

impl Latest {
    fn get(&self) -> Seen {
        let at = |cell: &AtomicI64| {
            Some(cell.load(Ordering::Relaxed))
                .filter(|at| *at != NEVER)
                .map(Timestamp::from_unix)
        };
        Seen {
            by_certificate: at(&self.by_certificate),
            by_key: at(&self.by_key),
        }
    }

    fn raise(&self, seen: Seen) {
        let raise = |cell: &AtomicI64, at: Option<Timestamp>| {
            // Most requests fall into a second that is noted already, and only read.
            if let Some(at) = at
                .map(Timestamp::as_unix)
                .filter(|at| cell.load(Ordering::Relaxed) < *at)
            {
                cell.fetch_max(at, Ordering::Relaxed);
            }
        };
        raise(&self.by_certificate, seen.by_certificate);
        raise(&self.by_key, seen.by_key);
    }
}

impl Sightings {
    /// Notes that `client` was `seen`.
    pub fn note(&self, client: &ClientId, seen: Seen) {
        self.with(client, |times| times.seen.raise(seen));
    }

    /// When `client` was seen.
    #[must_use]
    pub fn of(&self, client: &ClientId) -> Seen {
        self.0
            .pin()
            .get(client)
            .map(|times| times.seen.get())
            .unwrap_or_default()
    }

    /// Takes in what the store remembers, from other replicas and from before.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    pub async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        for sighting in store.sightings().await? {
            self.is_told(&sighting);
        }
        Ok(())
    }

    /// Tells the store what is new since the last time. What it did not take is told again.
    ///
    /// # Errors
    ///
    /// When the store did not take it.
    pub async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        for batch in self.news().chunks(BATCH) {
            store.saw(batch).await?;
            for sighting in batch {
                self.is_told(sighting);
            }
        }
        Ok(())
    }

    /// What the store does not know yet.
    fn news(&self) -> Vec<Sighting> {
        let mut news = Vec::new();
        for (client, times) in &self.0.pin() {
            let seen = times.seen.get();
            if seen != times.told.get() {
                news.push(Sighting {
                    client: client.clone(),
                    seen,
                });
            }
        }
        news
    }

    /// Takes in what the store knows.
    fn is_told(&self, Sighting { client, seen }: &Sighting) {
        self.with(client, |times| {
            // In this order: what is told was seen, whoever looks in between.
            times.seen.raise(*seen);
            times.told.raise(*seen);
        });
    }

    fn with(&self, client: &ClientId, then: impl FnOnce(&Times)) {
        let map = self.0.pin();
        match map.get(client) {
            Some(times) => then(times),
            None => then(map.get_or_insert_with(client.clone(), Times::default)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_key(at: i64) -> Seen {
        Seen {
            by_certificate: None,
            by_key: Some(Timestamp::from_unix(at)),
        }
    }

    fn by_certificate(at: i64) -> Seen {
        Seen {
            by_certificate: Some(Timestamp::from_unix(at)),
            by_key: None,
        }
    }

    #[test]
    fn each_kind_is_told_once_even_within_one_second() {
        let client: ClientId = "a".parse().unwrap();
        let sightings = Sightings::default();
        sightings.note(&client, by_key(100));
        for told in sightings.news() {
            sightings.is_told(&told);
        }
        assert!(sightings.news().is_empty());

        sightings.note(&client, by_certificate(100));
        let news = sightings.news();
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].seen, by_key(100).merge(by_certificate(100)));
    }

    #[test]
    fn what_comes_from_the_store_is_not_told_back_to_it() {
        let client: ClientId = "a".parse().unwrap();
        let sightings = Sightings::default();
        sightings.is_told(&Sighting {
            client: client.clone(),
            seen: by_key(100),
        });
        assert!(sightings.news().is_empty());
        assert_eq!(sightings.of(&client), by_key(100));
        sightings.note(&client, by_key(99));
        assert!(sightings.news().is_empty());
    }
}
