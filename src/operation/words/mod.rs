//! The parameters of operations, as others than the command line send them: names and values.
//!
//! They are those of the command, by what clap knows of them, and are read by clap in the end: so each is
//! told, demanded and checked in one place. A parameter is called as the field of `Args` that holds it.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser, Subcommand as _, ValueHint};
use serde_json::{Map, Value};

use super::Operation;

/// An operation and nothing else: the options that every command takes are for the machine that it runs on.
#[derive(Debug, Parser)]
#[command(
    name = "keyferry",
    no_binary_name = true,
    disable_help_subcommand = true
)]
#[command(disable_help_flag = true)]
struct Asked {
    #[command(subcommand)]
    operation: Operation,
}

/// The heading of options that mean something on the machine that they are typed on, and nowhere else.
pub(super) const HERE: &str = "On this machine only";

/// What whole numbers are read as.
const NUMBERS: [TypeId; 5] = [
    TypeId::of::<u8>(),
    TypeId::of::<u16>(),
    TypeId::of::<u32>(),
    TypeId::of::<u64>(),
    TypeId::of::<usize>(),
];

/// Something that an operation is asked.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: String,
    /// What may stand there.
    pub(crate) takes: Takes,
    /// Whether it must be there.
    pub(crate) required: bool,
    /// What it means.
    pub(crate) help: String,
    /// The only values that there are, if they are few.
    pub(crate) values: Vec<String>,
    /// What holds without it.
    pub(crate) default: Option<String>,
    /// Whether a command reads a file there, whose content stands here.
    pub(crate) is_content: bool,
    /// Whether it is a whole number.
    pub(crate) is_number: bool,
    /// Of what kind the command says that it is: `ID`.
    pub(crate) kind: String,
}

/// What stands for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// True or false.
    Switch,
    /// One value.
    One,
    /// One value or several.
    Several,
}

/// A parameter as somebody typed it.
#[derive(Debug)]
pub(crate) struct Typed<'a> {
    /// Its name.
    pub(crate) name: String,
    /// What people call it.
    pub(crate) shown: String,
    /// What stands there.
    pub(crate) takes: Takes,
    /// Whether a file is named whose content is meant.
    pub(crate) is_content: bool,
    /// Whether it means something on the machine that it was typed on.
    pub(crate) is_of_this_machine: bool,
    /// The values.
    pub(crate) values: Vec<&'a OsStr>,
}

/// What was typed of the operation of these words; `matches` are its own.
pub(crate) fn typed<'a>(words: &[&str], matches: &'a ArgMatches) -> Vec<Typed<'a>> {
    let command = command(words.iter().copied());
    let is_typed =
        |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    { command.get_arguments() }
        .filter(is_typed)
        .map(|arg| {
            let Parameter {
                name,
                takes,
                is_content,
                ..
            } = Parameter::of(arg);
            let values = matches.get_raw(&name).into_iter().flatten();
            Typed {
                shown: arg
                    .get_long()
                    .map_or_else(|| name.clone(), |long| format!("--{long}")),
                takes,
                is_content,
                is_of_this_machine: !is_for_others(arg),
                values: values.collect(),
                name,
            }
        })
        .collect()
}

/// What was asked makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(String);

/// The command of these words, if there is one.
fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Operation::augment_subcommands(Command::new("keyferry"));
    for word in words {
        command = command.find_subcommand(word).cloned().unwrap_or_default();
    }
    command
}

/// The names of all operations, offered or not.
#[cfg(test)]
pub(super) fn all() -> Vec<String> {
    fn under(command: &Command, name: &str, all: &mut Vec<String>) {
        for one in command.get_subcommands() {
            under(one, &format!("{name}/{}", one.get_name()), all);
        }
        if !command.has_subcommands() {
            all.push(name.trim_start_matches('/').to_owned());
        }
    }
    let mut all = Vec::new();
    under(&command([]), "", &mut all);
    all
}

/// What the operation of these words does: the first sentence of its help, and the rest.
pub(super) fn about<'a>(words: impl IntoIterator<Item = &'a str>) -> (String, String) {
    let command = command(words);
    let (short, long) = (command.get_about(), command.get_long_about());
    let short = short.map(ToString::to_string).unwrap_or_default();
    let long = long.map(ToString::to_string).unwrap_or_default();
    let rest = long.strip_prefix(&short).unwrap_or(&long).trim();
    (short, rest.to_owned())
}

/// What the operation of these words is asked, but for what means something on the machine that it is
/// typed on alone, as folders do.
pub(super) fn parameters<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<Parameter> {
    let command = command(words);
    { command.get_arguments() }
        .filter(|arg| is_for_others(arg))
        .map(Parameter::of)
        .collect()
}

