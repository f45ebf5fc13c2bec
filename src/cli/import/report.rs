//! What an import says of what it read and did.

use std::process::ExitCode;

use serde::Serialize;

use super::Args;
use super::files::Files;
use crate::cli::{Failure, Out};
use crate::client::ClientId;
use crate::import::{Counts, Format, Kind, Plan};
use crate::operation::table::{count, printable};

/// How many lines that are not taken over people see.
const SHOWN: usize = 100;

/// What `--output json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    format: Format,
    dry_run: bool,
    /// Whether anything was written, or would be.
    changed: bool,
    #[serde(flatten)]
    counts: Counts,
    /// Every line that is not taken over.
    left_out: Vec<LeftOut>,
    /// The clients who need a key, since that of the other gateway is not taken over.
    without_key: Vec<ClientId>,
    #[serde(skip)]
    may_write: bool,
}

/// A line that is not taken over. Nothing of it is repeated: it may hold a secret.
#[derive(Debug, Serialize)]
struct LeftOut {
    file: String,
    line: u32,
    kind: Kind,
    code: &'static str,
    why: String,
}

impl Report {
    pub(super) fn of(args: &Args, plan: &Plan, files: &Files, may_write: bool) -> Self {
        let counts = plan.counts();
        let left_out = plan.misread().iter().map(|one| LeftOut {
            file: files.name(one.place.file),
            line: one.place.line,
            kind: one.why.kind(),
            code: one.why.as_str(),
            why: one.why.to_string(),
        });
        Self {
            format: args.format,
            dry_run: args.edit.dry_run,
            changed: may_write && counts.has_work(),
            left_out: left_out.collect(),
            without_key: plan.without_key().cloned().collect(),
            counts,
            may_write,
        }
    }

    /// Prints it. Where something keeps everything from being written, the file is wrong.
    pub(super) fn show(&self, out: &mut Out) -> Result<ExitCode, Failure> {
        out.show(self, self.text())?;
        if !out.is_json() {
            self.notes(out);
        }
        Ok(ExitCode::from(if self.may_write { 0 } else { 65 }))
    }

    fn text(&self) -> String {
        let mut lines = vec![self.summary()];
        for one in self.left_out.iter().take(SHOWN) {
            let kind = match one.kind {
                Kind::Refused => "refused",
                Kind::Ambiguous => "ambiguous",
                Kind::NotUnderstood => "not understood",
            };
            lines.push(format!(
                "{}:{}: {kind}: {}",
                printable(&one.file),
                one.line,
                one.why
            ));
        }
        let more = self.left_out.len().saturating_sub(SHOWN);
        if more > 0 {
            lines.push(format!("… and {more} more; --output json has all of them"));
        }
        lines.push(self.outcome());
        lines.join("\n")
    }

    fn summary(&self) -> String {
        let counts = &self.counts;
        let mut parts = vec![many(counts.lines, "line"), many(counts.clients, "client")];
        for (number, what) in [
            (counts.by_sha1, "by SHA-1 (bind at first sight)"),
            (counts.known, "there already"),
            (counts.duplicates, "duplicates"),
            (counts.denied, "let nobody in"),
            (counts.keys_to_issue, "need a key of their own"),
            (counts.ambiguous, "ambiguous"),
            (counts.not_understood, "not understood"),
            (counts.refused, "refused"),
        ] {
            if number > 0 {
                parts.push(format!("{} {what}", count(number)));
            }
        }
        parts.join(" · ")
    }

    fn outcome(&self) -> String {
        let counts = &self.counts;
        if !self.may_write {
            return "nothing was written: put these lines right, or leave them out with --skip-refused"
                .to_owned();
        }
        if !counts.has_work() {
            return "there is nothing to add".to_owned();
        }
        let word = if self.dry_run { "would add" } else { "added" };
        let added = [
            (counts.new_clients, "client"),
            (counts.certificates, "certificate"),
            (counts.by_sha1, "announcement"),
        ];
        let added = added.into_iter().filter(|(number, _)| *number > 0);
        let added: Vec<_> = added.map(|(number, what)| many(number, what)).collect();
        format!("{word} {}", added.join(", "))
    }

    fn notes(&self, out: &mut Out) {
        if self.counts.clients == 0 && self.left_out.is_empty() {
            let format = self.format.as_str();
            out.note(format!(
                "nothing in there names a client; is it of the format {format}?"
            ));
        }
        if !self.without_key.is_empty() && self.may_write {
            out.note(
                "keys of other gateways are not taken over; for each such client: keyferry key issue \
                 --client ID (--output json lists them)",
            );
        }
    }
}

/// A number of things.
fn many(number: u64, one: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {one}{end}", count(number))
}
