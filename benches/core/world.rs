//! A whole gateway in memory, without a socket: what the decision about a request is measured and
//! fuzzed in.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use arc_swap::ArcSwap;
use keyferry::certificate::{Ca, Fingerprint, Trust, Verifier};
use keyferry::client::{Enrolment, Renewal};
use keyferry::clock::{self, Timestamp};
use keyferry::directory::{Directory, Lessons, Sightings};
use keyferry::door::{
    self, Connection, Door, Journal, Lifetimes, MinimumTls, ServerCertificate, Terms,
};
use keyferry::front::Fronts;
use keyferry::gateway::{
    App, Conflicts, FirstSights, Gateway, KeySets, Live, Masquerades, Parts, Proxy, SelfService,
    link_to_keys,
};
use keyferry::key::{Format, Pepper, Peppers};
use keyferry::observe::Observations;
use keyferry::policy::{
    Accept, Asking, ClientCertificates, HostPattern, Route, Routes, ServerNames,
};
use keyferry::secret::Secret;
use keyferry::sign::Names;
use keyferry::store::Store;
use keyferry::store::embedded::Embedded;
use keyferry::telemetry::Metrics;
use openssl::ssl::{SslAcceptor, SslConnector, SslMethod, SslVerifyMode};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{identities, pki};

const IDENTITIES: usize = 10_000;

/// Long enough that nothing grows old while it is measured.
const LONG: Duration = Duration::from_hours(24);

/// As it is by default.
const HEAD: keyferry::framing::Limits = keyferry::framing::Limits {
    bytes: 32 * 1024,
    fields: 100,
};

/// A gateway that knows 10 000 identities, and two connections that came in by its door.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) identities: Vec<identities::Identity>,
    pub(crate) with_certificate: Arc<Connection>,
    pub(crate) without_certificate: Arc<Connection>,
    pub(crate) format: Format,
    pub(crate) live: Arc<Live>,
    pub(crate) now: Timestamp,
    _folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        let runtime = Runtime::new()?;
        let folder = TempDir::new()?;
        let format = Format::new("kf", "live")?;
        let peppers = Peppers::new(Pepper::new(1, &Secret::new(vec![7; 32])), []);
        let now = clock::now();

        let authority = pki::root("Clients Root").self_signed();
        let client = pki::leaf("client-00000").signed_by(&authority);
        let verifier = Arc::new(Verifier::new(Trust::new(1, vec![trusted(&authority)])?));
        let others = (1..IDENTITIES).map(|number| Fingerprint::of(&number.to_be_bytes()));
        let first = Fingerprint::of(&client.x509.to_der()?);
        let identities = identities::make(std::iter::once(first).chain(others), &format)?;

        let store = Arc::new(Embedded::open(&folder.path().join("keyferry.redb"))?);
        let written = identities::write(&identities, store.as_ref(), &peppers, now);
        runtime.block_on(written)?;
        let directory = Arc::new(Directory::new(Arc::clone(&store) as Arc<dyn Store>));
        runtime.block_on(load(&directory))?;

        let metrics = Metrics::new()?;
        let live = Arc::new(live(peppers, &directory, &metrics, now));
        let gateway = || {
            Gateway::new(Parts {
                conflicts: Conflicts::channel().0,
                directory: Arc::clone(&directory),
                store: Arc::clone(&store) as Arc<dyn Store>,
                sightings: Arc::new(Sightings::default()),
                lessons: Arc::new(Lessons::default()),
                verifier: Arc::clone(&verifier),
                format: format.clone(),
                head: HEAD,
                max_stale: LONG,
                bounds: keyferry::gateway::Bounds {
                    requests_at_once: u32::MAX,
                    requests_per_address: u32::MAX,
                    per_client: None,
                    wrong_keys_per_address: u32::MAX,
                    exempt: Vec::new(),
                },
                budgets: None,
                spans: keyferry::telemetry::Spans::default(),
                metrics: metrics.clone(),
                live: Arc::new(ArcSwap::new(Arc::clone(&live))),
            })
        };
        let server = pki::server("api.example.com").signed_by(&authority);
        let door = door(gateway(), &verifier, &directory, &server, metrics.clone())?;
        Ok(Self {
            gateway: gateway(),
            identities,
            with_certificate: enter(&door, &server, Some(&client))?,
            without_certificate: enter(&door, &server, None)?,
            format,
            live,
            now,
            _folder: folder,
        })
    }

    pub(crate) fn first(&self) -> Result<&identities::Identity> {
        self.identities.first().context("there are identities")
    }
}

