//! Backups: what is written reads back in any store, and never what was revoked.

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyferry::certificate::{self, Alias, AliasRecord, CertificateRecord, Fingerprint, Mapping};
use keyferry::client::{Counts, CredentialId, LastUse, Sighting, Use};
use keyferry::clock::Day;
use keyferry::directory::Directory;
use keyferry::key::{self, KeyId, Pepper, Peppers};
use keyferry::phase::{self, Brownout, Plan, Schedule, Setting, Step, Target};
use keyferry::secret::Secret;
use keyferry::store::backup::{
    Backup, Line, Made, Order, Restored, Revocations, Secrets, Writer, is_being_restored, make,
    restore,
};
use keyferry::store::{
    Action, Actor, Batch, BatchId, Change, DayCounts, Epoch, Event, Loaded, Record, RecordId,
    RecordKeys, Store, Versioned, Write,
};
use uuid::Uuid;

use super::adapter::{Kind, Rig};
use super::directory::Replica;
use super::records::{NOW, change, client, client_id, create, disabled, enrolment, id, replace};
use super::redis_server::record_keys;

fn peppers() -> Peppers {
    Peppers::new(Pepper::new(1, &Secret::new(vec![7; 32])), [])
}

async fn backed_up(store: &dyn Store) -> (Backup, Made) {
    let (record_keys, peppers) = (record_keys(), peppers());
    let secrets = Secrets {
        record_keys: &record_keys,
        peppers: &peppers,
    };
    let (bytes, made) = make(store, "here", &secrets, NOW, Vec::new())
        .await
        .unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.rewind().unwrap();
    let backup = Backup::of(file, Path::new("the backup"), &secrets).unwrap();
    (backup, made)
}

async fn restored_with(
    backup: &Backup,
    store: &dyn Store,
    is_dry: bool,
    revocations: Revocations,
) -> Restored {
    let record_keys = record_keys();
    let order = Order {
        is_dry,
        revocations,
        ..order(&record_keys)
    };
    let lines = std::cell::Cell::new(0);
    let done = |more| lines.set(lines.get() + more);
    let restored = restore(backup, store, order, done).await.unwrap();
    assert!(is_dry || lines.get() == backup.number_of_lines());
    restored
}

fn order(record_keys: &RecordKeys) -> Order<'_> {
    let actor = Actor::Operator {
        name: "root".to_owned(),
    };
    Order {
        like: Change::new(Action::StoreRestoring, actor, NOW, Vec::new()),
        today: NOW.day(),
        is_dry: false,
        record_keys,
        revocations: Revocations::default(),
    }
}

async fn restored(backup: &Backup, store: &dyn Store) -> Restored {
    restored_with(backup, store, false, Revocations::default()).await
}

async fn records(store: &dyn Store) -> Vec<(RecordId, String)> {
    let mut records = std::collections::BTreeMap::new();
    let mut each = |loaded: Loaded| {
        let Versioned { record, .. } = loaded.unwrap();
        records.insert(record.id(), serde_json::to_string(&record).unwrap());
    };
    store.load(&mut each).await.unwrap();
    records.into_iter().collect()
}

/// A client of each kind of credential, a phase, and what was seen.
async fn fill(store: &dyn Store) -> Scene {
    let scene = Scene::begin(store).await;
    let mut setting = Setting::new(Step::Retired, Actor::Gateway, NOW);
    setting.reason = "why \"not\"".parse().ok();
    let target: Target = "client:b".parse().unwrap();
    scene.commit(store, phase::set(None, target, setting)).await;
    let batch = batch(&[("b", 0, 5), ("b", 1, 6), ("b", 40, 7)]);
    store.saw(&batch).await.unwrap();
    scene
}

fn batch(days: &[(&str, u32, u64)]) -> Batch {
    let id = BatchId {
        writer: Uuid::now_v7(),
        number: 1,
    };
    let counts = days.iter().map(|(client, ago, by_key)| DayCounts {
        client: client_id(client),
        day: NOW.day().minus(*ago),
        counts: Counts {
            by_key: *by_key,
            ..Counts::default()
        },
    });
    let mut sighting = Sighting::nothing_of(client_id("b"));
    sighting.conflict = Some(NOW);
    Batch {
        sightings: vec![sighting],
        uses: vec![Use {
            credential: CredentialId::Certificate(Fingerprint::of(b"a")),
            last: LastUse {
                at: NOW,
                from: "192.0.2.1".parse().unwrap(),
            },
        }],
        counts: counts.collect(),
        ..Batch::empty(id, NOW.day())
    }
}

