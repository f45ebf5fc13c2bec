//! One backend: its addresses in turn, those that are well, and how to talk to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pingora::connectors::TransportConnector;
use pingora::lb::health_check::{HttpHealthCheck, TcpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backends, LoadBalancer};
use pingora::prelude::HttpPeer;
use pingora::protocols::ALPN;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService as _;
use pingora::utils::tls::CertKey;
use prometheus::{Histogram, IntCounter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::discovery::Names;
use super::idle::Idle;
use super::upgrade::Connector;
use crate::clock;
use crate::secret::SecretBytes;
use crate::tls;
use crate::tls::error::ErrorStack;
use crate::tls::pkey::PKey;
use crate::tls::x509::X509;

/// How often names are resolved anew.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// How long an idle connection to a backend is kept.
const IDLE: Duration = Duration::from_secs(50);
/// How often it is looked whether one is idle for longer.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How many requests share one HTTP/2 connection to a backend.
const STREAMS: usize = 100;

/// How many groups of connections there are so far.
static BACKENDS: AtomicU64 = AtomicU64::new(1);

/// What is to be known of a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Its name, for logs and metrics.
    pub name: String,
    /// `host:port`, at least one.
    pub addresses: Vec<String>,
    /// What it speaks.
    pub protocol: Protocol,
    /// TLS towards it; none for plain text.
    pub tls: Option<Tls>,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// How long it may be silent.
    pub read_timeout: Duration,
    /// How its addresses are checked; none: they count as well.
    pub health_check: Option<HealthCheck>,
}

/// What a backend speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, by prior knowledge when there is no TLS.
    Http2,
}

/// TLS towards a backend.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate authorities that vouch for it, in PEM.
    pub ca_pem: Vec<u8>,
    /// The name that its certificate must have.
    pub server_name: String,
    /// Our own certificate (leaf first) and its key, in PEM.
    pub identity: Option<(Vec<u8>, SecretBytes)>,
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        let own = |tls: &Self| {
            let (chain, key) = tls.identity.as_ref()?;
            Some((chain.clone(), Sha256::digest(key.expose())))
        };
        self.ca_pem == other.ca_pem
            && self.server_name == other.server_name
            && own(self) == own(other)
    }
}

/// How the addresses of a backend are checked.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// What is asked for, expecting 200; none: a connection is enough.
    pub path: Option<String>,
    /// How often.
    pub interval: Duration,
}

/// Why a backend cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Certificate or key cannot be read.
    #[error("backend {0:?}: certificate or key cannot be read: {1}")]
    Tls(String, ErrorStack),
    /// No certificate in the CA bundle or in our own chain.
    #[error("backend {0:?}: no certificate in {1}")]
    NoCertificate(String, &'static str),
    /// The path of the health check is none.
    #[error("backend {0:?}: the health check's path cannot be asked for")]
    HealthCheck(String),
}

/// One backend.
pub struct Backend {
    settings: Settings,
    addresses: LoadBalancer<RoundRobin>,
    template: HttpPeer,
    /// The same, for requests that ask for a WebSocket.
    upgrading: HttpPeer,
    connector: TransportConnector,
    idle: Idle,
    answer_seconds: Histogram,
    failures: IntCounter,
}

