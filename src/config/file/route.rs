//! The services behind the gateway, and which requests reach them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::period::Period;
use crate::policy::Accept;
use crate::sign::Algorithm;
use crate::upstream::Protocol;

/// A service behind the gateway. Requests go to its addresses in turn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its name in routes, logs and metrics, which no other has.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// Host and port of every instance. Names are resolved again now and then.
    #[serde(default)]
    #[schemars(length(min = 1), extend("x-type" = "list of hosts and ports"))]
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
    /// What the identity is signed with. Needed by every backend that a route with credentials leads
    /// to.
    pub signing: Option<Signing>,
    /// TLS to the backend. Without it, plain text.
    pub tls: Option<ClientTls>,
    /// Asks every address regularly whether it is well. Without it, only failing requests tell.
    pub health_check: Option<HealthCheck>,
    /// The headers of an old proxy that it still gets, made of the client's certificate, also for
    /// clients that come by key: docs/MASQUERADE.md. It is debt, to be paid before certificates end.
    #[serde(default)]
    pub masquerade: Vec<MasqueradeHeader>,
}

/// A header of an old proxy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MasqueradeHeader {
    /// Its name: one that no client's header reaches a backend under, as "X-SSL-Client-S-DN", or one of
    /// `headers.reserved`.
    #[schemars(required, extend("x-type" = "name of a header"))]
    pub header: Option<String>,
    /// What it says, word for word as in the old proxy's configuration: `$ssl_client_s_dn` (nginx),
    /// `%{+Q}[ssl_c_s_dn]` (HAProxy), `%{SSL_CLIENT_S_DN}s` (Apache), `Hash;Subject;URI` (Envoy) or
    /// `rfc9440`.
    #[schemars(required, extend("x-type" = "value of an old proxy"))]
    pub value: Option<String>,
}

/// What the identity is signed with, for the backend to check: docs/SIGNATURE.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// The name by which the backend finds the secret or the public key: 1 to 64 characters of A-Z a-z
    /// 0-9 . _ - that no other backend has. A new one needs a new name.
    #[schemars(required, regex(pattern = "^[A-Za-z0-9._-]{1,64}$"))]
    pub key_id: Option<String>,
    /// How it is signed.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// The secret for "hmac-sha256", another for every backend.
    #[schemars(extend("x-type" = "secret file"))]
    pub secret_file: Option<PathBuf>,
    /// PEM: the private key for "ed25519", another for every backend.
    #[schemars(extend("x-type" = "file with a private key"))]
    pub private_key_file: Option<PathBuf>,
    /// Public keys that stand beside this one's in the JWK set of the backend: the next one before it is
    /// used, and the last one for as long as its signatures are good.
    #[serde(default)]
    pub also_published: Vec<Published>,
}

/// A public key that is published and not signed with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Its name, which no other key has.
    #[schemars(required, regex(pattern = "^[A-Za-z0-9._-]{1,64}$"))]
    pub key_id: Option<String>,
    /// PEM: the public key. Only its owner may change the file.
    #[schemars(required, extend("x-type" = "file"))]
    pub public_key_file: Option<PathBuf>,
}

/// TLS to a server, of which the gateway is a client.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTls {
    /// PEM: the authorities that the server's certificate must lead to. For public ones, the
    /// system's bundle, for instance "/etc/ssl/certs/ca-certificates.crt".
    #[schemars(required, extend("x-type" = "file"))]
    pub ca_file: Option<PathBuf>,
    /// The name that must stand in the server's certificate. Without it, the host of its address.
    #[schemars(extend("x-type" = "host name"))]
    pub server_name: Option<String>,
    /// PEM: the gateway's own certificate, for a server that asks for one.
    #[schemars(extend("x-type" = "file"))]
    pub certificate_file: Option<PathBuf>,
    /// PEM: the key to it.
    #[schemars(extend("x-type" = "file with a private key"))]
    pub key_file: Option<PathBuf>,
}

/// Asks every address regularly whether it is well.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// A path that answers 200. Without it, an accepted connection is enough.
    #[schemars(extend("x-type" = "path of a URL"))]
    pub path: Option<String>,
    /// How often.
    #[serde(default = "Period::seconds::<5>")]
    pub interval: Period,
}

/// Which requests go to which backend, and what they must present. The longest path of the exact host
/// wins; only a host without a fitting route is looked for under "*".
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name in logs and metrics, which no other has.
    #[schemars(required, regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: Option<String>,
    /// The host, exactly, in lower case and without a port; "*" for any.
    #[serde(default = "any_host")]
    #[schemars(extend("x-type" = "host name"))]
    pub host: String,
    /// The beginning of the path. "/v1" is the beginning of "/v1" and "/v1/x", not of "/v10".
    #[serde(default = "root")]
    #[schemars(extend("x-type" = "path of a URL"))]
    pub path: String,
    /// The name of the backend.
    #[schemars(required, extend("x-type" = "name of a backend"))]
    pub backend: Option<String>,
    /// What a request must present.
    #[schemars(required)]
    pub accept: Option<Accept>,
    /// What an API key must be allowed to do, all of them.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of scopes"))]
    pub scopes: Vec<String>,
    /// The names of the certificate authorities that are good for this route; empty for any.
    #[serde(default)]
    #[schemars(extend("x-type" = "list of names of authorities"))]
    pub cas: Vec<String>,
}

fn any_host() -> String {
    "*".to_owned()
}

fn root() -> String {
    "/".to_owned()
}
