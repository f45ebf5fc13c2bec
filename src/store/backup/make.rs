//! Making a backup of a store.

use std::io::{self, Write};

use serde::Serialize;

use super::{Contents, Line, Secrets, Writer, kept};
use crate::client::Counts;
use crate::clock::Timestamp;
use crate::store::{Head, Loaded, Store, StoreError, Versioned};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// It could not be written.
    #[error("the backup cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is in a backup, and what is not.
#[derive(Clone, Debug, Serialize)]
pub struct Made {
    /// Where the history stood; what was changed since may be in it, too.
    pub head: Head,
    /// What is in it.
    pub contents: Contents,
    /// What is left out, since it is not believed or cannot be read.
    pub left_out: Vec<String>,
}

/// Writes everything that `store`, which is called `name`, holds. Gives back what was written to.
///
/// # Errors
///
/// [`NotMade`].
pub async fn make<W: Write + Send>(
    store: &dyn Store,
    name: &str,
    secrets: &Secrets<'_>,
    now: Timestamp,
    to: W,
) -> Result<(W, Made), NotMade> {
    let head = store.head().await?;
    let mut making = Making {
        writer: Writer::begin(to, name.to_owned(), head, now, secrets)?,
        made: Made {
            head,
            contents: Contents::default(),
            left_out: Vec::new(),
        },
        failed: None,
    };
    making.records(store).await?;
    making.seen(store, now).await?;
    match making.failed {
        Some(error) => Err(error.into()),
        None => Ok((making.writer.end()?, making.made)),
    }
}

struct Making<W> {
    writer: Writer<W>,
    made: Made,
    /// Why it comes to nothing.
    failed: Option<io::Error>,
}

impl<W: Write + Send> Making<W> {
    fn line(&mut self, line: &Line) {
        if self.failed.is_none() {
            self.made.contents.count(line);
            self.failed = self.writer.line(line).err();
        }
    }

    fn left_out(&mut self, what: String) {
        self.line(&Line::LeftOut { what: what.clone() });
        self.made.left_out.push(what);
    }

    async fn records(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let mut each = |loaded: Loaded| match loaded {
            Ok(Versioned { version, record }) => {
                let record = Box::new(kept(record));
                self.line(&Line::Record { version, record });
            }
            Err(refused) => self.left_out(refused.to_string()),
        };
        store.load(&mut each).await.map(drop)
    }

    async fn seen(&mut self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let (sightings, uses) = (store.sightings().await?, store.uses().await?);
        let damaged = sightings.damaged.len().saturating_add(uses.damaged.len());
        if damaged > 0 {
            let what = format!("{damaged} last times, which cannot be read");
            self.left_out(what);
        }
        for sighting in sightings.entries {
            self.line(&Line::Sighting { sighting });
        }
        for used in uses.entries {
            self.line(&Line::Use { used });
        }
        let today = now.day();
        let all = today.minus(Counts::DAYS)..=today;
        let mut each = |client, days| self.line(&Line::Days { client, days });
        match store.all_counts(all, &mut each).await {
            // They are numbers that nobody depends on; records without them are a backup.
            Err(StoreError::Unreadable(damaged)) => {
                let what = format!("{damaged}, and the counts after that");
                self.left_out(what);
                Ok(())
            }
            told => told,
        }
    }
}
