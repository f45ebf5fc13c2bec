//! `keyferry check`: is the configuration right, and if not, what is wrong with it?

use std::process::ExitCode;

use serde::Serialize;

use super::{Failure, Globals, Out};
use crate::certificate::ListState;
use crate::clock;
use crate::config::{Config, Problem};
use crate::operation::paint;
use crate::operation::table::how_many;
use crate::policy::Observing;

/// Check the configuration and every file that it names
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
    /// The revocation lists, and how it stands with each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revocation_lists: Vec<ListState>,
    problems: Vec<&'a Problem>,
}

/// The configuration in a line.
#[derive(Serialize)]
struct Summary {
    listeners: usize,
    routes: usize,
    backends: usize,
    certificate_authorities: usize,
    store: String,
    enrolment: &'static str,
    /// `enforce`, or `observe`: requests of an existing gateway are passed on, whatever is decided.
    mode: &'static str,
    /// Whose requests are only observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<String>,
}

pub(super) fn run(_: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let file = globals.config_file().display().to_string();
    let now = clock::now();
    let loaded = globals.load_config().and_then(|config| {
        let lists = config.revocation_lists(now)?;
        Ok((config, lists))
    });
    match loaded {
        Ok((config, lists)) => {
            let summary = Summary::of(&config);
            let mut text = format!(
                "{file}: {} — {}, {}, store: {}, enrolment: {}",
                paint::good("ok"),
                how_many(summary.listeners, "listener"),
                how_many(summary.routes, "route"),
                summary.store,
                summary.enrolment
            );
            if let Some(from) = &summary.observed {
                let warning = format!(
                    "\n{file}: {} — what comes from {from} is passed on as it came, also \
                     what would be refused; take [observe] away to enforce",
                    paint::warning("IT ONLY OBSERVES")
                );
                text.push_str(&warning);
            }
            let warnings = lists.iter().filter_map(|list| list.warning(now));
            text.extend(
                warnings
                    .map(|warning| format!("\n{file}: {} — {warning}", paint::warning("WARNING"))),
            );
            let report = Report {
                file,
                ok: true,
                summary: Some(summary),
                revocation_lists: lists,
                problems: Vec::new(),
            };
            out.show(&report, text)?;
            Ok(ExitCode::SUCCESS)
        }
        // Here the problems are the result, not a failure of the command.
        Err(problems) => {
            let report = Report {
                file,
                ok: false,
                summary: None,
                revocation_lists: Vec::new(),
                problems: problems.iter().collect(),
            };
            out.show(&report, &problems)?;
            Ok(ExitCode::from(78))
        }
    }
}

impl Summary {
    fn of(config: &Config) -> Self {
        Self {
            listeners: 1,
            routes: config.routes.len(),
            backends: config.backends.len(),
            certificate_authorities: config.cas.len(),
            store: config.store.to_string(),
            enrolment: config.enrolment.as_str(),
            mode: config.observe.as_ref().map_or("enforce", |_| "observe"),
            observed: config.observe.as_ref().map(Observing::addresses),
        }
    }
}
