//! `keyferry webhook list`.

use schemars::JsonSchema;
use serde::Serialize;

use super::page;
use crate::clock::Timestamp;
use crate::operation::Operator;
use crate::operation::table::{relative, relative_or, table};
use crate::operation::{Failure, Out};
use crate::webhook::{Kind, Page};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Report<'a> {
    webhooks: Vec<Line<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedWebhook")]
struct Line<'a> {
    name: &'a str,
    host: String,
    events: &'a [Kind],
    /// Whether a gateway ever told it something.
    is_told: bool,
    waiting: usize,
    dead: usize,
    last_taken: Option<Timestamp>,
    last_failed: Option<Timestamp>,
    /// Why it did not take a message then.
    why: Option<String>,
    /// Since when it wants nothing any more.
    gone: Option<Timestamp>,
}

pub(super) async fn run(_: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for webhook in &operator.settings.webhooks {
        let page = page(operator, &webhook.name).await?;
        let page = page.map(|(_, page)| page);
        let of = |read: fn(&Page) -> usize| page.as_ref().map(read).unwrap_or_default();
        let failed = page.as_ref().and_then(|page| page.failed.clone());
        lines.push(Line {
            name: &webhook.name,
            host: webhook.address.host().to_owned(),
            events: &webhook.events,
            is_told: page.is_some(),
            waiting: of(|page| page.waiting),
            dead: of(|page| page.dead),
            last_taken: page.as_ref().and_then(|page| page.taken),
            last_failed: failed.as_ref().map(|(at, _)| *at),
            why: failed.map(|(_, why)| why),
            gone: page.as_ref().and_then(|page| page.gone),
        });
    }
    if lines.is_empty() && !out.is_json() {
        out.note("the configuration has no [[webhook]]: nobody is told (docs/WEBHOOKS.md)");
        return Ok(());
    }
    let text = text(&lines, operator.now);
    out.show(&Report { webhooks: lines }, text)
}

fn text(lines: &[Line<'_>], now: Timestamp) -> String {
    let header = [
        "webhook",
        "host",
        "events",
        "waiting",
        "dead",
        "last taken",
        "last not taken",
    ];
    let rows = lines.iter().map(|line| {
        let failed = match (line.last_failed, &line.why) {
            (Some(at), Some(why)) => format!("{}: {why}", relative(at, now)),
            _ => String::new(),
        };
        let state = match (line.gone, line.is_told) {
            (Some(at), _) => format!("{}: it wants nothing any more", relative(at, now)),
            (None, false) => "no gateway has told it anything".to_owned(),
            (None, true) => failed,
        };
        let events = if line.events.len() == Kind::ALL.len() {
            "all".to_owned()
        } else {
            let events: Vec<_> = line.events.iter().map(|kind| kind.as_str()).collect();
            events.join(" ")
        };
        [
            line.name.to_owned(),
            line.host.clone(),
            events,
            line.waiting.to_string(),
            line.dead.to_string(),
            relative_or(line.last_taken, now, "never"),
            state,
        ]
    });
    table(header, rows)
}
