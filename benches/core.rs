//! What the core costs a request: admission among 10 000 identities, signing, verifying, reading
//! and matching a key. No socket is open while anything is measured.
//!
//! Run it with `make bench`; docs/PERFORMANCE.md says what the figures mean.

#[path = "compare/identities.rs"]
mod identities;
#[path = "../tests/support/pki.rs"]
#[expect(
    clippy::indexing_slicing,
    reason = "a fixture of the tests, where that is fine"
)]
mod pki;

use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use arc_swap::ArcSwap;
use criterion::Criterion;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use keyferry::certificate::{Ca, Fingerprint, Trust, Verifier};
use keyferry::client::{CredentialId, Enrolment, LastUse, Renewal};
use keyferry::clock::{self, Timestamp};
use keyferry::directory::{Directory, Lessons, Sightings};
use keyferry::door::{
    self, Connection, Door, Journal, Lifetimes, MinimumTls, ServerCertificate, Terms,
};
use keyferry::front::Fronts;
use keyferry::gateway::{App, FirstSights, Gateway, Live, Parts, Proxy, SelfService, link_to_keys};
use keyferry::head::Head;
use keyferry::identity::{Freshness, Identity, Proof};
use keyferry::key::{ApiKey, Format, Pepper, Peppers};
use keyferry::observe::Observations;
use keyferry::policy::{
    Accept, Asking, ClientCertificates, HostPattern, Permit, Route, Routes, ServerNames,
};
use keyferry::secret::Secret;
use keyferry::sign::{self, Message, Names, Signer, SigningKey};
use keyferry::store::Store;
use keyferry::store::embedded::Embedded;
use keyferry::telemetry::Metrics;
use openssl::ssl::{SslAcceptor, SslConnector, SslMethod, SslVerifyMode};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

const IDENTITIES: usize = 10_000;
const TARGET: &str = "/v1/orders?limit=10";

/// Long enough that nothing grows old while it is measured.
const LONG: Duration = Duration::from_hours(24);

/// As it is by default.
const HEAD: keyferry::framing::Limits = keyferry::framing::Limits {
    bytes: 32 * 1024,
    fields: 100,
};

fn main() -> Result<()> {
    let world = World::new()?;
    let mut criterion = Criterion::default().configure_from_args();
    admission(&mut criterion, &world)?;
    signatures(&mut criterion, &world)?;
    keys(&mut criterion, &world)?;
    sightings(&mut criterion, &world)?;
    criterion.final_summary();
    Ok(())
}

/// `Gateway::admit`, the decision from the request's head to the permit.
fn admission(criterion: &mut Criterion, world: &World) -> Result<()> {
    let mut group = criterion.benchmark_group("admit");
    let key = world.first()?.key.reveal();
    let cases = [
        ("key", "/", Some(key), &world.without_certificate),
        ("certificate", "/", None, &world.with_certificate),
        ("both", "/", Some(key), &world.with_certificate),
        (
            "nobody_on_an_open_route",
            "/open",
            None,
            &world.without_certificate,
        ),
    ];
    for (name, path, key, connection) in cases {
        let request = request(path, key)?;
        let head = Head::read(&request, path.as_bytes(), &world.format)?;
        let admit = || {
            let (head, now) = (black_box(&head), world.now);
            world
                .gateway
                .admit(head, connection, &world.live, Freshness::Following, now)
        };
        // What is measured must be what the name says.
        let permit = admit().map_err(|refusal| anyhow!("{name} is refused: {refusal:?}"))?;
        let proof = permit.identity().map(Identity::proof);
        let expected = match name {
            "key" => matches!(proof, Some(Proof::Key)),
            "certificate" => matches!(proof, Some(Proof::Certificate(_))),
            "both" => matches!(proof, Some(Proof::Both(_))),
            _ => proof.is_none(),
        };
        ensure!(expected, "{name} was proven by {proof:?}");
        group.bench_function(name, |bencher| bencher.iter(admit));
    }
    let request = request(TARGET, Some(key))?;
    group.bench_function("read_the_head", |bencher| {
        bencher.iter(|| Head::read(black_box(&request), TARGET.as_bytes(), &world.format));
    });
    group.finish();
    Ok(())
}

