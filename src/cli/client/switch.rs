//! `keyferry client disable` and `keyferry client enable`.

use serde::Serialize;

use crate::cli::open::{Did, Edit, Operator};
use crate::cli::records::no_client;
use crate::cli::{Failure, Out};
use crate::client::{self, ClientId};
use crate::store::Action;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The client
    #[arg(value_name = "ID")]
    id: ClientId,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    did: Did,
    client_id: &'a ClientId,
}

pub(super) async fn disable(
    args: &Args,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let did = switch(args, operator, Action::ClientDisabled).await?;
    let id = &args.id;
    let text = if did.changed {
        let word = did.word("disabled", "would disable");
        format!("{word} {id}: none of its certificates and keys is accepted")
    } else {
        format!("{id} is disabled already")
    };
    out.show(&Report { did, client_id: id }, text)?;
    Ok(())
}

pub(super) async fn enable(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let did = switch(args, operator, Action::ClientEnabled).await?;
    let id = &args.id;
    let text = if did.changed {
        let word = did.word("enabled", "would enable");
        format!("{word} {id}, with the certificates and keys that it has")
    } else {
        format!("{id} is active already")
    };
    out.show(&Report { did, client_id: id }, text)?;
    Ok(())
}

async fn switch(args: &Args, operator: &Operator, action: Action) -> Result<Did, Failure> {
    let decide = async || {
        let client = operator.client(&args.id).await?;
        let client = client.ok_or_else(|| no_client(&args.id))?;
        let (actor, now) = (operator.actor.clone(), operator.now);
        let change = if action == Action::ClientDisabled {
            client::disable(client, actor, now)
        } else {
            client::enable(client, actor, now)
        };
        Ok((change, ()))
    };
    let (did, ()) = operator.change(action, &args.edit, decide).await?;
    Ok(did)
}
