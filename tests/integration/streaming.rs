//! What does not come all at once: gRPC, WebSocket, events, trailers, and bodies larger than
//! memory.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::backend::{Backend, Recorded};
use crate::support::curl::Curl;
use crate::support::gateway::{Gateway, secret};
use crate::support::pki::server;
use crate::support::process::Process;
use crate::support::python::{Server, run};
use crate::support::signature::verify;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

const MIB: u64 = 1024 * 1024;

/// A gateway before a gRPC server, or anything else that speaks `protocol` in the clear.
fn gateway(world: &World, server: &Server, protocol: &str) -> Gateway {
    let mut entry = toml::Table::new();
    entry.insert("protocol".to_owned(), protocol.into());
    Gateway::builder(world)
        .backend_like("live", server.address(), entry)
        .route("/", "live", "either")
        .start()
}

fn call(
    world: &World,
    gateway: &Gateway,
    client: Option<&Identity>,
    method: &str,
    messages: &[&str],
    metadata: &Value,
) -> Value {
    run(
        "grpc_client.py",
        &json!({
            "address": gateway.address(),
            "host": HOST,
            "authority": world.authority,
            "certificate": client.map(|client| &client.chain),
            "key": client.map(|client| &client.key),
            "metadata": metadata,
            "method": method,
            "messages": messages,
        }),
    )
}

/// The request as the gRPC server saw it, by what it says in its initial metadata.
fn seen(answer: &Value, method: &str) -> Recorded {
    let initial = answer["initial"].as_array().unwrap();
    let text = initial.iter().find(|pair| pair[0] == "x-seen").unwrap()[1]
        .as_str()
        .unwrap();
    let mut headers: Vec<(String, String)> = serde_json::from_str(text).unwrap();
    headers.push(("host".to_owned(), HOST.to_owned()));
    Recorded {
        method: "POST".to_owned(),
        target: format!("/keyferry.test.Echo/{method}"),
        headers,
        trailers: Vec::new(),
        body_bytes: 0,
        body_sha256: String::new(),
        body: String::new(),
        head: Vec::new(),
        connection: 0,
        peer: None,
    }
}

#[test]
fn grpc_goes_through_with_its_streams_and_trailers() {
    let world = World::new();
    let server = Server::start("grpc_server.py");
    let gateway = gateway(&world, &server, "http2");
    let alice = world.client("alice");
    let metadata = json!([["app-key-id", "kept-value"], ["x-key-id", "forged-value"]]);
    for (method, messages) in [
        ("Unary", &["one"][..]),
        ("Stream", &["one", "two", "three"]),
    ] {
        let answer = call(&world, &gateway, Some(&alice), method, messages, &metadata);
        assert_eq!(answer["code"], "OK", "{answer:#}");
        assert_eq!(answer["messages"], json!(messages));
        assert_eq!(
            answer["trailing"],
            json!([["x-messages", messages.len().to_string()]])
        );
        let request = seen(&answer, method);
        assert_eq!(request.header("app-key-id"), "kept-value");
        assert_ne!(request.header("x-key-id"), "forged-value");
        assert_eq!(verify(&request, &secret("live")), Ok(()), "{answer:#}");
    }
    // A status of gRPC's own comes in the trailers, and passes.
    let answer = call(&world, &gateway, Some(&alice), "Fail", &["why"], &json!([]));
    assert_eq!(answer["code"], "FAILED_PRECONDITION", "{answer:#}");
    assert_eq!(answer["details"], "why");
}

#[test]
fn grpc_goes_to_a_backend_over_tls() {
    let world = World::new();
    let behind = world.files(server("orders.internal").signed_by(&world.servers));
    let server = Server::start_with("grpc_server.py", &[&behind.chain, &behind.key]);
    let entry = toml::toml! {
        protocol = "http2"
        tls = { ca_file = "servers.pem", server_name = "orders.internal" }
    };
    let gateway = Gateway::builder(&world)
        .file("servers.pem", world.servers.pem())
        .backend_like("live", server.address(), entry)
        .route("/", "live", "either")
        .start();
    let alice = world.client("alice");
    let messages = ["one", "two"];
    let answer = call(
        &world,
        &gateway,
        Some(&alice),
        "Stream",
        &messages,
        &json!([]),
    );
    assert_eq!(answer["code"], "OK", "{answer:#}");
    assert_eq!(answer["messages"], json!(messages));
    assert_eq!(answer["trailing"], json!([["x-messages", "2"]]));
    assert_eq!(verify(&seen(&answer, "Stream"), &secret("live")), Ok(()));
}