/// What there is to revoke.
struct Scene {
    key: KeyId,
    removed: Fingerprint,
    superseded: Fingerprint,
    alias: Alias,
}

impl Scene {
    async fn begin(store: &dyn Store) -> Self {
        let scene = Self {
            key: KeyId::generate(),
            removed: Fingerprint::of(b"removed"),
            superseded: Fingerprint::of(b"superseded"),
            alias: Alias::Spki([7; 32]),
        };
        scene.commit(store, create(client("b"))).await;
        let reserved = key::KeyRecord::reserved(scene.key, client_id("b"), NOW);
        scene.commit(store, create(reserved)).await;
        for certificate in [scene.removed, scene.superseded, Fingerprint::of(b"a")] {
            scene.commit(store, enrolment(certificate)).await;
        }
        let alias = AliasRecord::new(scene.alias, client_id("b"), NOW);
        scene.commit(store, create(alias)).await;
        scene
    }

    async fn commit(&self, store: &dyn Store, change: Change) -> Epoch {
        store.commit(&change).await.unwrap().epoch
    }

    fn ids(&self) -> [RecordId; 5] {
        [
            id("b"),
            RecordId::Key(self.key),
            RecordId::Certificate(self.removed),
            RecordId::Certificate(self.superseded),
            RecordId::Alias(self.alias),
        ]
    }

    /// Revokes one of each kind.
    async fn revoke(&self, store: &dyn Store) {
        for id in self.ids() {
            let Versioned { version, record } = store.get(&id).await.unwrap().unwrap();
            let change = match record {
                Record::Client(_) => replace(version, disabled("b")),
                Record::Key(key) => key::revoke((version, key), Actor::Gateway, NOW),
                Record::Certificate(found) if found.fingerprint == self.removed => {
                    certificate::remove((version, found), Actor::Gateway, NOW).unwrap()
                }
                Record::Certificate(found) => {
                    let change = certificate::supersede((version, found), Actor::Gateway, NOW);
                    change.unwrap().unwrap()
                }
                Record::Alias(alias) => {
                    let change = certificate::withdraw((version, alias), Actor::Gateway, NOW);
                    change.unwrap().unwrap()
                }
                Record::Phase(_) => unreachable!("none of them is"),
            };
            self.commit(store, change).await;
        }
    }

    /// Which of them are good.
    async fn good(&self, store: &dyn Store) -> [bool; 5] {
        let mut good = [false; 5];
        for (at, id) in self.ids().iter().enumerate() {
            let found = store.get(id).await.unwrap().unwrap();
            good[at] = !keyferry::store::backup::is_revoked(&found.record);
        }
        good
    }
}

pub(crate) async fn a_backup_brings_everything_back_to_the_letter(kind: Kind) {
    let source = Rig::start(kind).await;
    let store = source.handle().await;
    let scene = fill(store.as_ref()).await;
    let (backup, made) = backed_up(store.as_ref()).await;
    assert!(made.left_out.is_empty(), "{made:?}");
    // Into the same kind, and across.
    for kind in [kind, Kind::Embedded] {
        let target = Rig::start(kind).await;
        let other = target.handle().await;
        let dry = restored_with(&backup, other.as_ref(), true, Revocations::default()).await;
        assert_eq!(other.head().await.unwrap().epoch, Epoch::NONE);
        let done = restored(&backup, other.as_ref()).await;
        assert_eq!((dry.added, done.is_whole()), (done.added, true));
        let there = records(store.as_ref()).await;
        assert_eq!(records(other.as_ref()).await, there);
        assert_eq!(done.added, u64::try_from(there.len()).unwrap());
        assert_eq!(
            other.sightings().await.unwrap(),
            store.sightings().await.unwrap()
        );
        assert_eq!(other.uses().await.unwrap(), store.uses().await.unwrap());
        let days = NOW.day().minus(100)..=NOW.day();
        let totals = store.totals(days.clone()).await.unwrap();
        assert_eq!(
            (totals.len(), other.totals(days.clone()).await.unwrap()),
            (3, totals)
        );
        comes_in_an_order_that_lets_nobody_in_early(other.as_ref()).await;
        // What is a client's is found again.
        let own = keyferry::store::Selection::OwnedBy(client_id("b"));
        assert_eq!(other.select(&own).await.unwrap().len(), 2);

        // Once more changes nothing, and counts nothing twice.
        let at = other.head().await.unwrap();
        let again = restored(&backup, other.as_ref()).await;
        assert_eq!((again.same, again.epoch), (done.added, None), "{again:?}");
        assert_eq!(other.head().await.unwrap(), at);
        let totals = store.totals(days.clone()).await.unwrap();
        assert_eq!(other.totals(days).await.unwrap(), totals);
        assert_eq!(scene.good(other.as_ref()).await, [true; 5]);
    }
}

