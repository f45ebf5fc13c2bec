//! Following the store: load everything once, then apply event by event.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::refused::Refusals;
use super::tombstones::is_another_history;
use super::{Directory, View};
use crate::clock;
use crate::store::backup::is_being_restored;
use crate::store::{Action, Epoch, Event, Follow, Head, Loaded, StoreError, Versioned};

/// How long one wait for events lasts; also how often a silent store shows that it is there.
const WAIT: Duration = Duration::from_secs(2);
/// The pause before the first try after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The same while the store is away and only the events since are missing: that costs little to ask,
/// and when what is known is too old everybody waits for it.
const LONGEST_PAUSE_AWAY: Duration = Duration::from_secs(1);

/// Why the store cannot be followed now.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the store lost everything, or most of it, and was at {0}; what was known goes on for a while. Restore it to the end (keyferry store restore), or when that is meant, restart the gateways, without their snapshots (store.snapshot)"
    )]
    Lost(Epoch),
}

/// How long to wait until the store is asked again.
struct Pace {
    until_asked: Duration,
    /// A store that contradicts itself must not keep every replica loading.
    until_loaded: Duration,
    loaded_at: Instant,
}

impl Pace {
    fn new() -> Self {
        Self {
            until_asked: FIRST_PAUSE,
            until_loaded: FIRST_PAUSE,
            loaded_at: clock::monotonic(),
        }
    }

    /// Whether the store did not answer lately.
    fn is_slow(&self) -> bool {
        self.until_asked != FIRST_PAUSE
    }

    /// The pause after `step`, unless it brought what is known up to date.
    fn after(&mut self, step: &Result<Step, Failure>, must_load: bool) -> Option<Duration> {
        match step {
            Ok(Step::Loaded) => self.loaded_at = clock::monotonic(),
            _ if self.loaded_at.elapsed() > LONGEST_PAUSE => self.until_loaded = FIRST_PAUSE,
            _ => {}
        }
        let (pause, longest) = match step {
            Ok(Step::Loaded | Step::Followed) => {
                self.until_asked = FIRST_PAUSE;
                return None;
            }
            Ok(Step::Broken | Step::Replaced) => (&mut self.until_loaded, LONGEST_PAUSE),
            Err(_) if must_load => (&mut self.until_asked, LONGEST_PAUSE),
            Err(_) => (&mut self.until_asked, LONGEST_PAUSE_AWAY),
        };
        let now = *pause;
        *pause = now.saturating_mul(2).min(longest);
        Some(now)
    }
}

impl Directory {
    /// Follows the store for ever. Run it in one task; drop that task to stop.
    pub async fn follow(&self) {
        let mut pace = Pace::new();
        let (mut must_load, mut is_replaced, mut is_asked_first) = (true, false, false);
        loop {
            must_load |= self.outdated.swap(false, Ordering::Acquire);
            let step = if must_load {
                self.load(is_replaced).await.map(|()| Step::Loaded)
            } else {
                // A wait that is cut again would not show that the store had been reached.
                self.next_events(if is_asked_first { Duration::ZERO } else { WAIT })
                    .await
            };
            is_asked_first = step.is_err();
            let is_current = matches!(step, Ok(Step::Loaded | Step::Followed));
            let is_lost = matches!(step, Err(Failure::Lost(_)));
            if is_current || is_lost {
                self.lost.store(is_lost, Ordering::Relaxed);
            }
            if is_current {
                if !self.is_reachable() && pace.is_slow() {
                    tracing::info!(epoch = self.epoch().0, "the store answers again");
                }
                self.touch();
            }
            match &step {
                Ok(Step::Loaded) => (must_load, is_replaced) = (false, false),
                Ok(Step::Followed) => must_load = false,
                Ok(Step::Broken) => must_load = true,
                Ok(Step::Replaced) => (must_load, is_replaced) = (true, true),
                Err(_) => self.set_reachable(false),
            }
            let Some(pause) = pace.after(&step, must_load) else {
                continue;
            };
            let is_away = matches!(step, Err(Failure::Store(StoreError::Unavailable(_))));
            if let Err(error) = step {
                tracing::warn!(%error, retry_in_ms = pause.as_millis(), "cannot follow the store");
            }
            tokio::select! {
                () = tokio::time::sleep(clock::jittered(pause)) => {}
                // It is back, and whoever was answered may wait for what follows.
                () = self.answered.notified(), if is_away => {}
            }
        }
    }

