//! `keyferry key restore`.

use serde::Serialize;

use crate::client::ClientId;
use crate::key::{self, KeyId};
use crate::operation::records::no_key;
use crate::operation::{Did, Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::Action;

/// Take the revocation of a key back, for a day unless the configuration says otherwise
///
/// The key works again at every gateway. Not once another key has taken its place.
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
    let keys = &operator.settings.keys;
    let (window, most) = (keys.restore_window, keys.per_client);
    let decide = async || {
        let known = operator.key(id).await?.ok_or_else(|| no_key(id))?;
        let client = known.1.client;
        let of = operator.records_of(&client).await?.holdings(&client)?;
        let change = key::restore(&of, id, window, most, operator.actor.clone(), operator.now)
            .map_err(|not| Failure::Refused(not.to_string()))?;
        Ok((change, client))
    };
    let (did, client) = operator
        .change(Action::KeyRestored, &args.edit, decide)
        .await?;
    let text = if did.changed {
        let word = did.word("restored", "would restore");
        format!("{word} the key {id} of {client}")
    } else {
        format!("the key {id} of {client} is not revoked")
    };
    let report = Report {
        did,
        key_id: id,
        client_id: &client,
    };
    out.show(&report, text)?;
    Ok(())
}
