//! The services behind the gateway, and which requests reach them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::period::Period;
use crate::policy::Accept;
use crate::upstream::Protocol;

/// A service behind the gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its name in routes, logs and metrics.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// Host and port of every instance; requests go to them in turn.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub addresses: Vec<String>,
    /// How the gateway speaks to it. gRPC needs "http2".
    #[serde(default)]
    pub protocol: Protocol,
    /// How long connecting may take, with TLS.
    #[serde(default = "Period::seconds::<2>")]
    pub connect_timeout: Period,
    /// How long the backend may be silent.
    #[serde(default = "Period::seconds::<60>")]
    pub read_timeout: Period,
    /// The secret that the identity is signed with. Needed by every backend that a route with
    /// credentials leads to.
    pub signing: Option<Signing>,
    /// TLS to the backend. Without it, plain text.
    pub tls: Option<ClientTls>,
    /// Asks every address regularly whether it is well. Without it, only failing requests tell.
    pub health_check: Option<HealthCheck>,
}

/// The secret that the identity is signed with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// The name by which the backend finds the secret.
    #[schemars(required, regex(pattern = "^[A-Za-z0-9._-]{1,64}$"))]
    pub key_id: Option<String>,
    /// At least 32 bytes, another for every backend.
    #[schemars(required)]
    pub secret_file: Option<PathBuf>,
}

/// TLS to a server, of which the gateway is a client.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTls {
    /// PEM: the authorities that the server's certificate must lead to. For public ones, the
    /// system's bundle, for instance "/etc/ssl/certs/ca-certificates.crt".
    #[schemars(required)]
    pub ca_file: Option<PathBuf>,
    /// The name that must stand in the server's certificate. Without it, the host of its address.
    pub server_name: Option<String>,
    /// PEM: the gateway's own certificate, for a server that asks for one.
    pub certificate_file: Option<PathBuf>,
    /// PEM: the key to it.
    pub key_file: Option<PathBuf>,
}

/// Asks an address whether it is well.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// A path that answers 200. Without it, an accepted connection is enough.
    pub path: Option<String>,
    /// How often.
    #[serde(default = "Period::seconds::<5>")]
    pub interval: Period,
}

/// Which requests go to which backend, and what they must present.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name in logs and metrics.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// The host, exactly, without a port; "*" for every host without routes of its own.
    #[serde(default = "any_host")]
    pub host: String,
    /// The beginning of the path.
    #[serde(default = "root")]
    pub path: String,
    /// The name of the backend.
    #[schemars(required)]
    pub backend: Option<String>,
    /// What a request must present.
    #[schemars(required)]
    pub accept: Option<Accept>,
    /// What an API key must be allowed to do, all of them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The names of the certificate authorities that are good for this route; empty for any.
    #[serde(default)]
    pub cas: Vec<String>,
}

fn any_host() -> String {
    "*".to_owned()
}

fn root() -> String {
    "/".to_owned()
}
