//! What of the configurations in `conf/authenticate` keeps whom away: each attack works without it (ATTACKS
//! H1, K14, P1, P7, S8).

use std::collections::BTreeSet;

use keyferry::sign::header;

use super::authenticate_fronts::{Scene, goes_no_further, unlisted};
use crate::support::asker::{Asked, Fronts};
use crate::support::asking::Asking;
use crate::support::gateway::secret;
use crate::support::signature::verify;
use crate::support::verify::{Verify, send};
use crate::support::wait_for;
use crate::support::wire::Tls;
use crate::support::world::HOST;

/// nginx makes 500 of such an answer, and our configuration the right one again.
#[test]
fn k14_behind_nginx_a_client_is_told_when_to_come_again() {
    let scene = Scene::like("nginx", |gateway| {
        gateway.set("limits.requests_per_second", 1)
    });
    let proxy = scene.proxy(&[]);
    let ask = || {
        proxy
            .curl(&scene.world, "/v1/a")
            .certificate(&scene.alice)
            .send()
    };
    ask().expect_status(200);
    let refused = wait_for("one too many", || Some(ask()).filter(|it| it.status != 200));
    let refused = refused.expect_refusal(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused
            .header("ratelimit-policy")
            .starts_with("\"client\";q=1")
    );
}

/// A client tells of another request than the one that it sends. Without the line that overwrites it, a key
/// opens what asks for a certificate; what the backend gets is then not signed for that request.
#[test]
fn p7_a_client_that_tells_the_request_itself_is_not_heard() {
    let scene = Scene::new("nginx");
    let key = scene.gateway.claim_key(&scene.alice);
    let ask = |proxy: &Asking| {
        let ask = proxy.curl(&scene.world, "/v1/proven").key(&key);
        ask.header("X-Original-URI: /v1/orders")
    };
    let careless = scene.proxy(&["X-Original-URI $request_uri"]);
    let arrived = scene.arrives(ask(&careless));
    assert!(verify(&arrived, &secret("echo")).is_err());
    scene.backend.forget();
    let refused = ask(&scene.proxy(&[])).send();
    refused.expect_refusal(401, "credential_missing");
    assert_eq!(scene.backend.requests().len(), 0);
}

/// A client forwards the certificate of another, as if it were the proxy.
#[test]
fn p1_a_client_that_forwards_a_certificate_itself_is_not_heard() {
    let scene = Scene::new("haproxy");
    let stolen = Asked::get("/").certificate(&scene.alice);
    let ask = |proxy: &Asking| proxy.curl(&scene.world, "/v1/a").header(&stolen.headers[0]);
    let careless = scene.proxy(&["del-header Client-Cert"]);
    let arrived = scene.arrives(ask(&careless));
    assert_eq!(
        verify(&arrived, &secret("echo")),
        Ok(()),
        "alice, to whoever has her certificate"
    );
    scene.backend.forget();
    let refused = ask(&scene.proxy(&[])).send();
    refused.expect_refusal(401, "credential_missing");
    assert_eq!(scene.backend.requests().len(), 0);
}

/// nginx cannot take away what it is told, so its configuration has every name that the gateway has, and
/// refuses whatever it does not set or remove.
#[test]
fn h1_the_configuration_of_nginx_sets_or_removes_every_name_of_an_identity() {
    let text = include_str!("../../conf/authenticate/nginx.conf");
    let (_, location) = text.split_once("location / {").expect("a location");
    let (location, _) = location.split_once("\n    }\n").expect("its end");
    let lines = location
        .lines()
        .filter_map(|line| line.trim().strip_prefix("proxy_set_header "));
    let set: BTreeSet<_> = lines
        .filter_map(|line| line.split(' ').next())
        .map(str::to_lowercase)
        .collect();
    for name in header::RESERVED.iter().chain(&header::MISLEADING) {
        assert!(set.contains(*name), "{name}");
    }
    let (_, known) = text.split_once("(?x)^(").expect("a map");
    let (known, _) = known.split_once(')').expect("its end");
    for name in known.split('|').map(str::trim) {
        assert!(set.contains(name), "{name} would pass");
    }
}

