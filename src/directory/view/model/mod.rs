//! Whatever comes in, in whichever order, over loads and snapshots: the view says the same as a plain
//! map of the records does. Its rows name each other by numbers and places, many of which are shared
//! here, and no look-up may find what is another's.

mod made;
mod readers;
mod says;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::*;
use crate::certificate::{AliasRecord, CertificateRecord, Source};
use crate::client::{ClientRecord, ClientStatus, CredentialId};
use crate::clock::Timestamp;
use crate::directory::ends::Ends;
use crate::directory::rows::UNKNOWN;
use crate::directory::snapshot;
use crate::directory::tombstones::{KeyEnd, Tombstone, is_shut};
use crate::key::{Digest, KeyRecord, KeyStatus};
use crate::phase;
use crate::store::{Record, Versioned};
use made::{EACH, Seed, alias, certificate, key};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// What happens to a view.
#[derive(Clone, Debug)]
enum Act {
    /// A record comes in, as this version.
    Put(u64, Seed),
    /// What is revoked is upheld, though the store has lost it.
    Uphold(Seed),
    /// Everything is loaded again, of a store that has some of it, some older, and some not.
    Load(Vec<u8>),
    Snapshot,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let version = prop_oneof![1..40u64, ((1 << 48) - 40)..(1u64 << 48)];
    let act = prop_oneof![
        40 => (version, made::seeds()).prop_map(|(version, seed)| Act::Put(version, seed)),
        3 => made::seeds().prop_map(Act::Uphold),
        1 => proptest::collection::vec(0..3u8, 1..20).prop_map(Act::Load),
        1 => Just(Act::Snapshot),
    ];
    proptest::collection::vec(act, 0..120)
}

/// The records that are known.
#[derive(Default)]
struct Model {
    now: BTreeMap<RecordId, (Epoch, Record)>,
    /// What each was before.
    before: BTreeMap<RecordId, (Epoch, Record)>,
    /// Whoever was ever named by a key or a certificate.
    named: BTreeSet<ClientId>,
    /// By what a certificate that may be renewed is found.
    alike: BTreeMap<RecordId, Facts>,
}

impl Model {
    fn put(&mut self, version: Epoch, record: Record) {
        let id = record.id();
        if self.now.get(&id).is_none_or(|(known, _)| *known < version) {
            if let Record::Certificate(one) = &record
                && !matches!(one.mapping, Mapping::Pending | Mapping::Twin { .. })
            {
                let facts = one.facts.clone().map(|facts| (id, facts));
                self.alike.extend(facts);
            }
            self.set(version, record);
        }
    }

    fn set(&mut self, version: Epoch, record: Record) {
        self.named.extend(owner(&record).cloned());
        let id = record.id();
        let before = self.now.insert(id.clone(), (version, record));
        self.before.extend(before.map(|before| (id, before)));
    }

    /// Takes over what is missing or older here, unless it is revoked here.
    fn stay(&mut self, known: &Self) {
        for (id, (version, record)) in &known.now {
            let is_in_force = self.now.get(id).is_some_and(|(here, record)| {
                here >= version || (!is_open(record) && !matches!(id, RecordId::Phase(_)))
            });
            if !is_in_force && *version != Epoch::NONE {
                self.set(*version, record.clone());
                let facts = known.alike.get(id);
                self.alike
                    .extend(facts.map(|facts| (id.clone(), facts.clone())));
            }
        }
    }

    fn client(&self, id: &ClientId) -> Option<&ClientRecord> {
        match &self.now.get(&RecordId::Client(id.clone()))?.1 {
            Record::Client(record) => Some(record),
            _ => None,
        }
    }

    fn certificates(&self) -> impl Iterator<Item = &CertificateRecord> {
        self.now.values().filter_map(|(_, record)| match record {
            Record::Certificate(record) => Some(record),
            _ => None,
        })
    }

    fn certificate(&self, begins_as: &Fingerprint) -> Option<&CertificateRecord> {
        let mut all = self.certificates();
        all.find(|one| Link::from(&one.fingerprint) == begins_as.into())
    }

