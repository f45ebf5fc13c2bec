//! Who is answered, and what.

use axum::body::{Body, to_bytes};
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::certificate::Trust;
use crate::clock::Timestamp;
use crate::store::embedded::{self, Embedded};

/// A listener with an empty store, a token for each role, and nobody who reads the configuration again.
struct Scene {
    admin: Router,
    tokens: Vec<(Role, String)>,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = embedded::Settings::new(folder.path().join("keyferry.redb"));
        let store: Arc<dyn Store> = Arc::new(Embedded::open_with(&settings).unwrap());
        let (mut known, mut tokens) = (Vec::new(), Vec::new());
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            let (text, digest) = Token::make().unwrap();
            let name = format!("{role:?}").to_lowercase();
            known.push(Token { name, role, digest });
            tokens.push((role, format!("Bearer {}", text.expose())));
        }
        let operations = operation::Settings::for_tests(settings);
        let live = Live {
            tokens: known,
            tls: None,
            operations: Arc::new(operations),
            names: Names::default(),
        };
        let directory = Arc::new(Directory::new(Arc::clone(&store)));
        let admin = Admin::new(
            Arc::new(Journal::new(Timestamp::from_unix(1))),
            || None,
            reload::channel().0,
            Arc::new(ArcSwap::from_pointee(live)),
            (
                store,
                Arc::clone(&directory),
                Arc::new(Verifier::new(Trust::new(1, Vec::new()).unwrap())),
            ),
            &Metrics::new().unwrap(),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.spawn(async move { directory.follow().await });
        Self {
            admin: admin.router(),
            tokens,
            runtime,
            _folder: folder,
        }
    }

    fn token(&self, role: Role) -> &str {
        &self.tokens.iter().find(|(own, _)| *own == role).unwrap().1
    }

    /// Status and body of the answer, from `peer`.
    fn ask(
        &self,
        peer: &str,
        (method, uri): (&Method, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_str(value).unwrap());
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Peer(peer.parse().ok()));
        self.runtime.block_on(async {
            let answer = self.admin.clone().oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (status, serde_json::from_slice(&body).unwrap_or_default())
        })
    }
}

fn ask(method: &Method, uri: &str, hosts: &[&str]) -> u16 {
    let hosts: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
    Scene::new().ask("127.0.0.1", (method, uri), &hosts, "").0
}

