//! The clients' own calls, on the public listener under a path that never reaches a backend.

mod claim;
mod explain;
mod keys;
mod once;
mod rotate;
mod whoami;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, ORIGIN};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde::Serialize;

use super::limit::Credential;
use super::{Exchange, Gateway, Limited, Live, Refusal, TooMany, problem, question};
use crate::clock::{self, Timestamp};
use crate::door::Connection;
use crate::head::{Head, Malformed};
use crate::identity::{Caller, Identity, Purpose};
use crate::key::IdempotencyToken;
use crate::policy::{Accept, Denial};
use crate::sign::jwks;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How often a change is tried again that somebody else got ahead of.
const TRIES: usize = 4;
/// No call has a longer body.
const LONGEST_BODY: usize = 1024;
/// For how long a JWK set is kept by whoever fetched it.
const KEYS_KEPT: &str = "public, max-age=300";
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(5);

/// An answer to a client's own call.
pub(super) struct Answer {
    pub(super) head: ResponseHeader,
    pub(super) body: Bytes,
}

/// A call by somebody.
pub(super) struct Call<'a> {
    gateway: &'a Gateway,
    live: &'a Live,
    head: &'a Head<'a>,
    connection: &'a Connection,
}

/// Reads the body of a call, where one is read; self-service is at `base`.
///
/// # Errors
///
/// [`Refusal`] when it is longer than any that means something, or does not come.
pub(super) async fn body(session: &mut Session, base: &str) -> Result<Bytes, Refusal> {
    let request = session.req_header();
    let resource = request.uri.path().strip_prefix(base);
    if resource != Some("key/rotate") || request.method != Method::POST {
        return Ok(Bytes::new());
    }
    let read = async {
        let mut body = BytesMut::new();
        while let Some(more) = session.read_request_body().await? {
            body.extend_from_slice(&more);
            if body.len() > LONGEST_BODY {
                break;
            }
        }
        pingora::Result::<_>::Ok(body.freeze())
    };
    match tokio::time::timeout(BODY_WITHIN, read).await {
        Ok(Ok(body)) if body.len() <= LONGEST_BODY => Ok(body),
        Ok(Ok(_)) => Err(Refusal::NotARotation),
        Ok(Err(_)) | Err(_) => Err(Malformed::Http.into()),
    }
}

/// Answers the call for `resource`, the path below the path of self-service.
///
/// # Errors
///
/// [`Refusal`], to be answered like any other.
pub(super) async fn serve(
    gateway: &Gateway,
    head: &Head<'_>,
    resource: &str,
    connection: &Connection,
    body: &[u8],
    exchange: &mut Exchange,
) -> Result<Answer, Refusal> {
    let live = Arc::clone(&exchange.live);
    let call = Call {
        gateway,
        live: &live,
        head,
        connection,
    };
    let segments: Vec<&str> = resource.split('/').collect();
    match (segments.as_slice(), head.method) {
        (["problems", reason], &Method::GET | &Method::HEAD) => documentation(reason),
        (["jwks", backend], &Method::GET | &Method::HEAD) => key_set(&live, backend),
        (["whoami"], &Method::GET | &Method::HEAD) => whoami::answer(&call, exchange).await,
        (["explain"], &Method::GET | &Method::HEAD) => explain::answer(&call, exchange.now),
        (["key"], &Method::POST) => claim::answer(&call, exchange).await,
        (["key", "rotate"], &Method::POST) => rotate::answer(&call, body, exchange).await,
        (["keys"], &Method::GET | &Method::HEAD) => keys::list(&call, exchange).await,
        (["keys", id], &Method::DELETE) => keys::revoke(&call, id, exchange).await,
        // Fronts that are there to ask are answered before.
        ([question::RESOURCE, ..], _) => Err(Refusal::FrontRequired),
        (["key"] | ["key", "rotate"], _) => Err(Refusal::MethodNotAllowed("POST")),
        (["keys", _], _) => Err(Refusal::MethodNotAllowed("DELETE")),
        (["explain" | "whoami" | "keys"] | ["problems" | "jwks", _], _) => {
            Err(Refusal::MethodNotAllowed("GET, HEAD"))
        }
        _ => Err(Refusal::ResourceNotFound),
    }
}

