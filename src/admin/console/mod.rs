//! The console: the admin API in pages, drawn here, for whoever looks at the migration instead of at Redis.
//!
//! Each page asks operations as the API would, for whoever is logged in, and shows the answers; each form
//! has one operation carried out ([`act`]). So a role may do here what it may do there. Everything works
//! without scripts; what comes from clients is text to a browser, never markup.

mod act;
mod chart;
mod client;
mod clients;
mod doctor;
mod expiring;
mod failures;
mod health;
mod journal;
mod layout;
mod overview;
mod phases;
pub(super) mod session;
mod trying;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Extension, Form, FromRequestParts, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use maud::{Markup, html};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::answer::Problem;
use super::{Admin, Peer, access};
use crate::clock;
use crate::operation::{Failure, Offered, Output};
use session::Seat;

/// Nothing but the console's own style and script, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The pages.
pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/", get(overview::page))
        .route("/clients", get(clients::page))
        .route("/clients.csv", get(clients::csv))
        .route("/clients/{id}", get(client::page))
        .route("/clients/{id}/letter", get(client::letter))
        .route("/letters.csv", get(clients::letters))
        .route("/failures", get(failures::page))
        .route("/expiring", get(expiring::page))
        .route("/phases", get(phases::page))
        .route("/audit", get(journal::page))
        .route("/health", get(health::page))
        .route("/doctor", get(doctor::page).post(doctor::run))
        .route("/try", get(trying::page).post(trying::tried))
        .route("/do/{*name}", post(act::page))
        .route("/login", get(login).post(log_in))
        .route("/logout", post(log_out))
        .route(
            "/console.css",
            get(async || asset("text/css", include_str!("console.css"))),
        )
        .route(
            "/console.js",
            get(async || asset("text/javascript", include_str!("console.js"))),
        )
}

/// Somebody who is logged in, and asks from somewhere.
struct Visitor {
    admin: Arc<Admin>,
    seat: Seat,
    peer: Peer,
    /// Whether a page is shown, on which a notice is read.
    is_shown: bool,
    /// What there is to know beside the answers so far.
    notes: Mutex<Vec<String>>,
}

/// A page, or why there is none.
type Page = Result<Response, Trouble>;

/// Why there is no page.
enum Trouble {
    /// Nobody is logged in. There, one comes back to this path.
    Nobody(String),
    /// To whoever is.
    Problem(Box<Visitor>, Problem),
}

impl FromRequestParts<Arc<Admin>> for Visitor {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, admin: &Arc<Admin>) -> Result<Self, Trouble> {
        let seat = parts.extensions.remove::<Seat>();
        let back = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let seat = seat.ok_or_else(|| Trouble::Nobody(back.to_owned()))?;
        let peer = parts.extensions.get::<Peer>().copied();
        Ok(Self {
            admin: Arc::clone(admin),
            is_shown: parts.method == Method::GET,
            notes: Mutex::default(),
            seat,
            peer: peer.unwrap_or(Peer(None)),
        })
    }
}

impl Visitor {
    /// The answer of the operation `name`, which only looks.
    async fn look<T: DeserializeOwned>(&self, name: &str, asked: Value) -> Result<T, Problem> {
        let offered = Offered::named(name).filter(|offered| !offered.changes);
        let offered = offered.ok_or_else(|| Problem::no_such_page("no such operation"))?;
        let given = match asked {
            Value::Object(given) => given,
            _ => Map::new(),
        };
        let admin = Arc::clone(&self.admin);
        let who = self.seat.who.clone();
        let done = admin.perform((offered, &given), who, self.peer, Output::Json);
        let mut report = done.await?.report()?;
        let notes = report
            .as_object_mut()
            .and_then(|report| report.remove("notes"));
        if let Some(Value::Array(notes)) = notes {
            let notes = notes.iter().filter_map(Value::as_str).map(str::to_owned);
            let mut known = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            // Two answers of one page may say the same.
            for note in notes {
                if !known.contains(&note) {
                    known.push(note);
                }
            }
        }
        serde_json::from_value(report).map_err(|error| Failure::Internal(error.into()).into())
    }

