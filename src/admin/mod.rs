//! What the running gateway knows and no store keeps, for the operator on the same machine.
//!
//! The listener asks nobody who they are, so it is bound to a loopback address only, which the
//! configuration sees to. A web page that the operator looks at must not read it either: another
//! origin is given no permission, and a name that somebody points at this machine is refused.

pub mod handshakes;
mod observations;
mod query;
pub mod reload;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, Response, Uri};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use serde::Serialize;
use serde_json::{Value, json};

use crate::door::Journal;
use crate::observe::Observations;
use query::Query;
use reload::Reloads;

/// Where the one thing is asked for that changes something.
const RELOAD: &str = "/reload";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Answers the operator's questions.
pub struct Admin {
    journal: Arc<Journal>,
    observations: Box<Observed>,
    reloads: Reloads,
}

/// What was observed so far, by a gateway that observes now.
type Observed = dyn Fn() -> Option<Arc<Observations>> + Send + Sync;

/// What is answered, in JSON: a status and a body.
type Answer = (u16, Value);

impl Admin {
    /// A listener that answers from `journal`, and from `observations` while there are some, and by
    /// which the configuration is read again through `reloads`.
    #[must_use]
    pub fn new(
        journal: Arc<Journal>,
        observations: impl Fn() -> Option<Arc<Observations>> + Send + Sync + 'static,
        reloads: Reloads,
    ) -> Self {
        Self {
            journal,
            observations: Box::new(observations),
            reloads,
        }
    }

    async fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Answer {
        if !is_for_this_machine(uri, headers) {
            return refused(
                421,
                "ask by a loopback address or localhost, as 127.0.0.1 in the URL",
            );
        }
        if uri.path() == RELOAD {
            return self.reload(method, uri, headers).await;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return refused(405, "ask with GET");
        }
        let query = match Query::read(uri.query().unwrap_or_default()) {
            Ok(query) => query,
            Err(wrong) => return refused(400, &wrong),
        };
        match uri.path() {
            "/handshakes" => given(handshakes::report(&self.journal, &query)),
            "/observations" => {
                let observations = (self.observations)();
                given(observations::snapshot(observations.as_deref(), &query))
            }
            _ => refused(404, "here are /handshakes, /observations and /reload"),
        }
    }

    async fn reload(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Answer {
        if *method != Method::POST {
            return refused(405, "ask with POST");
        }
        if uri.query().is_some() {
            return refused(400, "there is nothing to ask for here; take the query away");
        }
        if reload::may_be_a_page(headers) {
            let write = "send Content-Type: application/json, and nothing that a browser adds";
            return refused(403, write);
        }
        match self.reloads.ask().await {
            Ok(report) => given(Ok(report)),
            Err(busy) => refused(503, busy),
        }
    }
}

/// What was found, or why the question makes no sense.
fn given(found: Result<impl Serialize, String>) -> Answer {
    match found.map(|found| serde_json::to_value(found)) {
        Ok(Ok(found)) => (200, found),
        Ok(Err(error)) => refused(500, &error.to_string()),
        Err(wrong) => refused(400, &wrong),
    }
}

fn refused(status: u16, error: &str) -> Answer {
    (status, json!({ "error": error }))
}

/// Whether whoever asks means this machine: the one host that is named, by `Host` and also by a URL
/// in the request line, is a loopback address or `localhost` (RFC 6761 section 6.3). A page of
/// another site can make its own name lead here, but not make the browser send another one.
fn is_for_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_here = |authority: &Authority| {
        let host = authority.host().trim_matches(['[', ']']);
        let is_loopback = |address: IpAddr| address.is_loopback();
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
    };
    let mut named = headers.get_all(HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    named.next().is_none()
        && host.as_ref().is_some_and(is_here)
        && uri.authority().is_none_or(is_here)
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        // A command asks once, and reads to the end. Pingora would keep any connection open.
        session.set_keepalive(None);
        let request = session.req_header();
        let answer = self.answer(&request.method, &request.uri, &request.headers);
        let (status, body) = answer.await;
        let request = session.req_header();
        let body = format!("{body}\n").into_bytes();
        let mut answer = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "application/json")
            .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(RESOURCE_POLICY, "same-origin")
            .header(CACHE_CONTROL, "no-store")
            .header(CONTENT_LENGTH, body.len());
        if status == 405 {
            let is_reload = request.uri.path() == RELOAD;
            answer = answer.header(ALLOW, if is_reload { "POST" } else { "GET, HEAD" });
        }
        let is_head = request.method == Method::HEAD;
        answer
            .body(if is_head { Vec::new() } else { body })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::clock::Timestamp;

