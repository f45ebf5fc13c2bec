//! The headers that carry the identity to backends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The names of the headers that backends see, and what becomes of ambiguous ones.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// The header with the key id. Every name begins with "X-".
    pub key_id: String,
    /// The header with the client id.
    pub client_id: String,
    /// The header with the key's scopes.
    pub key_scopes: String,
    /// The header with the request's id.
    pub request_id: String,
    /// Whether headers with `_` or `.` in their names are passed on. Some backends take them for
    /// others: `X_Key` for `X-Key`. What could be an identity is removed in any spelling.
    pub keep_ambiguous: bool,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            key_id: "X-Key-Id".to_owned(),
            client_id: "X-Client-Id".to_owned(),
            key_scopes: "X-Key-Scopes".to_owned(),
            request_id: "X-Request-Id".to_owned(),
            keep_ambiguous: false,
        }
    }
}
