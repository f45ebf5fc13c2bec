//! `keyferry webhook`: who is told what happens, and what they did not take.

pub(super) mod dead;
pub(super) mod list;
pub(super) mod retry;
pub(super) mod test;

use super::{Failure, Operator, Out};
use crate::config::Webhook;
use crate::webhook::{Mailbox, Page};

/// How often it is tried to change what gateways change all the time.
const TRIES: usize = 20;

/// Webhooks: who is told what happens, and what they did not take
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show all webhooks, when each last took a message, and what waits and is dead
    List(list::Args),
    /// Show the messages that a webhook did not take, and that are not sent any more
    Dead(dead::Args),
    Retry(retry::Retry),
    Forget(retry::Forget),
    Test(test::Args),
}

impl Command {
    /// Does it.
    pub(super) async fn run(self, operator: &Operator, out: &mut Out) -> Result<u8, Failure> {
        match self {
            Self::List(args) => list::run(&args, operator, out).await?,
            Self::Dead(args) => dead::run(&args, operator, out).await?,
            Self::Retry(args) => retry::retry(&args, operator, out).await?,
            Self::Forget(args) => retry::forget(&args, operator, out).await?,
            Self::Test(args) => return test::run(&args, operator, out).await,
        }
        Ok(0)
    }
}

/// The webhook `name` of the configuration.
fn named<'a>(operator: &'a Operator, name: &str) -> Result<&'a Webhook, Failure> {
    let webhooks = &operator.settings.webhooks;
    let found = webhooks.iter().find(|webhook| webhook.name == name);
    found.ok_or_else(|| {
        let known: Vec<_> = webhooks.iter().map(|webhook| &*webhook.name).collect();
        let known = if known.is_empty() {
            "the configuration has none".to_owned()
        } else {
            format!("the configuration has {}", known.join(", "))
        };
        Failure::Refused(format!("there is no webhook {name:?}; {known}"))
    })
}

/// What a gateway noted last of a webhook; nothing when none has yet.
async fn page(operator: &Operator, name: &str) -> Result<Option<(u64, Page)>, Failure> {
    let found = operator.store.mailbox(name).await;
    let Some(found) = found.map_err(|error| operator.cannot_tell(&error))? else {
        return Ok(None);
    };
    let Some(page) = Page::read(&found) else {
        let why = format!(
            "what gateways noted of the webhook {name} is not believed, or of a newer version; a gateway begins anew within seconds"
        );
        return Err(Failure::Refused(why));
    };
    Ok(Some((found.version, page)))
}

/// The mailbox of a webhook.
async fn mailbox(operator: &Operator, name: &str) -> Result<Option<Mailbox>, Failure> {
    let Some(page) = page(operator, name).await? else {
        return Ok(None);
    };
    let letters = operator.store.letters(name).await;
    let letters = letters.map_err(|error| operator.cannot_tell(&error))?;
    Ok(Some(Mailbox::new(page, letters)))
}
