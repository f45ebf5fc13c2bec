//! A day or a moment, as an operator writes it.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

/// A moment, the beginning of a day in UTC, or now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Now,
    At(Timestamp),
}

/// The text is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a day (2027-06-30, which is its beginning in UTC), a moment (2027-06-30T12:00:00Z), or \
     now"
)]
pub(crate) struct NotAMoment;

impl Moment {
    pub(crate) const fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::At(moment) => moment,
        }
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let moment = |second| Self::At(Timestamp::from_unix(second));
        if text == "now" {
            return Ok(Self::Now);
        }
        if let Ok(exact) = text.parse::<jiff::Timestamp>() {
            return Ok(moment(exact.as_second()));
        }
        // A date with a time but without an offset would lose its time.
        let day = Some(text).filter(|text| text.len() == "2027-06-30".len());
        let day: Date = day.ok_or(NotAMoment)?.parse().map_err(|_| NotAMoment)?;
        let begin = TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0));
        Ok(moment(begin.map_err(|_| NotAMoment)?.as_second()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_its_beginning() {
        let now = Timestamp::from_unix(1_795_418_999);
        let at = |text: &str| {
            text.parse::<Moment>()
                .map(|moment| moment.at(now).to_string())
        };
        assert_eq!(at("2027-06-30"), Ok("2027-06-30T00:00:00Z".to_owned()));
        assert_eq!(
            at("2027-06-30T12:00:00+02:00"),
            Ok("2027-06-30T10:00:00Z".to_owned())
        );
        assert_eq!(at("now"), Ok(now.to_string()));
        for bad in ["", "tomorrow", "2027-02-30", "2027-06-30T12:00:00", "7d"] {
            assert_eq!(at(bad), Err(NotAMoment), "{bad:?}");
        }
    }
}
