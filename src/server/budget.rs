//! Brownouts that stop themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock;
use crate::directory::{Directory, Sightings};
use crate::phase;
use crate::phase::InForce;
use crate::store::{CommitError, Committed, Epoch, Origin, Record, RecordId, Store, StoreError};

/// Stops every brownout that has refused as often as it may, at all replicas together. Of many
/// replicas that find so at once, one makes the change.
///
/// # Errors
///
/// When the store cannot tell. What this gateway counts itself then ends the refusals here.
pub(super) async fn keep(
    directory: &Directory,
    sightings: &Sightings,
    store: &dyn Store,
) -> Result<(), StoreError> {
    // One whose count cannot be read holds up no other.
    let mut kept = Ok(());
    for phase in limited(directory) {
        kept = keep_one(&phase, sightings, store).await.and(kept);
    }
    kept
}

/// The brownouts that have spent their budgets as far as is known here, and so refuse nobody at this
/// gateway; a warning for each that is not among those `before`.
pub(super) fn spent(
    directory: &Directory,
    sightings: &Sightings,
    before: &BTreeSet<Epoch>,
) -> BTreeSet<Epoch> {
    let mut spent = BTreeSet::new();
    for phase in limited(directory) {
        let refusals = sightings.refusals(phase.version);
        if !phase
            .brownout()
            .is_some_and(|brownout| brownout.has_spent(refusals))
        {
            continue;
        }
        if !before.contains(&phase.version) {
            tracing::warn!(
                target = %phase.target,
                refusals,
                "a brownout has spent its budget as far as is known here: it refuses nobody at this \
                 gateway, and is stopped for all once the store answers"
            );
        }
        spent.insert(phase.version);
    }
    spent
}

/// The brownouts in force that have a budget.
fn limited(directory: &Directory) -> Vec<Arc<InForce>> {
    let mut limited = Vec::new();
    directory.view().phases(|phase| {
        let brownout = phase.brownout();
        if brownout.is_some_and(|brownout| brownout.budget.is_some()) {
            limited.push(Arc::clone(phase));
        }
    });
    limited
}

async fn keep_one(
    phase: &InForce,
    sightings: &Sightings,
    store: &dyn Store,
) -> Result<(), StoreError> {
    let told = sightings.refusals_told(phase.version);
    let spent = store.spent(phase.version).await?;
    sightings.learn_refusals(phase.version, told, spent);
    if !phase
        .brownout()
        .is_some_and(|brownout| brownout.has_spent(spent))
    {
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
    match store.commit(&change.caused_from(Origin::here())).await {
        Ok(Committed { epoch, .. }) => {
            tracing::warn!(target = %phase.target, spent, epoch = epoch.0, "a brownout has spent its budget and stops");
            Ok(())
        }
        Err(CommitError::Conflict(_)) => Ok(()),
        Err(CommitError::Store(error)) => Err(error),
    }
}
