//! How a gateway ends: what it still serves, for how long, and what is written last.

use std::net::TcpStream;
use std::time::Duration;

use keyferry::clock;
use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::balancer::Balancer;
use crate::support::curl::Curl;
use crate::support::gateway::{Builder, Gateway};
use crate::support::load::{load, more_requests};
use crate::support::python::{Server, run};
use crate::support::scene::Scene;
use crate::support::world::{HOST, Identity, World};
use crate::support::{linger, wait_for};

/// So long that no test sees the end of it.
const FOR_EVER: &str = "1h";

fn builder<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    Gateway::builder(world).echo(backend)
}

#[track_caller]
fn wait_for_log(gateway: &Gateway, words: &str) {
    wait_for(words, || gateway.log().contains(words).then_some(()));
}

/// Waits until it has ended by itself, as it should.
#[track_caller]
fn wait_for_end(gateway: &mut Gateway) {
    let status = wait_for("the end", || gateway.process().ended());
    assert!(status.success(), "{status}\n{}", gateway.log());
    assert!(gateway.log().contains("stopped"), "{}", gateway.log());
}

fn is_refused(gateway: &Gateway) -> bool {
    TcpStream::connect(gateway.address()).is_err()
}

#[test]
fn a_gateway_on_which_nobody_is_waits_for_nothing() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = builder(&world, &backend)
        .set("shutdown.drain_timeout", FOR_EVER)
        .start();
    let alice = world.client("alice");
    let answer = gateway.curl("/").certificate(&alice).send();
    answer.expect_status(200);
    gateway.signal("TERM");
    wait_for_end(&mut gateway);
    wait_for_log(&gateway, "no connection is left");
}

/// Balancers go by `/readyz`, and learn of it only after a while: until then, all is served. What is
/// revoked meanwhile is refused.
#[test]
fn the_lame_duck_says_so_and_serves_and_heeds_revocations() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = builder(&world, &backend)
        .set("shutdown.lame_duck", FOR_EVER)
        .start();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let ask = |client| gateway.curl("/").http1().certificate(client).send();
    let ids = [&alice, &bob].map(|client| {
        ask(client).expect_status(200);
        backend.last().header("x-client-id").to_owned()
    });
    assert!(gateway.metrics().contains("\nkeyferry_draining 0\n"));
    gateway.signal("TERM");
    let ready = format!("http://{}/readyz", gateway.telemetry());
    let draining = wait_for("a gateway that is not ready", || {
        Some(Curl::get(&ready).send()).filter(|answer| answer.status == 503)
    });
    assert!(draining.text().contains("draining"), "{draining:?}");
    assert_eq!(gateway.health("/livez"), 200);
    assert!(gateway.metrics().contains("\nkeyferry_draining 1\n"));
    // Who was told to come by another connection now could come back here by that.
    let answer = ask(&alice).expect_status(200);
    assert_eq!(answer.header("connection"), "keep-alive");
    let disabled = gateway.cli(&["client", "disable", &ids[0]]);
    disabled.expect_success();
    ask(&alice).expect_refusal(403, "client_disabled");
    ask(&bob).expect_status(200);
    // SIGINT does not wait, and the end is in good order all the same: what was seen is kept.
    gateway.signal("INT");
    wait_for_end(&mut gateway);
    let shown = gateway.cli(&["client", "show", &ids[1], "--output", "json"]);
    let days = shown.json()["requests"].clone();
    assert_eq!(days[0]["by_certificate"], 2, "{days:#}");
}

/// Clients of HTTP/1.1 that keep their connections are told to come by others before these end.
#[test]
fn in_its_second_half_the_lame_duck_sends_clients_elsewhere() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = builder(&world, &backend)
        .set("shutdown.lame_duck", "10s")
        .start();
    let alice = world.client("alice");
    let ask = || gateway.curl("/").http1().certificate(&alice).send();
    let before = ask().expect_status(200);
    assert_eq!(before.header("connection"), "keep-alive");
    gateway.signal("TERM");
    wait_for("an answer that says so", || {
        let answer = ask().expect_status(200);
        (answer.header("connection") == "close").then_some(())
    });
    // Connections are still accepted by then, also with HTTP/2, where nothing is said yet.
    let answer = gateway.curl("/").http2().certificate(&alice).send();
    answer.expect_status(200);
    gateway.signal("TERM");
    wait_for_end(&mut gateway);
}

