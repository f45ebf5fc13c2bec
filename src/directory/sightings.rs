//! When clients were last seen, collected in memory and written to the store now and then.

use std::sync::atomic::{AtomicI64, Ordering};

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::client::{ClientId, Seen, Sighting};
use crate::clock::Timestamp;
use crate::identity::{Identity, Proof};
use crate::store::{Store, StoreError};

/// The last time of each kind for every client. Noting one takes no lock and no store write.
#[derive(Debug, Default)]
pub struct Sightings(HashMap<ClientId, Times, RandomState>);

#[derive(Debug)]
struct Times {
    by_certificate: AtomicI64,
    by_key: AtomicI64,
    /// The latest of both that the store was told.
    flushed: AtomicI64,
}

const NEVER: i64 = i64::MIN;

impl Times {
    fn new(seen: Seen, flushed: i64) -> Self {
        let or_never = |at: Option<Timestamp>| AtomicI64::new(at.map_or(NEVER, Timestamp::as_unix));
        Self {
            by_certificate: or_never(seen.by_certificate),
            by_key: or_never(seen.by_key),
            flushed: AtomicI64::new(flushed),
        }
    }

    fn seen(&self) -> Seen {
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

    fn merge(&self, seen: Seen) {
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
    /// Notes that `identity` called at `now`.
    pub fn note(&self, identity: &Identity, now: Timestamp) {
        let seen = match identity.proof() {
            Proof::Certificate(_) => Seen {
                by_certificate: Some(now),
                by_key: None,
            },
            Proof::Key => Seen {
                by_certificate: None,
                by_key: Some(now),
            },
            Proof::Both(_) => Seen {
                by_certificate: Some(now),
                by_key: Some(now),
            },
        };
        self.merge(identity.client(), seen);
    }

    /// When `client` was seen.
    #[must_use]
    pub fn of(&self, client: &ClientId) -> Seen {
        self.0
            .pin()
            .get(client)
            .map(Times::seen)
            .unwrap_or_default()
    }

    /// Takes in what the store remembers, from other replicas and from before.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    pub async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        for Sighting { client, seen } in store.sightings().await? {
            self.merge(&client, seen);
        }
        Ok(())
    }

    /// Tells the store what is new since the last time. What it did not take is told again.
    ///
    /// # Errors
    ///
    /// When the store did not take it.
    pub async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut news = Vec::new();
        for (client, times) in &self.0.pin() {
            let seen = times.seen();
            if latest(seen) > times.flushed.load(Ordering::Relaxed) {
                news.push(Sighting {
                    client: client.clone(),
                    seen,
                });
            }
        }
        for batch in news.chunks(1000) {
            store.saw(batch).await?;
            let map = self.0.pin();
            for Sighting { client, seen } in batch {
                if let Some(times) = map.get(client) {
                    times.flushed.fetch_max(latest(*seen), Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    fn merge(&self, client: &ClientId, seen: Seen) {
        let map = self.0.pin();
        match map.get(client) {
            Some(times) => times.merge(seen),
            None => map
                .get_or_insert_with(client.clone(), || Times::new(seen, NEVER))
                .merge(seen),
        }
    }
}

fn latest(seen: Seen) -> i64 {
    seen.by_certificate
        .max(seen.by_key)
        .map_or(NEVER, Timestamp::as_unix)
}
