//! Whether a restore is under way.

use crate::store::{Action, Epoch, Event, Store, StoreError};

/// Among how many of the last changes one is looked for that says that a restore goes on: so many
/// times as many as are read at once, the last ones first.
const LOOKS_BACK: u64 = 10;
const AT_ONCE: u64 = 100;

/// Whether a restore was begun in the store, which is at `now`, and has not come to its end. Anybody
/// who can write to the store can say so.
///
/// # Errors
///
/// When the store cannot tell.
pub async fn is_being_restored(store: &dyn Store, now: Epoch) -> Result<bool, StoreError> {
    for look in 1..=LOOKS_BACK {
        let after = now.0.saturating_sub(look.saturating_mul(AT_ONCE));
        let events = store.trail(Epoch(after)).await?;
        let mut actions = events
            .iter()
            .rev()
            .filter_map(|event| Event::action_of(&event.stored));
        let last = actions.find_map(opens);
        if after == 0 || last.is_some() {
            return Ok(last == Some(true));
        }
    }
    Ok(false)
}

/// Whether a restore goes on after a change that says so; nothing of any other.
pub(super) const fn opens(action: Action) -> Option<bool> {
    if matches!(action, Action::StoreRestoring) {
        Some(true)
    } else if matches!(action, Action::StoreRestored) {
        Some(false)
    } else {
        None
    }
}
