//! What speaks against a brownout at the moment at which it is set.

use std::time::Duration;

use super::{Plan, Schedule};
use crate::clock::Timestamp;

/// Something that speaks against a brownout. The operator may insist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// Its beginning was copied from some other day.
    #[error("it begins in the past, at {0}, and would refuse at once")]
    Past(Timestamp),
    /// It would be a surprise even to who set it.
    #[error("it would refuse at once: a window of it runs right now, or it has no windows")]
    AtOnce,
    /// Clients have no time to act.
    #[error(
        "it would first refuse at {first}, and {} hours of notice are asked for (--notice); let \
         it begin later (--from)",
        notice.as_secs() / 3600
    )]
    ShortNotice {
        /// When it would first refuse.
        first: Timestamp,
        /// How much time there should be.
        notice: Duration,
    },
    /// Clients were never told.
    #[error(
        "the end of certificates was never announced to these clients (keyferry phase announce)"
    )]
    NotAnnounced,
}

/// A brownout as it is about to be set.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// When it refuses.
    pub plan: &'a Plan,
    /// Whether whoever sets it said when it begins.
    pub begin_was_said: bool,
    /// How much time there should be between now and the first refusal.
    pub notice: Duration,
    /// When its clients were told that certificates end.
    pub announced: Option<Timestamp>,
}

impl Proposal<'_> {
    /// How much time there should be unless somebody says otherwise.
    pub const NOTICE: Duration = Duration::from_hours(24);

    /// Everything that speaks against setting it `now`.
    #[must_use]
    pub fn objections(&self, now: Timestamp) -> Vec<Objection> {
        let Self { plan, notice, .. } = *self;
        let first = plan.next(now);
        let mut objections = Vec::new();
        if plan.begins < now {
            objections.push(Objection::Past(plan.begins));
        }
        if first == Some(now) || (!self.begin_was_said && plan.is_window(now)) {
            objections.push(Objection::AtOnce);
        } else if let Some(first) = first.filter(|first| *first < now.plus(notice)) {
            objections.push(Objection::ShortNotice { first, notice });
        }
        if self.announced.is_none() {
            objections.push(Objection::NotAnnounced);
        }
        objections
    }
}

impl Plan {
    /// Whether a window of the schedule runs at `now`, whenever the plan begins.
    fn is_window(&self, now: Timestamp) -> bool {
        match &self.schedule {
            Schedule::Windows(windows) => windows.end_of(now).is_some(),
            Schedule::Share(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::{Share, Windows, Zone};

    /// Monday, 2026-11-23, 12:00 UTC.
    const NOW: Timestamp = Timestamp::from_unix(1_795_435_200);
    const DAY: Duration = Duration::from_hours(24);

    fn windows(list: &[&str]) -> Schedule {
        let list = list.iter().map(|window| window.parse().unwrap()).collect();
        Schedule::Windows(Windows::new(Zone::UTC, list).unwrap())
    }

    #[expect(clippy::arithmetic_side_effects, reason = "small numbers")]
    fn hours(after: i64) -> Timestamp {
        Timestamp::from_unix(NOW.as_unix() + after * 3600)
    }

    fn objections(schedule: Schedule, begins: i64, said: bool) -> Vec<Objection> {
        let plan = Plan {
            begins: hours(begins),
            ends: None,
            schedule,
        };
        let proposal = Proposal {
            plan: &plan,
            begin_was_said: said,
            notice: DAY,
            announced: Some(NOW),
        };
        proposal.objections(NOW)
    }

    #[test]
    fn o7_a_brownout_that_begins_in_the_past_is_objected_to() {
        let tuesday = || windows(&["Tue 10:00-11:00"]);
        let past = Objection::Past(hours(-1));
        assert!(objections(tuesday(), -1, true).contains(&past));
        let share = Schedule::Share(Share::try_from(5).unwrap());
        assert_eq!(objections(share, -1, true), [past, Objection::AtOnce]);
    }

    #[test]
    fn o7_a_window_that_runs_right_now_is_objected_to() {
        let monday = || windows(&["Mon 11:30-12:30"]);
        assert_eq!(objections(monday(), 0, true), [Objection::AtOnce]);
        // Also when nobody said that it begins only later.
        assert_eq!(objections(monday(), 24, false), [Objection::AtOnce]);
        assert_eq!(objections(monday(), 24, true), []);
    }

    #[test]
    fn o7_less_than_the_notice_is_objected_to() {
        let tuesday = || windows(&["Tue 10:00-11:00"]);
        let short = objections(tuesday(), 0, true);
        assert!(
            matches!(short[..], [Objection::ShortNotice { .. }]),
            "{short:?}"
        );
        // The window before the notice is over is left out, and the next one is a week later.
        assert_eq!(objections(tuesday(), 24, false), []);
        assert_eq!(objections(windows(&["Tue 12:00-13:00"]), 0, true), []);
    }

    #[test]
    fn a_brownout_that_nobody_was_told_of_is_objected_to() {
        let plan = Plan {
            begins: NOW.plus(DAY),
            ends: None,
            schedule: windows(&["Fri 10:00-11:00"]),
        };
        let proposal = Proposal {
            plan: &plan,
            begin_was_said: true,
            notice: DAY,
            announced: None,
        };
        assert_eq!(proposal.objections(NOW), [Objection::NotAnnounced]);
    }
}
