//! Refusing certificates at times, so that whoever still depends on them notices in time.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Windows;
use crate::client::ClientId;
use crate::clock::Timestamp;

const HOUR: i64 = 3600;
/// How many hours ahead it is looked who is refused of a share: a month.
const AHEAD: i64 = 30 * 24;

/// A brownout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brownout {
    /// When which certificates are refused.
    pub plan: Plan,
    /// After how many refusals, by all replicas together, the brownout stops itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
}

impl Brownout {
    /// Until when a certificate of `client` is refused, if it is refused `now`, after so many
    /// `refusals`: nobody is any more once the budget is spent.
    #[must_use]
    pub fn refuses(&self, client: &ClientId, refusals: u64, now: Timestamp) -> Option<Timestamp> {
        let until = self.plan.refuses(client, now)?;
        (!self.has_spent(refusals)).then_some(until)
    }

    /// Whether so many `refusals` are all that it may make.
    #[must_use]
    pub fn has_spent(&self, refusals: u64) -> bool {
        self.budget.is_some_and(|budget| refusals >= budget)
    }
}

/// When which certificates are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// From when on.
    pub begins: Timestamp,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// When, between these.
    pub schedule: Schedule,
}

/// Who is refused when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Everybody, at certain times.
    Windows(Windows),
    /// At any time some, each for a whole hour.
    Share(Share),
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Windows(windows) => {
                let list: Vec<_> = windows.windows().iter().map(ToString::to_string).collect();
                write!(f, "{} ({})", list.join(", "), windows.zone())
            }
            Self::Share(share) => write!(f, "{} % of the clients an hour", share.percent()),
        }
    }
}

/// How many of a hundred clients are refused in any hour: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
pub struct Share(u8);

/// The number is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is 1 to 100 percent")]
pub struct NotAShare;

impl Plan {
    /// Until when a certificate of `client` is refused, if it is refused `now`.
    #[must_use]
    pub fn refuses(&self, client: &ClientId, now: Timestamp) -> Option<Timestamp> {
        if now < self.begins || self.ends.is_some_and(|ends| ends <= now) {
            return None;
        }
        let until = match &self.schedule {
            Schedule::Windows(windows) => windows.end_of(now)?,
            Schedule::Share(share) => share.refuses(client, now)?,
        };
        Some(self.ends.map_or(until, |ends| ends.min(until)))
    }

    /// Whether somebody may be refused `now`; then until when that goes on, where it has an end.
    #[must_use]
    pub fn under_way(&self, now: Timestamp) -> Option<Option<Timestamp>> {
        if self.next(now) != Some(now) {
            return None;
        }
        let window = match &self.schedule {
            Schedule::Windows(windows) => windows.end_of(now),
            Schedule::Share(_) => None,
        };
        Some(match (window, self.ends) {
            (Some(window), Some(ends)) => Some(window.min(ends)),
            (window, ends) => window.or(ends),
        })
    }

    /// The first moment at or after `after` at which a certificate of `client` is refused, as far as
    /// that can be told ahead.
    #[must_use]
    pub fn next_for(&self, client: &ClientId, after: Timestamp) -> Option<Timestamp> {
        let first = self.next(after)?;
        let Schedule::Share(share) = &self.schedule else {
            return Some(first);
        };
        let hour = first.as_unix().div_euclid(HOUR);
        let later = (1..=AHEAD).map(|n| hour.saturating_add(n).saturating_mul(HOUR));
        std::iter::once(first)
            .chain(later.map(Timestamp::from_unix))
            .take_while(|at| self.ends.is_none_or(|ends| *at < ends))
            .find(|at| share.refuses(client, *at).is_some())
    }

    /// The first moment at or after `after` at which somebody may be refused.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.max(self.begins);
        let next = match &self.schedule {
            Schedule::Windows(windows) => windows.next(after)?,
            Schedule::Share(_) => after,
        };
        Some(next).filter(|next| self.ends.is_none_or(|ends| *next < ends))
    }
}

impl Share {
    /// The number.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// Until when `client` is among those that are refused in the hour of `now`. A larger share
    /// refuses the same clients, and more.
    fn refuses(self, client: &ClientId, now: Timestamp) -> Option<Timestamp> {
        let hour = now.as_unix().div_euclid(HOUR);
        let mut hash = Sha256::new_with_prefix(b"brownout.v1\0");
        hash.update(client.as_str());
        hash.update(b"\0");
        hash.update(hour.to_be_bytes());
        let hash = hash.finalize();
        // Of sixteen bytes taken as one number, the remainder is as good as even.
        let drawn = hash.iter().take(16).fold(0u128, |number, byte| {
            number.wrapping_shl(8) | u128::from(*byte)
        });
        let end = hour.saturating_add(1).saturating_mul(HOUR);
        (drawn % 100 < u128::from(self.0)).then(|| Timestamp::from_unix(end))
    }
}

impl TryFrom<u8> for Share {
    type Error = NotAShare;

    fn try_from(percent: u8) -> Result<Self, NotAShare> {
        let fits = (1..=100).contains(&percent);
        fits.then_some(Self(percent)).ok_or(NotAShare)
    }
}