/// `Signer::sign`, and `sign::Verifier::verify` as a backend runs it.
fn signatures(criterion: &mut Criterion, world: &World) -> Result<()> {
    let secret = Secret::new((0..32).collect());
    let key = SigningKey::new("orders-2026-11", &secret)?;
    let signer = Signer::new(key.clone(), Names::default());
    let verifier = sign::Verifier::new(vec![key], Names::default());
    let permit = world.permit()?;
    let nonce = Uuid::now_v7();
    let message = Message {
        method: "GET",
        authority: "api.example.com",
        path: "/v1/orders",
        query: Some("limit=10"),
        content_digest: None,
    };
    let headers: HeaderMap = signer
        .sign(&message, &permit, nonce, world.now)?
        .into_headers()
        .collect();
    verifier.verify(&message, &headers, world.now)?;

    criterion.bench_function("sign", |bencher| {
        bencher.iter(|| signer.sign(black_box(&message), &permit, nonce, world.now));
    });
    criterion.bench_function("verify", |bencher| {
        bencher.iter(|| verifier.verify(black_box(&message), &headers, world.now));
    });
    Ok(())
}

/// `ApiKey::parse` and `ApiKey::matches`.
fn keys(criterion: &mut Criterion, world: &World) -> Result<()> {
    let key = &world.first()?.key;
    let (text, digest) = (key.reveal().as_bytes(), key.digest(&world.live.peppers));
    let read = || ApiKey::parse(black_box(text), &world.format);
    ensure!(read()?.matches(Some(&digest), &world.live.peppers));

    let mut group = criterion.benchmark_group("key");
    group.bench_function("parse", |bencher| bencher.iter(read));
    group.bench_function("parse_and_match", |bencher| {
        bencher.iter(|| read().map(|key| key.matches(Some(&digest), &world.live.peppers)));
    });
    group.finish();
    Ok(())
}

/// `Sightings::served` and `Sightings::used`: what a request leaves in memory.
fn sightings(criterion: &mut Criterion, world: &World) -> Result<()> {
    let sightings = Sightings::default();
    let last = LastUse {
        at: world.now,
        from: [192, 0, 2, 1].into(),
    };
    let note = |identity: &identities::Identity| {
        let seen = Proof::Key.seen(world.now);
        sightings.served(&identity.client, seen, world.now);
        sightings.used(CredentialId::Key(identity.key.id()), last);
    };
    world.identities.iter().for_each(note);
    let known = sightings.of(&world.first()?.client);
    ensure!(known == Proof::Key.seen(world.now));
    let mut turn = world.identities.iter().cycle();
    criterion.bench_function("note_a_sighting", |bencher| {
        bencher.iter(|| turn.next().map(|identity| note(black_box(identity))));
    });
    Ok(())
}

/// A gateway that knows 10 000 identities, and two connections that came in by its door.
struct World {
    gateway: Gateway,
    identities: Vec<identities::Identity>,
    with_certificate: Arc<Connection>,
    without_certificate: Arc<Connection>,
    format: Format,
    live: Arc<Live>,
    now: Timestamp,
    _folder: TempDir,
}

impl World {
    fn new() -> Result<Self> {
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
                    per_client: None,
                    wrong_keys_per_address: u32::MAX,
                    exempt: Vec::new(),
                },
                budgets: None,
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

    fn first(&self) -> Result<&identities::Identity> {
        self.identities.first().context("there are identities")
    }

    fn permit(&self) -> Result<Permit> {
        let request = request(TARGET, Some(self.first()?.key.reveal()))?;
        let head = Head::read(&request, TARGET.as_bytes(), &self.format)?;
        self.gateway
            .admit(
                &head,
                &self.without_certificate,
                &self.live,
                Freshness::Following,
                self.now,
            )
            .map_err(|refusal| anyhow!("a good key is refused: {refusal:?}"))
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

/// A request like those of an API's clients.
fn request(target: &str, key: Option<&str>) -> Result<http::request::Parts> {
    let mut request = http::Request::get(target)
        .header(HOST, "api.example.com")
        .header("accept", "application/json")
        .header("user-agent", "bench/1")
        .body(())?;
    if let Some(key) = key {
        let name = HeaderName::from_static("x-api-key");
        request
            .headers_mut()
            .insert(name, HeaderValue::from_str(key)?);
    }
    Ok(request.into_parts().0)
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
        ticket_key: None,
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
