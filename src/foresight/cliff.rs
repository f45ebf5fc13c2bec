//! When the certificates of clients that have not moved end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Day, Timestamp};

const DAY: Duration = Duration::from_hours(24);

/// How many clients lose their last certificate, and when. What is within 3 days is within 7 days
/// too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Cliff {
    /// Already.
    pub ended: usize,
    /// Within 3 days.
    pub within_3_days: usize,
    /// Within 7 days.
    pub within_7_days: usize,
    /// Within 30 days.
    pub within_30_days: usize,
    /// Within 90 days.
    pub within_90_days: usize,
    /// The day within these on which most clients do.
    pub worst_day: Option<Day>,
    /// How many do on that day.
    pub on_worst_day: usize,
    /// How many do on each of these days on which any does.
    pub by_day: BTreeMap<Day, usize>,
}

impl Cliff {
    /// How many days before the end it is told that it is near.
    pub const DAYS: [u32; 4] = [3, 7, 30, 90];

    /// What follows from when the last certificate of each client ends.
    #[must_use]
    pub fn of(ends: impl IntoIterator<Item = Timestamp>, now: Timestamp) -> Self {
        let mut cliff = Self::default();
        for end in ends {
            if end <= now {
                count(&mut cliff.ended);
                continue;
            }
            let within = |days: u32| end <= now.plus(DAY.saturating_mul(days));
            let counters = [
                &mut cliff.within_3_days,
                &mut cliff.within_7_days,
                &mut cliff.within_30_days,
                &mut cliff.within_90_days,
            ];
            for (days, counter) in Self::DAYS.into_iter().zip(counters) {
                if within(days) {
                    count(counter);
                }
            }
            if within(90) {
                count(cliff.by_day.entry(end.day()).or_default());
            }
        }
        // Of equally bad days, the first.
        let worst = cliff.by_day.iter().rev().max_by_key(|(_, count)| **count);
        if let Some((&day, &count)) = worst {
            cliff.worst_day = Some(day);
            cliff.on_worst_day = count;
        }
        cliff
    }
}

fn count(counter: &mut usize) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_counted_by_how_near_they_are_and_the_worst_day_is_named() {
        let now = Timestamp::from_unix(1_000 * 86_400);
        let after = |days: u32| now.plus(DAY.saturating_mul(days));
        let ends = [0, 1, 3, 7, 20, 20, 60, 60, 90, 91].map(after);
        let cliff = Cliff::of(ends, now);
        assert_eq!(
            cliff,
            Cliff {
                ended: 1,
                within_3_days: 2,
                within_7_days: 3,
                within_30_days: 5,
                within_90_days: 8,
                worst_day: Some(after(20).day()),
                on_worst_day: 2,
                by_day: [(1, 1), (3, 1), (7, 1), (20, 2), (60, 2), (90, 1)]
                    .map(|(days, count)| (after(days).day(), count))
                    .into(),
            }
        );
        assert_eq!(Cliff::of([], now), Cliff::default());
    }
}
