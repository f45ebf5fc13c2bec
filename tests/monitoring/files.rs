//! The files that are held against each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const RULES: &str = "k8s/components/monitoring/rules";
pub(crate) const RUNBOOKS: &str = "docs/runbooks";
pub(crate) const GRAFANA: &str = "grafana";

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder with this ending, by their names without it.
pub(crate) fn in_folder(folder: &str, ending: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|_| panic!("{folder}"));
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let stem = name.strip_suffix(ending)?.to_owned();
            Some((stem, read(&format!("{folder}/{name}"))))
        })
        .collect();
    found.sort_unstable();
    assert!(!found.is_empty(), "{folder}: nothing ends in {ending}");
    found
}

/// The rules as Prometheus reads them: what stands under `spec` in each manifest, two columns to the
/// left.
pub(crate) fn rules() -> Vec<(String, String)> {
    let manifests = in_folder(RULES, ".yaml").into_iter();
    let manifests = manifests.filter(|(name, _)| name != "kustomization");
    manifests.map(|(name, text)| (name, spec(&text))).collect()
}

fn spec(manifest: &str) -> String {
    let (_, spec) = manifest.split_once("\nspec:\n").expect("a spec");
    let lines = spec.lines().map(|line| {
        let line = line
            .strip_prefix("  ")
            .or_else(|| line.is_empty().then_some(""));
        line.expect("spec is the last part of a manifest")
    });
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// Writes the rules into `folder`; their paths.
pub(crate) fn write_rules(folder: &Path) -> Vec<PathBuf> {
    let write = |(name, text): (String, String)| {
        let path = folder.join(format!("{name}.rules.yaml"));
        fs::write(&path, text).unwrap();
        path
    };
    rules().into_iter().map(write).collect()
}

/// The pages that tell what to ask and to run: the runbooks, and the page about monitoring.
pub(crate) fn pages() -> Vec<(String, String)> {
    let mut pages = in_folder(RUNBOOKS, ".md");
    pages.push(("MONITORING".to_owned(), read("docs/MONITORING.md")));
    pages
}

/// The lines in a page's blocks of this language.
pub(crate) fn blocks<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let starts: Vec<_> = page
        .match_indices(&fence)
        .map(|(at, _)| at + fence.len())
        .collect();
    starts.into_iter().flat_map(move |at| {
        let block = page[at..].split("```").next().unwrap_or_default();
        block
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    })
}

/// An alert as it is written down.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) name: String,
    /// All of it.
    pub(crate) text: String,
}

impl Alert {
    /// The value of a field on a line of its own.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut lines = self.text.lines().map(str::trim_start);
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("{} has no {name}", self.name))
    }
}

pub(crate) fn alerts() -> Vec<Alert> {
    let of = |(_, text): (String, String)| {
        let alerts = text.split("- alert: ").skip(1);
        let alerts = alerts.map(|text| Alert {
            name: text.lines().next().unwrap().to_owned(),
            text: text.split("- record: ").next().unwrap().to_owned(),
        });
        alerts.collect::<Vec<_>>()
    };
    let found: Vec<_> = rules().into_iter().flat_map(of).collect();
    assert!(found.len() > 30, "the rules were not read");
    found
}

/// Every name of a metric of ours in `text`, as a query or a page has it: without what a histogram
/// adds to its name.
pub(crate) fn metrics_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("keyferry_")
        // A recording rule's name has the metric between colons, and is checked as a name of its own.
        .filter(|(at, _)| !text[..*at].ends_with(|before: char| word(before) || before == ':'))
        .map(|(at, _)| {
            let rest = &text[at..];
            let name = &rest[..rest.find(|c| !word(c)).unwrap_or(rest.len())];
            let histogram = ["_bucket", "_count", "_sum"];
            let base = histogram.iter().find_map(|end| name.strip_suffix(end));
            base.unwrap_or(name).to_owned()
        })
        .collect()
}
