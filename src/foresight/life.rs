//! A client's stages on past days, from the days on which it called.

use std::time::Duration;

use crate::client::{Counts, History, Seen, Stage};
use crate::clock::{Day, Timestamp};

const DAY: Duration = Duration::from_hours(24);
const HALF_A_DAY: Duration = Duration::from_hours(12);

/// Which of the days that are counted, [`Counts::DAYS`] up to the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaySet([u64; 7]);

/// What decides about a client's stages.
#[derive(Clone, Debug)]
pub struct Life {
    /// When it became known.
    pub created: Day,
    /// Since when it is disabled.
    pub disabled: Option<Day>,
    /// From when until when it had a key that it could use: the last day is the first without.
    pub keys: Vec<(Day, Option<Day>)>,
    /// The last day of the sets.
    last: Day,
    by_certificate: DaySet,
    by_key: DaySet,
    /// What was seen before the days of the sets.
    certificate_before: bool,
    key_before: bool,
}

impl DaySet {
    const WORD: u32 = 64;

    /// Adds the day that lies `back` days before the last; days that are not counted are left out.
    fn insert(&mut self, back: u32) {
        let word = usize::try_from(back / Self::WORD).unwrap_or(usize::MAX);
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (back % Self::WORD);
        }
    }

    /// The last day that lies `back` days before the last one, or longer ago.
    fn latest_since(&self, back: u32) -> Option<u32> {
        let begin = usize::try_from(back / Self::WORD).unwrap_or(usize::MAX);
        let mut words = (0..).zip(self.0).skip(begin);
        words.find_map(|(at, word)| {
            let first = back.saturating_sub(Self::WORD.saturating_mul(at));
            let word = word & u64::MAX.checked_shl(first).unwrap_or(0);
            let found = Self::WORD
                .saturating_mul(at)
                .saturating_add(word.trailing_zeros());
            (word != 0).then_some(found)
        })
    }

    fn contains(&self, back: u32) -> bool {
        let word = usize::try_from(back / Self::WORD).unwrap_or(usize::MAX);
        let word = self.0.get(word).copied().unwrap_or_default();
        word >> (back % Self::WORD) & 1 == 1
    }
}

impl Life {
    /// A client that became known on `created`, as seen on the day `last`.
    #[must_use]
    pub const fn new(created: Day, last: Day) -> Self {
        Self {
            created,
            disabled: None,
            keys: Vec::new(),
            last,
            by_certificate: DaySet([0; 7]),
            by_key: DaySet([0; 7]),
            certificate_before: false,
            key_before: false,
        }
    }

    /// Takes in when it was seen last. That also tells of the time before the counts began.
    pub fn saw(&mut self, seen: Seen) {
        if let Some(at) = seen.by_certificate {
            match self.back(at.day()) {
                Some(back) => self.by_certificate.insert(back),
                None => self.certificate_before = true,
            }
        }
        if let Some(at) = seen.by_key {
            match self.back(at.day()) {
                Some(back) => self.by_key.insert(back),
                None => self.key_before = true,
            }
        }
    }

    /// Takes in its requests; with several parts of its history, in any order.
    pub fn called(&mut self, history: &History) {
        for (day, counts) in history {
            let Some(back) = self.back(*day) else {
                continue;
            };
            if counts.by_certificate > 0 {
                self.by_certificate.insert(back);
            }
            if counts.by_key > 0 {
                self.by_key.insert(back);
            }
        }
    }

    /// Its stage at the end of each of the last `days`, the first of them first; nothing on days on
    /// which it was not known. `window` is how far back a certificate counts as still in use.
    pub fn stages(
        &self,
        window: Duration,
        days: u32,
    ) -> impl Iterator<Item = (Day, Option<Stage>)> {
        let days = days.min(Counts::DAYS);
        let before = |set: &DaySet, earlier: bool| {
            let latest = set
                .latest_since(days)
                .map(|back| noon(self.last.minus(back)));
            latest.or_else(|| earlier.then_some(Timestamp::from_unix(0)))
        };
        let mut certificate = before(&self.by_certificate, self.certificate_before);
        let mut key = before(&self.by_key, self.key_before);
        (0..days).rev().map(move |back| {
            let day = self.last.minus(back);
            if self.by_certificate.contains(back) {
                certificate = Some(noon(day));
            }
            if self.by_key.contains(back) {
                key = Some(noon(day));
            }
            let stage = (self.created <= day).then(|| {
                let seen = Seen {
                    by_certificate: certificate,
                    by_key: key,
                };
                let active = self.disabled.is_none_or(|since| since > day);
                Stage::of(
                    active,
                    self.has_key(day),
                    seen,
                    window,
                    day.start().plus(DAY),
                )
            });
            (day, stage)
        })
    }

