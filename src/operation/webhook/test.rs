//! `keyferry webhook test`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::named;
use crate::clock;
use crate::operation::{Failure, Operator, Out};
use crate::server::webhooks::send::Sender;
use crate::webhook::{Kind, Message, Outcome};

/// Send a webhook a message now, and say what came back
///
/// It has the type webhook.test, is sent once, from this machine, and is not kept. Ends with status 0 when
/// the receiver took it, and with 1 when it did not.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The webhook
    #[arg(value_name = "NAME")]
    webhook: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Report<'a> {
    webhook: &'a str,
    id: &'a str,
    taken: bool,
    /// None when nobody answered.
    status: Option<u16>,
    /// Why it was not taken.
    why: Option<String>,
    took_ms: u128,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<u8, Failure> {
    let webhook = named(operator, &args.webhook)?;
    let sender = Sender::to(webhook).map_err(|error| Failure::Internal(error.into()))?;
    let (now, nobody_elses) = (clock::now(), clock::unique().to_string());
    let data = json!({ "webhook": webhook.name });
    let message = Message::new(Kind::Test, now, &[&nobody_elses], data);
    let begun = clock::monotonic();
    let sent = sender.send(&message.id, &message.body()).await;
    let took_ms = begun.elapsed().as_millis();
    let why = match sent.outcome {
        Outcome::Taken => None,
        Outcome::Failed { why, .. } => Some(why),
        Outcome::Gone => Some("it answers 410: it wants nothing any more".to_owned()),
    };
    let report = Report {
        webhook: &webhook.name,
        id: &message.id,
        taken: why.is_none(),
        status: sent.status,
        why,
        took_ms,
    };
    out.show(&report, text(&report))?;
    Ok(u8::from(!report.taken))
}

fn text(report: &Report<'_>) -> String {
    let Report {
        webhook,
        id,
        took_ms,
        ..
    } = report;
    match (&report.why, report.status) {
        (None, Some(status)) => format!("{webhook} took {id} within {took_ms} ms: {status}"),
        (why, _) => {
            let why = why.as_deref().unwrap_or("no answer");
            format!("{webhook} did not take {id} within {took_ms} ms: {why}")
        }
    }
}
