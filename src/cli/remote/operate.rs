//! Operations, done by a gateway elsewhere: their arguments go as they were typed, and what the gateway
//! prints is printed here.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use clap::ArgMatches;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};

use super::Server;
use crate::admin::{Done, OUTPUT};
use crate::certificate::{Handed, certificates};
use crate::cli::{Failure, Out};
use crate::operation::{Offered, Takes, Typed, letter, read_certificate, typed};
use crate::tls::x509::X509;

/// Has `server` do what `matches`, of the whole command line, ask for.
pub(in crate::cli) fn operate(
    server: &Server,
    matches: &ArgMatches,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let (words, deepest) = words(matches);
    let here = "run it where the gateway's configuration is, without --server";
    let name = words.join("/");
    let Some(offered) = Offered::named(&name) else {
        return Err(Failure::Usage(format!(
            "keyferry {} works with files of its own machine, so it is not done by the admin API; {here}",
            words.join(" ")
        )));
    };
    let mut given = Map::new();
    for one in typed(&words, deepest) {
        if one.is_of_this_machine {
            return Err(Failure::Usage(format!(
                "{} is for files of this machine, which the gateway at {} cannot reach; leave it out, or {here}",
                one.shown, server.url
            )));
        }
        let name = one.name.clone();
        given.insert(name, value(&one)?);
    }
    let output = if out.is_json() { "json" } else { "text" };
    let headers = HeaderMap::from_iter([(OUTPUT, HeaderValue::from_static(output))]);
    let target = format!("/v1/{name}");
    let done: Done = if offered.changes {
        let body = Bytes::from(Value::Object(given).to_string());
        server.ask(Method::POST, &target, headers, body)?
    } else {
        let target = format!("{target}?{}", query(&given));
        server.ask(Method::GET, &target, headers, Bytes::new())?
    };
    out.tell(done.told)?;
    Ok(ExitCode::from(done.status))
}

/// Has `server` tell what letters say, and delivers them here: templates and folders are of this machine.
pub(in crate::cli) fn letters(
    server: &Server,
    matches: &ArgMatches,
    args: &letter::Args,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    #[derive(serde::Deserialize)]
    struct Told {
        #[serde(flatten)]
        report: letter::Report,
        #[serde(default)]
        notes: Vec<String>,
    }
    let (words, deepest) = words(matches);
    let mut given = Map::new();
    for one in typed(&words, deepest) {
        if !one.is_of_this_machine {
            let name = one.name.clone();
            given.insert(name, value(&one)?);
        }
    }
    let mut notes = BTreeSet::new();
    let told = |after: Option<&str>, limit: Option<u32>| {
        let after = after.map(|after| ("after".to_owned(), after.into()));
        let limit = limit.map(|limit| ("limit".to_owned(), limit.into()));
        given.extend(after.into_iter().chain(limit));
        let told: Told = server.get(&format!("/v1/letter?{}", query(&given)))?;
        notes.extend(told.notes);
        Ok(told.report)
    };
    args.deliver_told(told, out)?;
    for note in notes {
        out.note(note);
    }
    Ok(ExitCode::SUCCESS)
}

/// The words of the command, and what was typed after them.
fn words(matches: &ArgMatches) -> (Vec<&str>, &ArgMatches) {
    let (mut words, mut deepest) = (Vec::new(), matches);
    while let Some((word, of)) = deepest.subcommand() {
        words.push(word);
        deepest = of;
    }
    (words, deepest)
}

/// A parameter as it is sent.
fn value(typed: &Typed<'_>) -> Result<Value, Failure> {
    let text = |value: &OsStr| {
        let text = value
            .to_str()
            .ok_or_else(|| Failure::Usage(format!("{} is not text", Path::new(value).display())))?;
        if typed.is_content && matches!(Handed::named(text), Ok(None)) {
            return pem(Path::new(text)).map(Value::String);
        }
        Ok(Value::String(text.to_owned()))
    };
    let mut values = { typed.values.iter() }.map(|value| text(value));
    match typed.takes {
        Takes::Switch => Ok(Value::Bool(true)),
        Takes::One => values.next().unwrap_or(Ok(Value::Null)),
        Takes::Several => values.collect(),
    }
}

/// What is in the file, in PEM. A private key leaves this machine under no circumstances.
fn pem(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let contents = read_certificate(path)
        .map_err(|error| Failure::Usage(format!("{shown} cannot be read ({error})")))?;
    let found = certificates(&contents);
    let found = found.map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
    let mut pem = Vec::new();
    for der in found {
        let one = X509::from_der(&der).and_then(|one| one.to_pem());
        pem.extend(one.map_err(anyhow::Error::from)?);
    }
    Ok(String::from_utf8_lossy(&pem).into_owned())
}

fn query(given: &Map<String, Value>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in given {
        match value {
            Value::Array(several) => {
                query.extend_pairs(several.iter().map(|one| (name, plain(one))));
            }
            one => {
                query.append_pair(name, &plain(one));
            }
        }
    }
    query.finish()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
