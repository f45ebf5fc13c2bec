//! Following the store: load everything once, then apply event by event.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tombstones::is_another_history;
use super::{Directory, View};
use crate::clock;
use crate::store::{Epoch, Event, Follow, StoreError, Versioned};

/// How long one wait for events lasts; also how often a silent store shows that it is there.
const WAIT: Duration = Duration::from_secs(2);
/// The pause before the first try after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why the store cannot be followed now.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the store lost its epoch: it is empty, and was at {0}; what was known goes on for a while. Restore it, or when that is meant, restart the gateways, without their snapshots (store.snapshot)"
    )]
    Lost(Epoch),
}

impl Directory {
    /// Follows the store for ever. Run it in one task; drop that task to stop.
    pub async fn follow(&self) {
        let mut pause = FIRST_PAUSE;
        // After a failure it is not known which store answers next: one that lost changes counts
        // again from an epoch that was seen already. So everything is loaded anew.
        let mut trusted = false;
        loop {
            let step = if trusted {
                self.next_events().await
            } else {
                self.load().await
            };
            match step {
                Ok(()) => {
                    self.lost.store(false, Ordering::Relaxed);
                    trusted = true;
                    if pause != FIRST_PAUSE {
                        tracing::info!(epoch = self.epoch().0, "the store answers again");
                    }
                    pause = FIRST_PAUSE;
                    self.touch();
                }
                Err(error) => {
                    let is_lost = matches!(error, Failure::Lost(_));
                    self.lost.store(is_lost, Ordering::Relaxed);
                    trusted = false;
                    tracing::warn!(%error, retry_in_ms = pause.as_millis(), "cannot follow the store");
                    self.set_reachable(false);
                    tokio::time::sleep(clock::jittered(pause)).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Loads everything into a view of its own, then puts it in place of the current one.
    ///
    /// A store that lost what it had, or a part of it, is not believed blindly: an empty one not at
    /// all, and one that has forgotten revocations not in these.
    async fn load(&self) -> Result<(), Failure> {
        let begun = clock::monotonic();
        let now = clock::now();
        let (seen, known) = (self.epoch(), self.view.load_full());
        let view = View::default();
        let each = &mut |record| view.apply(self.upheld.over(record, now));
        let epoch = self.store.load(each).await?;
        if epoch == Epoch::NONE && seen != Epoch::NONE {
            return Err(Failure::Lost(seen));
        }
        let is_other = is_another_history(seen, epoch);
        let revocations = self.upheld.carry(&known, &view, is_other);
        drop(known);
        if is_other || revocations > 0 {
            self.regressions.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                had = seen.0,
                has = epoch.0,
                revocations,
                "THE STORE HAS LOST CHANGES: the revocations among them are upheld and made again; keys and clients that were made lately may be gone"
            );
        }
        self.upholds.store(self.upheld.len() > 0, Ordering::Relaxed);
        let [clients, certificates, keys] = view.len().map(|(_, count)| count);
        view.share();
        self.view.store(view.into());
        self.population.fetch_add(1, Ordering::Release);
        self.epoch.send_replace(epoch);
        self.loaded.send_replace(true);
        tracing::info!(
            epoch = epoch.0,
            clients,
            certificates,
            keys,
            took_ms = begun.elapsed().as_millis(),
            "loaded the directory"
        );
        Ok(())
    }

    /// Makes the revocations again that the store has lost. What fails is tried with the next step.
    async fn assert_upheld(&self) {
        match self.upheld.assert(self.store.as_ref(), clock::now()).await {
            Ok(settled) => self.upholds.store(!settled, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "cannot make the revocations again that the store has lost");
            }
        }
    }

    async fn next_events(&self) -> Result<(), Failure> {
        if self.upholds.load(Ordering::Relaxed) {
            self.assert_upheld().await;
        }
        match self.store.follow(self.epoch(), WAIT).await? {
            Follow::Events(events) => {
                for event in events {
                    self.apply(event);
                }
                Ok(())
            }
            Follow::Gap { now } => {
                tracing::warn!(
                    have = self.epoch().0,
                    store = now.0,
                    "events are missing; loading everything again"
                );
                // A store that contradicts itself must not keep every replica loading.
                tokio::time::sleep(clock::jittered(FIRST_PAUSE)).await;
                self.load().await
            }
        }
    }

    fn apply(&self, event: Event) {
        let Event { epoch, records, .. } = event;
        let (view, now) = (self.view.load(), clock::now());
        let mut concerns_population = false;
        for record in records {
            let record = Versioned {
                version: epoch,
                record,
            };
            let record = self.upheld.over(record, now);
            concerns_population |= view.changes_expected(&record.record);
            view.apply(record);
        }
        // Only now: whoever sees the new number finds the change.
        if concerns_population {
            self.population.fetch_add(1, Ordering::Release);
        }
        self.epoch.send_replace(epoch);
    }

    /// The epoch up to which everything is known.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        *self.epoch.borrow()
    }
}
