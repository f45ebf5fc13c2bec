//! Which clients make a cohort.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::client::{NotATag, Tags};

/// The most terms of a selector.
const MOST_TERMS: usize = 16;

/// A cohort by the tags of its clients: terms joined by commas, all of which must hold. `mobile` is
/// everybody who has that tag, `mobile,!beta` those of them who have not the other. One cohort has
/// one text form, whatever order its terms came in.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    with: Tags,
    without: Tags,
}

/// The text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASelector {
    /// A term is neither a tag nor `!` and a tag.
    #[error("{0:?} in the selector: {NotATag}; put ! before a tag that must be absent")]
    Term(String),
    /// It asks for a tag and for its absence.
    #[error("nobody has and has not the tag {0}")]
    Contradiction(String),
    /// It has too many terms.
    #[error("a selector has at most {MOST_TERMS} terms")]
    TooLong,
}

impl Selector {
    /// Whether a client with these tags belongs to the cohort.
    #[must_use]
    pub fn matches(&self, tags: &Tags) -> bool {
        self.with.iter().all(|tag| tags.contains(tag))
            && !self.without.iter().any(|tag| tags.contains(tag))
    }
}

impl FromStr for Selector {
    type Err = NotASelector;

    fn from_str(text: &str) -> Result<Self, NotASelector> {
        let (mut with, mut without) = (Tags::new(), Tags::new());
        for term in text.split(',') {
            let (terms, tag) = match term.strip_prefix('!') {
                Some(tag) => (&mut without, tag),
                None => (&mut with, term),
            };
            let tag = tag.parse();
            terms.insert(tag.map_err(|_| NotASelector::Term(term.chars().take(70).collect()))?);
        }
        if let Some(tag) = with.intersection(&without).next() {
            return Err(NotASelector::Contradiction(tag.to_string()));
        }
        if with.len().saturating_add(without.len()) > MOST_TERMS {
            return Err(NotASelector::TooLong);
        }
        Ok(Self { with, without })
    }
}

impl TryFrom<String> for Selector {
    type Error = NotASelector;

    fn try_from(text: String) -> Result<Self, NotASelector> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = self.with.iter().map(|tag| ("", tag));
        let terms = with.chain(self.without.iter().map(|tag| ("!", tag)));
        for (place, (not, tag)) in terms.enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{not}{tag}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(list: &[&str]) -> Tags {
        list.iter().map(|tag| tag.parse().unwrap()).collect()
    }

    #[test]
    fn every_term_must_hold() {
        let matches = |selector: &str, list: &[&str]| {
            let selector: Selector = selector.parse().unwrap();
            selector.matches(&tags(list))
        };
        assert!(matches("mobile", &["mobile", "beta"]));
        assert!(matches("mobile,!beta", &["mobile"]));
        assert!(!matches("mobile,!beta", &["mobile", "beta"]));
        assert!(!matches("mobile,eu", &["mobile"]) && !matches("mobile", &[]));
        assert!(matches("!beta", &[]));
    }

    #[test]
    fn one_cohort_has_one_name() {
        let name = |text: &str| text.parse::<Selector>().map(|s| s.to_string());
        assert_eq!(name("!c,b,a,b"), Ok("a,b,!c".to_owned()));
        for bad in ["", "a,", "!", "a b", "!!a", "A", "a,!a"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        let long: Vec<_> = (0..17).map(|n| n.to_string()).collect();
        assert_eq!(name(&long.join(",")), Err(NotASelector::TooLong));
    }

    proptest! {
        #[test]
        fn a_name_reads_back_as_the_same_cohort(
            with in prop::collection::btree_set("[a-c]{1,2}", 0..6),
            without in prop::collection::btree_set("[d-f]{1,2}", 0..6),
            has in prop::collection::btree_set("[a-f]{1,2}", 0..6),
        ) {
            let terms = with.iter().cloned().chain(without.iter().map(|tag| format!("!{tag}")));
            let text = terms.collect::<Vec<_>>().join(",");
            prop_assume!(!text.is_empty());
            let selector: Selector = text.parse().unwrap();
            prop_assert_eq!(selector.to_string().parse(), Ok(selector.clone()));
            let tags: Tags = has.iter().map(|tag| tag.parse().unwrap()).collect();
            let expected = with.is_subset(&has) && without.is_disjoint(&has);
            prop_assert_eq!(selector.matches(&tags), expected);
        }
    }
}
