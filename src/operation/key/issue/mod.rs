//! `keyferry key issue`.

mod file;
mod plan;
pub(crate) mod sealed;

use std::path::PathBuf;

use clap::ValueHint;
use serde::Serialize;

use super::term::Term;
use crate::client::{ClientId, Holdings};
use crate::clock::Timestamp;
use crate::key::{self, ApiKey, KeyId, NotIssued, Scope, Wish};
use crate::operation::view::{moment, rfc_3339};
use crate::operation::{Did, Edit, Operator};
use crate::operation::{Failure, Out};
use crate::phase::Selector;
use crate::secret::Secret;
use crate::store::{Action, Change, Epoch, Record};

/// Issue a key to a client, and show it once
///
/// The key alone goes to standard output, so that it can be piped on. The client's certificates
/// then map to the same key id. Its earlier keys stay good until they are revoked or expire.
///
/// With --seal, nobody sees the key but the client: it is encrypted to the client's certificate,
/// and `openssl cms -decrypt` opens it with the certificate's private key (docs/SEALED.md). The
/// certificate must be known as the client's own; one that has expired does as well.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client
    #[arg(long, value_name = "ID", required_unless_present = "certificates")]
    client: Option<ClientId>,
    /// Encrypt the key to the client's certificate instead of showing it
    #[arg(long, requires = "recipients")]
    seal: bool,
    /// The client's certificate (PEM or DER)
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        requires = "seal",
        group = "recipients"
    )]
    certificate: Option<PathBuf>,
    /// A folder of certificates: every client whose certificate is in it, and that has no key yet,
    /// gets one
    #[arg(
        long,
        value_name = "DIR",
        requires_all = ["seal", "out"],
        conflicts_with = "client",
        group = "recipients"
    )]
    certificates: Option<PathBuf>,
    /// Only for the clients with these tags: mobile, or mobile,!beta
    #[arg(long, value_name = "SELECTOR", requires = "certificates")]
    cohort: Option<Selector>,
    /// The folder for the sealed keys, in files CLIENT.cms that must not exist yet [default with
    /// --certificate: standard output]
    #[arg(long, value_name = "DIR", requires = "seal")]
    out: Option<PathBuf>,
    /// When it ends by itself: 90d, 12h, 2027-06-30 (through that day, UTC) [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<Term>,
    /// What it may be used for; repeat it for more [default: routes without scopes only]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report<'a> {
    #[serde(flatten)]
    did: Did,
    client_id: &'a ClientId,
    /// None of a new key in a dry run: it would be another one.
    key_id: Option<KeyId>,
    /// The key itself, here and nowhere else.
    key: Option<&'a str>,
    scopes: &'a [Scope],
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    expires_at: Option<Timestamp>,
    /// How many certificates map to another key id than before.
    certificates_mapped: usize,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let now = operator.now;
    let expires_at = args.expires.map(|term| term.end(now));
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Failure::Usage(
            "--expires lies in the past; name a moment to come".to_owned(),
        ));
    }
    let mut scopes = args.scopes.clone();
    scopes.sort();
    scopes.dedup();
    let wish = Wish { expires_at, scopes };
    match (&args.client, &args.certificate, &args.certificates) {
        (Some(client), None, None) => show_once(client, wish, args, operator, out).await,
        (Some(client), Some(file), _) => {
            let to = plan::Whom::Client { client, file };
            sealed::run(to, &wish, args, operator, out).await
        }
        (_, _, Some(folder)) => {
            let to = plan::Whom::Folder {
                folder,
                cohort: args.cohort.as_ref(),
            };
            sealed::run(to, &wish, args, operator, out).await
        }
        (None, _, None) => Err(Failure::Usage("name a --client".to_owned())),
    }
}

/// A new key for the client that has `to`, and the change that makes it good.
fn issue(to: &Holdings, wish: &Wish, operator: &Operator) -> Result<(ApiKey, Change), Failure> {
    let keys = &operator.settings.keys;
    let (kind, actor) = ((&keys.format, &keys.peppers), operator.actor.clone());
    let issued = key::issue(to, wish.clone(), keys.per_client, kind, actor, operator.now);
    issued.map_err(|error| match error {
        NotIssued::Disabled(_) | NotIssued::TooMany(_) => Failure::Refused(error.to_string()),
        NotIssued::Randomness(_) => Failure::Unavailable(error.into()),
    })
}

async fn show_once(
    client: &ClientId,
    wish: Wish,
    args: &Args,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let decide = async || {
        let records = operator.records_of(client).await?;
        let to = records.holdings(client)?;
        let (key, change) = issue(&to, &wish, operator)?;
        let before = to.newest_issued(operator.now).map(|(_, key)| key.id);
        let issued = (key, is_new(&change), certificates(&change), before);
        Ok((Some(change), issued))
    };
    let (did, (key, is_new, certificates_mapped, before)) = operator
        .change(Action::KeyIssued, &args.edit, decide)
        .await?;
    let report = Report {
        did,
        client_id: client,
        key_id: Some(key.id()).filter(|_| !(did.dry_run && is_new)),
        key: Some(key.reveal()).filter(|_| !did.dry_run),
        scopes: &wish.scopes,
        expires_at: wish.expires_at,
        certificates_mapped,
    };
    match (did.dry_run, out.is_json()) {
        (true, true) => out.json(&report),
        (true, false) => {
            tell(&report, before, out);
            Ok(())
        }
        (false, true) => {
            let text = serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?;
            show(text, &key, out)
        }
        (false, false) => {
            tell(&report, before, out);
            out.note("this is the only time that the key is shown:");
            show(key.reveal().to_owned(), &key, out)
        }
    }
}

/// Prints `text`, which holds the key. Once lost, the key is still good.
fn show(text: String, key: &ApiKey, out: &mut Out) -> Result<(), Failure> {
    let id = key.id();
    let lost = format!(
        "the key {id} is good, and nobody has seen it; to end it: keyferry key revoke {id}"
    );
    out.secret(Secret::new(text), lost)
}

/// What is said beside the key, on standard error.
fn tell(report: &Report<'_>, before: Option<KeyId>, out: &mut Out) {
    let id = report
        .key_id
        .map_or_else(|| "a new id".to_owned(), |id| id.to_string());
    let until = report.expires_at.map(|end| format!(", good until {end}"));
    out.note(format!(
        "{} a key to {} under {id}{}",
        report.did.word("issued", "would issue"),
        report.client_id,
        until.unwrap_or_default()
    ));
    if report.certificates_mapped > 0 {
        let word = report.did.word("map", "would then map");
        out.note(format!("its certificates {word} to this key id"));
    }
    if let Some(before) = before {
        out.note(format!(
            "its key {before} stays good; to end it: keyferry key revoke {before}"
        ));
    }
}

fn is_new(change: &Change) -> bool {
    let mut writes = change.writes.iter();
    writes.any(|write| matches!(write.record, Record::Key(_)) && write.expected == Epoch::NONE)
}

fn certificates(change: &Change) -> usize {
    let writes = change.writes.iter();
    writes
        .filter(|write| matches!(write.record, Record::Certificate(_)))
        .count()
}
