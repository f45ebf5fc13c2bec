//! `keyferry key issue`.

use serde::Serialize;

use super::term::Term;
use crate::cli::open::{Did, Edit, Operator};
use crate::cli::view::rfc_3339;
use crate::cli::{Failure, Out};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::key::{self, ApiKey, KeyId, NotIssued, Scope, Wish};
use crate::secret::Secret;
use crate::store::{Action, Change, Epoch, Record};

/// Issue a key to a client, and show it once
///
/// The key alone goes to standard output, so that it can be piped on. The client's certificates
/// then map to the same key id. Its earlier keys stay good until they are revoked or expire.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The client
    #[arg(long, value_name = "ID")]
    client: ClientId,
    /// When it ends by itself: 90d, 12h, 2027-06-30 (through that day, UTC) [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<Term>,
    /// What it may be used for; repeat it for more [default: routes without scopes only]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    did: Did,
    client_id: &'a ClientId,
    /// None of a new key in a dry run: it would be another one.
    key_id: Option<KeyId>,
    /// The key itself, here and nowhere else.
    key: Option<&'a str>,
    scopes: &'a [Scope],
    #[serde(serialize_with = "rfc_3339")]
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
    let decide = async || {
        let records = operator.records().await?;
        let to = records.holdings(&args.client)?;
        let keys = &operator.config.keys;
        let wish = Wish {
            expires_at,
            scopes: scopes.clone(),
        };
        let actor = operator.actor.clone();
        let (key, change) = key::issue(&to, wish, (&keys.format, &keys.peppers), actor, now)
            .map_err(|error| match error {
                NotIssued::Disabled(_) => Failure::Refused(error.to_string()),
                NotIssued::Randomness(_) => Failure::Unavailable(error.into()),
            })?;
        let before = to.newest_issued(now).map(|(_, key)| key.id);
        let issued = (key, is_new(&change), certificates(&change), before);
        Ok((Some(change), issued))
    };
    let (did, (key, is_new, certificates_mapped, before)) = operator
        .change(Action::KeyIssued, &args.edit, decide)
        .await?;
    let report = Report {
        did,
        client_id: &args.client,
        key_id: Some(key.id()).filter(|_| !(did.dry_run && is_new)),
        key: Some(key.reveal()).filter(|_| !did.dry_run),
        scopes: &scopes,
        expires_at,
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
