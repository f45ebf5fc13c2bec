//! Whom a setting is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Selector;
use crate::client::ClientId;

/// Whom a setting is for. Its text form, `all`, `cohort:SELECTOR` or `client:ID`, names the record.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// Every client.
    All,
    /// The clients of a cohort.
    Cohort(Selector),
    /// One client.
    Client(ClientId),
}

/// The text names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no target; it is all, cohort:SELECTOR or client:ID")]
pub struct NotATarget(String);

impl FromStr for Target {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        let target = match text.split_once(':') {
            None if text == "all" => Some(Self::All),
            Some(("cohort", selector)) => selector
                .parse()
                .ok()
                // One cohort has one record.
                .filter(|read: &Selector| read.to_string() == selector)
                .map(Self::Cohort),
            Some(("client", id)) => id.parse().ok().map(Self::Client),
            _ => None,
        };
        target.ok_or_else(|| NotATarget(text.to_owned()))
    }
}

impl TryFrom<String> for Target {
    type Error = NotATarget;

    fn try_from(text: String) -> Result<Self, NotATarget> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Cohort(selector) => write!(f, "cohort:{selector}"),
            Self::Client(id) => write!(f, "client:{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_text_form() {
        for text in ["all", "cohort:a,!b", "client:acme.1"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "All",
            "cohort:",
            "cohort:!b,a",
            "client:",
            "client:A",
            "x:a",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }
}
