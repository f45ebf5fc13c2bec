//! Puts the parts of `keyferry verify` together and runs them.

mod entrance;
mod health;
mod keys;

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::HeaderName;
use pingora::apps::HttpServerApp;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::Server;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::services::listening::Service;
use prometheus::{IntCounterVec, Opts};
use tokio::sync::watch;

pub use keys::{Keys, NotUsable, signing_key, verifying_key};

use super::balancers::Balancers;
use super::handover::Taken;
use super::health::Health;
use super::services::Services;
use super::staged::Parting;
use super::stages::Until;
use super::stop::Stop;
use super::{READ_BUFFER, StartError, free, http_proxy, server_conf};
use crate::config::Shutdown;
use crate::door::{self, Http, HttpLimits};
use crate::framing::Limits;
use crate::sign::{Names, Verifier};
use crate::upstream::{self, Backend};
use crate::verify::{
    Answering, App, Form, Guard, Metrics, OpenPaths, Patience, Proxy, Seen, Unread,
};
use entrance::Entrance;
use keys::Follow;

/// As the gateway sends it, and a little more: it adds headers to what it takes.
const LARGEST_HEAD: Limits = Limits {
    bytes: 64 * 1024,
    fields: 200,
};
/// How long the rest of a head may take, and how long a connection is kept between two requests: a
/// little longer than the gateway keeps it, so that it is the gateway who closes.
const HEAD: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_mins(1);
/// How many threads serve.
const THREADS: usize = 2;

/// Where it listens.
#[derive(Clone, Debug)]
pub enum Place {
    /// An address.
    Tcp(SocketAddr),
    /// A Unix socket, for its owner and its group.
    Unix(PathBuf),
}

/// What becomes of a request that is good.
#[derive(Debug)]
pub enum Then {
    /// It goes on to this backend.
    Pass(Box<upstream::Settings>),
    /// A proxy that asks in this form is told.
    Answer(Form),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(backend) => write!(f, "pass on to {}", backend.addresses.join(", ")),
            Self::Answer(form) => write!(f, "answer who asks ({form:?})"),
        }
    }
}

/// What there is to say of it.
pub struct Settings {
    /// Where requests come.
    pub listen: Vec<Place>,
    /// Where metrics and health are told, if anywhere.
    pub telemetry: Option<SocketAddr>,
    /// What becomes of good ones.
    pub then: Then,
    /// Where the keys are.
    pub keys: Keys,
    /// What the headers are called.
    pub names: Names,
    /// Where no signature is asked for.
    pub open: OpenPaths,
    /// Headers of an old proxy that requests with a good signature keep.
    pub keep: Vec<HeaderName>,
    /// How many signatures are remembered to be refused when they come again; 0: none.
    pub remember: usize,
    /// How many connections there may be.
    pub connections: u32,
    /// How it ends.
    pub shutdown: Shutdown,
}

/// Runs it until it is told to stop.
///
/// # Errors
///
/// [`StartError`]; nothing listens then.
pub fn run(settings: &Settings) -> Result<(), StartError> {
    for address in settings.addresses() {
        free(address)?;
    }
    let metrics = Metrics::new()?;
    let guard = Arc::new(guard(settings, &metrics)?);
    let (draining, open) = (metrics.draining.clone(), metrics.connections.clone());
    let stop = Stop::new(&settings.shutdown, draining, open);
    let stages = stop.stages().clone();
    let mut services = Services {
        server: Server::new_with_opt_and_conf(None::<Opt>, conf()),
        stages: &stages,
        taken: &Taken::default(),
    };
    if let Some(address) = settings.telemetry {
        services.small("telemetry", Health(metrics), address);
    }
    let follow = Follow::new(settings.keys.clone(), Arc::clone(&guard));
    services.last("keys", follow);
    match &settings.then {
        Then::Pass(backend) => {
            let app = proxy(&mut services, &guard, backend)?;
            listen_for(&mut services, app, settings, &guard)?;
        }
        Then::Answer(form) => {
            let app = Answering::new(Arc::clone(&guard), *form);
            listen_for(&mut services, app, settings, &guard)?;
        }
    }
    tracing::info!(
        listen = list(settings.listen.iter().map(ToString::to_string)),
        then = %settings.then,
        keys = list(guard.verifier.load().key_ids().map(str::to_owned)),
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    services.run(stop);
    tracing::info!("stopped");
    Ok(())
}

impl Settings {
    /// Every address that it listens at.
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let public = self.listen.iter().filter_map(|place| match place {
            Place::Tcp(address) => Some(*address),
            Place::Unix(_) => None,
        });
        public.chain(self.telemetry)
    }
}

