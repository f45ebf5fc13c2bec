//! What operators ask the running gateway, on a listener of its own: what no store keeps, and what their
//! commands do.
//!
//! Everybody shows a token (`access`). Three old questions are answered without one to whoever is on
//! this machine and means it: a web page that the operator looks at must not read the answers, so another
//! origin is given no permission, and a name that somebody points at this machine is refused.

mod access;
mod answer;
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
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::{AUTHORIZATION, HOST};
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use access::Who;
pub use access::{Role, Token};
use answer::{Problem, json};
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
use crate::clock;
use crate::directory::Directory;
use crate::door::Journal;
use crate::observe::Observations;
use crate::operation;
use crate::sign::Names;
use crate::socket::is_this_machine;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::tls::ssl::SslAcceptor;

/// How many operations that only look are carried out at a time, and how many that change something.
const LOOKS: usize = 3;
const CHANGES: usize = 2;
/// How long a body may take, and be: that of whom nobody knows, and of everybody else.
const BODY: Duration = Duration::from_secs(10);
const STRANGERS: usize = 8 << 10;
const LONGEST: usize = 1 << 20;

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
        count_from_zero(metrics);
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

    /// Who has the token that is shown, if one is. From where too many wrong ones came, nobody is told
    /// even whether the next is right.
    fn identify(&self, peer: Peer, headers: &HeaderMap) -> Result<Option<Who>, Problem> {
        if (headers.contains_key(AUTHORIZATION) || !access::is_here(peer.0))
            && let Some(seconds) = self.lockout.wait(peer.0)
        {
            return Err(Problem::locked_out(seconds));
        }
        match access::who(headers, &self.live.load().tokens) {
            Ok(who) => Ok(Some(who)),
            Err(access::Stranger::NoToken) => Ok(None),
            Err(stranger @ access::Stranger::Unknown) => {
                self.lockout.wrong(peer.0);
                Err(unknown(stranger))
            }
        }
    }

    /// Lets through whoever shows the token of somebody who may do so much, and else whoever is on this
    /// machine and means it.
    fn expect(role: Role, peer: Peer, request: &Request) -> Result<(), Problem> {
        match caller(request) {
            Some(who) if who.role >= role => Ok(()),
            Some(_) => Err(forbidden()),
            None if access::is_here(peer.0) => {
                if is_for_this_machine(request.uri(), request.headers()) {
                    return Ok(());
                }
                Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "misdirected",
                    "ask by a loopback address or localhost, as 127.0.0.1 in the URL",
                ))
            }
            None => Err(unknown(access::Stranger::NoToken)),
        }
    }
}

fn forbidden() -> Problem {
    let detail = "this is not for the role of this token";
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

fn unknown(stranger: access::Stranger) -> Problem {
    let status = StatusCode::UNAUTHORIZED;
    Problem::new(status, "unauthenticated", stranger.to_string())
}

type Shared = State<Arc<Admin>>;

/// Who asks, as [`introduce`] found.
fn caller(request: &Request) -> Option<&Who> {
    request.extensions().get()
}

/// Finds out who asks, before anything else is looked at, and counts what becomes of it.
async fn introduce(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let who = admin.identify(peer, request.headers());
    let role = who.as_ref().ok().and_then(|who| Some(who.as_ref()?.role));
    let answer = match who {
        Ok(who) => {
            if let Some(who) = who {
                request.extensions_mut().insert(who);
            }
            match admin.whole(request).await {
                Ok(request) => next.run(request).await,
                Err(problem) => problem.into_response(),
            }
        }
        Err(problem) => problem.into_response(),
    };
    let labels = [role.map_or("none", Role::as_str), outcome(answer.status())];
    admin
        .metrics
        .admin_requests
        .with_label_values(&labels)
        .inc();
    answer
}

impl Admin {
    /// The request with its whole body, which comes in time or not at all. Whom nobody knows has less room.
    async fn whole(&self, mut request: Request) -> Result<Request, Problem> {
        let seat = {
            let (headers, live) = (request.headers(), self.live.load());
            self.sessions
                .seat(headers, &live.tokens, clock::monotonic())
        };
        let is_known = caller(&request).is_some() || seat.is_some();
        if let Some(seat) = seat {
            request.extensions_mut().insert(seat);
        }
        let most = if is_known { LONGEST } else { STRANGERS };
        let (mut head, body) = request.into_parts();
        let read = timeout(BODY, to_bytes(body, most)).await;
        let body = read.map_err(|_| {
            let detail = format!("the body did not come within {} s", BODY.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail)
        })?;
        let body = body.map_err(|_| {
            let (status, detail) = (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("send at most {most} bytes"),
            );
            Problem::new(status, "too_long", detail)
        })?;
        head.extensions.insert(body.clone());
        Ok(Request::from_parts(head, Body::from(body)))
    }
}

/// What is counted is there before it happens.
fn count_from_zero(metrics: &Metrics) {
    let roles = [Role::Viewer, Role::Operator, Role::Admin].map(Role::as_str);
    for role in roles.into_iter().chain(["none"]) {
        let refused = if role == "none" {
            "unauthenticated"
        } else {
            "forbidden"
        };
        for outcome in ["done", "refused", refused, "failed"] {
            metrics.admin_requests.with_label_values(&[role, outcome]);
        }
    }
}

/// What became of a request, in a word.
fn outcome(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => "unauthenticated",
        StatusCode::FORBIDDEN => "forbidden",
        status if status.is_server_error() => "failed",
        status if status.is_client_error() => "refused",
        _ => "done",
    }
}

async fn operate(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let who = caller(&request).cloned();
    let who = who.ok_or_else(|| unknown(access::Stranger::NoToken))?;
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

/// Whether whoever asks means this machine: the one host that is named, by `Host` and also by a URL
/// in the request line, is this machine. A page of
/// another site can make its own name lead here, but not make the browser send another one.
fn is_for_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_here = |authority: &Authority| is_this_machine(authority.host());
    let mut named = headers.get_all(HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    named.next().is_none()
        && host.as_ref().is_some_and(is_here)
        && uri.authority().is_none_or(is_here)
}

#[cfg(test)]
mod tests;
