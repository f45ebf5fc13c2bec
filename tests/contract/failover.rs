//! Redis whose primary changes, and those who must notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyferry::clock;
use keyferry::directory::Directory;
use keyferry::store::redis::{Redis, Settings, Shape, Tls};
use keyferry::store::{
    Acknowledged, Action, Change, CommitError, Committed, Epoch, Follow, Head, Store, StoreError,
};

use super::directory::Replica;
use super::records::{client, create, disabled, id, replace};
use super::redis_server::{Deployment, RedisServer, certificates, until};

/// A failover takes seconds: the silence of the primary, then an election.
const FAILOVER: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_mins(2);

/// Asks until there is an answer.
async fn answered<T, E: std::fmt::Debug>(asked: impl AsyncFn() -> Result<T, E>) -> T {
    let asking = async {
        loop {
            match asked().await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let answer = tokio::time::timeout(FAILOVER, asking).await;
    answer.expect("an answer after the failover")
}

/// The client exists at `server`.
fn has(server: &RedisServer, name: &str) -> bool {
    server.tell(&format!("HEXISTS kf:{{kf}}:client {name}")) == ::redis::Value::Int(1)
}

fn disable(version: Epoch, name: &str) -> Change {
    Change {
        action: Action::ClientDisabled,
        ..replace(version, disabled(name))
    }
}

mod sentinel {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn after_the_primary_died_changes_go_to_the_new_one() {
        let mut redis = Deployment::sentinel(&[], 1, 3).await;
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        until("the replica has it", || has(&redis.servers[1], "a")).await;
        let replica = Replica::over(Arc::new(Redis::new(&redis.settings))).await;

        redis.servers[0].stop();
        let epoch = answered(async || store.head().await).await.epoch;
        assert_eq!(epoch, a.epoch);
        let b = store.commit(&create(client("b"))).await.unwrap();
        assert!(has(&redis.servers[1], "b"));
        replica
            .until(|directory| directory.epoch() == b.epoch)
            .await;

        // The old one comes back, and still thinks that it is the primary.
        assert!(redis.servers[0].start_again().await);
        let c = create(client("c"));
        let c = answered(async || store.commit(&c).await).await;
        assert_eq!(c.epoch, b.epoch.next());
        assert!(has(&redis.servers[1], "c"));
    }

    /// With a certificate and a user of ours, at the sentinel as at the servers.
    #[tokio::test(flavor = "multi_thread")]
    async fn sentinels_that_speak_tls_are_asked_and_listened_to() {
        let redis = Deployment::sentinel_with_tls().await;
        leaves_what_hangs(&redis, || redis.first().freeze()).await;
        let head = async |with_certificate| {
            let mut settings = redis.settings.clone();
            let Shape::Sentinel(sentinels) = &mut settings.shape else {
                panic!("{settings:?}");
            };
            sentinels.tls = Some(redis.tls_as(None, with_certificate));
            Redis::new(&settings).head().await
        };
        head(true).await.unwrap();
        // With TLS 1.3 the sentinel ends what it took at first, and may not be heard saying why.
        head(false).await.unwrap_err();
    }

    /// Nothing ends, nothing answers: only the sentinels tell.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_primary_that_hangs_is_left_when_the_sentinels_say_so() {
        let redis = Deployment::sentinel(&[], 1, 3).await;
        leaves_what_hangs(&redis, || redis.first().freeze()).await;
    }

    /// Nor does the sentinel that is listened to end its connection, or answer.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_sentinel_that_hangs_is_not_listened_to_for_ever() {
        let redis = Deployment::sentinel(&[], 1, 3).await;
        leaves_what_hangs(&redis, || {
            redis.sentinels[0].freeze();
            redis.first().freeze();
        })
        .await;
    }

    async fn leaves_what_hangs(redis: &Deployment, freeze: impl FnOnce()) {
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        until("the replica has it", || has(&redis.servers[1], "a")).await;

        let head = store.head().await.unwrap();
        assert_eq!(head.epoch, a.epoch);
        let following = store.follow(head, LONG);
        let hanging = async {
            // Whether it hangs before or during the wait, the wait must end.
            tokio::time::sleep(Duration::from_millis(200)).await;
            freeze();
        };
        let both = async { tokio::join!(following, hanging).0 };
        let told = tokio::time::timeout(FAILOVER, both).await;
        let told = told.expect("the wait ended long before its time");
        assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
        let b = create(client("b"));
        answered(async || store.commit(&b).await).await;
        assert!(has(&redis.servers[1], "b"));
    }

    /// The connections of a primary that was demoted may stay, and it goes on answering.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_demoted_primary_whose_connections_stay_is_left() {
        let redis = Deployment::sentinel(&[], 1, 1).await;
        let [old, new] = &redis.servers[..] else {
            panic!("a primary and a replica");
        };
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        let none = Head::default();
        assert_eq!(store.follow(none, LONG).await.unwrap().len(), 1);
        let head = store.head().await.unwrap();
        until("the replica has it", || has(new, "a")).await;
        let mut stays = old.connection();

        // By hand, so that no sentinel ends connections or tells anybody.
        new.tell("REPLICAOF NO ONE");
        let sentinel = &redis.sentinels[0];
        sentinel.tell("SENTINEL REMOVE keyferry");
        let port = new.port();
        sentinel.tell(&format!("SENTINEL MONITOR keyferry 127.0.0.1 {port} 1"));
        // Of nobody, so that it never hears of what comes.
        old.tell("REPLICAOF 127.0.0.1 1");
        let b = Redis::new(&new.settings());
        let b = b.commit(&create(client("b"))).await.unwrap();
        assert_eq!(b.epoch, a.epoch.next());

        let stale: String = ::redis::cmd("GET")
            .arg("kf:{kf}:epoch")
            .query(&mut stays)
            .expect("the old primary's connections stay, and it answers");
        assert_eq!(stale, a.epoch.to_string());
        let sees_b = async {
            while !matches!(store.get(&id("b")).await, Ok(Some(_))) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = tokio::time::timeout(FAILOVER, sees_b).await;
        seen.expect("the new primary is asked");
        let told = answered(async || store.follow(head, Duration::ZERO).await).await;
        assert_eq!(told.len(), 1);
        assert!(!has(old, "b"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_that_the_sentinels_do_not_know_is_told() {
        let redis = Deployment::sentinel(&[], 0, 1).await;
        let mut settings = redis.settings.clone();
        let Shape::Sentinel(sentinels) = &mut settings.shape else {
            panic!("{settings:?}");
        };
        sentinels.master = "other".to_owned();
        let why = Redis::new(&settings).head().await.unwrap_err().to_string();
        assert!(why.contains("check store.sentinel.master"), "{why}");
    }

    /// A sentinel that is cut off from the others goes on naming the old primary.
    #[tokio::test(flavor = "multi_thread")]
    async fn most_sentinels_are_believed() {
        let redis = Deployment::sentinel(&[], 0, 3).await;
        let nowhere = RedisServer::start(&[]).await;
        let cut_off = &redis.sentinels[0];
        cut_off.tell("SENTINEL REMOVE keyferry");
        let port = nowhere.port();
        cut_off.tell(&format!("SENTINEL MONITOR keyferry 127.0.0.1 {port} 1"));
        for n in 0..10 {
            let store = Redis::new(&redis.settings);
            store.commit(&create(client(&n.to_string()))).await.unwrap();
        }
        assert_eq!(nowhere.tell("DBSIZE"), ::redis::Value::Int(0));
    }
}

mod cluster {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn after_the_node_with_the_keys_died_its_replica_is_asked() {
        let mut redis = Deployment::cluster(&[], 1).await;
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        until("the replica has it", || knows_epoch(&redis.servers[1], a)).await;

        redis.servers[0].stop();
        let b = create(client("b"));
        answered(async || store.commit(&b).await).await;
        until("it is the primary", || {
            redis.servers[1].informs("role:master")
        })
        .await;
        assert!(has(&redis.servers[1], "b"));
    }

    /// A replica of a cluster answers only to whoever says that it may.
    fn knows_epoch(replica: &RedisServer, committed: Committed) -> bool {
        let mut connection = replica.connection();
        let () = ::redis::cmd("READONLY").query(&mut connection).unwrap();
        let epoch: Option<String> = ::redis::cmd("GET")
            .arg("kf:{kf}:epoch")
            .query(&mut connection)
            .unwrap();
        epoch == Some(committed.epoch.to_string())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_that_move_to_another_node_are_found_there() {
        let redis = Deployment::cluster(&[], 0).await;
        let [from, to, third] = &redis.servers[..] else {
            panic!("three nodes");
        };
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        // It follows, as a gateway does.
        let replica = Replica::over(Arc::new(Redis::new(&redis.settings))).await;

        let slot = "7088";
        let [from_id, to_id] = [from, to].map(RedisServer::node_id);
        to.tell(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
        from.tell(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
        let port = to.port();
        let keys = from.tell(&format!("CLUSTER GETKEYSINSLOT {slot} 100"));
        for key in ::redis::from_redis_value::<Vec<String>>(keys).unwrap() {
            from.tell(&format!("MIGRATE 127.0.0.1 {port} {key} 0 1000"));
        }

        // Every question is now sent on with ASK.
        assert_eq!(store.head().await.unwrap().epoch, a.epoch);
        assert!(store.get(&id("a")).await.unwrap().is_some());
        assert!(store.get(&id("b")).await.unwrap().is_none());
        // A change touches keys that do not exist, and the cluster cannot tell whether they do yet.
        match store.commit(&create(client("b"))).await {
            Err(CommitError::Store(StoreError::Unavailable(why))) => {
                assert!(why.contains("TRYAGAIN"), "{why}");
            }
            other => panic!("{other:?}"),
        }

        for node in [to, from, third] {
            node.tell(&format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
        }
        // The connection leads to the old node still, which answers with MOVED.
        let b = store.commit(&create(client("b"))).await.unwrap();
        assert_eq!(b.epoch, a.epoch.next());
        assert!(has(to, "b"));
        replica
            .until(|directory| directory.epoch() == b.epoch)
            .await;
    }
}

/// It answers as before; but it cannot know of a failover.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_the_replicas_that_it_must_have_is_not_followed() {
    let redis = Deployment::replicated(&[], 1).await;
    let [old, new] = &redis.servers[..] else {
        panic!("a primary and a replica");
    };
    let store = Redis::new(&redis.settings);
    store.commit(&create(client("a"))).await.unwrap();
    until("the replica has it", || has(new, "a")).await;
    let head = store.head().await.unwrap();
    new.tell("REPLICAOF NO ONE");
    let elsewhere = Redis::new(&new.settings());
    elsewhere.commit(&create(client("b"))).await.unwrap();

    let is_believed = async || {
        assert_eq!(store.head().await.unwrap(), head);
        let told = store.follow(head, Duration::ZERO).await.unwrap();
        assert_eq!(told.len(), 0, "it knows nothing of b");
    };
    is_believed().await;
    old.tell("CONFIG SET min-replicas-to-write 1");
    for most in [0, 1] {
        // When it is full, that is told instead of most writes.
        old.tell(&format!("CONFIG SET maxmemory {most}"));
        for _ in 0..3 {
            let followed = store.follow(head, Duration::ZERO).await;
            for error in [store.head().await.unwrap_err(), followed.unwrap_err()] {
                assert!(error.to_string().contains("NOREPLICAS"), "{error}");
            }
        }
    }
    assert!(store.get(&id("a")).await.unwrap().is_some());
    // What else keeps it from writing says nothing of replicas.
    old.tell("CONFIG SET min-replicas-to-write 0");
    is_believed().await;
    old.tell("ACL SETUSER default -expire");
    is_believed().await;
    assert_eq!(old.tell("EXISTS kf:{kf}:nobodys"), ::redis::Value::Int(0));
}

mod acknowledged {
    use super::*;

    fn by_of(committed: Committed) -> Option<(usize, usize)> {
        let numbers = |replicas: Acknowledged| (replicas.by, replicas.of);
        committed.replicas.map(numbers)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_taken_away_is_told_with_the_replicas_that_know() {
        let redis = Deployment::replicated(&[], 2).await;
        let store = Redis::new(&redis.settings);
        let mut version = store.commit(&create(client("a"))).await.unwrap().epoch;
        for frozen in 0..=2 {
            if frozen > 0 {
                redis.servers[frozen].freeze();
            }
            let begun = clock::monotonic();
            let taken = store.commit(&disable(version, "a")).await.unwrap();
            assert_eq!(by_of(taken), Some((2 - frozen, 2)));
            assert!(begun.elapsed() < Duration::from_secs(5));
            // What gives is not waited for.
            let given = store.commit(&replace(taken.epoch, client("a"))).await;
            assert_eq!(by_of(given.unwrap()), None);
            version = store.head().await.unwrap().epoch;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_replicas_nothing_is_told_of_them() {
        let redis = Deployment::single(&[]).await;
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        let taken = store.commit(&disable(a.epoch, "a")).await.unwrap();
        assert_eq!(by_of(taken), None);
    }

    /// Sentinels watch a primary that is meant to have replicas.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_primary_of_sentinels_that_lost_its_replicas_is_told() {
        let redis = Deployment::sentinel(&[], 0, 1).await;
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        let taken = store.commit(&disable(a.epoch, "a")).await.unwrap();
        assert_eq!(by_of(taken), Some((0, 0)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_a_cluster_the_node_with_the_keys_has_them() {
        let redis = Deployment::cluster(&[], 1).await;
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        let taken = store.commit(&disable(a.epoch, "a")).await.unwrap();
        assert_eq!(by_of(taken), Some((1, 1)));
    }

    /// A wait on the connection that others use would hold up all their questions.
    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_waits_for_the_replicas_but_who_takes_away() {
        let redis = Deployment::replicated(&[], 1).await;
        let store = Redis::new(&redis.settings);
        let a = store.commit(&create(client("a"))).await.unwrap();
        redis.servers[1].freeze();
        let change = disable(a.epoch, "a");
        let taking = store.commit(&change);
        let asking = async {
            while store.head().await.unwrap().epoch == a.epoch {}
            for _ in 0..10 {
                store.head().await.unwrap();
            }
            clock::monotonic()
        };
        let (taken, seen) = tokio::join!(
            async { (taking.await.unwrap(), clock::monotonic()) },
            asking
        );
        assert_eq!(by_of(taken.0), Some((0, 1)));
        assert!(seen < taken.1, "others were answered before the wait ended");
    }
}

mod tls {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_configured_authority_name_and_certificate_do() {
        let redis = Deployment::tls(&[]).await;
        Redis::new(&redis.settings).head().await.unwrap();
        let with = |tls: Tls| {
            Redis::new(&Settings {
                tls: Some(tls),
                ..redis.settings.clone()
            })
        };
        let [stranger, _, _] = certificates();
        let why = refused(&with(Tls::new(&stranger.pem(), None, None).unwrap())).await;
        assert!(why.contains("store.tls.ca_file"), "{why}");

        let name = |name: &str| redis.tls_as(Some(name), true);
        with(name("redis.internal")).head().await.unwrap();
        let why = refused(&with(name("other.internal"))).await;
        assert!(why.contains("store.tls.server_name"), "{why}");

        // With TLS 1.3 the server ends what it took at first.
        refused(&with(redis.tls_as(None, false))).await;
        let plain = Settings {
            tls: None,
            ..redis.settings.clone()
        };
        refused(&Redis::new(&plain)).await;
    }

    async fn refused(store: &Redis) -> String {
        store.head().await.unwrap_err().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_silent_is_not_asked_by_everybody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = super::redis_server::address(listener.local_addr().unwrap().port());
    let store = Redis::new(&Settings::new(Shape::Single(address)));
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let listening = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..5 {
        store.head().await.unwrap_err();
    }
    let asked = connections.load(Ordering::Relaxed);
    assert_eq!(asked, 5);
    let why = store.get(&id("a")).await.unwrap_err().to_string();
    assert!(
        why.contains("asked once a second") && why.contains("within"),
        "{why}"
    );
    for _ in 0..100 {
        store.get(&id("a")).await.unwrap_err();
    }
    let asked = connections.load(Ordering::Relaxed);
    assert!(asked <= 6, "a probe, at most: {asked}");
    listening.abort();
}

/// Every connection that is made works, until it is cut again: that is no store to leave alone.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_again_and_again_are_made_again_at_once() {
    const CUTS: u32 = 10;
    let server = RedisServer::start(&[]).await;
    let store: Arc<dyn Store> = Arc::new(Redis::new(&server.settings()));
    store.commit(&create(client("a"))).await.unwrap();
    let replica = Replica::over(store).await;
    let begun = clock::monotonic();
    for _ in 0..CUTS {
        replica.until(Directory::is_reachable).await;
        server.tell("CLIENT KILL TYPE normal");
        replica.until(|directory| !directory.is_reachable()).await;
    }
    replica.until(Directory::is_reachable).await;
    let took = begun.elapsed();
    assert!(took < CUTS * Duration::from_millis(500), "{took:?}");
}

trait Told {
    fn len(&self) -> usize;
}

impl Told for Follow {
    fn len(&self) -> usize {
        match self {
            Self::Events { events, .. } => events.len(),
            other => panic!("{other:?}"),
        }
    }
}
