//! What is told of options: docs/CONFIGURATION.md, conf/keyferry.toml, and what docs/RELOAD.md says
//! of a running gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::config::changes::is_live;
use crate::config::example;
use crate::config::file::File;
use crate::config::reference::{options, reference};
use crate::webhook::Kind;

const PAGE: &str = include_str!("../../../docs/CONFIGURATION.md");
const RELOAD: &str = include_str!("../../../docs/RELOAD.md");
/// Where the part of the page begins that is made.
const MADE: &str = "<!-- From here on: make reference -->\n\n";

#[test]
fn the_page_of_all_options_is_current() {
    let (_, made) = PAGE.split_once(MADE).expect("the line");
    assert!(
        made == reference(),
        "docs/CONFIGURATION.md is old; write it again: make reference"
    );
}

#[test]
fn the_reference_shows_every_option_and_no_other() {
    let options = options();
    assert!(options.len() > 100, "{options:?}");
    for option in &options {
        let (table, _) = option.split_once('.').unwrap();
        let name = option.rsplit('.').next().unwrap();
        let section = example::sections().into_iter();
        let mut section = section.filter(|section| section.table == table);
        assert!(
            section.any(|section| section.position(name).is_some()),
            "conf/keyferry.toml does not show {option}"
        );
    }
    let lines: Vec<_> = example::sections()
        .iter()
        .map(example::Section::example)
        .collect();
    let lines = lines.join("\n").replace("\n# ", "\n");
    let lines = lines.trim_start_matches("# ").parse::<Table>().unwrap();
    let mut shown = BTreeSet::new();
    paths("", &Value::Table(lines), &mut shown);
    let options: BTreeSet<_> = options.into_iter().collect();
    // The names of attributes are the operator's.
    let is_free = |path: &str| path.starts_with("telemetry.tracing.attributes.");
    let others = shown.difference(&options).filter(|path| !is_free(path));
    let others: Vec<_> = others.collect();
    assert!(others.is_empty(), "there are no such options: {others:?}");
}

fn paths(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let path = [at, key].join(".");
                let path = path.trim_start_matches('.');
                if path.contains('.') {
                    found.insert(path.to_owned());
                }
                paths(path, value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| paths(at, value, found)),
        _ => {}
    }
}

/// A number without its unit, and a text of which nobody knows what it is, help little.
#[test]
fn every_number_and_every_text_says_what_it_is() {
    let schema = File::schema().to_value();
    let tables = schema["$defs"].as_object().unwrap().values();
    let inline = schema["properties"].as_object().unwrap().values();
    for table in tables.chain(inline) {
        for (name, option) in table["properties"].as_object().into_iter().flatten() {
            let kind = option["type"].to_string() + &option["items"]["type"].to_string();
            if kind.contains("integer") || kind.contains("string") {
                let is_said = ["x-type", "pattern", "const", "enum"];
                assert!(
                    is_said.iter().any(|word| option.get(word).is_some())
                        || option["oneOf"].is_array(),
                    "{name}: add #[schemars(extend(\"x-type\" = \"…\"))]: {option}"
                );
            }
        }
    }
}

/// Whether docs/RELOAD.md has the option in the row of what needs a restart, or in another one: where
/// its name stands, or else where its table's does.
#[test]
fn what_a_running_gateway_takes_over_is_told_as_it_is() {
    let (_, table) = RELOAD.split_once("\n| Setting |").expect("a table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    let mut told = BTreeMap::new();
    for row in table.lines().skip(2) {
        let [_, settings, effect, _] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("not two cells: {row}");
        };
        for name in settings.split('`').skip(1).step_by(2) {
            let name = name.replace(['[', ']'], "").replace(' ', ".");
            let before = told.insert(name.clone(), !effect.contains("after a restart"));
            // What stands beside a table is a part of it, and told without its name.
            assert!(before.is_none(), "docs/RELOAD.md has two rows for {name}");
        }
    }
    for option in options() {
        let (table, rest) = option.split_once('.').unwrap();
        let key = rest.split('.').next().unwrap();
        let is_told = told
            .get(&format!("{table}.{key}"))
            .or_else(|| told.get(table));
        assert_eq!(
            is_told,
            Some(&is_live(table, key)),
            "docs/RELOAD.md: {option} is in the wrong row, or in none"
        );
    }
}

/// What looks like an option, beside what webhooks are told: the first words of what a front signs, and
/// attributes of spans.
const NO_OPTIONS: [&str; 5] = [
    "front.v1",
    "http.request.method",
    "http.request.resend_count",
    "http.response.status_code",
    "http.route",
];

/// An option that was renamed would live on in some page.
#[test]
fn the_pages_name_options_that_there_are() {
    let mut options: BTreeSet<_> = options().into_iter().collect();
    let sections = example::sections();
    options.extend(sections.iter().map(|section| section.table.to_owned()));
    let is_table = |name: &str| sections.iter().any(|section| section.table == name);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages = fs::read_dir(docs).unwrap().map(|page| page.unwrap().path());
    for page in pages.filter(|page| page.extension().is_some_and(|is| is == "md")) {
        let text = fs::read_to_string(&page).unwrap();
        for named in text.split('`').skip(1).step_by(2) {
            let name = named.split(" = ").next().unwrap_or(named);
            let name = name.trim_matches(['[', ']']);
            let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let is_path = name.contains('.') || named.starts_with('[');
            if is_path
                && name
                    .split('.')
                    .all(|key| !key.is_empty() && key.chars().all(is_key))
                && name.split('.').next().is_some_and(is_table)
                && !NO_OPTIONS.contains(&name)
                && Kind::ALL.iter().all(|kind| kind.as_str() != name)
            {
                let page = page.display();
                assert!(options.contains(name), "{page}: there is no option {name}");
            }
        }
    }
}