impl From<Share> for u8 {
    fn from(share: Share) -> Self {
        share.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: i64 = 1_795_435_200;

    fn client(n: u32) -> ClientId {
        format!("client-{n}").parse().unwrap()
    }

    #[expect(clippy::arithmetic_side_effects, reason = "small numbers")]
    fn at(hour: i64, second: i64) -> Timestamp {
        Timestamp::from_unix(NOON + hour * HOUR + second)
    }

    fn share(percent: u8) -> Share {
        Share::try_from(percent).unwrap()
    }

    fn plan(schedule: Schedule) -> Plan {
        Plan {
            begins: Timestamp::from_unix(NOON - 7 * 86_400),
            ends: None,
            schedule,
        }
    }

    #[test]
    fn a_share_is_about_as_many_clients_as_it_says_and_others_in_the_next_hour() {
        let refused = |hour: i64| {
            let now = Timestamp::from_unix(NOON + hour * HOUR);
            let refused = |n: &u32| share(10).refuses(&client(*n), now).is_some();
            (0..10_000).filter(refused).collect::<Vec<_>>()
        };
        let (one, other) = (refused(0), refused(1));
        assert!((900..1100).contains(&one.len()), "{}", one.len());
        let both = one.iter().filter(|n| other.contains(n)).count();
        assert!((50..150).contains(&both), "{both}");
    }

    #[test]
    fn who_is_refused_in_an_hour_is_the_same_for_ever() {
        // Two versions that run at the same time must agree.
        let now = Timestamp::from_unix(NOON);
        let refused = |n: &u32| share(20).refuses(&client(*n), now).is_some();
        let refused: Vec<_> = (0..20).filter(refused).collect();
        assert_eq!(refused, [1, 2, 5, 11, 12, 13]);
    }

    #[test]
    fn nobody_is_refused_before_a_plan_begins_or_after_it_ends() {
        let mut plan = plan(Schedule::Share(share(100)));
        plan.begins = Timestamp::from_unix(NOON + 60);
        plan.ends = Some(Timestamp::from_unix(NOON + 120));
        let until = |second: i64| {
            let until = plan.refuses(&client(1), Timestamp::from_unix(NOON + second));
            until.map(|until| until.as_unix() - NOON)
        };
        assert_eq!(
            [0, 59, 60, 119, 120].map(until),
            [None, None, Some(120), Some(120), None]
        );
        let next = |second: i64| {
            let next = plan.next(Timestamp::from_unix(NOON + second));
            next.map(|next| next.as_unix() - NOON)
        };
        assert_eq!([0, 70, 120].map(next), [Some(60), Some(70), None]);
        let under_way = |second: i64| {
            let under_way = plan.under_way(Timestamp::from_unix(NOON + second));
            under_way.map(|until| until.map(|until| until.as_unix() - NOON))
        };
        let expected = [None, Some(Some(120)), Some(Some(120)), None];
        assert_eq!([59, 60, 119, 120].map(under_way), expected);
    }

    #[test]
    fn a_client_is_told_its_own_first_hour_of_a_share() {
        let mut plan = plan(Schedule::Share(share(10)));
        let (from, within) = (at(0, 0), at(0, 90));
        for n in 0..200 {
            let next = plan.next_for(&client(n), from).unwrap();
            assert!(plan.refuses(&client(n), next).is_some());
            let refused = |hour: &i64| plan.refuses(&client(n), at(*hour, 0)).is_some();
            assert_eq!(Some(next), (0..1000).find(refused).map(|hour| at(hour, 0)));
            // Who is refused already is told so; and what has begun does not begin again.
            let later = plan.next_for(&client(n), within).unwrap();
            assert!(later == next || (next, later) == (from, within), "{n}");
        }
        // What is over before its hour comes refuses it never.
        let spared = |n: &u32| plan.refuses(&client(*n), from).is_none();
        let spared = client((0..1000).find(spared).unwrap());
        plan.ends = Some(at(1, 0));
        assert_eq!(plan.next_for(&spared, from), None);
        // A month is looked ahead, no more: that one has luck.
        (plan.ends, plan.schedule) = (None, Schedule::Share(share(1)));
        assert_eq!(plan.next_for(&client(1394), from), None);
    }

    #[test]
    fn windows_refuse_everybody_until_they_end() {
        let windows = vec!["Mon 11:00-13:00".parse().unwrap()];
        let windows = Windows::new(super::super::Zone::UTC, windows).unwrap();
        // 2026-11-23 is a Monday.
        let plan = plan(Schedule::Windows(windows));
        let until = |n, second: i64| {
            let until = plan.refuses(&client(n), Timestamp::from_unix(NOON + second));
            until.map(|until| until.as_unix() - NOON)
        };
        assert_eq!(until(1, 0), Some(HOUR));
        assert_eq!(until(2, HOUR - 1), Some(HOUR));
        let end = plan.under_way(Timestamp::from_unix(NOON)).flatten();
        assert_eq!(end, Some(Timestamp::from_unix(NOON + HOUR)));
        assert_eq!(until(1, HOUR), None);
    }

    proptest! {
        #[test]
        fn a_client_is_out_for_a_whole_hour_and_a_larger_share_takes_it_along(
            n in 0u32..1000, hour in 0i64..1000, second in 0i64..HOUR, small in 1u8..=100, more in 0u8..100,
        ) {
            let large = share(small.saturating_add(more).min(100));
            let begin = at(hour, 0);
            let within = at(hour, second);
            let refused = share(small).refuses(&client(n), begin);
            prop_assert_eq!(refused, share(small).refuses(&client(n), within));
            if let Some(until) = refused {
                prop_assert_eq!(until, begin.plus(std::time::Duration::from_hours(1)));
                prop_assert_eq!(large.refuses(&client(n), within), Some(until));
            }
        }
    }
}
