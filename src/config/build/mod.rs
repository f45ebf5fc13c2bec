//! From what was typed to what is needed.
//!
//! A value that cannot be built is [`Noted`], which only noting a problem gives; so one problem
//! never hides another, and a configuration without problems is whole.

mod admin;
mod backend;
mod connections;
mod files;
mod front;
mod headers;
mod http;
mod keys;
mod limits;
mod listener;
mod masquerade;
mod network;
mod observe;
mod redis;
mod route;
mod sessions;
mod shutdown;
mod signing;
mod store;
mod telemetry;
mod text;
mod webhook;

use std::path::PathBuf;

use super::document::Document;
use super::file::File;
use super::problem::{KeyPath, Place, Problem, Problems};
use super::source::Seen;
use super::{Config, Migration, NamedFile};
use crate::secret::SecretBytes;

/// The problems so far, and what the checks need to find more.
pub(super) struct Builder<'a> {
    document: Document,
    folder: PathBuf,
    problems: Vec<Problem>,
    secrets: Vec<(KeyPath, SecretBytes)>,
    seen: &'a mut Seen,
    files: Vec<NamedFile>,
}

/// A value could not be built, and why was noted.
#[derive(Clone, Copy, Debug)]
struct Noted(());

type Built<T> = Result<T, Noted>;

/// Builds the configuration that `file` asks for. `folder` is where relative paths begin;
/// `problems` are those of the reading; `seen` learns what is read.
pub(super) fn config(
    document: Document,
    folder: PathBuf,
    file: File,
    problems: Vec<Problem>,
    seen: &mut Seen,
) -> Result<Config, Problems> {
    let mut builder = Builder {
        document,
        folder,
        problems,
        secrets: Vec::new(),
        seen,
        files: Vec::new(),
    };
    let routes = builder.routes(&file);
    let telemetry = builder.telemetry(&file);
    let admin = builder.admin(&file);
    let headers = builder.headers(&file.headers);
    let http = builder.http(&file.http);
    let self_service = builder.self_service(&file.self_service);
    let cas = builder.cas(&file);
    let lists = builder.lists(&file);
    let fronts = builder.fronts(file.front, &cas);
    let observe = builder.observe(file.observe);
    let renewal = file.ca.iter().map(|ca| ca.renewal).collect();
    let listener = builder.listener(file.listener);
    let enrolment = builder.enrolment(file.enrolment);
    let keys = builder.keys(file.key);
    let shutdown = builder.shutdown(&file.shutdown, file.store.as_ref());
    let offline = builder.offline(file.store.as_ref());
    let store = builder.store(file.store);
    let limits = builder.limits(file.limits);
    let own = headers.as_ref().ok().map(|headers| &headers.names);
    let backends = builder.backends(file.backend, &file.route, own);
    let webhooks = builder.webhooks(file.webhook);
    builder.secrets_differ();
    let whole = || {
        Ok::<_, Noted>(Config {
            listener: listener?,
            lifetimes: connections::lifetimes(&file.connections),
            cas: cas?,
            lists: lists?,
            renewal,
            enrolment: enrolment?.0,
            first_sights: enrolment?.1,
            keys: keys?,
            store: store?,
            offline: offline?,
            backends: backends?,
            routes: routes?,
            self_service: self_service?,
            migration: Migration {
                window: file.migration.window.as_duration(),
            },
            limits: limits?,
            headers: headers?,
            http: http?,
            observe: observe?,
            shutdown: shutdown?,
            fronts: fronts?,
            telemetry: telemetry?,
            webhooks: webhooks?,
            admin: admin?,
            files: std::mem::take(&mut builder.files),
        })
    };
    match whole() {
        Ok(config) if builder.problems.is_empty() => Ok(config),
        _ => Err(Problems::new(builder.problems)),
    }
}

impl Builder<'_> {
    fn problem(
        &mut self,
        at: &KeyPath,
        wrong: impl Into<String>,
        write: impl Into<String>,
    ) -> Noted {
        let place = self.document.place(at);
        self.problems.push(Problem {
            place,
            key: at.clone(),
            wrong: wrong.into(),
            write: write.into(),
        });
        Noted(())
    }

    /// Notes a problem with one element of the list at `list`.
    fn problem_in(&mut self, list: &KeyPath, index: usize, wrong: String, write: String) -> Noted {
        let noted = self.problem(&list.index(index), wrong, write);
        if let Some(problem) = self.problems.last_mut() {
            problem.key = list.clone();
        }
        noted
    }

    /// The value at `at`; when it was not typed, that is a problem, and `write` says what to type.
    fn required<T>(&mut self, at: &KeyPath, value: Option<T>, write: &str) -> Built<T> {
        match value {
            Some(value) => Ok(value),
            // Why it was taken out was noted then.
            None if self.document.is_pruned(at) => Err(Noted(())),
            None => Err(self.problem(at, "missing", write)),
        }
    }

    /// The elements of the list at `at`, which must not be empty.
    fn some<T>(&mut self, at: &KeyPath, list: Vec<T>, write: &str) -> Built<Vec<T>> {
        self.required(at, (!list.is_empty()).then_some(list), write)
    }

    /// A name of its own: `[a-z0-9._-]{1,64}`, and none before it has it.
    fn name(
        &mut self,
        table: &KeyPath,
        name: Option<String>,
        seen: &mut Vec<String>,
    ) -> Built<String> {
        let at = table.key("name");
        let name = self.required(&at, name, r#"write name = "…""#)?;
        if !text::is_name(&name) {
            let write = "use 1 to 64 characters of a-z 0-9 . _ -";
            return Err(self.problem(&at, format!("{name:?} is not a name"), write));
        }
        if seen.contains(&name) {
            let write = "give each one a name of its own";
            return Err(self.problem(&at, format!("{name:?} is taken already"), write));
        }
        seen.push(name.clone());
        Ok(name)
    }

    /// One secret in two places would let one backend sign for another, or make key digests.
    fn secrets_differ(&mut self) {
        let secrets = std::mem::take(&mut self.secrets);
        for (index, (at, secret)) in secrets.iter().enumerate() {
            let same = secrets
                .iter()
                .take(index)
                .find(|(_, earlier)| earlier.expose() == secret.expose());
            if let Some((earlier, _)) = same {
                let wrong = format!("holds the same secret as {earlier}");
                self.problem(at, wrong, "make another with: openssl rand -hex 32");
            }
        }
    }

    fn place(&self, at: &KeyPath) -> Place {
        self.document.place(at)
    }
}

/// Every element built, or none; each is tried, so that each notes its problems.
fn all<T>(built: impl IntoIterator<Item = Built<T>>) -> Built<Vec<T>> {
    let built: Vec<_> = built.into_iter().collect();
    built.into_iter().collect()
}
