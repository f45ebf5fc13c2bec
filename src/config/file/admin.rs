//! `[admin]`, as typed.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::operation::Role;

/// Where the running gateway is asked by `keyferry failures`, `keyferry observe report` and
/// `keyferry reload`, and where its API does what the operator's commands do. Without this table it is
/// not asked. docs/API.md has more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// IP address and port, of this machine only: `127.0.0.1:9443` or `[::1]:9443`. Whoever is on
    /// this machine may see failures and observations, and make the gateway read its configuration; for
    /// all else a token has to be shown.
    #[schemars(required, extend("x-type" = "IP address and port"))]
    pub address: Option<String>,
    /// By which somebody may use the API. A running gateway takes changes over.
    #[serde(default)]
    pub tokens: Vec<AdminToken>,
}

/// A token of the API, which `keyferry token` makes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminToken {
    /// Who has it, for the record of changes; no other has this name.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// How much may be done by it: look ("viewer"), change clients, certificates and keys ("operator"), or
    /// also set phases and make the gateway read its configuration ("admin").
    #[schemars(required)]
    pub role: Option<Role>,
    /// The SHA-256 of the token, in hex. The token itself stands nowhere here.
    #[schemars(required, regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}
