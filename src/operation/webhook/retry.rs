//! `keyferry webhook retry` and `keyferry webhook forget`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{TRIES, mailbox, named};
use crate::operation::Operator;
use crate::operation::{Failure, Out};
use crate::webhook::{Letter, Mailbox};

/// Send messages again that a webhook did not take: those that are dead and those that wait, or one
///
/// A receiver that said that it wants nothing any more (410) is told again from now on.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    which: Which,
}

/// Forget the dead messages of a webhook, or one
#[derive(Debug, clap::Args)]
pub(crate) struct Forget {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The webhook
    #[arg(value_name = "NAME")]
    webhook: String,
    /// Only this message: `keyferry webhook dead` shows the ids
    #[arg(value_name = "ID")]
    id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Report<'a> {
    webhook: &'a str,
    messages: usize,
}

pub(super) async fn retry(
    Retry { which }: &Retry,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let messages = change(
        which,
        operator,
        |_| true,
        |letter| {
            letter.revive(operator.now);
            false
        },
    );
    tell(which, messages.await?, "to be sent again", out)
}

pub(super) async fn forget(
    Forget { which }: &Forget,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let messages = change(which, operator, |letter| !letter.waits(), |_| true);
    tell(which, messages.await?, "forgotten", out)
}

fn tell(which: &Which, messages: usize, done: &str, out: &mut Out) -> Result<(), Failure> {
    let report = Report {
        webhook: &which.webhook,
        messages,
    };
    out.show(&report, format!("{messages} message(s) {done}"))
}

/// Does `each` to the messages that are meant and of which `is_meant`; how many these are. It takes out
/// those for which it says so.
async fn change(
    which: &Which,
    operator: &Operator,
    is_meant: impl Fn(&Letter) -> bool,
    each: impl Fn(&mut Letter) -> bool,
) -> Result<usize, Failure> {
    named(operator, &which.webhook)?;
    for _ in 0..TRIES {
        let mailbox = mailbox(operator, &which.webhook).await?;
        let is_it = |letter: &&Letter| which.id.as_ref().is_none_or(|id| *id == letter.id);
        let ids = |mailbox: &Mailbox| {
            let letters = mailbox.letters().filter(is_it);
            let meant = letters.filter(|letter| is_meant(letter));
            meant.map(|letter| letter.id.clone()).collect::<Vec<_>>()
        };
        let ids = mailbox.as_ref().map(ids).unwrap_or_default();
        let Some(mut mailbox) = mailbox.filter(|_| !ids.is_empty() || which.id.is_none()) else {
            let what = which.id.as_deref().unwrap_or("any");
            let why = format!("there is no such message to {}: {what}", which.webhook);
            return Err(Failure::Refused(why));
        };
        for id in &ids {
            mailbox.with(id, &each);
        }
        mailbox.page.gone = None;
        let posting = mailbox.posting(&which.webhook);
        let posted = operator.store.post(&posting).await;
        if posted.map_err(|error| operator.cannot_tell(&error))? {
            return Ok(ids.len());
        }
    }
    Err(Failure::Unavailable(anyhow::anyhow!(
        "gateways change the same all the time; try again in a moment"
    )))
}