#[test]
fn grpc_by_key_is_the_same_client_and_without_a_credential_nobody() {
    let world = World::new();
    let server = Server::start("grpc_server.py");
    let gateway = gateway(&world, &server, "http2");
    let alice = world.client("alice");
    let by_certificate = call(
        &world,
        &gateway,
        Some(&alice),
        "Unary",
        &["one"],
        &json!([]),
    );
    let by_certificate = seen(&by_certificate, "Unary");
    let key = gateway.claim_key(&alice);
    let metadata = json!([["authorization", format!("Bearer {key}")]]);
    let answer = call(&world, &gateway, None, "Unary", &["one"], &metadata);
    assert_eq!(answer["code"], "OK", "{answer:#}");
    assert!(!answer.to_string().contains(&key));
    let by_key = seen(&answer, "Unary");
    assert_eq!(by_key.header("x-key-id"), by_certificate.header("x-key-id"));
    assert_eq!(verify(&by_key, &secret("live")), Ok(()));

    let answer = call(&world, &gateway, None, "Unary", &["one"], &json!([]));
    assert_eq!(answer["code"], "UNAUTHENTICATED", "{answer:#}");
}

/// H12: trailers of an answer that imitate the gateway are taken out, others stay.
#[test]
fn h12_trailers_that_imitate_the_gateway_are_removed() {
    let world = World::new();
    let server = Server::start("grpc_server.py");
    let gateway = gateway(&world, &server, "http2");
    let alice = world.client("alice");
    let metadata = json!([
        ["trail-x-key-id", "forged-value"],
        ["trail-signature", "gw=:forged-value:"],
        ["trail-app", "kept-value"]
    ]);
    // The attack: without the gateway they arrive.
    let directly = run(
        "grpc_client.py",
        &json!({ "address": server.address(), "metadata": metadata, "method": "Stream", "messages": ["one"] }),
    );
    let trailing = directly["trailing"].to_string();
    assert!(
        trailing.contains(r#"["x-key-id","forged-value"]"#),
        "{directly:#}"
    );

    let answer = call(
        &world,
        &gateway,
        Some(&alice),
        "Stream",
        &["one"],
        &metadata,
    );
    assert_eq!(answer["code"], "OK", "{answer:#}");
    let trailing = answer["trailing"].to_string();
    assert!(!trailing.contains("forged-value"), "{answer:#}");
    assert!(trailing.contains(r#"["app","kept-value"]"#), "{answer:#}");
}

/// H12: HTTP/1.1 has no trailers that clients look at, and none are passed on: the answer is whole
/// without them.
#[test]
fn h12_trailers_of_an_http1_backend_are_left_out() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let path = "/trailers?X-Key-Id=forged-value&App=kept-value";
    // The attack: without the gateway they arrive.
    let directly = Curl::get(&format!("http://{}{path}", backend.address())).send();
    assert_eq!(directly.trailers.len(), 2);
    let requests = [
        gateway.curl(path).http1().certificate(&alice),
        gateway.curl(path).http2().certificate(&alice),
    ];
    for request in requests {
        let answer = request.send().expect_status(200);
        assert_eq!(
            (answer.text().as_str(), answer.error.as_str()),
            ("body", "")
        );
        assert!(!format!("{:?}{:?}", answer.headers, answer.trailers).contains("forged-value"));
    }
}

fn websocket(
    world: &World,
    gateway: &Gateway,
    client: Option<&Identity>,
    headers: &Value,
) -> Value {
    run(
        "websocket_client.py",
        &json!({
            "address": gateway.address(),
            "host": HOST,
            "path": "/live?from=1",
            "authority": world.authority,
            "certificate": client.map(|client| &client.chain),
            "key": client.map(|client| &client.key),
            "headers": headers,
            "messages": ["one", "two", "x".repeat(100_000)],
        }),
    )
}

/// S11: the request that opens a WebSocket is signed like any other; then the frames pass.
#[test]
fn s11_the_websocket_upgrade_is_signed() {
    let world = World::new();
    let server = Server::start("websocket_server.py");
    let gateway = gateway(&world, &server, "http1");
    let alice = world.client("alice");
    let forged = json!([
        ["X-Key-Id", "forged-value"],
        ["Signature", "gw=:forged-value:"],
        ["App", "kept-value"]
    ]);
    let key = gateway.claim_key(&alice);
    let by_key = json!([["Authorization", format!("Bearer {key}")]]);
    for (client, headers) in [(Some(&alice), &forged), (None, &by_key)] {
        let answer = websocket(&world, &gateway, client, headers);
        assert_eq!(
            answer["messages"],
            json!(["one", "two", "x".repeat(100_000)]),
            "{answer:#}"
        );
        let greeting = &answer["greeting"];
        assert_eq!(greeting["target"], "/live?from=1");
        assert!(
            !greeting.to_string().contains("forged-value"),
            "{greeting:#}"
        );
        assert!(!greeting.to_string().contains(&key), "{greeting:#}");
        let request = Recorded {
            headers: serde_json::from_value(greeting["headers"].clone()).unwrap(),
            target: "/live?from=1".to_owned(),
            method: "GET".to_owned(),
            ..seen(&json!({ "initial": [["x-seen", "[]"]] }), "Unary")
        };
        assert_eq!(verify(&request, &secret("live")), Ok(()), "{greeting:#}");
    }
    // Without a credential it is not opened.
    let answer = websocket(&world, &gateway, None, &json!([]));
    assert_eq!(answer["status"], 401, "{answer:#}");
}

/// Events arrive when they are sent, not when the answer ends.
#[test]
fn the_first_event_arrives_before_the_stream_ends() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    for version in ["--http1.1", "--http2"] {
        let port = gateway.address().port();
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--no-buffer",
            "--max-time",
            "60",
            version,
        ]);
        curl.args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
        curl.arg("--cacert").arg(&world.authority);
        curl.arg("--cert")
            .arg(&alice.chain)
            .arg("--key")
            .arg(&alice.key);
        curl.arg(format!("https://{HOST}:{port}/sse?n=3"));
        let mut curl = Process::start(&mut curl, &world.path(version));
        for event in ["data: 1\n\n", "data: 1\n\ndata: 2\n\n"] {
            wait_for(event, || (curl.log() == event).then_some(()));
            assert!(curl.ended().is_none());
            backend.proceed();
        }
        let status = wait_for("the end", || curl.ended());
        assert!(status.success());
        assert_eq!(curl.log(), "data: 1\n\ndata: 2\n\ndata: 3\n\n");
    }
}