/// Names that only their beginning tells, and keys wherever they stand.
#[test]
fn h7_what_nginx_cannot_take_away_it_refuses() {
    let scene = Scene::new("nginx");
    let key = scene.gateway.claim_key(&scene.alice);
    let open = ("default \"\";", "default http://legacy;");
    let careless = scene.proxy_before(scene.backend.address(), &[], &[open]);
    for (name, value) in [("x-ssl-client-verify", "admin"), ("x-token", &*key)] {
        let line = format!("{name}: {value}");
        let ask = careless.curl(&scene.world, "/open").header(&line);
        assert_eq!(scene.arrives(ask).header(name), value);
    }
    let proxy = scene.proxy(&[]);
    goes_no_further(&scene, &proxy, &unlisted(&key));
}

/// A backend that has nginx answer in its place, by the location that asks.
#[test]
fn s8_no_backend_has_nginx_give_its_client_a_signature() {
    let scene = Scene::like("nginx", |gateway| gateway.route("/headers", "echo", "key"));
    let key = scene.gateway.claim_key(&scene.alice);
    let ask = |proxy: &Asking| {
        let path = "/headers?X-Accel-Redirect=/keyferry-authenticate";
        let ask = proxy.curl(&scene.world, path).key(&key);
        ask.send().expect_status(200).all("signature").len()
    };
    assert_eq!(ask(&scene.proxy(&["proxy_ignore_headers"])), 1);
    assert_eq!(ask(&scene.proxy(&[])), 0);
}

/// The path of the question is elsewhere than the gateway has it, and the proxy is not believed: then a backend
/// answers the question.
#[test]
fn p1_a_backend_gives_no_yes() {
    let path = ("/.well-known/keyferry/authenticate", "/open");
    for (kind, believes_all) in [
        ("nginx", ("default \"\";", "default http://legacy;")),
        (
            "haproxy",
            (
                "if not remove then return end",
                "remove = remove or { [0] = \"\" }",
            ),
        ),
    ] {
        let mut scene = Scene::new(kind);
        scene.fronts = Fronts::new(&scene.world);
        let status = |instead: &[(&str, &str)]| {
            let proxy = scene.proxy_before(scene.backend.address(), &[], instead);
            proxy.curl(&scene.world, "/v1/a").send().status
        };
        assert_eq!(status(&[path, believes_all]), 200, "{kind}");
        assert_eq!(status(&[path]), 503, "{kind}");
    }
}

/// Of a request without a host, HAProxy's Lua would ask about one of its own, which no rule of a route is for.
#[test]
fn r13_haproxy_asks_about_no_host_that_nobody_named() {
    let scene = Scene::new("haproxy");
    let answer = |proxy: &Asking, request: &str| {
        scene.backend.forget();
        let tls = Tls::trusting(&scene.world.servers.x509);
        let mut wire = tls.connect(proxy.address, None).expect("a connection");
        assert!(wire.send(request.as_bytes()));
        let answer = String::from_utf8_lossy(&wire.rest().0).into_owned();
        let status = answer.split(' ').nth(1).map(str::to_owned);
        (status.expect("a status"), scene.backend.requests().len())
    };
    let careless = scene.proxy(&["hdr_cnt(host)"]);
    let proxy = scene.proxy(&[]);
    for request in [
        "GET /open HTTP/1.0\r\n\r\n",
        "GET /open HTTP/1.1\r\nConnection: close\r\n\r\n",
    ] {
        assert_eq!(answer(&careless, request), ("200".to_owned(), 1));
        assert_eq!(answer(&proxy, request), ("400".to_owned(), 0));
    }
    let named = "GET /open HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";
    assert_eq!(answer(&proxy, named), ("200".to_owned(), 1));
}

