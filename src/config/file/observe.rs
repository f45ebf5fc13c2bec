//! Observing beside an existing gateway.

use schemars::JsonSchema;
use serde::Deserialize;

/// With this table the gateway only observes: what the named addresses send is passed on as it
/// came, also what would be refused, and recorded. Without it, the gateway enforces.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// IP addresses and networks of the existing gateway. Requests from elsewhere are decided on as
    /// usual. Whoever is named here can tell the backend to be anybody.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub from: Vec<String>,
    /// The header in which the existing gateway tells who calls, to be compared with what we know.
    pub identity_header: Option<String>,
}
