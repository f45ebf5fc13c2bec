//! The phases of pingora-proxy: each does one thing, and hands over through the [`Exchange`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::HttpPeer;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::body::Body;
use super::{Admitted, Guard, Refusal, pass, refusal, request_id};
use crate::clock;
use crate::door;
use crate::head::{Head, Malformed};
use crate::upstream::{self, Backend};

/// How long looking the backend's name up may hold a request up.
const RESOLVING: Duration = Duration::from_secs(2);

/// Carries out what the guard decides, before one backend.
pub struct Proxy {
    guard: Arc<Guard>,
    backend: Arc<Backend>,
    /// Whether answers say that the connection ends.
    parting: Arc<AtomicBool>,
}

/// One request on its way.
#[derive(Default)]
pub struct Exchange {
    request_id: String,
    admitted: Option<Admitted>,
    body: Option<Body>,
    /// Why it is broken off.
    refusal: Option<Refusal>,
    sent: Option<Instant>,
}

impl Proxy {
    /// Before `backend`, as `guard` decides; once `parting` is true, connections are ended.
    #[must_use]
    pub const fn new(guard: Arc<Guard>, backend: Arc<Backend>, parting: Arc<AtomicBool>) -> Self {
        Self {
            guard,
            backend,
            parting,
        }
    }

    /// Lets the request through, with what its body must be.
    fn admit(&self, session: &mut Session, exchange: &mut Exchange) -> Result<(), Refusal> {
        let is_empty = session.as_mut().is_body_empty();
        let request = session.req_header();
        let admitted = self
            .guard
            .admit(request, request.raw_path(), clock::now())?;
        if matches!(admitted, Admitted::Verified(_))
            && let Some(mut body) = Body::promised(&request.headers)?
            && is_empty
        {
            body.pass(&mut None, true)?;
        }
        self.guard.let_through(&admitted);
        exchange.admitted = Some(admitted);
        Ok(())
    }

    async fn refuse(
        &self,
        session: &mut Session,
        exchange: &Exchange,
        refusal: &Refusal,
    ) -> Result<()> {
        let peer = refusal::peer(session.as_ref());
        self.guard.refused(refusal, &exchange.request_id, peer);
        if session.response_written().is_some() {
            return Ok(());
        }
        let body = Bytes::from(refusal.document(&exchange.request_id));
        let mut head = ResponseHeader::build(refusal.status(), Some(5))?;
        head.insert_header(CONTENT_TYPE, "application/problem+json")?;
        head.insert_header(CACHE_CONTROL, "no-store")?;
        if refusal.status() == StatusCode::UNAUTHORIZED {
            head.insert_header(WWW_AUTHENTICATE, Refusal::CHALLENGE)?;
        }
        let name = self.guard.verifier.load().names().request_id.clone();
        head.insert_header(name, exchange.request_id.as_str())?;
        head.set_content_length(body.len())?;
        let is_empty = session.req_header().method == Method::HEAD;
        session
            .write_response_header(Box::new(head), is_empty)
            .await?;
        if !is_empty {
            session.write_response_body(Some(body), true).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::default()
    }

    /// Modules would compress and cache.
    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {}

    /// Decides. Gives `true` when the request was answered here.
    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let verifier = self.guard.verifier.load();
        exchange.request_id = request_id(&session.req_header().headers, verifier.names());
        if self.parting.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
        match self.admit(session, exchange) {
            Ok(()) => Ok(false),
            Err(refusal) => {
                if refusal == Refusal::Method {
                    // What comes next may be meant for a tunnel, and is no request.
                    session.set_keepalive(None);
                }
                self.refuse(session, exchange, &refusal).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        _: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        let upgrades = upstream::asks_for_websocket(session.req_header());
        let mut address = self.backend.address();
        if address.is_none() {
            // The first requests may come before its name was looked up.
            self.backend.resolve(RESOLVING).await;
            address = self.backend.address();
        }
        let none = || {
            Error::explain(
                ErrorType::ConnectNoRoute,
                "the backend's name is not resolved",
            )
        };
        let address = address.ok_or_else(none)?;
        Ok(Box::new(self.backend.peer(address, upgrades)))
    }

    /// Takes the signature off. Runs at every attempt.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let came = session.req_header();
        let internal = |why: &'static str| Error::explain(ErrorType::InternalError, why);
        let admitted = exchange.admitted.as_ref();
        let admitted = admitted.ok_or_else(|| internal("a request that was not admitted"))?;
        let head = Head::of(came, came.raw_path());
        let head = head.map_err(|_| internal("the head was readable before"))?;
        let verifier = self.guard.verifier.load();
        let how = (&head, came.version);
        pass::on(
            request,
            how,
            admitted,
            (verifier.names(), &self.guard.keep),
            &exchange.request_id,
        )?;
        if matches!(admitted, Admitted::Verified(_)) {
            let promised = Body::promised(&came.headers);
            exchange.body = promised.map_err(|_| internal("the digest was readable before"))?;
        }
        exchange.sent = Some(clock::monotonic());
        Ok(())
    }

    /// Holds the end of a body back until it is known to be the one that was signed for.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        piece: &mut Option<Bytes>,
        is_all: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(body) = exchange.body.as_mut().filter(|_| !session.was_upgraded()) {
            body.pass(piece, is_all).map_err(|refusal| {
                exchange.refusal = Some(refusal);
                Error::explain(ErrorType::InternalError, "the body is another").into_down()
            })?;
        }
        upstream::end_once(piece, is_all);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(sent) = exchange.sent.take() {
            self.backend.observe_answer(sent.elapsed());
        }
        match upstream::fault(session.req_header(), response) {
            Some(fault) => Err(Error::explain(ErrorType::InvalidHTTPHeader, fault).into_up()),
            None => Ok(()),
        }
    }

    /// A backend that could not be reached was sent nothing: it may be tried again.
    fn fail_to_connect(
        &self,
        _: &mut Session,
        peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        self.backend.count_failure();
        tracing::warn!(backend = %peer, %error, request_id = exchange.request_id, "cannot reach the backend");
        error.set_retry(true);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let refusal = match (
            exchange.refusal.take(),
            door::unreadable(error),
            error.esource(),
        ) {
            (Some(refusal), _, _) => Some(refusal),
            (None, Some(why), _) => Some(Refusal::Unreadable(why)),
            (None, None, ErrorSource::Downstream) => match error.etype() {
                ErrorType::ReadError
                | ErrorType::ReadTimedout
                | ErrorType::WriteError
                | ErrorType::WriteTimedout
                | ErrorType::ConnectionClosed => None,
                _ => Some(Refusal::Malformed(Malformed::Http)),
            },
            (None, None, _) => Some(Refusal::Backend),
        };
        let error_code = refusal
            .as_ref()
            .map_or(0, |refusal| refusal.status().as_u16());
        if let Some(refusal) = refusal {
            tracing::warn!(%error, request_id = exchange.request_id, "a request failed");
            // Whether it was heard changes nothing.
            let _heard = self.refuse(session, exchange, &refusal).await;
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    /// It was told, with the request's id.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }
}
