//! `keyferry certificate add`.

use std::path::Path;

use clap::ValueHint;

use super::several::give_each;
use super::{after, announce};
use crate::certificate::{self, Alias, Handed};
use crate::client::ClientId;
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::store::{Action, RecordId};

/// Give certificates to a client
///
/// They are not verified here: that is done whenever one is presented. A client may have several,
/// for instance its present one and the next. Of several that are named, one that cannot be given
/// does not hinder the others.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client that they identify from now on
    #[arg(long, value_name = "ID")]
    client: ClientId,
    /// A file (PEM or DER) for each, or the SHA-256 of the certificate in hex, with or without colons
    #[arg(
        value_name = "FILE|FINGERPRINT",
        required_unless_present = "sha1",
        value_hint = ValueHint::FilePath
    )]
    certificates: Vec<String>,
    /// The SHA-1 of the certificate in hex, where an older gateway knew no more: the first verified
    /// certificate that has it is the client's
    #[arg(long, value_name = "HEX", conflicts_with = "certificates")]
    sha1: Option<String>,
    #[command(flatten)]
    edit: Edit,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    if let Some(sha1) = &args.sha1 {
        let usage = || Failure::Usage(format!("{sha1:?} is not the 40 hex digits of a SHA-1"));
        let alias = Alias::sha1(sha1).ok_or_else(usage)?;
        return announce::change(alias, &args.client, false, &args.edit, operator, out).await;
    }
    let give = async |named: &str| {
        let mut handed = handed(named, operator)?;
        if operator.settings.masquerading.is_empty() {
            handed = handed.forgetting_whole();
        }
        let decide = async || {
            let mut records = operator.records_of(&args.client).await?;
            let id = RecordId::Certificate(handed.fingerprint);
            operator.read(&id, &mut records).await?;
            let to = records.holdings(&args.client)?;
            let known = records.certificates.get(&handed.fingerprint);
            let (actor, now) = (operator.actor.clone(), operator.now);
            let change = certificate::give(&handed, known.cloned(), &to, actor, now)
                .map_err(|error| Failure::Refused(error.to_string()))?;
            let before = known.map(|(_, record)| record);
            let certificate = after(change.as_ref(), before, handed.fingerprint, &args.edit)?;
            Ok((change, certificate))
        };
        let given = operator.change(Action::CertificateAdded, &args.edit, decide);
        given.await
    };
    give_each(&args.certificates, operator, out, give).await
}

/// The certificate that `text` names. What looks like a fingerprint is one, also beside a file of
/// that name.
fn handed(text: &str, operator: &Operator) -> Result<Handed, Failure> {
    let named = Handed::named(text).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(handed) = named {
        return Ok(handed);
    }
    read_file(Path::new(text), operator)
}

/// The certificate in the file `path`.
pub(super) fn read_file(path: &Path, operator: &Operator) -> Result<Handed, Failure> {
    let text = operator.called(path);
    let contents = operator.contents(path).map_err(|error| {
        Failure::Usage(format!(
            "{text} cannot be read ({error}); name a file, or the 64 hex digits of a SHA-256"
        ))
    })?;
    Handed::read(&contents).map_err(|error| Failure::Usage(format!("{text}: {error}")))
}
