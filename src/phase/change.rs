//! What the operator does to phases.

use super::{PhaseRecord, Setting, Target};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};

/// There is no setting to take back, or the one before is no longer kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing that is still known was set for {0} before; set a phase instead")]
pub struct NothingToUndo(pub Target);

/// Puts `setting` in force for `target`, whose record was `read` when there is one.
#[must_use]
pub fn set(read: Option<(Epoch, PhaseRecord)>, target: Target, setting: Setting) -> Change {
    let (version, record) = read.unwrap_or_else(|| (Epoch::NONE, PhaseRecord::new(target)));
    let (actor, at) = (setting.actor.clone(), setting.since);
    let reason = setting.reason.clone();
    let writes = vec![Write::replace(version, record.with(setting))];
    Change::new(Action::PhaseSet, actor, at, writes).because(reason)
}

/// Takes the present setting back: the one before it holds again, exactly as it was, or none where
/// there was none.
///
/// # Errors
///
/// [`NothingToUndo`].
pub fn undo(
    (version, record): (Epoch, PhaseRecord),
    actor: Actor,
    now: Timestamp,
) -> Result<Change, NothingToUndo> {
    let target = record.target.clone();
    let record = record.without().ok_or(NothingToUndo(target))?;
    let writes = vec![Write::replace(version, record)];
    Ok(Change::new(Action::PhaseUndone, actor, now, writes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::{FORMER_KEPT, Step};
    use crate::store::Record;

    fn record(change: &Change) -> PhaseRecord {
        match change.writes.as_slice() {
            [
                Write {
                    record: Record::Phase(record),
                    ..
                },
            ] => record.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn setting(step: Step, second: i64) -> Setting {
        let at = Timestamp::from_unix(second);
        let mut setting = Setting::new(step, Actor::Gateway, at);
        setting.sunset = Some(at);
        setting.reason = "why \"not\"".parse().ok();
        setting.guide = "https://a.example/".parse().ok();
        setting.expired_for = Some(std::time::Duration::from_mins(1));
        setting
    }

    #[test]
    fn o12_undo_gives_back_exactly_what_was_there() {
        let announce = setting(Step::Announce, 1);
        let first = record(&set(None, Target::All, announce.clone()));
        let change = set(
            Some((Epoch(1), first.clone())),
            Target::All,
            setting(Step::Retired, 2),
        );
        assert!(change.reason.is_some());
        let retired = record(&change);
        assert_eq!(retired.former().next(), Some(&announce));

        let at = Timestamp::from_unix(9);
        let undone = record(&undo((Epoch(2), retired), Actor::Gateway, at).unwrap());
        assert_eq!(undone, first);
        assert_eq!(undone.present(), Some(&announce));
        // The undoing of an undoing goes on back, to where nothing was set.
        let none = record(&undo((Epoch(3), undone), Actor::Gateway, at).unwrap());
        assert_eq!(none.present(), None);
        assert!(undo((Epoch(4), none), Actor::Gateway, at).is_err());
    }

    #[test]
    fn what_is_no_longer_kept_is_not_taken_for_nothing() {
        let mut read = None;
        let many = i64::try_from(FORMER_KEPT).unwrap() + 5;
        for second in 0..many {
            let change = set(read, Target::All, setting(Step::Announce, second));
            read = Some((Epoch(1), record(&change)));
        }
        let (_, mut last) = read.unwrap();
        assert_eq!(last.former().count(), FORMER_KEPT);
        let at = Timestamp::from_unix(9);
        for _ in 0..FORMER_KEPT {
            last = record(&undo((Epoch(1), last), Actor::Gateway, at).unwrap());
        }
        assert!(last.present().is_some());
        assert!(undo((Epoch(1), last), Actor::Gateway, at).is_err());
    }
}