    fn keys(&self) -> impl Iterator<Item = &KeyRecord> {
        self.now.values().filter_map(|(_, record)| match record {
            Record::Key(record) => Some(record),
            _ => None,
        })
    }

    fn usable_keys(&self) -> impl Iterator<Item = &KeyRecord> {
        let is_usable = |key: &&KeyRecord| key.status.usable(key.expires_at, NOW).is_ok();
        self.keys()
            .filter(|key| key.digest.is_some())
            .filter(is_usable)
    }

    fn is_newest(&self, id: &Fingerprint) -> bool {
        let is_mapped = |one: &CertificateRecord| matches!(one.mapping, Mapping::Mapped { .. });
        let Some(mut one) = self.certificate(id).filter(|one| is_mapped(one)) else {
            return false;
        };
        for _ in 0..=LONGEST_LINEAGE {
            let Some(next) = one.renewed_by else {
                return true;
            };
            match self.certificate(&next).filter(|next| !is_mapped(next)) {
                Some(next) => one = next,
                None => return false,
            }
        }
        false
    }

    fn ends(&self, client: &ClientId) -> (bool, Ends) {
        let last = |ends: Vec<Option<Timestamp>>| {
            let all: Option<Vec<_>> = ends.into_iter().collect();
            all?.into_iter().max()
        };
        let certificates = self.certificates().filter(
            |one| matches!(&one.mapping, Mapping::Mapped { client: owner, .. } if owner == client),
        );
        let of_facts = |one: &CertificateRecord| one.facts.as_ref().map(|facts| facts.not_after);
        let keys = self.usable_keys().filter(|key| key.client == *client);
        let keys: Vec<_> = keys.map(|key| key.expires_at).collect();
        let ends = Ends {
            certificates: last(certificates.map(of_facts).collect()),
            keys: last(keys.clone()),
        };
        (!keys.is_empty(), ends)
    }

    fn phase(&self, client: &ClientId) -> Option<(phase::Target, Epoch)> {
        let all = self
            .now
            .values()
            .filter_map(|(version, record)| match record {
                Record::Phase(record) => InForce::of(*version, record).map(Arc::new),
                _ => None,
            });
        let all: Vec<_> = all.collect();
        let own = phase::Target::Client(client.clone());
        let own = all.iter().find(|held| held.target == own);
        let tags = self.client(client).map_or(UNTAGGED, |record| &record.tags);
        let held = phase::holding(own, &all, tags)?;
        Some((held.target.clone(), held.version))
    }
}

/// Whose key or certificate it is, or was.
fn owner(record: &Record) -> Option<&ClientId> {
    match record {
        Record::Key(KeyRecord { client, .. }) => Some(client),
        Record::Certificate(record) => match &record.mapping {
            Mapping::Mapped { client, .. } | Mapping::Superseded { client, .. } => Some(client),
            Mapping::Pending | Mapping::Removed { .. } | Mapping::Twin { .. } => None,
        },
        Record::Client(_) | Record::Alias(_) | Record::Phase(_) => None,
    }
}

fn is_open(record: &Record) -> bool {
    match record {
        Record::Client(record) => record.is_active(),
        Record::Certificate(record) => !is_shut(&record.mapping),
        Record::Alias(record) => record.state == AliasState::Open,
        Record::Key(record) => record.status == KeyStatus::Active,
        Record::Phase(_) => true,
    }
}

/// What is kept of a record.
fn kept(record: &Record) -> Record {
    match record.clone() {
        Record::Client(record) => {
            let mut kept = ClientRecord::new(record.id.clone(), None, UNKNOWN);
            if !record.is_active() {
                kept.status = ClientStatus::Disabled { at: UNKNOWN };
            }
            kept.tags = record.tags;
            kept.into()
        }
        Record::Certificate(record) => {
            let mut begin = [0; 32];
            let renewed_by = record.renewed_by.map(|whole| {
                begin[..8].copy_from_slice(&whole.as_bytes()[..8]);
                Fingerprint::from_bytes(begin)
            });
            let (id, mapping) = (record.fingerprint, record.mapping);
            CertificateRecord {
                renewed_by,
                ca: record.ca,
                ..CertificateRecord::new(id, mapping, Source::FirstSight, UNKNOWN)
            }
            .into()
        }
        Record::Alias(record) => AliasRecord {
            created_at: UNKNOWN,
            ..record
        }
        .into(),
        Record::Key(record) => KeyRecord {
            created_at: UNKNOWN,
            ..record
        }
        .into(),
        phase @ Record::Phase(_) => phase,
    }
}

