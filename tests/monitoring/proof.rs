//! A story with everything in it, under a real Prometheus: every panel has data, every rule can be
//! evaluated, and every metric was seen to move.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use keyferry::clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::acts::{self, Pair};
use super::documents::{self, Metric};
use super::files::{blocks, pages, root};
use super::panels::questions;
use super::prometheus::{Prometheus, expect_well};
use super::scene::Scene;
use crate::support::gateway::Gateway;
use crate::support::store::SharedStore;
use crate::support::{Over, wait_for};

/// Panels that have nothing to show at times, and why.
const MAY_BE_EMPTY: [(&str, &str); 1] = [(
    "To go, at this pace",
    "there is no forecast while there are not fewer clients left than before",
)];

/// How long a step of the story is: `KEYFERRY_BEAT`, in seconds, for whoever wants pictures.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's only way to be told how long it shall take"
)]
fn beat() -> u64 {
    let set = std::env::var("KEYFERRY_BEAT").ok();
    set.map_or(1, |set| set.parse().expect("a number of seconds"))
}

#[test]
fn every_panel_and_every_rule_has_data_and_every_metric_moves() {
    let begun = clock::now().as_unix();
    let scene = Scene::new(Duration::from_secs(beat()));
    let mut store = SharedStore::start();
    let one = scene.builder(&store).start();
    let other = scene
        .builder(&store)
        .set("limits.requests_at_once", 8)
        .set("limits.connections", 60)
        .set("limits.connections_per_address", 50)
        .set("limits.pending", 15)
        .set("limits.handshakes_per_second", 30)
        .set("shutdown.lame_duck", "3s")
        .start();
    let gateways = Pair {
        one: &one,
        other: &other,
    };
    let prometheus = Prometheus::start(&[one.telemetry(), other.telemetry()]);
    // What happens before the first look at a counter is in no rate.
    wait_for("the first scrapes", || {
        (prometheus.number("sum(count_over_time(up[1m]))") >= Some(4.0)).then_some(())
    });
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        let calling = || scene.calls([&one, &other], &over);
        scope.spawn(calling);
        story(&scene, gateways, &mut store);
        lint(&one);
        runbooks(&prometheus, &one);
        other.signal("TERM");
        scene.rest(3);
    });
    let ended = clock::now().as_unix();
    wait_for("the last scrape", || {
        (prometheus.number("sum(up)") == Some(1.0)).then_some(())
    });
    rules(&prometheus);
    shown(&prometheus, (begun, ended));
    moved(&prometheus, &one);
    documented(&one);
}

fn story(scene: &Scene, gateways: Pair<'_>, store: &mut SharedStore) {
    let one = gateways.one;
    scene.rest(4);
    acts::clients(scene, one);
    acts::refusals(scene, gateways);
    acts::moves(scene, one, 5);
    acts::fronts(scene, one);
    acts::connections(scene, one);
    acts::backends(scene, gateways);
    scene.rest(1);
    acts::too_many(scene, gateways.other);
    acts::moves(scene, one, 5);
    acts::brownout(scene, one);
    acts::lists(scene, gateways);
    acts::reloads(scene, gateways.other);
    acts::outage(scene, gateways, store);
    acts::moves(scene, one, 3);
    scene.rest(2);
    acts::loss(scene, gateways, store);
}

/// promtool has nothing to say against the page of metrics, which it reads from standard input.
fn lint(gateway: &Gateway) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("metrics"), gateway.metrics()).unwrap();
    let told = Command::new("sh")
        .args(["-c", "promtool check metrics < metrics"])
        .current_dir(folder.path())
        .output();
    expect_well(&told.unwrap());
}

/// Every rule was evaluated without an error, and every recording rule has data.
fn rules(prometheus: &Prometheus) {
    for rule in prometheus.rules() {
        let name = rule["name"].as_str().unwrap();
        assert_eq!(rule["health"], "ok", "{rule:#}");
        if rule["type"] == "recording" {
            let recorded = format!("max_over_time({name}[1h])");
            assert!(!prometheus.now(&recorded).is_empty(), "{name} has no data");
        }
    }
}

/// Every question of every panel has an answer; what was answered is kept for who draws it.
fn shown(prometheus: &Prometheus, span: (i64, i64)) {
    let mut answers = BTreeMap::<String, Value>::new();
    let mut empty = Vec::new();
    for asked in questions("15s") {
        let series = if asked.instant {
            prometheus.now(&asked.query)
        } else {
            prometheus.range(&asked.query, span)
        };
        let may_be_empty = MAY_BE_EMPTY.iter().any(|(panel, _)| *panel == asked.panel);
        if series.is_empty() && !may_be_empty {
            empty.push(format!(
                "{} / {}: {}",
                asked.dashboard, asked.panel, asked.query
            ));
        }
        answers.insert(asked.name, Value::Array(series));
    }
    let folder = root().join("target/monitoring");
    fs::create_dir_all(&folder).unwrap();
    let all = json!({ "begun": span.0, "ended": span.1, "answers": answers });
    fs::write(folder.join("answers.json"), all.to_string()).unwrap();
    assert!(empty.is_empty(), "no data for\n{}", empty.join("\n"));
}

/// Every metric was something else than 0 at some time.
fn moved(prometheus: &Prometheus, gateway: &Gateway) {
    let page = gateway.metrics();
    let types = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE keyferry_"));
    let mut still = Vec::new();
    for line in types {
        let (name, kind) = line.split_once(' ').unwrap();
        let series = format!(
            "keyferry_{name}{}",
            if kind == "histogram" { "_count" } else { "" }
        );
        let most = prometheus.number(&format!("max(max_over_time({series}[1h]))"));
        if most.is_none_or(|most| most <= 0.0) {
            still.push(name.to_owned());
        }
    }
    assert!(still.is_empty(), "never moved: {still:?}");
}

/// docs/METRICS.md is the page of metrics, in words.
fn documented(gateway: &Gateway) {
    let page = gateway.metrics();
    let mut told = documents::documented();
    told.retain(|one| {
        documents::NOT_SHOWN
            .iter()
            .all(|(name, _)| *name != one.name)
    });
    let mut shown = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, meaning) = line.split_once(' ').unwrap();
        if name.starts_with("keyferry_") {
            shown.push(documents::exposed(name, meaning, &page));
        }
    }
    let names = |metrics: &[Metric]| {
        metrics
            .iter()
            .map(|one| one.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&told), names(&shown), "docs/METRICS.md and /metrics");
    for (told, shown) in told.iter().zip(&shown) {
        assert_eq!(told, shown, "docs/METRICS.md and /metrics");
    }
}

/// What runbooks tell to ask and to run is taken by Prometheus, and by `keyferry` on this gateway.
fn runbooks(prometheus: &Prometheus, gateway: &Gateway) {
    let (mut asked, mut run) = (0, BTreeMap::new());
    for (name, page) in pages() {
        for query in blocks(&page, "promql") {
            prometheus.now(query);
            asked += 1;
        }
        for line in blocks(&page, "sh").filter_map(|line| line.strip_prefix("keyferry ")) {
            run.insert(line.to_owned(), name.clone());
        }
    }
    assert!(asked > 60 && run.len() > 15, "the pages were not read");
    for (line, name) in run {
        let told = gateway.cli(&documents::words(&line));
        // Whatever it found: it was understood, and done.
        let done = told
            .status
            .code()
            .is_some_and(|code| ![64, 70, 101].contains(&code));
        assert!(done, "{name}: keyferry {line}\n{told:#?}");
    }
}