fn is_for_others(arg: &Arg) -> bool {
    let hint = arg.get_value_hint();
    !matches!(hint, ValueHint::DirPath | ValueHint::AnyPath) && arg.get_help_heading() != Some(HERE)
}

impl Parameter {
    fn of(arg: &Arg) -> Self {
        let takes = match arg.get_action() {
            ArgAction::SetTrue => Takes::Switch,
            ArgAction::Append => Takes::Several,
            _ if arg
                .get_num_args()
                .is_some_and(|number| number.max_values() > 1) =>
            {
                Takes::Several
            }
            _ => Takes::One,
        };
        let help = arg.get_long_help().or_else(|| arg.get_help());
        let default = arg.get_default_values().first();
        let values = arg.get_possible_values();
        let kinds = arg.get_value_names().unwrap_or_default();
        Self {
            name: arg.get_id().to_string(),
            takes,
            required: arg.is_required_set(),
            help: help.map(ToString::to_string).unwrap_or_default(),
            values: match takes {
                Takes::Switch => Vec::new(),
                _ => { values.iter() }
                    .map(|one| one.get_name().to_owned())
                    .collect(),
            },
            default: default
                .filter(|_| takes != Takes::Switch)
                .map(|value| value.to_string_lossy().into_owned()),
            is_content: arg.get_value_hint() == ValueHint::FilePath,
            is_number: NUMBERS
                .iter()
                .any(|number| arg.get_value_parser().type_id() == *number),
            kind: kinds.first().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// The operation of these words with the parameters `given`.
pub(super) fn read<'a>(
    words: impl IntoIterator<Item = &'a str>,
    given: &Map<String, Value>,
) -> Result<Operation, Wrong> {
    let words: Vec<_> = words.into_iter().collect();
    let command = command(words.iter().copied());
    let mut line: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    let mut last: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, value) in given {
        let mut known = command.get_arguments();
        let arg = known.find(|arg| arg.get_id() == name.as_str() && is_for_others(arg));
        let arg = arg.ok_or_else(|| Wrong(format!("there is no parameter {name:?} here")))?;
        let takes = Parameter::of(arg).takes;
        let values = values(name, takes, value)?;
        match (arg.get_long(), takes) {
            (None, _) => last.push((name, values)),
            (Some(long), Takes::Switch) => {
                line.extend(values.iter().map(|_| format!("--{long}").into()));
            }
            // In one piece, so that no value is taken for an option.
            (Some(long), _) => {
                line.extend(
                    values
                        .iter()
                        .map(|value| format!("--{long}={value}").into()),
                );
            }
        }
    }
    // After all options, where nothing is taken for one.
    line.push("--".into());
    line.extend(in_their_places(&command, &last)?);
    let asked = Asked::try_parse_from(line).map_err(|error| Wrong(plain(&error.to_string())))?;
    Ok(asked.operation)
}

/// The values of parameters that have no names on a command line, in the order in which it has them.
fn in_their_places(
    command: &Command,
    given: &[(&str, Vec<String>)],
) -> Result<Vec<OsString>, Wrong> {
    let mut places = Vec::new();
    let mut missing = None;
    for arg in command.get_positionals() {
        let name = arg.get_id().as_str();
        let values = given.iter().find(|(given, _)| *given == name);
        let values = values
            .map(|(_, values)| values.as_slice())
            .unwrap_or_default();
        match (values, missing) {
            ([], None) => missing = Some(name),
            ([], Some(_)) => {}
            (values, None) => places.extend(values.iter().map(OsString::from)),
            // It would be taken for the one before it.
            (_, Some(before)) => return Err(Wrong(format!("{before} is missing"))),
        }
    }
    Ok(places)
}

/// The texts that stand for a parameter; none of one that is as if it was not there.
fn values(name: &str, takes: Takes, value: &Value) -> Result<Vec<String>, Wrong> {
    let text = |value: &Value| match value {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Wrong(format!("{name} takes a text or a number"))),
    };
    match (takes, value) {
        (_, Value::Null) | (Takes::Switch, Value::Bool(false)) => Ok(Vec::new()),
        (Takes::Switch, Value::Bool(true)) => Ok(vec![String::new()]),
        (Takes::Switch, _) => Err(Wrong(format!("{name} is true or false"))),
        (Takes::Several, Value::Array(several)) => several.iter().map(text).collect(),
        (Takes::One | Takes::Several, one) => Ok(vec![text(one)?]),
    }
}

/// What clap says is wrong, without what is for people at a terminal.
fn plain(said: &str) -> String {
    let said = said.split("\n\n").next().unwrap_or_default();
    let said = said.strip_prefix("error: ").unwrap_or(said);
    let words: Vec<_> = said.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests;
