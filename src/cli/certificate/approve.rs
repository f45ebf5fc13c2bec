//! `keyferry certificate approve`.

use super::{after, show_given};
use crate::certificate::{self, AlreadyMapped, CertificateRecord, Handed, Mapping};
use crate::cli::open::{Edit, Operator};
use crate::cli::records::Records;
use crate::cli::{Failure, Out};
use crate::client::ClientId;
use crate::store::{Action, Change, Epoch};

/// Accept a certificate that waits for your word
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its SHA-256, or a beginning of it that no other has
    #[arg(value_name = "FINGERPRINT")]
    fingerprint: String,
    /// The client that it identifies [default: the one that it was recognised as, or else a new
    /// one that is named after the certificate's subject]
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// Make a new client for it, though it was recognised as another's
    #[arg(long, conflicts_with = "client")]
    new: bool,
    #[command(flatten)]
    edit: Edit,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let decide = async || {
        let records = operator.records().await?;
        let known = records.certificate(&args.fingerprint)?;
        let change = approve(args, &records, known, operator)?;
        let certificate = after(
            change.as_ref(),
            Some(&known.1),
            known.1.fingerprint,
            &args.edit,
        )?;
        Ok((change, certificate))
    };
    let (did, certificate) = operator
        .change(Action::CertificateAdded, &args.edit, decide)
        .await?;
    show_given(did, &certificate, operator, out)
}

fn approve(
    args: &Args,
    records: &Records,
    known: &(Epoch, CertificateRecord),
    operator: &Operator,
) -> Result<Option<Change>, Failure> {
    let (actor, now) = (operator.actor.clone(), operator.now);
    let fingerprint = known.1.fingerprint;
    match (&known.1.mapping, &args.client) {
        (Mapping::Removed { at }, _) => Err(Failure::Refused(format!(
            "the certificate {fingerprint} was removed ({at}); to accept it all the same: \
             keyferry certificate add --client ID {fingerprint}"
        ))),
        (Mapping::Twin { of }, _) => Err(Failure::Refused(format!(
            "the certificate {fingerprint} is the other form of {of}, which is known; approve that"
        ))),
        (Mapping::Superseded { client, .. }, _) => Err(Failure::Refused(format!(
            "a newer certificate of {client} took the place of {fingerprint}; to accept it again: \
             keyferry certificate supersede --undo {fingerprint}"
        ))),
        (Mapping::Mapped { client, .. }, Some(asked)) if client != asked => {
            let by = client.clone();
            let error = AlreadyMapped { fingerprint, by };
            Err(Failure::Refused(error.to_string()))
        }
        (Mapping::Mapped { .. }, _) => Ok(None),
        (Mapping::Pending, asked) => {
            let proposed = known.1.proposed.as_ref().filter(|_| !args.new);
            let change = if let Some(client) = asked.as_ref().or(proposed) {
                let handed = Handed::from(&known.1);
                let to = records.holdings(client)?;
                certificate::give(&handed, Some(known.clone()), &to, actor, now)
                    .map_err(|error| Failure::Refused(error.to_string()))?
            } else {
                Some(certificate::approve(known.clone(), actor, now))
            };
            let old = known
                .1
                .renews
                .and_then(|old| records.certificates.get(&old));
            Ok(change.map(|change| certificate::take_over(change, fingerprint, old)))
        }
    }
}
