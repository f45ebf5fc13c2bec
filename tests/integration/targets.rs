//! Heads with two readings: paths, hosts, methods (ATTACKS H9, H13, R13).

use serde_json::{Value, json};

use crate::support::backend::{Backend, Recorded};
use crate::support::curl::Curl;
use crate::support::gateway::{Gateway, secret};
use crate::support::python::run;
use crate::support::signature::{verify, verify_in_python};
use crate::support::world::{HOST, Identity, World};

const FORGED: &str = "forged-value";

/// Everybody may use `/`, at the backend `open`; only keys `/admin`, at the backend `closed`.
struct Setting {
    open: Backend,
    closed: Backend,
    gateway: Gateway,
    alice: Identity,
    world: World,
}

impl Setting {
    fn new() -> Self {
        let (world, open, closed) = (World::new(), Backend::start(), Backend::start());
        let gateway = Gateway::builder(&world)
            .backend("open", open.address())
            .backend("closed", closed.address())
            .route("/", "open", "none")
            .route("/admin", "closed", "either")
            .start();
        let alice = world.client("alice");
        Self {
            open,
            closed,
            gateway,
            alice,
            world,
        }
    }

    fn requests(&self) -> Vec<Recorded> {
        [self.open.requests(), self.closed.requests()].concat()
    }

    /// Sends bytes over TLS, with a certificate or without; the status of the answer.
    fn raw(&self, client: Option<&Identity>, bytes: &str) -> Option<u16> {
        let connection = self.gateway.s_client();
        let connection = match client {
            Some(client) => connection.certificate(client),
            None => connection,
        };
        connection.send_quietly(bytes.as_bytes()).status()
    }

    /// One request over HTTP/2, header by header; 0 when it was not answered.
    fn http2(&self, client: Option<&Identity>, headers: &[(&str, &str)]) -> Value {
        let answer = run(
            "h2_client.py",
            &json!({
                "address": self.gateway.address(),
                "host": HOST,
                "authority": self.world.authority,
                "certificate": client.map(|client| &client.chain),
                "key": client.map(|client| &client.key),
                "requests": [{ "headers": headers }],
            }),
        );
        answer["answers"][0]["status"].clone()
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
}

fn head<'a>(method: &'a str, authority: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", authority),
        (":path", path),
    ]
}

/// H9: whatever some backend reads as a path below `/admin` is never let through as a path below
/// `/`.
#[test]
fn h9_no_disguise_of_a_path_finds_a_looser_route() {
    let setting = Setting::new();
    let disguises = [
        "/admin",
        "/admin/x",
        "//admin",
        "/admin//x",
        "/%61dmin",
        "/%61%64%6d%69%6e/x",
        "/./admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/%2E./admin",
        "/x/..%2fadmin",
        "/x/..;/admin",
        "/x/..;a=b/admin",
        "/x%2f..%2fadmin",
        "/admin;a=1",
        "/admin%3ba=1",
        "/;x/admin",
        "/admin%2fx",
        "/\\admin",
        "/x\\..\\admin",
        "/x%5c..%5cadmin",
        "/admin#x",
        "/admin%00",
        "/admin%00/x",
    ];
    for disguise in disguises {
        let absolute = format!("https://{HOST}{disguise}");
        for target in [disguise, &absolute] {
            let status = setting.raw(None, &get(target));
            assert!(matches!(status, Some(400 | 401)), "{target}: {status:?}");
        }
        let status = setting.http2(None, &head("GET", HOST, disguise));
        assert!(
            ["0", "400", "401"].contains(&status.to_string().as_str()),
            "{disguise}: {status}"
        );
        let seen = setting.requests();
        assert!(seen.is_empty(), "{disguise}: {seen:#?}");
    }

    // The control: the same characters elsewhere are no reason to refuse, and arrive as they
    // stand, so that a backend that reads them more freely would have been fooled.
    for target in [
        "/x",
        "/x//y",
        "/%78/y",
        "/x;a=1/y",
        "/x%2fy",
        "/x?../admin",
        "/administrator",
    ] {
        assert_eq!(setting.raw(None, &get(target)), Some(200), "{target}");
        assert_eq!(setting.open.last().target, target);
        let status = setting.http2(None, &head("GET", HOST, target));
        assert_eq!(status, 200, "{target}");
        assert_eq!(setting.open.last().target, target);
    }
    let asked = setting.raw(Some(&setting.alice), &get("/admin/x"));
    assert_eq!((asked, setting.closed.requests().len()), (Some(200), 1));
}

