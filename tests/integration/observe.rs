//! Observing behind or beside an existing gateway: everything goes on as it came, and what would
//! have been decided is recorded. Every test has the same request at a gateway that enforces.

use serde_json::Value;

use crate::support::backend::{Backend, Recorded};
use crate::support::curl::Curl;
use crate::support::gateway::{Builder, Gateway};
use crate::support::pki::{leaf, root};
use crate::support::world::{HOST, Identity, World};

/// What the existing gateway sets, and what nobody but it may set.
const SET: [&str; 7] = [
    "X-Client-Id: acme",
    "X-SSL-Client-Verify: SUCCESS",
    "X_Key.Id: theirs",
    "X-Original-URL: /elsewhere",
    "X-Forwarded-For: 203.0.113.9",
    "Signature: gw=:AAAA:",
    "Authorization: Bearer of-the-application",
];

fn builder<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    Gateway::builder(world).echo(backend)
}

fn observing(world: &World, backend: &Backend) -> Gateway {
    builder(world, backend)
        .set("observe.from", vec!["127.0.0.1"])
        .set("observe.identity_header", "X-Client-Id")
        .start()
}

fn with_all(curl: Curl) -> Curl {
    SET.iter().fold(curl, |curl, line| curl.header(line))
}

fn expired(world: &World) -> Identity {
    world.client_like(leaf("late").dates(-7200, -3600))
}

/// The header lines as they came, but for what a connection has of its own.
fn lines(request: &Recorded) -> Vec<(String, String)> {
    let own = |name: &str| ["host", "connection"].contains(&name.to_lowercase().as_str());
    let headers = request.headers.iter().filter(|(name, _)| !own(name));
    headers
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .collect()
}

#[test]
fn observing_passes_on_what_it_would_refuse_and_enforcing_does_not() {
    let (world, backend) = (World::new(), Backend::start());
    let (observing, enforcing) = (
        observing(&world, &backend),
        Gateway::start(&world, &backend),
    );
    let stranger = root("stranger").key_usage(&["digitalSignature", "keyCertSign"]);
    let stranger = world.files(stranger.self_signed());
    for (client, reason) in [
        (&expired(&world), "certificate_expired"),
        (&stranger, "certificate_untrusted"),
    ] {
        let refused = enforcing.curl("/").certificate(client).send();
        refused.expect_refusal(401, reason);
        let passed = observing.curl("/").certificate(client);
        passed.header("X-Request-Id: r1").send().expect_status(200);
    }
    let nobody = observing.curl("/").header("X-Request-Id: r2").send();
    nobody.expect_status(200);
    assert_eq!(backend.requests().len(), 3);
    let line = observing.access_line("r2");
    assert_eq!(line["observe"], "passed");
    assert_eq!(line["would_refuse"], "credential_missing");
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&200.into(), &Value::Null)
    );
}

#[test]
fn what_is_observed_arrives_as_it_came() {
    let (world, backend) = (World::new(), Backend::start());
    let (observing, enforcing) = (
        observing(&world, &backend),
        Gateway::start(&world, &backend),
    );
    let alice = world.client("alice");
    let target = "/a;b//c?d=%20&e";
    let sent = |curl: Curl| {
        with_all(curl).http1().send().expect_status(200);
        backend.last()
    };
    let directly = sent(Curl::get(&format!("http://{}{target}", backend.address())));
    let observed = sent(observing.curl(target).certificate(&alice));
    assert_eq!(lines(&observed), lines(&directly));
    assert_eq!(observed.target, directly.target);
    assert!(observed.header("host").starts_with(HOST));
    // Over HTTP/2 the host is no header, and to the backend it is.
    let ask = observing.curl(target).certificate(&alice);
    with_all(ask).http2().send().expect_status(200);
    assert_eq!(backend.last().header("host"), observed.header("host"));

    // Who enforces takes all of it away and sets its own.
    let enforced = sent(enforcing.curl("/x").certificate(&alice));
    assert_ne!(enforced.all("x-client-id"), ["acme"]);
    assert_eq!(enforced.all("x_key.id"), [""; 0]);
    assert_eq!(enforced.all("x-ssl-client-verify"), [""; 0]);
    assert_ne!(enforced.all("signature"), ["gw=:AAAA:"]);
}

#[test]
fn the_answer_comes_back_as_it_is() {
    let (world, backend) = (World::new(), Backend::start());
    let (observing, enforcing) = (
        observing(&world, &backend),
        Gateway::start(&world, &backend),
    );
    let alice = world.client("alice");
    let answer = |gateway: &Gateway| {
        let curl = gateway
            .curl("/headers?X-Client-Id=theirs")
            .certificate(&alice);
        curl.send().expect_status(200)
    };
    assert_eq!(answer(&enforcing).all("x-client-id"), [""; 0]);
    assert_eq!(answer(&observing).all("x-client-id"), ["theirs"]);
}

#[test]
fn h7_also_an_observing_gateway_keeps_keys_from_the_backend() {
    let (world, backend) = (World::new(), Backend::start());
    let observing = observing(&world, &backend);
    // Self-service works, so that clients can begin.
    let alice = world.client("alice");
    let key = observing.claim_key(&alice);
    let told = observing.curl("/").header("X-Client-Id: acme").key(&key);
    told.header(&format!("X-Copy: {key}"))
        .send()
        .expect_status(200);
    let request = backend.last();
    assert!(
        !String::from_utf8_lossy(&request.head).contains(&key),
        "{request:#?}"
    );
    assert_eq!(request.header("x-client-id"), "acme");
}