/// Phases come first, and whoever has a client has all that it was given until then.
async fn comes_in_an_order_that_lets_nobody_in_early(store: &dyn Store) {
    let (mut clients, mut is_first) = (Vec::new(), true);
    for event in store.trail(Epoch::NONE).await.unwrap() {
        let event = Event::decode(event.epoch, event.stored.as_bytes(), &record_keys()).unwrap();
        for record in event.records {
            assert_eq!(matches!(record, Record::Phase(_)), is_first, "{record:?}");
            assert!(!record.owner().is_some_and(|owner| clients.contains(owner)));
            if let Record::Client(client) = record {
                clients.push(client.id);
            }
        }
        is_first = false;
    }
    assert_eq!(clients.len(), 4);
}

pub(crate) async fn an_older_backup_revives_nothing(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let scene = fill(store.as_ref()).await;
    let (older, _) = backed_up(store.as_ref()).await;
    scene.revoke(store.as_ref()).await;
    let (newer, _) = backed_up(store.as_ref()).await;

    let at = store.head().await.unwrap();
    let done = restored(&older, store.as_ref()).await;
    assert_eq!(
        (done.stay, done.added, done.epoch),
        (5, 0, None),
        "{done:?}"
    );
    assert_eq!(store.head().await.unwrap(), at);
    assert_eq!(scene.good(store.as_ref()).await, [false; 5]);

    // A store that is as the older backup, and knows nothing of the revocations: the control.
    let lost = Rig::start(kind).await;
    let other = lost.handle().await;
    restored(&older, other.as_ref()).await;
    assert_eq!(scene.good(other.as_ref()).await, [true; 5]);
    // What the newer one has revoked is revoked, and stays so when the older one comes again.
    let done = restored(&newer, other.as_ref()).await;
    assert_eq!(done.revoked, 5, "{done:?}");
    assert_eq!(scene.good(other.as_ref()).await, [false; 5]);
    restored(&older, other.as_ref()).await;
    assert_eq!(scene.good(other.as_ref()).await, [false; 5]);
}

pub(crate) async fn what_an_export_of_changes_revokes_is_never_alive(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let scene = fill(store.as_ref()).await;
    let (older, _) = backed_up(store.as_ref()).await;
    scene.revoke(store.as_ref()).await;
    // The client is given back later, and that holds.
    let known = store.get(&id("b")).await.unwrap().unwrap();
    scene
        .commit(store.as_ref(), replace(known.version, client("b")))
        .await;
    let mut revocations = Revocations::default();
    for event in store.trail(Epoch::NONE).await.unwrap() {
        let event = Event::decode(event.epoch, event.stored.as_bytes(), &record_keys());
        revocations.take(event.unwrap());
    }

    let lost = Rig::start(kind).await;
    let other = lost.handle().await;
    restored_with(&older, other.as_ref(), false, revocations).await;
    assert_eq!(
        scene.good(other.as_ref()).await,
        [true, false, false, false, false]
    );
    // At no moment was one of them alive.
    let events = other.trail(Epoch::NONE).await.unwrap();
    for event in &events {
        let event = Event::decode(event.epoch, event.stored.as_bytes(), &record_keys()).unwrap();
        let alive = |record: &&Record| {
            let id = record.id();
            scene.ids()[1..].contains(&id) && !keyferry::store::backup::is_revoked(record)
        };
        assert!(
            !event.records.iter().any(|record| alive(&record)),
            "{event:?}"
        );
    }
    let end = events.last().unwrap();
    let end = Event::decode(end.epoch, end.stored.as_bytes(), &record_keys()).unwrap();
    assert_eq!(end.action, Action::StoreRestored);
}

