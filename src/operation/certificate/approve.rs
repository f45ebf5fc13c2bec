//! `keyferry certificate approve`.

use super::after;
use super::several::give_each;
use crate::certificate::{self, AlreadyMapped, CertificateRecord, Handed, Mapping};
use crate::client::ClientId;
use crate::operation::records::Records;
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::{Action, Change, Epoch, RecordId};

/// Accept certificates that wait for your word
///
/// Of several that are named, one that cannot be accepted does not hinder the others.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The SHA-256 of each, or a beginning of it that no other has
    #[arg(value_name = "FINGERPRINT", required = true)]
    fingerprints: Vec<String>,
    /// The client that they identify [default: the one that each was recognised as, or else a new
    /// one that is named after the certificate's subject]
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// Make a new client for each, though it was recognised as another's
    #[arg(long, conflicts_with = "client")]
    new: bool,
    #[command(flatten)]
    edit: Edit,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let give = async |named: &str| {
        let decide = async || {
            let records = operator.records_of_certificate(named).await?;
            let known = records.certificate(named)?;
            let change = approve(args, known, operator).await?;
            let (before, fingerprint) = (Some(&known.1), known.1.fingerprint);
            let certificate = after(change.as_ref(), before, fingerprint, &args.edit)?;
            Ok((change, certificate))
        };
        let given = operator.change(Action::CertificateAdded, &args.edit, decide);
        given.await
    };
    give_each(&args.fingerprints, operator, out, give).await
}

async fn approve(
    args: &Args,
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
                let to = operator.records_of(client).await?.holdings(client)?;
                certificate::give(&handed, Some(known.clone()), &to, actor, now)
                    .map_err(|error| Failure::Refused(error.to_string()))?
            } else {
                Some(certificate::approve(known.clone(), actor, now))
            };
            let mut records = Records::default();
            if let Some(old) = known.1.renews {
                let old = RecordId::Certificate(old);
                operator.read(&old, &mut records).await?;
            }
            let old = records.certificates.values().next();
            Ok(change.map(|change| certificate::take_over(change, fingerprint, old)))
        }
    }
}