/// What was asked about is what the backend gets, in one form; and it drops nothing that the proxy adds.
#[test]
fn h9_haproxy_passes_on_the_target_that_it_asked_about_and_its_own_connection() {
    let scene = Scene::new("haproxy");
    let arrived = |proxy: &Asking, connection: &str| {
        scene.backend.forget();
        let tls = Tls::trusting(&scene.world.servers.x509);
        let mut wire = tls.connect(proxy.address, None).expect("a connection");
        let head = format!(
            "GET https://{HOST}/open?a=%20b HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Connection: {connection}\r\n\r\n"
        );
        assert!(wire.send(head.as_bytes()));
        let _answer = wire.until(b"\r\n\r\n");
        let last = scene.backend.last();
        let of_connection = last.all("connection").concat().to_lowercase();
        (last.target, of_connection)
    };
    let careless = scene.proxy(&["set-uri", "header Connection"]);
    let (target, of_connection) = arrived(&careless, "Upgrade, X-Client-Id");
    assert!(target.starts_with("https://"), "{target}");
    assert!(of_connection.contains("x-client-id"), "{of_connection}");
    let proxy = scene.proxy(&[]);
    let (target, of_connection) = arrived(&proxy, "Upgrade, X-Client-Id");
    assert_eq!(
        (&*target, &*of_connection),
        ("/open?a=%20b", "upgrade"),
        "a WebSocket may pass"
    );
    let (target, of_connection) = arrived(&proxy, "close, X-Client-Id");
    assert_eq!(target, "/open?a=%20b");
    assert!(!of_connection.contains("x-client-id"), "{of_connection}");
}

/// While the gateway observes, whatever a client says of itself counts no more than before.
fn observing(kind: &'static str) {
    let scene = Scene::like(kind, |gateway| {
        gateway.set("observe.from", vec!["127.0.0.1"])
    });
    let proxy = scene.proxy(&[]);
    scene.arrives(proxy.curl(&scene.world, "/v1/a"));
    let ask = proxy.curl(&scene.world, "/v1/a");
    let ask = ["X-Key-Id", "X-Client-Id", "Signature", "Remote-User"]
        .iter()
        .fold(ask, |ask, name| ask.header(&format!("{name}: admin")));
    let arrived = scene.arrives(ask);
    let head = String::from_utf8_lossy(&arrived.head);
    assert!(!head.contains("admin"), "{kind}: {head}");
    let key = scene.gateway.claim_key(&scene.alice);
    goes_no_further(&scene, &proxy, &unlisted(&key));
}

#[test]
fn h1_nginx_passes_on_nothing_forged_while_the_gateway_observes() {
    observing("nginx");
}

#[test]
fn h1_haproxy_passes_on_nothing_forged_while_the_gateway_observes() {
    observing("haproxy");
}

#[cfg_attr(not(target_arch = "x86_64"), ignore = "Envoy is a program for x86-64")]
#[test]
fn h1_envoy_passes_on_nothing_forged_while_the_gateway_observes() {
    observing("envoy");
}

/// The backend believes nothing but the signature: who comes past the proxy is refused.
#[test]
fn s8_before_a_backend_the_verifier_believes_the_proxy_and_nobody_else() {
    let scene = Scene::new("nginx");
    let verifier = Verify::before(scene.backend.address(), &[("echo", &secret("echo"))], &[]);
    let proxy = scene.proxy_before(verifier.address(), &[], &[]);
    let key = scene.gateway.claim_key(&scene.alice);
    let ask = || proxy.curl(&scene.world, "/v1/orders?a=%20b");
    let by_certificate = scene.arrives(ask().certificate(&scene.alice));
    let by_key = scene.arrives(ask().key(&key).method("PUT").body("hello"));
    let client = by_certificate.header("x-client-id");
    assert_eq!(by_key.header("x-client-id"), client);
    assert!(by_key.all("signature").is_empty());
    let forged = format!(
        "GET /v1/orders HTTP/1.1\r\nHost: x\r\nX-Client-Id: {client}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(send(verifier.address(), forged.as_bytes()).status, 401);
}
