//! Durations as an operator writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

const WRITE: &str = r#"a duration such as "250ms", "10s", "5m" or "24h""#;

/// A duration: a whole number and its unit, `ms`, `s`, `m`, `h` or `d`. Never zero, since a time
/// limit of zero is read by some as "at once" and by others as "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(Duration);

impl Period {
    /// A period of `SECONDS`, for defaults.
    #[must_use]
    pub const fn seconds<const SECONDS: u64>() -> Self {
        Self(Duration::from_secs(SECONDS))
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        let total = number.checked_mul(milliseconds)?;
        (total > 0).then(|| Self(Duration::from_millis(total)))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("expected {WRITE}"))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WRITE)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
                Period::parse(text).ok_or_else(|| {
                    E::custom(format_args!("{text:?} is not a duration, expected {WRITE}"))
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Display for Period {
    /// In the largest unit that leaves no remainder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let (size, unit) = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
        ]
        .into_iter()
        .find(|(size, _)| milliseconds.is_multiple_of(*size))
        .unwrap_or((1, "ms"));
        let number = milliseconds.checked_div(size).unwrap_or(milliseconds);
        write!(f, "{number}{unit}")
    }
}

impl serde::Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration: a whole number above zero and its unit.",
            "pattern": "^[0-9]*[1-9][0-9]*(ms|s|m|h|d)$",
            "examples": ["250ms", "10s", "5m", "24h"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        let parse = |text| Period::parse(text).map(Period::as_duration);
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse("10s"), Some(Duration::from_secs(10)));
        assert_eq!(parse("5m"), Some(Duration::from_mins(5)));
        assert_eq!(parse("24h"), Some(Duration::from_hours(24)));
        for wrong in ["", "10", "s", "0s", "-1s", "1.5s", "1 s", "1S", "5m30s"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(parse("99999999999999999999s"), None);
        assert_eq!(parse("18446744073709551615d"), None);
    }

    #[test]
    fn a_period_is_written_in_its_largest_unit() {
        let written = |text| serde_json::to_value(Period::parse(text).unwrap()).unwrap();
        assert_eq!(written("600s"), "10m");
        assert_eq!(written("1500ms"), "1500ms");
        assert_eq!(written("48h"), "2d");
    }
}
