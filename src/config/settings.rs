//! What the stages need to know, each in the form in which it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::changes::Setting;
use super::problem::KeyPath;
use crate::certificate::WhenUnknown;
use crate::door::{self, HttpLimits, MinimumTls, Resumption};
use crate::gateway;
use crate::key::{Format, Peppers};
use crate::masquerade::Masquerade;
use crate::policy::{Network, ServerNames};
use crate::secret::SecretBytes;
use crate::sign::{Names, SigningKey, VerifyingKey};
use crate::store::{RecordKeys, embedded, redis};
use crate::trace;
use crate::upstream::{self, Protocol};

/// A file that the configuration names, as it was when it was read.
#[derive(Clone, Debug)]
pub struct NamedFile {
    /// The key that names it.
    pub key: KeyPath,
    /// Where it is.
    pub path: PathBuf,
    /// Who may do what with it.
    pub mode: u32,
    /// Whether it holds a secret.
    pub is_secret: bool,
}

impl NamedFile {
    /// Whether a running gateway takes another one over, when it is named in its place.
    pub(super) fn is_live(&self) -> bool {
        Setting::at(&self.key, &BTreeMap::new()).is_live()
    }
}

/// Where the revocation lists of an authority are.
#[derive(Clone, Debug)]
pub struct ListFiles {
    /// The key that says so.
    pub(super) at: KeyPath,
    /// Files with lists.
    pub files: Vec<PathBuf>,
    /// Folders with such files.
    pub folders: Vec<PathBuf>,
    /// What becomes of a certificate when they cannot tell.
    pub when_unknown: WhenUnknown,
}

impl ListFiles {
    /// Whether this is the key that names them.
    #[must_use]
    pub fn is_named_by(&self, key: &KeyPath) -> bool {
        self.at == *key
    }
}

/// The public listener.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// What becomes of clients' certificates, by the server name that they ask for.
    pub names: ServerNames,
    /// Whether clients are shown the names of the authorities in `[[ca]]`.
    pub ca_names: bool,
    /// How long the TLS handshake may take.
    pub handshake_timeout: Duration,
    /// The balancers in front, which begin every connection with a header of the PROXY protocol.
    pub balancers: Option<Vec<Network>>,
    /// The oldest version of TLS that is spoken.
    pub minimum_tls: MinimumTls,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// At least one; the first is the default.
    pub certificates: Vec<ServerCertificate>,
    /// How sessions are resumed.
    pub resumption: Resumption,
}

/// A certificate and its key, which fit each other and are strong.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// The leaf, then its intermediates.
    pub chain: Pem,
    /// The private key of the leaf.
    pub key: SecretBytes,
}

/// One or more certificates as PEM; every one of them was read.
#[derive(Clone)]
pub struct Pem {
    pub(super) bytes: Vec<u8>,
    pub(super) certificates: usize,
}

impl Pem {
    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many certificates it holds; at least one.
    #[must_use]
    pub const fn certificates(&self) -> usize {
        self.certificates
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({} certificates)", self.certificates)
    }
}

/// How keys look and how they are stored.
#[derive(Clone, Debug)]
pub struct Keys {
    /// How they begin.
    pub format: Format,
    /// What their digests are made with.
    pub peppers: Peppers,
    /// For how long the revocation of one can be taken back.
    pub restore_window: Duration,
    /// How many of one client can be used at the same time.
    pub per_client: usize,
}

/// Where everything is remembered.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// One file; its folder exists.
    Embedded(embedded::Settings),
    /// Redis, in one of its shapes.
    Redis(Box<redis::Settings>),
}

/// What is done while the store cannot be reached.
#[derive(Clone, Debug)]
pub struct Offline {
    /// How long known clients are served without a word from it.
    pub max_stale: Duration,
    /// The file to start from; its folder exists.
    pub snapshot: Option<PathBuf>,
}

impl StoreSettings {
    /// What records and events are authenticated with.
    #[must_use]
    pub const fn record_keys(&self) -> &RecordKeys {
        match self {
            Self::Embedded(embedded) => &embedded.record_keys,
            Self::Redis(redis) => &redis.record_keys,
        }
    }
}

impl fmt::Display for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(embedded) => write!(f, "embedded ({})", embedded.path.display()),
            Self::Redis(redis) => write!(f, "redis ({redis})"),
        }
    }
}

