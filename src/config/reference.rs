//! Every option as a page for people: docs/CONFIGURATION.md below its head.
//!
//! All of it stands elsewhere: kinds, defaults and descriptions in the schema, what a running gateway
//! takes over in [`is_live`], examples and the order of things in conf/keyferry.toml.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::changes::is_live;
use super::example::{self, Section};
use super::file::File;

/// The page, below its head.
#[must_use]
pub fn reference() -> String {
    let schema = Schema(File::schema().to_value());
    let tables = schema.tables();
    let mut page = String::new();
    for table in tables.iter().filter(|table| !table.path.contains('.')) {
        let (sentence, _) = table.text.split_once(". ").unwrap_or((table.text, ""));
        let sentence = prose(sentence.trim_end_matches('.'));
        line(&mut page, &format!("- {}: {sentence}", table.link()));
    }
    for table in &tables {
        table.write(&mut page);
    }
    page
}

/// The names of all options, each with those of the tables around it: `backend.tls.ca_file`.
#[cfg(test)]
pub(super) fn options() -> Vec<String> {
    let schema = Schema(File::schema().to_value());
    let names = |table: &Table<'_>| -> Vec<_> {
        let keys = table.rows.iter().map(|row| row.name);
        keys.map(|key| format!("{}.{key}", table.path)).collect()
    };
    schema.tables().iter().flat_map(names).collect()
}

struct Schema(Value);

/// A table of the configuration, wherever it stands.
struct Table<'a> {
    /// `listener.certificate`.
    path: String,
    /// Whether there can be several.
    is_list: bool,
    need: &'static str,
    text: &'a str,
    rows: Vec<Row<'a>>,
    section: Option<Section>,
}

/// An option.
struct Row<'a> {
    name: &'a str,
    kind: String,
    default: String,
    is_live: bool,
    text: String,
}

impl Schema {
    fn tables(&self) -> Vec<Table<'_>> {
        let mut tables = Vec::new();
        let sections = example::sections();
        let order = |name: &str| sections.iter().position(|section| section.table == name);
        let mut tops: Vec<_> = properties(&self.0).into_iter().flatten().collect();
        tops.sort_by_key(|(name, _)| order(name).unwrap_or(usize::MAX));
        for (name, property) in tops {
            let section = sections.iter().find(|section| section.table == *name);
            self.collect(name, &self.0, name, property, section, &mut tables);
        }
        tables
    }

    /// Adds the table that `property` of `parent` is, and those in it.
    fn collect<'a>(
        &'a self,
        path: &str,
        parent: &'a Value,
        name: &str,
        property: &'a Value,
        section: Option<&Section>,
        tables: &mut Vec<Table<'a>>,
    ) {
        let (table, is_list) = self.resolve(property);
        let Some(options) = properties(table) else {
            return;
        };
        let position = |key: &str| section.and_then(|section| section.position(key));
        let mut options: Vec<_> = options.iter().collect();
        options.sort_by_key(|(key, _)| position(key).unwrap_or(usize::MAX));
        let rows = options.iter();
        let rows = rows.map(|(key, option)| self.row(path, table, key, option));
        tables.push(Table {
            path: path.to_owned(),
            is_list,
            need: need(parent, name, property),
            text: text(table).or_else(|| text(property)).unwrap_or_default(),
            rows: rows.collect(),
            section: section.filter(|_| !path.contains('.')).cloned(),
        });
        for (key, option) in options {
            let path = format!("{path}.{key}");
            self.collect(&path, table, key, option, section, tables);
        }
    }

    /// What stands behind names, `null` beside it, and lists; and whether it was a list.
    fn resolve<'a>(&'a self, schema: &'a Value) -> (&'a Value, bool) {
        let choices = schema.get("anyOf").and_then(Value::as_array);
        let some = choices.and_then(|choices| choices.first());
        let name = schema.get("$ref").and_then(Value::as_str);
        let named = name.and_then(|name| self.0.pointer(name.strip_prefix('#')?));
        if let Some(schema) = some.or(named) {
            return self.resolve(schema);
        }
        match schema.get("items") {
            Some(items) => (self.resolve(items).0, true),
            None => (schema, false),
        }
    }

    fn row<'a>(&self, path: &str, table: &Value, key: &'a str, option: &Value) -> Row<'a> {
        let (kind, is_list) = self.resolve(option);
        let of = |one: &str, several: &str| if is_list { several } else { one }.to_owned();
        let choices = choices(kind);
        let named = option.get("x-type").and_then(Value::as_str);
        let kind = if let Some(named) = named {
            named.to_owned()
        } else if properties(kind).is_some() {
            let path = format!("{path}.{key}");
            link(&of("table", "tables"), &path)
        } else if choices.is_some() {
            of("word", "list of words")
        } else if kind.get("type").and_then(Value::as_str) == Some("boolean") {
            "true or false".to_owned()
        } else if option.to_string().contains("/Period\"") {
            "duration".to_owned()
        } else {
            of("text", "list of texts")
        };
        let default = option.get("default");
        let default = default.filter(|default| !default.is_object() && !default.is_null());
        let (top, inner) = path.split_once('.').unwrap_or((path, key));
        let inner = inner.split('.').next().unwrap_or(inner);
        Row {
            name: key,
            kind: kind + &range(option),
            default: match default {
                _ if is_required(table, key) => "**required**".to_owned(),
                Some(default) => format!("`{default}`"),
                None if is_list && !option.to_string().contains("null") => "`[]`".to_owned(),
                None => "–".to_owned(),
            },
            is_live: is_live(top, inner),
            text: [text(option).unwrap_or_default().to_owned()]
                .into_iter()
                .chain(choices)
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

impl Table<'_> {
    fn heading(&self) -> String {
        let path = &self.path;
        if self.is_list {
            format!("`[[{path}]]`")
        } else {
            format!("`[{path}]`")
        }
    }

    fn link(&self) -> String {
        link(&self.heading(), &self.path)
    }

    fn write(&self, page: &mut String) {
        let level = if self.path.contains('.') { "###" } else { "##" };
        line(page, &format!("\n{level} {}\n", self.heading()));
        line(page, &format!("{} *{}*\n", prose(self.text), self.need));
        line(page, "| Option | Is | Default | Takes effect | Meaning |");
        line(page, "|---|---|---|---|---|");
        for row in &self.rows {
            let (name, kind, default) = (row.name, &row.kind, &row.default);
            let effect = if row.is_live { "live" } else { "restart" };
            let text = prose(&row.text).replace('|', "\\|");
            let row = format!("| `{name}` | {kind} | {default} | {effect} | {text} |");
            line(page, &row);
        }
        if let Some(section) = &self.section {
            line(page, &format!("\n```toml\n{}\n```", section.example()));
        }
    }
}

