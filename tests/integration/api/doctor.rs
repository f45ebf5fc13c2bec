//! The doctor of a running gateway, by the admin API: it finds what the command finds.

use std::fs;

use serde_json::{Value as Json, json};

use super::through::{command, told};
use super::{Tokens, embedded};
use crate::support::backend::{Backend, Belief};
use crate::support::gateway::{Gateway, secret};
use crate::support::scene::Scene;
use crate::support::world::World;

fn ask(gateway: &Gateway, tokens: &Tokens, query: &str) -> Json {
    let asked = tokens.get(gateway, "operator", &format!("/v1/doctor{query}"));
    asked.send().expect_status(200).json()
}

/// What was found, without the numbers in it, which change from look to look.
#[track_caller]
fn found(report: &Json) -> Vec<Json> {
    let mut findings = report["findings"].as_array().unwrap().clone();
    for finding in &mut findings {
        let text = finding["found"].as_str().unwrap();
        let without = text.replace(|c: char| c.is_ascii_digit(), "");
        finding["found"] = without.into();
    }
    findings
}

#[track_caller]
fn of<'a>(report: &'a Json, check: &str) -> &'a Json {
    let mut findings = report["findings"].as_array().unwrap().iter();
    let finding = findings.find(|finding| finding["check"] == check);
    finding.unwrap_or_else(|| panic!("no {check}: {report:#}"))
}

#[test]
fn the_doctor_of_a_gateway_finds_what_the_command_finds() {
    let (world, backend) = (
        World::new(),
        Backend::believing(Belief::SignedWith(secret("echo"))),
    );
    let (scene, tokens) = (Scene::new(), Tokens::new());
    let shared = tokens.of(scene.builder()).start();
    for gateway in [embedded(&world, &backend, &tokens), shared] {
        let here = gateway.cli(&["doctor", "--output", "json"]).json();
        let there = ask(&gateway, &tokens, "");
        assert_eq!(found(&there), found(&here));
        assert_eq!(there["counts"], here["counts"]);
        assert!(there["counts"]["ok"].as_u64() > Some(0), "{there:#}");
        // The command that has the gateway do it prints and ends as the one beside it.
        let url = format!("http://{}", gateway.admin_address());
        let token = tokens.file("operator");
        let through = |arguments: &[&str]| {
            let arguments = [&["doctor"], arguments].concat();
            told(command(gateway.folder(), &url, &token, &arguments))
        };
        for arguments in [&["--output", "json"][..], &["--strict", "--output", "json"]] {
            let beside = gateway.cli(&[&["doctor"], arguments].concat());
            let through = through(arguments);
            assert_eq!(through.status, beside.status, "{through:#?}");
            assert_eq!(found(&through.json()), found(&beside.json()));
        }
        // Files of the one machine are none of the other's.
        let file = ["--redis-password-file", "x"];
        for arguments in [&file[..], &[&file[..], &["--redis-user", "x"]].concat()] {
            let refused = through(arguments);
            assert_eq!(refused.status.code(), Some(64), "{refused:#?}");
            assert!(refused.errors.contains("of this machine"), "{refused:#?}");
        }
    }
}

/// It sends requests to others, for which somebody answers; and it asks them once for two who want to know.
#[test]
fn the_doctor_looks_for_operators_and_not_twice_at_once() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let viewer = tokens.get(&gateway, "viewer", "/v1/doctor").send();
    viewer.expect_status(403);
    for query in ["?redis_user=x", "?redis_password_file=x", "?probe_path=x"] {
        let path = format!("/v1/doctor{query}");
        let refused = tokens.get(&gateway, "operator", &path).send();
        refused.expect_status(400);
    }
    assert!(backend.requests().is_empty(), "{:#?}", backend.requests());

    let first = ask(&gateway, &tokens, "");
    let sent = backend.requests().len();
    assert!(sent > 0, "{first:#}");
    assert_eq!(ask(&gateway, &tokens, ""), first);
    assert_eq!(backend.requests().len(), sent);
    let other = ask(&gateway, &tokens, "?probe_path=/elsewhere");
    assert_eq!(backend.last().target, "/elsewhere");
    let sent = backend.requests().len();
    let without = ask(&gateway, &tokens, "?no_backends=true");
    assert_eq!(backend.requests().len(), sent);
    let is_of_backends = |finding: &&Json| {
        let check = finding["check"].as_str().unwrap();
        check.starts_with("backend_")
    };
    let of_backends = |report: &Json| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().filter(is_of_backends).count()
    };
    assert!(of_backends(&other) > 0 && of_backends(&without) == 0);
}

/// What its file says for the next start is not what it has: looked at elsewhere, all would seem well.
#[test]
fn what_waits_for_a_restart_is_told_and_not_looked_at() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let text = fs::read_to_string(gateway.config_file()).unwrap();
    let mut config: toml::Table = text.parse().unwrap();
    for (table, key, value) in [
        ("store", "path", "other.redb"),
        ("telemetry", "address", "127.0.0.1:1"),
        ("listener", "address", "127.0.0.1:2"),
        ("key", "environment", "test"),
    ] {
        let table = config[table].as_table_mut().unwrap();
        table.insert(key.to_owned(), value.into());
    }
    fs::write(gateway.config_file(), config.to_string()).unwrap();
    gateway.cli(&["reload"]).expect_success();
    let report = ask(&gateway, &tokens, "?no_backends=true");
    let reads = of(&report, "configuration_reads");
    assert_eq!(reads["outcome"], "warning", "{report:#}");
    for name in [
        "key.environment",
        "listener.address",
        "store.path",
        "telemetry.address",
    ] {
        assert!(reads["found"].as_str().unwrap().contains(name), "{reads:#}");
    }
    for check in [
        "store_reads",
        "store_records",
        "gateway_runs",
        "gateway_certificate",
    ] {
        assert_eq!(of(&report, check)["outcome"], "ok", "{report:#}");
    }
    // Keys are issued as the gateway takes them, which the file no longer says.
    let post = |path: &str, body: Json| {
        let posted = tokens.post(&gateway, "operator", path, &body).send();
        posted.expect_status(200).json()
    };
    post("/v1/client/add", json!({ "ids": ["acme"] }));
    let issued = post("/v1/key/issue", json!({ "client": "acme" }));
    let key = issued["key"].as_str().unwrap();
    assert!(key.starts_with("kf_live_"), "{issued:#}");
    gateway.curl("/").key(key).send().expect_status(200);
}

/// The command could tell nothing but that; the gateway still knows what it runs with.
#[test]
fn a_file_that_is_broken_by_now_hides_nothing_from_the_gateway() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let before = ask(&gateway, &tokens, "?no_backends=true");
    assert_eq!(of(&before, "configuration_reads")["outcome"], "ok");
    fs::write(gateway.config_file(), "[listener]\naddress = \"nowhere\"\n").unwrap();
    let after = ask(&gateway, &tokens, "");
    let reads = of(&after, "configuration_reads");
    assert_eq!(reads["outcome"], "error", "{after:#}");
    assert!(reads["subject"].as_str().unwrap().contains("keyferry.toml"));
    for check in [
        "certificate_dates",
        "store_records",
        "backend_connects",
        "gateway_runs",
    ] {
        assert_eq!(of(&after, check)["check"], check);
    }
    assert_eq!(of(&after, "store_records")["outcome"], "ok", "{after:#}");
}