fn live(peppers: Peppers, directory: &Arc<Directory>, metrics: &Metrics, now: Timestamp) -> Live {
    let path = "/.well-known/keyferry/";
    let routes = [route("/", Accept::Either), route("/open", Accept::None)];
    let routes = Routes::new(routes.to_vec());
    Live {
        counts: routes
            .iter()
            .map(|route| metrics.route(&route.name))
            .collect(),
        routes,
        backends: Vec::new(),
        signers: Vec::new(),
        key_sets: KeySets::default(),
        masquerades: Masquerades::default(),
        fronts: Arc::new(Fronts::new(Vec::new())),
        transport_security: None,
        asking: asking(directory),
        peppers,
        keys_per_client: 10,
        enrolment: Enrolment::Registered,
        renewal: vec![Renewal::default()],
        first_sights: FirstSights {
            per_minute: u32::MAX,
            at_most: usize::MAX,
        },
        names: Names::default(),
        keep_ambiguous_headers: false,
        self_service: SelfService {
            path: path.to_owned(),
            retry_window: LONG,
            expired_grace: None,
            per_credential: u32::MAX,
            per_address: u32::MAX,
        },
        link_to_keys: link_to_keys(path),

        tracing: keyferry::trace::Settings::default(),
        window: LONG,
        observing: None,
        observations: Arc::new(Observations::begin(now, None)),
    }
}

fn trusted(authority: &pki::Issued) -> Ca {
    Ca {
        name: "clients".to_owned(),
        pem: authority.pem(),
        allow_missing_client_auth: false,
        allow_weak: false,
        max_depth: 4,
        ..Ca::default()
    }
}

fn route(path: &str, accept: Accept) -> Route {
    Route {
        name: path.to_owned(),
        host: HostPattern::Any,
        path: path.to_owned(),
        backend: 0,
        accept,
        scopes: Vec::new(),
        cas: Vec::new(),
    }
}

/// Follows the store until everything is loaded, and no longer: nothing runs beside the benchmarks.
async fn load(directory: &Directory) -> Result<()> {
    let loaded = async {
        while !directory.is_loaded() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = directory.follow() => {}
        () = loaded => {}
    }
    ensure!(directory.is_loaded());
    Ok(())
}

fn asking(directory: &Arc<Directory>) -> Arc<Asking> {
    let routes = Routes::new(Vec::new());
    Arc::new(Asking::new(Arc::clone(directory), names(), &routes, &[]))
}

fn names() -> ServerNames {
    ServerNames::new(ClientCertificates::Explain, std::iter::empty().collect())
}

fn door(
    gateway: Gateway,
    verifier: &Arc<Verifier>,
    directory: &Arc<Directory>,
    server: &pki::Issued,
    metrics: Metrics,
) -> Result<Door<App>> {
    let lifetimes = Lifetimes {
        head_timeout: LONG,
        write_timeout: LONG,
        idle_timeout: LONG,
        max_age: LONG,
        body_minimum_rate: 500,
    };
    let bounds = door::Bounds {
        connections: u32::MAX,
        connections_per_address: u32::MAX,
        pending: u32::MAX,
        handshakes_per_second: u32::MAX,
        handshakes_per_address: u32::MAX,
        exempt: Vec::new(),
    };
    let settings = door::Settings {
        fronts: Arc::new(Fronts::new(Vec::new())),
        names: names(),
        ca_names: true,
        resumption: door::Resumption::Tickets(None),
        handshake_timeout: LONG,
        balancers: None,
        minimum_tls: MinimumTls::Tls13,
        http2: false,
        certificates: vec![ServerCertificate {
            chain_pem: server.chain_pem(),
            key_pem: Secret::new(server.key_pem()),
        }],
    };
    let gateway = Arc::new(gateway);
    let proxy = Proxy::new(Arc::clone(&gateway));
    let proxy = HttpProxy::new(proxy, Arc::new(ServerConf::default()));
    let app = App::new(proxy, gateway, lifetimes);
    let (verifier, now) = (Arc::clone(verifier), clock::now());
    let terms = Terms::new(settings, Arc::clone(&verifier), metrics.clone(), now)?;
    Ok(Door::new(
        Arc::new(terms),
        (&bounds, lifetimes),
        verifier,
        Arc::new(ArcSwap::new(asking(directory))),
        app,
        metrics,
        Arc::new(Journal::new(now)),
    ))
}

/// A real handshake, over a pair of sockets, and what the door makes of it. Only the door makes
/// connections.
fn enter(
    door: &Door<App>,
    server: &pki::Issued,
    client: Option<&pki::Issued>,
) -> Result<Arc<Connection>> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_certificate(&server.x509)?;
    acceptor.set_private_key(&server.key)?;
    acceptor.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    let acceptor = acceptor.build();
    let mut connector = SslConnector::builder(SslMethod::tls_client())?;
    connector.set_verify(SslVerifyMode::NONE);
    if let Some(client) = client {
        connector.set_certificate(&client.x509)?;
        connector.set_private_key(&client.key)?;
    }
    let connector = connector.build();

    let (near, far) = UnixStream::pair()?;
    let accepted = std::thread::scope(|scope| {
        scope.spawn(move || connector.connect("api.example.com", far).is_ok());
        acceptor.accept(near)
    });
    let accepted = accepted.map_err(|error| anyhow!("no handshake: {error}"))?;
    let policy = ClientCertificates::Explain;
    Ok(Arc::new(door.passed(accepted.ssl(), policy)))
}