impl Call<'_> {
    /// Counts a call for a key, by whoever proved to hold `credential`.
    fn count(&self, credential: Credential, exchange: &Exchange) -> Result<(), Refusal> {
        let limits = &self.gateway.limits;
        let counted = limits.key_call(
            credential,
            exchange.peer,
            &self.live.self_service,
            clock::monotonic(),
        );
        counted.map_err(|after| {
            Refusal::RateLimited(Limited {
                what: TooMany::KeyCalls,
                after,
            })
        })
    }

    /// Who calls; somebody must.
    async fn identity(&self, exchange: &mut Exchange) -> Result<Identity, Refusal> {
        self.identity_for(Purpose::Request, exchange).await
    }

    /// Who calls for this; somebody must.
    async fn identity_for(
        &self,
        purpose: Purpose,
        exchange: &mut Exchange,
    ) -> Result<Identity, Refusal> {
        let (gateway, now) = (self.gateway, exchange.now);
        let (head, connection, live) = (self.head, self.connection, self.live);
        let caller = |freshness| gateway.caller(head, connection, live, purpose, freshness, now);
        let confirmed = gateway.decide_confirmed(head, exchange, caller);
        match confirmed.await? {
            Caller::Nobody => {
                let asked = live.asking.asks(Some(self.head.host()));
                Err(Denial::CredentialMissing(Accept::Either.when(asked)).into())
            }
            Caller::Known(identity) => {
                exchange.note_identity(&identity);
                let checked = gateway.check_key(head, connection, &identity, live, now);
                exchange.key_check = checked.await;
                self.gateway.saw(&identity, exchange);
                Ok(identity)
            }
        }
    }

    /// By what the client wants to repeat the call when its answer is lost.
    fn idempotency_token(&self) -> Result<Option<IdempotencyToken>, Refusal> {
        let sent = self.head.headers.get(IDEMPOTENCY_KEY);
        let parse = |value: &http::HeaderValue| value.to_str().unwrap_or_default().parse();
        Ok(sent.map(parse).transpose()?)
    }

    /// Refuses what a browser sends on behalf of another site (it would send the certificate by
    /// itself). Browsers say so; other clients say neither.
    fn same_site(&self) -> Result<(), Refusal> {
        let text = |name: &HeaderName| {
            self.head
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap_or("?"))
        };
        let site = text(&SEC_FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"));
        let origin = text(&ORIGIN).is_none_or(|origin| {
            origin
                .strip_prefix("https://")
                .is_some_and(|origin| origin.eq_ignore_ascii_case(&self.head.authority))
        });
        if site && origin {
            Ok(())
        } else {
            Err(Refusal::CrossSite)
        }
    }
}

/// Whole days from `now` to `end`.
fn days_left(end: Option<Timestamp>, now: Timestamp) -> Option<i64> {
    end.map(|end| end.seconds_since(now).max(0).div_euclid(86_400))
}

fn documentation(reason: &str) -> Result<Answer, Refusal> {
    let text = problem::documentation(reason).ok_or(Refusal::ResourceNotFound)?;
    let mut head = built(200)?;
    head.insert_header(CONTENT_TYPE, "text/markdown; charset=utf-8")
        .map_err(|_| CANNOT_ANSWER)?;
    Ok(Answer {
        head,
        body: Bytes::from_static(text.as_bytes()),
    })
}

/// The public keys by which `backend` checks signatures, for anybody: they are no secret. Each backend
/// has a set of its own, so that it believes no signature that was made for another.
fn key_set(live: &Live, backend: &str) -> Result<Answer, Refusal> {
    let set = live.key_sets.of(backend).ok_or(Refusal::ResourceNotFound)?;
    let mut answer = answered(200, jwks::MEDIA_TYPE, set)?;
    let head = &mut answer.head;
    head.insert_header(CACHE_CONTROL, KEYS_KEPT)
        .map_err(|_| CANNOT_ANSWER)?;
    Ok(answer)
}

fn json(status: u16, body: &impl Serialize) -> Result<Answer, Refusal> {
    let body = serde_json::to_vec(body).map_err(|_| CANNOT_ANSWER)?;
    answered(status, "application/json", body)
}

fn text(body: String) -> Result<Answer, Refusal> {
    answered(200, "text/plain; charset=utf-8", body)
}

fn answered(
    status: u16,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Result<Answer, Refusal> {
    let mut head = built(status)?;
    head.insert_header(CONTENT_TYPE, content_type)
        .map_err(|_| CANNOT_ANSWER)?;
    Ok(Answer {
        head,
        body: body.into(),
    })
}

fn built(status: u16) -> Result<ResponseHeader, Refusal> {
    ResponseHeader::build(status, Some(8)).map_err(|_| CANNOT_ANSWER)
}

const CANNOT_ANSWER: Refusal = Refusal::Internal("an answer could not be made");
