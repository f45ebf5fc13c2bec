//! `keyferry client show`.

use serde::Serialize;

use super::activity::{Activity, Used, Uses, history};
use crate::certificate::{Age, Fingerprint};
use crate::client::{ClientId, Contact, CredentialId};
use crate::clock::Timestamp;
use crate::operation::Operator;
use crate::operation::letter::contacts;
use crate::operation::progress::Progress;
use crate::operation::table::{fields, relative};
use crate::operation::view::{CertificateView, ClientView, KeyView};
use crate::operation::{Failure, Out};
use crate::store::Selection;

use super::tag::listed;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client
    #[arg(value_name = "ID")]
    id: ClientId,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    #[serde(flatten)]
    client: ClientView,
    /// The e-mail addresses in its certificates, of the one in use first.
    contacts: Vec<Contact>,
    #[serde(flatten)]
    activity: Activity,
    /// What backends are told of it as by an old proxy; none where no backend is told anything.
    masquerade: Option<Masquerade>,
    certificates: Vec<Used<CertificateView>>,
    keys: Vec<Used<KeyView>>,
}

/// Backends that still get the headers of an old proxy, and the certificate that these tell of when
/// the client comes by key alone; none when they get none then.
#[derive(Serialize, schemars::JsonSchema)]
struct Masquerade {
    backends: Vec<String>,
    certificate: Option<Fingerprint>,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let mut records = operator.records_of(&args.id).await?;
    let holdings = records.holdings(&args.id)?;
    operator.select(&Selection::Phases, &mut records).await?;
    // Before the times: gateways tell both at once, so no count is of a request without its time.
    let history = history(operator, &args.id).await?;
    let sighting = operator.sighting(&args.id).await?;
    let uses = operator.uses_of(&holdings.credentials()).await?;
    let progress = Progress::of(&records, sighting, &uses, operator);
    let activity = Activity::of(history, progress.sighting(&args.id), operator.now);
    let mut own: Vec<_> = holdings.certificates.iter().map(|(_, own)| own).collect();
    progress.last_uses().sort(&mut own);
    let contacts = contacts(&own);
    let uses = Uses::from(uses);
    let certificates = holdings.certificates.iter().map(|(_, record)| {
        let credential = CredentialId::Certificate(record.fingerprint);
        uses.with(CertificateView::of(record), credential)
    });
    let keys = holdings.keys.iter().map(|(_, record)| {
        let credential = CredentialId::Key(record.id);
        uses.with(KeyView::of(record, operator.now), credential)
    });
    let backends: Vec<_> = operator.settings.masquerading.clone();
    let own = holdings.certificates.iter().map(|(_, record)| record);
    let kept = own.filter_map(|record| Some((Age::of(record)?, record.fingerprint)));
    let told_of = kept.max().map(|(_, fingerprint)| fingerprint);
    let masquerade = (!backends.is_empty()).then_some(Masquerade {
        backends,
        certificate: told_of,
    });
    let report = Report {
        masquerade,
        contacts,
        client: progress.view(&holdings.client.1),
        activity,
        certificates: certificates.collect(),
        keys: keys.collect(),
    };
    out.show(&report, text(&report, operator.now))?;
    Ok(())
}

fn text(report: &Report, now: Timestamp) -> String {
    let client = &report.client;
    let seen = client.last_seen;
    let contacts: Vec<_> = report.contacts.iter().map(Contact::as_str).collect();
    let mut parts = vec![fields([
        ("client", client.client_id.to_string()),
        (
            "description",
            client.description.clone().unwrap_or_default(),
        ),
        ("contacts", contacts.join(", ")),
        ("status", since(client.status, client.disabled_at, now)),
        ("stage", client.stage.as_str().to_owned()),
        ("flags", client.flags()),
        ("phase", client.phase.as_str().to_owned()),
        ("tags", listed(&client.tags)),
        ("known since", moment(client.created_at, now)),
        ("by certificate", seen.since(seen.by_certificate, now)),
        ("by key", seen.since(seen.by_key, now)),
    ])];
    if let Some(masquerade) = &report.masquerade {
        parts.push(masquerade.text());
    }
    parts.push(report.activity.text(now));
    parts.extend(report.certificates.iter().map(|used| {
        let certificate = &used.of;
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        fields([
            ("certificate", certificate.fingerprint.to_string()),
            ("  subject", text(&certificate.subject)),
            ("  issuer", text(&certificate.issuer)),
            ("  serial", text(&certificate.serial)),
            ("  valid from", moment(certificate.not_before, now)),
            ("  valid until", moment(certificate.not_after, now)),
            ("  known since", moment(certificate.created_at, now)),
            ("  last used", used.last_used(now)),
            (
                "  key id",
                certificate
                    .key_id
                    .map_or_else(String::new, |id| id.to_string()),
            ),
        ])
    }));
    parts.extend(report.keys.iter().map(|used| {
        let key = &used.of;
        fields([
            ("key", key.key_id.to_string()),
            ("  status", since(key.status, key.revoked_at, now)),
            ("  issued", moment_or(key.issued_at, now, "never")),
            ("  expires", moment_or(key.expires_at, now, "never")),
            ("  last used", used.last_used(now)),
            ("  scopes", key.scopes()),
        ])
    }));
    parts.join("\n\n")
}

impl Masquerade {
    fn text(&self) -> String {
        let told_of = self.certificate.map_or_else(
            || "nothing: no certificate is recorded as it is (docs/MASQUERADE.md)".to_owned(),
            |fingerprint| format!("certificate {fingerprint}"),
        );
        fields([
            ("old proxy's headers", self.backends.join(", ")),
            ("  by key they tell of", told_of),
        ])
    }
}

fn since(status: &str, at: Option<Timestamp>, now: Timestamp) -> String {
    let since = at.map(|at| format!(" since {at} ({})", relative(at, now)));
    format!("{status}{}", since.unwrap_or_default())
}

fn moment(at: Option<Timestamp>, now: Timestamp) -> String {
    moment_or(at, now, "unknown")
}

fn moment_or(at: Option<Timestamp>, now: Timestamp, otherwise: &str) -> String {
    at.map_or_else(
        || otherwise.to_owned(),
        |at| format!("{at} ({})", relative(at, now)),
    )
}
