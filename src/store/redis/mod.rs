//! The store in Redis (6.2 or later) or Valkey, for any number of replicas.
//!
//! | Key | Type | Holds |
//! |---|---|---|
//! | `kf:{kf}:epoch` | string | the number of the last change |
//! | `kf:{kf}:head` | string | the hash of its event |
//! | `kf:{kf}:events` | stream | for each change an entry `<epoch>-0` with the field `event` |
//! | `kf:{kf}:client` | hash | client id to the stored form of its record |
//! | `kf:{kf}:certificate` | hash | fingerprint to the stored form of its record |
//! | `kf:{kf}:key` | hash | key id to the stored form of its record |
//! | `kf:{kf}:phase` | hash | target to the stored form of its record |
//! | `kf:{kf}:alias` | hash | alias to the stored form of its record |
//! | `kf:{kf}:owned` | sorted set | `<client id> <id>` of each record that is or was a client's own, all with score 0 |
//!
//! and what `activity` says of what was seen, `demands` of what is asked for, `mailbox` of what is to be told, and
//! `replicas` of the gateways themselves. `kf:{kf}:nobodys` is never there: what is asked of it shows
//! what a server allows.
//!
//! The part in braces is the hash tag: all keys share one slot of a cluster, so that a change,
//! which is one script, may touch all of them. No key's name holds anything of a client.

mod activity;
mod breaker;
mod commit;
mod demands;
mod dial;
mod failure;
mod inspect;
mod link;
mod mailbox;
mod primary;
mod read;
mod replicas;
mod reseal;
mod rights;
mod sentinel;
mod settings;
mod tls;
mod vote;

pub use inspect::{Inspection, Role, Server, Told, Untold, Voter, inspect};
pub use settings::{Address, Login, Sentinels, Settings, Shape};
pub use tls::Tls;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;

use super::authentic::damaged;
use super::days::TOTAL;
use super::history::follow;
use super::{
    Batch, Change, CommitError, Committed, Epoch, Follow, Head, Heard, Legible, Letter, Loaded,
    Page, Posting, RecordId, RecordKeys, Replica, Reseal, Resealed, Selection, Store, StoreError,
    StoredEvent, Unreadable, Versioned,
};
use crate::client::{ClientId, CredentialId, History, LastUse, Sighting, Use};
use crate::clock::Day;
use crate::limit::Demand;
use commit::Committer;
use link::{Care, Link, Script, Session};

const EPOCH: &str = "kf:{kf}:epoch";
const HEAD: &str = "kf:{kf}:head";
const EVENTS: &str = "kf:{kf}:events";
const OWNED: &str = "kf:{kf}:owned";
/// The hash of each kind of record, by [`RecordId::kind`], in the order in which they are loaded:
/// clients first, so that each is at most as new as what is read of its own.
const RECORDS: [(&str, &str); 5] = [
    ("client", "kf:{kf}:client"),
    ("certificate", "kf:{kf}:certificate"),
    ("key", "kf:{kf}:key"),
    ("phase", "kf:{kf}:phase"),
    ("alias", "kf:{kf}:alias"),
];

/// The store in Redis.
pub struct Redis {
    link: Link,
    committer: Committer,
    saw: Script,
    demands: Script,
    reseal: Script,
    post: Script,
    announce: Script,
    record_keys: RecordKeys,
}

impl Redis {
    /// The store at `settings`. It connects with the first question, and again whenever the
    /// connection was lost, so Redis may come and go.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            link: Link::new(settings),
            committer: Committer::new(&settings.record_keys, settings.events_kept),
            saw: Script::new(include_str!("saw.lua")),
            demands: Script::new(include_str!("demands.lua")),
            reseal: Script::new(include_str!("reseal.lua")),
            post: Script::new(include_str!("mailbox.lua")),
            announce: Script::new(include_str!("replicas.lua")),
            record_keys: settings.record_keys.clone(),
        }
    }
}

/// Calls `each` with the records of a hash of [`RECORDS`].
async fn read_all(
    session: &mut Session<'_>,
    (kind, hash): (&str, &str),
    keys: &RecordKeys,
    each: &mut (dyn FnMut(Loaded) + Send),
) -> Result<(), StoreError> {
    read::all(session, hash, &mut |name, stored| {
        let id: Result<RecordId, _> = format!("{kind}:{name}").parse();
        each(match id {
            Ok(id) => Versioned::decode(&id, stored, keys),
            Err(Unreadable { what, why }) => Err(damaged(&why).of(what)),
        });
        Ok(())
    })
    .await
}

#[async_trait]
impl Store for Redis {
    async fn commit(&self, change: &Change) -> Result<Committed, CommitError> {
        self.committer.commit(&self.link, change).await
    }

    async fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError> {
        let mut question = redis::cmd("HGET");
        question.arg(hash_of(id)).arg(id.name());
        let stored: Option<Vec<u8>> = self.link.ask(&question).await?;
        stored
            .map(|stored| Versioned::decode(id, &stored, &self.record_keys))
            .transpose()
            .map_err(StoreError::from)
    }

