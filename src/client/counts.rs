//! How many requests came, by the day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Day;

/// The requests of one day. Each is counted once.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Served for a certificate alone: these would break without it.
    pub by_certificate: u64,
    /// Served for a key, whether a certificate came beside it or not.
    pub by_key: u64,
    /// Proven to be the client's, and refused.
    pub refused: u64,
}

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Served for a certificate alone.
    ByCertificate,
    /// Served for a key.
    ByKey,
    /// Refused.
    Refused,
}

/// Days on which requests came, and how many.
pub type History = BTreeMap<Day, Counts>;

impl Counts {
    /// How many days are kept, today among them.
    pub const DAYS: u32 = 400;

    /// All of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            by_certificate: self.by_certificate.saturating_add(other.by_certificate),
            by_key: self.by_key.saturating_add(other.by_key),
            refused: self.refused.saturating_add(other.refused),
        }
    }

    /// Whether no request came.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.by_certificate == 0 && self.by_key == 0 && self.refused == 0
    }
}
