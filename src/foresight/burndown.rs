//! How many clients were at which stage, day by day.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Life;
use crate::client::Stage;
use crate::clock::Day;

/// How many clients were at which stage on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayStages {
    /// The day.
    pub day: Day,
    /// How many clients, for each stage.
    pub by_stage: BTreeMap<Stage, usize>,
}

/// The last days, the first of them first.
#[derive(Clone, Debug)]
pub struct Burndown(Vec<DayStages>);

impl DayStages {
    fn none(day: Day) -> Self {
        Self {
            day,
            by_stage: Stage::ALL.map(|stage| (stage, 0)).into(),
        }
    }

    /// How many clients there were.
    #[must_use]
    pub fn total(&self) -> usize {
        self.by_stage.values().sum()
    }

    /// How many clients called by certificate and had not moved.
    #[must_use]
    pub fn remaining(&self) -> usize {
        let remaining = [Stage::CertOnly, Stage::KeyIssued, Stage::Dual];
        let counts = remaining
            .iter()
            .filter_map(|stage| self.by_stage.get(stage));
        counts.sum()
    }
}

impl Burndown {
    /// The stages of `lives` on the last `days` up to `last`.
    pub fn of<'a>(
        lives: impl IntoIterator<Item = &'a Life>,
        window: Duration,
        last: Day,
        days: u32,
    ) -> Self {
        let first = last.minus(days.saturating_sub(1));
        let mut burndown: Vec<_> = (first.number()..=last.number())
            .map(|number| DayStages::none(Day::from_number(number)))
            .collect();
        for life in lives {
            let stages = life.stages(window).skip_while(|(day, _)| *day < first);
            for (entry, (_, stage)) in burndown.iter_mut().zip(stages) {
                let count = stage.and_then(|stage| entry.by_stage.get_mut(&stage));
                if let Some(count) = count {
                    *count = count.saturating_add(1);
                }
            }
        }
        Self(burndown)
    }

    /// Every day.
    #[must_use]
    pub fn days(&self) -> &[DayStages] {
        &self.0
    }

    /// How many clients remained on each day from `since` on.
    #[must_use]
    pub fn remaining_since(&self, since: Day) -> Vec<usize> {
        let days = self.0.iter().filter(|day| day.day >= since);
        days.map(DayStages::remaining).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::{Counts, History};

    const WEEK: Duration = Duration::from_hours(7 * 24);
    const LAST: u32 = 20_500;

    /// Any life around the last hundred days.
    fn life() -> impl Strategy<Value = Life> {
        let day = || (LAST - 100..LAST + 10).prop_map(Day::from_number);
        let calls = prop::collection::btree_map(
            day(),
            (0..2u64, 0..2u64).prop_map(|(by_certificate, by_key)| Counts {
                by_certificate,
                by_key,
                refused: 0,
            }),
            0..20,
        );
        let keys = prop::collection::vec((day(), prop::option::of(day())), 0..3);
        (day(), prop::option::of(day()), keys, calls).prop_map(
            |(created, disabled, keys, calls)| {
                let mut life = Life::new(created, Day::from_number(LAST));
                life.disabled = disabled;
                life.keys = keys;
                life.called(&History::from_iter(calls));
                life
            },
        )
    }

    proptest! {
        #[test]
        fn the_stages_add_up_to_the_clients_of_every_day(
            lives in prop::collection::vec(life(), 0..40)
        ) {
            let burndown = Burndown::of(&lives, WEEK, Day::from_number(LAST), 60);
            prop_assert_eq!(burndown.days().len(), 60);
            for day in burndown.days() {
                let known = lives.iter().filter(|life| life.created <= day.day).count();
                prop_assert_eq!(day.total(), known);
                prop_assert!(day.remaining() <= known);
            }
        }

        #[test]
        fn whoever_used_a_key_never_falls_behind_it(life in life()) {
            let stages = life.stages(WEEK).filter_map(|(_, stage)| stage);
            let after = stages.skip_while(|stage| *stage < Stage::Dual);
            for stage in after {
                prop_assert!(stage >= Stage::Dual);
            }
        }
    }
}
