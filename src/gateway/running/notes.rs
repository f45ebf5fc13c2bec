//! What the phases of a request tell of it to whoever watches over it.

use http::header::{CONTENT_TYPE, EXPECT};
use http::{StatusCode, Version};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::super::Gateway;
use super::super::exchange::{Exchange, Leave};
use super::super::proxy::connection;
use crate::clock;
use crate::head::Head;

impl Gateway {
    /// A head was read: from here on it is our turn.
    pub(in super::super) fn begin(&self, session: &mut Session, exchange: &mut Exchange) {
        let is_grpc = is_grpc(session.req_header());
        let has_body = !is_grpc && !session.is_upgrade_req() && !session.is_body_empty();
        let expects = session.req_header().headers.contains_key(EXPECT);
        // Whoever has no leave to send a body may send none, and another request in its place.
        session.set_close_on_response_before_downstream_finish(expects);
        if let Some(connection) = connection(session) {
            exchange.serving = Some(connection.line().serve());
        }
        let Some(running) = &exchange.running else {
            return;
        };
        if is_grpc {
            running.begin_to_flow();
        } else if has_body {
            // Whoever asked for leave to send it waits for the backend's.
            if !expects {
                running.await_body(exchange.started);
            }
            self.begun.note(exchange.started, running);
        }
    }

    /// What was permitted may be forbidden while it lasts.
    pub(in super::super) fn look_after(&self, head: &Head<'_>, exchange: &Exchange) {
        if let Some(Leave::Permitted(permit)) = &exchange.leave
            && permit.identity().is_some()
            && let Some(running) = &exchange.running
        {
            let behind_front = exchange.behind_front.clone();
            let behind_front = behind_front.map(|own| (own, exchange.front.clone()));
            running.ask_again(head.keep(), behind_front);
            self.begun.note(exchange.started, running);
        }
    }
}

/// gRPC may keep silent for as long as it likes: its streams go both ways. It needs HTTP/2.
pub(in super::super) fn is_grpc(request: &RequestHeader) -> bool {
    let kind = request.headers.get(CONTENT_TYPE);
    let kind = kind.filter(|_| request.version == Version::HTTP_2);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The backend answers, which changes what the client may take its time for.
pub(in super::super) fn note_answer(
    session: &mut Session,
    status: StatusCode,
    exchange: &mut Exchange,
) {
    exchange.answered = status.as_u16();
    let is_upgrade = status == StatusCode::SWITCHING_PROTOCOLS;
    if let Some(running) = &exchange.running {
        if is_upgrade || !status.is_informational() {
            running.begin_to_flow();
        } else if status == StatusCode::CONTINUE {
            running.await_body(clock::monotonic());
        }
    }
    if is_upgrade {
        // Pingora's, which is for bodies: who only listens is silent for hours.
        session.set_read_timeout(None);
        if let Some(connection) = connection(session) {
            connection.line().upgrade();
        }
    }
}
