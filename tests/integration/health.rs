//! `keyferry health`, for containers that have no curl.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use keyferry::clock;

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::world::World;
use crate::support::{linger, wait_for};

#[track_caller]
fn expect(told: &Told, status: i32, words: &str) {
    assert_eq!(told.status.code(), Some(status), "{told:#?}");
    let all = format!("{}{}", told.output, told.errors);
    assert!(all.contains(words), "{told:#?}");
}

/// While it drains it lives, and must not be killed, and serves nobody who comes anew.
#[test]
fn health_tells_whether_the_gateway_serves_and_whether_it_lives() {
    let (world, backend) = (World::new(), Backend::start());
    let builder = Gateway::builder(&world).echo(&backend);
    let mut gateway = builder.set("shutdown.lame_duck", "30s").start();
    expect(&gateway.cli(&["health"]), 0, "ready");
    expect(&gateway.cli(&["health", "--live"]), 0, "ok");
    let json = gateway.cli(&["health", "--output", "json"]).json();
    assert_eq!(json["answer"], "ready");

    gateway.signal("TERM");
    wait_for("the lame duck", || {
        (gateway.health("/readyz") == 503).then_some(())
    });
    expect(&gateway.cli(&["health"]), 69, "draining");
    expect(&gateway.cli(&["health", "--live"]), 0, "ok");
    gateway.kill();
    expect(
        &gateway.cli(&["health", "--live"]),
        69,
        "no gateway answers",
    );
}

/// A running gateway goes on with what it had when its configuration is broken. Whoever kills it for
/// that finds that it does not start again.
#[test]
fn a_configuration_that_was_broken_since_makes_no_gateway_unhealthy() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let right = gateway.contents("keyferry.toml");
    gateway.put("keyferry.toml", &format!("nonsense = 1\n{right}"));
    expect(&gateway.cli(&["check"]), 78, "nonsense");
    expect(&gateway.cli(&["health"]), 0, "ready");

    gateway.put("keyferry.toml", "what is this?");
    expect(&gateway.cli(&["health"]), 78, "keyferry.toml:1");
    let address = gateway.telemetry().to_string();
    expect(&gateway.cli(&["health", "--address", &address]), 0, "ready");

    gateway.put("keyferry.toml", "[telemetry]\naddress = \"localhost\"\n");
    expect(
        &gateway.cli(&["health"]),
        78,
        "is not an IP address and port",
    );
}

/// Somebody else has the port of a gateway that is gone, and is no gateway, or never done.
#[test]
fn nobody_else_passes_for_a_gateway_or_holds_the_question_up() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::start(&world, &backend);
    gateway.kill();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ask = || gateway.cli(&["health", "--address", &address]);
    let asked = || {
        let (stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let _head: Vec<_> = lines
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        stream
    };
    std::thread::scope(|scope| {
        let answers = scope.spawn(|| {
            let head = b"HTTP/1.1 200 OK\r\n\r\n";
            // The control: these very bytes from anybody are believed.
            for body in ["ready\n", "It works!"] {
                let mut stream = asked();
                stream.write_all(&[head, body.as_bytes()].concat()).unwrap();
            }
            let mut stream = asked();
            stream.write_all(head).unwrap();
            while stream.write_all(b".").is_ok() {
                linger(Duration::from_millis(500));
            }
        });
        expect(&ask(), 0, "ready");
        expect(&ask(), 69, "It works!");
        let asked = clock::monotonic();
        expect(&ask(), 69, "does not answer");
        assert!(asked.elapsed() < Duration::from_secs(20));
        answers.join().unwrap();
    });
}
