//! Brownouts that stop themselves.

use crate::clock;
use crate::directory::Directory;
use crate::phase;
use crate::phase::InForce;
use crate::store::{CommitError, Record, RecordId, Store, StoreError};

/// Stops every brownout that has refused as often as it may, at all replicas together. Of many
/// replicas that find so at once, one makes the change.
///
/// # Errors
///
/// When the store cannot tell.
pub(super) async fn keep(directory: &Directory, store: &dyn Store) -> Result<(), StoreError> {
    let mut limited = Vec::new();
    directory.view().phases(|phase| {
        let brownout = phase.brownout();
        if brownout.is_some_and(|brownout| brownout.budget.is_some()) {
            limited.push(std::sync::Arc::clone(phase));
        }
    });
    // One whose count cannot be read holds up no other.
    let mut kept = Ok(());
    for phase in limited {
        kept = keep_one(&phase, store).await.and(kept);
    }
    kept
}

async fn keep_one(phase: &InForce, store: &dyn Store) -> Result<(), StoreError> {
    let spent = store.spent(phase.version).await?;
    let budget = phase.brownout().and_then(|brownout| brownout.budget);
    if budget.is_none_or(|budget| spent < budget) {
        return Ok(());
    }
    let Some(found) = store.get(&RecordId::Phase(phase.target.clone())).await? else {
        return Ok(());
    };
    let Record::Phase(record) = found.record else {
        return Ok(());
    };
    // What was counted is of that version, and of no later one.
    let is_same = found.version == phase.version;
    let change = phase::stop((found.version, record), spent, clock::now());
    let Some(change) = change.filter(|_| is_same) else {
        return Ok(());
    };
    match store.commit(&change).await {
        Ok(epoch) => {
            tracing::warn!(target = %phase.target, spent, epoch = epoch.0, "a brownout has spent its budget and stops");
            Ok(())
        }
        Err(CommitError::Conflict(_)) => Ok(()),
        Err(CommitError::Store(error)) => Err(error),
    }
}