fn guard(settings: &Settings, metrics: &Metrics) -> Result<Guard, NotUsable> {
    let keys = settings.keys.read()?;
    let verifier = Verifier::new(keys, settings.names.clone());
    let seen = || Seen::new(settings.remember, metrics.remembered.clone());
    Ok(Guard {
        verifier: ArcSwap::from_pointee(verifier),
        seen: (settings.remember > 0).then(seen),
        open: settings.open.clone(),
        keep: settings.keep.clone(),
        metrics: metrics.clone(),
    })
}

fn conf() -> ServerConf {
    ServerConf {
        threads: THREADS,
        ..server_conf()
    }
}

/// In one line, for the log.
fn list(of: impl Iterator<Item = String>) -> String {
    of.collect::<Vec<_>>().join(", ")
}

/// What passes requests on.
fn proxy(
    services: &mut Services<'_>,
    guard: &Arc<Guard>,
    backend: &upstream::Settings,
) -> Result<App, StartError> {
    let metrics = &guard.metrics;
    let counts = (
        metrics.backend_seconds.clone(),
        metrics.backend_failures.clone(),
    );
    let backend = Arc::new(Backend::new(backend.clone(), counts)?);
    let one = watch::channel(vec![Arc::clone(&backend)]).1;
    services.last("backend", Balancers(one));
    let proxy = Proxy::new(Arc::clone(guard), backend, services.stages.parting());
    let proxy = http_proxy(proxy, &services.server.configuration);
    let patience = Patience {
        idle: IDLE,
        piece: IDLE,
    };
    Ok(App::new(proxy, patience))
}

/// Adds the listener in front of `app`.
fn listen_for<A>(
    services: &mut Services<'_>,
    app: A,
    settings: &Settings,
    guard: &Arc<Guard>,
) -> Result<(), StartError>
where
    A: HttpServerApp + Send + Sync + 'static,
{
    let limits = HttpLimits {
        head: LARGEST_HEAD,
        requests: u32::MAX,
        streams: 1,
        stream_window: u32::from(u16::MAX),
        connection_window: u32::from(u16::MAX),
    };
    let patience = door::Patience {
        idle: IDLE,
        head: HEAD,
    };
    let unread = Arc::new(Unread(Arc::clone(guard)));
    // There is no HTTP/2 without TLS, so nothing to count.
    let http2_closed = IntCounterVec::new(Opts::new("http2_closed", "none"), &["reason"])?;
    let http = Http::new(app, (limits, patience), unread, http2_closed);
    let entrance = Entrance::new(http, settings.connections, &guard.metrics);
    let parting = Parting::new(entrance, services.stages);
    let mut service = Service::new("verify".to_owned(), parting);
    for place in &settings.listen {
        match place {
            Place::Tcp(address) => {
                let buffer = L4BufferSettings::default().read(READ_BUFFER);
                let listener = ListenerConfig::tcp(address.to_string());
                service.add_listener(listener.l4_buffer(buffer));
            }
            Place::Unix(path) => {
                let mode = std::fs::Permissions::from_mode(0o660);
                service.add_uds(&path.to_string_lossy(), Some(mode));
            }
        }
    }
    services.listening(service, Until::Closed);
    Ok(())
}
