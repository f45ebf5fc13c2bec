//! `keyferry health`, for containers that have no curl.

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::wait_for;
use crate::support::world::World;

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
