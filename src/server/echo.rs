//! The backends of the demonstration: one answers with what it was sent, and one is old.

use std::net::SocketAddr;

use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::listening::Service;

/// The one header by which an old backend knows its callers.
const OLD_NAME: &str = "x-ssl-client-s-dn";

/// Answers every request with its request line and its headers.
struct Echo;

/// Greets whoever it knows, and turns the others away.
struct Old;

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
        answer(StatusCode::OK, body)
    }
}

#[async_trait]
impl ServeHttp for Old {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let caller = session.req_header().headers.get(OLD_NAME);
        if let Some(caller) = caller {
            let greeting = [b"Good day, ", caller.as_bytes(), b".\n"].concat();
            answer(StatusCode::OK, greeting)
        } else {
            let unknown = "I know nobody without X-SSL-Client-S-DN.\n";
            answer(StatusCode::UNAUTHORIZED, unknown.into())
        }
    }
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response<Vec<u8>> {
    let answer = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/plain")
        .header(CONTENT_LENGTH, body.len());
    answer.body(body).unwrap_or_default()
}

/// Runs an echoing backend, and an old one, until it is told to stop.
pub fn echo(echoing: SocketAddr, old: SocketAddr) {
    let conf = ServerConf {
        threads: 1,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None::<Opt>, conf);
    let mut service = Service::new("echo".to_owned(), Echo);
    service.add_tcp(&echoing.to_string());
    server.add_service(service);
    let mut service = Service::new("old".to_owned(), Old);
    service.add_tcp(&old.to_string());
    server.add_service(service);
    server.bootstrap();
    server.run(RunArgs::default());
}
