//! Answers a proxy that asks whether it may let a request through.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use super::{Admitted, Form, Guard, Refusal, pass, refusal, request_id};
use crate::clock;
use crate::door::UNWANTED_WITHIN;

/// The guard, for proxies that ask in one form.
pub struct Answering {
    guard: Arc<Guard>,
    form: Form,
}

impl Answering {
    /// Answers what is asked in `form`, as `guard` decides.
    #[must_use]
    pub const fn new(guard: Arc<Guard>, form: Form) -> Self {
        Self { guard, form }
    }

    fn decide(&self, session: &ServerSession) -> Result<(Admitted, HeaderMap), Refusal> {
        let question = session.req_header();
        let (request, target) = self.form.read(question, question.raw_path())?;
        let admitted = self.guard.admit(&request, &target, clock::now())?;
        Ok((admitted, request.headers))
    }
}

#[async_trait]
impl ServeHttp for Answering {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        session.set_total_drain_timeout(Some(UNWANTED_WITHIN));
        let verifier = self.guard.verifier.load();
        let names = verifier.names();
        let id = request_id(&session.req_header().headers, names);
        let decided = self.decide(session);
        let mut answer = Response::builder().header(CACHE_CONTROL, "no-store");
        if let Some(headers) = answer.headers_mut()
            && let Ok(id) = id.parse()
        {
            headers.insert(names.request_id.clone(), id);
        }
        match decided {
            Ok((admitted, headers)) => {
                self.guard.let_through(&admitted);
                let told = pass::told(&admitted, &headers, names);
                let told = told.into_iter();
                let answer = told.fold(answer, |answer, (name, value): (&HeaderName, String)| {
                    answer.header(name.clone(), value)
                });
                answer.header(CONTENT_LENGTH, 0).body(Vec::new())
            }
            Err(refusal) => {
                self.guard.refused(&refusal, &id, refusal::peer(session));
                let body = refusal.document(&id).into_bytes();
                let status = of_an_answer(refusal.status());
                if status == StatusCode::UNAUTHORIZED {
                    answer = answer.header(WWW_AUTHENTICATE, Refusal::CHALLENGE);
                }
                let is_head = session.req_header().method == Method::HEAD;
                answer
                    .status(status)
                    .header(CONTENT_TYPE, "application/problem+json")
                    .header(CONTENT_LENGTH, body.len())
                    .body(if is_head { Vec::new() } else { body })
            }
        }
        .unwrap_or_else(|_| {
            let mut failed = Response::new(Vec::new());
            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            failed
        })
    }
}

/// Proxies know 401 for no; what others they take for a failure of ours.
fn of_an_answer(status: StatusCode) -> StatusCode {
    if status.is_client_error() {
        StatusCode::UNAUTHORIZED
    } else {
        status
    }
}
