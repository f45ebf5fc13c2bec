//! `keyferry client disable` and `keyferry client enable`.

use serde::Serialize;

use super::several::{Clients, show};
use crate::client::{self, ClientId};
use crate::operation::records::no_client;
use crate::operation::{Did, Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::{Action, Change};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    clients: Clients,
    #[command(flatten)]
    edit: Edit,
}

/// A client, and whether it was not so before.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Switched<'a> {
    client_id: &'a ClientId,
    #[serde(skip)]
    changed: bool,
}

pub(super) async fn disable(
    args: &Args,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let (did, clients) = switch(args, operator, Action::ClientDisabled).await?;
    let word = did.word("disabled", "would disable");
    let line = |one: &Switched<'_>| match one {
        Switched {
            client_id,
            changed: true,
        } => format!("{word} {client_id}: none of its certificates and keys is accepted"),
        Switched { client_id, .. } => format!("{client_id} is disabled already"),
    };
    show(did, clients, line, out)
}

pub(super) async fn enable(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let (did, clients) = switch(args, operator, Action::ClientEnabled).await?;
    let word = did.word("enabled", "would enable");
    let line = |one: &Switched<'_>| match one {
        Switched {
            client_id,
            changed: true,
        } => format!("{word} {client_id}, with the certificates and keys that it has"),
        Switched { client_id, .. } => format!("{client_id} is active already"),
    };
    show(did, clients, line, out)
}

async fn switch<'a>(
    args: &'a Args,
    operator: &Operator,
    action: Action,
) -> Result<(Did, Vec<Switched<'a>>), Failure> {
    let decide = async || {
        let (mut changes, mut clients) = (Vec::new(), Vec::new());
        for client_id in args.clients.each() {
            let client = operator.client(client_id).await?;
            let client = client.ok_or_else(|| no_client(client_id))?;
            let (actor, now) = (operator.actor.clone(), operator.now);
            let change = if action == Action::ClientDisabled {
                client::disable(client, actor, now)
            } else {
                client::enable(client, actor, now)
            };
            clients.push(Switched {
                client_id,
                changed: change.is_some(),
            });
            changes.extend(change);
        }
        Ok((Change::of_all(changes), clients))
    };
    operator.change(action, &args.edit, decide).await
}
