//! The peers that are not ours: each is first tried without the gateway, so that a failure
//! through it is the gateway's.

use serde_json::json;

use crate::support::python::{Server, run};

#[test]
fn grpc_echoes_streams_and_fails_as_asked() {
    let server = Server::start("grpc_server.py");
    let call = |method: &str| {
        run(
            "grpc_client.py",
            &json!({
                "address": server.address(),
                "metadata": [["x-a", "b"]],
                "method": method,
                "messages": ["one"],
            }),
        )
    };
    for method in ["Unary", "Stream"] {
        let answer = call(method);
        assert_eq!(answer["code"], "OK", "{answer:#}");
        assert_eq!(answer["messages"], json!(["one"]));
        assert_eq!(answer["trailing"], json!([["x-messages", "1"]]));
        assert!(answer["initial"].to_string().contains("x-a"), "{answer:#}");
    }
    let answer = call("Fail");
    assert_eq!(
        (&answer["code"], &answer["details"]),
        (&json!("FAILED_PRECONDITION"), &json!("one"))
    );
}

#[test]
fn a_websocket_shows_its_request_and_echoes() {
    let server = Server::start("websocket_server.py");
    let answer = run(
        "websocket_client.py",
        &json!({
            "address": server.address(),
            "host": "api.example.com",
            "path": "/live?from=1",
            "headers": [["X-A", "b"]],
            "messages": ["one", "two"],
        }),
    );
    assert_eq!(answer["messages"], json!(["one", "two"]), "{answer:#}");
    assert_eq!(answer["greeting"]["target"], "/live?from=1");
    assert!(
        answer["greeting"]["headers"]
            .to_string()
            .contains(r#"["X-A","b"]"#)
    );
}

#[test]
fn http2_frames_go_out_as_they_are_written() {
    let server = Server::start("grpc_server.py");
    let head = |extra: [&str; 2]| {
        json!({ "headers": [
            [":method", "POST"], [":scheme", "http"], [":path", "/none"], [":authority", "h"],
            ["content-type", "application/grpc"], ["te", "trailers"], extra,
        ]})
    };
    let answer = run(
        "h2_client.py",
        &json!({
            "address": server.address(),
            "host": "h",
            "requests": [head(["x-a", "b"]), head(["X-Upper", "not allowed"])],
        }),
    );
    // An upper-case name is malformed (RFC 9113 8.2.1), and gRPC says so: 13 is INTERNAL, where an
    // unknown method alone is 12.
    let status = |number: usize| answer["answers"][number]["headers"].to_string();
    assert!(status(0).contains(r#"["grpc-status","12"]"#), "{answer:#}");
    assert!(status(1).contains(r#"["grpc-status","13"]"#), "{answer:#}");
}
