//! `keyferry certificate supersede`.

use super::{Report, after, facts};
use crate::certificate::{self, CertificateRecord, Mapping};
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::{Action, Change, Epoch};

/// Refuse a certificate from now on, since a newer one of its client took its place
///
/// Its client is told so (`certificate_superseded`), at once and at every gateway. Its other
/// certificates and its key stay as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its SHA-256, or a beginning of it that no other has
    #[arg(value_name = "FINGERPRINT")]
    fingerprint: String,
    /// Accept it again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    edit: Edit,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let decide = async || {
        let records = operator.records_of_certificate(&args.fingerprint).await?;
        let known = records.certificate(&args.fingerprint)?;
        let change = decide(args, known.clone(), operator).await?;
        let (before, fingerprint) = (Some(&known.1), known.1.fingerprint);
        let certificate = after(change.as_ref(), before, fingerprint, &args.edit)?;
        Ok((change, certificate))
    };
    let action = if args.undo {
        Action::CertificateRestored
    } else {
        Action::CertificateSuperseded
    };
    let (did, certificate) = operator.change(action, &args.edit, decide).await?;
    let first = match (did.changed, args.undo) {
        (true, false) => did.word(
            "superseded the certificate",
            "would supersede the certificate",
        ),
        (true, true) => did.word(
            "accept the certificate again",
            "would accept the certificate again",
        ),
        (false, false) => "the certificate was superseded before",
        (false, true) => "the certificate is not superseded",
    };
    let text = format!("{first}\n{}", facts(&certificate, operator.now));
    let certificate = &certificate;
    out.show(&Report { did, certificate }, text)?;
    Ok(())
}

async fn decide(
    args: &Args,
    known: (Epoch, CertificateRecord),
    operator: &Operator,
) -> Result<Option<Change>, Failure> {
    let (actor, now) = (operator.actor.clone(), operator.now);
    match &known.1.mapping {
        Mapping::Superseded { client, .. } if args.undo => {
            let to = operator.records_of(client).await?.holdings(client)?;
            certificate::restore(known, &to, actor, now)
                .map_err(|error| Failure::Refused(error.to_string()))
        }
        _ if args.undo => Ok(None),
        _ => certificate::supersede(known, actor, now)
            .map_err(|error| Failure::Refused(error.to_string())),
    }
}