#[test]
fn only_the_existing_gateway_is_observed() {
    let (world, backend) = (World::new(), Backend::start());
    let elsewhere = builder(&world, &backend)
        .set("observe.from", vec!["10.0.0.5", "192.0.2.0/24"])
        .start();
    let refused = elsewhere.curl("/").certificate(&expired(&world));
    refused.send().expect_refusal(401, "certificate_expired");
    let alice = elsewhere.curl("/").certificate(&world.client("alice"));
    let answer = alice
        .header("X-Client-Id: acme")
        .header("X-Request-Id: r1")
        .send();
    answer.expect_status(200);
    assert_ne!(backend.last().header("x-client-id"), "acme");
    assert_eq!(elsewhere.access_line("r1")["observe"], "enforced");
}

#[test]
fn r13_what_has_two_readings_is_refused_while_observing_too() {
    let (world, backend) = (World::new(), Backend::start());
    let observing = observing(&world, &backend);
    for path in ["/a/../b", "/a%00", "//.well-known/keyferry/x"] {
        let answer = observing.curl(path).option("--path-as-is").send();
        answer.expect_refusal(400, "request_malformed");
    }
    let two = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: other\r\n\r\n");
    let answer = observing.s_client().send_quietly(two.as_bytes());
    assert_eq!(answer.status(), Some(400));
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn observing_is_loud() {
    let (world, backend) = (World::new(), Backend::start());
    let (observing, enforcing) = (
        observing(&world, &backend),
        Gateway::start(&world, &backend),
    );
    let said = |gateway: &Gateway, line: &str| gateway.metrics().lines().any(|l| l == line);
    assert!(said(&observing, "keyferry_observing 1") && said(&enforcing, "keyferry_observing 0"));
    let warned = |gateway: &Gateway| {
        let lines = gateway.lines();
        lines.iter().any(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            line["level"] == "WARN" && message.contains("ONLY OBSERVES")
        })
    };
    assert!(warned(&observing) && !warned(&enforcing));
    let check = |gateway: &Gateway| gateway.cli(&["check"]).expect_success().output;
    assert!(
        check(&observing).contains("IT ONLY OBSERVES — what comes from 127.0.0.1 is passed on")
    );
    assert!(!check(&enforcing).contains("OBSERVES"));
    let mode = |gateway: &Gateway| {
        let told = gateway.cli(&["check", "--output", "json"]).json();
        told["summary"]["mode"].clone()
    };
    assert_eq!(
        (mode(&observing), mode(&enforcing)),
        ("observe".into(), "enforce".into())
    );
    enforcing
        .curl("/")
        .header("X-Request-Id: r1")
        .send()
        .expect_status(401);
    assert_eq!(enforcing.access_line("r1")["observe"], Value::Null);
}

#[test]
fn the_report_names_what_would_be_refused_and_where_identities_differ() {
    let (world, backend) = (World::new(), Backend::start());
    let observing = observing(&world, &backend);
    let [alice, bob, quiet] = ["alice", "bob", "quiet"].map(|name| world.client(name));
    let call = |client: &Identity, name: Option<&str>| {
        let curl = observing.curl("/").certificate(client);
        let named = match name {
            Some(name) => curl.header(&format!("X-Client-Id: {name}")),
            None => curl,
        };
        named.send().expect_status(200);
    };
    call(&alice, Some("CN=alice"));
    call(&alice, Some("CN=alice"));
    let told = observing.cli(&["observe", "report"]).expect_success();
    assert!(
        told.output
            .contains("nothing would have been refused, and nothing differs")
    );

    call(&expired(&world), Some("late"));
    call(&quiet, None);
    call(&bob, Some("CN=alice"));
    call(&bob, Some("b\u{202e}ob"));
    let told = observing.cli(&["observe", "report", "--output", "json"]);
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    let json = told.json();
    assert_eq!(
        (&json["requests"], &json["clean"]),
        (&6.into(), &false.into())
    );
    let refused = &json["refusals"][0];
    assert_eq!(refused["reason"], "certificate_expired");
    assert_eq!(
        (&refused["count"], &refused["address"]),
        (&1.into(), &"127.0.0.1".into())
    );
    assert_eq!(refused["fingerprint"].as_str().map(str::len), Some(64));
    assert_eq!(json["named_but_refused"][0]["value"], "late");
    assert_eq!(json["known_but_unnamed"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["shared_values"][0]["value"], "CN=alice");
    let values = &json["split_clients"][0]["values"];
    assert_eq!(values, &serde_json::json!(["CN=alice", "b\\u{202e}ob"]));
    assert_eq!(
        (&json["agreed_pairs"], &json["left_out"]),
        (&0.into(), &0.into())
    );

    let text = observing.cli(&["observe", "report"]).output;
    for part in [
        "observed 6 requests",
        "certificate_expired",
        "with a name, but would be refused (x-client-id)",
        "known here, but without a name",
        "CN=alice stands for several clients",
        "has several names: CN=alice · b\\u{202e}ob",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }

    let enforcing = Gateway::start(&world, &backend);
    let told = enforcing.cli(&["observe", "report"]);
    assert_eq!(told.status.code(), Some(64), "{told:#?}");
    assert!(told.errors.contains("this gateway enforces"), "{told:#?}");
}
