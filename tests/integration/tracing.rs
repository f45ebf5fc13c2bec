//! W3C Trace Context through the gateway, and how a request is found again: by its id, and by its
//! trace. What is recorded of traces is tested in tests/otlp.

use serde_json::{Value, json};

use super::reload_live::reload;
use crate::support::backend::{Backend, Recorded};
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::python::{Server, run};
use crate::support::world::{HOST, World};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// Other headers by which a backend could go on with a client's trace, or believe a client.
const OTHERS: [&str; 4] = [
    "b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1",
    "X-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7",
    "baggage: tenant=admin",
    "X-Datadog-Trace-Id: 42",
];

fn traced(curl: Curl) -> Curl {
    let curl = curl.header(&format!("traceparent: {PARENT}"));
    curl.header("tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
}

#[track_caller]
fn came(request: &Recorded) {
    assert_eq!(request.header("traceparent"), PARENT);
    let state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
    assert_eq!(request.header("tracestate"), state);
}

fn nothing(request: &Recorded) {
    assert_eq!(request.all("traceparent"), [""; 0]);
    assert_eq!(request.all("tracestate"), [""; 0]);
}

#[test]
fn a_clients_trace_goes_on_as_it_came() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let ask = || gateway.curl("/").certificate(&alice);
    for (id, ask) in [("h1", ask().http1()), ("h2", ask().http2())] {
        let ask = OTHERS
            .iter()
            .fold(traced(ask), |ask, line| ask.header(line));
        let ask = ask.header(&format!("X-Request-Id: {id}"));
        ask.send().expect_status(200);
        came(&backend.last());
        assert_eq!(backend.last().header("baggage"), "tenant=admin");
        let line = gateway.access_line(id);
        assert_eq!(line["trace_id"], TRACE);
        assert_eq!(line["trace_recorded"], Value::Null, "nothing is, here");
    }
    // Several lines are one list; a newer version stays what it is.
    let newer = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what";
    let ask = ask().header(&format!("TraceParent: {newer}"));
    let ask = ask.header("tracestate: a=1").header("TRACESTATE: b=2");
    ask.send().expect_status(200);
    assert_eq!(backend.last().header("traceparent"), newer);
    assert_eq!(backend.last().header("tracestate"), "a=1,b=2");
}

#[test]
fn the_trace_of_a_websocket_goes_on_too() {
    let (world, server) = (World::new(), Server::start("websocket_server.py"));
    let gateway = Gateway::builder(&world)
        .backend("live", server.address())
        .route("/", "live", "either")
        .start();
    let alice = world.client("alice");
    let ask = json!({
        "address": gateway.address(),
        "host": HOST,
        "path": "/live",
        "authority": world.authority,
        "certificate": alice.chain,
        "key": alice.key,
        "headers": [["traceparent", PARENT], ["tracestate", "a=1"]],
        "messages": ["one"],
    });
    let answer = run("websocket_client.py", &ask);
    let seen = answer["greeting"]["headers"].as_array().unwrap();
    let header = |name: &str| {
        let is_it = |line: &&Value| line[0].as_str().unwrap().eq_ignore_ascii_case(name);
        let found: Vec<_> = seen.iter().filter(is_it).map(|line| &line[1]).collect();
        assert_eq!(found.len(), 1, "{name}: {answer:#}");
        found[0].clone()
    };
    assert_eq!(header("traceparent"), PARENT);
    assert_eq!(header("tracestate"), "a=1");
}

#[test]
fn what_is_no_trace_context_reaches_no_backend_and_refuses_nobody() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let line = format!("traceparent: {PARENT}");
    let upper = line.replace("4bf9", "4BF9");
    let zeros = format!("traceparent: 00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let longer = format!("{line}-more");
    let other = line.replace("-01", "-00");
    let many = vec!["x=1"; 40].join(",");
    for lines in [
        &["traceparent: {}", "tracestate: a=1"][..],
        &[&upper, "tracestate: a=1"],
        &[&zeros],
        &[&longer],
        &[&line, &other, "tracestate: a=1"],
        &["traceparent;", "tracestate: a=1"],
        &["tracestate: a=1"],
        &["trace-parent: x", "tracestate: a=1"],
    ] {
        for version in [Curl::http1, Curl::http2] {
            let ask = version(gateway.curl("/").certificate(&alice));
            let ask = lines.iter().fold(ask, |ask, line| ask.header(line));
            ask.send().expect_status(200);
            nothing(&backend.last());
        }
    }
    // What is wrong with the state alone does not touch the trace.
    for state in ["a=1,a=2", "A=1", "a", &many, "a=\u{e9}"] {
        let ask = gateway.curl("/").certificate(&alice).header(&line);
        let ask = ask.header(&format!("tracestate: {state}"));
        ask.send().expect_status(200);
        assert_eq!(backend.last().header("traceparent"), PARENT);
        assert_eq!(backend.last().all("tracestate"), [""; 0], "{state}");
    }
    // H7: a key hides nowhere.
    let key = gateway.claim_key(&alice);
    let ask = gateway.curl("/").certificate(&alice).header(&line);
    let ask = ask.header(&format!("tracestate: a={key}"));
    ask.send().expect_status(200);
    assert_eq!(backend.last().all("tracestate"), [""; 0]);
    assert_eq!(backend.last().header("traceparent"), PARENT);
    // Of one that is too long, whole members go on; some backends take `_` for `-`, and there is none.
    let long: Vec<_> = (0..32)
        .map(|n| format!("k{n}={}", "v".repeat(60)))
        .collect();
    let ask = gateway.curl("/").certificate(&alice).header(&line);
    let ask = ask.header(&format!("tracestate: {}", long.join(",")));
    let ask = ask.header("trace_parent: x").header("trace_state: y");
    ask.send().expect_status(200);
    let state = backend.last().header("tracestate").to_owned();
    assert_eq!(state, long[..8].join(","));
    assert_eq!(backend.last().all("trace_parent"), [""; 0]);
}

