//! Who may not ask, and about what: attacks on the gateway as an authenticator (ATTACKS H5, H6, H9, H13, P1,
//! P6, P7, S2, S3, S5, S10).

use super::authenticate::{ORDERS, Scene, is_signed};
use crate::support::asker::{ASK, Asked, Fronts};
use crate::support::backend::{Backend, Recorded};
use crate::support::gateway::secret;
use crate::support::pki::{leaf, root};
use crate::support::signature::verify;
use crate::support::world::{HOST, World};

/// A stranger, a client with its own certificate, a front that is not there to ask, and the front's own
/// certificate from elsewhere.
#[test]
fn p1_nobody_but_the_front_that_asks_gets_an_answer() {
    let scene = Scene::new();
    let asked = Asked::get(ORDERS).certificate(&scene.alice);
    scene.ask(&asked).expect_status(200);
    let question = || asked.question(&scene.gateway);
    let elsewhere = scene.by_front(question()).option("--interface");
    for (who, ask) in [
        ("a stranger", question()),
        ("a client", question().certificate(&scene.alice)),
        (
            "a front that brings",
            question().certificate(&scene.fronts.edge),
        ),
        ("from elsewhere", elsewhere.option("127.0.0.2")),
    ] {
        let refused = ask.send();
        assert_eq!(refused.status, 403, "{who}: {}", refused.text());
        let refused = refused.expect_refusal(403, "front_required");
        assert!(refused.all("signature").is_empty() && refused.all("x-key-id").is_empty());
    }
    assert_eq!(scene.backend.requests().len(), 0);
    // Who only behaves like the front is counted, also with a key in place of a certificate.
    let key = scene.gateway.claim_key(&scene.alice);
    let by_key = Asked::get(ORDERS).key(&key).question(&scene.gateway).send();
    by_key.expect_refusal(403, "front_required");
    let series = "keyferry_front_requests_total{front=\"ask\",result=\"not_authenticated\"}";
    assert!(scene.gateway.metric(series) >= 3.0);
}

/// So that no client whose requests it brings can ask through it.
#[test]
fn p1_of_a_front_that_asks_nothing_goes_on_to_a_backend() {
    let scene = Scene::new();
    for path in [
        "/v1/a",
        "/.well-known/keyferry/whoami",
        "/.well-known/keyferry/authenticated",
    ] {
        let asked = Asked::get(ORDERS).certificate(&scene.alice);
        let ask = |front| {
            let ask = scene.gateway.curl(path).certificate(front);
            asked
                .headers
                .iter()
                .fold(ask, |ask, line| ask.header(line))
                .send()
        };
        // The control: another front brings it.
        assert_ne!(ask(&scene.fronts.edge).status, 400);
        scene.backend.forget();
        ask(&scene.fronts.ask).expect_refusal(400, "question_unclear");
        assert_eq!(scene.backend.requests().len(), 0);
    }
}

/// S2, S5: for nothing but the very request, at the very host.
#[test]
fn s2_the_signature_is_good_for_the_request_that_was_asked_about_alone() {
    let scene = Scene::new();
    let asked = Asked::get(ORDERS).certificate(&scene.alice);
    let request = asked.passed_on(&scene.ask(&asked).expect_status(200));
    assert!(is_signed(&request));
    let is_good = |change: &dyn Fn(&mut Recorded)| {
        let mut changed = request.clone();
        change(&mut changed);
        is_signed(&changed)
    };
    let put = |of: &mut Recorded, name: &str, value: &str| {
        of.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        of.headers.push((name.to_owned(), value.to_owned()));
    };
    assert!(!is_good(&|it| it.method = "POST".to_owned()));
    assert!(!is_good(&|it| it.method = "get".to_owned()));
    assert!(!is_good(
        &|it| it.target = "/v1/orders?limit=11&a=%20b".to_owned()
    ));
    assert!(!is_good(
        &|it| it.target = "/v1/orders?limit=10&a=+b".to_owned()
    ));
    assert!(!is_good(&|it| it.target = "/v1/proven".to_owned()));
    assert!(!is_good(&|it| put(it, "Host", "b.example.com")));
    assert!(!is_good(&|it| put(it, "X-Client-Id", "admin")));
    assert!(
        verify(&request, &secret("other")).is_err(),
        "another backend"
    );
    // The method that is asked about is the one that is signed, letter by letter.
    let lower = Asked {
        method: "get",
        ..asked.clone()
    };
    let signed = lower.passed_on(&scene.ask(&lower).expect_status(200));
    assert!(is_signed(&signed));
    assert!(!is_signed(&Recorded {
        method: "GET".to_owned(),
        ..signed
    }));
    // The question again is another signature, for the same request.
    let again = scene.ask(&asked).expect_status(200);
    assert_ne!(
        again.header("signature-input"),
        request.header("signature-input")
    );
    assert!(is_signed(&asked.passed_on(&again)));
}

