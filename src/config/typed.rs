//! From the tree to the file as typed, with everything that does not fit.

use serde_path_to_error::Segment;

use super::document::{Document, kind};
use super::file::File;
use super::problem::{KeyPath, Problem, Step};

/// More problems than this are of no more help to anybody.
const MOST: usize = 200;

/// Reads the file as typed from `document`. Serde stops at the first thing that does not fit; so
/// that is noted, taken out, and the rest is read again.
pub(super) fn read(document: &mut Document, problems: &mut Vec<Problem>) -> File {
    while problems.len() < MOST {
        let error = match serde_path_to_error::deserialize(document.tree().clone()) {
            Ok(file) => return file,
            Err(error) => error,
        };
        let path = path_of(error.path());
        if document.take_as_text(&path) {
            continue;
        }
        let message = error.inner().message();
        problems.push(describe(document, &path, message));
        if !document.prune(&path) {
            break;
        }
        if let Some(meant) = meant(message) {
            document.excuse(&path, meant);
        }
    }
    File::default()
}

fn path_of(path: &serde_path_to_error::Path) -> KeyPath {
    path.iter()
        .fold(KeyPath::default(), |path, segment| match segment {
            Segment::Map { key } => path.key(key),
            Segment::Seq { index } => path.index(*index),
            Segment::Enum { .. } | Segment::Unknown => path,
        })
}

/// Says in our words what serde says in its own. The value itself is shown only where it had to be
/// one of a few words: anything else could be a secret in the wrong place.
fn describe(document: &Document, path: &KeyPath, message: &str) -> Problem {
    let (wrong, write) = if message.starts_with("unknown field") {
        let write = match meant(message) {
            Some(meant) => format!("write {meant:?}"),
            None => format!("use {}", one_of(&quoted(message).1)),
        };
        ("unknown key".to_owned(), write)
    } else if message.starts_with("unknown variant") {
        let (typed, known) = quoted(message);
        let known: Vec<_> = known.iter().map(|word| format!("{word:?}")).collect();
        let use_one = format!("use {}", one_of(&known));
        (format!("unknown value {typed:?}"), use_one)
    } else {
        let is = format!("is {}", document.value(path).map_or("missing", kind));
        match message.split_once("expected ") {
            // Thus TOML speaks of a word that must be one of a few.
            None | Some((_, "string only")) => (is, "write a word in quotes".to_owned()),
            Some((before, "u8" | "u32")) => {
                let wrong = if before.starts_with("invalid value") {
                    "is out of range"
                } else {
                    &is
                };
                (
                    wrong.to_owned(),
                    "use a whole number from 0 on, and not a large one".to_owned(),
                )
            }
            Some((_, "a boolean")) => (is, "use true or false".to_owned()),
            Some((_, expected)) if expected.starts_with("struct") => {
                (is, "write a table".to_owned())
            }
            Some((before, expected)) if before.starts_with("invalid type") => {
                (is, format!("use {expected}"))
            }
            Some((before, expected)) => {
                let wrong = before.trim_end_matches([' ', ',']).to_owned();
                (wrong, format!("use {expected}"))
            }
        }
    };
    Problem {
        place: document.place(path),
        key: shown(document, path),
        wrong,
        write,
    }
}

/// The path without the number of an element that is no table: the message shows the element, and
/// numbers move when one is taken out.
fn shown(document: &Document, path: &KeyPath) -> KeyPath {
    match path.split() {
        Some((around, Step::Index(_)))
            if !document.value(path).is_some_and(toml::Value::is_table) =>
        {
            around
        }
        _ => path.clone(),
    }
}

/// What serde put between backticks: what was typed, then what is known.
fn quoted(message: &str) -> (&str, Vec<&str>) {
    let mut words = message.split('`').skip(1).step_by(2);
    (words.next().unwrap_or_default(), words.collect())
}

/// The known key that somebody who typed an unknown one probably meant.
fn meant(message: &str) -> Option<&str> {
    let (typed, known) = quoted(message);
    if !message.starts_with("unknown field") {
        return None;
    }
    let near_enough = typed.len().div_ceil(3).max(2);
    let nearest = known
        .iter()
        .map(|word| (distance(typed, word), *word))
        .filter(|(distance, _)| *distance <= near_enough)
        .min();
    // `password` is nearer to `password_file` than counting letters tells.
    let begins = |word: &&&str| typed.len() > 2 && word.starts_with(typed);
    let longer = || known.iter().find(begins).copied();
    nearest.map(|(_, word)| word).or_else(longer)
}

/// How many letters must be put in, taken out or changed to make one word of the other
/// (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (above, a) in one.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above.saturating_add(1);
        for (cell, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let changed = diagonal.saturating_add(usize::from(a != b));
            let shorter = left.min(*cell).saturating_add(1);
            diagonal = *cell;
            left = changed.min(shorter);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = above.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn one_of<T: AsRef<str>>(words: &[T]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        match words.len().saturating_sub(at) {
            _ if at == 0 => {}
            1 => text.push_str(" or "),
            _ => text.push_str(", "),
        }
        text.push_str(word.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
        let meant = |typed: &str| {
            let message = format!("unknown field `{typed}`, expected `address` or `password_file`");
            meant(&message).map(str::to_owned)
        };
        assert_eq!(meant("adress").as_deref(), Some("address"));
        assert_eq!(meant("password").as_deref(), Some("password_file"));
        assert_eq!(meant("zebra"), None);
    }
}
