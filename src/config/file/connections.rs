//! How long clients may take, and how long their connections are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;
use crate::config::period::Period;

/// How long clients may take once the handshake is done, and how long their connections are kept.
/// What is closed for it is counted in `keyferry_connections_closed_total`. docs/CONNECTIONS.md has
/// more.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// How long the head of a request may take from its first byte, whatever comes meanwhile; of
    /// HTTP/2 every frame but DATA, and a header block with its continuations.
    #[serde(default = "Period::seconds::<10>")]
    pub head_timeout: Period,
    /// How many bytes of a request's body must come in a second, on average, once it took as long
    /// as a head may. That is asked of no body whose answer has begun, nor of gRPC. 0: of none.
    #[serde(default = "number::<500>")]
    #[schemars(extend("x-type" = "bytes a second"))]
    pub body_minimum_rate: u32,
    /// How long a client may read nothing of what is sent to it.
    #[serde(default = "Period::seconds::<60>")]
    pub write_timeout: Period,
    /// How long a connection is kept between two requests.
    #[serde(default = "Period::seconds::<60>")]
    pub idle_timeout: Period,
    /// The age at which a connection takes no more requests, between half of it and the whole:
    /// HTTP/1.1 says "Connection: close", HTTP/2 sends GOAWAY, and what is under way goes on.
    #[serde(default = "Period::seconds::<3_600>")]
    pub max_age: Period,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            head_timeout: Period::seconds::<10>(),
            body_minimum_rate: 500,
            write_timeout: Period::seconds::<60>(),
            idle_timeout: Period::seconds::<60>(),
            max_age: Period::seconds::<3_600>(),
        }
    }
}
