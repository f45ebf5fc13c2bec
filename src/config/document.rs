//! The file and the environment as one tree that knows where each value was written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::problem::{KeyPath, Place, Problem, Step};

/// How a variable that overrides a key begins: `KEYFERRY__listener__address`.
const PREFIX: &str = "KEYFERRY__";

/// The tree, and where its values come from.
pub(super) struct Document {
    file: PathBuf,
    tree: Value,
    origins: BTreeMap<KeyPath, Origin>,
    pruned: BTreeSet<KeyPath>,
}

enum Origin {
    Line(usize),
    Variable { name: String, text: String },
}

impl Document {
    /// Reads `text`, the contents of `file`.
    ///
    /// # Errors
    ///
    /// Every place where it is not TOML.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let tree = match (errors.is_empty(), text.parse::<toml::Table>()) {
            (true, Ok(tree)) => tree,
            (true, Err(error)) => return Err(vec![not_toml(file, text, &error)]),
            (false, _) => {
                let mut problems: Vec<_> = errors.iter().map(|e| not_toml(file, text, e)).collect();
                // What follows the first error of a line is most often only its consequence.
                problems.dedup_by(|next, first| next.place == first.place);
                return Err(problems);
            }
        };
        let mut origins = BTreeMap::from([(KeyPath::default(), Origin::Line(1))]);
        note_table(&KeyPath::default(), table.get_ref(), text, &mut origins);
        Ok(Self {
            file: file.to_owned(),
            tree: Value::Table(tree),
            origins,
            pruned: BTreeSet::new(),
        })
    }

    /// Takes in every `KEYFERRY__…` variable. Names are read without regard to case, since every
    /// key of the file is in lower case and many tools write variables in upper case.
    pub(super) fn override_with(
        &mut self,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Vec<Problem> {
        let mut ours: Vec<_> = environment
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        ours.sort();
        let mut problems = Vec::new();
        for (name, text) in ours {
            if let Err((wrong, write)) = self.set(&name, text) {
                problems.push(Problem {
                    place: Place::Variable { variable: name },
                    key: KeyPath::default(),
                    wrong,
                    write,
                });
            }
        }
        problems
    }

    fn set(&mut self, name: &str, text: String) -> Result<(), (String, String)> {
        let segments = name.strip_prefix(PREFIX).unwrap_or_default();
        let mut path = KeyPath::default();
        let mut node = &mut self.tree;
        for segment in segments.to_lowercase().split("__") {
            path = step_into(node, &path, segment)?;
            node = match (node, path.split()) {
                (Value::Table(table), Some((_, Step::Key(key)))) => table
                    .entry(key.clone())
                    .or_insert_with(|| Value::Array(Vec::new())),
                (Value::Array(array), Some((_, Step::Index(index)))) => {
                    if *index == array.len() {
                        array.push(Value::Array(Vec::new()));
                    }
                    array.get_mut(*index).ok_or_else(unusable)?
                }
                _ => return Err(unusable()),
            };
            let origin = || Origin::Variable {
                name: name.to_owned(),
                text: text.clone(),
            };
            self.origins.entry(path.clone()).or_insert_with(origin);
        }
        *node = text.parse().unwrap_or_else(|_| Value::String(text.clone()));
        self.origins.retain(|known, _| !known.begins_with(&path));
        let name = name.to_owned();
        self.origins.insert(path, Origin::Variable { name, text });
        Ok(())
    }

    /// The tree as it is now.
    pub(super) fn tree(&self) -> &Value {
        &self.tree
    }

    /// The value at `path`.
    pub(super) fn value(&self, path: &KeyPath) -> Option<&Value> {
        path.steps()
            .iter()
            .try_fold(&self.tree, |node, step| match step {
                Step::Key(key) => node.get(key),
                Step::Index(index) => node.get(*index),
            })
    }

    /// Where the value at `path` was written, or what should hold it.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        let mut path = path.clone();
        loop {
            match self.origins.get(&path) {
                Some(Origin::Line(line)) => return self.line(Some(*line)),
                Some(Origin::Variable { name, .. }) => {
                    return Place::Variable {
                        variable: name.clone(),
                    };
                }
                None => match path.split() {
                    Some((around, _)) => path = around,
                    None => return self.line(None),
                },
            }
        }
    }

    fn line(&self, line: Option<usize>) -> Place {
        Place::File {
            file: self.file.clone(),
            line,
        }
    }

    /// Takes the text of a variable as it stands where it was first read as TOML: `1.2` is then no
    /// number any more. Says whether that changed anything.
    pub(super) fn take_as_text(&mut self, path: &KeyPath) -> bool {
        let Some(Origin::Variable { text, .. }) = self.origins.get(path) else {
            return false;
        };
        let text = Value::String(text.clone());
        match node_mut(&mut self.tree, path) {
            Some(node) if !node.is_str() => {
                *node = text;
                true
            }
            _ => false,
        }
    }

    /// Takes the value at `path` out, so that the rest can be read. Says whether there was one.
    pub(super) fn prune(&mut self, path: &KeyPath) -> bool {
        let Some((around, last)) = path.split() else {
            return false;
        };
        match (node_mut(&mut self.tree, &around), last) {
            (Some(Value::Table(table)), Step::Key(key)) => {
                self.pruned.insert(path.clone());
                table.remove(key).is_some()
            }
            (Some(Value::Array(array)), Step::Index(index)) if *index < array.len() => {
                array.remove(*index);
                self.pruned.insert(around.clone());
                self.close_gap(&around, *index);
                true
            }
            _ => false,
        }
    }

    /// Notes that `key` beside `path` is not missing, only misspelt.
    pub(super) fn excuse(&mut self, path: &KeyPath, key: &str) {
        if let Some((around, _)) = path.split() {
            self.pruned.insert(around.key(key));
        }
    }

    /// Whether something at `path` was taken out: what it lacks has been reported already.
    pub(super) fn is_pruned(&self, path: &KeyPath) -> bool {
        self.pruned.contains(path)
    }

    /// Element `gone` of `array` is no more; those behind it have moved by one.
    fn close_gap(&mut self, array: &KeyPath, gone: usize) {
        let depth = array.steps().len();
        let moved = std::mem::take(&mut self.origins)
            .into_iter()
            .filter_map(|(path, origin)| {
                if !path.begins_with(array) {
                    return Some((path, origin));
                }
                let Some(Step::Index(index)) = path.steps().get(depth) else {
                    return Some((path, origin));
                };
                if *index == gone {
                    return None;
                }
                let first = array.index(if *index > gone {
                    index.saturating_sub(1)
                } else {
                    *index
                });
                let rest = path.steps().iter().skip(depth.saturating_add(1));
                Some((
                    rest.fold(first, |path, step| path.with(step.clone())),
                    origin,
                ))
            });
        self.origins = moved.collect();
    }
}

