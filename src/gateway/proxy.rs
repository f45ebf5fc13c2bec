//! The phases of pingora-proxy: each does one thing, and hands over through the [`Exchange`].

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use http::header::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::HttpPeer;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::exchange::{Exchange, Leave};
use super::notice;
use super::problem::{self, Links};
use super::refusal::Refusal;
use super::{Gateway, self_service};
use crate::clock;
use crate::door::Connection;
use crate::head::{Head, Malformed};
use crate::upstream;

/// What `Allow` names when only CONNECT and TRACE are not (RFC 9110 section 9.1, RFC 5789).
const EVERY_OTHER_METHOD: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::begin(self.parts.live.load_full())
    }

    /// Modules would compress and cache; a gateway passes on what it gets.
    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {}

    /// Decides. Gives `true` when the client was answered here.
    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        exchange.identify(
            session.req_header(),
            &self.parts.names.request_id,
            &self.parts.format,
        );
        exchange.peer = peer(session);
        match self.serve_or_admit(session, exchange).await {
            Ok(forward) => Ok(!forward),
            Err(refusal) => {
                let answered = self.refuse(session, exchange, &refusal).await;
                self.refused(&refusal, exchange);
                self.spent(&refusal, exchange.now);
                answered?;
                Ok(true)
            }
        }
    }

    /// Chooses an address of the route's backend; another one at the next attempt.
    async fn upstream_peer(
        &self,
        _: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        let peer = self.backend(exchange).and_then(upstream::Backend::peer);
        let Some(peer) = peer else {
            return Error::e_explain(
                ErrorType::ConnectNoRoute,
                "no address of the backend is healthy",
            );
        };
        exchange.upstream = Some(peer._address.to_string());
        exchange.attempts = exchange.attempts.saturating_add(1);
        Ok(Box::new(peer))
    }

    /// Strips whatever could be taken for an identity, then inserts the one that was proven, signed
    /// over the request as it will be sent. Runs at every attempt.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let Some(leave) = &exchange.leave else {
            return Error::e_explain(
                ErrorType::InternalError,
                "a request without leave is not forwarded",
            );
        };
        exchange.sent = Some(clock::monotonic());
        let permit = match leave {
            Leave::Permitted(permit) => permit,
            Leave::Observed(observed) => {
                upstream::pass_on(request, observed, &self.parts.format);
                return Ok(());
            }
        };
        let head = self.head(session).or_else(|_| {
            Error::e_explain(ErrorType::InternalError, "the head was readable before")
        })?;
        let rules = upstream::Rules {
            names: &self.parts.names,
            format: &self.parts.format,
            keep_ambiguous: self.parts.keep_ambiguous_headers,
            peer: exchange.peer,
        };
        let signer = exchange.live.signers.get(leave.route().backend);
        upstream::rewrite(
            request,
            &head,
            permit,
            signer.and_then(Option::as_ref),
            &rules,
            &exchange.request_id,
            clock::now(),
        )
        .or_else(|error| Error::e_explain(ErrorType::InternalError, error.to_string()))
    }

    /// Takes out of the answer what would imitate us.
    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let (Some(sent), Some(backend)) = (exchange.sent.take(), self.backend(exchange)) {
            backend.observe_answer(sent.elapsed());
        }
        if exchange.is_observed() {
            return Ok(());
        }
        notice::remove_imitations(response, &self.parts.names);
        notice::tell(response, exchange, self.link_to_keys.as_ref())?;
        response.insert_header(
            self.parts.names.request_id.clone(),
            exchange.request_id.as_str(),
        )
    }

    fn upstream_response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if exchange.is_observed() {
            return Ok(());
        }
        for name in notice::imitations(trailers, &self.parts.names) {
            trailers.remove(name);
        }
        Ok(())
    }

    /// A backend that could not be reached was sent nothing: another address may be tried, as often
    /// as the server allows.
    fn fail_to_connect(
        &self,
        _: &mut Session,
        peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(backend) = self.backend(exchange) {
            backend.count_failure();
        }
        tracing::warn!(backend = %peer, %error, request_id = exchange.request_id, "cannot reach a backend");
        error.set_retry(true);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let refusal = match (error.esource(), error.etype()) {
            (
                ErrorSource::Downstream,
                ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed,
            ) => None,
            (ErrorSource::Downstream, _) => Some(Refusal::Malformed(Malformed::Http)),
            (ErrorSource::Upstream, _) | (_, ErrorType::ConnectNoRoute) => {
                Some(Refusal::BackendUnavailable)
            }
            (ErrorSource::Internal | ErrorSource::Unset, _) => {
                Some(Refusal::Internal("see the error of this request"))
            }
        };
        let error_code = refusal
            .as_ref()
            .map_or(0, |refusal| refusal.code().status());
        if let Some(refusal) = refusal {
            tracing::warn!(%error, request_id = exchange.request_id, "a request failed");
            if session.response_written().is_none() {
                let _ = self.refuse(session, exchange, &refusal).await;
            }
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    /// The error is in the access line, with the request's id.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        self.account(session, exchange, error);
    }
}

