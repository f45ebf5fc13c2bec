//! What of the configurations in `conf/authenticate` keeps whom away: each attack works without it (ATTACKS
//! H1, K14, P1, P7, S8).

use keyferry::sign::header;

use super::authenticate_fronts::Scene;
use crate::support::asker::Asked;
use crate::support::asking::Asking;
use crate::support::gateway::secret;
use crate::support::signature::verify;
use crate::support::verify::{Verify, send};
use crate::support::wait_for;

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

/// nginx cannot take away what it is told, so its configuration has every name that the gateway has.
#[test]
fn h1_the_configuration_of_nginx_sets_or_removes_every_name_of_an_identity() {
    let text = include_str!("../../conf/authenticate/nginx.conf");
    let (_, location) = text.split_once("location / {").expect("a location");
    let (location, _) = location.split_once("\n    }\n").expect("its end");
    let lines = location
        .lines()
        .filter_map(|line| line.trim().strip_prefix("proxy_set_header "));
    let set: Vec<_> = lines
        .filter_map(|line| line.split(' ').next())
        .map(str::to_lowercase)
        .collect();
    for name in header::RESERVED.iter().chain(&header::MISLEADING) {
        assert!(set.iter().any(|known| known == name), "{name}");
    }
}

/// The backend believes nothing but the signature: who comes past the proxy is refused.
#[test]
fn s8_before_a_backend_the_verifier_believes_the_proxy_and_nobody_else() {
    let scene = Scene::new("nginx");
    let verifier = Verify::before(scene.backend.address(), &[("echo", &secret("echo"))], &[]);
    let proxy = scene.proxy_before(verifier.address(), &[]);
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
