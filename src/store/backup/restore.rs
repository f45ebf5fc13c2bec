//! Restoring a backup.

use super::bring::Bringing;
use super::order::{Order, Restored};
use super::seen::Seen;
use super::{Backup, BackupError, Line};
use crate::store::{Record, Store, StoreError, Versioned};

/// Why a restore broke off. It can be begun again.
#[derive(Debug, thiserror::Error)]
pub enum NotRestored {
    /// The backup cannot be read any more.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Restores `backup` into `store`.
///
/// The phases come first: nobody is let in by a certificate that was retired. Clients come last, and
/// so who has a client has all that it was given until then. What was seen comes after the end of
/// the changes. How many more lines are `done` is told.
///
/// # Errors
///
/// [`NotRestored`].
pub async fn restore(
    backup: &Backup,
    store: &dyn Store,
    order: Order<'_>,
    done: impl Fn(u64),
) -> Result<Restored, NotRestored> {
    let (today, is_dry) = (order.today, order.is_dry);
    let mut bringing = Bringing::begin(store, backup.header().head, order).await?;
    let phases = records(backup, |record| matches!(record, Record::Phase(_)))?;
    let phases = phases.inspect(|_| done(1)).collect::<Result<_, _>>()?;
    bringing.phases(phases).await?;
    let is_other = |record: &Record| !matches!(record, Record::Phase(_) | Record::Client(_));
    for record in records(backup, is_other)? {
        bringing.take(record?).await?;
        done(1);
    }
    bringing.flush().await?;
    for record in records(backup, |record| matches!(record, Record::Client(_)))? {
        bringing.take(record?).await?;
        done(1);
    }
    let mut restored = bringing.end().await?;
    if !is_dry {
        let mut seen = Seen::begin(store, today).await?;
        for line in backup.lines()? {
            let line = line?;
            let is_new = !matches!(line, Line::Record { .. });
            seen.take(line).await?;
            done(u64::from(is_new));
        }
        restored.damaged = seen.end().await?;
    }
    Ok(restored)
}

/// The records of a backup that are `wanted`.
fn records(
    backup: &Backup,
    wanted: impl Fn(&Record) -> bool,
) -> Result<impl Iterator<Item = Result<Versioned, BackupError>>, BackupError> {
    Ok(backup.lines()?.filter_map(move |line| match line {
        Ok(Line::Record { version, record }) => wanted(&record).then_some(Ok(Versioned {
            version,
            record: *record,
        })),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }))
}
