//! `keyferry client tag`.

use serde::Serialize;

use crate::cli::open::{Did, Edit, Operator};
use crate::cli::records::no_client;
use crate::cli::{Failure, Out};
use crate::client::{self, ClientId, Tag, Tags};
use crate::store::Action;

/// Put a client into cohorts: give it tags, or take some away
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The client
    #[arg(value_name = "ID")]
    id: ClientId,
    /// Give it these tags: 1 to 64 characters of a-z 0-9 . _ / = -
    #[arg(long, value_name = "TAG", num_args = 1.., required_unless_present = "remove")]
    add: Vec<Tag>,
    /// Take these tags away
    #[arg(long, value_name = "TAG", num_args = 1..)]
    remove: Vec<Tag>,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    did: Did,
    client_id: &'a ClientId,
    tags: Tags,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let id = &args.id;
    let decide = async || {
        let client = operator.client(id).await?;
        let client = client.ok_or_else(|| no_client(id))?;
        let mut tags = client.1.tags.clone();
        tags.extend(args.add.iter().cloned());
        tags.retain(|tag| !args.remove.contains(tag));
        let (actor, now) = (operator.actor.clone(), operator.now);
        let change = client::tag(client, tags.clone(), actor, now);
        let change = change.map_err(|error| Failure::Refused(error.to_string()))?;
        Ok((change, tags))
    };
    let done = operator.change(Action::ClientTagged, &args.edit, decide);
    let (did, tags) = done.await?;
    let words = listed(&tags);
    let text = if did.changed {
        format!("{} {id}: {words}", did.word("tagged", "would tag"))
    } else {
        format!("{id} has these tags already: {words}")
    };
    let report = Report {
        did,
        client_id: id,
        tags,
    };
    out.show(&report, text)
}

/// Tags in one cell.
pub(super) fn listed(tags: &Tags) -> String {
    let tags: Vec<_> = tags.iter().map(Tag::as_str).collect();
    tags.join(" ")
}