/// What is under way ends in its own time: a slow answer, events, by either version of HTTP. Commands
/// and the directory are there until then.
#[test]
fn what_is_under_way_is_finished_and_nothing_new_is_taken() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = builder(&world, &backend)
        .set("shutdown.drain_timeout", FOR_EVER)
        .start();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let ask = |path: &str| gateway.curl(path).certificate(&alice);
    // Disabled later, while nothing of his is under way: that would be cut off.
    let answer = gateway.curl("/").certificate(&bob).send();
    answer.expect_status(200);
    let id = backend.last().header("x-client-id").to_owned();
    let mut events = [
        ask("/sse?n=2").http1().stream(),
        ask("/sse?n=2").http2().stream(),
    ];
    for stream in &mut events {
        assert_eq!(stream.line().as_deref(), Some("data: 1"));
    }
    std::thread::scope(|scope| {
        let slow = [
            scope.spawn(|| ask("/slow").http1().send()),
            scope.spawn(|| ask("/slow").http2().send()),
        ];
        backend.wait_for_requests(5);
        gateway.signal("TERM");
        wait_for_log(&gateway, "closes idle connections");
        assert!(is_refused(&gateway));
        assert_eq!(gateway.health("/readyz"), 503);

        let known = gateway.metric("keyferry_store_epoch");
        let disabled = gateway.cli(&["client", "disable", &id]);
        disabled.expect_success();
        wait_for("the directory to follow", || {
            (gateway.metric("keyferry_store_epoch") > known).then_some(())
        });
        for _ in 0..4 {
            backend.proceed();
        }
        for answer in slow {
            let answer = answer.join().unwrap().expect_status(200);
            assert_eq!(answer.error, "");
        }
    });
    for stream in &mut events {
        assert_eq!(stream.line().as_deref(), Some("data: 2"));
        assert_eq!(stream.line(), None);
    }
    wait_for_end(&mut gateway);
    let log = gateway.log();
    assert!(log.contains("no connection is left"), "{log}");
    assert!(!log.contains("are cut"), "{log}");
}

/// GOAWAY: the streams that are open end in good order, and so does the connection. A stream that the
/// client opens before it has heard of it is served or not taken, by the number that GOAWAY names.
#[test]
fn http2_clients_hear_goaway_and_their_streams_end() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = builder(&world, &backend)
        .set("shutdown.drain_timeout", FOR_EVER)
        .start();
    let alice = world.client("alice");
    let told = world.path("told");
    let given = json!({
        "address": gateway.address(), "host": HOST, "authority": world.authority,
        "certificate": alice.chain, "key": alice.key, "path": "/slow", "told": told,
    });
    let seen = std::thread::scope(|scope| {
        let client = scope.spawn(|| run("h2_parting_client.py", &given));
        backend.wait_for_requests(1);
        gateway.signal("TERM");
        wait_for("GOAWAY", || told.exists().then_some(()));
        backend.proceed();
        client.join().unwrap()
    });
    wait_for_end(&mut gateway);
    let goaways = seen["goaways"].as_array().unwrap();
    assert!(goaways.iter().all(|goaway| goaway["code"] == 0), "{seen:#}");
    // The first names no stream yet, the last the ones that were taken.
    assert_eq!(goaways[0]["last"], 0x7fff_ffff, "{seen:#}");
    let last = goaways.last().unwrap()["last"].as_u64().unwrap();
    assert_eq!(seen["answers"][0], 200, "{seen:#}");
    let second = if last >= 3 { 200 } else { 0 };
    assert_eq!(seen["answers"][1], second, "{seen:#}");
}

