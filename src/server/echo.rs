//! A backend that answers with what it was sent, for the demonstration.

use std::net::SocketAddr;

use async_trait::async_trait;
use http::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::listening::Service;

/// Answers every request with its request line and its headers.
struct Echo;

#[async_trait]
impl ServeHttp for Echo {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let mut body = format!("{} {}\n", request.method, request.uri).into_bytes();
        for (name, value) in &request.headers {
            body.extend_from_slice(name.as_str().as_bytes());
            body.extend_from_slice(b": ");
            body.extend_from_slice(value.as_bytes());
            body.push(b'\n');
        }
        let answer = Response::builder()
            .header(CONTENT_TYPE, "text/plain")
            .header(CONTENT_LENGTH, body.len());
        answer.body(body).unwrap_or_default()
    }
}

/// Runs an echoing backend on `address` until it is told to stop.
pub fn echo(address: SocketAddr) {
    let conf = ServerConf {
        threads: 1,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None::<Opt>, conf);
    let mut service = Service::new("echo".to_owned(), Echo);
    service.add_tcp(&address.to_string());
    server.add_service(service);
    server.bootstrap();
    server.run(RunArgs::default());
}
