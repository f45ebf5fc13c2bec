//! `keyferry client add`.

use serde::Serialize;

use super::several::{Clients, show};
use crate::client::{
    self, ClientId, ClientRecord, ClientStatus, MOST_TAGS, Tag, Tags, TooManyTags,
};
use crate::operation::table::printable;
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::{Action, Change};

const LONGEST_DESCRIPTION: usize = 200;

/// Make a client; it gets its credentials by `certificate add` and `key issue`
///
/// Its id is its name for ever: 1 to 64 characters of a-z 0-9 . _ -
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    clients: Clients,
    /// What it is, in your words
    #[arg(long, value_name = "TEXT", value_parser = description)]
    description: Option<String>,
    /// Put it into cohorts by these tags
    #[arg(long, value_name = "TAG", num_args = 1..)]
    tag: Vec<Tag>,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Added<'a> {
    client_id: &'a ClientId,
}

pub(super) async fn run(args: Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let ids = args.clients.each();
    let tags: Tags = args.tag.iter().cloned().collect();
    if tags.len() > MOST_TAGS {
        return Err(Failure::Refused(TooManyTags.to_string()));
    }
    let decide = async || {
        let mut changes = Vec::new();
        for &id in &ids {
            if let Some((_, known)) = operator.client(id).await? {
                return Err(Failure::Refused(exists(&known)));
            }
            let (id, description) = (id.clone(), args.description.clone());
            let (tags, actor) = (tags.clone(), operator.actor.clone());
            changes.push(client::add(id, description, tags, actor, operator.now));
        }
        Ok((Change::of_all(changes), ()))
    };
    let (did, ()) = operator
        .change(Action::ClientAdded, &args.edit, decide)
        .await?;
    let word = did.word("added", "would add");
    let added = ids.iter().map(|client_id| Added { client_id });
    let line = |one: &Added<'_>| format!("{word} the client {}", one.client_id);
    show(did, added.collect(), line, out)?;
    if !out.is_json() {
        let id = match args.clients.one() {
            Some(id) => id.as_str(),
            None => "ID",
        };
        out.note(format!(
            "next: keyferry certificate add --client {id} FILE, or keyferry key issue --client {id}"
        ));
    }
    Ok(())
}

fn exists(known: &ClientRecord) -> String {
    let id = &known.id;
    match known.status {
        ClientStatus::Active => format!("there is a client {id} already; choose another name"),
        ClientStatus::Disabled { at } => format!(
            "the name {id} belongs to a client that is disabled since {at}, and no name is used \
             twice; choose another, or: keyferry client enable {id}"
        ),
    }
}

fn description(text: &str) -> Result<String, String> {
    if text.chars().count() > LONGEST_DESCRIPTION {
        Err(format!("write at most {LONGEST_DESCRIPTION} characters"))
    } else if printable(text) != text {
        Err("write it in one line, without control or invisible characters".to_owned())
    } else {
        Ok(text.to_owned())
    }
}
