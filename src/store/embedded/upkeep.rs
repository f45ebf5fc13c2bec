//! What is done to the file as a whole, while nobody uses it. Everything here blocks.

use std::path::Path;

use redb::Database;

use super::open::{OpenError, open};
use crate::clock;

/// A file of fewer bytes is not worth the time.
const SMALLEST: u64 = 16 << 20;

/// Gives the space of the file back that it does not need. Gives how many bytes it had, and has.
///
/// # Errors
///
/// [`OpenError`].
pub fn compact(path: &Path) -> Result<(u64, u64), OpenError> {
    let mut database = open(path)?;
    let before = length(path)?;
    database.compact().map_err(|error| damaged(path, &error))?;
    drop(database);
    Ok((before, length(path)?))
}

/// Checks every page of the file.
///
/// # Errors
///
/// [`OpenError`], also when something had to be mended.
pub fn check(path: &Path) -> Result<(), OpenError> {
    let mut database = open(path)?;
    match database.check_integrity() {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged(path, &"pages were wrong, and have been mended")),
        Err(error) => Err(damaged(path, &error)),
    }
}

/// Opens the file, and compacts it when more than half of it is free. That it cannot be compacted
/// hinders nobody.
pub(super) fn open_compact(path: &Path) -> Result<Database, OpenError> {
    let mut database = open(path)?;
    let before = length(path)?;
    if before < SMALLEST || !needed(&database).is_ok_and(|needed| needed < before / 2) {
        return Ok(database);
    }
    let begun = clock::monotonic();
    if let Err(error) = database.compact() {
        tracing::warn!(%error, path = %path.display(), "the store's file cannot be compacted");
        drop(database);
        return open(path);
    }
    let (bytes, took_ms) = (length(path)?, begun.elapsed().as_millis());
    tracing::info!(path = %path.display(), before, bytes, took_ms, "compacted the store's file");
    Ok(database)
}

/// How many bytes the file would have without what is free.
fn needed(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    let page = u64::try_from(stats.page_size()).unwrap_or(u64::MAX);
    transaction.abort()?;
    Ok(stats.allocated_pages().saturating_mul(page))
}

fn length(path: &Path) -> Result<u64, OpenError> {
    let metadata = path.metadata().map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(metadata.len())
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