    fn has_key(&self, day: Day) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|(from, until)| *from <= day && until.is_none_or(|until| until > day))
    }

    /// How many days before the last `day` lies; none when it is not among the counted days. What
    /// comes after the last, by another clock, counts as on it.
    fn back(&self, day: Day) -> Option<u32> {
        let back = self.last.number().saturating_sub(day.number());
        (back < Counts::DAYS).then_some(back)
    }
}

/// When somebody called of whom only the day is known.
fn noon(day: Day) -> Timestamp {
    day.start().plus(HALF_A_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_hours(7 * 24);

    fn day(number: u32) -> Day {
        Day::from_number(number.saturating_add(20_000))
    }

    fn counts(by_certificate: u64, by_key: u64) -> Counts {
        Counts {
            by_certificate,
            by_key,
            refused: 0,
        }
    }

    fn on(life: &Life, number: u32) -> Option<Stage> {
        let mut stages = life.stages(WEEK, Counts::DAYS);
        stages.find(|(at, _)| *at == day(number)).unwrap().1
    }

    #[test]
    fn a_client_walks_through_its_past_stages() {
        let mut life = Life::new(day(100), day(200));
        life.keys = vec![(day(120), None)];
        life.disabled = Some(day(190));
        life.called(&History::from([
            (day(110), counts(5, 0)),
            (day(125), counts(1, 1)),
        ]));
        life.called(&History::from([(day(128), counts(1, 0))]));
        for (number, stage) in [
            (99, None),
            (100, Some(Stage::Registered)),
            (110, Some(Stage::CertOnly)),
            (119, Some(Stage::CertOnly)),
            (120, Some(Stage::KeyIssued)),
            (124, Some(Stage::KeyIssued)),
            (125, Some(Stage::Dual)),
            (134, Some(Stage::Dual)),
            (135, Some(Stage::KeyOnly)),
            (190, Some(Stage::Retired)),
            (200, Some(Stage::Retired)),
        ] {
            assert_eq!(on(&life, number), stage, "day {number}");
        }
    }

    #[test]
    fn the_latest_day_before_is_found_in_every_word() {
        let mut set = DaySet::default();
        for back in [3, 63, 64, 200, 399] {
            set.insert(back);
        }
        set.insert(448); // It is not counted.
        for (since, latest) in [
            (0, Some(3)),
            (3, Some(3)),
            (4, Some(63)),
            (64, Some(64)),
            (65, Some(200)),
            (201, Some(399)),
            (400, None),
            (1000, None),
        ] {
            assert_eq!(set.latest_since(since), latest, "{since}");
        }
    }

    #[test]
    fn a_key_that_was_revoked_is_none_any_more() {
        let mut life = Life::new(day(100), day(200));
        life.keys = vec![(day(110), Some(day(120)))];
        assert_eq!(on(&life, 119), Some(Stage::KeyIssued));
        assert_eq!(on(&life, 120), Some(Stage::Registered));
    }

    #[test]
    fn what_was_seen_before_the_counts_still_counts() {
        let mut life = Life::new(day(0), day(5_000));
        life.saw(Seen {
            by_certificate: Some(day(10).start()),
            by_key: None,
        });
        assert_eq!(on(&life, 5_000), Some(Stage::CertOnly));
        life.saw(Seen {
            by_certificate: None,
            by_key: Some(day(4_990).start()),
        });
        assert_eq!(on(&life, 4_989), Some(Stage::CertOnly));
        assert_eq!(on(&life, 4_990), Some(Stage::KeyOnly));
    }
}