/// The view, and what it should say.
struct World {
    clients: Vec<ClientId>,
    view: View,
    model: Model,
}

impl World {
    fn act(&mut self, act: Act) {
        match act {
            Act::Put(version, seed) => {
                let record = made::record(&self.clients, seed);
                self.put(Epoch(version), record);
            }
            Act::Uphold(seed) => self.uphold(&made::record(&self.clients, seed)),
            Act::Load(of_store) => self.load(&of_store),
            Act::Snapshot => {
                self.view = snapshot::tests::again(&self.view);
                let before = std::mem::take(&mut self.model);
                for (version, record) in before.now.into_values() {
                    self.model.set(version, kept(&record));
                }
            }
        }
    }

    fn put(&mut self, version: Epoch, record: Record) {
        self.model.put(version, record.clone());
        self.view.apply(Versioned { version, record });
    }

    fn uphold(&mut self, record: &Record) {
        let known = self.model.now.get(&record.id()).cloned();
        let (tombstone, upheld) = match (record, known.clone().map(|(_, known)| known)) {
            (Record::Client(one), Some(Record::Client(known))) => {
                let status = ClientStatus::Disabled { at: NOW };
                let upheld = ClientRecord { status, ..known };
                (Tombstone::Client(one.id.clone()), upheld.into())
            }
            (Record::Certificate(one), known) if is_shut(&one.mapping) => {
                let (id, mapping) = (one.fingerprint, one.mapping.clone());
                let upheld = match known {
                    Some(Record::Certificate(known)) => CertificateRecord { mapping, ..known },
                    _ => CertificateRecord::new(id, mapping, Source::Operator, NOW),
                };
                (
                    Tombstone::Certificate(id, one.mapping.clone()),
                    upheld.into(),
                )
            }
            (Record::Key(one), Some(Record::Key(known))) => {
                let end = |key: &KeyRecord| KeyEnd {
                    status: key.status,
                    at: key.expires_at,
                };
                let KeyEnd { status, at } = end(&known).or(end(one));
                let upheld = KeyRecord {
                    status,
                    expires_at: at,
                    ..known
                };
                (Tombstone::Key(one.id, end(one)), upheld.into())
            }
            _ => return,
        };
        self.view.uphold(&tombstone);
        let version = known.map_or(Epoch::NONE, |(version, _)| version);
        self.model.set(version, upheld);
    }

    fn load(&mut self, of_store: &[u8]) {
        let known = std::mem::take(&mut self.model);
        let next = View::like(&self.view);
        let known_view = std::mem::replace(&mut self.view, next);
        let all = known.now.iter().zip(of_store.iter().cycle());
        for ((id, now), of_store) in all {
            let of_store = match of_store {
                0 => Some(now),
                1 => known.before.get(id),
                _ => None,
            };
            if let Some((version, record)) = of_store.filter(|(version, _)| *version != Epoch::NONE)
            {
                self.put(*version, record.clone());
            }
        }
        self.view.stay(&known_view, |_, _| ());
        self.view.share();
        self.model.stay(&known);
    }
}

#[test]
fn a_view_says_what_the_records_say_whatever_comes_in() {
    // Of one view, so that the names meet in all that are like it.
    let first = View::default();
    let clients = made::clients(&first);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(96)
    };
    let tried = TestRunner::new(config).run(&acts(), |acts| {
        let (clients, view) = (clients.clone(), View::like(&first));
        let model = Model::default();
        let mut world = World {
            clients,
            view,
            model,
        };
        for act in acts {
            let is_whole = matches!(act, Act::Load(_) | Act::Snapshot);
            world.act(act);
            if is_whole {
                world.says_the_same()?;
            }
        }
        world.says_the_same()
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
}
