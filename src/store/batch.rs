//! What a gateway saw since it last told the store.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Epoch;
use crate::client::{ClientId, Counts, Sighting, Use};
use crate::clock::Day;

/// What one gateway saw. Times merge whatever the order; counts are added, once for each batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Which one, so that it is not added twice.
    pub id: BatchId,
    /// The day on which it is told: what is older than [`Counts::DAYS`] need not be kept.
    pub today: Day,
    /// What was seen of clients.
    pub sightings: Vec<Sighting>,
    /// What was seen of credentials.
    pub uses: Vec<Use>,
    /// Requests to add.
    pub counts: Vec<DayCounts>,
    /// Refusals of brownouts to add.
    pub spent: Vec<Spent>,
}

/// The name of a batch. A writer tells its batches one after the other, each until it is
/// acknowledged, so the number of its last one is all that has to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchId {
    /// Made anew by every process that tells.
    pub writer: Uuid,
    /// Grows with each batch of the writer, from 1.
    pub number: u64,
}

/// How long a writer is remembered after its last batch. One that goes on telling the same batch
/// for longer is told that it was added, or adds it again.
pub(super) const REMEMBERED_DAYS: u32 = 30;

/// Requests of one client on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayCounts {
    /// Whose.
    pub client: ClientId,
    /// When.
    pub day: Day,
    /// How many.
    pub counts: Counts,
}

/// Refusals that a brownout cost under one version of its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// The version.
    pub phase: Epoch,
    /// How many.
    pub refusals: u64,
}

impl Batch {
    /// The most entries of a batch, all lists together: while Redis takes one it does nothing
    /// else.
    pub const MOST: usize = 500;

    /// A batch without anything in it.
    #[must_use]
    pub const fn empty(id: BatchId, today: Day) -> Self {
        Self {
            id,
            today,
            sightings: Vec::new(),
            uses: Vec::new(),
            counts: Vec::new(),
            spent: Vec::new(),
        }
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        let lists = [
            self.sightings.len(),
            self.uses.len(),
            self.counts.len(),
            self.spent.len(),
        ];
        lists.into_iter().fold(0, usize::saturating_add)
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
