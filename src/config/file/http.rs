//! What clients may ask of the gateway over HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::period::Period;

/// How large requests may be, how many there may be, and what clients are told. docs/HTTP.md has more.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// How many bytes the head of a request may have: its first line and its headers. What
    /// is larger is answered 431.
    #[schemars(range(min = 4096, max = 262_144), extend("x-type" = "bytes"))]
    pub head_bytes: u32,
    /// How many header lines it may have. What has more is answered 431.
    #[schemars(range(min = 16, max = 200), extend("x-type" = "lines"))]
    pub head_lines: u32,
    /// How many requests one connection may make before it is closed.
    #[schemars(range(min = 1), extend("x-type" = "requests"))]
    pub requests_per_connection: u32,
    /// How many requests may be under way at a time on one connection of HTTP/2.
    #[schemars(range(min = 1, max = 10_000), extend("x-type" = "requests"))]
    pub http2_streams: u32,
    /// Every answer tells browsers to come by TLS only, unless the backend's answer says something
    /// of its own.
    pub strict_transport_security: Option<TransportSecurity>,
}

/// For how long browsers are to come by TLS only: the header `Strict-Transport-Security` (RFC 6797).
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
