//! How many clients were at which stage, day by day.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Life;
use crate::client::Stage;
use crate::clock::Day;

/// How many clients were at which stage on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
        let mut counts: Vec<_> = (first.number()..=last.number())
            .map(|number| (Day::from_number(number), [0usize; Stage::ALL.len()]))
            .collect();
        for life in lives {
            for ((_, counts), (_, stage)) in counts.iter_mut().zip(life.stages(window, days)) {
                let place = stage.map(|stage| stage as usize);
                if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                    *count = count.saturating_add(1);
                }
            }
        }
        let counts = counts.into_iter().map(|(day, counts)| DayStages {
            day,
            by_stage: Stage::ALL.into_iter().zip(counts).collect(),
        });
        Self(counts.collect())
    }

    /// Sets the last day right: of the present, more is known than its requests.
    pub fn now(&mut self, by_stage: BTreeMap<Stage, usize>) {
        if let Some(today) = self.0.last_mut() {
            today.by_stage = by_stage;
        }
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
            let stages = life.stages(WEEK, 120).filter_map(|(_, stage)| stage);
            let after = stages.skip_while(|stage| *stage < Stage::Dual);
            for stage in after {
                prop_assert!(stage >= Stage::Dual);
            }
        }
    }
}
