//! `keyferry certificate`: whom certificates identify.

mod add;
pub(crate) mod announce;
mod approve;
pub(crate) mod list;
mod remove;
pub(crate) mod several;
mod supersede;

use super::table::{fields, relative};
use super::view::CertificateView;
use super::{Did, Edit, Failure, Operator, Out};
use crate::certificate::{CertificateRecord, Fingerprint};
use crate::clock::Timestamp;
use crate::store::{Change, Epoch, Record};
use serde::Serialize;

/// Certificates: whom each identifies, and which wait for your word
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Add(add::Args),
    Announce(announce::Args),
    /// Show all certificates, and whom each identifies
    List(list::Args),
    Approve(approve::Args),
    Remove(remove::Args),
    Supersede(supersede::Args),
}

impl Command {
    /// Does it.
    pub(super) async fn run(self, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Add(args) => add::run(&args, operator, out).await,
            Self::Announce(args) => announce::run(&args, operator, out).await,
            Self::List(args) => list::run(&args, operator, out).await,
            Self::Approve(args) => approve::run(&args, operator, out).await,
            Self::Remove(args) => remove::run(&args, operator, out).await,
            Self::Supersede(args) => supersede::run(&args, operator, out).await,
        }
    }
}

/// What `--output json` prints of a change to a certificate.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ChangedCertificate")]
pub(crate) struct Report<'a> {
    #[serde(flatten)]
    did: Did,
    certificate: &'a CertificateView,
}

/// The certificate as `change` makes it, or as it was `before` when nothing changes. In a dry run
/// without the names that it would get: they would be others the next time.
fn after(
    change: Option<&Change>,
    before: Option<&CertificateRecord>,
    fingerprint: Fingerprint,
    edit: &Edit,
) -> Result<CertificateView, Failure> {
    let writes = change.map(|change| change.writes.as_slice());
    let writes = writes.unwrap_or_default();
    let written = writes.iter().find_map(|write| match &write.record {
        Record::Certificate(record) if record.fingerprint == fingerprint => Some(record),
        _ => None,
    });
    let view = written.or(before).map(CertificateView::of);
    let mut view =
        view.ok_or_else(|| anyhow::anyhow!("a change to a certificate does not write it"))?;
    if edit.dry_run {
        let made = writes.iter().filter(|write| write.expected == Epoch::NONE);
        for write in made {
            match &write.record {
                Record::Client(_) => view.client_id = None,
                Record::Key(_) => view.key_id = None,
                Record::Certificate(_) | Record::Alias(_) | Record::Phase(_) => {}
            }
        }
    }
    Ok(view)
}

/// Prints what became of a certificate that was given to a client.
fn show_given(
    did: Did,
    certificate: &CertificateView,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let id = certificate.client_id.as_ref();
    let id = id.map_or_else(|| "a new client".to_owned(), ToString::to_string);
    let first = if did.changed {
        let word = did.word("gave", "would give");
        format!("{word} the certificate to {id}")
    } else {
        format!("{id} has the certificate already")
    };
    let text = format!("{first}\n{}", facts(certificate, operator.now));
    out.show(&Report { did, certificate }, text)?;
    let is_over = certificate.not_after.is_some_and(|end| end <= operator.now);
    if is_over && !out.is_json() {
        out.note("this certificate has expired, and is refused");
    }
    Ok(())
}

/// What a certificate says of itself.
fn facts(certificate: &CertificateView, now: Timestamp) -> String {
    let mut lines = vec![("  fingerprint", certificate.fingerprint.to_string())];
    for (name, value) in [
        ("  subject", &certificate.subject),
        ("  issuer", &certificate.issuer),
    ] {
        lines.extend(value.clone().map(|value| (name, value)));
    }
    if let Some(end) = certificate.not_after {
        lines.push(("  valid until", format!("{end} ({})", relative(end, now))));
    }
    for (name, other) in [
        ("  renews", certificate.renews),
        ("  renewed by", certificate.renewed_by),
    ] {
        lines.extend(other.map(|other| (name, other.to_string())));
    }
    lines.extend(certificate.key_id.map(|id| ("  key id", id.to_string())));
    fields(lines)
}
