//! The gateway as an authenticator: what a front may ask, and what it is answered. The front is curl with the
//! front's certificate.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::asker::{ASK, Asked, Fronts};
use crate::support::backend::{Backend, Recorded};
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::{Gateway, secret};
use crate::support::signature::verify;
use crate::support::world::{HOST, Identity, World};

pub(super) const ORDERS: &str = "/v1/orders?limit=10&a=%20b";

pub(super) struct Scene {
    pub(super) world: World,
    pub(super) fronts: Fronts,
    pub(super) backend: Backend,
    pub(super) gateway: Gateway,
    pub(super) alice: Identity,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::asking("original")
    }

    pub(super) fn asking(form: &str) -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let fronts = Fronts::new(&world);
        let gateway = fronts.gateway(&world, "rfc9440", form);
        let gateway = gateway.backend("echo", backend.address());
        let gateway = gateway.backend("other", backend.address());
        let gateway = gateway
            .route("/v1", "echo", "either")
            .route("/v1/proven", "echo", "certificate")
            .route("/v2", "other", "either")
            .route("/open", "echo", "none")
            .start();
        Self {
            alice: world.client("alice"),
            fronts,
            backend,
            gateway,
            world,
        }
    }

    /// The answer to the front.
    pub(super) fn ask(&self, asked: &Asked<'_>) -> Answer {
        self.by_front(asked.question(&self.gateway)).send()
    }

    pub(super) fn by_front(&self, ask: Curl) -> Curl {
        ask.certificate(&self.fronts.ask)
    }

    /// What is asked about is refused, in a document that proxies get that drop bodies, too; and nothing
    /// reached a backend.
    #[track_caller]
    pub(super) fn is_refused(&self, asked: &Asked<'_>, status: u16, reason: &str) -> Answer {
        let refused = self.ask(asked).expect_refusal(status, reason);
        assert_eq!(refused.header("x-refusal-reason"), reason);
        let document = refused.header("x-refusal-document");
        let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
        assert_eq!(document, refused.json());
        assert!(refused.all("signature").is_empty() && refused.all("x-key-id").is_empty());
        assert_eq!(self.backend.requests().len(), 0);
        refused
    }
}

pub(super) fn is_signed(request: &Recorded) -> bool {
    verify(request, &secret("echo")).is_ok()
}

/// By certificate, by key and by both, over both versions of HTTP: one identity, signed for the request
/// that was asked about.
#[test]
fn the_answer_is_the_identity_signed_for_the_request() {
    let scene = Scene::new();
    let by_certificate = Asked::get(ORDERS).certificate(&scene.alice);
    let answer = scene.ask(&by_certificate).expect_status(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        (answer.body_bytes, answer.all("x-request-id").len()),
        (0, 1)
    );
    assert_eq!(
        verify(&by_certificate.passed_on(&answer), &secret("echo")),
        Ok(())
    );
    let id = answer.header("x-key-id").to_owned();

    let key = scene.gateway.claim_key(&scene.alice);
    for asked in [
        Asked::get(ORDERS).key(&key),
        Asked::get(ORDERS).with(format!("Authorization: Bearer {key}")),
        Asked::get(ORDERS).key(&key).certificate(&scene.alice),
        Asked {
            method: "DELETE",
            ..Asked::get("/v1/orders/1")
        }
        .key(&key),
    ] {
        for http in [Curl::http1, Curl::http2] {
            let question = scene.by_front(asked.question(&scene.gateway));
            let answer = http(question).send().expect_status(200);
            assert_eq!(answer.header("x-key-id"), id);
            assert_eq!(verify(&asked.passed_on(&answer), &secret("echo")), Ok(()));
        }
    }
    // Elsewhere, with the secret of the backend there; and where nobody is asked, nobody is told of.
    let other = Asked::get("/v2/a").key(&key);
    let request = other.passed_on(&scene.ask(&other).expect_status(200));
    assert_eq!(verify(&request, &secret("other")), Ok(()));
    let open = Asked::get("/open").with("X-Client-Id: admin");
    let answer = scene.ask(&open).expect_status(200);
    assert!(answer.all("x-client-id").is_empty() && answer.all("signature").is_empty());
    assert_eq!(scene.backend.requests().len(), 0);
}

