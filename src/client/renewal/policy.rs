//! What the operator wants done on each rung.

use serde::{Deserialize, Serialize};

/// What is done with a certificate that a rung finds a client for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// It is the client's from now on.
    Auto,
    /// It waits for the operator's word, with the client that it would be given to.
    Approve,
    /// It is refused.
    Deny,
    /// It is somebody new's, unless another of these tells whose it is.
    Ignore,
}

/// What is done with new certificates of known clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Renewal {
    /// What becomes of one that has the key of a certificate that the client has. When another
    /// authority issued that one, "auto" is "approve".
    pub same_key: Follow,
    /// What becomes of one that has a new key, and this issuer's name and the subject and
    /// alternative names of a certificate that the client has.
    pub same_name: Follow,
    /// What becomes of one whose key was announced with `keyferry certificate announce`.
    pub successor: Follow,
}

impl Default for Renewal {
    fn default() -> Self {
        Self {
            same_key: Follow::Auto,
            same_name: Follow::Approve,
            successor: Follow::Auto,
        }
    }
}

/// By what a certificate was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// The operator named its SHA-1.
    Sha1,
    /// The operator announced its key.
    Successor,
    /// It has a known key.
    SameKey,
    /// It has known names.
    SameName,
}

impl Rung {
    /// Every rung, in the order in which they are asked.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Successor, Self::SameKey, Self::SameName];

    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Successor => "successor",
            Self::SameKey => "same_key",
            Self::SameName => "same_name",
        }
    }
}
