//! The phases of pingora-proxy: each does one thing, and hands over through the [`Exchange`].

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Version;
use http::header::{EXPECT, HeaderMap};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::HttpPeer;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::app::Proxy;
use super::exchange::{Exchange, Leave};
use super::notice;
use super::problem::{self, Links};
use super::question::{self, Question};
use super::refusal::Refusal;
use super::{Gateway, plain, running, self_service, strict};
use crate::clock;
use crate::door::{self, Closing, Connection};
use crate::head::{Head, Malformed};
use crate::upstream;

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::of_task(self.parts.live.load_full())
    }

    /// Modules would compress and cache; a gateway passes on what it gets.
    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {}

    /// Decides, and does what is plain. Gives `true` when the client was answered.
    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        exchange.identify(session.req_header(), &self.parts.format);
        exchange.follow(&session.req_header().headers, &self.parts.format);
        exchange.connected = peer(session);
        exchange.peer = exchange.connected;
        if self.parting.load(Ordering::Relaxed) {
            // `Connection: close`; of no effect on HTTP/2.
            session.set_keepalive(None);
        }
        self.begin(session, exchange);
        match self.serve_or_admit(session, exchange).await {
            Ok(true) if plain::is_plain(session, exchange) => {
                self.exchange_plainly(session, exchange).await?;
                Ok(true)
            }
            Ok(forward) => Ok(!forward),
            Err(refusal) => {
                // Whoever takes no answer must not take a turn as well.
                exchange.turn = None;
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
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        let (backend, address) = exchange.next_address()?;
        let upgrades = upstream::asks_for_websocket(session.req_header());
        Ok(Box::new(backend.peer(address, upgrades)))
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
        let is_sent_again = exchange.sent.replace(clock::monotonic()).is_some();
        if session.req_header().version < Version::HTTP_11 {
            // Such a client knows no `100 Continue` (RFC 9110 section 10.1.1).
            request.remove_header(&EXPECT);
        }
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
        let mut made = None;
        let now = clock::now();
        let rules = upstream::Rules {
            told: self.told(permit, exchange, is_sent_again, now),
            ..exchange.rules(&self.parts.format, &mut made)
        };
        upstream::rewrite(
            request,
            &head,
            permit,
            exchange.live.signer(permit.route()),
            &rules,
            &exchange.request_id,
            now,
        )
        .or_else(|error| Error::e_explain(ErrorType::InternalError, error.to_string()))
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        is_all: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(running) = &exchange.running {
            running.receive(body.as_ref().map_or(0, Bytes::len), is_all);
        }
        upstream::end_once(body, is_all);
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        let sent = body.as_ref().map_or(0, Bytes::len);
        exchange.sent_bytes = exchange.sent_bytes.saturating_add(sent);
        Ok(None)
    }

    /// Takes out of the answer what would imitate us.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let (Some(sent), Some(backend)) = (exchange.sent.take(), exchange.backend()) {
            backend.observe_answer(sent.elapsed());
        }
        exchange.note_status(response.status.as_u16());
        if let Some(fault) = upstream::fault(session.req_header(), response) {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, fault).into_up());
        }
        running::note_answer(session, response.status, exchange);
        if exchange.is_observed() {
            return Ok(());
        }
        let names = &exchange.live.names;
        notice::remove_imitations(response, names);
        notice::tell(response, exchange)?;
        response.insert_header(names.request_id.clone(), exchange.request_id.as_str())
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
        for name in notice::imitations(trailers, &exchange.live.names) {
            trailers.remove(name);
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        exchange.note_unreachable(&peer._address, &mut error);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let unreadable = door::unreadable(error);
        let refusal = match (error.esource(), error.etype()) {
            (ErrorSource::Downstream, ErrorType::ReadError)
                if closing(session) == Some(Closing::SlowBody) =>
            {
                Some(Refusal::TooSlow)
            }
            _ if unreadable.is_some() => unreadable.map(Refusal::Unreadable),
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
        if *error.esource() == ErrorSource::Upstream {
            exchange.note_failure(error);
        }
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
        exchange.running = None;
    }
}

impl Gateway {
    /// Gives `true` when the request may go on to its backend, `false` when it was answered here.
    async fn serve_or_admit(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<bool, Refusal> {
        // Already now, so that whatever is refused is refused as a question.
        exchange.question =
            question::asked_by(session.req_header(), &exchange.live.self_service.path);
        if let Err(refusal) = strict::request(session.req_header(), self.parts.head) {
            if let Ok(head) = self.head(session) {
                exchange.note_head(&head);
            }
            // What comes next may be meant for a tunnel, and is no request.
            session.set_keepalive(None);
            return Err(refusal);
        }
        let body = self_service::body(session, &exchange.live.self_service.path).await?;
        exchange.turn = Some(self.overload.enter()?);
        let head = self.head(session)?;
        exchange.note_head(&head);
        let connection = connection(session)
            .ok_or(Refusal::Internal("the connection was not made by the door"))?;
        let resource = head.path.strip_prefix(&*exchange.live.self_service.path);
        let asked = resource.and_then(question::asked);
        let connection = &*self.clients(&head, connection, asked.is_some(), exchange)?;
        exchange.keep_shown(connection.shared());
        self.overload
            .share(exchange, session.req_header().version)?;
        let answer = if let Some(form) = exchange.asks() {
            let question = Question {
                request: session.req_header(),
                target: asked,
                query: head.query,
                form,
            };
            Some(question.answer(self, connection, exchange).await?)
        } else if let Some(resource) = resource {
            let answer =
                self_service::serve(self, &head, resource, connection, &body, exchange).await?;
            self.served_here(exchange);
            Some(answer)
        } else {
            None
        };
        if let Some(mut answer) = answer {
            exchange.turn = None;
            let told = notice::tell(&mut answer.head, exchange);
            told.map_err(|_| Refusal::Internal("an answer could not be made"))?;
            return match problem::send(session, answer.head, answer.body, exchange).await {
                Ok(()) => Ok(false),
                Err(_) => Err(Refusal::Internal("the client went away")),
            };
        }
        exchange.leave = Some(self.decide(&head, connection, exchange).await?);
        self.look_after(&head, exchange);
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
            base: &exchange.live.self_service.path,
        };
        let clients = exchange.behind_front.as_ref();
        let clients = clients.or_else(|| connection(session));
        let is_terse = clients.is_some_and(Connection::is_terse);
        let detail = refusal.told(is_terse, &self.parts.verifier.trust());
        problem::answer(session, (refusal, detail.as_deref()), links, exchange).await
    }

    fn head<'a>(&self, session: &'a Session) -> Result<Head<'a>, Malformed> {
        let request = session.req_header();
        Head::read(request, request.raw_path(), &self.parts.format)
    }
}

/// Why we close the connection, if we do.
pub(super) fn closing(session: &Session) -> Option<Closing> {
    connection(session)?.line().closing()
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