fn step_into(node: &mut Value, path: &KeyPath, segment: &str) -> Result<KeyPath, (String, String)> {
    let index: Option<usize> = segment.parse().ok();
    // What did not exist was made as an empty array; a name makes it a table.
    if index.is_none() && node.as_array().is_some_and(Vec::is_empty) {
        *node = Value::Table(toml::Table::new());
    }
    match (&*node, index) {
        (_, _) if segment.is_empty() => Err(unusable()),
        (Value::Table(_), _) => Ok(path.key(segment)),
        (Value::Array(array), Some(index)) if index <= array.len() => Ok(path.index(index)),
        (Value::Array(array), Some(index)) => Err((
            format!("{path} has no element {index}"),
            format!("count from 0; the next new one is {}", array.len()),
        )),
        (Value::Array(_), None) => Err((
            format!("{path} is a list and has no {segment:?}"),
            "name the element by its number, counted from 0".to_owned(),
        )),
        (other, _) => Err((
            format!("{path} is {} and has no {segment:?}", kind(other)),
            "take the rest of the name away".to_owned(),
        )),
    }
}

fn unusable() -> (String, String) {
    (
        "the name does not lead to a key".to_owned(),
        "name the key with __ between its parts, for instance KEYFERRY__listener__address"
            .to_owned(),
    )
}

/// What kind of value it is, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

fn node_mut<'a>(tree: &'a mut Value, path: &KeyPath) -> Option<&'a mut Value> {
    path.steps().iter().try_fold(tree, |node, step| match step {
        Step::Key(key) => node.get_mut(key),
        Step::Index(index) => node.get_mut(*index),
    })
}

fn note_table(
    path: &KeyPath,
    table: &DeTable<'_>,
    text: &str,
    origins: &mut BTreeMap<KeyPath, Origin>,
) {
    for (key, value) in table {
        let path = path.key(key.get_ref());
        origins.insert(path.clone(), Origin::Line(line_of(text, key.span().start)));
        note_value(&path, value.get_ref(), text, origins);
    }
}

fn note_value(
    path: &KeyPath,
    value: &DeValue<'_>,
    text: &str,
    origins: &mut BTreeMap<KeyPath, Origin>,
) {
    match value {
        DeValue::Table(table) => note_table(path, table, text, origins),
        DeValue::Array(array) => {
            for (index, element) in array.iter().enumerate() {
                let path = path.index(index);
                let line = line_of(text, element.span().start);
                origins.insert(path.clone(), Origin::Line(line));
                note_value(&path, element.get_ref(), text, origins);
            }
        }
        _ => {}
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset).filter(|b| *b == b'\n').count();
    before.saturating_add(1)
}

fn not_toml(file: &Path, text: &str, error: &toml::de::Error) -> Problem {
    Problem {
        place: Place::File {
            file: file.to_owned(),
            line: error.span().map(|span| line_of(text, span.start)),
        },
        key: KeyPath::default(),
        wrong: format!("this is not TOML: {}", error.message()),
        write: "see https://toml.io/en/v1.0.0".to_owned(),
    }
}