/// H9: the path that was decided on, the path that was signed and the path that the backend gets
/// are one.
#[test]
fn h9_policy_signature_and_backend_see_one_path() {
    let setting = Setting::new();
    for (target, arrives) in [
        ("/admin", "/admin"),
        ("/admin/", "/admin/"),
        ("/admin//x/", "/admin//x/"),
        ("/admin/%7Ex/%c3%a9", "/admin/%7Ex/%c3%a9"),
        ("/admin/x;v=1/y", "/admin/x;v=1/y"),
        ("/admin/x%2Fy", "/admin/x%2Fy"),
        ("/admin?", "/admin?"),
        ("/admin?a=b&a=%20c+d", "/admin?a=b&a=%20c+d"),
        ("/admin?../x//y;z?w", "/admin?../x//y;z?w"),
    ] {
        let absolute = format!("https://{HOST}{target}");
        for asked in [target, &absolute] {
            let status = setting.raw(Some(&setting.alice), &get(asked));
            assert_eq!(status, Some(200), "{asked}");
            let request = setting.closed.last();
            assert_eq!(request.target, arrives);
            assert_eq!(request.header("host"), HOST);
            assert_eq!(verify(&request, &secret("closed")), Ok(()), "{asked}");
        }
        let status = setting.http2(Some(&setting.alice), &head("GET", HOST, target));
        assert_eq!(status, 200, "{target}");
        let request = setting.closed.last();
        assert_eq!(request.target, arrives);
        assert_eq!(verify(&request, &secret("closed")), Ok(()), "{target}");
        assert_eq!(
            verify_in_python(&request, &secret("closed")),
            Ok(()),
            "{target}"
        );
    }
}

