//! Puts the parts together and runs them.

mod authorities;
mod balancers;
mod budget;
mod door;
mod echo;
mod expiring;
#[cfg_attr(not(feature = "otlp"), path = "no_export.rs")]
mod export;
mod files;
mod handover;
mod health;
mod live;
mod needed;
mod next;
mod oversee;
mod parts;
mod reload;
mod replicas;
mod revocation;
mod secrets;
mod services;
mod share;
mod sightings;
mod snapshots;
mod staged;
mod stages;
mod stop;
mod tasks;
pub mod verify;
pub(crate) mod webhooks;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use pingora::apps::HttpServerOptions;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::{HttpProxy, ProxyHttp};
use pingora::server::Server;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::services::listening::Service;

pub use echo::echo;
pub use handover::NotGiven;
pub use reload::survive_hangups;
pub use snapshots::snapshots;

use crate::admin::{self, Admin};
use crate::certificate::TrustError;
use crate::clock;
use crate::config::{Config, Problems, Seen, Source};
use crate::door::{AcceptorError, Door, Http, Journal, Patience};
use crate::gateway::{ATTEMPTS, App, Gateway, Overseer, Proxy};
use crate::store::{embedded, local};
use crate::telemetry::Levels;
use crate::upstream::BackendError;
use handover::{Give, TakeOver, Taken};
use oversee::Oversee;
use parts::Opened;
use services::Services;
use staged::Parting;
use stages::Until;
use stop::{LAST_WORDS, Stop};

