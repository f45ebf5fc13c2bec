//! `[admin]`, as typed.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::operation::Role;

/// Where the running gateway is asked by `keyferry failures`, `keyferry observe report` and
/// `keyferry reload`, and where its API does what the operator's commands do. Without this table it is
/// not asked. docs/API.md has more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// IP address and port, as `127.0.0.1:9443`. Any other address than one of this machine alone needs
    /// `tls` and at least one token. Whoever is on this machine may see failures and observations, and
    /// make the gateway read its configuration; for all else a token has to be shown.
    #[schemars(required, extend("x-type" = "IP address and port"))]
    pub address: Option<String>,
    /// By which somebody may use the API. A running gateway takes changes over.
    #[serde(default)]
    pub tokens: Vec<AdminToken>,
    /// TLS of this listener. Without it, HTTP is spoken in the clear, which is only for this machine.
    pub tls: Option<AdminTls>,
}

/// TLS of the admin listener. A running gateway takes renewed files over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTls {
    /// PEM: the listener's own certificate first, then its intermediates; not the root.
    #[schemars(required, extend("x-type" = "file"))]
    pub certificate_file: Option<PathBuf>,
    /// PEM: the key of the first of these, without a passphrase.
    #[schemars(required, extend("x-type" = "file with a private key"))]
    pub key_file: Option<PathBuf>,
    /// PEM: the authorities of the operators' own certificates, one of which has then to be shown beside
    /// the token. Not those of the clients. Without it, nobody is asked for a certificate.
    #[schemars(extend("x-type" = "file"))]
    pub client_ca_file: Option<PathBuf>,
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
