//! What the answer of a backend tells of whether it believed a request.

use serde::Serialize;

/// What came of a request that must not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It was refused for who sent it.
    Refused,
    /// The backend went on to look for what was asked for.
    Believed,
    /// It failed in another way, which tells nothing.
    Unclear,
}

impl Verdict {
    /// What an answer of this status tells.
    pub(crate) const fn of(status: u16) -> Self {
        match status {
            401 | 403 => Self::Refused,
            200..=399 | 404..=406 | 410 | 415 | 422 => Self::Believed,
            _ => Self::Unclear,
        }
    }

    /// In a word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Believed => "BELIEVED",
            Self::Unclear => "unclear",
        }
    }
}
