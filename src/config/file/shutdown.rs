//! How the gateway ends, and how it hands over to its successor.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Period;

/// How the gateway ends on SIGTERM, and how it hands over to another: docs/SHUTDOWN.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long connections are still accepted once `/readyz` says that the gateway ends: until no
    /// balancer sends any here. 1ms where there is none.
    #[serde(default = "Period::seconds::<10>")]
    pub lame_duck: Period,
    /// How long requests may still take then. It ends earlier when no connection is left.
    #[serde(default = "Period::seconds::<20>")]
    pub drain_timeout: Period,
    /// The Unix socket through which `keyferry run --upgrade` takes the listening sockets over from
    /// this gateway; only with a store in Redis. In a folder that only the gateway's user may
    /// write.
    #[schemars(extend("x-type" = "file"))]
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
