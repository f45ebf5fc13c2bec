//! Letters from templates.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::facts::Facts;
use crate::operation::Failure;

/// The letter of those who have none of their own.
pub(super) const BUILT_IN: &str = include_str!("letter.txt");
/// No template is longer: the library reads one sum of many parts by as many calls within each other.
const LONGEST: u64 = 32 << 10;
/// What one letter may take, so that a template that would never end does.
const FUEL: u64 = 1_000_000;
/// What the library calls the template.
const NAME: &str = "template";

/// How a letter is written.
pub(super) struct Template {
    environment: Environment<'static>,
    /// What it is called where something is wrong with it.
    called: String,
}

impl Template {
    /// The built-in one.
    pub(super) fn built_in() -> Result<Self, Failure> {
        Self::new(BUILT_IN.to_owned(), "the built-in letter".to_owned())
    }

    /// The one in this file.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let called = file.display().to_string();
        let cannot = |why: &str| Failure::Data(format!("{called} is no template: {why}"));
        let mut content = Vec::new();
        File::open(file)
            .and_then(|file| {
                file.take(LONGEST.saturating_add(1))
                    .read_to_end(&mut content)
            })
            .map_err(|error| Failure::Usage(format!("{called} cannot be read: {error}")))?;
        if content.len() as u64 > LONGEST {
            return Err(cannot("it is longer than 32 KiB"));
        }
        let source = String::from_utf8(content).map_err(|_| cannot("it is no text in UTF-8"))?;
        if source.trim().is_empty() {
            return Err(cannot("nothing is in it"));
        }
        Self::new(source, called)
    }

    fn new(source: String, called: String) -> Result<Self, Failure> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("day", |at: &Value| written(at, "%-d %B %Y"));
        environment.add_filter("time", |at: &Value| written(at, "%-d %B %Y, %H:%M UTC"));
        let mut template = Self {
            environment,
            called,
        };
        // A line that has a tag alone leaves no line in the letter.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        let syntax = syntax.map_err(|error| template.wrong(&error))?;
        template.environment.set_syntax(syntax);
        let added = template.environment.add_template_owned(NAME, source);
        added.map_err(|error| template.wrong(&error))?;
        template.expect_known_names()?;
        Ok(template)
    }

    /// The letter to the client of whom this is known. It ends with one line end.
    pub(super) fn render(&self, facts: &Facts) -> Result<String, Failure> {
        let template = self.environment.get_template(NAME);
        let text = template.and_then(|template| template.render(Serde(facts)));
        let text = text.map_err(|error| {
            let why = self.wrong(&error);
            Failure::Data(format!("{why} (in the letter to {})", facts.client_id))
        })?;
        Ok(format!("{}\n", text.trim()))
    }

    /// Fails when the template uses names that there are not, also where this client's letter would
    /// not come by.
    fn expect_known_names(&self) -> Result<(), Failure> {
        let template = self.environment.get_template(NAME);
        let template = template.map_err(|error| self.wrong(&error))?;
        let known = names();
        let is_global = |name: &str| self.environment.globals().any(|(global, _)| global == name);
        let mut unknown: Vec<_> = { template.undeclared_variables(false).into_iter() }
            .filter(|name| !known.contains(name) && !is_global(name))
            .collect();
        unknown.sort_unstable();
        let Some(first) = unknown.first() else {
            return Ok(());
        };
        // Where it stands in several lines, nobody can tell which of them means it.
        let lines = (1..).zip(template.source().lines());
        let mut with = lines.filter(|(_, line)| line.contains('{') && has_word(line, first));
        let line = match (with.next(), with.next()) {
            (Some((number, _)), None) => format!("line {number}: "),
            _ => String::new(),
        };
        Err(Failure::Data(format!(
            "{}: {line}there is no {first}; the names there are: {}",
            self.called,
            known.join(", ")
        )))
    }

    fn wrong(&self, error: &Error) -> Failure {
        let line = error.line().map(|line| format!("line {line}: "));
        let why = match (error.kind(), error.detail()) {
            (ErrorKind::OutOfFuel, _) => "it does not come to an end".to_owned(),
            (ErrorKind::UndefinedError, detail) => format!(
                "{}; docs/LETTERS.md has the names there are",
                detail.unwrap_or("there is no such name")
            ),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        Failure::Data(format!(
            "{}: {}{why}",
            self.called,
            line.unwrap_or_default()
        ))
    }
}

/// The names that a template may use.
pub(super) fn names() -> Vec<String> {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<Facts>();
    let properties = schema.get("properties").and_then(|it| it.as_object());
    properties
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .cloned()
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|one| one == word)
}

/// A moment of the facts, as people write it.
fn written(at: &Value, form: &str) -> Result<String, Error> {
    let read = at.as_str().and_then(|at| at.strip_suffix('Z'));
    let read = read.and_then(|at| at.parse::<DateTime>().ok());
    let read = read.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("{at} is no moment; ask first whether there is one, with {{% if … %}}"),
        )
    })?;
    Ok(read.strftime(form).to_string())
}
