//! What goes through the gateway beside plain requests: events, WebSocket, gRPC with its trailers.

use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::python::{Server, run};
use crate::support::world::{HOST, World};

/// The one value of a header among `[[name, value]]`.
fn header<'a>(headers: &'a Value, name: &str) -> &'a str {
    let headers = headers.as_array().unwrap();
    let named = |header: &&Value| header[0].as_str().unwrap().eq_ignore_ascii_case(name);
    let found: Vec<_> = headers.iter().filter(named).collect();
    assert_eq!(found.len(), 1, "{name} once in {headers:#?}");
    found[0][1].as_str().unwrap()
}

#[test]
fn events_arrive_one_by_one() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let request = || gateway.curl("/sse?n=3").certificate(&alice);
    for request in [request().http1(), request().http2()] {
        let mut events = request.stream();
        // The backend sends the next event only after it was told so: a gateway that collects
        // would never show the first.
        assert_eq!(events.line().as_deref(), Some("data: 1"));
        backend.proceed();
        assert_eq!(events.line().as_deref(), Some("data: 2"));
        backend.proceed();
        assert_eq!(events.line().as_deref(), Some("data: 3"));
        assert_eq!(events.line(), None);
    }
}

/// S11: the request that opens a WebSocket is signed like any other.
#[test]
fn a_websocket_is_opened_with_a_signed_identity_and_carries_messages() {
    let (world, server) = (World::new(), Server::start("websocket_server.py"));
    let gateway = Gateway::builder(&world)
        .backend("live", server.address())
        .route("/", "live", "either")
        .start();
    let alice = world.client("alice");
    let connect = |certificate: bool| {
        run(
            "websocket_client.py",
            &json!({
                "address": gateway.address(),
                "host": HOST,
                "path": "/live?from=1",
                "authority": world.authority,
                "certificate": certificate.then_some(&alice.chain),
                "key": certificate.then_some(&alice.key),
                "headers": [["X-Key-Id", "forged"]],
                "messages": ["one", "two"],
            }),
        )
    };
    let answer = connect(true);
    assert_eq!(answer["messages"], json!(["one", "two"]), "{answer:#}");
    let seen = &answer["greeting"]["headers"];
    assert_eq!(header(seen, "x-key-id").len(), 32);
    assert!(header(seen, "signature").starts_with("gw=:"));

    let refused = connect(false);
    assert_eq!(refused["status"], 401, "{refused:#}");
}

#[test]
fn grpc_goes_through_with_messages_metadata_and_status() {
    let (world, server) = (World::new(), Server::start("grpc_server.py"));
    let protocol = toml::toml! { protocol = "http2" };
    let gateway = Gateway::builder(&world)
        .backend_like("echo", server.address(), protocol)
        .route("/", "echo", "either")
        .start();
    let alice = world.client("alice");
    let call = |method: &str, messages: &[&str]| {
        run(
            "grpc_client.py",
            &json!({
                "address": gateway.address(),
                "host": HOST,
                "authority": world.authority,
                "certificate": alice.chain,
                "key": alice.key,
                "metadata": [["x-key-id", "forged"], ["x-app", "kept"]],
                "method": method,
                "messages": messages,
            }),
        )
    };
    for (method, messages) in [
        ("Unary", &["one"][..]),
        ("Stream", &["one", "two", "three"]),
    ] {
        let answer = call(method, messages);
        assert_eq!(answer["code"], "OK", "{answer:#}");
        assert_eq!(answer["messages"], json!(messages));
        assert_eq!(
            header(&answer["trailing"], "x-messages"),
            messages.len().to_string()
        );
        let seen = header(&answer["initial"], "x-seen");
        let seen: Value = serde_json::from_str(seen).unwrap();
        assert_eq!(header(&seen, "x-key-id").len(), 32);
        assert_eq!(header(&seen, "x-app"), "kept");
    }
    let failed = call("Fail", &["no stock"]);
    assert_eq!(failed["code"], "FAILED_PRECONDITION", "{failed:#}");
    assert_eq!(failed["details"], "no stock");
}
