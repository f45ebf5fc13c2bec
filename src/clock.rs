//! The one place that asks for the time.
//!
//! The core is given the time; only the edge calls [`now`] and [`monotonic`].

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

/// When Unix time begins.
const EPOCH: jiff::civil::DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// A moment in whole seconds since the Unix epoch, UTC.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// A moment from `seconds` since the Unix epoch.
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// The moment that a header `Date` tells (RFC 9110 section 5.6.7); none when it is no date.
    #[must_use]
    pub fn from_http(date: &str) -> Option<Self> {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        Some(Self(parser.parse_timestamp(date).ok()?.as_second()))
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix(self) -> i64 {
        self.0
    }

    /// The moment `duration` later; fractions of a second are dropped, and the end of time is kept.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(duration.as_secs()))
    }

    /// The day that it falls into; the first one, when it lies before 1970.
    #[must_use]
    pub fn day(self) -> Day {
        let days = self.0.div_euclid(Day::SECONDS).max(0);
        Day::from_number(u32::try_from(days).unwrap_or(Day::LAST))
    }

    /// Whole seconds from `earlier` to `self`; negative when `self` comes first.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, whole seconds: `2026-11-23T14:44:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The library's moments end a day before the calendar does, of whose last second RFC 5280
        // (section 4.1.2.5) makes the end that is none.
        let since = jiff::SignedDuration::from_secs(self.0);
        match EPOCH.checked_add(since) {
            Ok(moment) => write!(f, "{moment}Z"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

/// A day of the calendar, UTC: what is counted, is counted by the day.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Day(u32);

/// The text is not a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a day is written like 2026-11-23")]
pub struct NotADay;

impl Day {
    /// 9999-12-30, the last day of the calendar that is whole.
    const LAST: u32 = 2_932_895;

    /// How many seconds a day has; Unix time knows no leap seconds.
    const SECONDS: i64 = 86_400;

    /// The day that begins this many days after 1970-01-01, and none after 9999-12-30.
    #[must_use]
    pub const fn from_number(days: u32) -> Self {
        Self(if days < Self::LAST { days } else { Self::LAST })
    }

    /// How many days after 1970-01-01 it begins.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The day so many days before; the first day of time has none before it.
    #[must_use]
    pub const fn minus(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// The first moment of the day.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(i64::from(self.0).saturating_mul(Self::SECONDS))
    }
}

impl fmt::Display for Day {
    /// RFC 3339: `2026-11-23`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.start().to_string();
        f.write_str(start.split_once('T').map_or(start.as_str(), |(day, _)| day))
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let start: jiff::Timestamp = format!("{text}T00:00:00Z").parse().map_err(|_| NotADay)?;
        let day = Timestamp(start.as_second()).day();
        if day.to_string() == text {
            Ok(day)
        } else {
            Err(NotADay)
        }
    }
}

impl TryFrom<String> for Day {
    type Error = NotADay;

    fn try_from(text: String) -> Result<Self, NotADay> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

/// What the system's clock says now; before 1970 it counts as the epoch itself.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX))
}

/// The same, to the nanosecond, for those who are not told in seconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// A reading of the clock that never goes back, for measuring how long something took.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A name that nobody else gives: a UUID of version 7 (RFC 9562 section 5.7), by the clock and at random,
/// without the counter by which others come in order, for which they wait in line.
#[must_use]
pub fn unique() -> Uuid {
    let now = since_epoch();
    Uuid::new_v7(uuid::Timestamp::from_unix(
        NoContext,
        now.as_secs(),
        now.subsec_nanos(),
    ))
}

/// Between half of `pause` and the whole of it, so that those who wait do not come back in step.
#[must_use]
pub fn jittered(pause: Duration) -> Duration {
    let spread = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + spread / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_unix(1_795_418_999).to_string(),
            "2026-11-23T07:29:59Z"
        );
        for (second, text) in [
            (-1, "1969-12-31T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "253402300800"),
        ] {
            assert_eq!(Timestamp::from_unix(second).to_string(), text);
        }
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        let read = Timestamp::from_http("Mon, 23 Nov 2026 07:29:59 GMT");
        assert_eq!(read, Some(Timestamp::from_unix(1_795_418_999)));
        assert_eq!(Timestamp::from_http("yesterday"), None);
    }

    #[test]
    fn a_day_begins_at_midnight_and_reads_as_a_date() {
        let day = Timestamp::from_unix(1_795_418_999).day();
        assert_eq!(day.to_string(), "2026-11-23");
        assert_eq!(day.start().to_string(), "2026-11-23T00:00:00Z");
        let before = Timestamp::from_unix(day.start().as_unix() - 1);
        assert_eq!(before.day(), day.minus(1));
        assert_eq!(Timestamp::from_unix(-1).day(), Day::from_number(0).minus(1));
        assert_eq!(
            Timestamp::from_unix(i64::MAX).day().to_string(),
            "9999-12-30"
        );
    }

    #[test]
    fn a_day_has_one_text_form() {
        for day in [0, 20_780, Day::LAST].map(Day::from_number) {
            assert_eq!(day.to_string().parse(), Ok(day));
        }
        for bad in [
            "",
            "2026-11-23T00:00",
            "2026-11-31",
            "20261123",
            "1969-12-31",
        ] {
            assert_eq!(bad.parse::<Day>(), Err(NotADay), "{bad}");
        }
    }

    #[test]
    fn the_end_of_time_is_kept() {
        let last = Timestamp::from_unix(i64::MAX);
        assert_eq!(last.plus(Duration::from_secs(1)), last);
    }
}
