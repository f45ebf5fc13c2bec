//! What operators ask the running gateway, on a listener of its own: what no store keeps, and what their
//! commands do.
//!
//! Everybody shows a token (`access`). Three old questions are answered without one to whoever is on
//! this machine and means it: a web page that the operator looks at must not read the answers, so another
//! origin is given no permission, and a name that somebody points at this machine is refused.

mod access;
mod answer;
mod caller;
mod console;
pub mod handshakes;
mod idempotency;
mod lockout;
mod observations;
mod openapi;
mod operations;
mod query;
pub mod reload;
mod serve;
mod settings;
mod tls;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;

pub use access::{Role, Token};
use answer::{Problem, json};
use caller::{caller, introduce};
use console::session::Sessions;
use idempotency::Remembered;
use lockout::Lockout;
pub(crate) use openapi::document as openapi;
pub(crate) use operations::{Done, OUTPUT};
use query::Query;
use reload::Reloads;
pub use serve::App;
pub use settings::Settings;
pub use tls::{Tls, TlsError};

use crate::certificate::Verifier;
use crate::directory::Directory;
use crate::door::Journal;
use crate::observe::Observations;
use crate::operation;
use crate::sign::Names;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::tls::ssl::SslAcceptor;

/// How many operations that only look are carried out at a time, and how many that change something.
const LOOKS: usize = 3;
const CHANGES: usize = 2;
/// Answers the operator's questions.
pub struct Admin {
    pub(crate) journal: Arc<Journal>,
    pub(crate) observations: Box<Observed>,
    pub(crate) reloads: Reloads,
    pub(crate) live: Arc<ArcSwap<Live>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) verifier: Arc<Verifier>,
    sessions: Sessions,
    kept: Arc<operation::Kept>,
    looks: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    /// One of those that ask others than the store.
    examinations: Arc<Semaphore>,
    lockout: Lockout,
    metrics: Metrics,
    remembered: Arc<Remembered>,
}

/// What a running gateway replaces when its configuration changes.
pub struct Live {
    /// Who may ask.
    pub tokens: Vec<Token>,
    /// By which hands are shaken; none: HTTP is spoken in the clear.
    pub tls: Option<SslAcceptor>,
    /// What operations need to know.
    pub(crate) operations: Arc<operation::Settings>,
    /// What the headers are called that tell backends who calls.
    pub names: Names,
}

/// From which address somebody asks, where that is known.
#[derive(Clone, Copy, Debug)]
struct Peer(Option<IpAddr>);

/// What was observed so far, by a gateway that observes now.
type Observed = dyn Fn() -> Option<Arc<Observations>> + Send + Sync;

impl Admin {
    /// A listener that answers from `journal`, and from `observations` while there are some, by which
    /// the configuration is read again through `reloads`, and which works on `store`, that `directory`
    /// follows. Certificates are good by `verifier`.
    pub(crate) fn new(
        journal: Arc<Journal>,
        observations: impl Fn() -> Option<Arc<Observations>> + Send + Sync + 'static,
        reloads: Reloads,
        live: Arc<ArcSwap<Live>>,
        (store, directory, verifier): (Arc<dyn Store>, Arc<Directory>, Arc<Verifier>),
        metrics: &Metrics,
    ) -> Self {
        caller::count_from_zero(metrics);
        Self {
            journal,
            observations: Box::new(observations),
            reloads,
            live,
            store,
            directory,
            verifier,
            sessions: Sessions::default(),
            kept: Arc::default(),
            looks: Arc::new(Semaphore::new(LOOKS)),
            changes: Arc::new(Semaphore::new(CHANGES)),
            examinations: Arc::new(Semaphore::new(1)),
            lockout: Lockout::new(),
            metrics: metrics.clone(),
            remembered: Arc::default(),
        }
    }

    /// Everything that is answered.
    fn router(self) -> Router {
        let admin = Arc::new(self);
        Router::new()
            .route("/handshakes", any(handshakes))
            .route("/observations", any(observations))
            .route("/openapi.json", any(described))
            .route("/reload", any(reload))
            .route("/v1/{*name}", any(operate))
            .merge(console::routes())
            .fallback(async || {
                Problem::no_such_page(
                    "here are /v1/…, /handshakes, /observations, /openapi.json and /reload",
                )
            })
            .layer(from_fn_with_state(Arc::clone(&admin), introduce))
            .with_state(admin)
    }
}

type Shared = State<Arc<Admin>>;

async fn operate(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let who = caller(&request).cloned();
    let who = who.ok_or_else(|| caller::unknown(access::Stranger::NoToken))?;
    let path = request.uri().path().to_owned();
    let name = path.strip_prefix("/v1/").unwrap_or_default();
    admin.operate((name, who), peer, request).await
}

async fn handshakes(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Admin::question(peer, &request)?;
    given(handshakes::report(&admin.journal, &query))
}

async fn observations(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Admin::question(peer, &request)?;
    let observations = (admin.observations)();
    given(observations::snapshot(observations.as_deref(), &query))
}

async fn described(
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Admin::question(peer, &request)?;
    given(query.none().map(|()| &*openapi::DOCUMENT))
}

async fn reload(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    Admin::expect(Role::Admin, peer, &request)?;
    let (uri, headers) = (request.uri(), request.headers());
    if request.method() != Method::POST {
        return Err(Problem::method("POST"));
    }
    if uri.query().is_some() {
        let what = "there is nothing to ask for here; take the query away";
        return Err(Problem::bad_request(what));
    }
    if reload::may_be_a_page(headers) {
        let write = "send Content-Type: application/json, and nothing that a browser adds";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", write));
    }
    match admin.reloads.ask().await {
        Ok(report) => Ok(json(StatusCode::OK, &report)),
        Err(busy) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            busy,
        )),
    }
}

impl Admin {
    /// What a question that changes nothing asks for.
    fn question(peer: Peer, request: &Request) -> Result<Query, Problem> {
        Self::expect(Role::Viewer, peer, request)?;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::method("GET"));
        }
        Query::read(request.uri().query().unwrap_or_default()).map_err(Problem::bad_request)
    }
}

/// What was found, or why the question makes no sense.
fn given(found: Result<impl Serialize, String>) -> Result<Response, Problem> {
    let found = found.map_err(Problem::bad_request)?;
    Ok(json(StatusCode::OK, &found).into_response())
}

#[cfg(test)]
mod tests;
