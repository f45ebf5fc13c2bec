//! Who asks, found out before anything else is looked at.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, HOST};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};
use tokio::time::timeout;

use super::access::{self, Role, Who};
use super::answer::Problem;
use super::{Admin, Peer, Shared};
use crate::clock;
use crate::socket::is_this_machine;
use crate::telemetry::Metrics;

/// How long a body may take, and be: that of whom nobody knows, and of everybody else.
const BODY: Duration = Duration::from_secs(10);
const STRANGERS: usize = 8 << 10;
const LONGEST: usize = 1 << 20;

/// Who asks, as [`introduce`] found.
pub(super) fn caller(request: &Request) -> Option<&Who> {
    request.extensions().get()
}

/// Finds out who asks, before anything else is looked at, and counts what becomes of it.
pub(super) async fn introduce(
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
    pub(super) fn expect(role: Role, peer: Peer, request: &Request) -> Result<(), Problem> {
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

pub(super) fn forbidden() -> Problem {
    let detail = "this is not for the role of this token";
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

pub(super) fn unknown(stranger: access::Stranger) -> Problem {
    let status = StatusCode::UNAUTHORIZED;
    Problem::new(status, "unauthenticated", stranger.to_string())
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

/// What is counted is there before it happens.
pub(super) fn count_from_zero(metrics: &Metrics) {
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
