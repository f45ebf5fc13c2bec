//! `keyferry key rotate`.

use serde::Serialize;

use super::term::Term;
use crate::client::{ClientId, Holdings};
use crate::clock::Timestamp;
use crate::key::{ApiKey, KeyId, KeyRecord, NotRotated, Overlap, Rotated, Rotation};
use crate::operation::view::{moment, rfc_3339};
use crate::operation::{Did, Edit, Operator};
use crate::operation::{Failure, Out};
use crate::secret::Secret;
use crate::store::{Action, Change, Record};

/// Give a client another key in the place of its newest, and show it once
///
/// The new key has the scopes and the end of the old one, and the client's certificates map to it.
/// The old one ends by itself when the overlap is over. The key alone goes to standard output.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The client
    #[arg(value_name = "CLIENT")]
    client: ClientId,
    /// How long the old key stays good: 0, 1h, 24h, 7d or 30d; never longer than it would have
    #[arg(long, value_name = "PERIOD", default_value_t)]
    overlap: Overlap,
    /// When the new key ends by itself: 90d, 12h, 2027-06-30 (through that day, UTC) [default: as
    /// the old one would have]
    #[arg(long, value_name = "WHEN")]
    expires: Option<Term>,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report<'a> {
    #[serde(flatten)]
    did: Did,
    client_id: &'a ClientId,
    /// None in a dry run: it would be another one.
    key_id: Option<KeyId>,
    /// The key itself, here and nowhere else.
    key: Option<&'a str>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    expires_at: Option<Timestamp>,
    replaces: Replaced,
}

#[derive(Clone, Copy, Serialize, schemars::JsonSchema)]
#[schemars(rename = "ReplacedKey")]
struct Replaced {
    key_id: KeyId,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    expires_at: Option<Timestamp>,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let now = operator.now;
    let expires_at = args.expires.map(|term| term.end(now));
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Failure::Usage(
            "--expires lies in the past; name a moment to come".to_owned(),
        ));
    }
    let decide = async || {
        let records = operator.records_of(&args.client).await?;
        let of = records.holdings(&args.client)?;
        let (key, change, old) = decide(&of, args.overlap, expires_at, operator)?;
        let end = |id| key_in(&change, id).and_then(|record| record.expires_at);
        let ends = (end(key.id()), end(old));
        Ok((Some(change), (key, old, ends)))
    };
    let (did, (key, old, ends)) = operator
        .change(Action::KeyRotated, &args.edit, decide)
        .await?;
    let report = Report {
        did,
        client_id: &args.client,
        key_id: Some(key.id()).filter(|_| !did.dry_run),
        key: Some(key.reveal()).filter(|_| !did.dry_run),
        expires_at: ends.0,
        replaces: Replaced {
            key_id: old,
            expires_at: ends.1,
        },
    };
    if out.is_json() && did.dry_run {
        return out.json(&report);
    }
    let text = if out.is_json() {
        serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?
    } else {
        tell(&report, out);
        if did.dry_run {
            return Ok(());
        }
        out.note("this is the only time that the key is shown:");
        key.reveal().to_owned()
    };
    let lost = format!(
        "the key {id} is good, and nobody has seen it; to end it: keyferry key revoke {id}",
        id = key.id()
    );
    out.secret(Secret::new(text), lost)
}

fn decide(
    of: &Holdings,
    overlap: Overlap,
    expires_at: Option<Timestamp>,
    operator: &Operator,
) -> Result<(ApiKey, Change, KeyId), Failure> {
    let Some((_, newest)) = of.newest_issued(operator.now) else {
        let id = of.id();
        return Err(Failure::Refused(format!(
            "the client {id} has no key to rotate; give it one with: keyferry key issue --client {id}"
        )));
    };
    let keys = &operator.settings.keys;
    let rotation = Rotation {
        of,
        key: newest.id,
        overlap,
        expires_at,
        successor_used: true,
        most: keys.per_client,
        retry: None,
    };
    let actor = operator.actor.clone();
    match rotation.decide((&keys.format, &keys.peppers), actor, operator.now) {
        Ok(Rotated::Issued(key, change)) => Ok((key, *change, newest.id)),
        Ok(Rotated::Repeated(_)) => Err(Failure::Internal(anyhow::anyhow!(
            "a rotation without a token was repeated"
        ))),
        Err(NotRotated::Randomness(error)) => Err(Failure::Unavailable(error.into())),
        Err(NotRotated::TooMany(many)) => Err(Failure::Refused(format!(
            "{many}; or rotate with --overlap 0"
        ))),
        Err(not) => Err(Failure::Refused(not.to_string())),
    }
}

fn key_in(change: &Change, id: KeyId) -> Option<&KeyRecord> {
    change.writes.iter().find_map(|write| match &write.record {
        Record::Key(key) if key.id == id => Some(key),
        _ => None,
    })
}

/// What is said beside the key, on standard error.
fn tell(report: &Report<'_>, out: &mut Out) {
    let old = report.replaces;
    let id = report
        .key_id
        .map_or_else(|| "a new id".to_owned(), |id| id.to_string());
    let end = |at: Option<Timestamp>| at.map_or_else(|| "for ever".to_owned(), |at| at.to_string());
    out.note(format!(
        "{} the key {} of {} to {id}, good until {}",
        report.did.word("rotated", "would rotate"),
        old.key_id,
        report.client_id,
        end(report.expires_at)
    ));
    let word = report.did.word("ends", "would end");
    out.note(format!("the old key {word} at {}", end(old.expires_at)));
}
