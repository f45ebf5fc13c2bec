//! The headers that carry the identity to backends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The headers that carry the identity to backends, and what becomes of ambiguous ones. What clients
/// send under these names is removed, in any spelling. docs/SIGNATURE.md has more.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// The header with the key id. Every name begins with "X-".
    #[schemars(extend("x-type" = "name of a header"))]
    pub key_id: String,
    /// The header with the client id.
    #[schemars(extend("x-type" = "name of a header"))]
    pub client_id: String,
    /// The header with the key's scopes.
    #[schemars(extend("x-type" = "name of a header"))]
    pub key_scopes: String,
    /// The header with the request's id.
    #[schemars(extend("x-type" = "name of a header"))]
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