    /// Loads everything into a view of its own, then puts it in place of the current one.
    ///
    /// Of the same history, whatever is missing, older than it was or not believed stays as it is
    /// known. A store that lost what it had, or a part of it, is not believed blindly: an empty one not at
    /// all, and one that has forgotten revocations not in these. `is_replaced` says that its history
    /// is known to be another one than what was followed.
    async fn load(&self, is_replaced: bool) -> Result<(), Failure> {
        let begun = clock::monotonic();
        let (seen, known) = (*self.head.borrow(), self.view.load_full());
        let is_replaced = is_replaced || (self.is_loaded() && self.is_replaced_since(seen).await?);
        let keeps = self.keeps_whole.load(Ordering::Acquire);
        let mut view = View::like(&known).keeping_whole(keeps);
        let (mut believed, mut refused) = (0usize, Refusals::default());
        let mut each = |loaded: Loaded| match loaded {
            Ok(record) => {
                believed = believed.saturating_add(1);
                view.apply(record);
            }
            Err(one) => refused.add(one),
        };
        let head = self.store.load(&mut each).await?;
        if head.epoch == Epoch::NONE && seen.epoch != Epoch::NONE {
            return Err(Failure::Lost(seen.epoch));
        }
        // With a wrong record key nobody would be known, and nobody must be told so.
        if refused.len() > believed
            && let Some(one) = refused.take_last()
        {
            self.refuse(&refused);
            return Err(StoreError::from(one).into());
        }
        let is_other = is_replaced || is_another_history(&seen, &head);
        if is_other && is_gutted(&known, &view) {
            return Err(Failure::Lost(seen.epoch));
        }
        let is_incomplete = self.is_incomplete(head.epoch, is_other).await?;
        // Nor is one believed that is only half restored.
        if is_other && is_incomplete {
            return Err(Failure::Lost(seen.epoch));
        }
        let revocations = self.upheld.carry((&known, seen.epoch), &view, is_other);
        if !is_other {
            view.stay(&known, |id, is_older| refused.add_kept(id, is_older));
        }
        drop(known);
        self.refuse(&refused);
        if is_other || revocations > 0 {
            self.regressions.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                had = seen.epoch.0,
                has = head.epoch.0,
                revocations,
                "THE STORE HAS LOST CHANGES: the revocations among them are upheld and made again; keys and clients that were made lately may be gone"
            );
        }
        self.upholds.store(self.upheld.len() > 0, Ordering::Relaxed);
        let [clients, certificates, keys] = view.len().map(|(_, count)| count);
        let refusals = refused.len();
        view.doubted = refused.into_doubted();
        view.doubted.while_incomplete(is_incomplete);
        view.share();
        let before = self.view.swap(view.into());
        self.population.fetch_add(1, Ordering::Release);
        self.head.send_replace(head);
        self.loaded.send_replace(true);
        // A large one takes its time to go, and nobody must wait for that.
        tokio::task::spawn_blocking(move || drop(before));
        tracing::info!(
            epoch = head.epoch.0,
            clients,
            certificates,
            keys,
            refused = refusals,
            took_ms = begun.elapsed().as_millis(),
            "loaded the directory"
        );
        Ok(())
    }

    /// Whether the store, which is at `now`, is being restored, so that what is unknown may still come.
    async fn is_incomplete(&self, now: Epoch, is_other: bool) -> Result<bool, StoreError> {
        let mut told = is_being_restored(self.store.as_ref(), now).await;
        // The connection may be an old one; that this load failed for it would cost a whole pause.
        if matches!(told, Err(StoreError::Unavailable(_))) {
            told = is_being_restored(self.store.as_ref(), now).await;
        }
        match told {
            // An entry that somebody put among the events must not keep a gateway from starting.
            Err(StoreError::Refused(_) | StoreError::Unreadable(_)) if !is_other => Ok(false),
            Ok(true) => {
                tracing::warn!(
                    "the store is being restored: what is unknown gets 503 until that has come to its end (keyferry store restore)"
                );
                Ok(true)
            }
            told => told,
        }
    }

    /// Whether the store's history is not the one that led to `seen`. When the events that would tell
    /// are no longer kept, or are not believed, it is taken for the same.
    async fn is_replaced_since(&self, seen: Head) -> Result<bool, StoreError> {
        match self.store.follow(seen, Duration::ZERO).await {
            Ok(Follow::Replaced { .. }) => Ok(true),
            Ok(Follow::Events { .. } | Follow::Gap { .. }) | Err(StoreError::Refused(_)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the revocations again that the store has lost. What fails is tried with the next step.
    async fn assert_upheld(&self) {
        let known = self.epoch();
        let asserted = self.upheld.assert(self.store.as_ref(), known, clock::now());
        match asserted.await {
            Ok(settled) => self.upholds.store(!settled, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "cannot make the revocations again that the store has lost");
            }
        }
    }

    async fn next_events(&self, longest: Duration) -> Result<Step, Failure> {
        let upholds = self.upholds.load(Ordering::Relaxed);
        let have = *self.head.borrow();
        let wait = if upholds {
            longest.min(FIRST_PAUSE)
        } else {
            longest
        };
        let told = match self.store.follow(have, wait).await {
            Err(error @ StoreError::Refused(_)) => {
                self.note(error);
                return Ok(Step::Broken);
            }
            told => told?,
        };
        match told {
            Follow::Events { events, head } => {
                for event in events {
                    self.apply(event);
                }
                self.head.send_replace(head);
                // Only now: what others made again, or gave back, is known.
                if upholds {
                    self.assert_upheld().await;
                }
                Ok(Step::Followed)
            }
            Follow::Gap { now } => {
                tracing::warn!(
                    have = have.epoch.0,
                    store = now.epoch.0,
                    "events are missing; loading everything again"
                );
                Ok(Step::Broken)
            }
            Follow::Replaced { now } => {
                tracing::error!(
                    have = have.epoch.0,
                    store = now.epoch.0,
                    "the store has lost changes that were known here, or was replaced: its history \
                     is another one; loading everything again"
                );
                // An empty one is not believed, and may come back whole.
                Ok(if now.epoch == Epoch::NONE {
                    Step::Broken
                } else {
                    Step::Replaced
                })
            }
        }
    }

    fn apply(&self, event: Event) {
        tell(&event);
        let Event {
            epoch,
            action,
            actor,
            records,
            ..
        } = event;
        let (view, now) = (self.view.load(), clock::now());
        if action == Action::StoreRestoring {
            view.doubted.while_incomplete(true);
        }
        let (mut concerns_population, mut refused) = (false, Refusals::default());
        for record in records {
            let record = Versioned {
                version: epoch,
                record,
            };
            if self.upheld.expect(&view, (action, &actor), &record) {
                refused.add_kept(&record.record.id(), true);
            }
            let record = self.upheld.over(record, now);
            concerns_population |= view.changes_expected(&record.record);
            view.apply(record);
        }
        self.refuse(&refused);
        if action == Action::StoreRestored {
            view.doubted.while_incomplete(false);
        }
        if self.upheld.len() > 0 {
            self.upholds.store(true, Ordering::Relaxed);
        }
        // Only now: whoever sees the new number finds the change.
        if concerns_population {
            self.population.fetch_add(1, Ordering::Release);
        }
    }

    /// The epoch up to which everything is known.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.head.borrow().epoch
    }
}

/// Whether there are less than half as many clients as were known: an empty store, to which a little
/// was written again, is no more to be believed than an empty one.
fn is_gutted(known: &View, now: &View) -> bool {
    let [[(_, before), ..], [(_, after), ..]] = [known.len(), now.len()];
    after.saturating_mul(2) < before
}

/// A line of the trail, which so outlives the store.
fn tell(event: &Event) {
    let records = event.records.iter().map(|record| record.id().to_string());
    tracing::info!(
        target: "audit",
        epoch = event.epoch.0,
        action = %event.action,
        by = %event.actor,
        from = event.origin.as_ref().map(tracing::field::display),
        at = %event.at,
        reason = event.reason.as_ref().map(tracing::field::display),
        records = records.collect::<Vec<_>>().join(" "),
        "change"
    );
}

/// What came of asking the store.
enum Step {
    /// Everything was loaded.
    Loaded,
    /// What is known is current.
    Followed,
    /// What is known cannot be brought up to date by events.
    Broken,
    /// Nor can it, since the store has another history.
    Replaced,
}
