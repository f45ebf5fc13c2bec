//! The directory answers: every identity in memory, read without a lock.
//!
//! It follows the store's events. A look-up that finds nothing is not yet an answer: the caller
//! [catches up](Directory::catch_up) with the store once and asks again. Catching up asks only for
//! the store's head, since whoever has applied every event up to it knows all there is; so any
//! number of unknown credentials costs one small question at a time.

mod alike;
mod ends;
mod follow;
mod left;
mod lessons;
mod phases;
mod refused;
mod rows;
mod shards;
mod shared;
mod sightings;
mod snapshot;
mod stored;
mod tombstones;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex as Lock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Mutex, Notify, watch};

pub use alike::Candidates;
pub use ends::Ends;
pub use left::Left;
pub use lessons::{Lessons, Recorded};
pub use refused::reasons;
pub use rows::KeyEntry;
pub use sightings::Sightings;
pub use snapshot::{Snapshot, SnapshotError};
pub use view::{Belongings, View};

use tombstones::{Upheld, is_another_history};

use crate::clock::{self, Timestamp};
use crate::store::{Epoch, Head, Store};

/// How long a request waits for the answer of the store, and for the events that it already has.
const CATCH_UP: Duration = Duration::from_secs(1);

/// All identities, and the way to the store for what memory does not tell.
pub struct Directory {
    view: ArcSwap<View>,
    population: AtomicU64,
    head: watch::Sender<Head>,
    loaded: watch::Sender<bool>,
    store: Arc<dyn Store>,
    begun: AtomicU64,
    question: Mutex<Question>,
    reachable: AtomicBool,
    started: Instant,
    /// On the clock that began with `started`; before it for what a snapshot told.
    last_contact_ms: AtomicI64,
    /// The revocations that the store has lost.
    upheld: Upheld,
    /// Whether some of them are still to be made again.
    upholds: AtomicBool,
    regressions: AtomicU64,
    lost: AtomicBool,
    /// Told when a question was answered while following could not go on.
    answered: Notify,
    /// Whether everything is to be loaded again, though nothing is known to be missing.
    outdated: AtomicBool,
    /// Whether certificates are kept as they are.
    keeps_whole: AtomicBool,
    /// How many records and events were not believed, by why.
    refused: Lock<BTreeMap<&'static str, u64>>,
}

/// The last question for the store's head that was answered.
#[derive(Default)]
struct Question {
    number: u64,
    answer: Option<Epoch>,
}

/// What the store knows cannot be told now: answer 503, never 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be asked now")]
pub struct Unavailable;

