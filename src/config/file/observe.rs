//! Observing beside an existing gateway.

use schemars::JsonSchema;
use serde::Deserialize;

/// With this table the gateway only observes: what the named addresses send is passed on as it
/// came, also what would be refused, and recorded. Without it, the gateway enforces. It is for
/// running behind or beside an existing gateway: docs/OBSERVE.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// IP addresses and networks of the existing gateway, and of nobody else: whoever calls from
    /// there can tell the backend to be anybody. Requests from elsewhere are decided on as usual.
    /// Behind SNAT, or a balancer of TCP that calls with its own address, every stranger comes from
    /// there; with `listener.proxy_protocol_from`, the address that the balancer names counts. No
    /// network wider than /8 (IPv6: /16) is taken.
    #[serde(default)]
    #[schemars(length(min = 1), extend("x-type" = "list of IP addresses and networks"))]
    pub from: Vec<String>,
    /// The header in which the existing gateway tells who calls, to be compared with what we know.
    #[schemars(extend("x-type" = "name of a header"))]
    pub identity_header: Option<String>,
}
