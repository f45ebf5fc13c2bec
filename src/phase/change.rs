//! What the operator does to phases.

use super::{PhaseRecord, Setting, Step, Target};
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

/// Ends a brownout that has refused as often as its budget allows: clients are told, as before it.
/// None while it has not, and when there is no brownout with a budget.
#[must_use]
pub fn stop((version, record): (Epoch, PhaseRecord), spent: u64, now: Timestamp) -> Option<Change> {
    let present = record.present()?;
    let brownout = present.brownout()?;
    let budget = brownout.budget.filter(|_| brownout.has_spent(spent))?;
    let why = format!(
        "{spent} refusals were counted, of each client one a minute, and the budget of the brownout was {budget}"
    );
    let mut setting = Setting::new(Step::Announce, Actor::Gateway, now);
    setting.reason = why.parse().ok();
    setting.expired_for = present.expired_for;
    let (setting, target) = (setting.going_on_from(Some(present)), record.target.clone());
    Some(set(Some((version, record)), target, setting))
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
    use crate::phase::{Brownout, FORMER_KEPT, Phase, Plan, Schedule, Share};
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
    fn a_brownout_stops_at_its_budget_and_not_before() {
        let plan = Plan {
            begins: Timestamp::from_unix(1),
            ends: None,
            schedule: Schedule::Share(Share::try_from(5).unwrap()),
        };
        let read = |budget| {
            let plan = plan.clone();
            let brownout = setting(Step::Brownout(Brownout { plan, budget }), 1);
            (Epoch(4), record(&set(None, Target::All, brownout)))
        };
        let now = Timestamp::from_unix(9);
        assert!(stop(read(Some(10)), 9, now).is_none());
        assert!(stop(read(None), 1000, now).is_none());
        let change = stop(read(Some(10)), 12, now).unwrap();
        assert_eq!(
            (change.writes[0].expected, &change.actor),
            (Epoch(4), &Actor::Gateway)
        );
        assert!(
            change
                .reason
                .as_ref()
                .is_some_and(|why| why.to_string().starts_with("12 "))
        );
        let stopped = record(&change);
        let present = stopped.present().unwrap();
        assert_eq!((present.phase(), present.since), (Phase::Announce, now));
        assert_eq!(present.announced, Some(Timestamp::from_unix(1)));
        assert!(stop((Epoch(5), stopped), 12, now).is_none());
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
