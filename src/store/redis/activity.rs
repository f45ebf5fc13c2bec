//! What was seen, in Redis.
//!
//! | Key | Type | Holds |
//! |---|---|---|
//! | `kf:{kf}:seen` | hash | `<client id>:` and `certificate`, `key`, `conflict` or `refused` to seconds, the last with the code after them |
//! | `kf:{kf}:used` | hash | `certificate:<fingerprint>` and `key:<key id>` to seconds and an address |
//! | `kf:{kf}:counts:<n>` | hash | for 32 days: client id, and `*` for all together, to the counts |
//! | `kf:{kf}:spent` | hash | the version of a phase to the refusals of its brownout |
//! | `kf:{kf}:batch:<writer>` | string | the number of the writer's last batch |

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::link::Link;
use super::read;
use crate::client::{ClientId, CredentialId, History, LastRefusal, LastUse, Sighting, Use};
use crate::clock::{Day, Timestamp};
use crate::store::batch::{Batch, REMEMBERED_DAYS};
use crate::store::days::{self, TOTAL};
use crate::store::{Epoch, Legible, Spent, StoreError, Unreadable};

const SEEN: &str = "kf:{kf}:seen";
const USED: &str = "kf:{kf}:used";
const SPENT: &str = "kf:{kf}:spent";

const DAY_SECONDS: u64 = 86_400;

fn counts_of(piece: u32) -> String {
    format!("kf:{{kf}}:counts:{piece}")
}

/// The keys and the arguments for `saw.lua`.
pub(super) fn steps(batch: &Batch) -> (Vec<String>, Vec<String>) {
    let remember = u64::from(REMEMBERED_DAYS).saturating_mul(DAY_SECONDS);
    let mut steps = Steps {
        keys: vec![format!("kf:{{kf}}:batch:{}", batch.id.writer)],
        arguments: vec![batch.id.number.to_string(), remember.to_string()],
    };
    for sighting in &batch.sightings {
        let refused = sighting.refused.as_ref();
        let times = [
            ("certificate", sighting.seen.by_certificate.map(seconds)),
            ("key", sighting.seen.by_key.map(seconds)),
            ("conflict", sighting.conflict.map(seconds)),
            (
                "refused",
                refused.map(|refused| format!("{} {}", seconds(refused.at), refused.code.as_str())),
            ),
        ];
        for (what, time) in times {
            if let Some(time) = time {
                steps.step(
                    "latest",
                    SEEN,
                    &[format!("{}:{what}", sighting.client), time],
                );
            }
        }
    }
    for Use { credential, last } in &batch.uses {
        let value = format!("{} {}", seconds(last.at), last.from);
        steps.step("latest", USED, &[credential.to_string(), value]);
    }
    for Spent { phase, refusals } in &batch.spent {
        steps.step("add", SPENT, &[phase.to_string(), refusals.to_string()]);
    }
    for (name, day, counts) in days::additions(&batch.counts, batch.today) {
        let numbers = [counts.by_certificate, counts.by_key, counts.refused];
        let mut rest = vec![name.to_owned(), days::place_of(day).to_string()];
        rest.extend(numbers.map(|number| number.to_string()));
        let piece = days::piece_of(day);
        steps.step("count", &counts_of(piece), &rest);
        if name == TOTAL {
            let left = days::days_left(piece, batch.today).unwrap_or_default();
            let left = u64::from(left).saturating_mul(DAY_SECONDS);
            steps.step("keep", &counts_of(piece), &[left.to_string()]);
        }
    }
    (steps.keys, steps.arguments)
}

struct Steps {
    keys: Vec<String>,
    arguments: Vec<String>,
}

impl Steps {
    fn step(&mut self, what: &str, key: &str, rest: &[String]) {
        let known = self.keys.iter().position(|known| known == key);
        let at = known.unwrap_or_else(|| {
            self.keys.push(key.to_owned());
            self.keys.len().saturating_sub(1)
        });
        // Lua counts from one.
        let number = at.saturating_add(1).to_string();
        self.arguments.extend([what.to_owned(), number]);
        self.arguments.extend_from_slice(rest);
    }
}

fn seconds(at: Timestamp) -> String {
    at.as_unix().to_string()
}

/// What was seen of every client.
pub(super) async fn sightings(link: &Link) -> Result<Legible<Sighting, ClientId>, StoreError> {
    let mut sightings = BTreeMap::<ClientId, Sighting>::new();
    // By field, since one may be given twice.
    let mut damaged = BTreeMap::new();
    read::all(&mut link.session().await?, SEEN, &mut |field, value| {
        let (client, what) = field.rsplit_once(':').unwrap_or_default();
        let client: Option<ClientId> = client.parse().ok();
        match client.clone().and_then(|client| seen(client, what, value)) {
            Some(seen) => {
                let merged = match sightings.remove(&seen.client) {
                    Some(known) => known.merge(seen),
                    None => seen,
                };
                sightings.insert(merged.client.clone(), merged);
            }
            None => {
                damaged.insert(field.to_owned(), client);
            }
        }
        Ok(())
    })
    .await?;
    Ok(Legible {
        entries: sightings.into_values().collect(),
        damaged: damaged.into_values().collect(),
    })
}

