//! `keyferry key revoke`.

use serde::Serialize;

use crate::client::ClientId;
use crate::key::{self, KeyId, KeyStatus};
use crate::operation::records::no_key;
use crate::operation::{Did, Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::Action;

/// End a key, at once
///
/// It can be taken back for a day, unless the configuration says otherwise: keyferry key restore.
/// The client's other keys and its certificates stay good. To refuse a client altogether, disable
/// it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key's public id: 32 hex digits, the middle part of the key
    #[arg(value_name = "KEY_ID")]
    id: KeyId,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report<'a> {
    #[serde(flatten)]
    did: Did,
    key_id: KeyId,
    client_id: &'a ClientId,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let id = args.id;
    let decide = async || {
        let known = operator.key(id).await?.ok_or_else(|| no_key(id))?;
        let client = known.1.client.clone();
        let (actor, now) = (operator.actor.clone(), operator.now);
        let active = known.1.status == KeyStatus::Active;
        let change = active.then(|| key::revoke(known, actor, now));
        Ok((change, client))
    };
    let (did, client) = operator
        .change(Action::KeyRevoked, &args.edit, decide)
        .await?;
    let text = if did.changed {
        let word = did.word("revoked", "would revoke");
        format!("{word} the key {id} of {client}")
    } else {
        format!("the key {id} of {client} was revoked before")
    };
    let report = Report {
        did,
        key_id: id,
        client_id: &client,
    };
    out.show(&report, text)?;
    Ok(())
}