    /// What there is to know beside the answers so far: that they are not of everything, for instance.
    fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *notes)
    }

    /// Whoever gets a file, which has no place where it could be said, gets all or nothing.
    fn expect_all(self) -> Result<(), Trouble> {
        let Some(note) = self.notes().into_iter().next() else {
            return Ok(());
        };
        let detail = format!("Not all of it can be told: {note}");
        Err(self.trouble(Problem::new(StatusCode::CONFLICT, "refused", detail)))
    }

    /// A page called `title` at `path`.
    fn show(&self, title: &str, path: &str, content: &Markup) -> Response {
        let notice = self
            .is_shown
            .then(|| self.admin.sessions.notice(&self.seat));
        let notice = notice.flatten();
        let content = html! {
            @for note in self.notes() { p.wrong role="alert" { (layout::lines(&note)) } }
            (content)
        };
        let page = layout::page((title, path), &self.seat, notice.as_ref(), &content);
        document(StatusCode::OK, &page)
    }

    /// Whether a form with this secret is one of this session, sent by a page of this console.
    fn is_own(&self, headers: &HeaderMap, csrf: &str) -> Result<(), Problem> {
        if is_own(headers) && self.seat.sent(csrf) {
            return Ok(());
        }
        let detail = "This form is not one of this session. Load the page again.";
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }

    /// Why there is no page, to this visitor.
    fn trouble(self, problem: Problem) -> Trouble {
        Trouble::Problem(Box::new(self), problem)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self {
            Self::Nobody(back) => {
                let back: String = form_urlencoded::byte_serialize(back.as_bytes()).collect();
                Redirect::to(&format!("/login?next={back}")).into_response()
            }
            Self::Problem(visitor, problem) => {
                let title = problem.status().canonical_reason().unwrap_or("Error");
                let content = html! { p.wrong role="alert" { (problem.detail()) } };
                let page = layout::page((title, ""), &visitor.seat, None, &content);
                document(problem.status(), &page)
            }
        }
    }
}

/// A page that only this browser may show, now.
fn document(status: StatusCode, page: &Markup) -> Response {
    let mut answer = (status, page.0.clone()).into_response();
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    private(headers);
    answer
}

/// What only this browser may show, and may not keep.
fn private(headers: &mut HeaderMap) {
    secure(headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn asset(kind: &'static str, content: &'static str) -> Response {
    let mut answer = content.into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    secure(headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// Whether a form was sent by a page of this console, as far as the browser tells.
fn is_own(headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE);
    let is_same_site = site.is_none_or(|site| site == "same-origin" || site == "none");
    let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
    let host = headers.get(http::header::HOST).map(HeaderValue::as_bytes);
    let is_same_host = origin.is_none_or(|origin| {
        let origin = origin
            .strip_prefix(b"https://")
            .or_else(|| origin.strip_prefix(b"http://"));
        origin.is_some() && origin == host
    });
    is_same_site && is_same_host
}

/// A path of the console: never another site.
fn local(path: &str) -> &str {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_local { path } else { "/" }
}

#[derive(serde::Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

#[derive(serde::Deserialize)]
struct LogIn {
    token: String,
    #[serde(default)]
    next: String,
}

#[derive(serde::Deserialize)]
struct LogOut {
    csrf: String,
}

async fn login(axum::extract::Query(asked): axum::extract::Query<Next>) -> Response {
    document(StatusCode::OK, &layout::login(local(&asked.next), None))
}

async fn log_in(
    State(admin): State<Arc<Admin>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(sent): Form<LogIn>,
) -> Response {
    let next = local(&sent.next);
    let refused = |status, why: &str| document(status, &layout::login(next, Some(why)));
    if !is_own(&headers) {
        return refused(StatusCode::FORBIDDEN, "This form was sent by another site.");
    }
    if admin.lockout.wait(peer.0).is_some() {
        let why = "Too many wrong tokens came from this address. Try again in a minute.";
        return refused(StatusCode::TOO_MANY_REQUESTS, why);
    }
    let known = access::by_text(sent.token.trim(), &admin.live.load().tokens);
    let Ok((who, token)) = known else {
        admin.lockout.wrong(peer.0);
        tracing::warn!(peer = ?peer.0, "an unknown token was shown at the console");
        return refused(StatusCode::UNAUTHORIZED, "This token is not known here.");
    };
    let Ok(id) = admin.sessions.begin(token, clock::monotonic()) else {
        return refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "The system gives no randomness.",
        );
    };
    tracing::info!(name = who.name, role = ?who.role, peer = ?peer.0, "logged in at the console");
    let only = if admin.live.load().tls.is_some() {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!(
        "{}={id}; Path=/; HttpOnly; SameSite=Strict{only}",
        session::NAME
    );
    let mut answer = Redirect::to(next).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

async fn log_out(visitor: Visitor, Form(sent): Form<LogOut>) -> Response {
    if !visitor.seat.sent(&sent.csrf) {
        return Redirect::to("/").into_response();
    }
    visitor.admin.sessions.end(&visitor.seat);
    let mut answer = Redirect::to("/login").into_response();
    let gone = format!("{}=; Path=/; Max-Age=0", session::NAME);
    if let Ok(gone) = HeaderValue::from_str(&gone) {
        answer.headers_mut().insert(SET_COOKIE, gone);
    }
    answer
}
