//! Puts the parts together and runs them.

mod authorities;
mod budget;
mod echo;
mod expiring;
mod files;
mod health;
mod live;
mod parts;
mod reload;
mod revocation;
mod secrets;
mod share;
mod tasks;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerOptions;
use pingora::listeners::ListenerConfig;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use pingora::services::listening::Service;

pub use echo::echo;
pub use live::snapshots;
pub use reload::survive_hangups;

use crate::admin::Admin;
use crate::certificate::TrustError;
use crate::clock;
use crate::config::{Config, Problems, Seen, Source};
use crate::door::{AcceptorError, Door, Journal};
use crate::gateway::Gateway;
use crate::policy::Observing;
use crate::store::{embedded, local};
use crate::upstream::BackendError;

/// How long requests under way may still take when the gateway is told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client's connection may be idle; Pingora gives HTTP/1.1 the same.
const IDLE: Duration = Duration::from_mins(1);
/// How often a request is sent to a backend at most: once, and once more where that is safe.
const ATTEMPTS: usize = 2;
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
    /// An address is taken or not ours.
    #[error("cannot listen on {0}: {1}; is another program there? (ss -ltnp shows it)")]
    Listen(std::net::SocketAddr, io::Error),
    /// Two metrics have one name.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs the gateway until it is told to stop, by SIGTERM (it finishes what is under way) or SIGINT.
/// It reads `source`, which gave `config` when `seen` was seen of it, again when that changes.
///
/// # Errors
///
/// [`StartError`]; nothing listens then.
pub fn run(config: Config, source: Source, seen: Seen) -> Result<(), StartError> {
    let (public, telemetry) = (config.listener.address, config.telemetry.address);
    let admin = config.admin;
    for address in [public, telemetry].into_iter().chain(admin) {
        free(address)?;
    }
    files::allow(&config.limits.door);
    let observed = config.observe.as_ref().map(Observing::addresses);
    let opened = parts::open(config, (source, seen))?;
    let mut server = Server::new_with_opt_and_conf(None::<Opt>, server_conf());

    server.add_service(background_service("directory", opened.follow));
    for backend in &opened.parts.backends {
        server.add_service(pingora::services::background::GenBackgroundService::new(
            format!("backend {}", backend.name()),
            backend.balancer(),
        ));
    }
    if let Some(commands) = opened.commands {
        server.add_service(background_service("commands", commands));
    }
    server.add_service(background_service("reload", opened.reload));
    server.add_service(background_service("revocation lists", opened.lists));
    server.add_service(background_service("sightings", opened.sightings));
    server.add_service(background_service("asking", opened.asking));
    server.add_service(background_service("lessons", opened.learn));
    server.add_service(background_service("secrets", opened.secrets));
    if let Some(budgets) = opened.budgets {
        server.add_service(background_service("budgets", budgets));
    }
    if let Some(snapshot) = opened.snapshot {
        server.add_service(background_service("snapshot", snapshot));
    }

    server.add_service(small("telemetry", opened.health, telemetry));
    let journal = Arc::new(Journal::new(clock::now()));
    if let Some(address) = admin {
        let observations = &opened.parts.observations;
        let observations = observed.as_ref().map(|_| Arc::clone(observations));
        let admin = Admin::new(Arc::clone(&journal), observations);
        server.add_service(small("admin", admin, address));
    }

    let (metrics, verifier, asking) = (
        opened.parts.metrics.clone(),
        Arc::clone(&opened.parts.verifier),
        Arc::clone(&opened.parts.asking),
    );
    let mut proxy = HttpProxy::new(
        Gateway::new(opened.parts),
        Arc::clone(&server.configuration),
    );
    proxy.handle_init_modules();
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(IDLE);
    proxy.server_options = Some(options);
    let door = Door::new(&opened.door, verifier, asking, proxy, metrics, journal)?;
    let mut gateway = Service::new("gateway".to_owned(), door);
    gateway.add_listener(ListenerConfig::tcp(public.to_string()));
    // It answers at once; until the directory is loaded, credentials get 503.
    server.add_service(gateway);

    if let Some(from) = observed {
        tracing::warn!(
            from,
            "THIS GATEWAY ONLY OBSERVES: what comes from these addresses is passed on as it came, \
             also what would be refused; where SNAT or a balancer of TCP hides the callers' own \
             addresses, that is everybody, so name only addresses that nothing but the existing \
             gateway uses; take [observe] out of the configuration to enforce"
        );
    }
    tracing::info!(%public, %telemetry, admin = admin.map(tracing::field::display), version = env!("CARGO_PKG_VERSION"), "starting");
    server.bootstrap();
    server.run(RunArgs::default());
    Ok(())
}

/// A listener that is seldom asked.
fn small<A>(name: &str, app: A, address: std::net::SocketAddr) -> Service<A> {
    let mut service = Service::new(name.to_owned(), app);
    service.threads = Some(1);
    service.add_tcp(&address.to_string());
    service
}

/// Pingora would panic on an address that cannot be had; this tells instead.
fn free(address: std::net::SocketAddr) -> Result<(), StartError> {
    std::net::TcpListener::bind(address)
        .map(drop)
        .map_err(|error| StartError::Listen(address, error))
}

fn server_conf() -> ServerConf {
    ServerConf {
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        grace_period_seconds: Some(GRACE.as_secs()),
        graceful_shutdown_timeout_seconds: Some(GRACE.as_secs()),
        max_retries: ATTEMPTS,
        ..ServerConf::default()
    }
}
