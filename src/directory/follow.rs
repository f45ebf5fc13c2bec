//! Following the store: load everything once, then apply event by event.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Directory, View};
use crate::clock;
use crate::store::{Epoch, Event, Follow, Record, StoreError, Versioned};

/// How long one wait for events lasts; also how often a silent store shows that it is there.
const WAIT: Duration = Duration::from_secs(2);
/// The pause before the first try after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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
                    trusted = true;
                    if pause != FIRST_PAUSE {
                        tracing::info!(epoch = self.epoch().0, "the store answers again");
                    }
                    pause = FIRST_PAUSE;
                    self.touch();
                }
                Err(error) => {
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
    async fn load(&self) -> Result<(), StoreError> {
        let begun = clock::monotonic();
        let view = View::default();
        let epoch = self.store.load(&mut |record| view.apply(record)).await?;
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

    async fn next_events(&self) -> Result<(), StoreError> {
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
        let view = self.view.load();
        let is_of_keys = |record: &Record| matches!(record, Record::Key(_) | Record::Alias(_));
        let concerns_population = !records.iter().all(is_of_keys);
        for record in records {
            view.apply(Versioned {
                version: epoch,
                record,
            });
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
