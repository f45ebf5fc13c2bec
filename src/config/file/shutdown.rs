//! How the gateway ends, and how it hands over to its successor.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Period;

/// How the gateway ends on SIGTERM, and how it hands over to another.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long connections are still accepted once `/readyz` says that the gateway ends: until no
    /// balancer sends any here.
    #[serde(default = "Period::seconds::<10>")]
    pub lame_duck: Period,
    /// How long requests may still take then.
    #[serde(default = "Period::seconds::<20>")]
    pub drain_timeout: Period,
    /// The Unix socket through which `keyferry run --upgrade` takes the listening sockets over from
    /// this gateway; of a store in Redis only.
    pub upgrade_socket: Option<PathBuf>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            lame_duck: Period::seconds::<10>(),
            drain_timeout: Period::seconds::<20>(),
            upgrade_socket: None,
        }
    }
}