/// How many bytes of TLS are read from a client at once: each connection has room for them as long as it
/// lives. Pingora's own size is 64 KiB. It is for handshakes, in which OpenSSL does not read ahead: what of
/// a client's flight were left unread would reset the connection when its handshake fails, and take the
/// alert from it that says why.
const READ_BUFFER: usize = 4096;

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store's file cannot be opened.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// Commands could not reach the store.
    #[error(transparent)]
    Local(#[from] local::BindError),
    /// Nobody would be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A revocation list cannot be read.
    #[error("{0}")]
    Lists(#[from] Problems),
    /// A backend cannot be talked to.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The listener cannot speak TLS.
    #[error(transparent)]
    Tls(#[from] AcceptorError),
    /// The admin listener cannot speak TLS.
    #[error(transparent)]
    Admin(#[from] admin::TlsError),
    /// An address is taken or not ours.
    #[error("cannot listen on {0}: {1}; is another program there? (ss -ltnp shows it)")]
    Listen(SocketAddr, io::Error),
    /// The gateway that runs does not let this one take over.
    #[error(transparent)]
    NotGiven(#[from] NotGiven),
    /// It was to take over, and cannot serve.
    #[error("did not take over, since it could not have served; the log above says why")]
    NotReady,
    /// Nobody would be believed.
    #[error(transparent)]
    Keys(#[from] verify::NotUsable),
    /// Two metrics have one name.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the gateway until it is told to stop; `stop` says how it ends. It reads `source`, which gave
/// `config` when `seen` was seen of it, again when that changes. With `upgrade` it takes over from the
/// gateway that runs, if one does.
///
/// # Errors
///
/// [`StartError`]; nothing listens then, and a gateway that was to be followed goes on.
pub fn run(
    config: Config,
    (source, seen): (Source, Seen),
    levels: Levels,
    upgrade: bool,
) -> Result<(), StartError> {
    let listens = Listens {
        public: config.listener.address,
        telemetry: config.telemetry.address,
        admin: config.admin.as_ref().map(|admin| admin.address),
    };
    let ends = config.shutdown.clone();
    let (taken, follower) = match &ends.upgrade_socket {
        Some(path) if upgrade => handover::ask(path, listens.all())?,
        Some(_) | None => (Taken::default(), None),
    };
    for address in listens.all().filter(|address| !taken.has(*address)) {
        free(address)?;
    }
    files::allow(&config.limits.door);
    let (reloads, asked) = admin::reload::channel();
    let opened = parts::open(config, (source, seen, asked), levels)?;
    let metrics = &opened.parts.metrics;
    let open = metrics.connections.with_label_values(&["open"]);
    let stop = Stop::new(&ends, metrics.draining.clone(), open);
    let stages = stop.stages().clone();
    let mut services = Services {
        server: Server::new_with_opt_and_conf(None::<Opt>, server_conf()),
        stages: &stages,
        taken: &taken,
    };
    if let Some(follower) = follower {
        let (directory, max_stale) = (&opened.parts.directory, opened.parts.max_stale);
        let take = TakeOver::new(follower, directory, max_stale, &stages);
        services.last("take over", take);
    }
    if let Some(path) = ends.upgrade_socket {
        services.listening(Give::new(path, &stages), Until::Closed);
    }
    add(&mut services, opened, &listens, reloads);
    let Listens {
        public,
        telemetry,
        admin,
    } = listens;
    tracing::info!(%public, %telemetry, admin = admin.map(tracing::field::display), version = env!("CARGO_PKG_VERSION"), "starting");
    services.run(stop);
    if stages.has_failed() {
        return Err(StartError::NotReady);
    }
    tracing::info!("stopped");
    Ok(())
}

/// Adds all that serves.
fn add(
    services: &mut Services<'_>,
    opened: Opened,
    listens: &Listens,
    reloads: admin::reload::Reloads,
) {
    let asking = Arc::clone(&opened.beside.asking);
    services.beside(opened.beside);
    services.small("telemetry", opened.health, listens.telemetry);
    let journal = Arc::new(Journal::new(clock::now()));
    if let Some(address) = listens.admin {
        let live = Arc::clone(&opened.parts.live);
        let observations = move || live.load().observations().cloned();
        let on = (
            Arc::clone(&opened.parts.store),
            Arc::clone(&opened.parts.directory),
            Arc::clone(&opened.parts.verifier),
        );
        let admin = Admin::new(
            Arc::clone(&journal),
            observations,
            reloads,
            opened.admin,
            on,
            &opened.parts.metrics,
        );
        services.small("admin", admin::App::new(admin), address);
    }
    let (metrics, verifier) = (
        opened.parts.metrics.clone(),
        Arc::clone(&opened.parts.verifier),
    );
    let (bounds, lifetimes) = opened.limits;
    let gateway = Arc::new(Gateway::new(opened.parts).until(services.stages.parting()));
    let unread = Arc::new(gateway.unread());
    let overseer = Overseer::new(Arc::clone(&gateway), lifetimes);
    services.last("overseer", Oversee(overseer));
    let conf = &services.server.configuration;
    let proxy = http_proxy(Proxy::new(Arc::clone(&gateway)), conf);
    let app = App::new(proxy, gateway, lifetimes);
    let patience = Patience {
        idle: lifetimes.idle_timeout,
        head: lifetimes.head_timeout,
    };
    let http = Http::new(
        app,
        (opened.http, patience),
        unread,
        metrics.http2_closed.clone(),
    );
    let limits = (&bounds, lifetimes);
    let door = Door::new(
        opened.terms,
        limits,
        verifier,
        asking,
        http,
        metrics,
        journal,
    );
    services.stages.are_open(door.lines());
    let parting = Parting::new(door, services.stages);
    let mut gateway = Service::new("gateway".to_owned(), parting);
    // What is written is held together above, record by record.
    let buffer = L4BufferSettings::new(READ_BUFFER, 0);
    gateway.add_listener(ListenerConfig::tcp(listens.public.to_string()).l4_buffer(buffer));
    // It answers at once; until the directory is loaded, credentials get 503.
    services.listening(gateway, Until::Closed);
}

/// Pingora's proxy, in the phases of `inner`.
fn http_proxy<P: ProxyHttp>(inner: P, conf: &Arc<ServerConf>) -> HttpProxy<P> {
    let mut proxy = HttpProxy::new(inner, Arc::clone(conf));
    proxy.handle_init_modules();
    let mut options = HttpServerOptions::default();
    // It is refused like everything else, and so that it is counted.
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    proxy
}

/// Where the gateway listens.
struct Listens {
    public: SocketAddr,
    telemetry: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Listens {
    fn all(&self) -> impl Iterator<Item = SocketAddr> {
        [self.public, self.telemetry].into_iter().chain(self.admin)
    }
}

/// Pingora would panic on an address that cannot be had; this tells instead.
fn free(address: SocketAddr) -> Result<(), StartError> {
    std::net::TcpListener::bind(address)
        .map(drop)
        .map_err(|error| StartError::Listen(address, error))
}

fn server_conf() -> ServerConf {
    ServerConf {
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        // A connection stays with the thread that it came to.
        work_stealing: false,
        // Before it is told to stop, all is done that takes time.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(LAST_WORDS.as_secs()),
        max_retries: ATTEMPTS,
        ..ServerConf::default()
    }
}
