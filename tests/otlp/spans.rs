//! What spans say: of requests that went to a backend, that were refused, that were sent again.

use serde_json::{Value, json};

use crate::collector::{Collector, tracing};
use crate::support::backend::{Backend, Recorded};
use crate::support::free_addresses;
use crate::support::gateway::{Gateway, secret};
use crate::support::world::World;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const STEP: &str = "00f067aa0ba902b7";

/// The parts of a `traceparent`: trace, step, flags.
fn parts(traceparent: &str) -> (String, String, String) {
    let parts: Vec<_> = traceparent.split('-').map(str::to_owned).collect();
    assert_eq!((parts.len(), parts[0].as_str()), (4, "00"), "{traceparent}");
    (parts[1].clone(), parts[2].clone(), parts[3].clone())
}

/// The attributes of the span have these values.
#[track_caller]
fn tells(span: &Value, told: &[(&str, Value)]) {
    for (name, value) in told {
        assert_eq!(span["attributes"][name], *value, "{name}: {span:#}");
    }
}

fn of_server(version: &str, seen: &Recorded) -> [(&'static str, Value); 13] {
    [
        ("http.request.method", json!("GET")),
        ("http.response.status_code", json!(200)),
        ("http.route", json!("/")),
        ("url.scheme", json!("https")),
        ("url.path", json!("/v1/x")),
        ("server.address", json!("api.example.com")),
        ("client.address", json!("127.0.0.1")),
        ("network.peer.address", json!("127.0.0.1")),
        ("network.protocol.version", json!(version)),
        ("keyferry.route", json!("echo-either")),
        ("keyferry.auth", json!("key")),
        ("keyferry.client", json!(seen.header("x-client-id"))),
        ("keyferry.key_id", json!(seen.header("x-key-id"))),
    ]
}

fn of_client(backend: &Backend) -> [(&'static str, Value); 6] {
    let url = format!("http://{}/v1/x", backend.address());
    [
        ("http.request.method", json!("GET")),
        ("http.response.status_code", json!(200)),
        ("url.full", json!(url)),
        ("server.address", json!("127.0.0.1")),
        ("server.port", json!(backend.address().port())),
        ("keyferry.backend", json!("echo")),
    ]
}

/// K17: neither the key, whole or not, nor what stands in a query.
#[track_caller]
fn holds_no_secret(sent: &[u8], key: &str) {
    let has = |part: &str| {
        sent.windows(part.len())
            .any(|window| window == part.as_bytes())
    };
    let (_, secret) = key.rsplit_once('_').unwrap();
    assert!(has("/v1/x"), "it would be found");
    for part in [secret, key.get(..24).unwrap(), "secret=1"] {
        assert!(!has(part), "{part}");
    }
}

#[test]
fn a_request_is_a_span_of_the_server_and_one_of_the_client() {
    let (world, backend, collector) = (World::new(), Backend::start(), Collector::start());
    let gateway = tracing(&world, &backend, &collector)
        .set("telemetry.tracing.service", "edge")
        .set("telemetry.tracing.attributes.zone", "b")
        .start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    for (id, ask) in [
        ("one", gateway.curl("/v1/x?secret=1").http1()),
        ("two", gateway.curl("/v1/x?secret=1").http2()),
    ] {
        let ask = ask.key(&key).header(&format!("X-Request-Id: {id}"));
        ask.send().expect_status(200);
        let seen = backend.last();
        let (trace, step, flags) = parts(seen.header("traceparent"));
        let spans = collector.of(id);
        let [server, client] = spans.as_slice() else {
            panic!("{spans:#?}");
        };
        assert_eq!((&server["trace"], flags.as_str()), (&trace.into(), "01"));
        assert_eq!(client["span"], step.as_str(), "the backend's parent");
        assert_eq!(
            (&server["name"], &server["kind"]),
            (&"GET /".into(), &"SPAN_KIND_SERVER".into())
        );
        assert_eq!(
            (&client["name"], &client["kind"]),
            (&"GET".into(), &"SPAN_KIND_CLIENT".into())
        );
        assert_eq!(server["parent"], "");
        let version = if id == "one" { "1.1" } else { "2" };
        tells(server, &of_server(version, &seen));
        tells(client, &of_client(&backend));
        let time = |span: &Value, end: &str| span[end].as_u64().unwrap();
        assert!(time(server, "start") <= time(client, "start"));
        assert!(time(client, "start") < time(client, "end"));
        assert!(time(client, "end") <= time(server, "end"));
        for span in [server, client] {
            assert_eq!(
                (&span["status"], &span["scope"]),
                (&"STATUS_CODE_UNSET".into(), &"keyferry".into())
            );
            assert_eq!(span["resource"]["service.name"], "edge");
            assert_eq!(span["resource"]["zone"], "b");
            assert_eq!(
                span["resource"]["service.version"],
                env!("CARGO_PKG_VERSION")
            );
        }
        let line = gateway.access_line(id);
        assert_eq!(
            (&line["trace_id"], &line["trace_recorded"]),
            (&server["trace"], &true.into())
        );
    }
    holds_no_secret(&collector.bytes(), &key);
}

/// What a client reports leads to the reason: by the request's id, the log and the trace.
#[test]
fn a_refused_request_is_found_from_its_problem_document() {
    let (world, backend, collector) = (World::new(), Backend::start(), Collector::start());
    let gateway = tracing(&world, &backend, &collector)
        .set("telemetry.tracing.sample", 0.0)
        .start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    let id = key.strip_prefix("kf_live_").unwrap();
    let revoked = gateway.cli(&["key", "revoke", id.get(..32).unwrap()]);
    revoked.expect_success();
    let ask = gateway.curl("/v1/orders").key(&key);
    let ask = ask.header(&format!("traceparent: 00-{TRACE}-{STEP}-01"));
    let problem = ask.send().expect_refusal(401, "key_invalid").json();
    let id = problem["request_id"].as_str().unwrap();
    let line = gateway.access_line(id);
    let spans = collector.of(id);
    assert_eq!(spans.len(), 1, "it was sent to nobody");
    let [server] = spans.as_slice() else {
        unreachable!()
    };
    assert_eq!(line["trace_id"], server["trace"]);
    assert_ne!(
        server["trace"], TRACE,
        "who is not believed begins no trace of ours"
    );
    assert_eq!(server["links"], json!([[TRACE, STEP]]), "and is linked to");
    let told = &server["attributes"];
    assert_eq!(told["keyferry.reason"], "key_invalid");
    assert_eq!(
        told["keyferry.detail"], line["detail"],
        "what the client was not told"
    );
    assert_eq!(told["http.response.status_code"], 401);
    assert_eq!(
        server["status"], "STATUS_CODE_UNSET",
        "it is the client's mistake"
    );
    // Nothing else is recorded here, and the backend knows.
    gateway
        .curl("/")
        .certificate(&alice)
        .header("X-Request-Id: other")
        .send();
    let (_, _, flags) = parts(backend.last().header("traceparent"));
    assert_eq!(flags, "00");
    assert_eq!(gateway.access_line("other")["trace_recorded"], false);
}

#[test]
fn whoever_is_believed_decides_what_is_recorded() {
    let (world, backend, collector) = (World::new(), Backend::start(), Collector::start());
    let gateway = tracing(&world, &backend, &collector)
        .set("telemetry.tracing.believe", "everybody")
        .set("telemetry.tracing.sample", 0.0)
        .start();
    let alice = world.client("alice");
    for (id, sent) in [("kept", "01"), ("left", "00"), ("random", "03")] {
        let ask = gateway.curl("/").certificate(&alice);
        let ask = ask.header(&format!("traceparent: 00-{TRACE}-{STEP}-{sent}"));
        let ask = ask
            .header("tracestate: rojo=1")
            .header(&format!("X-Request-Id: {id}"));
        ask.send().expect_status(200);
        let (trace, step, flags) = parts(backend.last().header("traceparent"));
        assert_eq!((trace.as_str(), flags.as_str()), (TRACE, sent));
        assert_ne!(step, STEP, "the gateway's own step");
        assert_eq!(backend.last().header("tracestate"), "rojo=1");
    }
    let spans = collector.of("random");
    assert_eq!(
        (&spans[0]["parent"], &spans[0]["trace"]),
        (&STEP.into(), &TRACE.into())
    );
    assert_eq!(
        (&spans[0]["state"], &spans[0]["links"]),
        (&"rojo=1".into(), &json!([]))
    );
    let ids: Vec<_> = collector
        .spans()
        .iter()
        .map(|span| span["attributes"]["keyferry.request_id"].clone())
        .collect();
    assert!(
        ids.contains(&"kept".into()) && !ids.contains(&"left".into()),
        "{ids:?}"
    );
    // A client's mistake begins another.
    let ask = gateway
        .curl("/")
        .certificate(&alice)
        .header("traceparent: nonsense");
    ask.send().expect_status(200);
    assert_ne!(parts(backend.last().header("traceparent")).0, TRACE);
}

#[test]
fn every_attempt_is_a_span_of_its_own() {
    let (world, backend, collector) = (World::new(), Backend::start(), Collector::start());
    let [nowhere] = free_addresses();
    let mut entry = toml::toml! {
        name = "echo"
        protocol = "http1"
        signing = { key_id = "echo", secret_file = "echo.secret" }
    };
    let addresses = [nowhere, backend.address()].map(|address| address.to_string());
    entry.insert("addresses".to_owned(), addresses.to_vec().into());
    let gateway = Gateway::builder(&world)
        .file("echo.secret", secret("echo"))
        .push("backend", entry)
        .route("/", "echo", "either")
        .set("telemetry.tracing.collector", collector.url())
        .start();
    let alice = world.client("alice");
    let ask = |id: &str| {
        let ask = gateway.curl("/").certificate(&alice);
        ask.header(&format!("X-Request-Id: {id}"))
            .send()
            .expect_status(200);
        let step = parts(backend.last().header("traceparent")).1;
        (collector.of(id), step)
    };
    // In turn: of two requests at least one goes to where nobody is, first.
    let both = [ask("a"), ask("b")];
    let (spans, step) = both
        .iter()
        .find(|(spans, _)| spans.len() == 3)
        .expect("two attempts");
    let [_, failed, answered] = spans.as_slice() else {
        unreachable!()
    };
    assert_eq!(
        (&failed["status"], &failed["attributes"]["error.type"]),
        (&"STATUS_CODE_ERROR".into(), &"ConnectRefused".into())
    );
    assert_eq!(
        failed["attributes"]["http.response.status_code"],
        Value::Null
    );
    assert_eq!(answered["attributes"]["http.request.resend_count"], 1);
    assert_eq!(answered["span"], step.as_str());
}

#[test]
fn a_failing_backend_is_an_error_and_an_unknown_method_no_name() {
    let (world, backend, collector) = (World::new(), Backend::start(), Collector::start());
    let gateway = tracing(&world, &backend, &collector).start();
    let alice = world.client("alice");
    let ask = |path: &str, id: &str| {
        let ask = gateway.curl(path).certificate(&alice);
        ask.header(&format!("X-Request-Id: {id}"))
    };
    ask("/status/503", "failing").send().expect_status(503);
    let spans = collector.of("failing");
    for span in &spans {
        assert_eq!(
            (&span["status"], &span["attributes"]["error.type"]),
            (&"STATUS_CODE_ERROR".into(), &"503".into()),
            "{span:#}"
        );
    }
    assert_eq!(spans.len(), 2);
    ask("/", "odd").method("BREW").send();
    let spans = collector.of("odd");
    assert_eq!(spans[0]["name"], "HTTP /");
    assert_eq!(spans[0]["attributes"]["http.request.method"], "_OTHER");
    assert_eq!(
        spans[0]["attributes"]["http.request.method_original"],
        "BREW"
    );
    // A refusal of ours that is nobody's route.
    ask("/.well-known/keyferry/nothing", "own").send();
    assert_eq!(collector.of("own")[0]["name"], "GET");
}
