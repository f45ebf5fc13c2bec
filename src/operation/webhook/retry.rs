//! `keyferry webhook retry` and `keyferry webhook forget`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{TRIES, mailbox, named};
use crate::clock::Timestamp;
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

/// What is done to messages.
#[derive(Clone, Copy)]
enum Change {
    /// They are sent again, from then on.
    Again(Timestamp),
    /// They are forgotten, when they are dead.
    Forget,
}

impl Change {
    const fn is_of(self, letter: &Letter) -> bool {
        match self {
            Self::Again(_) => true,
            Self::Forget => !letter.waits(),
        }
    }

    /// Does it to the messages `ids`. Only who wants them sent again may overrule a receiver that wants
    /// nothing any more.
    fn apply(self, mailbox: &mut Mailbox, ids: &[String]) {
        for id in ids {
            mailbox.with(id, |letter| match self {
                Self::Again(now) => {
                    letter.revive(now);
                    false
                }
                Self::Forget => true,
            });
        }
        if matches!(self, Self::Again(_)) {
            mailbox.page.gone = None;
        }
    }
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
    let messages = change(which, operator, Change::Again(operator.now));
    tell(which, messages.await?, "to be sent again", out)
}

pub(super) async fn forget(
    Forget { which }: &Forget,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let messages = change(which, operator, Change::Forget);
    tell(which, messages.await?, "forgotten", out)
}

fn tell(which: &Which, messages: usize, done: &str, out: &mut Out) -> Result<(), Failure> {
    let report = Report {
        webhook: &which.webhook,
        messages,
    };
    out.show(&report, format!("{messages} message(s) {done}"))
}

/// Does `change` to the messages that are meant; how many these are.
async fn change(which: &Which, operator: &Operator, change: Change) -> Result<usize, Failure> {
    named(operator, &which.webhook)?;
    for _ in 0..TRIES {
        let mailbox = mailbox(operator, &which.webhook).await?;
        let is_it = |letter: &&Letter| which.id.as_ref().is_none_or(|id| *id == letter.id);
        let ids = |mailbox: &Mailbox| {
            let letters = mailbox.letters().filter(is_it);
            let meant = letters.filter(|letter| change.is_of(letter));
            meant.map(|letter| letter.id.clone()).collect::<Vec<_>>()
        };
        let ids = mailbox.as_ref().map(ids).unwrap_or_default();
        let Some(mut mailbox) = mailbox.filter(|_| !ids.is_empty() || which.id.is_none()) else {
            let what = which.id.as_deref().unwrap_or("any");
            let why = format!("there is no such message to {}: {what}", which.webhook);
            return Err(Failure::Refused(why));
        };
        change.apply(&mut mailbox, &ids);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{Head, Legible};
    use crate::webhook::{Kind, Message, Page};

    #[test]
    fn only_a_retry_overrules_a_receiver_that_wants_nothing_any_more() {
        let now = Timestamp::from_unix(1_795_418_999);
        let message = Message::new(Kind::Test, now, &["a"], json!({}));
        let ids = [message.id.clone()];
        let changed = |change: Change| {
            let page = Page::new(Head::default(), now);
            let mut mailbox = Mailbox::new((1, page), Legible::default());
            mailbox.put(&message, now);
            mailbox.with(&message.id, |letter| {
                letter.die("gone", now);
                false
            });
            mailbox.page.gone = Some(now);
            assert!(mailbox.letters().all(|letter| change.is_of(letter)));
            change.apply(&mut mailbox, &ids);
            let waiting = mailbox.letters().map(Letter::waits).collect::<Vec<_>>();
            (waiting, mailbox.page.gone)
        };
        assert_eq!(changed(Change::Forget), (vec![], Some(now)));
        assert_eq!(changed(Change::Again(now)), (vec![true], None));
    }
}
