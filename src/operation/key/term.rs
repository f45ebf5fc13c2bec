//! Until when a key is good, as an operator writes it.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use crate::clock::Timestamp;
use crate::config::Period;

/// No key is for longer than a hundred years: its end would have no date that is written with four digits.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);

/// A period from now on, the end of a day in UTC, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Period(Period),
    Moment(Timestamp),
}

/// A period from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Within(Period);

impl Within {
    /// Whether `end` lies in it.
    pub(super) fn holds(self, end: Option<Timestamp>, now: Timestamp) -> bool {
        end.is_some_and(|end| end <= now.plus(self.0.as_duration()))
    }
}

impl FromStr for Within {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let typed: StrDeserializer<'_, Error> = text.into_deserializer();
        Period::deserialize(typed).map(Self)
    }
}

/// The text is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a duration (90d, 12h), a day through which the key is good (2027-06-30, in UTC), or a \
     moment (2027-06-30T12:00:00Z)"
)]
pub(super) struct NotATerm;

impl Term {
    /// The first moment at which a key that is issued `now` is no longer good.
    pub(super) fn end(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Period(period) => now.plus(period.as_duration()),
            Self::Moment(moment) => moment,
        }
    }
}

impl FromStr for Term {
    type Err = NotATerm;

    fn from_str(text: &str) -> Result<Self, NotATerm> {
        let typed: StrDeserializer<'_, Error> = text.into_deserializer();
        if let Ok(period) = Period::deserialize(typed)
            && period.as_duration() <= LONGEST
        {
            return Ok(Self::Period(period));
        }
        let moment = |second| Self::Moment(Timestamp::from_unix(second));
        if let Ok(exact) = text.parse::<jiff::Timestamp>() {
            return Ok(moment(exact.as_second()));
        }
        // A date with a time but without an offset would lose its time.
        let day = Some(text).filter(|text| text.len() == "2027-06-30".len());
        let day: Date = day.ok_or(NotATerm)?.parse().map_err(|_| NotATerm)?;
        let next = day.tomorrow().map_err(|_| NotATerm)?;
        let end = TimeZone::UTC.to_timestamp(next.at(0, 0, 0, 0));
        Ok(moment(end.map_err(|_| NotATerm)?.as_second()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_a_duration_a_day_or_a_moment() {
        let now = Timestamp::from_unix(1_795_418_999);
        let end = |text: &str| text.parse::<Term>().map(|term| term.end(now).to_string());
        assert_eq!(end("90d"), Ok("2027-02-21T07:29:59Z".to_owned()));
        assert_eq!(end("2027-06-30"), Ok("2027-07-01T00:00:00Z".to_owned()));
        assert_eq!(
            end("2027-06-30T12:00:00+02:00"),
            Ok("2027-06-30T10:00:00Z".to_owned())
        );
        for text in [
            "",
            "0d",
            "90",
            "tomorrow",
            "2027-02-30",
            "2027-06-30T12:00:00",
            "-1d",
            "3000000d",
        ] {
            assert_eq!(end(text), Err(NotATerm), "{text:?}");
        }
    }
}
