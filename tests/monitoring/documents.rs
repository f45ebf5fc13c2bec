//! What is written down in several places is the same everywhere: the names of metrics, of rules, of
//! alerts, and of dashboards, and what they mean.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::files::{GRAFANA, RUNBOOKS, alerts, in_folder, metrics_in, pages, read, root, rules};
use super::panels::{dashboards, panels, text};
use crate::support::process::program;

/// Metrics that no rule and no panel asks for, and why.
const UNUSED: [(&str, &str); 1] = [(
    "keyferry_trace_spans_total",
    "only programs with the feature otlp have it; docs/TRACING.md says what to look at",
)];
/// Metrics that the gateways of the story do not show, and why.
pub(crate) const NOT_SHOWN: [(&str, &str); 1] = [(
    "keyferry_trace_spans_total",
    "they have not the feature otlp; tests/otlp sees it move",
)];
/// What looks like a metric in the pages and is none.
const NO_METRIC: [&str; 1] = ["keyferry_backup"];
const SECTIONS: [&str; 3] = [
    "## How to look",
    "## What to do",
    "## How to know that it is over",
];

/// A metric, as docs/METRICS.md and `/metrics` tell of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) name: String,
    kind: String,
    labels: BTreeSet<String>,
    meaning: String,
}

/// How the names of those begin that `keyferry verify` has, and no gateway.
const OF_VERIFY: &str = "keyferry_verify_";

/// Those of docs/METRICS.md that gateways have.
pub(crate) fn documented() -> Vec<Metric> {
    let mut all = rows();
    all.retain(|one| !one.name.starts_with(OF_VERIFY));
    all
}

fn rows() -> Vec<Metric> {
    let page = read("docs/METRICS.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `keyferry_"));
    let read = rows.map(|row| {
        let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
        let [name, kind, labels, meaning] = cells[..] else {
            panic!("docs/METRICS.md: four cells: {row}");
        };
        Metric {
            name: format!("keyferry_{}", name.trim_end_matches('`')),
            kind: kind.to_owned(),
            labels: labels
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect(),
            meaning: meaning.to_owned(),
        }
    });
    read.collect()
}

/// The one of that name on the page of metrics.
pub(crate) fn exposed(name: &str, meaning: &str, page: &str) -> Metric {
    let line = |start: String| page.lines().find_map(move |line| line.strip_prefix(&start));
    let series = [format!("{name}{{"), format!("{name}_bucket{{")].map(line);
    let labels = series.into_iter().flatten().next().unwrap_or_default();
    let labels = labels
        .split("\",")
        .filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
    Metric {
        name: name.to_owned(),
        kind: line(format!("# TYPE {name} ")).expect("a type").to_owned(),
        labels: labels.filter(|label| label != "le").collect(),
        meaning: meaning.to_owned(),
    }
}

/// The names of metrics as they are registered.
fn registered() -> BTreeSet<String> {
    let mut names = names_in("src/telemetry/metrics.rs");
    names.insert("keyferry_build_info".to_owned());
    assert!(names.len() > 40, "the source was not read");
    names
}

fn names_in(file: &str) -> BTreeSet<String> {
    let source = read(file);
    let calls = ["opts(\"", "counters(\"", "gauges(\"", "histograms(\""];
    calls
        .iter()
        .flat_map(|call| source.split(call).skip(1))
        .map(|rest| format!("keyferry_{}", rest.split('"').next().unwrap()))
        .collect()
}

fn asked_for() -> String {
    let rules = rules().into_iter();
    let dashboards = in_folder(GRAFANA, ".json").into_iter();
    rules.chain(dashboards).map(|(_, text)| text).collect()
}

#[test]
fn every_metric_is_documented() {
    let documented: BTreeSet<_> = documented().into_iter().map(|one| one.name).collect();
    assert_eq!(
        documented,
        registered(),
        "docs/METRICS.md and src/telemetry/metrics.rs"
    );
}

/// With the words in which its page of metrics explains them.
#[test]
fn every_metric_of_the_verifier_is_documented() {
    let mut rows = rows();
    rows.retain(|one| one.name.starts_with(OF_VERIFY));
    let source = read("src/verify/metrics.rs");
    for row in &rows {
        let name = row.name.trim_start_matches("keyferry_");
        let told = format!("(\"{name}\", \"{}\", ", row.meaning);
        assert!(source.contains(&told), "docs/METRICS.md: {}", row.name);
    }
    let documented: BTreeSet<_> = rows.into_iter().map(|one| one.name).collect();
    assert_eq!(documented, names_in("src/verify/metrics.rs"));
    assert!(documented.len() > 5, "the page was not read");
}

#[test]
fn every_metric_that_is_named_exists_and_every_one_that_exists_is_used() {
    let (registered, asked_for) = (registered(), metrics_in(&asked_for()));
    let of_the_verifier = names_in("src/verify/metrics.rs");
    let mut pages = in_folder("docs", ".md");
    pages.extend(in_folder(RUNBOOKS, ".md"));
    pages.extend(["README.md", "CHANGELOG.md"].map(|page| (page.to_owned(), read(page))));
    for (page, text) in pages {
        for name in metrics_in(&text) {
            let is_one = registered.contains(&name)
                || of_the_verifier.contains(&name)
                || name == "keyferry_"
                || NO_METRIC.contains(&name.as_str());
            assert!(is_one, "{page}: there is no metric {name}");
        }
    }
    for name in &asked_for {
        assert!(
            registered.contains(name),
            "rules and dashboards: there is no metric {name}"
        );
    }
    for name in registered {
        let unused = UNUSED.iter().any(|(known, _)| *known == name);
        assert!(
            asked_for.contains(&name) != unused,
            "{name}: use it in a rule or a panel, or name it in UNUSED with the reason; not both"
        );
    }
}

