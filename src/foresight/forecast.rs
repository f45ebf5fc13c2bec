//! When the move may end, if it goes on as it went.

use serde::Serialize;

use crate::clock::Day;

/// The shorter time that is looked back, in days.
const SHORT: usize = 14;
/// The longer one.
const LONG: usize = 28;
/// What lies further ahead than this many days is no forecast.
const FARTHEST: f64 = 3650.0;

/// When no client may remain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Forecast {
    /// None remains already.
    Done,
    /// As fast as in the last two and in the last four weeks, whichever is sooner and later.
    Between {
        /// Not before.
        earliest: Day,
        /// Not after.
        latest: Day,
    },
    /// It cannot be told.
    None {
        /// Why.
        because: Unforeseeable,
    },
}

/// Why there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unforeseeable {
    /// Fewer than two weeks were counted.
    TooFewDays,
    /// The number of clients that remain does not fall.
    NotFalling,
    /// It falls so slowly that it would take more than ten years.
    TooSlow,
}

impl Unforeseeable {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooFewDays => "fewer than 14 days were counted",
            Self::NotFalling => "the number of clients that remain does not fall",
            Self::TooSlow => "at this pace it takes more than ten years",
        }
    }
}

/// When no client may remain, from how many did on each of the last days up to `today`.
#[must_use]
pub fn forecast(remaining: &[usize], today: Day) -> Forecast {
    let Some(now) = remaining.last().copied() else {
        return Forecast::None {
            because: Unforeseeable::TooFewDays,
        };
    };
    if now == 0 {
        return Forecast::Done;
    }
    if remaining.len() < SHORT {
        return Forecast::None {
            because: Unforeseeable::TooFewDays,
        };
    }
    let days = [SHORT, LONG].map(|days| {
        let from = remaining.len().saturating_sub(days);
        days_left(now, remaining.get(from..).unwrap_or_default())
    });
    match days {
        [Ok(short), Ok(long)] => {
            let after = |days: u32| Day::from_number(today.number().saturating_add(days));
            Forecast::Between {
                earliest: after(short.min(long)),
                latest: after(short.max(long)),
            }
        }
        [Err(because), _] | [_, Err(because)] => Forecast::None { because },
    }
}

/// How many days until none of `now` remain, as fast as `remaining` fell.
fn days_left(now: usize, remaining: &[usize]) -> Result<u32, Unforeseeable> {
    let fall = -slope(remaining);
    if fall <= f64::EPSILON {
        return Err(Unforeseeable::NotFalling);
    }
    let days = (number(now) / fall).ceil();
    if days > FARTHEST {
        return Err(Unforeseeable::TooSlow);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and FARTHEST"
    )]
    Ok(days as u32)
}

/// How much the values change from one to the next: the line with the least squares.
fn slope(values: &[usize]) -> f64 {
    let middle = (number(values.len()) - 1.0) / 2.0;
    let (mut above, mut below) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let from_middle = number(at) - middle;
        above += from_middle * number(*value);
        below += from_middle * from_middle;
    }
    if below > 0.0 { above / below } else { 0.0 }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Day = Day::from_number(20_000);

    fn falling(from: usize, by: usize, days: usize) -> Vec<usize> {
        (0..days)
            .map(|day| from.saturating_sub(by.saturating_mul(day)))
            .collect()
    }

    fn between(earliest: u32, latest: u32) -> Forecast {
        let after = |days: u32| Day::from_number(TODAY.number().saturating_add(days));
        Forecast::Between {
            earliest: after(earliest),
            latest: after(latest),
        }
    }

    fn none(because: Unforeseeable) -> Forecast {
        Forecast::None { because }
    }

    #[test]
    fn a_steady_fall_ends_when_it_reaches_zero() {
        let steady = falling(1_000, 10, 28);
        assert_eq!(steady.last(), Some(&730));
        assert_eq!(forecast(&steady, TODAY), between(73, 73));
    }

    #[test]
    fn a_fall_that_changed_its_pace_gives_a_range() {
        let mut slower = falling(1_000, 20, 14);
        slower.extend(falling(720, 5, 14));
        let Forecast::Between { earliest, latest } = forecast(&slower, TODAY) else {
            panic!("{:?}", forecast(&slower, TODAY));
        };
        assert_eq!(latest, Day::from_number(20_131));
        assert!(earliest < latest && earliest > TODAY);
    }

    #[test]
    fn there_is_no_forecast_where_none_can_be_made() {
        use Unforeseeable::{NotFalling, TooFewDays, TooSlow};
        assert_eq!(forecast(&[], TODAY), none(TooFewDays));
        assert_eq!(forecast(&falling(100, 1, 13), TODAY), none(TooFewDays));
        assert_eq!(forecast(&[50; 28], TODAY), none(NotFalling));
        let rising: Vec<_> = (0..28).collect();
        assert_eq!(forecast(&rising, TODAY), none(NotFalling));
        // It fell, and does not any more.
        let mut stopped = falling(500, 10, 14);
        stopped.extend([370; 14]);
        assert_eq!(forecast(&stopped, TODAY), none(NotFalling));
        let mut slow = vec![1_000_000; 27];
        slow.push(999_999);
        assert_eq!(forecast(&slow, TODAY), none(TooSlow));
        assert_eq!(forecast(&falling(20, 1, 28), TODAY), Forecast::Done);
    }
}
