//! What waits until the store takes it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::client::{ClientId, Counts, Sighting, Use};
use crate::clock::Day;
use crate::store::{Batch, BatchId, DayCounts, Epoch, Spent};

/// Counts that the store has not taken, and the batch that it may have taken.
pub(super) struct Outbox {
    writer: Uuid,
    number: u64,
    counts: BTreeMap<(ClientId, Day), Counts>,
    spent: BTreeMap<Epoch, u64>,
    /// Told, and not acknowledged. It is told again as it is: under its number it counts once.
    unacknowledged: Option<Batch>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            writer: Uuid::now_v7(),
            number: 0,
            counts: BTreeMap::new(),
            spent: BTreeMap::new(),
            unacknowledged: None,
        }
    }
}

impl Outbox {
    pub(super) fn add(&mut self, client: &ClientId, day: Day, more: Counts) {
        let counts = self.counts.entry((client.clone(), day)).or_default();
        *counts = counts.plus(more);
    }

    pub(super) fn add_spent(&mut self, phase: Epoch, more: u64) {
        if more > 0 {
            let refusals = self.spent.entry(phase).or_default();
            *refusals = refusals.saturating_add(more);
        }
    }

    /// The batch to tell now: the one that was not acknowledged, or else the next, with as much of
    /// these as it takes.
    pub(super) fn next(
        &mut self,
        sightings: &mut Vec<Sighting>,
        uses: &mut Vec<Use>,
        today: Day,
    ) -> Option<&Batch> {
        if self.unacknowledged.is_none() {
            self.number = self.number.saturating_add(1);
            let id = BatchId {
                writer: self.writer,
                number: self.number,
            };
            let mut batch = Batch::empty(id, today);
            batch.spent = some_of(&mut self.spent, room(&batch))
                .map(|(phase, refusals)| Spent { phase, refusals })
                .collect();
            batch.counts = some_of(&mut self.counts, room(&batch))
                .map(|((client, day), counts)| DayCounts {
                    client,
                    day,
                    counts,
                })
                .collect();
            batch.sightings = sightings
                .drain(..room(&batch).min(sightings.len()))
                .collect();
            batch.uses = uses.drain(..room(&batch).min(uses.len())).collect();
            self.unacknowledged = Some(batch).filter(|batch| !batch.is_empty());
        }
        self.unacknowledged.as_ref()
    }

    /// The batch was acknowledged.
    pub(super) fn is_told(&mut self) {
        self.unacknowledged = None;
    }
}

fn room(batch: &Batch) -> usize {
    Batch::MOST.saturating_sub(batch.len())
}

fn some_of<K: Ord, V>(
    from: &mut BTreeMap<K, V>,
    most: usize,
) -> impl Iterator<Item = (K, V)> + use<'_, K, V> {
    std::iter::from_fn(|| from.pop_first()).take(most)
}
