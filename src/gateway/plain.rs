//! The plain exchange: a request with a short body or none to a backend over HTTP/1.1, which is what
//! most are.
//!
//! pingora-proxy works on both sides at a time, in two halves that hand parts to each other. Here the
//! request is there before it is sent, so one loop does, for less than half the work. What is decided,
//! sent and passed on is the same: each step is a phase of [`Proxy`].

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::proxy::{ProxyHttp as _, Session};
use pingora::{Error, Result};

use super::app::Proxy;
use super::exchange::Exchange;
use super::running::is_grpc;
use crate::upstream::Protocol;

/// How often a request is sent to a backend at most: once, and once more where that is safe.
pub const ATTEMPTS: usize = 2;
/// How many parts of an answer are written at once.
const PARTS: usize = 4;
/// How long a body may be that is taken whole first. As much fits between us and a backend that would
/// rather be done with its answer before it reads.
const SHORT: usize = 32 * 1024;
/// What asks for more than sending it on, or is for us alone (RFC 9110 section 7.6.1).
const SPECIAL: [HeaderName; 10] = [
    EXPECT,
    UPGRADE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
];

/// Whether there is nothing about the request that this exchange would not do.
pub(super) fn is_plain(session: &mut Session, exchange: &Exchange) -> bool {
    let backend = exchange.backend();
    let speaks = backend.is_some_and(|backend| backend.settings().protocol == Protocol::Http1);
    let request = session.req_header();
    speaks
        && [Version::HTTP_11, Version::HTTP_2].contains(&request.version)
        && !{ request.headers.keys() }.any(|name| SPECIAL.contains(name))
        && { request.headers.get_all(CONNECTION).iter() }.all(|option| {
            let is = |known: &str| option.as_bytes().eq_ignore_ascii_case(known.as_bytes());
            is("keep-alive") || is("close")
        })
        && !is_grpc(request)
        && (has_short_body(request) || session.as_downstream_mut().is_body_empty())
}

fn has_short_body(request: &RequestHeader) -> bool {
    let length = request.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length <= SHORT)
}

impl Proxy {
    /// Sends the request and passes on the answer; once more where the backend cannot have seen it.
    pub(super) async fn exchange_plainly(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let body = self.take_body(session, exchange).await?;
        let mut tried = 0_usize;
        loop {
            // What had waited too long once is not tried again.
            let done = self.attempt(session, &body, exchange, tried > 0).await;
            tried = tried.saturating_add(1);
            match done {
                Err(error) if error.retry() && tried < ATTEMPTS => {}
                done => return done,
            }
        }
    }