#[test]
fn a_grpc_stream_is_finished() {
    let world = World::new();
    let server = Server::start("grpc_server.py");
    let mut gateway = Gateway::builder(&world)
        .backend_like("live", server.address(), toml::toml! { protocol = "http2" })
        .route("/", "live", "either")
        .set("shutdown.drain_timeout", FOR_EVER)
        .start();
    let alice = world.client("alice");
    let (first, go_on) = (world.path("first"), world.path("go-on"));
    let given = json!({
        "address": gateway.address(), "host": HOST, "authority": world.authority,
        "certificate": alice.chain, "key": alice.key, "method": "Stream",
        "messages": ["one", "two", "three"], "after_first": { "tell": first, "wait_for": go_on },
    });
    let answer = std::thread::scope(|scope| {
        let client = scope.spawn(|| run("grpc_client.py", &given));
        wait_for("the first message", || first.exists().then_some(()));
        gateway.signal("TERM");
        wait_for_log(&gateway, "closes idle connections");
        std::fs::write(&go_on, "").unwrap();
        client.join().unwrap()
    });
    assert_eq!(answer["code"], "OK", "{answer:#}");
    assert_eq!(answer["messages"], json!(["one", "two", "three"]));
    wait_for_end(&mut gateway);
}

/// Nobody keeps a gateway from ending: not by a slow answer, not by events without end.
#[test]
fn the_drain_is_bounded() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    for (bound, is_cut) in [(FOR_EVER, false), ("1s", true)] {
        let mut gateway = builder(&world, &backend)
            .set("shutdown.drain_timeout", bound)
            .start();
        let ask = |path: &str| gateway.curl(path).certificate(&alice);
        let mut events = [
            ask("/sse?n=9").http1().stream(),
            ask("/sse?n=9").http2().stream(),
        ];
        for stream in &mut events {
            assert_eq!(stream.line().as_deref(), Some("data: 1"));
        }
        gateway.signal("TERM");
        wait_for_log(&gateway, "closes idle connections");
        if !is_cut {
            // The attack: without a bound it does not end. A second signal ends it.
            linger(Duration::from_secs(3));
            assert!(gateway.process().ended().is_none());
            gateway.signal("TERM");
        }
        wait_for_end(&mut gateway);
        for stream in &mut events {
            assert_eq!(stream.line(), None);
        }
        let log = gateway.log();
        assert_eq!(log.contains("took too long"), is_cut, "{log}");
        assert_eq!(log.contains("asked again"), !is_cut, "{log}");
    }
}

/// A connection that was accepted at the last moment has time for its request.
#[test]
fn a_connection_without_a_request_is_not_ended_at_once() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = builder(&world, &backend).start();
    let alice = world.client("alice");
    let certificate = crate::support::wire::Shown {
        issued: alice.issued.clone(),
        whole: true,
    };
    let tls = crate::support::wire::Tls::trusting(&world.servers.x509);
    let mut accepted = tls.connect(gateway.address(), Some(&certificate)).unwrap();
    let mut idle = tls.connect(gateway.address(), Some(&certificate)).unwrap();
    gateway.signal("TERM");
    wait_for_log(&gateway, "accepts no more connections");
    let answer = accepted.call("GET", "/", &[]).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    // And one that has none after that is closed.
    wait_for_end(&mut gateway);
    assert!(gateway.log().contains("no connection is left"));
    idle.call("GET", "/", &[]).unwrap_err();
}