#[test]
fn s10_the_digest_of_a_body_is_signed_and_two_are_not() {
    let scene = Scene::new();
    let digest = "Content-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let asked = Asked {
        method: "POST",
        ..Asked::get(ORDERS)
    };
    let asked = asked.certificate(&scene.alice).with(digest);
    let mut request = asked.passed_on(&scene.ask(&asked).expect_status(200));
    assert!(request.header("signature-input").contains("content-digest"));
    let value = digest.split_once(": ").unwrap().1.to_owned();
    request.headers.push(("Content-Digest".to_owned(), value));
    assert!(is_signed(&request));
    let other = "sha-256=:AAJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:".to_owned();
    request.headers.pop();
    request.headers.push(("Content-Digest".to_owned(), other));
    assert!(!is_signed(&request));
    scene.is_refused(&asked.with(digest), 400, "question_unclear");
}

/// H5, H6, H9, H13: what has two readings, or is not for a backend.
#[test]
fn h9_a_question_about_a_request_with_two_readings_is_refused() {
    let scene = Scene::new();
    let about = |target| Asked::get(target).certificate(&scene.alice);
    scene.ask(&about(ORDERS)).expect_status(200);
    for target in ["/v1/../open", "/v1/%2e%2e/open", "/v1/a%00b", "orders", "*"] {
        scene.is_refused(&about(target), 400, "request_malformed");
    }
    scene.is_refused(&about("/v1//../open"), 400, "request_malformed");
    scene.is_refused(&about("/v1%2fproven"), 400, "request_malformed");
    // An absolute target must name the host that is asked about; then its path is what is signed.
    let elsewhere = "https://b.example.com/v1/orders";
    scene.is_refused(&about(elsewhere), 400, "request_malformed");
    let absolute = about("https://api.example.com/v1/orders");
    let answer = scene.ask(&absolute).expect_status(200);
    assert!(is_signed(&about("/v1/orders").passed_on(&answer)));
    let key = scene.gateway.claim_key(&scene.alice);
    let in_url = format!("/v1/orders?key={key}");
    scene.is_refused(&about(&in_url), 400, "request_malformed");
    for own in [
        "/.well-known/keyferry/key",
        "/.well-known/keyferry/authenticate",
    ] {
        scene.is_refused(&about(own), 400, "question_unclear");
    }
    scene.is_refused(&about("/x/%2ewell-known/../a"), 400, "request_malformed");
    scene.is_refused(
        &about("/%2ewell-known/keyferry/key"),
        400,
        "question_unclear",
    );
    for method in ["CONNECT", "TRACE"] {
        let asked = Asked {
            method,
            ..about(ORDERS)
        };
        scene.is_refused(&asked, 405, "method_not_allowed");
    }
}