/// As the answer of a forwarded request: counted for the client, the route and the front, and told in the
/// log.
#[test]
fn a_question_counts_as_the_request_that_it_asks_about() {
    let scene = Scene::new();
    let asked = Asked {
        method: "PUT",
        ..Asked::get("/v1/a?b=c")
    };
    let asked = asked.certificate(&scene.alice);
    let asked = asked
        .with("X-Request-Id: counted")
        .with("X-Forwarded-For: 192.0.2.7");
    let answer = scene.ask(&asked).expect_status(200);
    assert_eq!(answer.header("x-request-id"), "counted");
    let line = scene.gateway.access_line("counted");
    for (name, value) in [
        ("question", json!(true)),
        ("method", json!("PUT")),
        ("host", json!(HOST)),
        ("path", json!("/v1/a")),
        ("route", json!("echo-either")),
        ("front", json!("ask")),
        ("assurance", json!("asserted")),
        ("auth", json!("certificate")),
        ("client_address", json!("192.0.2.7")),
        ("key_id", json!(answer.header("x-key-id"))),
        ("status", json!(200)),
        ("attempts", json!(0)),
    ] {
        assert_eq!(line[name], value, "{name}: {line:#}");
    }
    let counted = scene.gateway.metric(
        "keyferry_requests_total{auth=\"certificate\",outcome=\"allow\",route=\"echo-either\"}",
    );
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
    let of_front = "keyferry_front_requests_total{front=\"ask\",result=\"certificate\"}";
    assert!((scene.gateway.metric(of_front) - 1.0).abs() < f64::EPSILON);
    let shown = scene.gateway.curl("/.well-known/keyferry/whoami");
    let shown = shown.certificate(&scene.alice).send().json();
    assert_eq!(shown["key_id"], answer.header("x-key-id"));
}

#[test]
fn what_would_be_refused_is_refused_with_the_document() {
    let scene = Scene::new();
    scene.is_refused(&Asked::get(ORDERS), 401, "credential_missing");
    let bob = scene.world.client("bob");
    let key = scene.gateway.claim_key(&scene.alice);
    let last = key.len() - 6;
    let (start, _) = key.split_at(last);
    scene.is_refused(&Asked::get(ORDERS).key(start), 401, "key_malformed");
    scene
        .ask(&Asked::get(ORDERS).certificate(&bob))
        .expect_status(200);
    let both = Asked::get(ORDERS).key(&key).certificate(&bob);
    scene.is_refused(&both, 403, "credential_conflict");
    let proven = Asked::get("/v1/proven").key(&key);
    scene.is_refused(&proven, 401, "credential_missing");
    scene.is_refused(&Asked::get("/v3").key(&key), 404, "route_not_found");
    let twice = Asked::get(ORDERS)
        .key(&key)
        .with(format!("Authorization: Bearer {key}"));
    scene.is_refused(&twice, 400, "credential_ambiguous");
    let late = scene
        .world
        .client_like(crate::support::pki::leaf("l\u{e4}te").dates(-86_400, -60));
    let late = scene.is_refused(
        &Asked::get(ORDERS).certificate(&late),
        401,
        "certificate_expired",
    );
    assert!(late.header("x-refusal-document").is_ascii());
    let id = scene
        .ask(&Asked::get(ORDERS).key(&key))
        .header("x-key-id")
        .to_owned();
    scene.gateway.cli(&["key", "revoke", &id]).expect_success();
    scene.is_refused(&Asked::get(ORDERS).key(&key), 401, "key_invalid");
}

/// The form of Envoy: the target stands behind the path; and that of Traefik, as its documentation has it.
#[test]
fn other_forms_are_read_as_such_and_no_other() {
    let scene = Scene::asking("request-line");
    let asked = Asked {
        method: "PUT",
        ..Asked::get(ORDERS)
    }
    .certificate(&scene.alice);
    let ask = |target: &str, more: &str| {
        let ask = scene.gateway.curl(&format!("{ASK}{target}")).method("PUT");
        let ask = ask.header(&format!("Host: {HOST}"));
        let ask = asked.headers.iter().fold(ask, |ask, line| ask.header(line));
        scene.by_front(if more.is_empty() {
            ask
        } else {
            ask.header(more)
        })
    };
    for http in [Curl::http1, Curl::http2] {
        let answer = http(ask(ORDERS, "")).send().expect_status(200);
        assert!(is_signed(&asked.passed_on(&answer)));
    }
    let told = ask(ORDERS, "X-Original-URI: /v1/proven").send();
    told.expect_refusal(400, "question_unclear");
    ask("", "").send().expect_refusal(400, "request_malformed");
    ask("x/v1", "")
        .send()
        .expect_refusal(400, "question_unclear");

    let scene = Scene::asking("forwarded");
    let asked = Asked {
        method: "PUT",
        ..Asked::get(ORDERS)
    }
    .certificate(&scene.alice);
    let ask = |host: &str| {
        let ask = scene.gateway.curl(ASK);
        let ask = asked.headers.iter().fold(ask, |ask, line| ask.header(line));
        let ask = ask.header("X-Forwarded-Method: PUT");
        let ask = ask.header(&format!("X-Forwarded-Uri: {ORDERS}"));
        let ask = ask.header(&format!("X-Forwarded-Host: {host}"));
        scene
            .by_front(ask.header("X-Forwarded-Server: traefik"))
            .send()
    };
    let answer = ask(HOST).expect_status(200);
    assert!(is_signed(&asked.passed_on(&answer)));
    let elsewhere = ask("b.example.com").expect_status(200);
    assert!(!is_signed(&asked.passed_on(&elsewhere)));
}

