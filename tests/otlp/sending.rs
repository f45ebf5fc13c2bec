//! How spans are sent: nobody waits for the collector, whatever it does, and what becomes of spans is
//! counted.

use std::time::Duration;

use serde_json::json;

use crate::collector::{Collector, all_is_well, counted, tracing};
use crate::support::backend::Backend;
use crate::support::free_addresses;
use crate::support::gateway::Gateway;
use crate::support::load::load;
use crate::support::python::Server;
use crate::support::world::World;
use crate::support::{wait_for, wait_longer};

fn ask(gateway: &Gateway, id: &str) {
    let ask = gateway.curl("/.well-known/keyferry/problems/overloaded");
    ask.header(&format!("X-Request-Id: {id}"))
        .send()
        .expect_status(200);
}

fn settle(gateway: &Gateway, result: &str, spans: f64) {
    // A batch is tried for 15 seconds.
    wait_longer("spans to be counted", Duration::from_mins(1), || {
        (counted(gateway, result) >= spans).then_some(())
    });
}

#[test]
fn a_collector_that_is_busy_is_told_again() {
    let (world, backend, collector) = (World::new(), Backend::start(), Collector::start());
    let gateway = tracing(&world, &backend, &collector).start();
    let series = "keyferry_trace_spans_total{result=\"dropped\"} 0";
    assert!(gateway.metrics().contains(series), "there from the start");
    collector.set(&json!({ "answer": 503, "times": 2 }));
    ask(&gateway, "late");
    settle(&gateway, "sent", 1.0);
    assert_eq!(collector.of("late").len(), 1, "once");
    assert_eq!(collector.posts(), 3);
    let warned = |message: &str| {
        gateway
            .lines()
            .iter()
            .filter(|line| line["message"] == message)
            .count()
    };
    assert_eq!(
        warned("the collector does not take all spans"),
        1,
        "not for each time"
    );
    assert_eq!(warned("the collector takes spans again"), 1);
}

#[test]
fn what_the_collector_refuses_is_counted_and_not_told_again() {
    let (world, backend, collector) = (World::new(), Backend::start(), Collector::start());
    let gateway = tracing(&world, &backend, &collector).start();
    collector.set(&json!({ "answer": 400, "times": 1 }));
    ask(&gateway, "never");
    settle(&gateway, "refused", 1.0);
    collector.set(&all_is_well());
    ask(&gateway, "well");
    settle(&gateway, "sent", 1.0);
    collector.set(&json!({ "reject": 1 }));
    ask(&gateway, "partly");
    settle(&gateway, "refused", 2.0);
    assert_eq!(collector.posts(), 3);
    assert!(
        gateway.log().contains("too many for me"),
        "in the collector's words"
    );
}

/// Nobody answers where the collector should be: requests go on as fast, and memory is bounded.
#[test]
fn nobody_waits_for_a_collector_that_is_gone() {
    let (world, backend) = (World::new(), Backend::start());
    let [nowhere] = free_addresses();
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .set(
            "telemetry.tracing.collector",
            format!("http://{nowhere}/v1/traces"),
        )
        .start();
    let alice = world.client("alice");
    let outcomes = load(&world, gateway.address(), (&alice, &backend), false, || {
        settle(&gateway, "dropped", 1.0);
    });
    for (kind, outcome) in outcomes {
        assert!(outcome.failures.is_empty(), "{kind}: {outcome:?}");
    }
    let all = ["sent", "refused", "lost", "dropped"].map(|result| counted(&gateway, result));
    assert!(all[0] < 1.0 && all[1] < 1.0, "{all:?}");
}

#[test]
fn what_waits_at_the_end_is_sent() {
    let (world, backend, collector) = (World::new(), Backend::start(), Collector::start());
    let mut gateway = tracing(&world, &backend, &collector).start();
    ask(&gateway, "last");
    gateway.stop();
    assert_eq!(collector.of("last").len(), 1);
}

#[test]
fn spans_go_by_tls_to_whom_the_configuration_trusts_and_to_nobody_else() {
    let (world, backend) = (World::new(), Backend::start());
    let own = &world.gateway;
    let secure = Collector::new(Server::start_with(
        "otlp_receiver.py",
        &[&own.chain, &own.key],
    ));
    let tracing = |authority: Vec<u8>| {
        let url = format!("https://127.0.0.1:{}/v1/traces", secure.port());
        Gateway::builder(&world)
            .echo(&backend)
            .file("collector-ca.pem", authority)
            .set("telemetry.tracing.collector", url)
            .set("telemetry.tracing.tls.ca_file", "collector-ca.pem")
            .set("telemetry.tracing.tls.server_name", "api.example.com")
            .start()
    };
    let gateway = tracing(world.servers.pem());
    ask(&gateway, "sealed");
    settle(&gateway, "sent", 1.0);
    let distrusting = tracing(world.clients.pem());
    ask(&distrusting, "kept");
    let warning = "the collector does not take all spans";
    wait_for("a warning", || {
        distrusting.log().contains(warning).then_some(())
    });
    assert!(counted(&distrusting, "sent") < 1.0);
}

/// The collector, and the part of traces that is recorded, are replaced while the gateway runs.
#[test]
fn another_collector_takes_over_while_the_gateway_runs() {
    let (world, backend) = (World::new(), Backend::start());
    let (one, other) = (Collector::start(), Collector::start());
    let gateway = tracing(&world, &backend, &one).start();
    ask(&gateway, "first");
    assert_eq!(one.of("first").len(), 1);
    let url = other.url();
    let move_on = |config: &mut toml::Table| {
        config["telemetry"]["tracing"]["collector"] = url.into();
    };
    gateway.deploy(move_on, &[]);
    gateway.cli(&["reload"]).expect_success();
    ask(&gateway, "second");
    assert_eq!(other.of("second").len(), 1);
    let off = |config: &mut toml::Table| {
        config["telemetry"]
            .as_table_mut()
            .unwrap()
            .remove("tracing");
    };
    gateway.deploy(off, &[]);
    gateway.cli(&["reload"]).expect_success();
    ask(&gateway, "third");
    assert_eq!(
        gateway.access_line("third")["trace_id"],
        serde_json::Value::Null
    );
    assert_eq!((one.spans().len(), other.spans().len()), (1, 1));
}
