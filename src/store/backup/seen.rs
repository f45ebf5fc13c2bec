//! Bringing what was seen into a store: times merge, and a day counts once.

use uuid::Uuid;

use super::Line;
use crate::client::{ClientId, Counts, History};
use crate::clock::Day;
use crate::store::{Batch, BatchId, DayCounts, Store, StoreError};

/// What was seen, on its way into a store.
///
/// Counts cannot be compared: those of the store and of the backup may be of the same requests, or of
/// others. So a day that the store has of a client stays, and one that it does not have is taken.
pub(super) struct Seen<'a> {
    store: &'a dyn Store,
    batch: Batch,
    /// Whether the store had no counts at all, so that it need not be asked for each client.
    is_blank: bool,
    /// How many clients' counts are damaged in the store, and left as they are.
    damaged: u64,
}

impl<'a> Seen<'a> {
    /// Begins to tell `store`.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    pub(super) async fn begin(store: &'a dyn Store, today: Day) -> Result<Self, StoreError> {
        let all = today.minus(Counts::DAYS)..=today;
        let totals = store.totals(all).await;
        let id = BatchId {
            writer: Uuid::now_v7(),
            number: 1,
        };
        Ok(Self {
            store,
            batch: Batch::empty(id, today),
            is_blank: totals.is_ok_and(|totals| totals.is_empty()),
            damaged: 0,
        })
    }

    /// Takes in a line of a backup, unless it is of a record.
    ///
    /// # Errors
    ///
    /// When the store did not take it, or it is not known whether it did: restore again.
    pub(super) async fn take(&mut self, line: Line) -> Result<(), StoreError> {
        match line {
            Line::Record { .. } | Line::LeftOut { .. } => return Ok(()),
            Line::Sighting { sighting } => self.batch.sightings.push(sighting),
            Line::Use { used } => self.batch.uses.push(used),
            Line::Days { client, days } => self.days(client, days).await?,
        }
        if self.batch.len() >= Batch::MOST {
            self.flush().await?;
        }
        Ok(())
    }

    async fn days(&mut self, client: ClientId, mut days: History) -> Result<(), StoreError> {
        if !self.is_blank
            && let (Some(first), Some(last)) = (days.keys().next(), days.keys().next_back())
        {
            match self.store.counts(&client, *first..=*last).await {
                Ok(known) => days.retain(|day, _| !known.contains_key(day)),
                Err(StoreError::Unreadable(_)) => {
                    self.damaged = self.damaged.saturating_add(1);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        for (day, counts) in days {
            let client = client.clone();
            self.batch.counts.push(DayCounts {
                client,
                day,
                counts,
            });
            if self.batch.len() >= Batch::MOST {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let damaged = self.store.saw(&self.batch).await?;
        self.damaged = self.damaged.saturating_add(damaged);
        let BatchId { writer, number } = self.batch.id;
        let next = BatchId {
            writer,
            number: number.saturating_add(1),
        };
        self.batch = Batch::empty(next, self.batch.today);
        Ok(())
    }

    /// Tells the store the rest. Gives how many entries of the store were damaged.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub(super) async fn end(mut self) -> Result<u64, StoreError> {
        self.flush().await?;
        Ok(self.damaged)
    }
}