/// H9 (RFC 9421 section 2.2.3): host and signature agree, whatever the spelling.
#[test]
fn h9_every_spelling_of_the_host_is_signed_as_it_arrives() {
    let setting = Setting::new();
    for (host, arrives) in [
        ("API.Example.COM", "api.example.com"),
        ("api.example.com:443", "api.example.com"),
        ("api.example.com:8443", "api.example.com:8443"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:8443", "[::1]:8443"),
    ] {
        let bytes = format!("GET /admin HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(
            setting.raw(Some(&setting.alice), &bytes),
            Some(200),
            "{host}"
        );
        let status = setting.http2(Some(&setting.alice), &head("GET", host, "/admin"));
        assert_eq!(status, 200, "{host}");
        for request in setting
            .closed
            .requests()
            .split_off(setting.closed.requests().len() - 2)
        {
            assert_eq!(request.header("host"), arrives);
            assert_eq!(verify(&request, &secret("closed")), Ok(()), "{host}");
        }
    }
}

/// H9: on the way down from HTTP/2 nothing becomes a line of its own.
#[test]
fn h9_no_line_break_survives_the_way_from_http2_to_http1() {
    let setting = Setting::new();
    let line = format!("x\r\nX-Key-Id: {FORGED}");
    let path = format!("/admin HTTP/1.1\r\nX-Key-Id: {FORGED}\r\n\r\n");
    let host = format!("{HOST}\r\nX-Key-Id: {FORGED}");
    let base = || head("GET", HOST, "/admin");
    let with = |name, value| {
        let mut headers = base();
        headers.push((name, value));
        headers
    };
    let attempts = [
        with("app", &line),
        with("app", "x\ny: forged-value"),
        with("app", "x\ry: forged-value"),
        with("app", "x\0y: forged-value"),
        with("app\r\nx-key-id", FORGED),
        with("app: a\r\nx-key-id", FORGED),
        head("GET", HOST, &path),
        head("GET", HOST, "/admin x"),
        head("GET", HOST, "/admin\tx"),
        head("GET", HOST, "admin"),
        head("GET", HOST, ""),
        head("GET", HOST, "*"),
        head("GET", &host, "/admin"),
        head(
            "GET /admin HTTP/1.1\r\nX-Key-Id: forged-value\r\n\r\nGET",
            HOST,
            "/admin",
        ),
        with("transfer-encoding", "chunked"),
        with("connection", "x-key-id"),
        with("content-length", "5"),
        with(":path", "/x"),
        with(":authority", "other.example.com"),
        with(":method", "POST"),
        base()[1..].to_vec(),
    ];
    for headers in attempts {
        let status = setting.http2(Some(&setting.alice), &headers);
        assert_ne!(status, 200, "{headers:?}");
        let seen = setting.requests();
        assert!(seen.is_empty(), "{headers:?}: {seen:#?}");
    }
    // The control: the same request without them.
    assert_eq!(setting.http2(Some(&setting.alice), &with("app", "x")), 200);
}

/// R13: a request for two hosts is a request for none.
#[test]
fn r13_two_hosts_are_refused() {
    let setting = Setting::new();
    let alice = Some(&setting.alice);
    for lines in [
        "Host: api.example.com\r\nHost: other.example.com",
        "Host: api.example.com\r\nHost: api.example.com",
        "Host: api.example.com, other.example.com",
        "Host: user@api.example.com",
        "Host: api.example.com/x",
        "Host: api.example.com\r\n other.example.com",
        "Host:",
        "App: no host",
    ] {
        let bytes = format!("GET /admin HTTP/1.1\r\n{lines}\r\nConnection: close\r\n\r\n");
        assert_eq!(setting.raw(alice, &bytes), Some(400), "{lines}");
    }
    let bytes = get("https://other.example.com/admin");
    assert_eq!(
        setting.raw(alice, &bytes),
        Some(400),
        "absolute form and Host"
    );

    for hosts in [
        &["other.example.com"][..],
        &[HOST, HOST],
        &[HOST, "other.example.com"],
        &["other.example.com", HOST],
    ] {
        let mut headers = head("GET", HOST, "/admin");
        headers.extend(hosts.iter().map(|host| ("host", *host)));
        assert_eq!(setting.http2(alice, &headers), 400, "{hosts:?}");
    }
    assert!(setting.requests().is_empty());

    // The control: one host, also when it is said twice in two places.
    let mut headers = head("GET", HOST, "/admin");
    headers.push(("host", HOST));
    assert_eq!(setting.http2(alice, &headers), 200);
    assert_eq!(
        setting.raw(alice, &get(&format!("https://{HOST}/admin"))),
        Some(200)
    );
    assert_eq!(setting.closed.requests().len(), 2);
}

/// H13: no method is a way around the credential.
#[test]
fn h13_no_method_goes_around_the_credential() {
    let setting = Setting::new();
    let preflight = |curl: Curl| {
        curl.header("Origin: https://elsewhere.example")
            .header("Access-Control-Request-Method: DELETE")
    };
    for method in [
        "GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PURGE", "get", "X",
    ] {
        for http2 in [false, true] {
            let curl = || {
                let curl = preflight(setting.gateway.curl("/admin").method(method));
                if http2 { curl.http2() } else { curl.http1() }
            };
            let before = setting.requests().len();
            curl().send().expect_refusal(401, "credential_missing");
            assert_eq!(setting.requests().len(), before, "{method}");
            // The control: it is not the method that was refused.
            let allowed = curl().certificate(&setting.alice);
            allowed.send().expect_status(200);
            assert_eq!(setting.closed.last().method, method);
            assert_eq!(verify(&setting.closed.last(), &secret("closed")), Ok(()));
        }
    }
    let before = setting.requests().len();
    let answer = setting
        .gateway
        .curl("/admin")
        .head()
        .send()
        .expect_status(401);
    assert_eq!(answer.body_bytes, 0);
    assert_eq!(setting.requests().len(), before);
    let answer = setting
        .gateway
        .curl("/admin")
        .head()
        .certificate(&setting.alice);
    answer.send().expect_status(200);
    assert_eq!(setting.closed.last().method, "HEAD");
}

/// H13: what `TRACE` reflects and what `CONNECT` opens is not for anybody (RFC 9110 section 9.3).
#[test]
fn h13_trace_and_connect_are_not_served() {
    let setting = Setting::new();
    for client in [None, Some(&setting.alice)] {
        for method in ["TRACE", "CONNECT"] {
            for target in ["/admin", "/x", "/.well-known/keyferry/whoami"] {
                let bytes = get(target).replacen("GET", method, 1);
                assert_eq!(setting.raw(client, &bytes), Some(405), "{method} {target}");
                let status = setting.http2(client, &head(method, HOST, target));
                assert!(status == 405 || status == 0, "{method} {target}: {status}");
            }
        }
        for target in ["closed.example.com:443", "127.0.0.1:9"] {
            let bytes = get(target).replacen("GET", "CONNECT", 1);
            let status = setting.raw(client, &bytes);
            assert!(
                matches!(status, Some(400 | 405)),
                "CONNECT {target}: {status:?}"
            );
            let headers = [(":method", "CONNECT"), (":authority", target)];
            let status = setting.http2(client, &headers);
            assert_ne!(status, 200, "CONNECT {target}");
        }
    }
    assert!(setting.requests().is_empty());
}

/// PROTOCOL 4: nothing is served where no route goes, whoever asks; health, metrics and the rest
/// of the gateway's own are not on the public listener (H14).
#[test]
fn h14_what_no_route_serves_is_not_found() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .backend("echo", backend.address())
        .route("/v1", "echo", "either")
        .start();
    let alice = world.client("alice");
    for path in ["/", "/v2", "/v10", "/metrics", "/livez", "/readyz", "/V1"] {
        let answers = [gateway.curl(path), gateway.curl(path).certificate(&alice)];
        for request in answers {
            request.send().expect_refusal(404, "route_not_found");
        }
    }
    assert!(backend.requests().is_empty());
    gateway
        .curl("/v1/x")
        .certificate(&alice)
        .send()
        .expect_status(200);
}