fn line(page: &mut String, text: &str) {
    // A string takes everything.
    let _ = writeln!(page, "{text}");
}

/// A link within the page: headings are found by their letters, digits and `_`.
fn link(text: &str, path: &str) -> String {
    format!("[{text}](#{})", path.replace('.', ""))
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn text(schema: &Value) -> Option<&str> {
    schema.get("description").and_then(Value::as_str)
}

fn is_required(table: &Value, key: &str) -> bool {
    let required = table.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|name| name == key))
}

/// Whether the table `name` must be written.
fn need(parent: &Value, name: &str, property: &Value) -> &'static str {
    let is_list = property.get("items").is_some();
    match (is_required(parent, name), is_list) {
        (true, true) => "At least one is required.",
        (true, false) => "Required.",
        (false, true) => "There may be none, or several.",
        (false, false) if property.get("anyOf").is_some() => "Optional.",
        (false, false) => "It can be left out: every option has its default then.",
    }
}

/// What each word means, when it is one of several.
fn choices(schema: &Value) -> Option<String> {
    let words = schema.get("oneOf").and_then(Value::as_array)?;
    let words = words.iter().filter_map(|word| {
        let meaning = text(word)?.trim_end_matches('.');
        Some(format!("`{}`: {meaning}.", word.get("const")?))
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

/// Which numbers it takes.
fn range(option: &Value) -> String {
    let bound = |name| option.get(name).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) if least > 0 => format!(", from {least}"),
        _ => String::new(),
    }
}

/// With links to the pages that are named, and values in the letters of code.
fn prose(text: &str) -> String {
    let mut page = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            // A string takes everything.
            let _ = write!(page, "`{part}`");
            continue;
        }
        for (at, part) in part.split('"').enumerate() {
            let is_value = at % 2 == 1 && !part.contains(' ');
            let quote = if is_value { "`\"" } else { "\"" };
            page.push_str(if at > 0 && at % 2 == 1 { quote } else { "" });
            page.push_str(&pages(part));
            let end = if is_value { "\"`" } else { "\"" };
            page.push_str(if at % 2 == 1 { end } else { "" });
        }
    }
    page
}

fn pages(text: &str) -> String {
    let mut parts = text.split("docs/");
    let mut page = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(".md").unwrap_or((part, ""));
        // A string takes everything.
        let _ = write!(page, "[{name}.md]({name}.md){rest}");
    }
    page
}