/// What one field tells of its client; nothing when it is damaged.
fn seen(client: ClientId, what: &str, value: &[u8]) -> Option<Sighting> {
    let (at, word) = time(value)?;
    let mut sighting = Sighting::nothing_of(client);
    match (what, word.map(str::parse)) {
        ("certificate", None) => sighting.seen.by_certificate = Some(at),
        ("key", None) => sighting.seen.by_key = Some(at),
        ("conflict", None) => sighting.conflict = Some(at),
        ("refused", Some(Ok(code))) => sighting.refused = Some(LastRefusal { at, code }),
        _ => return None,
    }
    Some(sighting)
}

/// What was seen of one client.
pub(super) async fn sighting(
    link: &Link,
    client: &ClientId,
) -> Result<Legible<Sighting, ClientId>, StoreError> {
    let (mut sighting, mut read) = (None::<Sighting>, Legible::default());
    for what in ["certificate", "key", "conflict", "refused"] {
        let Some(stored) = value(link, SEEN, &format!("{client}:{what}")).await? else {
            continue;
        };
        match seen(client.clone(), what, &stored) {
            Some(seen) => {
                sighting = Some(match sighting {
                    Some(known) => known.merge(seen),
                    None => seen,
                });
            }
            None => read.damaged.push(Some(client.clone())),
        }
    }
    read.entries.extend(sighting);
    Ok(read)
}

/// The last use of every credential.
pub(super) async fn uses(link: &Link) -> Result<Legible<Use, CredentialId>, StoreError> {
    let (mut uses, mut damaged) = (BTreeMap::new(), BTreeMap::new());
    read::all(&mut link.session().await?, USED, &mut |field, value| {
        let credential: Option<CredentialId> = field.parse().ok();
        match credential.zip(used(value)) {
            Some((credential, last)) => {
                uses.insert(credential, last);
            }
            None => {
                damaged.insert(field.to_owned(), credential);
            }
        }
        Ok(())
    })
    .await?;
    let uses = uses.into_iter();
    Ok(Legible {
        entries: uses
            .map(|(credential, last)| Use { credential, last })
            .collect(),
        damaged: damaged.into_values().collect(),
    })
}

/// The last use of one credential.
pub(super) async fn last_use(
    link: &Link,
    credential: &CredentialId,
) -> Result<Option<LastUse>, StoreError> {
    let field = credential.to_string();
    let stored = value(link, USED, &field).await?;
    let read = stored.map(|stored| used(&stored).ok_or_else(|| unreadable(USED, &field)));
    read.transpose()
}

/// When and from where; nothing when it is damaged.
fn used(value: &[u8]) -> Option<LastUse> {
    let (at, word) = time(value)?;
    let from = word?.parse().ok()?;
    Some(LastUse { at, from })
}

async fn value(link: &Link, key: &str, field: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut question = redis::cmd("HGET");
    question.arg(key).arg(field);
    link.ask(&question).await
}

/// Seconds, and a word after them.
fn time(value: &[u8]) -> Option<(Timestamp, Option<&str>)> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, word) = match text.split_once(' ') {
        Some((seconds, word)) => (seconds, Some(word)),
        None => (text, None),
    };
    Some((Timestamp::from_unix(seconds.parse().ok()?), word))
}

/// The requests of one client, or of all together.
pub(super) async fn counts(
    link: &Link,
    name: &str,
    days: &RangeInclusive<Day>,
) -> Result<History, StoreError> {
    let mut history = History::new();
    for piece in days::pieces(days) {
        let stored = value(link, &counts_of(piece), name).await?;
        history.extend(days::decode(piece, &stored.unwrap_or_default())?);
    }
    history.retain(|day, _| days.contains(day));
    Ok(history)
}

/// The requests of every client.
pub(super) async fn all_counts(
    link: &Link,
    days: &RangeInclusive<Day>,
    each: &mut (dyn FnMut(ClientId, History) + Send),
) -> Result<(), StoreError> {
    let mut session = link.session().await?;
    for piece in days::pieces(days) {
        let key = counts_of(piece);
        let mut of_piece = BTreeMap::new();
        read::all(&mut session, &key, &mut |field, stored| {
            if field != TOTAL {
                let client = field.parse().map_err(|_| unreadable(&key, field))?;
                let mut history = days::decode(piece, stored)?;
                history.retain(|day, _| days.contains(day));
                of_piece.insert(client, history);
            }
            Ok(())
        })
        .await?;
        for (client, history) in of_piece.into_iter().filter(|(_, days)| !days.is_empty()) {
            each(client, history);
        }
    }
    Ok(())
}

/// The refusals of a brownout.
pub(super) async fn spent(link: &Link, phase: Epoch) -> Result<u64, StoreError> {
    let mut question = redis::cmd("HGET");
    question.arg(SPENT).arg(phase.0);
    let stored: Option<String> = link.ask(&question).await?;
    let number = stored.map_or(Ok(0), |stored| stored.parse());
    number.map_err(|_| unreadable(SPENT, &phase.to_string()))
}

fn unreadable(key: &str, field: &str) -> StoreError {
    Unreadable {
        what: format!("the field {field:?} of {key}"),
        why: "it is not of the form that this program writes".to_owned(),
    }
    .into()
}