    /// The body, whole: in one piece, however small the parts are in which it comes.
    async fn take_body(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Bytes> {
        let mut body = BytesMut::new();
        while !session.as_downstream_mut().is_body_empty() {
            let read = session.as_downstream_mut().read_request_body().await;
            let Some(part) = read.map_err(Error::into_down)? else {
                break;
            };
            body.extend_from_slice(&part);
            self.request_body_filter(session, &mut Some(part), false, exchange)
                .await?;
        }
        self.request_body_filter(session, &mut None, true, exchange)
            .await?;
        Ok(body.freeze())
    }

    async fn attempt(
        &self,
        session: &mut Session,
        body: &Bytes,
        exchange: &mut Exchange,
        fresh: bool,
    ) -> Result<()> {
        let (backend, address) = exchange.next_address()?;
        let connected = backend.connect(&address, fresh).await;
        let (mut connection, is_used) = connected.map_err(|error| {
            let mut error = error.into_up();
            exchange.note_unreachable(&address, &mut error);
            error
        })?;
        let passed = self.pass(session, body, &mut connection, exchange).await;
        match passed {
            Ok(is_whole) => {
                if is_whole {
                    backend.keep(address, connection).await;
                }
                Ok(())
            }
            Err(mut error) => {
                // Another connection could be at its end when it was used again; what may have had an
                // effect is not sent twice all the same (RFC 9110 section 9.2.2).
                if session.req_header().method.is_idempotent() {
                    error.retry.decide_reuse(is_used);
                } else {
                    error.set_retry(false);
                }
                Err(error)
            }
        }
    }

    /// Whether the backend took the whole request before it answered.
    async fn pass(
        &self,
        session: &mut Session,
        body: &Bytes,
        backend: &mut HttpSession,
        exchange: &mut Exchange,
    ) -> Result<bool> {
        let mut request = Box::new(session.req_header().clone());
        request.remove_header(&CONNECTION);
        request.set_version(Version::HTTP_11);
        name_host(&mut request)?;
        self.upstream_request_filter(session, &mut request, exchange)
            .await?;
        let written = backend.write_request_header(request).await;
        written.map_err(Error::into_up)?;
        // Whoever does not want the body may have answered, and closed.
        let mut unsent = send(backend, body).await.err();
        loop {
            let part = tokio::select! {
                biased;
                part = backend.read_response_task() => {
                    part.map_err(|error| unsent.take().unwrap_or(error).into_up())?
                }
                gone = client_gone(session) => match gone? {},
            };
            let (mut is_last, mut parts, mut failed) =
                (part.is_end(), Vec::with_capacity(PARTS), None);
            parts.push(self.on_answer(session, part, exchange).await?);
            // What has come with it goes out with it.
            while !is_last
                && parts.len() < PARTS
                && let Poll::Ready(next) = at_once(backend.read_response_task())
            {
                match next {
                    Ok(next) => {
                        is_last = next.is_end();
                        parts.push(self.on_answer(session, next, exchange).await?);
                    }
                    Err(error) => {
                        failed = Some(error.into_up());
                        break;
                    }
                }
            }
            let is_done = session.write_response_tasks(parts).await?;
            if let Some(error) = failed {
                // What there is of the answer goes out, as it does before any other wait.
                let _waits = at_once(client_gone(session));
                return Err(error);
            }
            if is_last || is_done {
                let finished = session.as_downstream_mut().finish_body().await;
                finished.map_err(Error::into_down)?;
                return Ok(unsent.is_none());
            }
        }
    }

    /// What the client gets of this part of the answer.
    async fn on_answer(
        &self,
        session: &mut Session,
        part: HttpTask,
        exchange: &mut Exchange,
    ) -> Result<HttpTask> {
        match part {
            HttpTask::Header(mut head, is_last) => {
                if !is_last && ends_by_closing(&session.req_header().method, &head) {
                    head.set_version(Version::HTTP_11);
                    head.insert_header(TRANSFER_ENCODING, "chunked")?;
                }
                self.response_filter(session, &mut head, exchange).await?;
                Ok(HttpTask::Header(head, is_last))
            }
            HttpTask::Body(mut bytes, is_last) => {
                self.response_body_filter(session, &mut bytes, is_last, exchange)?;
                Ok(HttpTask::Body(bytes, is_last))
            }
            HttpTask::Failed(error) => Err(error.into_up()),
            other => Ok(other),
        }
    }
}

async fn send(backend: &mut HttpSession, body: &[u8]) -> Result<()> {
    if !body.is_empty() {
        backend.write_body(body).await?;
    }
    backend.finish_body().await.map(drop)
}

/// Over HTTP/2 the host is named beside the headers, and to most backends by one.
fn name_host(request: &mut RequestHeader) -> Result<()> {
    let named = request.uri.authority().map(ToString::to_string);
    match named.filter(|_| !request.headers.contains_key(HOST)) {
        Some(host) => request.insert_header(HOST, host),
        None => Ok(()),
    }
}

/// Whether the body ends where the backend closes: the client's connection should outlive it.
fn ends_by_closing(method: &Method, head: &ResponseHeader) -> bool {
    let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    let is_framed = [TRANSFER_ENCODING, CONTENT_LENGTH]
        .iter()
        .any(|name| head.headers.contains_key(name));
    !(method == Method::HEAD || has_none || head.status.is_informational() || is_framed)
}

/// Waits until the client closes, or sends what is no part of its request: both are errors.
async fn client_gone(session: &mut Session) -> Result<Infallible> {
    loop {
        let read = session.as_downstream_mut().read_body_or_idle(true).await;
        read.map_err(Error::into_down)?;
    }
}

/// What comes of it without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