/// H7: what the gateway would take away it names, for proxies that can take away what they are told.
#[test]
fn h7_what_must_go_no_further_is_named() {
    let scene = Scene::new();
    let key = scene.gateway.claim_key(&scene.alice);
    let removed = |asked: &Asked<'_>| {
        let answer = scene.ask(asked).expect_status(200);
        let named = answer.all("x-envoy-auth-headers-to-remove").concat();
        named.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let asked = Asked::get(ORDERS)
        .with(format!("Authorization: Bearer {key}"))
        .with("X-Client-Id: admin")
        .with("X-Key-Scopes: admin")
        .with("Remote-User: admin")
        .with("X-Consumer-Name: admin")
        .with("X_Any: thing")
        .with("X-Forwarded-For: 192.0.2.1")
        .with("X-B3-TraceId: of-the-proxy")
        .with("Accept: */*");
    let names = removed(&asked);
    for name in [
        "authorization",
        "x-key-scopes",
        "remote-user",
        "x-consumer-name",
        "x_any",
        "x-original-method",
    ] {
        assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
    }
    // What the answer has itself takes the place of what came.
    for name in [
        "x-client-id",
        "x-key-id",
        "accept",
        "host",
        "x-forwarded-for",
        "x-b3-traceid",
    ] {
        assert!(!names.iter().any(|it| it == name), "{name}: {names:?}");
    }
    let application = Asked::get(ORDERS).certificate(&scene.alice);
    let names = removed(&application.with("Authorization: Bearer of-the-application"));
    assert!(!names.iter().any(|it| it == "authorization"), "{names:?}");
    let nobody = removed(&Asked::get("/open").with("X-Client-Id: admin"));
    assert!(nobody.iter().any(|it| it == "x-client-id"), "{nobody:?}");
}

/// Where the gateway only observes, it says yes to everything, vouches for nobody, and records. Nobody's word
/// on an identity counts but the proxy's own.
#[test]
fn a_gateway_that_observes_says_yes_and_vouches_for_nobody() {
    let (world, backend) = (World::new(), Backend::start());
    let fronts = Fronts::new(&world);
    let gateway = fronts.gateway(&world, "rfc9440", "original").echo(&backend);
    let gateway = gateway.set("observe.from", vec!["127.0.0.1"]);
    let gateway = gateway
        .set("observe.identity_header", "X-Client-Id")
        .start();
    let asked = Asked::get(ORDERS)
        .with("X-Request-Id: watched")
        .with("X-Client-Id: of-the-proxy")
        .with("X-Key-Id: admin")
        .with("X-Consumer-Name: admin")
        .with("X-B3-TraceId: 1")
        .with("X-Forwarded-Host: of-the-proxy");
    let ask = asked.question(&gateway).certificate(&fronts.ask);
    let answer = ask.send().expect_status(200);
    assert!(answer.all("signature").is_empty() && answer.all("x-key-id").is_empty());
    let removed = answer.header("x-envoy-auth-headers-to-remove").split(',');
    let removed: BTreeSet<_> = removed.collect();
    let question = ["x-original-method", "x-original-uri"];
    let expected = [question, ["x-consumer-name", "x-key-id"]].concat();
    assert_eq!(removed, expected.into_iter().collect());
    let line = gateway.access_line("watched");
    assert_eq!(line["observe"], "passed");
    assert_eq!(line["would_refuse"], "credential_missing");
}