    fn ask(method: &Method, uri: &str, hosts: &[&'static str]) -> Answer {
        let hosts = hosts
            .iter()
            .map(|host| (HOST, HeaderValue::from_static(host)));
        ask_with(method, uri, hosts.collect())
    }

    /// Nobody is there to read the configuration again.
    fn ask_with(method: &Method, uri: &str, headers: Vec<(HeaderName, HeaderValue)>) -> Answer {
        let journal = Arc::new(Journal::new(Timestamp::from_unix(1)));
        let admin = Admin::new(journal, || None, reload::channel().0);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        runtime.block_on(admin.answer(method, &uri.parse().unwrap(), &map))
    }

    #[test]
    fn no_web_page_makes_the_gateway_read_its_configuration() {
        let post = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            });
            ask_with(&Method::POST, "/reload", headers.collect()).0
        };
        let (host, json) = (("host", "127.0.0.1"), ("content-type", "application/json"));
        // The control: it is let through to where nobody answers.
        assert_eq!(post(&[host, json]), 503);
        for sent in [
            &[host][..],
            &[host, ("content-type", "text/plain")],
            &[host, ("content-type", "application/x-www-form-urlencoded")],
            &[host, json, ("origin", "https://attacker.example")],
            &[host, json, ("origin", "null")],
            &[host, json, ("origin", "http://127.0.0.1:9443")],
            &[host, json, ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(post(sent), 403, "{sent:?}");
        }
        assert_eq!(post(&[("host", "attacker.example"), json]), 421);
        assert_eq!(ask(&Method::GET, "/reload", &["localhost"]).0, 405);
        assert_eq!(ask(&Method::OPTIONS, "/reload", &["localhost"]).0, 405);
    }

    #[test]
    fn only_who_means_this_machine_is_answered() {
        let status = |uri: &str, hosts: &[&'static str]| ask(&Method::GET, uri, hosts).0;
        for host in [
            "127.0.0.1:9443",
            "localhost",
            "LOCALHOST:1",
            "[::1]:9443",
            "127.9.9.9",
        ] {
            assert_eq!(status("/handshakes", &[host]), 200, "{host}");
        }
        for host in [
            "attacker.example",
            "attacker.example:9443",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "192.0.2.1:9443",
            "0.0.0.0:9443",
            "",
            "a b",
        ] {
            assert_eq!(status("/handshakes", &[host]), 421, "{host}");
        }
        assert_eq!(status("/handshakes", &[]), 421);
        assert_eq!(status("/handshakes", &["localhost", "localhost"]), 421);
        let url = "http://attacker.example/handshakes";
        assert_eq!(status(url, &["localhost"]), 421);
        assert_eq!(status("http://localhost/handshakes", &["localhost"]), 200);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let get = |uri: &str| ask(&Method::GET, uri, &["localhost"]);
        assert_eq!(get("/").0, 404);
        assert_eq!(get("/handshakes?reason=sunshine").0, 400);
        assert_eq!(get("/handshakes?address=here").0, 400);
        assert_eq!(get("/handshakes?reasons=other").0, 400);
        assert_eq!(get("/handshakes?reason=other&reason=other").0, 400);
        assert_eq!(ask(&Method::POST, "/handshakes", &["localhost"]).0, 405);
        assert_eq!(ask(&Method::HEAD, "/handshakes", &["localhost"]).0, 200);
    }
}