/// P6, P7: beside what the front says stands what its client says.
#[test]
fn p7_what_tells_of_the_request_in_two_ways_is_refused() {
    let scene = Scene::new();
    let asked = || Asked::get(ORDERS).certificate(&scene.alice);
    scene.ask(&asked()).expect_status(200);
    for line in [
        "X-Original-URI: /v1/proven",
        "X-Original-Method: GET",
        "X-Original_URI: /v1/proven",
        "X-Original-URL: /v1/proven",
        "X-Rewrite-URL: /v1/proven",
        "X-Forwarded-Uri: /v1/proven",
        "X-Forwarded-Method: DELETE",
    ] {
        scene.is_refused(&asked().with(line), 400, "question_unclear");
    }
    // What backends could take for what is signed.
    for line in [
        "X_Client_Id: admin",
        "X.Key.Id: a",
        "Signature_Input: a",
        "Content_Digest: a",
    ] {
        scene.is_refused(&asked().with(line), 400, "question_unclear");
    }
    // A second certificate, and a second host.
    let twice = asked().certificate(&scene.alice);
    scene.is_refused(&twice, 400, "request_malformed");
    let behind = scene.gateway.curl(&format!("{ASK}/v1/proven"));
    let behind = asked()
        .headers
        .iter()
        .fold(behind, |ask, line| ask.header(line));
    let behind = behind.header("X-Original-Method: GET");
    let behind = behind.header("X-Original-URI: /v1/orders");
    let told = scene.by_front(behind).send();
    told.expect_refusal(400, "question_unclear");
}

/// Who has the names of both fronts is the one that stands first in the configuration, and nothing else.
#[test]
fn p1_a_certificate_with_the_names_of_both_fronts_is_one_of_them() {
    let scene = Scene::new();
    let names = ["ask.internal", "edge.internal"];
    let both = leaf("both")
        .names(&names)
        .signed_by(&scene.fronts.authority);
    let both = scene.world.files(both);
    let asked = Asked::get(ORDERS).certificate(&scene.alice);
    let question = asked.question(&scene.gateway).certificate(&both);
    let answer = question.send().expect_status(200);
    assert!(is_signed(&asked.passed_on(&answer)));
    for path in ["/v1/a", "/.well-known/keyferry/whoami"] {
        let brought = scene.gateway.curl(path).certificate(&both);
        let refused = brought.header(&asked.headers[0]).send();
        refused.expect_refusal(400, "question_unclear");
    }
    assert_eq!(scene.backend.requests().len(), 0);
}

/// Where the question comes to another host than the one that it asks about.
#[test]
fn p2_what_is_told_of_a_certificate_the_host_says_that_is_asked_about() {
    const TERSE: &str = "terse.example.com";
    let (world, backend) = (World::new(), Backend::start());
    let fronts = Fronts::new(&world);
    let mut terse = toml::Table::new();
    terse.insert("names".to_owned(), vec![TERSE].into());
    terse.insert("client_certificates".to_owned(), "terse".into());
    let gateway = fronts.gateway(&world, "rfc9440", "forwarded");
    let gateway = gateway.set("listener.server_name", vec![terse]);
    let gateway = gateway.echo(&backend).start();
    let stranger = world.files(root("Stranger").self_signed());
    let asked = Asked::get(ORDERS).certificate(&stranger);
    for (at, about, is_told) in [
        (HOST, HOST, true),
        (HOST, TERSE, false),
        (TERSE, HOST, true),
        (TERSE, TERSE, false),
    ] {
        let ask = gateway.curl(ASK).certificate(&fronts.ask);
        let ask = ask
            .header(&asked.headers[0])
            .header(&format!("Host: {at}"))
            .header("X-Forwarded-Method: GET")
            .header("X-Forwarded-Uri: /v1/orders")
            .header(&format!("X-Forwarded-Host: {about}"));
        let refused = ask.send().expect_refusal(401, "certificate_untrusted");
        let problems = refused.json()["problems"].is_array();
        assert_eq!(problems, is_told, "{at}, {about}: {}", refused.text());
    }
}

/// Also what is refused before anybody looks at what it asks about, for proxies that drop bodies.
#[test]
fn a_question_that_cannot_be_read_is_refused_as_a_question() {
    let scene = Scene::new();
    let asked = Asked::get(ORDERS)
        .with("Expect: something")
        .with("X-Request-Id: expects");
    scene.is_refused(&asked, 417, "expectation_unknown");
    assert_eq!(scene.gateway.access_line("expects")["question"], true);
}
