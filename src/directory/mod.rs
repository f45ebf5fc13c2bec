//! The directory answers: every identity in memory, read without a lock.
//!
//! It follows the store's events. A look-up that finds nothing is not yet an answer: the caller
//! [catches up](Directory::catch_up) with the store once and asks again. Catching up asks only for
//! the store's head, since whoever has applied every event up to it knows all there is; so any
//! number of unknown credentials costs one small question at a time.

mod alike;
mod ends;
mod entry;
mod follow;
mod left;
mod lessons;
mod phases;
mod sightings;
mod stored;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Mutex, watch};

pub use alike::Candidates;
pub use ends::Ends;
pub use entry::KeyEntry;
pub use left::Left;
pub use lessons::Lessons;
pub use sightings::Sightings;
pub use view::{Belongings, View};

use crate::clock;
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
    last_contact_ms: AtomicU64,
    regressions: AtomicU64,
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
            last_contact_ms: AtomicU64::new(0),
            regressions: AtomicU64::new(0),
            refused: Lock::default(),
        }
    }

    /// What is known now. Cheap; take it once per request.
    #[must_use]
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// A number that is another one after every change to clients, certificates and phases.
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
        let contact = Duration::from_millis(self.last_contact_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(contact)
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
            Ok(Ok(now)) if now.is_not_after(&known) => {
                tracing::warn!(
                    have = known.epoch.0,
                    store = now.epoch.0,
                    "cannot confirm an unknown credential: the store has another history"
                );
                None
            }
            Ok(Ok(now)) => Some(now.epoch),
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot confirm an unknown credential");
                None
            }
            Err(_) => None,
        }
    }

    /// How often the store's history turned out not to be the one that was followed.
    #[must_use]
    pub fn regressions(&self) -> u64 {
        self.regressions.load(Ordering::Relaxed)
    }

    /// How many records and events of the store were refused, by reason.
    pub fn refused(&self, mut each: impl FnMut(&'static str, u64)) {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, count) in &*refused {
            each(reason, *count);
        }
    }

    fn touch(&self) {
        let since_start = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_contact_ms.store(since_start, Ordering::Relaxed);
        self.set_reachable(true);
    }

    fn set_reachable(&self, reachable: bool) {
        self.reachable.store(reachable, Ordering::Relaxed);
    }
}
