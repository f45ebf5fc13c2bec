//! What operators ask the running gateway, on a listener of its own: what no store keeps, and what their
//! commands do.
//!
//! Everybody shows a token ([`access`]). Three old questions are answered without one to whoever is on
//! this machine and means it: a web page that the operator looks at must not read the answers, so another
//! origin is given no permission, and a name that somebody points at this machine is refused.

mod access;
mod answer;
pub mod handshakes;
mod observations;
mod openapi;
mod operations;
mod query;
pub mod reload;
mod serve;
mod settings;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Serialize;
use tokio::sync::Semaphore;

pub use access::{Role, Token};
use answer::{Problem, json};
pub(crate) use openapi::document as openapi;
use query::Query;
use reload::Reloads;
pub use serve::App;
pub use settings::Settings;

use crate::directory::Directory;
use crate::door::Journal;
use crate::observe::Observations;
use crate::operation;
use crate::store::Store;

/// How many operations are carried out at a time.
const AT_A_TIME: usize = 4;

/// Answers the operator's questions.
pub struct Admin {
    pub(crate) journal: Arc<Journal>,
    pub(crate) observations: Box<Observed>,
    pub(crate) reloads: Reloads,
    pub(crate) live: Arc<ArcSwap<Live>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<Directory>,
    turns: Arc<Semaphore>,
}

/// What a running gateway replaces when its configuration changes.
pub struct Live {
    /// Who may ask.
    pub tokens: Vec<Token>,
    /// What operations need to know.
    pub(crate) operations: Arc<operation::Settings>,
}

/// From which address somebody asks, where that is known.
#[derive(Clone, Copy, Debug)]
struct Peer(Option<IpAddr>);

/// What was observed so far, by a gateway that observes now.
type Observed = dyn Fn() -> Option<Arc<Observations>> + Send + Sync;

impl Admin {
    /// A listener that answers from `journal`, and from `observations` while there are some, by which
    /// the configuration is read again through `reloads`, and which works on `store`, that `directory`
    /// follows.
    pub(crate) fn new(
        journal: Arc<Journal>,
        observations: impl Fn() -> Option<Arc<Observations>> + Send + Sync + 'static,
        reloads: Reloads,
        live: Arc<ArcSwap<Live>>,
        (store, directory): (Arc<dyn Store>, Arc<Directory>),
    ) -> Self {
        Self {
            journal,
            observations: Box::new(observations),
            reloads,
            live,
            store,
            directory,
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Everything that is answered.
    fn router(self) -> Router {
        Router::new()
            .route("/handshakes", any(handshakes))
            .route("/observations", any(observations))
            .route("/openapi.json", any(described))
            .route("/reload", any(reload))
            .route("/v1/{*name}", any(operate))
            .fallback(async || {
                Problem::no_such_page(
                    "here are /v1/…, /handshakes, /observations, /openapi.json and /reload",
                )
            })
            .with_state(Arc::new(self))
    }

    /// Lets through whoever shows the token of somebody who may do so much, and else whoever is on this
    /// machine and means it.
    fn expect(
        &self,
        role: Role,
        (peer, uri, headers): (Peer, &Uri, &HeaderMap),
    ) -> Result<(), Problem> {
        match access::who(headers, &self.live.load().tokens) {
            Ok(who) if who.role >= role => Ok(()),
            Ok(_) => Err(forbidden()),
            Err(access::Stranger::NoToken) if access::is_here(peer.0) => {
                if is_for_this_machine(uri, headers) {
                    return Ok(());
                }
                Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "misdirected",
                    "ask by a loopback address or localhost, as 127.0.0.1 in the URL",
                ))
            }
            Err(stranger) => Err(unknown(stranger)),
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

async fn operate(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let who = access::who(request.headers(), &admin.live.load().tokens).map_err(unknown)?;
    let path = request.uri().path().to_owned();
    let name = path.strip_prefix("/v1/").unwrap_or_default();
    admin.operate((name, who), peer, request).await
}

async fn handshakes(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = admin.question(peer, &request)?;
    given(handshakes::report(&admin.journal, &query))
}

async fn observations(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = admin.question(peer, &request)?;
    let observations = (admin.observations)();
    given(observations::snapshot(observations.as_deref(), &query))
}

async fn described(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = admin.question(peer, &request)?;
    given(query.none().map(|()| &*openapi::DOCUMENT))
}

async fn reload(
    State(admin): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let (uri, headers) = (request.uri(), request.headers());
    admin.expect(Role::Admin, (peer, uri, headers))?;
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
    fn question(&self, peer: Peer, request: &Request) -> Result<Query, Problem> {
        let (uri, headers) = (request.uri(), request.headers());
        self.expect(Role::Viewer, (peer, uri, headers))?;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::method("GET"));
        }
        Query::read(uri.query().unwrap_or_default()).map_err(Problem::bad_request)
    }
}

/// What was found, or why the question makes no sense.
fn given(found: Result<impl Serialize, String>) -> Result<Response, Problem> {
    let found = found.map_err(Problem::bad_request)?;
    Ok(json(StatusCode::OK, &found).into_response())
}

/// Whether whoever asks means this machine: the one host that is named, by `Host` and also by a URL
/// in the request line, is a loopback address or `localhost` (RFC 6761 section 6.3). A page of
/// another site can make its own name lead here, but not make the browser send another one.
fn is_for_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_here = |authority: &Authority| {
        let host = authority.host().trim_matches(['[', ']']);
        let is_loopback = |address: IpAddr| address.is_loopback();
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
    };
    let mut named = headers.get_all(HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    named.next().is_none()
        && host.as_ref().is_some_and(is_here)
        && uri.authority().is_none_or(is_here)
}

#[cfg(test)]
mod tests;