/// The operator gave it back in the store from which the backup is, later.
pub(crate) async fn what_was_given_back_since_stays_given_back(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let scene = fill(store.as_ref()).await;
    scene.revoke(store.as_ref()).await;
    let (backup, _) = backed_up(store.as_ref()).await;
    let known = store.get(&id("b")).await.unwrap().unwrap();
    scene
        .commit(store.as_ref(), replace(known.version, client("b")))
        .await;
    let done = restored(&backup, store.as_ref()).await;
    assert_eq!((done.revoked, done.stay), (0, 1), "{done:?}");
    assert_eq!(
        scene.good(store.as_ref()).await,
        [true, false, false, false, false]
    );
}

pub(crate) async fn a_restore_loosens_no_phase_silently(kind: Kind) {
    let setting = |step, client: &str| {
        let setting = Setting::new(step, Actor::Gateway, NOW);
        phase::set(None, format!("client:{client}").parse().unwrap(), setting)
    };
    let phases = async |list: Vec<(Step, &str)>| {
        let rig = Rig::start(kind).await;
        let store = rig.handle().await;
        for (step, client) in list {
            store.commit(&setting(step, client)).await.unwrap();
        }
        (rig, store)
    };
    let present = async |store: &Arc<dyn Store>, client: &str| {
        let id = RecordId::Phase(format!("client:{client}").parse().unwrap());
        let found = store.get(&id).await.unwrap()?;
        match found.record {
            Record::Phase(record) => record.present().map(Setting::phase),
            _ => None,
        }
    };
    let (_source, store) = phases(vec![(Step::Retired, "a"), (Step::Announce, "b")]).await;
    let (backup, _) = backed_up(store.as_ref()).await;

    // Both come back where there is none.
    let (_empty, other) = phases(vec![]).await;
    assert!(restored(&backup, other.as_ref()).await.is_whole());
    assert_eq!(present(&other, "a").await, Some(phase::Phase::Retired));
    assert_eq!(present(&other, "b").await, Some(phase::Phase::Announce));
    assert!(restored(&backup, other.as_ref()).await.is_whole());

    // What the store has stays; where the backup refuses more, that is told.
    let (_looser, other) = phases(vec![(Step::Accept, "a"), (Step::Retired, "b")]).await;
    let done = restored(&backup, other.as_ref()).await;
    assert_eq!(done.phases_left, ["client:a".parse().unwrap()]);
    assert_eq!(present(&other, "a").await, Some(phase::Phase::Accept));
    assert_eq!(present(&other, "b").await, Some(phase::Phase::Retired));

    // One that is not there is no way around one that is.
    let (_other, other) = phases(vec![(Step::Retired, "a")]).await;
    let done = restored(&backup, other.as_ref()).await;
    assert_eq!(done.phases_left, ["client:b".parse().unwrap()]);
    assert_eq!(present(&other, "b").await, None);

    // Nobody can say which of two brownouts refuses more.
    let brownout = |share: u8| {
        let plan = Plan {
            begins: NOW,
            ends: None,
            schedule: Schedule::Share(share.try_into().unwrap()),
        };
        let budget = None;
        Step::Brownout(Brownout { plan, budget })
    };
    let (_source, store) = phases(vec![(brownout(1), "b")]).await;
    let (backup, _) = backed_up(store.as_ref()).await;
    let (_other, other) = phases(vec![(brownout(99), "a")]).await;
    let done = restored(&backup, other.as_ref()).await;
    assert_eq!(done.phases_left, ["client:b".parse().unwrap()]);
    assert_eq!(present(&other, "b").await, None);
}

