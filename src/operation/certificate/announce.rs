//! `keyferry certificate announce`, and `add --sha1`: certificates that were not seen yet.

use std::path::PathBuf;

use clap::ValueHint;
use serde::Serialize;

use super::add;
use crate::certificate::{self, Alias, AliasRecord, AliasState, Fingerprint};
use crate::client::ClientId;
use crate::operation::{Did, Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::{Action, RecordId};

/// Say whose the next certificate with a new key will be
///
/// The first verified certificate with that key takes over from the client's present one, as
/// `renewal.successor` of its authority says.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client
    #[arg(value_name = "CLIENT")]
    client: ClientId,
    #[command(flatten)]
    key: Key,
    /// Take it back
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Key {
    /// The SHA-256 of its public key, in hex: openssl pkey -in KEY -pubout -outform DER | sha256sum
    #[arg(long, value_name = "HASH")]
    spki: Option<String>,
    /// A file with a certificate that has the key (PEM or DER)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    certificate: Option<PathBuf>,
}

/// An announcement as commands show it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(super) struct AliasView {
    pub(super) alias: Alias,
    pub(super) client_id: ClientId,
    pub(super) status: &'static str,
    /// The certificate that was seen to have it.
    pub(super) certificate: Option<Fingerprint>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    #[serde(flatten)]
    did: Did,
    announced: AliasView,
}

impl AliasView {
    pub(super) fn of(record: &AliasRecord) -> Self {
        let (status, certificate) = match record.state {
            AliasState::Open => ("announced", None),
            AliasState::Bound { to } => ("used", Some(to)),
            AliasState::Withdrawn { .. } => ("withdrawn", None),
        };
        Self {
            alias: record.alias,
            client_id: record.client.clone(),
            status,
            certificate,
        }
    }
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let spki = match (&args.key.spki, &args.key.certificate) {
        (Some(text), _) => Alias::spki(text),
        (None, Some(path)) => add::read_file(path, operator)?
            .facts
            .and_then(|facts| Alias::spki(&facts.spki)),
        (None, None) => None,
    };
    let usage = || Failure::Usage("name the 64 hex digits of a SHA-256".to_owned());
    let alias = spki.ok_or_else(usage)?;
    change(alias, &args.client, args.undo, &args.edit, operator, out).await
}

/// Announces that the certificate with this alias is the client's, or takes that back.
pub(super) async fn change(
    alias: Alias,
    client: &ClientId,
    undo: bool,
    edit: &Edit,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let decide = async || {
        let mut records = operator.records_of(client).await?;
        operator.read(&RecordId::Alias(alias), &mut records).await?;
        let to = records.holdings(client)?;
        let known = records.aliases.get(&alias).cloned();
        let (actor, now) = (operator.actor.clone(), operator.now);
        let change = match known {
            Some((_, record)) if undo && record.client != *client => Ok(None),
            Some(known) if undo => certificate::withdraw(known, actor, now),
            None if undo => Ok(None),
            known => certificate::announce(alias, known, &to, actor, now),
        };
        Ok((
            change.map_err(|error| Failure::Refused(error.to_string()))?,
            (),
        ))
    };
    let action = if undo {
        Action::AnnouncementWithdrawn
    } else {
        Action::CertificateAnnounced
    };
    let (did, ()) = operator.change(action, edit, decide).await?;
    let mut announced = AliasView::of(&AliasRecord::new(alias, client.clone(), operator.now));
    let text = match (did.changed, undo) {
        (true, false) => did.word("announced", "would announce"),
        (false, false) => "announced before:",
        (true, true) => did.word("took back", "would take back"),
        (false, true) => "not announced:",
    };
    if undo {
        announced.status = "withdrawn";
    }
    let text = format!("{text} a certificate of {client} by {alias}");
    out.show(&Report { did, announced }, text)?;
    Ok(())
}
