//! A real Prometheus, and what it answers.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::files::write_rules;
use crate::support::curl::Curl;
use crate::support::process::Process;
use crate::support::{free_addresses, wait_for};

/// How often another port is tried when somebody else was quicker.
const TRIES: usize = 5;

/// One that scrapes every second and knows our rules; it ends when dropped.
pub(crate) struct Prometheus {
    _process: Process,
    _folder: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes these gateways, as the job and namespace that Kubernetes would give them.
    #[track_caller]
    pub(crate) fn start(targets: &[SocketAddr]) -> Self {
        let folder = TempDir::new().unwrap();
        let rules = write_rules(folder.path());
        let mut config =
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files:\n".to_owned();
        for rule in rules {
            let _ = writeln!(config, "  - {}", rule.display());
        }
        let targets: Vec<_> = targets
            .iter()
            .map(|target| format!("{:?}", target.to_string()))
            .collect();
        let _ = write!(
            config,
            "scrape_configs:\n  - job_name: keyferry\n    static_configs:\n      - targets: [{}]\n        \
             labels: {{namespace: api}}\n",
            targets.join(", ")
        );
        fs::write(folder.path().join("prometheus.yaml"), config).unwrap();
        for _ in 0..TRIES {
            let [address] = free_addresses();
            if let Some(process) = launch(folder.path(), address) {
                return Self {
                    _process: process,
                    _folder: folder,
                    address,
                };
            }
        }
        panic!("no free port after {TRIES} tries");
    }

    fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let mut ask = Curl::get(&format!("http://{}/api/v1/{path}", self.address));
        for (name, value) in fields {
            let field = format!("{name}={value}");
            ask = ask.option("--data-urlencode").option(&field);
        }
        let answer = ask.send().expect_status(200).json();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].clone()
    }

    /// What the query gives now.
    pub(crate) fn now(&self, query: &str) -> Vec<Value> {
        let told = self.ask("query", &[("query", query)]);
        told["result"].as_array().unwrap().clone()
    }

    /// The one number that the query gives now.
    pub(crate) fn number(&self, query: &str) -> Option<f64> {
        let told = self.now(query);
        told.first()?["value"][1].as_str()?.parse().ok()
    }

    /// What the query gave at every second from the first to the second of these.
    pub(crate) fn range(&self, query: &str, (since, until): (i64, i64)) -> Vec<Value> {
        let (since, until) = (since.to_string(), until.to_string());
        let fields = [
            ("query", query),
            ("start", &since),
            ("end", &until),
            ("step", "1"),
        ];
        let told = self.ask("query_range", &fields);
        told["result"].as_array().unwrap().clone()
    }

    /// Every rule, as it was read and last evaluated.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let told = self.ask("rules", &[]);
        let groups = told["groups"].as_array().unwrap().iter();
        groups
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect()
    }
}

fn launch(folder: &Path, address: SocketAddr) -> Option<Process> {
    let mut command = Command::new("prometheus");
    command
        .current_dir(folder)
        .args([
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=data",
            "--log.level=warn",
        ])
        .arg(format!("--web.listen-address={address}"));
    let mut process = Process::start(&mut command, &folder.join("log"));
    let ready = format!("http://{address}/-/ready");
    wait_for("Prometheus", || {
        if process.ended().is_some() {
            let log = process.log();
            assert!(log.contains("address already in use"), "{log}");
            return Some(false);
        }
        (Curl::get(&ready).send().status == 200).then_some(true)
    })
    .then_some(process)
}

/// Runs promtool, in `folder`.
pub(crate) fn promtool(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("promtool");
    command.current_dir(folder).args(arguments);
    command
        .output()
        .expect("promtool; `make setup` installs it")
}

/// Goes on when it found nothing to say against it.
#[track_caller]
pub(crate) fn expect_well(told: &Output) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        told.status.success(),
        "{}\n{}",
        text(&told.stdout),
        text(&told.stderr)
    );
}
