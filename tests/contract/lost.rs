//! A Redis that comes back without its last changes, or without any.

use std::sync::Arc;
use std::time::Duration;

use keyferry::certificate::{
    self, Alias, AliasRecord, AliasState, CertificateRecord, Fingerprint, Mapping,
};
use keyferry::clock::Timestamp;
use keyferry::directory::Directory;
use keyferry::key::{self, KeyId, KeyRecord, KeyStatus};
use keyferry::store::redis::Redis;
use keyferry::store::{
    Actor, Change, CommitError, Epoch, Follow, Record, RecordId, Store, Versioned,
};

use super::directory::{Held, Replica};
use super::records::{client, client_id, create, disabled, enrolment, id, replace};
use super::redis_server::RedisServer;

const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

/// A Redis in which the client `a` has a key and a certificate.
struct Scene {
    server: RedisServer,
    store: Arc<dyn Store>,
    client: String,
    key: KeyId,
    certificate: Fingerprint,
}

type Saved = Vec<(Vec<u8>, Vec<u8>)>;

impl Scene {
    async fn new() -> Self {
        let server = RedisServer::start(&[]).await;
        let certificate = Fingerprint::of(b"a");
        let change = enrolment(certificate);
        let key = change.writes.iter().find_map(|write| match &write.record {
            Record::Key(key) => Some((key.client.to_string(), key.id)),
            _ => None,
        });
        let (client, key) = key.unwrap();
        let scene = Self {
            store: store(&server),
            server,
            client,
            key,
            certificate,
        };
        scene.store.commit(&change).await.unwrap();
        scene
    }

    /// What Redis has on its disk, for example.
    fn save(&self) -> Saved {
        let mut redis = self.server.connection();
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
        let dump = |key: Vec<u8>| {
            let dumped = redis::cmd("DUMP").arg(&key).query(&mut redis).unwrap();
            (key, dumped)
        };
        keys.into_iter().map(dump).collect()
    }

    /// Redis dies, and what takes its place has only this. It takes no change yet.
    async fn fail_over(&mut self, saved: &Saved) {
        self.server.stop();
        assert!(self.server.start_again().await);
        self.set_writable(false);
        let mut redis = self.server.connection();
        for (key, dumped) in saved {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(0).arg(dumped);
            let () = restore.query(&mut redis).unwrap();
        }
        while self.store.head().await.is_err() {}
    }

    /// Whether changes are taken.
    fn set_writable(&self, writable: bool) {
        let mut acl = redis::cmd("ACL");
        let xadd = if writable { "+xadd" } else { "-xadd" };
        acl.arg("SETUSER").arg("default").arg(xadd);
        let () = acl.query(&mut self.server.connection()).unwrap();
    }

    async fn get(&self, id: RecordId) -> Versioned {
        self.store.get(&id).await.unwrap().unwrap()
    }

    async fn commit(&self, change: &Change) -> Epoch {
        self.store.commit(change).await.unwrap().epoch
    }

    async fn key(&self) -> (Epoch, KeyRecord) {
        match self.get(RecordId::Key(self.key)).await {
            Versioned {
                version,
                record: Record::Key(record),
            } => (version, record),
            other => panic!("{other:?}"),
        }
    }

    async fn certificate(&self) -> (Epoch, CertificateRecord) {
        match self.get(RecordId::Certificate(self.certificate)).await {
            Versioned {
                version,
                record: Record::Certificate(record),
            } => (version, record),
            other => panic!("{other:?}"),
        }
    }

    /// The operator shuts the client out in every way that there is.
    async fn shut_out(&self) -> Epoch {
        let operator = || Actor::Operator {
            name: "root".to_owned(),
        };
        self.commit(&key::revoke(self.key().await, operator(), NOW))
            .await;
        let removed = certificate::remove(self.certificate().await, operator(), NOW);
        self.commit(&removed.unwrap()).await;
        let known = self.get(id(&self.client)).await;
        self.commit(&replace(known.version, disabled(&self.client)))
            .await
    }

    /// Whether the key, the certificate and the client are good, as `directory` has it.
    fn good(&self, directory: &Directory) -> [bool; 3] {
        let view = directory.view();
        let key = view.key(&self.key).unwrap();
        let mapping = view.certificate(&self.certificate).unwrap();
        [
            key.status() == KeyStatus::Active,
            matches!(mapping, Mapping::Mapped { .. }),
            view.is_client_active(&client_id(&self.client)).unwrap(),
        ]
    }
}

fn store(server: &RedisServer) -> Arc<dyn Store> {
    Arc::new(Redis::new(&server.settings()))
}

