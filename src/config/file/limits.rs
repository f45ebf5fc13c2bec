//! What there may be at once, and how often.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;

/// What there may be at once, and how often: what is beyond is refused, cheaply and counted.
/// Addresses of IPv6 count by their first 64 bits; behind `listener.proxy_protocol_from`, the address
/// counts that the balancer names. docs/LIMITS.md has more.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How many connections may be open. One more is closed before TLS.
    #[serde(default = "number::<10_000>")]
    #[schemars(range(min = 1), extend("x-type" = "connections"))]
    pub connections: u32,
    /// How many connections one address may have, and how many requests under way over HTTP/2 or
    /// through a front.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1), extend("x-type" = "connections"))]
    pub connections_per_address: u32,
    /// How many connections may have their handshake under way; one more, and the oldest of these
    /// is closed.
    #[serde(default = "number::<2000>")]
    #[schemars(range(min = 1), extend("x-type" = "connections"))]
    pub pending: u32,
    /// How many handshakes may begin within a second.
    #[serde(default = "number::<1000>")]
    #[schemars(range(min = 1), extend("x-type" = "handshakes a second"))]
    pub handshakes_per_second: u32,
    /// How many handshakes may begin within a second from one address, by the connections that it
    /// makes.
    #[serde(default = "number::<100>")]
    #[schemars(range(min = 1), extend("x-type" = "handshakes a second"))]
    pub handshakes_per_address: u32,
    /// How many requests may be under way, of all clients. One more is answered 503 `overloaded`.
    #[serde(default = "number::<10_000>")]
    #[schemars(range(min = 1), extend("x-type" = "requests"))]
    pub requests_at_once: u32,
    /// How many requests of one client are passed on within a second, by all gateways that share a
    /// Redis together, more or less. As many as it likes when absent.
    #[schemars(range(min = 1), extend("x-type" = "requests a second"))]
    pub requests_per_second: Option<u32>,
    /// How many of them may come at once after a while without any. As many as within a second when
    /// absent.
    #[schemars(range(min = 1), extend("x-type" = "requests"))]
    pub burst: Option<u32>,
    /// How many wrong keys one address may show within a minute, before it is told to wait. Good
    /// ones are accepted from there all the same.
    #[serde(default = "number::<60>")]
    #[schemars(range(min = 1), extend("x-type" = "keys a minute"))]
    pub wrong_keys_per_address: u32,
    /// IP addresses and networks to which nothing applies that counts by address: a proxy of your
    /// own, or the one address of a large partner. No network wider than /8 (IPv6: /16) is taken.
    /// Those of a `[[front]]` are exempt.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of IP addresses and networks"))]
    pub exempt: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1000,
            pending: 2000,
            handshakes_per_second: 1000,
            handshakes_per_address: 100,
            requests_at_once: 10_000,
            requests_per_second: None,
            burst: None,
            wrong_keys_per_address: 60,
            exempt: Vec::new(),
        }
    }
}
