//! What the gateway tells of itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ClientTls;
use crate::trace::Believe;

/// Metrics, health, logs and traces.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// IP address and port of /metrics, /livez and /readyz. Keep it away from clients.
    #[serde(default = "loopback")]
    #[schemars(extend("x-type" = "IP address and port"))]
    pub address: String,
    /// What is logged: "off", "error", "warn", "info", "debug" or "trace", also by module
    /// (`info,keyferry::door=debug`). Every change is logged whatever the level, as `audit`;
    /// `audit=off` ends that.
    #[serde(default = "info")]
    #[schemars(extend("x-type" = "text"))]
    pub log: String,
    /// How requests are traced. Without this table, the trace context of a client goes on to the
    /// backend as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// Whose word on a trace is believed, and where spans go.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tracing {
    /// Whose trace context is believed: "nobody", "fronts" (those of `[[front]]`) or "everybody".
    pub believe: Believe,
    /// Where spans go, by OTLP over HTTP: `http://127.0.0.1:4318/v1/traces`. Only programs that were
    /// built with the feature `otlp` can send any.
    #[schemars(extend("x-type" = "URL"))]
    pub collector: Option<String>,
    /// TLS with it, when its URL begins with https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// Which part of the traces that begin here is recorded: from 0.0 to 1.0. Of others, whoever
    /// began them decides.
    #[schemars(range(min = 0.0, max = 1.0), extend("x-type" = "share"))]
    pub sample: f64,
    /// Whether every request that is refused is recorded, whatever part of the others is.
    pub refusals: bool,
    /// What the gateway calls itself (`service.name`).
    #[schemars(extend("x-type" = "text"))]
    pub service: String,
    /// More that is told of it with every span, as `{ "deployment.environment.name" = "test" }`.
    pub attributes: BTreeMap<String, String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            address: loopback(),
            log: info(),
            tracing: None,
        }
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            believe: Believe::default(),
            collector: None,
            tls: None,
            sample: 1.0,
            refusals: true,
            service: "keyferry".to_owned(),
            attributes: BTreeMap::new(),
        }
    }
}

fn loopback() -> String {
    "127.0.0.1:9090".to_owned()
}

fn info() -> String {
    "info".to_owned()
}