impl Backend {
    /// Sets a backend up. Its addresses are known once it is [looked after](Self::look_after). How long
    /// its answers take, and what fails, is counted.
    ///
    /// # Errors
    ///
    /// [`BackendError`].
    pub fn new(
        settings: Settings,
        (answer_seconds, failures): (Histogram, IntCounter),
    ) -> Result<Self, BackendError> {
        let mut template = template(&settings)?;
        // One that takes another's place must not go on with its connections, nor one beside it:
        // Pingora does not look at whom they trust.
        template.group_key = BACKENDS.fetch_add(1, Ordering::Relaxed);
        let mut upgrading = template.clone();
        upgrading.group_key = BACKENDS.fetch_add(1, Ordering::Relaxed);
        upgrading.options.custom_l4 = Some(Arc::new(Connector));
        let mut addresses: LoadBalancer<RoundRobin> =
            LoadBalancer::from_backends(Backends::new(Box::new(Names(settings.addresses.clone()))));
        addresses.update_frequency = Some(RESOLVE_EVERY);
        if let Some(check) = &settings.health_check {
            addresses.health_check_frequency = Some(check.interval);
            addresses.parallel_health_check = true;
            let checker = checker(&settings, check, &template);
            addresses.set_health_check(
                checker.ok_or_else(|| BackendError::HealthCheck(settings.name.clone()))?,
            );
        }
        Ok(Self {
            addresses,
            template,
            upgrading,
            connector: TransportConnector::new(None),
            idle: Idle::default(),
            answer_seconds,
            failures,
            settings,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What it was set up with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Looks for its addresses now, for so long at most: what is used from the next moment on should
    /// know them.
    pub async fn resolve(&self, within: Duration) {
        let found = tokio::time::timeout(within, self.addresses.update()).await;
        if !matches!(found, Ok(Ok(()))) {
            tracing::warn!(
                backend = self.name(),
                "no address of a new backend is known yet"
            );
        }
    }

    /// The next address that is well; none when none is.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        Some(self.addresses.select(b"", 256)?.addr)
    }

    /// How to talk to `address`. `upgrades` says whether the request asks for a WebSocket.
    #[must_use]
    pub fn peer(&self, address: SocketAddr, upgrades: bool) -> HttpPeer {
        let template = if upgrades && self.settings.protocol == Protocol::Http1 {
            &self.upgrading
        } else {
            &self.template
        };
        let mut peer = template.clone();
        peer._address = address;
        peer
    }

    /// A connection to `address` for one request over HTTP/1.1, and whether it was used before.
    ///
    /// # Errors
    ///
    /// When there is none that waits, or `fresh` asks for another, and none can be made.
    pub async fn connect(
        &self,
        address: &SocketAddr,
        fresh: bool,
    ) -> Result<(HttpSession, bool), Box<pingora::Error>> {
        let waiting = if fresh { None } else { self.idle.take(address) };
        let is_used = waiting.is_some();
        let stream = if let Some(stream) = waiting {
            stream
        } else {
            let peer = self.peer(address.clone(), false);
            self.connector.new_stream(&peer).await?
        };
        let mut session = HttpSession::new(stream);
        session.read_timeout = Some(self.settings.read_timeout);
        session.write_timeout = Some(self.settings.read_timeout);
        Ok((session, is_used))
    }

    /// Keeps a connection to `address` whose answer was read, for the next request, if it can have one.
    pub async fn keep(&self, address: SocketAddr, mut session: HttpSession) {
        session.respect_keepalive();
        if let Some(stream) = session.reuse().await {
            self.idle.put(address, stream);
        }
    }

    /// Closes the connections that wait: nobody looks after it any more.
    pub fn close_idle(&self) {
        self.idle.sweep(Duration::ZERO, clock::monotonic());
    }

    /// Looks after its addresses, and after connections that wait for too long, for as long as it is
    /// in use.
    pub async fn look_after(&self, shutdown: ShutdownWatch) {
        let close_idle = async {
            let mut again = tokio::time::interval(SWEEP_EVERY);
            loop {
                again.tick().await;
                self.idle.sweep(IDLE, clock::monotonic());
            }
        };
        tokio::select! {
            () = self.addresses.start(shutdown) => {}
            () = close_idle => {}
        }
    }

    /// Notes how long the head of an answer took.
    pub fn observe_answer(&self, duration: Duration) {
        self.answer_seconds.observe(duration.as_secs_f64());
    }

    /// Counts an attempt that was not answered.
    pub fn count_failure(&self) {
        self.failures.inc();
    }
}

/// Everything about a peer but its address.
pub(super) fn template(settings: &Settings) -> Result<HttpPeer, BackendError> {
    let name = || settings.name.clone();
    let sni = settings
        .tls
        .as_ref()
        .map(|tls| tls.server_name.clone())
        .unwrap_or_default();
    let mut peer = HttpPeer::new(
        std::net::SocketAddr::from(([127, 0, 0, 1], 9)),
        settings.tls.is_some(),
        sni,
    );
    peer.options.alpn = match settings.protocol {
        Protocol::Http1 => ALPN::H1,
        Protocol::Http2 => ALPN::H2,
    };
    peer.options.max_h2_streams = STREAMS;
    peer.options.connection_timeout = Some(settings.connect_timeout);
    peer.options.total_connection_timeout = Some(settings.connect_timeout);
    peer.options.read_timeout = Some(settings.read_timeout);
    peer.options.write_timeout = Some(settings.read_timeout);
    peer.options.idle_timeout = Some(IDLE);
    if let Some(tls) = &settings.tls {
        let cas =
            X509::stack_from_pem(&tls.ca_pem).map_err(|error| BackendError::Tls(name(), error))?;
        if cas.is_empty() {
            return Err(BackendError::NoCertificate(name(), "tls.ca_file"));
        }
        peer.options.ca = Some(Arc::new(cas.into_boxed_slice()));
        let backend = name();
        tls::demand_strength_of_peer(&mut peer.options, move |why| {
            tracing::warn!(backend, "nothing is sent to a backend with weak TLS: {why}");
        });
        if let Some((chain, key)) = &tls.identity {
            let chain =
                X509::stack_from_pem(chain).map_err(|error| BackendError::Tls(name(), error))?;
            let key = PKey::private_key_from_pem(key.expose())
                .map_err(|error| BackendError::Tls(name(), error))?;
            if chain.is_empty() {
                return Err(BackendError::NoCertificate(name(), "tls.certificate_file"));
            }
            peer.client_cert_key = Some(Arc::new(CertKey::new(chain, key)));
        }
    }
    Ok(peer)
}

type Checker = Box<dyn pingora::lb::health_check::HealthCheck + Send + Sync>;

fn checker(settings: &Settings, check: &HealthCheck, template: &HttpPeer) -> Option<Checker> {
    let host = settings
        .addresses
        .first()
        .and_then(|address| address.rsplit_once(':'))
        .map(|(host, _)| host)?;
    let Some(path) = &check.path else {
        return Some(TcpHealthCheck::new());
    };
    let mut http = HttpHealthCheck::new(host, settings.tls.is_some());
    http.req.set_raw_path(path.as_bytes()).ok()?;
    http.peer_template = template.clone();
    http.consecutive_failure = 2;
    http.peer_template.options.read_timeout = Some(check.interval);
    Some(Box::new(http))
}
