//! `keyferry certificate remove`.

use super::{Report, after, facts};
use crate::certificate;
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::Action;

/// Let a certificate identify nobody any more; it does not enrol again
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its SHA-256, or a beginning of it that no other has
    #[arg(value_name = "FINGERPRINT")]
    fingerprint: String,
    #[command(flatten)]
    edit: Edit,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let decide = async || {
        let records = operator.records_of_certificate(&args.fingerprint).await?;
        let known = records.certificate(&args.fingerprint)?;
        let (actor, now) = (operator.actor.clone(), operator.now);
        let change = certificate::remove(known.clone(), actor, now);
        let certificate = after(
            change.as_ref(),
            Some(&known.1),
            known.1.fingerprint,
            &args.edit,
        )?;
        Ok((change, certificate))
    };
    let (did, certificate) = operator
        .change(Action::CertificateRemoved, &args.edit, decide)
        .await?;
    let first = if did.changed {
        did.word("removed the certificate", "would remove the certificate")
    } else {
        "the certificate was removed before"
    };
    let text = format!("{first}\n{}", facts(&certificate, operator.now));
    let certificate = &certificate;
    out.show(&Report { did, certificate }, text)?;
    Ok(())
}
