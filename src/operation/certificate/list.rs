//! `keyferry certificate list`.

use serde::Serialize;

use super::announce::AliasView;
use crate::client::ClientId;
use crate::operation::Operator;
use crate::operation::page::{Page, tell_next};
use crate::operation::table::{relative_or, table};
use crate::operation::view::{CertificateView, short};
use crate::operation::{Failure, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those that wait for your word
    #[arg(long, conflicts_with = "client")]
    pending: bool,
    /// Only those of this client
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    #[command(flatten)]
    page: Page,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    certificates: Vec<CertificateView>,
    /// Those that are announced and were not seen yet, in the last part.
    announced: Vec<AliasView>,
    /// After which one the next part begins, when there is one.
    next: Option<String>,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let records = operator.records_or_of(args.client.as_ref()).await?;
    let is_asked_for = |certificate: &CertificateView| {
        let of_client = args.client.is_none() || certificate.client_id == args.client;
        // The other form of a certificate that is listed itself.
        let twin = certificate.status == "twin";
        !twin && of_client && (!args.pending || certificate.status == "pending")
    };
    let certificates = records.certificates.values();
    let views = certificates.map(|(_, record)| CertificateView::of(record));
    let views = views.filter(is_asked_for);
    let views = views.map(|certificate| (certificate.fingerprint, certificate));
    let (certificates, next) = args.page.of(views)?;
    let announced = records
        .aliases
        .values()
        .map(|(_, record)| AliasView::of(record));
    let of_client = |alias: &AliasView| {
        alias.status == "announced" && args.client.as_ref().is_none_or(|id| *id == alias.client_id)
    };
    let announced = announced.filter(|alias| next.is_none() && !args.pending && of_client(alias));
    let report = Report {
        certificates,
        announced: announced.collect(),
        next,
    };
    if report.certificates.is_empty() && report.announced.is_empty() && !out.is_json() {
        out.note("no such certificate");
        return Ok(());
    }
    let header = [
        "certificate",
        "status",
        "client",
        "expires",
        "renews",
        "subject",
        "issuer",
    ];
    let rows = report.certificates.iter().map(|certificate| {
        let proposed = certificate.proposed_client_id.as_ref();
        let client = certificate.client_id.as_ref().map(ToString::to_string);
        let client = client.or_else(|| proposed.map(|client| format!("{client}?")));
        [
            certificate.short(),
            certificate.status.to_owned(),
            client.unwrap_or_default(),
            relative_or(certificate.not_after, operator.now, "unknown"),
            certificate.renews.map(short).unwrap_or_default(),
            certificate.subject.clone().unwrap_or_default(),
            certificate.issuer.clone().unwrap_or_default(),
        ]
    });
    let announced = report.announced.iter().map(|alias| {
        let (name, status) = (alias.alias.to_string(), alias.status.to_owned());
        let name: String = name.chars().take(16).collect();
        let client = alias.client_id.to_string();
        [
            name,
            status,
            client,
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ]
    });
    out.show(&report, table(header, rows.chain(announced)))?;
    tell_next(report.next.as_deref(), out);
    Ok(())
}