/// A body that is far larger than what the gateway may hold, up and down, over either version of
/// HTTP: four gibibytes in all, which take about twenty seconds.
#[test]
fn a_gibibyte_goes_either_way_in_flat_memory() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let curl = |path: &str, http2: bool| {
        let curl = gateway.curl(path).certificate(&alice);
        if http2 { curl.http2() } else { curl.http1() }
    };
    for http2 in [false, true] {
        curl("/", http2).send().expect_status(200);
        curl("/", http2).upload(8 * MIB).send().expect_status(200);
        curl("/bytes?n=8388608", http2)
            .discard_body()
            .send()
            .expect_status(200);
    }
    let before = gateway.resident_bytes();
    for http2 in [false, true] {
        let requests = [
            curl("/", http2).upload(1024 * MIB),
            curl("/bytes?n=1073741824", http2).discard_body(),
        ];
        for request in requests {
            let highest = std::thread::scope(|scope| {
                let sending = scope.spawn(|| request.send().expect_status(200));
                let mut highest = 0;
                while !sending.is_finished() {
                    highest = highest.max(gateway.resident_bytes());
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                let answer = sending.join().unwrap();
                assert!(answer.body_bytes == 1024 * MIB || backend.last().body_bytes == 1024 * MIB);
                highest
            });
            let grown = highest.saturating_sub(before) / MIB;
            assert!(
                grown < 32,
                "the gateway grew by {grown} MiB, HTTP/2: {http2}"
            );
        }
    }
}
