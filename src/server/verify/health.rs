//! Metrics and health, on a listener of their own.

use async_trait::async_trait;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Response};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;

use crate::verify::Metrics;

/// Answers `/metrics`, `/livez` and `/readyz`.
pub(super) struct Health(pub(super) Metrics);

impl Health {
    fn answer(&self, method: &Method, path: &str) -> (u16, Vec<u8>) {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return (405, b"ask with GET\n".to_vec());
        }
        match path {
            "/livez" => (200, b"ok\n".to_vec()),
            "/readyz" if self.0.draining.get() != 0 => {
                (503, b"draining: this verifier stops\n".to_vec())
            }
            // It does not begin without a secret, and never goes without one.
            "/readyz" => (200, b"ready\n".to_vec()),
            "/metrics" => match self.0.expose() {
                Ok(text) => (200, text),
                Err(error) => {
                    let why = format!("the metrics cannot be written: {error}\n");
                    (500, why.into_bytes())
                }
            },
            _ => (404, b"here are /metrics, /livez and /readyz\n".to_vec()),
        }
    }
}

#[async_trait]
impl ServeHttp for Health {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let (status, body) = self.answer(&request.method, request.uri.path());
        let head_only = request.method == Method::HEAD;
        let answer = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
            .header(CACHE_CONTROL, "no-store")
            .header(CONTENT_LENGTH, body.len());
        answer
            .body(if head_only { Vec::new() } else { body })
            .unwrap_or_default()
    }
}
