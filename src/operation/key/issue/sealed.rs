//! `keyferry key issue --seal`: keys that nobody but their clients can read.

use std::path::PathBuf;

use serde::Serialize;
use zeroize::Zeroizing;

use super::file::{self, Waiting};
use super::plan::{Delivery, Plan, Refused, Whom};
use super::{Args, is_new, issue};
use crate::certificate::Fingerprint;
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::key::{KeyId, Wish};
use crate::operation::folder;
use crate::operation::records::Records;
use crate::operation::table::table;
use crate::operation::view::{moment, rfc_3339};
use crate::operation::{Bar, Operator};
use crate::operation::{Failure, Out};
use crate::secret::Secret;
use crate::store::Action;

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    dry_run: bool,
    sealed: Vec<Sealed>,
    /// Clients of the folder that were left alone.
    had_keys: Vec<HadKey>,
    refused: Vec<Refused>,
}

/// What came of a delivery.
enum Delivered {
    Sealed(Sealed),
    HadKey(HadKey),
}

/// A client that has a key.
#[derive(Serialize, schemars::JsonSchema)]
struct HadKey {
    client_id: ClientId,
    key_id: KeyId,
}

/// A key that was issued.
#[derive(Serialize, schemars::JsonSchema)]
struct Sealed {
    client_id: ClientId,
    /// None of a new key in a dry run: it would be another one.
    key_id: Option<KeyId>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    expires_at: Option<Timestamp>,
    /// What it is sealed to.
    certificate: Fingerprint,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    certificate_not_after: Option<Timestamp>,
    /// The file of the sealed key.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// The sealed key itself, when it goes into no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

pub(super) async fn run(
    whom: Whom<'_>,
    wish: &Wish,
    args: &Args,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let (plan, records) = match whom {
        Whom::Client { client, file } => (Plan::for_client(client, file, operator)?, None),
        Whom::Folder { folder, cohort } => {
            let records = operator.records().await?;
            let plan = Plan::for_folder(folder, cohort, &records, operator)?;
            (plan, Some(records))
        }
    };
    let Plan {
        deliveries,
        refused,
    } = plan;
    if let Some(folder) = args.out.as_deref().filter(|_| !args.edit.dry_run) {
        folder::make(folder)?;
    }
    let mut report = Report {
        dry_run: args.edit.dry_run,
        sealed: Vec::new(),
        had_keys: Vec::new(),
        refused,
    };
    let mut failure = None;
    let bar = operator.bar(|| Bar::new("issuing keys", deliveries.len() as u64));
    for delivery in deliveries {
        match deliver(&delivery, records.as_deref(), wish, args, operator).await {
            Ok(Delivered::Sealed(one)) => report.sealed.push(one),
            Ok(Delivered::HadKey(one)) => report.had_keys.push(one),
            Err(Failure::Refused(why)) => report.refused.push(Refused {
                client_id: Some(delivery.client),
                certificate_file: None,
                why,
            }),
            Err(other) => {
                failure = Some(other);
                break;
            }
        }
        bar.advance(1);
    }
    drop(bar);
    show(&report, whom, operator.now, out)?;
    failure.map_or_else(|| report.outcome(whom), Err)
}

impl Report {
    fn outcome(&self, whom: Whom<'_>) -> Result<(), Failure> {
        let (issued, had) = (self.sealed.len(), self.had_keys.len());
        match self.refused.as_slice() {
            [one] if matches!(whom, Whom::Client { .. }) => Err(Failure::Refused(one.why.clone())),
            [] if issued == 0 && had == 0 => Err(Failure::Refused(
                "there is nobody to issue a key to; put the clients' certificates into the folder"
                    .to_owned(),
            )),
            [] => Ok(()),
            refused => Err(Failure::Refused(format!(
                "{} got no key, and {issued} did; put that right and run it again for the rest",
                refused.len()
            ))),
        }
    }
}

/// Issues one key, by what is `known` already, or else read for it. Its file is on the disk before the key is good, and gets its name after.
async fn deliver(
    to: &Delivery,
    mut known: Option<&Records>,
    wish: &Wish,
    args: &Args,
    operator: &Operator,
) -> Result<Delivered, Failure> {
    let path = args.out.as_deref().map(|out| file::path(out, &to.client));
    let decide = async || {
        let holdings = match known.take() {
            Some(records) => to.holdings(records)?,
            None => to.holdings(&to.read(operator).await?)?,
        };
        if let Some(key_id) = to.has_key(&holdings, operator.now) {
            return Ok((None, Err(key_id)));
        }
        if let Some(path) = &path {
            file::expect_free(path)?;
        }
        let (key, change) = issue(&holdings, wish, operator)?;
        let id = Some(key.id()).filter(|_| !(args.edit.dry_run && is_new(&change)));
        let text = Zeroizing::new(format!("{}\n", key.reveal()));
        let sealed = to.recipient.seal(text.as_bytes());
        let sealed = sealed.map_err(|error| Failure::Unavailable(error.into()))?;
        let waiting = match path.clone().filter(|_| !args.edit.dry_run) {
            Some(path) => Some(Waiting::write(&sealed, path)?),
            None => None,
        };
        Ok((Some(change), Ok((id, sealed, waiting))))
    };
    let (_, issued) = operator
        .change(Action::KeyIssued, &args.edit, decide)
        .await?;
    let client_id = to.client.clone();
    let (key_id, sealed, waiting) = match issued {
        Ok(issued) => issued,
        Err(key_id) => return Ok(Delivered::HadKey(HadKey { client_id, key_id })),
    };
    let file = match waiting {
        Some(waiting) => Some(waiting.publish()?),
        None => path,
    };
    Ok(Delivered::Sealed(Sealed {
        client_id,
        key_id,
        expires_at: wish.expires_at,
        certificate: to.recipient.fingerprint,
        certificate_not_after: Some(to.recipient.facts.not_after),
        message: Some(sealed).filter(|_| file.is_none() && !args.edit.dry_run),
        file,
    }))
}

fn show(report: &Report, whom: Whom<'_>, now: Timestamp, out: &mut Out) -> Result<(), Failure> {
    if out.is_json() {
        let text = serde_json::to_string_pretty(report).map_err(anyhow::Error::from)?;
        return print(text, &report.sealed, out);
    }
    for one in &report.sealed {
        if one.certificate_not_after.is_some_and(|end| end <= now) {
            let id = &one.client_id;
            out.note(format!(
                "the certificate of {id} has expired; its private key opens the sealed key all the \
                 same"
            ));
        }
    }
    if let [one, ..] = report.had_keys.as_slice() {
        out.note(format!(
            "{} have a key and keep it, {} among them; for another, name the client with --client",
            report.had_keys.len(),
            one.client_id
        ));
    }
    if let Whom::Folder { .. } = whom {
        for one in &report.refused {
            let id = one.client_id.as_ref();
            let id = id.map(|id| format!("{id}: ")).unwrap_or_default();
            out.note(format!("no key for {id}{}", one.why));
        }
    }
    match report.sealed.as_slice() {
        [] => Ok(()),
        [
            Sealed {
                message: Some(pem),
                client_id,
                ..
            },
        ] => {
            out.note(format!(
                "issued a key to {client_id}, sealed to its certificate"
            ));
            print(pem.trim_end().to_owned(), &report.sealed, out)
        }
        sealed => {
            if report.dry_run {
                out.note("these keys would be issued:");
            }
            let rows = sealed.iter().map(|one| {
                let file = one.file.as_ref();
                [
                    one.client_id.to_string(),
                    one.key_id
                        .map_or_else(|| "a new id".to_owned(), |id| id.to_string()),
                    file.map_or_else(|| "-".to_owned(), |file| file.display().to_string()),
                ]
            });
            out.line(table(["client", "key", "file"], rows))
        }
    }
}

/// A sealed key that goes into no file is no secret, but like one it cannot be shown again.
fn print(text: String, sealed: &[Sealed], out: &mut Out) -> Result<(), Failure> {
    match sealed {
        [
            Sealed {
                message: Some(_),
                key_id: Some(id),
                ..
            },
        ] => {
            let lost = format!(
                "the key {id} is good, and nobody has it; to end it: keyferry key revoke {id}"
            );
            out.secret(Secret::new(text), lost)
        }
        _ => out.line(text),
    }
}