/// Also when it begins anew with other counts, and when the restore broke off after some.
pub(crate) async fn a_day_counts_once(kind: Kind) {
    let source = Rig::start(kind).await;
    let store = source.handle().await;
    store.commit(&create(client("b"))).await.unwrap();
    store
        .saw(&batch(&[("b", 0, 5), ("b", 1, 6)]))
        .await
        .unwrap();
    let (backup, _) = backed_up(store.as_ref()).await;
    let target = Rig::start(kind).await;
    let other = target.handle().await;
    other.saw(&batch(&[("b", 0, 2)])).await.unwrap();
    for _ in 0..2 {
        restored(&backup, other.as_ref()).await;
        let today: Day = NOW.day();
        let counts = other
            .counts(&client_id("b"), today.minus(5)..=today)
            .await
            .unwrap();
        let counts: Vec<_> = counts.values().map(|counts| counts.by_key).collect();
        assert_eq!(counts, [6, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_after_it_was_revoked_comes_back_revoked() {
    let rig = Rig::start(Kind::Redis).await;
    let store = rig.handle().await;
    let scene = fill(store.as_ref()).await;
    let (older, _) = backed_up(store.as_ref()).await;
    scene.revoke(store.as_ref()).await;
    let server = redis::Client::open(rig.address()).unwrap();
    for id in scene.ids() {
        let mut delete = redis::cmd("HDEL");
        delete
            .arg(format!("kf:{{kf}}:{}", id.kind()))
            .arg(id.name());
        let () = delete.query(&mut server.get_connection().unwrap()).unwrap();
    }
    let done = restored(&older, store.as_ref()).await;
    assert_eq!(done.added, 5, "{done:?}");
    assert_eq!(scene.good(store.as_ref()).await, [false; 5]);
    // Certificates keep what they said, which a tombstone would not know.
    let removed = store
        .get(&RecordId::Certificate(scene.removed))
        .await
        .unwrap();
    let Some(Record::Certificate(CertificateRecord { mapping, .. })) =
        removed.map(|found| found.record)
    else {
        panic!("no certificate");
    };
    assert!(matches!(mapping, Mapping::Removed { .. }));
}

/// Whoever knows more goes on with that until the restore is through: half of it would be half of the
/// clients.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_restored_is_not_believed() {
    for (action, is_believed) in [(Action::ClientAdded, true), (Action::StoreRestoring, false)] {
        let rig = Rig::start(Kind::Redis).await;
        let store = rig.handle().await;
        for name in ["a", "b", "c"] {
            store.commit(&create(client(name))).await.unwrap();
        }
        let replica = Replica::start(&rig).await;
        let server = redis::Client::open(rig.address()).unwrap();
        let () = redis::cmd("FLUSHALL")
            .query(&mut server.get_connection().unwrap())
            .unwrap();
        replica.until(Directory::is_store_lost).await;
        let half = Change {
            action,
            ..change(["a", "b"].map(|name| Write::create(client(name))).into())
        };
        store.commit(&half).await.unwrap();
        let believed = replica.until(|directory| !directory.is_store_lost());
        let believed = tokio::time::timeout(Duration::from_secs(3), believed).await;
        assert_eq!(believed.is_ok(), is_believed, "{action}");
        assert_eq!(replica.active("c").is_none(), is_believed);
        if !is_believed {
            for (action, writes) in [
                (Action::StoreRestoring, vec![Write::create(client("c"))]),
                (Action::StoreRestored, vec![]),
            ] {
                let change = Change {
                    action,
                    ..change(writes)
                };
                store.commit(&change).await.unwrap();
            }
            replica.until(|directory| !directory.is_store_lost()).await;
            assert_eq!(replica.active("c"), Some(true));
        }
    }
}

/// A restore that broke off is finished by doing it again, also when only its end was missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_broke_off_is_brought_to_its_end() {
    let source = Rig::start(Kind::Embedded).await;
    let store = source.handle().await;
    fill(store.as_ref()).await;
    let (backup, _) = backed_up(store.as_ref()).await;
    let target = Rig::start(Kind::Redis).await;
    let other = target.handle().await;
    for taken in [1, 100] {
        let known = records(other.as_ref()).await.len();
        let mut all = Vec::new();
        let mut each = |loaded: Loaded| all.push(loaded.unwrap().record);
        store.load(&mut each).await.unwrap();
        let missing = all.into_iter().skip(known).take(taken).map(Write::create);
        let broken_off = Change {
            action: Action::StoreRestoring,
            ..change(missing.collect())
        };
        other.commit(&broken_off).await.unwrap();
        // However much is changed meanwhile.
        for _ in 0..300 {
            other.commit(&change(Vec::new())).await.unwrap();
        }
        let now = other.head().await.unwrap().epoch;
        assert!(is_being_restored(other.as_ref(), now).await.unwrap());
        restored(&backup, other.as_ref()).await;
        assert_eq!(records(other.as_ref()).await, records(store.as_ref()).await);
        let now = other.head().await.unwrap().epoch;
        assert!(!is_being_restored(other.as_ref(), now).await.unwrap());
    }
}

/// The file may be written to while it is restored, which takes minutes.
#[tokio::test]
async fn what_is_written_into_a_backup_after_it_was_checked_is_not_believed() {
    let source = Rig::start(Kind::Embedded).await;
    let store = source.handle().await;
    fill(store.as_ref()).await;
    let (record_keys, peppers) = (record_keys(), peppers());
    let secrets = Secrets {
        record_keys: &record_keys,
        peppers: &peppers,
    };
    let made = make(store.as_ref(), "here", &secrets, NOW, Vec::new());
    let (bytes, _) = made.await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let backup = Backup::open(file.path(), &secrets).unwrap();
    let forged = String::from_utf8(bytes).unwrap();
    let forged = forged.replace("\"id\":\"b\"", "\"id\":\"c\"");
    std::fs::write(&file, forged).unwrap();

    let target = Rig::start(Kind::Embedded).await;
    let other = target.handle().await;
    let done = restore(&backup, other.as_ref(), order(&record_keys), |_| {}).await;
    assert!(other.get(&id("c")).await.unwrap().is_none());
    assert!(done.unwrap_err().to_string().contains("not authentic"));
}

async fn said_last(store: &dyn Store) -> Revocations {
    let mut revocations = Revocations::default();
    for event in store.trail(Epoch::NONE).await.unwrap() {
        let event = Event::decode(event.epoch, event.stored.as_bytes(), &record_keys());
        revocations.take(event.unwrap());
    }
    revocations
}

/// A rotation gives the old key an end, and that holds also where only the changes tell of it.
#[tokio::test]
async fn a_key_that_was_rotated_after_the_backup_keeps_its_end() {
    let rig = Rig::start(Kind::Redis).await;
    let store = rig.handle().await;
    let scene = fill(store.as_ref()).await;
    let (backup, _) = backed_up(store.as_ref()).await;
    let key = RecordId::Key(scene.key);
    let Versioned { version, record } = store.get(&key).await.unwrap().unwrap();
    let Record::Key(record) = record else {
        panic!("no key");
    };
    let ending = key::KeyRecord {
        expires_at: Some(NOW),
        ..record
    };
    scene.commit(store.as_ref(), replace(version, ending)).await;
    let end = async |store: &dyn Store| match store.get(&key).await.unwrap().unwrap().record {
        Record::Key(key) => key.expires_at,
        _ => None,
    };

    let target = Rig::start(Kind::Redis).await;
    let other = target.handle().await;
    let last = said_last(store.as_ref()).await;
    restored_with(&backup, other.as_ref(), false, last).await;
    assert_eq!(end(other.as_ref()).await, Some(NOW), "by the export");

    let server = redis::Client::open(rig.address()).unwrap();
    let mut delete = redis::cmd("HDEL");
    delete.arg("kf:{kf}:key").arg(scene.key.to_string());
    let () = delete.query(&mut server.get_connection().unwrap()).unwrap();
    restored(&backup, store.as_ref()).await;
    assert_eq!(end(store.as_ref()).await, Some(NOW), "by its own changes");
}

/// A retirement after the backup refuses certificates, as a revocation does.
#[tokio::test]
async fn a_phase_that_was_set_after_the_backup_comes_with_the_export() {
    let rig = Rig::start(Kind::Embedded).await;
    let store = rig.handle().await;
    let set = |step, target: &str| {
        let setting = Setting::new(step, Actor::Gateway, NOW);
        phase::set(None, target.parse().unwrap(), setting)
    };
    store.commit(&set(Step::Announce, "all")).await.unwrap();
    let (backup, _) = backed_up(store.as_ref()).await;
    let all = RecordId::Phase("all".parse().unwrap());
    let Versioned { version, record } = store.get(&all).await.unwrap().unwrap();
    let Record::Phase(record) = record else {
        panic!("no phase");
    };
    let retired = Setting::new(Step::Retired, Actor::Gateway, NOW);
    let change = phase::set(Some((version, record)), "all".parse().unwrap(), retired);
    store.commit(&change).await.unwrap();
    let last = said_last(store.as_ref()).await;
    store.commit(&set(Step::Retired, "client:b")).await.unwrap();
    let later = said_last(store.as_ref()).await;

    let present = async |store: &dyn Store, target: &str| {
        let id = RecordId::Phase(target.parse().unwrap());
        match store.get(&id).await.unwrap()?.record {
            Record::Phase(record) => record.present().map(Setting::phase),
            _ => None,
        }
    };
    for (last, of_b) in [(last, None), (later, Some(phase::Phase::Retired))] {
        let target = Rig::start(Kind::Embedded).await;
        let other = target.handle().await;
        let done = restored_with(&backup, other.as_ref(), false, last).await;
        assert!(done.is_whole(), "{done:?}");
        let all = present(other.as_ref(), "all").await;
        assert_eq!(all, Some(phase::Phase::Retired));
        assert_eq!(present(other.as_ref(), "client:b").await, of_b);
    }
}

/// The backup was made while they were changed, and the store lost these changes since.
#[tokio::test]
async fn what_the_backup_has_from_after_its_beginning_is_not_taken_for_older() {
    let rig = Rig::start(Kind::Redis).await;
    let store = rig.handle().await;
    let scene = fill(store.as_ref()).await;
    let (_, at_first) = backed_up(store.as_ref()).await;
    let server = redis::Client::open(rig.address()).unwrap();
    let mut redis = server.get_connection().unwrap();
    let names = ["epoch", "head", "events", "client"];
    let names = names.map(|name| format!("kf:{{kf}}:{name}"));
    let mut saved: Vec<Vec<u8>> = Vec::new();
    for name in &names {
        saved.push(redis::cmd("DUMP").arg(name).query(&mut redis).unwrap());
    }
    let known = store.get(&id("b")).await.unwrap().unwrap();
    scene
        .commit(store.as_ref(), replace(known.version, disabled("b")))
        .await;
    // What it would say had it begun before.
    let (record_keys, peppers) = (record_keys(), peppers());
    let secrets = Secrets {
        record_keys: &record_keys,
        peppers: &peppers,
    };
    let to = Vec::new();
    let begun = Writer::begin(to, "here".to_owned(), at_first.head, NOW, &secrets);
    let mut writer = begun.unwrap();
    let mut each = |loaded: Loaded| {
        let Versioned { version, record } = loaded.unwrap();
        let record = Box::new(record);
        writer.line(&Line::Record { version, record }).unwrap();
    };
    store.load(&mut each).await.unwrap();
    let bytes = writer.end().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let backup = Backup::of(file, Path::new("the backup"), &secrets).unwrap();

    for (name, dump) in names.iter().zip(&saved) {
        let mut back = redis::cmd("RESTORE");
        back.arg(name).arg(0).arg(dump).arg("REPLACE");
        let () = back.query(&mut redis).unwrap();
    }
    let store = rig.handle().await;
    scene.commit(store.as_ref(), create(client("z"))).await;
    scene
        .commit(store.as_ref(), replace(known.version, client("b")))
        .await;
    let done = restored(&backup, store.as_ref()).await;
    assert!(!scene.good(store.as_ref()).await[0], "{done:?}");
}

/// A certificate that is still to come must not enrol as somebody new.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_store_is_restored_nobody_is_told_to_be_unknown() {
    let rig = Rig::start(Kind::Redis).await;
    let store = rig.handle().await;
    let step = async |action, name: &str| {
        let change = Change {
            action,
            ..change(vec![Write::create(client(name))])
        };
        store.commit(&change).await.unwrap();
    };
    step(Action::ClientAdded, "a").await;
    let unknown = RecordId::Certificate(Fingerprint::of(b"a"));
    let doubts = |replica: &Replica| replica.directory.view().is_doubted(&unknown);
    let running = Replica::start(&rig).await;
    assert!(!doubts(&running));
    step(Action::StoreRestoring, "b").await;
    running
        .until(|found| found.view().is_doubted(&unknown))
        .await;
    let starting = Replica::start(&rig).await;
    assert!(doubts(&starting));
    step(Action::StoreRestored, "c").await;
    for replica in [running, starting] {
        replica
            .until(|found| !found.view().is_doubted(&unknown))
            .await;
    }
}