impl Directory {
    /// An empty directory in front of `store`. It answers nothing until it was loaded.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            view: ArcSwap::from_pointee(View::default()),
            population: AtomicU64::new(0),
            head: watch::Sender::new(Head::default()),
            loaded: watch::Sender::new(false),
            store,
            begun: AtomicU64::new(0),
            question: Mutex::new(Question::default()),
            reachable: AtomicBool::new(false),
            started: clock::monotonic(),
            last_contact_ms: AtomicI64::new(0),
            upheld: Upheld::default(),
            upholds: AtomicBool::new(false),
            regressions: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            answered: Notify::new(),
            outdated: AtomicBool::new(false),
            keeps_whole: AtomicBool::new(false),
            refused: Lock::default(),
        }
    }

    /// What is known now. Cheap; take it once per request.
    #[must_use]
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// A number that is another one after every change to who could come by certificate, or under
    /// which phase.
    #[must_use]
    pub fn population(&self) -> u64 {
        self.population.load(Ordering::Acquire)
    }

    /// Whether everything was loaded from the store at least once.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Whether the last exchange with the store succeeded.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// How long ago the store last showed that what is known here is current.
    #[must_use]
    pub fn age(&self) -> Duration {
        let age = self
            .since_start()
            .saturating_sub(self.last_contact_ms.load(Ordering::Relaxed));
        Duration::from_millis(age.try_into().unwrap_or(0))
    }

    /// Begins with what `snapshot` holds, before the store is followed. It is as old as it says, so
    /// that an old one does not serve for long what was revoked meanwhile. Whether there was one.
    ///
    /// # Errors
    ///
    /// When it is of no use; all is as before then.
    pub fn resume(&self, snapshot: &Snapshot, now: Timestamp) -> Result<bool, SnapshotError> {
        let view = View::default().keeping_whole(self.keeps_whole.load(Ordering::Acquire));
        let Some((head, view)) = snapshot.read(view, now)? else {
            return Ok(false);
        };
        let age = i64::try_from(snapshot::age(head, now).as_millis()).unwrap_or(i64::MAX);
        let contact = self.since_start().saturating_sub(age);
        self.last_contact_ms.store(contact, Ordering::Relaxed);
        view.share();
        self.view.store(view.into());
        self.population.fetch_add(1, Ordering::Release);
        self.head.send_replace(head.at);
        self.loaded.send_replace(true);
        Ok(true)
    }

    /// Writes what is known now into `snapshot`. Takes a while, and blocks. Gives when that was
    /// last confirmed by the store; nothing when nothing is known, or none of it after `known`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; the one before stays.
    pub fn save(
        &self,
        snapshot: &Snapshot,
        known: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, SnapshotError> {
        let age = i64::try_from(self.age().as_secs()).unwrap_or(i64::MAX);
        // Events that come while it is written are in it or not: the place is the one before them.
        let head = snapshot::Head {
            at: *self.head.borrow(),
            current_at: Timestamp::from_unix(now.as_unix().saturating_sub(age)),
        };
        if !self.is_loaded() || known.is_some_and(|known| head.current_at <= known) {
            return Ok(None);
        }
        snapshot.write(head, &self.view.load_full())?;
        Ok(Some(head.current_at))
    }

    /// How many revocations the store has lost that are upheld here.
    #[must_use]
    pub fn upheld(&self) -> usize {
        self.upheld.len()
    }

    /// How often the store was found to have lost changes.
    #[must_use]
    pub fn regressions(&self) -> u64 {
        self.regressions.load(Ordering::Relaxed)
    }

    /// Whether the store answers, and has lost everything.
    #[must_use]
    pub fn is_store_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything that the store knew when this was called is known here.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the store does not answer in time, or was never loaded.
    pub async fn catch_up(&self) -> Result<(), Unavailable> {
        if !self.is_loaded() {
            return Err(Unavailable);
        }
        let arrived = self.begun.load(Ordering::SeqCst);
        let target = {
            let mut question = self.question.lock().await;
            if question.number <= arrived {
                let number = self.begun.fetch_add(1, Ordering::SeqCst).saturating_add(1);
                let answer = self.ask().await;
                // Both or neither: whoever asks may go away while waiting, and the number of this
                // question must then not stand beside the answer of the one before.
                *question = Question { number, answer };
            }
            question.answer.ok_or(Unavailable)?
        };
        self.wait_for(target).await
    }

    /// The place in the history up to which everything is known here, now and from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Waits until the change `epoch` is known here.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when that takes too long.
    pub async fn wait_for(&self, epoch: Epoch) -> Result<(), Unavailable> {
        let mut watch = self.watch();
        let known = watch.wait_for(|known| known.epoch >= epoch);
        match tokio::time::timeout(CATCH_UP, known).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Unavailable),
        }
    }

    async fn ask(&self) -> Option<Epoch> {
        let known = *self.head.borrow();
        match tokio::time::timeout(CATCH_UP, self.store.head()).await {
            // Nor does one that lost everything know whether there is somebody.
            Ok(Ok(now)) if is_another_history(&known, &now) => {
                tracing::warn!(
                    have = known.epoch.0,
                    store = now.epoch.0,
                    "cannot confirm an unknown credential: the store has another history"
                );
                None
            }
            Ok(Ok(now)) => {
                if !self.is_reachable() {
                    self.answered.notify_one();
                }
                Some(now.epoch)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot confirm an unknown credential");
                None
            }
            Err(_) => None,
        }
    }

    /// Has everything loaded again with the next step, within seconds: what was not believed may be
    /// now.
    pub fn load_again(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    /// From the next loading on, keeps certificates as they are, or no longer. What was loaded already
    /// is loaded again for it.
    pub fn keep_whole(&self, keeps: bool) {
        if self.keeps_whole.swap(keeps, Ordering::AcqRel) != keeps {
            self.load_again();
        }
    }

    fn touch(&self) {
        self.last_contact_ms
            .store(self.since_start(), Ordering::Relaxed);
        self.set_reachable(true);
    }

    /// Milliseconds since the directory was made, on a clock that nobody sets.
    fn since_start(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn set_reachable(&self, reachable: bool) {
        self.reachable.store(reachable, Ordering::Relaxed);
    }
}