    async fn select(&self, which: &Selection) -> Result<Vec<Versioned>, StoreError> {
        // A hash may give a field twice.
        let mut selected = BTreeMap::new();
        let mut take = |found: Versioned| drop(selected.insert(found.record.id(), found));
        let mut refused = None;
        match which {
            Selection::OwnedBy(client) => {
                for id in read::owned(&self.link, client).await? {
                    let found = self.get(&id).await?;
                    let own = found.filter(|found| found.record.owner() == Some(client));
                    own.map(&mut take);
                }
            }
            Selection::Phases => {
                let [_, _, _, phases, _] = RECORDS;
                let mut session = self.link.session().await?;
                let mut each = |loaded: Loaded| match loaded {
                    Ok(found) => take(found),
                    Err(one) => refused = Some(one),
                };
                read_all(&mut session, phases, &self.record_keys, &mut each).await?;
            }
        }
        match refused {
            Some(one) => Err(one.into()),
            None => Ok(selected.into_values().collect()),
        }
    }

    async fn load(&self, each: &mut (dyn FnMut(Loaded) + Send)) -> Result<Head, StoreError> {
        let mut session = self.link.session().await?;
        // The head comes first: what changes while the records are read is told by later events.
        let head = read::head(session.ask(&read::head_question()).await?)?;
        for hash in RECORDS {
            read_all(&mut session, hash, &self.record_keys, each).await?;
        }
        // Whoever follows from here asks the same server: another one may have lost what was read.
        session.keep();
        Ok(head)
    }

    async fn reseal(&self, reseal: Reseal, from: Option<&str>) -> Result<Resealed, StoreError> {
        reseal::step(&self.link, &self.reseal, &self.record_keys, reseal, from).await
    }

    async fn follow(&self, after: Head, wait: Duration) -> Result<Follow, StoreError> {
        let mut session = self.link.kept_session().await?;
        let now = read::head(session.ask_current(&read::head_question()).await?)?;
        if now.is_not_after(&after) {
            session.keep();
            return Ok(Follow::Replaced { now });
        }
        let wait = if now == after { wait } else { Duration::ZERO };
        let question = read::events_question(after.epoch, wait);
        let reply = session.ask_waiting(&question, wait).await?;
        session.keep();
        follow(after, now, &self.record_keys, read::events(reply))
    }

    async fn trail(&self, after: Epoch) -> Result<Vec<StoredEvent>, StoreError> {
        let question = read::events_question(after, Duration::ZERO);
        let events = read::events(self.link.ask(&question).await?);
        events.map(|entry| entry.map(StoredEvent::new)).collect()
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let question = read::head_question();
        read::head(self.link.ask_with(&question, Care::Current).await?)
    }

    async fn saw(&self, batch: &Batch) -> Result<u64, StoreError> {
        let (keys, arguments) = activity::steps(batch);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.link.run(&self.saw, &keys, &arguments).await
    }

    async fn sightings(&self) -> Result<Legible<Sighting, ClientId>, StoreError> {
        activity::sightings(&self.link).await
    }

    async fn uses(&self) -> Result<Legible<Use, CredentialId>, StoreError> {
        activity::uses(&self.link).await
    }

    async fn sighting(&self, client: &ClientId) -> Result<Legible<Sighting, ClientId>, StoreError> {
        activity::sighting(&self.link, client).await
    }

    async fn last_use(&self, credential: &CredentialId) -> Result<Option<LastUse>, StoreError> {
        activity::last_use(&self.link, credential).await
    }

    async fn counts(
        &self,
        client: &ClientId,
        days: RangeInclusive<Day>,
    ) -> Result<History, StoreError> {
        activity::counts(&self.link, client.as_str(), &days).await
    }

    async fn all_counts(
        &self,
        days: RangeInclusive<Day>,
        each: &mut (dyn FnMut(ClientId, History) + Send),
    ) -> Result<(), StoreError> {
        activity::all_counts(&self.link, &days, each).await
    }

    async fn totals(&self, days: RangeInclusive<Day>) -> Result<History, StoreError> {
        activity::counts(&self.link, TOTAL, &days).await
    }

    async fn demands(&self, told: &[Demand]) -> Result<Option<Vec<f64>>, StoreError> {
        let totals = demands::tell(&self.link, &self.demands, told).await?;
        Ok(Some(totals))
    }

    async fn spent(&self, phase: Epoch) -> Result<u64, StoreError> {
        activity::spent(&self.link, phase).await
    }

    async fn announce(&self, replica: &Replica) -> Result<(), StoreError> {
        replicas::announce(&self.link, &self.announce, replica).await
    }

    async fn replicas(&self) -> Result<Legible<Heard, String>, StoreError> {
        replicas::all(&self.link).await
    }

    async fn mailbox(&self, name: &str) -> Result<Option<Page>, StoreError> {
        mailbox::page(&self.link, name, &self.record_keys).await
    }

    async fn letters(&self, mailbox: &str) -> Result<Legible<Letter, u16>, StoreError> {
        mailbox::letters(&self.link, mailbox, &self.record_keys).await
    }

    async fn post(&self, posting: &Posting) -> Result<bool, StoreError> {
        mailbox::post(&self.link, &self.post, posting, &self.record_keys).await
    }
}

const fn hash_of(id: &RecordId) -> &'static str {
    let [client, certificate, key, phase, alias] = RECORDS;
    match id {
        RecordId::Client(_) => client.1,
        RecordId::Certificate(_) => certificate.1,
        RecordId::Key(_) => key.1,
        RecordId::Phase(_) => phase.1,
        RecordId::Alias(_) => alias.1,
    }
}
