//! What a running gateway keeps between operations that only look, so that a page about a hundred
//! thousand clients does not read all of them again.
//!
//! Records are brought up to date by the store's events before each look, so they are as of now; what changes
//! without an event, as by damage or by hand, shows after [`WHOLE`] at the latest. What was seen
//! of clients has no events; it may be some seconds old, as it is anyhow until gateways tell it. Operations that
//! change something read the store itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::progress::Progress;
use super::records::Records;
use crate::clock;
use crate::doctor::Last;
use crate::store::{Event, Follow, Head, Loaded, Refused, Store, StoreError, Versioned};

/// How old may be what was seen of clients.
const FRESH: Duration = Duration::from_secs(5);
/// After what time everything is read again.
const WHOLE: Duration = Duration::from_mins(5);

/// What is kept, of the store and of the doctor's last look.
#[derive(Default)]
pub(crate) struct Kept {
    all: Mutex<Option<All>>,
    progress: Mutex<Option<Seen>>,
    /// What the doctor found last.
    pub(crate) doctor: Last,
}

/// How far the clients were, by the records as of a place in the history.
struct Seen {
    of: Head,
    at: Instant,
    progress: Arc<Progress>,
    /// How many last times could not be read.
    damaged: usize,
}

/// Every record, and those that are not believed, as of some place in the history.
struct All {
    loaded: Instant,
    head: Head,
    records: Arc<Records>,
    refused: Arc<Vec<Refused>>,
}

impl Kept {
    /// Every record as it is now, those that are not believed, and as of where.
    pub(super) async fn records(
        &self,
        store: &dyn Store,
    ) -> Result<(Arc<Records>, Arc<Vec<Refused>>, Head), StoreError> {
        let mut kept = self.all.lock().await;
        let known = match kept.take() {
            Some(all) => all.caught_up(store).await?,
            None => None,
        };
        let all = match known {
            Some(all) => all,
            None => All::load(store).await?,
        };
        let given = (Arc::clone(&all.records), Arc::clone(&all.refused), all.head);
        *kept = Some(all);
        Ok(given)
    }

    /// How far the clients are by the records as of `head`, and how many last times could not be read: as it
    /// was some seconds ago, or as `read` gives it.
    pub(super) async fn progress<E>(
        &self,
        head: Head,
        read: impl AsyncFnOnce() -> Result<(Progress, usize), E>,
    ) -> Result<(Arc<Progress>, usize), E> {
        let mut kept = self.progress.lock().await;
        if let Some(seen) = kept.as_ref()
            && seen.of == head
            && seen.at.elapsed() < FRESH
        {
            return Ok((Arc::clone(&seen.progress), seen.damaged));
        }
        let at = clock::monotonic();
        let (progress, damaged) = read().await?;
        let progress = Arc::new(progress);
        *kept = Some(Seen {
            of: head,
            at,
            progress: Arc::clone(&progress),
            damaged,
        });
        Ok((progress, damaged))
    }
}

impl All {
    async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let loaded = clock::monotonic();
        let (mut records, mut refused) = (Records::default(), Vec::new());
        let mut each = |loaded: Loaded| match loaded {
            Ok(record) => records.take(record),
            Err(one) => refused.push(one),
        };
        let head = store.load(&mut each).await?;
        records.epoch = head.epoch;
        Ok(Self {
            loaded,
            head,
            records: Arc::new(records),
            refused: Arc::new(refused),
        })
    }

    /// The same with all that happened since; none when that cannot be told without reading everything.
    async fn caught_up(mut self, store: &dyn Store) -> Result<Option<Self>, StoreError> {
        // What is not believed may be good by now.
        if !self.refused.is_empty() || self.loaded.elapsed() >= WHOLE {
            return Ok(None);
        }
        loop {
            match store.follow(self.head, Duration::ZERO).await {
                Ok(Follow::Events { events, head }) => {
                    if events.is_empty() {
                        return Ok(Some(self));
                    }
                    let records = Arc::make_mut(&mut self.records);
                    for event in events {
                        apply(event, records);
                    }
                    records.epoch = head.epoch;
                    self.head = head;
                }
                Ok(Follow::Gap { .. } | Follow::Replaced { .. }) | Err(StoreError::Refused(_)) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A record may be newer already: loading takes its time.
fn apply(event: Event, records: &mut Records) {
    let version = event.epoch;
    for record in event.records {
        records.take_newer(Versioned { version, record });
    }
}
