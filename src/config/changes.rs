//! What has changed in a configuration, by name, and what of it a running gateway takes over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::problem::{KeyPath, Step};

/// What has changed, as people name it; never what it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What a running gateway takes over.
    pub live: BTreeSet<String>,
    /// What only a gateway that starts takes over.
    pub needs_restart: BTreeSet<String>,
}

/// How many settings a line names.
const LISTED: usize = 50;

/// The first of them: a thousand routes that change at once fill no line.
pub fn listed(settings: &BTreeSet<String>) -> String {
    let mut first: Vec<_> = settings.iter().take(LISTED).map(String::as_str).collect();
    let more = settings.len().saturating_sub(LISTED);
    let more = format!("and {more} more");
    if settings.len() > LISTED {
        first.push(&more);
    }
    first.join(", ")
}

/// The name of a setting: `backend[orders].signing.secret_file`. Tables of a list go by their names
/// where they have some, so that nothing changes when one comes before them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Setting {
    text: String,
    /// How much of it names the table of a list.
    element: Option<usize>,
    /// The table at the top, and the key in it.
    top: (String, String),
}

impl Setting {
    /// The table called `name` at this place of a list.
    pub(super) fn named(at: &KeyPath, name: &str) -> Self {
        let list = at.split().map(|(list, _)| list).unwrap_or_default();
        let text = format!("{list}[{}]", name.escape_debug());
        Self {
            element: Some(text.len()),
            text,
            top: (top(&list), String::new()),
        }
    }

    /// What stands at `at`; `names` are those of tables around it.
    pub(super) fn at(at: &KeyPath, names: &BTreeMap<KeyPath, Self>) -> Self {
        let steps = at.steps();
        let key = steps.iter().skip(1).find_map(|step| match step {
            Step::Key(key) => Some(key.clone()),
            Step::Index(_) => None,
        });
        let top = (top(at), key.unwrap_or_default());
        // Only lists at the top have tables with names.
        let prefix = |path: KeyPath, step: &Step| path.with(step.clone());
        let around = steps.iter().take(2).fold(KeyPath::default(), prefix);
        let Some(table) = names.get(&around) else {
            return Self {
                text: at.to_string(),
                element: None,
                top,
            };
        };
        let rest = steps.iter().skip(2).fold(KeyPath::default(), prefix);
        Self {
            text: format!("{}.{rest}", table.text),
            element: table.element,
            top,
        }
    }

    /// The table of a list in which it stands, when that has a name.
    pub(super) fn element(&self) -> Option<&str> {
        self.text.get(..self.element?)
    }

    /// Whether a running gateway takes over what is changed there.
    pub(super) fn is_live(&self) -> bool {
        is_live(&self.top.0, &self.top.1)
    }
}

/// Whether a running gateway takes over what is changed of `key` in the table `table` at the top.
pub(super) fn is_live(table: &str, key: &str) -> bool {
    match table {
        "backend" | "ca" | "enrolment" | "front" | "headers" | "migration" | "observe"
        | "route" | "self_service" | "webhook" => true,
        "key" => matches!(
            key,
            "current_pepper" | "pepper" | "per_client" | "restore_window"
        ),
        "http" => key == "strict_transport_security",
        "admin" | "listener" => key != "address",
        "store" => matches!(key, "record_keys" | "unsigned_records"),
        "telemetry" => matches!(key, "log" | "tracing"),
        _ => false,
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn top(path: &KeyPath) -> String {
    match path.steps().first() {
        Some(Step::Key(table)) => table.clone(),
        Some(Step::Index(_)) | None => String::new(),
    }
}
