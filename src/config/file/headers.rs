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
    /// Further headers by which some backend knows callers, such as "X-Caller-DN" of an old proxy: what
    /// clients send under these names, in any spelling, reaches no backend. The usual ones, as
    /// "X-SSL-Client-S-DN", are never passed on. Take a name away only when no backend reads it any more.
    #[schemars(extend("x-type" = "list of names of headers"))]
    pub reserved: Vec<String>,
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
            reserved: Vec::new(),
            keep_ambiguous: false,
        }
    }
}
