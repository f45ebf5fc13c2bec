//! Times of the week, in a time zone.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The most windows of a schedule.
const MOST_WINDOWS: usize = 64;
/// How many windows that follow each other without a pause are looked through for their end.
const MOST_IN_A_ROW: usize = 16;
const MINUTES_OF_A_DAY: i16 = 24 * 60;

/// A time on some days of the week: `Tue 10:00-11:00`, `Mon-Fri 22:30-24:00`.
///
/// A window begins when the clocks of its zone first show its beginning, or, where they skip it,
/// that much after the skip; and it lasts as long as it says. So it takes place exactly once on its
/// day, and is as long as ever, also when the clocks are changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    first: Weekday,
    last: Weekday,
    /// Minutes of the day.
    from: i16,
    to: i16,
}

/// Windows and the zone that they are in: at least one, at most 64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "AsStored", into = "AsStored")]
pub struct Windows {
    zone: Zone,
    windows: Vec<Window>,
}

/// A time zone by its IANA name. The rules are those that this program was built with, so that all
/// replicas have the same.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// The text is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no window; write a day or days and a time: \"Tue 10:00-11:00\", \"Mon-Fri \
     22:30-24:00\"; one that goes past midnight is two"
)]
pub struct NotAWindow(String);

/// The text names no zone, or there are no windows, or too many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAZone {
    /// No such zone.
    #[error("{0:?} is no time zone; name one of the IANA database: Europe/Berlin, UTC")]
    Unknown(String),
    /// No windows, or too many.
    #[error("a schedule has 1 to {MOST_WINDOWS} windows")]
    Count,
}

#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "TimesAndZone")]
#[serde(deny_unknown_fields)]
struct AsStored {
    zone: Zone,
    windows: Vec<Window>,
}

impl Window {
    /// When the window begins and ends that begins on `date`, if one does.
    fn on(self, date: Date, zone: &TimeZone) -> Option<(i64, i64)> {
        let since = |day: Weekday| self.first.until(day);
        if since(date.weekday()) > since(self.last) {
            return None;
        }
        let (hour, minute) = (self.from / 60, self.from % 60);
        let begin = date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
        let begin = zone.to_timestamp(begin).ok()?.as_second();
        let minutes = i64::from(self.to.saturating_sub(self.from));
        Some((begin, begin.saturating_add(minutes.saturating_mul(60))))
    }
}

impl Windows {
    /// These windows in `zone`.
    ///
    /// # Errors
    ///
    /// [`NotAZone::Count`].
    pub fn new(zone: Zone, windows: Vec<Window>) -> Result<Self, NotAZone> {
        if (1..=MOST_WINDOWS).contains(&windows.len()) {
            Ok(Self { zone, windows })
        } else {
            Err(NotAZone::Count)
        }
    }

    /// The zone.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The windows.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// When the window ends that `now` is in, with those that follow it without a pause.
    #[must_use]
    pub fn end_of(&self, now: Timestamp) -> Option<Timestamp> {
        let mut end = self.covering(now.as_unix())?;
        for _ in 0..MOST_IN_A_ROW {
            match self.covering(end) {
                Some(later) => end = later,
                None => break,
            }
        }
        Some(Timestamp::from_unix(end))
    }

    /// The first moment at or after `after` that is in a window.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.as_unix();
        let all = self.around(after, 8);
        let begin = all.filter(|(_, end)| *end > after).map(|(begin, _)| begin);
        begin
            .min()
            .map(|begin| Timestamp::from_unix(begin.max(after)))
    }

    fn covering(&self, moment: i64) -> Option<i64> {
        let here = |(begin, end): &(i64, i64)| (*begin..*end).contains(&moment);
        self.around(moment, 1)
            .filter(here)
            .map(|(_, end)| end)
            .max()
    }

    /// The windows that begin on the day before that of `moment`, and until `days` after it: one
    /// that began the day before may go on, and clocks that go back at midnight make a day follow
    /// on a later one.
    fn around(&self, moment: i64, days: i32) -> impl Iterator<Item = (i64, i64)> {
        let moment = jiff::Timestamp::from_second(moment).unwrap_or(jiff::Timestamp::MAX);
        let today = self.zone.0.to_datetime(moment).date();
        let dates = (-1..=days).filter_map(move |day| today.checked_add(day.days()).ok());
        dates.flat_map(move |date| {
            let begins = self.windows.iter();
            begins.filter_map(move |window| window.on(date, &self.zone.0))
        })
    }
}

impl TryFrom<AsStored> for Windows {
    type Error = NotAZone;

    fn try_from(AsStored { zone, windows }: AsStored) -> Result<Self, NotAZone> {
        Self::new(zone, windows)
    }
}

impl From<Windows> for AsStored {
    fn from(Windows { zone, windows }: Windows) -> Self {
        Self { zone, windows }
    }
}

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

impl FromStr for Window {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, NotAWindow> {
        let day = |text: &str| {
            let found = DAYS.iter().find(|(name, _)| *name == text);
            found.map(|(_, day)| *day)
        };
        let read = || {
            let (days, times) = text.split_once(' ')?;
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let (from, to) = times.split_once('-')?;
            let window = Self {
                first: day(first)?,
                last: day(last)?,
                from: minutes(from)?,
                to: minutes(to)?,
            };
            (window.from < window.to).then_some(window)
        };
        read().ok_or_else(|| NotAWindow(text.chars().take(80).collect()))
    }
}

/// `22:30` as minutes of the day; `24:00` is the end of the day.
fn minutes(text: &str) -> Option<i16> {
    if text == "24:00" {
        return Some(MINUTES_OF_A_DAY);
    }
    let time: Time = Some(text).filter(|text| text.len() == 5)?.parse().ok()?;
    let hours = i16::from(time.hour()).saturating_mul(60);
    Some(hours.saturating_add(i16::from(time.minute())))
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |day: Weekday| {
            let found = DAYS.iter().find(|(_, known)| *known == day);
            found.map_or("", |(name, _)| *name)
        };
        f.write_str(name(self.first))?;
        if self.first != self.last {
            write!(f, "-{}", name(self.last))?;
        }
        let (from, to) = (self.from, self.to);
        write!(
            f,
            " {:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

impl TryFrom<String> for Window {
    type Error = NotAWindow;

    fn try_from(text: String) -> Result<Self, NotAWindow> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    fn from_str(name: &str) -> Result<Self, NotAZone> {
        if name == "UTC" {
            return Ok(Self::UTC);
        }
        let found = TimeZoneDatabase::bundled().get(name);
        found
            .map(Self)
            .map_err(|_| NotAZone::Unknown(name.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Zone {
    type Error = NotAZone;

    fn try_from(name: String) -> Result<Self, NotAZone> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.as_str().to_owned()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