/// Under load, without any balancer: who was refused a connection knows that nothing was done, and
/// whoever has one gets all answers.
#[test]
fn no_request_that_was_taken_fails_when_the_gateway_stops_under_load() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = builder(&world, &backend)
        .set("shutdown.lame_duck", "2s")
        .start();
    let alice = world.client("alice");
    let address = gateway.address();
    let outcome = load(&world, address, (&alice, &backend), true, || {
        gateway.signal("TERM");
        wait_for_log(&gateway, "accepts no more connections");
        let begun = clock::monotonic();
        wait_for_end(&mut gateway);
        eprintln!(
            "ended {:?} after the last connection was accepted",
            begun.elapsed()
        );
    });
    eprintln!("{outcome:#?}");
    for (kind, outcome) in &outcome {
        assert_eq!(outcome.failures, [""; 0], "{kind}");
        assert!(outcome.answers > 0, "{kind}: {outcome:?}");
    }
    assert!(outcome["new"].refused > 0, "{outcome:#?}");
    // Both were told to go before they had to.
    for kind in ["kept", "h2"] {
        assert!(outcome[kind].told > 0, "{outcome:#?}");
    }
    assert!(!gateway.log().contains("are cut"));
}

/// Behind a balancer that goes by `/readyz`, gateways are restarted one after the other and nobody
/// notices anything.
#[test]
fn a_rolling_restart_behind_a_balancer_fails_no_request() {
    let scene = Scene::new();
    let start = || scene.builder().set("shutdown.lame_duck", "2s").start();
    let mut gateways = [start(), start()];
    let balancer = Balancer::among(&scene.world, &[&gateways[0], &gateways[1]]);
    let alice = scene.world.client("alice");
    wait_for("the balancer to find a gateway", || {
        let answer = balancer.curl("/").certificate(&alice).send();
        (answer.status == 200).then_some(())
    });
    let clients = (&alice, &scene.backend);
    let outcome = load(&scene.world, balancer.address(), clients, false, || {
        for gateway in &mut gateways {
            gateway.signal("TERM");
            wait_for_end(gateway);
            gateway.start_again();
            // The balancer has to see that it is back before the other goes.
            let taken = gateway.metric("keyferry_tls_handshakes_total{result=\"ok\"");
            wait_for("the balancer to send clients", || {
                (gateway.metric("keyferry_tls_handshakes_total{result=\"ok\"") > taken)
                    .then_some(())
            });
            more_requests(&scene.backend);
        }
    });
    eprintln!("{outcome:#?}");
    for (kind, outcome) in &outcome {
        assert_eq!(outcome.failures, [""; 0], "{kind}");
        assert!(outcome.answers > 100, "{kind}: {outcome:?}");
    }
}

/// Without the store it cannot write what it has seen, and does not wait for it for ever.
#[test]
fn a_store_that_is_away_does_not_hold_up_the_end() {
    let mut scene = Scene::new();
    let mut gateway = scene.builder().start();
    let alice = scene.world.client("alice");
    let answer = gateway.curl("/").certificate(&alice).send();
    answer.expect_status(200);
    scene.store.stop();
    gateway.signal("TERM");
    wait_for_end(&mut gateway);
}

fn websocket(world: &World, gateway: &Gateway, client: &Identity) -> Value {
    run(
        "websocket_client.py",
        &json!({
            "address": gateway.address(), "host": HOST, "path": "/live", "authority": world.authority,
            "certificate": client.chain, "key": client.key, "headers": [], "messages": ["one"],
        }),
    )
}

/// `Connection: close` goes on answers, and not on the one that opens a WebSocket.
#[test]
fn a_websocket_is_still_opened_while_clients_are_sent_elsewhere() {
    let world = World::new();
    let server = Server::start("websocket_server.py");
    let mut gateway = Gateway::builder(&world)
        .backend("live", server.address())
        .route("/", "live", "either")
        .set("shutdown.lame_duck", "10s")
        .start();
    let alice = world.client("alice");
    gateway.signal("TERM");
    // Other requests are answered by a server of WebSockets as well, with 426.
    wait_for("an answer that says so", || {
        let answer = gateway.curl("/").http1().certificate(&alice).send();
        (answer.header("connection") == "close").then_some(())
    });
    let answer = websocket(&world, &gateway, &alice);
    assert_eq!(answer["messages"], json!(["one"]), "{answer:#}");
    gateway.signal("TERM");
    wait_for_end(&mut gateway);
}
