//! `keyferry client tag`.

use serde::Serialize;

use super::several::{Clients, show};
use crate::client::{self, ClientId, Tag, Tags};
use crate::operation::records::no_client;
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::{Action, Change};

/// Put clients into cohorts: give them tags, or take some away
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    clients: Clients,
    /// Give them these tags: 1 to 64 characters of a-z 0-9 . _ / = -
    #[arg(long, value_name = "TAG", num_args = 1.., required_unless_present = "remove")]
    add: Vec<Tag>,
    /// Take these tags away
    #[arg(long, value_name = "TAG", num_args = 1..)]
    remove: Vec<Tag>,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Tagged<'a> {
    client_id: &'a ClientId,
    tags: Tags,
    #[serde(skip)]
    changed: bool,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let decide = async || {
        let (mut changes, mut clients) = (Vec::new(), Vec::new());
        for client_id in args.clients.each() {
            let client = operator.client(client_id).await?;
            let client = client.ok_or_else(|| no_client(client_id))?;
            let mut tags = client.1.tags.clone();
            tags.extend(args.add.iter().cloned());
            tags.retain(|tag| !args.remove.contains(tag));
            let (actor, now) = (operator.actor.clone(), operator.now);
            let change = client::tag(client, tags.clone(), actor, now);
            let change =
                change.map_err(|error| Failure::Refused(format!("{client_id}: {error}")))?;
            clients.push(Tagged {
                client_id,
                tags,
                changed: change.is_some(),
            });
            changes.extend(change);
        }
        Ok((Change::of_all(changes), clients))
    };
    let done = operator.change(Action::ClientTagged, &args.edit, decide);
    let (did, clients) = done.await?;
    let word = did.word("tagged", "would tag");
    let line = |one: &Tagged<'_>| {
        let (id, words) = (one.client_id, listed(&one.tags));
        if one.changed {
            format!("{word} {id}: {words}")
        } else {
            format!("{id} has these tags already: {words}")
        }
    };
    show(did, clients, line, out)
}

/// Tags in one cell.
pub(super) fn listed(tags: &Tags) -> String {
    let tags: Vec<_> = tags.iter().map(Tag::as_str).collect();
    tags.join(" ")
}
