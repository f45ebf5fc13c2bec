//! What clients may ask of the gateway over HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::period::Period;

/// How large requests may be, how many there may be, and what clients are told.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// How many bytes the head of a request may have: its first line and its headers.
    #[schemars(range(min = 4096, max = 262_144))]
    pub head_bytes: u32,
    /// How many header lines it may have.
    #[schemars(range(min = 16, max = 200))]
    pub head_lines: u32,
    /// How many requests one connection may make before it is closed.
    #[schemars(range(min = 1))]
    pub requests_per_connection: u32,
    /// How many requests may be under way at a time on one connection of HTTP/2.
    #[schemars(range(min = 1, max = 10_000))]
    pub http2_streams: u32,
    /// With it, every answer has a header `Strict-Transport-Security`, unless the backend sent one.
    pub strict_transport_security: Option<TransportSecurity>,
}

/// For how long browsers are to come by TLS only (RFC 6797).
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransportSecurity {
    /// From their last visit on.
    pub max_age: Period,
    /// Whether that holds for all hosts below theirs as well.
    #[serde(default)]
    pub include_subdomains: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            head_lines: 100,
            requests_per_connection: 1000,
            http2_streams: 100,
            strict_transport_security: None,
        }
    }
}