/// One replica saw the revocations and the other did not: it stands for a gateway without tombstones.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_that_a_failover_lost_are_upheld_and_made_again() {
    let mut scene = Scene::new().await;
    let (saved, at) = (scene.save(), scene.store.head().await.unwrap());
    let replicas = [(); 2].map(|()| Replica::over(store(&scene.server)));
    let [one, two] = replicas;
    let (one, two) = (one.await, two.await);
    let revoked_at = scene.shut_out().await;
    for replica in [&one, &two] {
        replica
            .until(|directory| directory.epoch() == revoked_at)
            .await;
        assert_eq!(scene.good(&replica.directory), [false; 3]);
    }

    scene.fail_over(&saved).await;
    for replica in [&one, &two] {
        replica
            .until(|directory| {
                assert_eq!(scene.good(directory), [false; 3], "at every moment");
                directory.upheld() == 3 && directory.epoch() == Epoch(1)
            })
            .await;
        assert_eq!(replica.directory.regressions(), 1);
    }
    // The control: whoever saw no revocation takes what the store says.
    let newcomer = Replica::over(store(&scene.server)).await;
    assert_eq!(scene.good(&newcomer.directory), [true; 3]);

    scene.set_writable(true);
    for replica in [&one, &two, &newcomer] {
        replica
            .until(|directory| directory.epoch() == Epoch(4))
            .await;
        assert_eq!(scene.good(&replica.directory), [false; 3]);
        assert_eq!(replica.directory.upheld(), 0, "the store has them again");
    }
    // Each was made once, and says why.
    let told = scene.store.follow(at, Duration::ZERO).await.unwrap();
    let Follow::Events { events, .. } = told else {
        panic!("{told:?}");
    };
    assert_eq!(events.len(), 3);
    for event in events {
        assert_eq!(event.actor, Actor::Gateway);
        let reason = event.reason.unwrap().to_string();
        assert_eq!(reason, "the store had lost this revocation");
    }

    // What the operator gives back is back.
    let known = scene.get(id(&scene.client)).await;
    let given_back = scene
        .commit(&replace(known.version, client(&scene.client)))
        .await;
    for replica in [&one, &two] {
        replica
            .until(|directory| directory.epoch() == given_back)
            .await;
        assert_eq!(scene.good(&replica.directory), [false, false, true]);
    }
}