/// A service behind the gateway.
#[derive(Debug)]
pub struct Backend {
    /// Its name, which no other has.
    pub name: String,
    /// At least one.
    pub addresses: Vec<Address>,
    /// How the gateway speaks to it.
    pub protocol: Protocol,
    /// How long connecting may take, with TLS.
    pub connect_timeout: Duration,
    /// How long it may be silent.
    pub read_timeout: Duration,
    /// There is one whenever a route that accepts credentials leads here.
    pub signing: Option<SigningKey>,
    /// Public keys that are published beside its own.
    pub also_published: Vec<VerifyingKey>,
    /// None for plain text.
    pub tls: Option<BackendTls>,
    /// None when only failing requests tell.
    pub health_check: Option<HealthCheck>,
    /// What it is told of certificates, as by an old proxy.
    pub masquerade: Arc<Masquerade>,
}

/// A host, by name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// The host; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Backend {
    /// What whoever talks to it has to know.
    #[must_use]
    pub fn upstream(&self) -> upstream::Settings {
        let check = |check: &HealthCheck| upstream::HealthCheck {
            path: check.path.clone(),
            interval: check.interval,
        };
        upstream::Settings {
            name: self.name.clone(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            protocol: self.protocol,
            tls: self.tls.as_ref().map(BackendTls::upstream),
            connect_timeout: self.connect_timeout,
            read_timeout: self.read_timeout,
            health_check: self.health_check.as_ref().map(check),
        }
    }
}

/// TLS to a backend.
#[derive(Clone, Debug)]
pub struct BackendTls {
    /// What the backend's certificate must lead to.
    pub ca: Pem,
    /// The name that must stand in it.
    pub server_name: String,
    /// The gateway's own certificate.
    pub certificate: Option<ServerCertificate>,
}

impl BackendTls {
    /// What whoever talks to it has to know.
    #[must_use]
    pub fn upstream(&self) -> upstream::Tls {
        let identity = self
            .certificate
            .as_ref()
            .map(|own| (own.chain.as_bytes().to_vec(), own.key.clone()));
        upstream::Tls {
            ca_pem: self.ca.as_bytes().to_vec(),
            server_name: self.server_name.clone(),
            identity,
        }
    }
}

/// Asks an address whether it is well.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// A path that answers 200; none when an accepted connection is enough.
    pub path: Option<String>,
    /// How often.
    pub interval: Duration,
}

/// The endpoints by which clients help themselves.
#[derive(Clone, Debug)]
pub struct SelfService {
    /// Where they are; begins and ends with "/".
    pub path: String,
    /// How long the answer to a claim can be repeated.
    pub retry_window: Duration,
    /// For how long after its end a certificate may still claim its key.
    pub expired_grace: Option<Duration>,
    /// How often a certificate or a key may ask for a key, in a minute.
    pub per_credential: u32,
    /// How often keys may be asked for from an address, in a minute.
    pub per_address: u32,
}

/// What bounds a flood of unknown certificates.
#[derive(Clone, Copy, Debug)]
pub struct FirstSights {
    /// How many of one authority become known in a minute.
    pub per_minute: u32,
    /// From how many certificates on none becomes known by itself.
    pub at_most: usize,
}

/// How the move from certificates to keys is watched and steered.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// How far back a certificate counts as still in use.
    pub window: Duration,
}

/// What there may be at once, and how often.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections and handshakes.
    pub door: door::Bounds,
    /// Requests.
    pub gateway: gateway::Bounds,
}

/// The headers that carry the identity to backends.
#[derive(Clone, Debug)]
pub struct Headers {
    /// Their names.
    pub names: Names,
    /// Whether headers with `_` or `.` in their names are passed on.
    pub keep_ambiguous: bool,
}

/// How the gateway ends, and hands over.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// How long it still accepts connections.
    pub lame_duck: Duration,
    /// How long requests may still take then.
    pub drain_timeout: Duration,
    /// Where another can take over; its folder exists.
    pub upgrade_socket: Option<PathBuf>,
}

/// What clients may ask of the gateway, and are told.
#[derive(Clone, Debug)]
pub struct Http {
    /// How large requests may be, and how many.
    pub limits: HttpLimits,
    /// `Strict-Transport-Security`; none when nothing is said.
    pub transport_security: Option<HeaderValue>,
}

/// Metrics, health, logs and traces.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Where /metrics, /livez and /readyz are.
    pub address: SocketAddr,
    /// A directive for `tracing_subscriber::EnvFilter`, which can be read.
    pub log: String,
    /// How requests are traced.
    pub tracing: Tracing,
}

/// How requests are traced, and where spans go.
#[derive(Clone, Debug, Default)]
pub struct Tracing {
    /// What each request is traced by.
    pub requests: trace::Settings,
    /// None when nothing is recorded.
    pub collector: Option<Collector>,
}

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Its host and port.
    pub address: Address,
    /// What spans are posted to there.
    pub path: String,
    /// None for plain text.
    pub tls: Option<BackendTls>,
    /// What the gateway calls itself.
    pub service: String,
    /// What else is told of it.
    pub attributes: BTreeMap<String, String>,
}
