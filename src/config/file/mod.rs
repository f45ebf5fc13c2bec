//! The configuration file as it is typed.
//!
//! Nothing here is checked beyond its kind. A key that must be written is still an `Option`, so
//! that one missing key does not hide what is wrong with the others; the schema names it as
//! required. The comments become the descriptions in the JSON Schema, for editors.

mod admin;
mod connections;
mod front;
mod headers;
mod http;
mod key;
mod limits;
mod listener;
mod observe;
mod route;
mod shutdown;
mod store;
mod telemetry;
mod webhook;

pub use admin::{Admin, AdminTls, AdminToken};
pub use connections::Connections;
pub use front::{Front, FrontAsks, FrontCertificate, FrontFormat};
pub use headers::Headers;
pub use http::{Http, TransportSecurity};
pub use key::{Enrolment, Key, Pepper};
pub use limits::Limits;
pub use listener::{Ca, Crl, Exception, Listener, ServerCertificate, ServerName};
pub use observe::Observe;
pub use route::{Backend, ClientTls, HealthCheck, MasqueradeHeader, Published, Route, Signing};
pub use shutdown::Shutdown;
pub use store::{Cluster, RecordKey, Sentinel, Store, StoreKind, UnsignedRecords};
pub use telemetry::{Telemetry, Tracing};
pub use webhook::Webhook;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::period::Period;

/// The configuration of Keyferry. Relative file paths are relative to the folder of this file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "keyferry.toml")]
pub struct File {
    /// Where clients connect, and with which TLS. docs/TLS.md has more.
    #[schemars(required)]
    pub listener: Option<Listener>,
    /// How long clients may take, and how long their connections are kept.
    #[serde(default)]
    pub connections: Connections,
    /// The certificate authorities whose client certificates are accepted. At least one when
    /// `listener.client_certificates` is "optional".
    #[serde(default)]
    pub ca: Vec<Ca>,
    /// What happens with a verified certificate that is not yet known. docs/CERTIFICATES.md has more.
    #[schemars(required)]
    pub enrolment: Option<Enrolment>,
    /// How API keys look (`kf_live_0197f3c2…`) and how they are stored.
    #[schemars(required)]
    pub key: Option<Key>,
    /// Where clients, certificates and keys are remembered. For "redis", one of `url`, `sentinel` and
    /// `cluster` is required. docs/STORE.md has more.
    #[schemars(required)]
    pub store: Option<Store>,
    /// The services behind the gateway.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub backend: Vec<Backend>,
    /// Which requests go to which backend, and what they must present. The longest path of the
    /// exact host wins, then the longest path of "*".
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub route: Vec<Route>,
    /// The endpoints by which clients help themselves.
    #[serde(default)]
    pub self_service: SelfService,
    /// How the move from certificates to keys is watched and steered.
    #[serde(default)]
    pub migration: Migration,
    /// What there may be at once, and how often.
    #[serde(default)]
    pub limits: Limits,
    /// The headers that carry the identity to backends.
    #[serde(default)]
    pub headers: Headers,
    /// How large requests may be, how many there may be, and what clients are told.
    #[serde(default)]
    pub http: Http,
    /// With this table, requests of an existing gateway are passed on as they came, and recorded.
    pub observe: Option<Observe>,
    /// How the gateway ends on SIGTERM, and how it hands over to another.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// Proxies in front that end the clients' TLS and forward their certificates.
    #[serde(default)]
    pub front: Vec<Front>,
    /// Metrics, health, logs and traces.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Who is told what happens, by signed messages over HTTP.
    #[serde(default)]
    pub webhook: Vec<Webhook>,
    /// Where the operator's commands ask the running gateway. Without it, they cannot.
    pub admin: Option<Admin>,
}

/// The endpoints by which clients help themselves: whoami, key, keys, explain.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfService {
    /// Where they are, on every host. What is asked there never reaches a backend.
    #[serde(default = "well_known")]
    #[schemars(extend("x-type" = "path of a URL"))]
    pub path: String,
    /// How long the answer to a claim can be repeated with its Idempotency-Key.
    #[serde(default = "Period::seconds::<600>")]
    pub retry_window: Period,
    /// For how long after its end a certificate may still claim its client's key, and do nothing
    /// else: the newest of the client, when it was used before it ended. Revocation lists need not
    /// name certificates that have ended, so remove or disable what must not claim. Without it: not
    /// at all.
    pub expired_grace: Option<Period>,
    /// How often keys may be claimed and rotated by one certificate or key.
    #[serde(default = "number::<10>")]
    #[schemars(range(min = 1), extend("x-type" = "calls a minute"))]
    pub per_credential: u32,
    /// How often keys may be claimed and rotated from one address; of IPv6, from one /64.
    #[serde(default = "number::<600>")]
    #[schemars(range(min = 1), extend("x-type" = "calls a minute"))]
    pub per_address: u32,
}

/// For defaults.
const fn number<const N: u32>() -> u32 {
    N
}

impl Default for SelfService {
    fn default() -> Self {
        Self {
            path: well_known(),
            retry_window: Period::seconds::<600>(),
            expired_grace: None,
            per_credential: 10,
            per_address: 600,
        }
    }
}

/// How the move from certificates to keys is watched and steered. docs/MIGRATION.md has more.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// How far back a certificate counts as still in use, for `keyferry status` and the warnings
    /// before a retirement.
    #[serde(default = "Period::seconds::<604_800>")]
    pub window: Period,
}

impl Default for Migration {
    fn default() -> Self {
        Self {
            window: Period::seconds::<604_800>(),
        }
    }
}

impl File {
    /// The JSON Schema of the file.
    #[must_use]
    pub fn schema() -> Schema {
        let settings = SchemaSettings::draft2020_12()
            .with_transform(RecursiveTransform(require_filled_lists))
            .with_transform(RecursiveTransform(crate::operation::join_lines));
        settings.into_generator().into_root_schema_for::<Self>()
    }
}

/// A list that must not be empty must be written.
fn require_filled_lists(schema: &mut Schema) {
    let filled: Vec<_> = schema
        .get("properties")
        .and_then(serde_json::Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, property)| property.get("minItems").is_some())
        .map(|(name, _)| serde_json::Value::from(name.as_str()))
        .collect();
    if filled.is_empty() {
        return;
    }
    let required = schema
        .ensure_object()
        .entry("required")
        .or_insert_with(|| serde_json::Value::Array(Vec::new()));
    if let Some(required) = required.as_array_mut() {
        required.extend(filled);
    }
}

fn well_known() -> String {
    "/.well-known/keyferry/".to_owned()
}