#[test]
fn every_recording_rule_that_is_named_exists() {
    let rules: String = rules().into_iter().map(|(_, text)| text).collect();
    let recorded: BTreeSet<_> = rules
        .split("- record: ")
        .skip(1)
        .filter_map(|rest| rest.lines().next())
        .collect();
    assert!(recorded.len() > 15, "the rules were not read");
    let pages: String = pages().into_iter().map(|(_, text)| text).collect();
    let all = asked_for() + &pages;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = all
        .split(|c| !is_part(c))
        .filter(|word| word.contains(":keyferry_"));
    for word in words {
        assert!(recorded.contains(word), "no rule records {word}");
    }
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = alerts();
    let monitoring = read("docs/MONITORING.md");
    for (name, page) in in_folder(RUNBOOKS, ".md") {
        let alert = alerts.iter().find(|alert| alert.name == name);
        let alert = alert.unwrap_or_else(|| panic!("there is no alert {name}"));
        let severity = if alert.field("severity") == "page" {
            "Page. "
        } else {
            "Ticket. "
        };
        assert!(
            page.starts_with(&format!("# {name}\n\n{severity}")),
            "{name}: begin with its name and its severity"
        );
        let at: Vec<_> = SECTIONS
            .iter()
            .filter_map(|section| page.find(section))
            .collect();
        assert!(
            at.len() == SECTIONS.len() && at.is_sorted(),
            "{name}: these sections, in this order: {SECTIONS:?}"
        );
        assert!(page.lines().count() <= 60, "{name}: a runbook is short");
        let listed = format!(
            "| [{name}](runbooks/{name}.md) | {} |",
            alert.field("summary")
        );
        assert!(
            monitoring.contains(&listed),
            "docs/MONITORING.md lacks the row {listed}"
        );
    }
}

/// What a page names in its text, as `keyferry client list --flag expiring`, there is.
#[test]
fn every_command_that_a_runbook_names_exists_with_its_options() {
    let mut commands = BTreeSet::new();
    for (page, text) in pages() {
        for named in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter_map(|code| code.strip_prefix("keyferry "))
        {
            commands.insert((words(named).join(" "), page.clone()));
        }
    }
    assert!(commands.len() > 20, "the pages were not read");
    for (command, page) in commands {
        let words: Vec<_> = command.split(' ').collect();
        let name = words.iter().take_while(|word| {
            word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
        });
        let mut run = program();
        let told = run.args(name).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(
            told.status.success(),
            "{page}: there is no keyferry {command}"
        );
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(
                help.contains(*option),
                "{page}: keyferry {command}: there is no {option}"
            );
        }
    }
}

/// The words of a command, without quotes.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split(' ')
        .map(|word| word.trim_matches('"'))
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn every_dashboard_is_whole_and_leads_to_the_others() {
    let all = dashboards();
    let uids: Vec<_> = all.iter().map(|dashboard| text(dashboard, "uid")).collect();
    let kustomization = read(&format!("{GRAFANA}/kustomization.yaml"));
    for dashboard in &all {
        let uid = text(dashboard, "uid");
        assert!(
            kustomization.contains(&format!("- {uid}.json")),
            "grafana/kustomization.yaml lacks {uid}"
        );
        assert_eq!(dashboard["schemaVersion"], 39);
        let links = dashboard["links"].as_array().unwrap().iter();
        let leads: BTreeSet<_> = links
            .map(|link| text(link, "url").trim_start_matches("/d/"))
            .collect();
        let others: BTreeSet<_> = uids.iter().copied().filter(|other| *other != uid).collect();
        assert_eq!(leads, others, "{uid} leads to the others");
        let mut titles = BTreeSet::new();
        for panel in panels(dashboard) {
            let title = text(panel, "title");
            let kind = text(panel, "type");
            assert!(titles.insert((title, kind)), "{uid}: two panels {title}");
            assert!(
                text(panel, "description").ends_with('.'),
                "{uid}, {title}: a description, in sentences"
            );
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{uid}, {title}"
            );
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{uid}, {title}: a unit"
            );
            let right =
                panel["gridPos"]["x"].as_u64().unwrap() + panel["gridPos"]["w"].as_u64().unwrap();
            assert!(right <= 24, "{uid}, {title}: off the page");
        }
        let named = dashboard.to_string();
        for word in named
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| word.starts_with("Keyferry") && word.len() > 8)
        {
            assert!(
                alerts().iter().any(|alert| alert.name == word),
                "{uid}: there is no alert {word}"
            );
        }
    }
}

#[test]
fn the_dashboards_are_those_that_are_generated() {
    let folder = TempDir::new().unwrap();
    let made = Command::new("python3")
        .arg(root().join(GRAFANA).join("generate.py"))
        .arg(folder.path())
        .status();
    assert!(made.unwrap().success());
    for (name, kept) in in_folder(GRAFANA, ".json") {
        let made = fs::read_to_string(folder.path().join(format!("{name}.json"))).unwrap();
        assert!(
            made == kept,
            "grafana/{name}.json is not what panels/*.py says: make dashboards"
        );
    }
}