#[test]
fn whoever_is_not_believed_has_no_say_in_any_trace() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .set("telemetry.tracing.believe", "nobody")
        .start();
    let alice = world.client("alice");
    let ask = |id: &str| {
        let ask = traced(gateway.curl("/").certificate(&alice));
        let ask = OTHERS.iter().fold(ask, |ask, line| ask.header(line));
        let ask = ask.header(&format!("X-Request-Id: {id}"));
        ask.header("X-App: kept").send().expect_status(200);
        backend.last()
    };
    let seen = ask("r1");
    nothing(&seen);
    for line in OTHERS {
        let (name, _) = line.split_once(':').unwrap();
        assert_eq!(seen.all(name), [""; 0], "{name}");
    }
    assert_eq!(seen.header("x-app"), "kept");
    assert_eq!(gateway.access_line("r1")["trace_id"], Value::Null);

    // Taken over while it runs, at the next request.
    let believe = |config: &mut toml::Table| {
        config["telemetry"]["tracing"]["believe"] = "everybody".into();
    };
    gateway.deploy(believe, &[]);
    let told = reload(&gateway);
    assert_eq!(told["outcome"], "taken_over", "{told:#}");
    assert_eq!(told["changed"], json!(["telemetry.tracing.believe"]));
    came(&ask("r2"));
    assert_eq!(gateway.access_line("r2")["trace_id"], TRACE);
}

#[test]
fn a_front_is_believed_once_it_has_proved_to_be_one() {
    let (world, backend) = (World::new(), Backend::start());
    let front = toml::toml! {
        name = "edge"
        from = ["127.0.0.1"]
        format = "rfc9440"
        secret_files = ["front.secret"]
    };
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .file("front.secret", SECRET)
        .push("front", front)
        .set("telemetry.tracing.believe", "fronts")
        .route("/open", "echo", "none")
        .start();
    let ask = || traced(gateway.curl("/open"));
    let secret = format!("X-Front-Secret: {SECRET}");
    ask().header(&secret).send().expect_status(200);
    came(&backend.last());
    ask().send().expect_status(200);
    nothing(&backend.last());
    let wrong = secret.replace("0123", "3210");
    ask().header(&wrong).send().expect_status(200);
    nothing(&backend.last());
}

#[test]
fn what_is_only_observed_goes_on_as_it_came_with_its_trace() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .set("observe.from", vec!["127.0.0.1"])
        .set("telemetry.tracing.believe", "nobody")
        .start();
    let ask = gateway.curl("/").header("traceparent: nonsense");
    ask.header("tracestate: a=1").send().expect_status(200);
    assert_eq!(backend.last().header("traceparent"), "nonsense");
    assert_eq!(backend.last().header("tracestate"), "a=1");
}

/// What a client reports finds the line of the log, and that the trace.
#[test]
fn a_problem_document_leads_to_its_line_and_to_its_trace() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .set("headers.request_id", "X-Correlation")
        .start();
    let refused = traced(gateway.curl("/")).send();
    let refused = refused.expect_refusal(401, "credential_missing");
    let problem = refused.json();
    let id = problem["request_id"].as_str().unwrap();
    assert_eq!(refused.header("x-correlation"), id, "as it is configured");
    assert!(refused.all("x-request-id").is_empty());
    let line = gateway.access_line(id);
    assert_eq!(
        (&line["trace_id"], &line["reason"]),
        (&TRACE.into(), &"credential_missing".into())
    );
}

/// Every line that the gateway writes about a request says which one.
#[test]
fn every_line_about_a_request_has_its_id() {
    let (world, backend) = (World::new(), Backend::start());
    let [nowhere] = crate::support::free_addresses();
    let gateway = Gateway::builder(&world)
        .backend("gone", nowhere)
        .route("/gone", "gone", "either")
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    let call = |path: &str| gateway.curl(&format!("/.well-known/keyferry/{path}"));
    let again = call("key").method("POST").certificate(&alice).send();
    again.expect_refusal(409, "key_already_issued");
    let rotated = call("key/rotate").method("POST").key(&key).send();
    let new = rotated.expect_status(201).json();
    let (key, id) = (
        new["key"].as_str().unwrap(),
        new["key_id"].as_str().unwrap(),
    );
    gateway.curl("/gone").key(key).send().expect_status(503);
    let gone = call(&format!("keys/{id}")).method("DELETE").key(key).send();
    gone.expect_status(204);
    let lines = gateway.lines();
    let ours = lines.iter().filter(|line| {
        let target = line["target"].as_str().unwrap();
        target == "access" || target.starts_with("keyferry::gateway")
    });
    let mut told = std::collections::BTreeSet::new();
    for line in ours {
        let id = line["request_id"].as_str().unwrap_or_default();
        assert!(!id.is_empty(), "{line:#}");
        told.insert(line["message"].as_str().unwrap().to_owned());
    }
    for message in [
        "a certificate was seen for the first time",
        "a client fetched its key",
        "a claim for a key that was fetched before",
        "a client rotated its key",
        "a client revoked its key",
        "cannot reach a backend",
        "a request failed",
        "request",
    ] {
        assert!(told.contains(message), "{message}: {told:#?}");
    }
}
