//! `keyferry client add`.

use serde::Serialize;

use crate::cli::open::{Did, Edit, Operator};
use crate::cli::table::printable;
use crate::cli::{Failure, Out};
use crate::client::{
    self, ClientId, ClientRecord, ClientStatus, MOST_TAGS, Tag, Tags, TooManyTags,
};
use crate::store::Action;

const LONGEST_DESCRIPTION: usize = 200;

/// Make a client; it gets its credentials by `certificate add` and `key issue`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its name, for ever: 1 to 64 characters of a-z 0-9 . _ -
    #[arg(value_name = "ID")]
    id: ClientId,
    /// What it is, in your words
    #[arg(long, value_name = "TEXT", value_parser = description)]
    description: Option<String>,
    /// Put it into cohorts by these tags
    #[arg(long, value_name = "TAG", num_args = 1..)]
    tag: Vec<Tag>,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    did: Did,
    client_id: &'a ClientId,
}

pub(super) async fn run(args: Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let id = &args.id;
    let decide = async || {
        if let Some((_, known)) = operator.client(id).await? {
            return Err(Failure::Refused(exists(&known)));
        }
        let (id, description) = (id.clone(), args.description.clone());
        let tags: Tags = args.tag.iter().cloned().collect();
        if tags.len() > MOST_TAGS {
            return Err(Failure::Refused(TooManyTags.to_string()));
        }
        let change = client::add(id, description, tags, operator.actor.clone(), operator.now);
        Ok((Some(change), ()))
    };
    let (did, ()) = operator
        .change(Action::ClientAdded, &args.edit, decide)
        .await?;
    let report = Report { did, client_id: id };
    out.show(
        &report,
        format!("{} the client {id}", did.word("added", "would add")),
    )?;
    if !out.is_json() {
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