#[test]
fn no_web_page_makes_the_gateway_read_its_configuration() {
    let scene = Scene::new();
    let post = |headers: &[(&str, &str)]| {
        scene
            .ask("127.0.0.1", (&Method::POST, "/reload"), headers, "")
            .0
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
    assert_eq!(ask(&Method::GET, "/reload", &["localhost"]), 405);
    assert_eq!(ask(&Method::OPTIONS, "/reload", &["localhost"]), 405);
}

#[test]
fn only_who_means_this_machine_is_answered() {
    let status = |uri: &str, hosts: &[&str]| ask(&Method::GET, uri, hosts);
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
    assert_eq!(get("/nothing"), 404);
    assert_eq!(get("/handshakes?reason=sunshine"), 400);
    assert_eq!(get("/handshakes?address=here"), 400);
    assert_eq!(get("/handshakes?reasons=other"), 400);
    assert_eq!(get("/handshakes?reason=other&reason=other"), 400);
    assert_eq!(ask(&Method::POST, "/handshakes", &["localhost"]), 405);
    assert_eq!(ask(&Method::HEAD, "/handshakes", &["localhost"]), 200);
}

#[test]
fn what_a_token_may_do_its_role_says_and_nobody_else_does_anything() {
    let scene = Scene::new();
    for (number, offered) in operation::OFFERED.iter().enumerate() {
        let uri = format!("/v1/{}", offered.name);
        let method = if offered.changes {
            Method::POST
        } else {
            Method::GET
        };
        let status = |headers: &[(&str, &str)], peer: &str| {
            let json = ("content-type", "application/json");
            let headers = [headers, &[json]].concat();
            scene.ask(peer, (&method, &uri), &headers, "[]").0
        };
        for (role, token) in &scene.tokens {
            let status = status(&[("authorization", token)], "192.0.2.1");
            let is_let_through = ![401, 403, 404, 405].contains(&status);
            assert_eq!(
                is_let_through,
                *role >= offered.role,
                "{uri} {role:?} {status}"
            );
        }
        // Not even somebody on this machine, and whatever else he shows.
        assert_eq!(status(&[("host", "localhost")], "127.0.0.1"), 401, "{uri}");
        // From another address each: after ten of one, nobody there is listened to.
        let (wrong, from) = ("Bearer kf_admin_x", format!("198.51.100.{number}"));
        assert_eq!(status(&[("authorization", wrong)], &from), 401);
        assert_eq!(status(&[], "192.0.2.1"), 401, "{uri}");
        // The other method.
        let other = if offered.changes {
            Method::GET
        } else {
            Method::POST
        };
        let admin = [("authorization", scene.token(Role::Admin))];
        assert_eq!(scene.ask("::1", (&other, &uri), &admin, "").0, 405, "{uri}");
    }
}

#[test]
fn a_client_is_made_and_looked_at_and_the_change_names_who_made_it() {
    let scene = Scene::new();
    let operator = [
        ("authorization", scene.token(Role::Operator)),
        ("content-type", "application/json"),
    ];
    let post =
        |uri: &str, body: &str| scene.ask("192.0.2.1", (&Method::POST, uri), &operator, body);
    let get = |uri: &str| scene.ask("192.0.2.1", (&Method::GET, uri), &operator, "");
    let (status, added) = post(
        "/v1/client/add",
        r#"{"ids":["acme"],"tag":["mobile","beta"]}"#,
    );
    assert_eq!(
        (status, &added["client_id"]),
        (200, &"acme".into()),
        "{added}"
    );
    let (status, again) = post("/v1/client/add", r#"{"ids":["acme"]}"#);
    assert_eq!(
        (status, &again["reason"]),
        (409, &"refused".into()),
        "{again}"
    );
    let (_, listed) = get("/v1/client/list?cohort=mobile,!gone");
    assert_eq!(listed["clients"][0]["client_id"], "acme", "{listed}");
    let (_, told) = get("/v1/audit/list?client=acme");
    let change = &told["changes"][0];
    assert_eq!(change["actor"]["name"], "operator", "{told}");
    assert_eq!(change["origin"]["address"], "192.0.2.1", "{told}");
    let (status, issued) = post("/v1/key/issue", r#"{"client":"acme"}"#);
    assert_eq!(status, 200, "{issued}");
    assert!(
        issued["key"].as_str().unwrap().starts_with("kf_live_"),
        "{issued}"
    );
    for (uri, wrong) in [
        ("/v1/client/list?stage=gone", 400),
        ("/v1/client/list?nothing=1", 400),
        ("/v1/client/list?stage=dual&stage=dual", 400),
        ("/v1/client/show?id=nobody", 409),
        ("/v1/audit/export?file=/tmp/x", 404),
        ("/v1/audit/verify?file=/etc/passwd", 400),
        ("/v1/store/backup", 404),
    ] {
        assert_eq!(get(uri).0, wrong, "{uri}");
    }
    assert_eq!(post("/v1/client/add", "{").0, 400);
    assert_eq!(
        post("/v1/client/add", r#"{"ids":["x"],"out":"/tmp"}"#).0,
        400
    );
    let plain = [operator[0], ("content-type", "text/plain")];
    let uri = (&Method::POST, "/v1/client/add");
    assert_eq!(
        scene.ask("192.0.2.1", uri, &plain, r#"{"ids":["y"]}"#).0,
        415
    );
}

#[test]
fn whoever_guesses_is_not_listened_to_and_others_are() {
    let scene = Scene::new();
    let ask = |peer: &str, token: &str| {
        let headers = [("authorization", token), ("host", "localhost")];
        let get = (&Method::GET, "/v1/client/list");
        scene.ask(peer, get, &headers, "").0
    };
    let right = scene.token(Role::Viewer);
    for _ in 0..10 {
        assert_eq!(ask("2001:db8::1", "Bearer kf_admin_x"), 401);
        assert_eq!(ask("192.0.2.1", right), 200);
    }
    assert_eq!(ask("2001:db8::1", right), 429);
    // Of the same network, he chooses his address.
    assert_eq!(ask("2001:db8::2", right), 429);
    assert_eq!(ask("2001:db8:0:1::1", right), 200);
    assert_eq!(ask("192.0.2.1", right), 200);
    let pages = |peer: &str| {
        let get = (&Method::GET, "/handshakes");
        scene.ask(peer, get, &[("host", "localhost")], "").0
    };
    for _ in 0..11 {
        ask("127.0.0.1", "Bearer kf_admin_x");
    }
    assert_eq!((ask("127.0.0.1", right), pages("127.0.0.1")), (429, 200));
}