/// K15: followers would take what the change makes of it for older than what they know, so that a
/// revocation would be acknowledged and mean nothing. Nor does a stream that is gone, and so no longer
/// ahead, let it through.
#[tokio::test(flavor = "multi_thread")]
async fn k15_what_the_store_has_not_come_to_yet_is_not_changed() {
    let scene = Scene::new().await;
    let set_epoch = |epoch: u64| {
        let mut set = redis::cmd("SET");
        set.arg("kf:{kf}:epoch").arg(epoch);
        let () = set.query(&mut scene.server.connection()).unwrap();
    };
    let known = scene.get(id(&scene.client)).await;
    let revoke = replace(known.version, disabled(&scene.client));
    set_epoch(0);
    let refused = scene.store.commit(&revoke).await;
    assert!(matches!(refused, Err(CommitError::Store(_))), "{refused:?}");
    let mut delete = redis::cmd("DEL");
    delete.arg("kf:{kf}:events");
    let () = delete.query(&mut scene.server.connection()).unwrap();
    let refused = scene.store.commit(&revoke).await;
    assert!(matches!(refused, Err(CommitError::Store(_))), "{refused:?}");
    set_epoch(1);
    assert_eq!(scene.commit(&revoke).await, Epoch(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_gave_back_is_good_after_loading_anew() {
    let mut scene = Scene::new().await;
    let replica = Replica::over(store(&scene.server)).await;
    let revoked_at = scene.shut_out().await;
    replica
        .until(|directory| directory.epoch() == revoked_at)
        .await;
    // The replica does not see it as it happens: Redis is gone for it, and back.
    let known = scene.get(id(&scene.client)).await;
    let given_back = scene
        .commit(&replace(known.version, client(&scene.client)))
        .await;
    let saved = scene.save();
    scene.fail_over(&saved).await;
    replica
        .until(|directory| directory.epoch() == given_back && directory.is_reachable())
        .await;
    assert_eq!(scene.good(&replica.directory), [false, false, true]);
    assert_eq!(replica.directory.regressions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_of_keys_and_withdrawals_that_a_failover_lost_are_upheld_and_made_again() {
    let mut scene = Scene::new().await;
    let alias = Alias::Sha1([7; 20]);
    let announced = AliasRecord::new(alias, client_id(&scene.client), NOW);
    let announced_at = scene.commit(&create(announced.clone())).await;
    let saved = scene.save();
    let replica = Replica::over(store(&scene.server)).await;
    let (version, key) = scene.key().await;
    let end = NOW.plus(Duration::from_hours(24));
    let rotated = KeyRecord {
        expires_at: Some(end),
        ..key
    };
    scene.commit(&replace(version, rotated)).await;
    let withdrawn = certificate::withdraw((announced_at, announced), Actor::Gateway, NOW);
    let last = scene.commit(&withdrawn.unwrap().unwrap()).await;
    let key_id = scene.key;
    let good = |directory: &Directory| {
        let view = directory.view();
        let state = view.alias(&alias).unwrap();
        (
            view.key(&key_id).unwrap().expires_at().is_none(),
            state == AliasState::Open,
        )
    };
    replica.until(|directory| directory.epoch() == last).await;
    assert_eq!(good(&replica.directory), (false, false));

    scene.fail_over(&saved).await;
    replica
        .until(|directory| {
            assert_eq!(good(directory), (false, false), "at every moment");
            directory.upheld() == 2 && directory.epoch() == announced_at
        })
        .await;
    // The control: whoever saw neither takes what the store says.
    let newcomer = Replica::over(store(&scene.server)).await;
    assert_eq!(good(&newcomer.directory), (true, true));
    scene.set_writable(true);
    for replica in [&replica, &newcomer] {
        replica.until(|directory| directory.epoch() == last).await;
        assert_eq!(good(&replica.directory), (false, false));
        assert_eq!(replica.directory.upheld(), 0);
    }
    assert_eq!(scene.key().await.1.expires_at, Some(end));
}

/// This replica hears neither of the revocations that are made again nor of what is given back, and
/// the events are gone: it must not revoke once more what an operator gave back.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_gave_back_unheard_is_not_revoked_again() {
    let mut scene = Scene::new().await;
    let saved = scene.save();
    let [mut one, two] = [
        Replica::over(store(&scene.server)).await,
        Replica::over(store(&scene.server)).await,
    ];
    let revoked_at = scene.shut_out().await;
    for replica in [&one, &two] {
        replica
            .until(|directory| directory.epoch() == revoked_at)
            .await;
    }
    scene.fail_over(&saved).await;
    for replica in [&one, &two] {
        replica
            .until(|directory| directory.upheld() == 3 && directory.epoch() == Epoch(1))
            .await;
    }
    one.pause();
    scene.set_writable(true);
    two.until(|directory| directory.epoch() == Epoch(4)).await;
    let known = scene.get(id(&scene.client)).await;
    let given_back = scene
        .commit(&replace(known.version, client(&scene.client)))
        .await;
    let mut trim = redis::cmd("XTRIM");
    trim.arg("kf:{kf}:events").arg("MAXLEN").arg(0);
    let _: u64 = trim.query(&mut scene.server.connection()).unwrap();

    one.resume();
    one.until(|directory| directory.epoch() == given_back).await;
    assert_eq!(scene.good(&one.directory), [false, false, true]);
    assert_eq!(one.directory.upheld(), 0);
    // Nor does it once it has had the time to.
    let changed = scene.commit(&create(client("z"))).await;
    one.until(|directory| directory.epoch() == changed).await;
    assert_eq!(changed, given_back.next(), "nobody made a change");
}

/// Another replica makes the revocation again and the operator gives it back, all before this replica
/// has heard of either, and while it is about to make the revocation again itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_gives_back_at_the_same_time_is_not_revoked_again() {
    let mut scene = Scene::new().await;
    let saved = scene.save();
    let held = Arc::new(Held::new(store(&scene.server)));
    let replica = Replica::over(Arc::clone(&held) as Arc<dyn Store>).await;
    let known = scene.get(id(&scene.client)).await;
    let disable = replace(known.version, disabled(&scene.client));
    let disabled_at = scene.commit(&disable).await;
    replica
        .until(|directory| directory.epoch() == disabled_at)
        .await;
    let enable = replace(Epoch(2), client(&scene.client));
    held.quicker.lock().unwrap().extend([disable, enable]);

    scene.fail_over(&saved).await;
    scene.set_writable(true);
    let given_back = Epoch(3);
    replica
        .until(|directory| directory.epoch() == given_back && directory.upheld() == 0)
        .await;
    assert_eq!(scene.good(&replica.directory), [true; 3]);
    // Nor is it once there was the time to.
    let changed = scene.commit(&create(client("z"))).await;
    replica
        .until(|directory| directory.epoch() == changed)
        .await;
    assert_eq!(changed, given_back.next(), "nobody made a change");
}

/// The store lost the client altogether; then somebody adds one of that name.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_lost_and_comes_back_is_shut_out_again() {
    let mut scene = Scene::new().await;
    let saved = scene.save();
    let replica = Replica::over(store(&scene.server)).await;
    let made = scene.commit(&create(client("b"))).await;
    let disabled_at = scene.commit(&replace(made, disabled("b"))).await;
    replica
        .until(|directory| directory.epoch() == disabled_at)
        .await;
    scene.fail_over(&saved).await;
    replica
        .until(|directory| directory.epoch() == Epoch(1) && directory.regressions() == 1)
        .await;
    assert_eq!(replica.active("b"), None);
    assert_eq!(replica.directory.upheld(), 0);

    scene.set_writable(true);
    scene.commit(&create(client("b"))).await;
    replica
        .until(|directory| directory.epoch() == Epoch(3) && directory.upheld() == 0)
        .await;
    assert_eq!(replica.active("b"), Some(false));
}

/// A certificate of which the store lost everything would be somebody new.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_removed_is_known_to_a_store_that_lost_it() {
    let mut scene = Scene::new().await;
    let saved = scene.save();
    let replica = Replica::over(store(&scene.server)).await;
    let other = Fingerprint::of(b"b");
    scene.commit(&enrolment(other)).await;
    let known = scene.get(RecordId::Certificate(other)).await;
    let Record::Certificate(record) = known.record else {
        panic!("{known:?}");
    };
    let removed = certificate::remove((known.version, record), Actor::Gateway, NOW);
    let removed_at = scene.commit(&removed.unwrap()).await;
    replica
        .until(|directory| directory.epoch() == removed_at)
        .await;

    scene.fail_over(&saved).await;
    scene.set_writable(true);
    replica
        .until(|directory| directory.epoch() == Epoch(2) && directory.upheld() == 0)
        .await;
    let again = scene.get(RecordId::Certificate(other)).await;
    assert!(
        matches!(&again.record, Record::Certificate(record) if matches!(record.mapping, Mapping::Removed { .. })),
        "{again:?}"
    );
}

/// The other history has gone on beyond the number that was seen, and wrote the client's record
/// again: that gives nothing back. Who follows is told that it is another one; who begins to follow
/// with what it knows, as with a snapshot, loads everything and must ask.
async fn revocations_and_a_longer_history_that_never_had_them(follows: bool) {
    let mut scene = Scene::new().await;
    let saved = scene.save();
    for _ in 0..4 {
        let known = scene.get(id(&scene.client)).await;
        scene
            .commit(&replace(known.version, client(&scene.client)))
            .await;
    }
    let longer = scene.save();
    scene.fail_over(&saved).await;
    scene.set_writable(true);
    let revoked_at = scene.shut_out().await;
    let mut replica = Replica::over(store(&scene.server)).await;
    assert_eq!(replica.directory.epoch(), revoked_at);

    if !follows {
        replica.pause();
    }
    scene.fail_over(&longer).await;
    if !follows {
        replica.resume();
    }
    replica
        .until(|directory| {
            assert_eq!(scene.good(directory), [false; 3], "at every moment");
            directory.upheld() == 3 && directory.epoch() == Epoch(5)
        })
        .await;
    assert_eq!(replica.directory.regressions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_are_upheld_against_a_longer_history_that_is_followed() {
    revocations_and_a_longer_history_that_never_had_them(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_are_upheld_against_a_longer_history_that_is_loaded() {
    revocations_and_a_longer_history_that_never_had_them(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_is_not_believed() {
    let mut scene = Scene::new().await;
    for name in ["b", "c"] {
        scene.commit(&create(client(name))).await;
    }
    let saved = scene.save();
    let replica = Replica::over(store(&scene.server)).await;
    assert!(!replica.directory.is_store_lost());
    scene.fail_over(&Saved::new()).await;
    replica.until(Directory::is_store_lost).await;
    assert_eq!(scene.good(&replica.directory), [true; 3]);
    assert!(!replica.directory.is_reachable());
    // Nobody is unknown because of it, and nothing that is known is taken for absent.
    assert!(replica.directory.catch_up().await.is_err());
    let known = RecordId::Key(scene.key);
    assert!(scene.store.get(&known).await.unwrap().is_none());
    assert!(replica.directory.stored(&known).await.is_err());
    // The control: a gateway that begins takes it as it is.
    let newcomer = Replica::over(store(&scene.server)).await;
    assert!(newcomer.directory.catch_up().await.is_ok());

    // Nor is it believed when the newcomer writes to it.
    scene.set_writable(true);
    scene.commit(&create(client("z"))).await;
    newcomer
        .until(|directory| directory.epoch() == Epoch(1))
        .await;
    let believed = replica.until(|directory| !directory.is_store_lost());
    let believed = tokio::time::timeout(Duration::from_secs(3), believed).await;
    assert!(believed.is_err());
    assert_eq!(scene.good(&replica.directory), [true; 3]);

    scene.fail_over(&saved).await;
    replica.until(Directory::is_reachable).await;
    assert!(!replica.directory.is_store_lost());
    assert_eq!(scene.good(&replica.directory), [true; 3]);
}