impl Gateway {
    /// Gives `true` when the request may go on to its backend, `false` when it was answered here.
    async fn serve_or_admit(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<bool, Refusal> {
        let body = self_service::body(session, &self.parts.self_service.path).await?;
        let head = self.head(session)?;
        exchange.note_head(&head);
        if *head.method == Method::TRACE {
            // It would show the identity and its signature to the client (RFC 9110 section 9.3.8).
            return Err(Refusal::MethodNotAllowed(EVERY_OTHER_METHOD));
        }
        let connection = connection(session)
            .ok_or(Refusal::Internal("the connection was not made by the door"))?;
        let connection = &*self.clients(&head, connection, exchange)?;
        let now = exchange.now;
        if let Some(resource) = head
            .path
            .strip_prefix(self.parts.self_service.path.as_str())
        {
            let mut answer =
                self_service::serve(self, &head, resource, connection, &body, exchange).await?;
            self.served_here(exchange);
            let told = notice::tell(&mut answer.head, exchange, self.link_to_keys.as_ref());
            told.map_err(|_| Refusal::Internal("an answer could not be made"))?;
            return match problem::send(session, answer.head, answer.body, &exchange.request_id)
                .await
            {
                Ok(()) => Ok(false),
                Err(_) => Err(Refusal::Internal("the client went away")),
            };
        }
        let admit = |freshness| self.admit(&head, connection, &exchange.live, freshness, now);
        let decided = self.decide_confirmed(now, admit).await;
        match &decided {
            Ok(permit) => {
                exchange.route = Some(Arc::clone(permit.route()));
                if let Some(identity) = permit.identity() {
                    self.served(identity, exchange);
                    exchange.note_identity(identity);
                    let checked = self.check_key(&head, connection, identity, &exchange.live, now);
                    exchange.key_check = checked.await;
                }
            }
            Err(refusal) => {
                exchange.route = self.route(&head).ok().cloned();
                if let Some(caller) = refusal.caller() {
                    self.saw(caller, exchange);
                    let checked = self.check_key(&head, connection, caller, &exchange.live, now);
                    exchange.key_check = checked.await;
                }
            }
        }
        exchange.leave = Some(match self.observed(&head, exchange.peer) {
            Some(observed) => {
                self.record(&head, exchange.peer, &decided, exchange);
                Leave::Observed(observed)
            }
            None => Leave::Permitted(decided?),
        });
        Ok(true)
    }

    async fn refuse(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        refusal: &Refusal,
    ) -> Result<()> {
        exchange.note_refusal(refusal);
        let links = Links {
            authority: &exchange.authority,
            base: &self.parts.self_service.path,
        };
        let keys = self.link_to_keys.as_ref();
        let detail = refusal.detail(&self.parts.verifier.trust());
        problem::answer(session, (refusal, &detail), links, keys, exchange).await
    }

    fn head<'a>(&self, session: &'a Session) -> Result<Head<'a>, Malformed> {
        let request = session.req_header();
        Head::read(request, request.raw_path(), &self.parts.format)
    }

    /// The backend of the route that the request may take.
    fn backend(&self, exchange: &Exchange) -> Option<&upstream::Backend> {
        let leave = exchange.leave.as_ref()?;
        self.parts.backends.get(leave.route().backend)
    }
}

/// The address that the connection came from.
fn peer(session: &Session) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip().to_canonical())
}

/// What the door learned when the connection was made.
pub(super) fn connection(session: &Session) -> Option<&Connection> {
    let digest: &Digest = session.digest()?;
    digest.ssl_digest.as_ref()?.extension.get::<Connection>()
}
