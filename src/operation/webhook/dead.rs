//! `keyferry webhook dead`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{mailbox, named};
use crate::clock::Timestamp;
use crate::operation::Operator;
use crate::operation::table::{relative, relative_or, table};
use crate::operation::{Failure, Out};
use crate::webhook::{Kind, Letter, Mailbox};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The webhook
    #[arg(value_name = "NAME")]
    webhook: String,
    /// Show those that still wait instead
    #[arg(long)]
    waiting: bool,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Report {
    messages: Vec<Line>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookMessage")]
struct Line {
    id: String,
    kind: Kind,
    at: Timestamp,
    attempts: u32,
    /// Since when it is dead.
    dead: Option<Timestamp>,
    /// When it is sent next.
    next: Option<Timestamp>,
    why: Option<String>,
    body: serde_json::Value,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    named(operator, &args.webhook)?;
    let mailbox = mailbox(operator, &args.webhook).await?;
    let letters = mailbox.iter().flat_map(Mailbox::letters);
    let mut lines: Vec<_> = letters
        .filter(|letter| letter.waits() == args.waiting)
        .map(line)
        .collect();
    lines.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    if lines.is_empty() && !out.is_json() {
        let what = if args.waiting { "waits" } else { "is dead" };
        out.note(format!("no message to {} {what}", args.webhook));
        return Ok(());
    }
    let text = text(&lines, operator.now);
    out.show(&Report { messages: lines }, text)
}

fn line(letter: &Letter) -> Line {
    Line {
        id: letter.id.clone(),
        kind: letter.kind,
        at: letter.at,
        attempts: letter.attempts,
        dead: letter.dead,
        next: letter.waits().then_some(letter.next),
        why: letter.why.clone(),
        body: serde_json::from_str(&letter.body).unwrap_or_default(),
    }
}

fn text(lines: &[Line], now: Timestamp) -> String {
    let header = [
        "message",
        "type",
        "happened",
        "sent",
        "next",
        "why not taken",
        "data",
    ];
    let rows = lines.iter().map(|line| {
        [
            line.id.clone(),
            line.kind.as_str().to_owned(),
            relative(line.at, now),
            format!("{} times", line.attempts),
            relative_or(line.next, now, "never"),
            line.why.clone().unwrap_or_default(),
            line.body
                .get("data")
                .map(ToString::to_string)
                .unwrap_or_default(),
        ]
    });
    table(header, rows)
}
