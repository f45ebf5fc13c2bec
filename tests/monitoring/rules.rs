//! The rules by themselves: promtool has nothing to say against them, and each alert was shown to fire
//! and not to fire.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::files::{RUNBOOKS, alerts, in_folder, read, root, rules, write_rules};
use super::prometheus::{expect_well, promtool};

const TESTS: &str = "tests/monitoring/rules";
const BASE: &str = "https://github.com/keyferry/keyferry/blob/main/docs/runbooks";

#[test]
fn promtool_finds_the_rules_well_and_the_unit_tests_hold() {
    let folder = TempDir::new().unwrap();
    for rules in write_rules(folder.path()) {
        let rules = rules.to_str().unwrap().to_owned();
        expect_well(&promtool(
            folder.path(),
            &["check", "rules", "--lint=all", "--lint-fatal", &rules],
        ));
    }
    // Each in a program of its own, at the same time.
    std::thread::scope(|scope| {
        for (name, text) in in_folder(TESTS, ".yaml") {
            let folder = folder.path();
            scope.spawn(move || {
                let file = format!("{name}.yaml");
                fs::write(folder.join(&file), text).unwrap();
                expect_well(&promtool(folder, &["test", "rules", &file]));
            });
        }
    });
}

#[test]
fn what_the_page_says_makes_rules_files_of_the_manifests() {
    let page = read("docs/MONITORING.md");
    let block = page
        .split("```")
        .find(|block| block.contains("for file in"));
    let script = block.expect("a loop").trim_start_matches("sh\n");
    let folder = TempDir::new().unwrap();
    let own = folder.path().to_str().unwrap();
    let told = Command::new("sh")
        .args(["-euc", &script.replace("/etc/prometheus", own)])
        .current_dir(root())
        .output();
    expect_well(&told.unwrap());
    for (name, rules) in rules() {
        let made = fs::read_to_string(folder.path().join(format!("keyferry-{name}.rules.yaml")));
        assert_eq!(made.unwrap(), rules);
    }
}

#[test]
fn every_alert_has_a_test_that_fires_and_one_that_does_not() {
    let tests: String = in_folder(TESTS, ".yaml")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    for alert in alerts() {
        let asked = format!(
            "- expr: ALERTS{{alertname=\"{}\",alertstate=\"firing\"}}",
            alert.name
        );
        let (mut fires, mut quiet) = (0, 0);
        for test in tests.split(&asked).skip(1) {
            let test = test.split("- expr: ").next().unwrap();
            let shown = format!("severity=\"{}\"", alert.field("severity"));
            fires += u32::from(test.contains(&alert.name) && test.contains(&shown));
            quiet += u32::from(test.contains("exp_samples: []"));
        }
        assert!(
            fires > 0 && quiet > 0,
            "{}: {TESTS} has {fires} tests that fire, {quiet} that do not",
            alert.name
        );
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_where_to_read_on() {
    let dashboards = in_folder("grafana", ".json");
    for alert in alerts() {
        let name = &alert.name;
        assert!(name.starts_with("Keyferry"), "{name}");
        assert!(
            ["page", "ticket"].contains(&alert.field("severity")),
            "{name}"
        );
        assert_eq!(alert.field("runbook_url"), format!("{BASE}/{name}.md"));
        let runbook = root().join(format!("{RUNBOOKS}/{name}.md"));
        assert!(runbook.exists(), "there is no {}", runbook.display());
        let uid = alert
            .field("dashboard_url")
            .strip_prefix("/d/")
            .expect("a dashboard");
        assert!(
            dashboards.iter().any(|(known, _)| known == uid),
            "{name}: there is no dashboard {uid}"
        );
        let summary = alert.field("summary");
        assert!(
            !summary.contains("{{") && !summary.ends_with('.'),
            "{name}: {summary}"
        );
        assert!(
            alert.field("description").trim_matches('\'').ends_with('.'),
            "{name}"
        );
    }
}
