//! A store that is down says so, never that something is absent, and comes back by itself.

use std::time::Duration;

use keyferry::clock;
use keyferry::store::{CommitError, Epoch, Head, Selection, Store, StoreError};

use super::activity;
use super::adapter::{Kind, Rig};
use super::directory::Replica;
use super::records::{client, client_id, create, id, replace};

const SOON: Duration = Duration::from_secs(5);
/// A cluster takes its time to trust a node that was away.
const LATER: Duration = Duration::from_secs(15);

/// Every question ends with [`StoreError::Unavailable`]; gives what it says.
async fn all_unavailable(store: &dyn Store) -> String {
    let committed = match store.commit(&create(client("b"))).await {
        Err(CommitError::Store(error)) => Err(error),
        other => panic!("{other:?}"),
    };
    let results = [
        committed,
        store.get(&id("a")).await.map(drop),
        store.get(&id("nobody")).await.map(drop),
        store.select(&Selection::Phases).await.map(drop),
        store
            .select(&Selection::OwnedBy(client_id("a")))
            .await
            .map(drop),
        store.load(&mut |_| ()).await.map(drop),
        store
            .follow(Head::default(), Duration::ZERO)
            .await
            .map(drop),
        store.head().await.map(drop),
        store.saw(&activity::batch(1)).await.map(drop),
        store.sightings().await.map(drop),
        store.uses().await.map(drop),
        store.sighting(&client_id("a")).await.map(drop),
        store.last_use(&activity::credential()).await.map(drop),
        store
            .counts(&client_id("a"), activity::DAYS)
            .await
            .map(drop),
        store.all_counts(activity::DAYS, &mut |_, _| ()).await,
        store.totals(activity::DAYS).await.map(drop),
        store.spent(Epoch(1)).await.map(drop),
    ];
    let [first, ..] = results.map(|result| match result {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    });
    first
}

pub(crate) async fn a_store_that_is_down_is_unavailable_and_comes_back(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let version = store.commit(&create(client("a"))).await.unwrap().epoch;
    let replica = Replica::start(&rig).await;

    rig.close().await;
    let begun = clock::monotonic();
    all_unavailable(&*store).await;
    assert!(begun.elapsed() < LATER);
    assert!(replica.directory.catch_up().await.is_err());
    assert_eq!(replica.active("a"), Some(true), "what is known stays known");
    replica.until(|directory| !directory.is_reachable()).await;

    rig.open().await;
    let next = replace(version, client("a"));
    let coming_back = async {
        while store.head().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        store.commit(&next).await.unwrap().epoch
    };
    let version = tokio::time::timeout(LATER, coming_back).await.unwrap();
    replica
        .until(|directory| directory.epoch() == version)
        .await;
    replica.directory.catch_up().await.unwrap();
    assert!(replica.directory.is_reachable());
}

mod redis {
    //! Ways of being down that only Redis has.

    use keyferry::secret::Secret;
    use keyferry::store::Follow;
    use keyferry::store::redis::{Login, Redis, Settings, Shape};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::redis_server::{RedisServer, Rule, USER, address};
    use super::*;

    fn store(server: &RedisServer) -> Redis {
        Redis::new(&server.settings())
    }

    /// A store where this listens.
    fn store_at(listener: &TcpListener) -> Redis {
        let address = address(listener.local_addr().unwrap().port());
        Redis::new(&Settings::new(Shape::Single(address)))
    }

    fn with_password(server: &RedisServer, user: Option<&str>, password: &str) -> Redis {
        let login = Login {
            user: user.map(str::to_owned),
            password: Some(Secret::new(password.to_owned())),
        };
        Redis::new(&Settings {
            login,
            ..server.settings()
        })
    }

    async fn not_committed(store: &Redis, what: &str) {
        match store.commit(&create(client("b"))).await {
            Err(CommitError::Store(error)) if error.to_string().contains(what) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Whatever comes back instead of an answer is not an absent record.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_error_is_never_an_absent_record() {
        for (reply, what) in [
            ("-LOADING Redis is loading the dataset in memory", "loading"),
            ("-MASTERDOWN Link with MASTER is down", "primary"),
            ("-CLUSTERDOWN The cluster is down", "cluster"),
            ("-MOVED 3999 127.0.0.1:6381", "cluster"),
            ("-NOAUTH Authentication required.", "password_file"),
            (
                "-ERR Error running script: @user_script:12: -OOM command not allowed",
                "maxmemory",
            ),
            ("-ERR unknown command", "unknown command"),
            ("garbage", "Redis"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let store = store_at(&listener);
            let answering = tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut heard = [0; 4096];
                    while stream.read(&mut heard).await.is_ok_and(|length| length > 0) {
                        // Enough for whatever the library says before the first question.
                        let _ = stream
                            .write_all(format!("{reply}\r\n").repeat(3).as_bytes())
                            .await;
                    }
                }
            });
            let why = all_unavailable(&store).await;
            assert!(why.contains(what), "{reply}: {why}");
            answering.abort();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_silent_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = store_at(&listener);
        let begun = clock::monotonic();
        assert!(matches!(
            store.get(&id("a")).await,
            Err(StoreError::Unavailable(_))
        ));
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_hangs_and_recovers_is_used_again() {
        let server = RedisServer::start(&[]).await;
        let store = store(&server);
        store.commit(&create(client("a"))).await.unwrap();
        server.tell("CLIENT PAUSE 1500 ALL");
        assert!(matches!(
            store.head().await,
            Err(StoreError::Unavailable(_))
        ));
        let back = async { while store.head().await.is_err() {} };
        tokio::time::timeout(SOON, back).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_the_right_password_nothing_is_told() {
        let server = RedisServer::start(&["--requirepass", "right"]).await;
        let why = all_unavailable(&store(&server)).await;
        assert!(why.contains("store.password_file"), "{why}");
        let why = all_unavailable(&with_password(&server, None, "canary")).await;
        assert!(
            why.contains("store.password_file") && !why.contains("canary"),
            "{why}"
        );
        let store = with_password(&server, None, "right");
        assert!(store.get(&id("a")).await.unwrap().is_none());
        store.commit(&create(client("a"))).await.unwrap();
    }

    /// The rule is the one of docs/STORE.md.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_user_with_only_what_is_documented_can_do_everything() {
        let server = RedisServer::start(&[]).await;
        server.tell(&format!("{USER}{}", Rule::Server.allows()));
        let store = with_password(&server, Some("keyferry"), "right");
        let version = store.commit(&create(client("a"))).await.unwrap().epoch;
        assert!(store.get(&id("a")).await.unwrap().is_some());
        let head = store.load(&mut |_| ()).await.unwrap();
        assert_eq!(head.epoch, version);
        store.follow(head, Duration::from_millis(1)).await.unwrap();
        store.saw(&activity::batch(1)).await.unwrap();
        assert_eq!(store.sightings().await.unwrap().entries.len(), 1);
        assert_eq!(store.uses().await.unwrap().entries.len(), 1);
        let last = store.last_use(&activity::credential()).await.unwrap();
        assert!(last.is_some());
        assert_eq!(store.totals(activity::DAYS).await.unwrap().len(), 1);
        assert_eq!(store.spent(Epoch(1)).await.unwrap(), 1);

        server.tell("ACL SETUSER keyferry -@all");
        let why = all_unavailable(&store).await;
        assert!(why.contains("docs/STORE.md"), "{why}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_that_redis_refuses_leaves_nothing() {
        let server = RedisServer::start(&[]).await;
        let store = store(&server);
        store.commit(&create(client("a"))).await.unwrap();
        for (refuse, allow, what) in [
            (
                "CONFIG SET maxmemory 1",
                "CONFIG SET maxmemory 0",
                "maxmemory",
            ),
            (
                "CONFIG SET min-replicas-to-write 1",
                "CONFIG SET min-replicas-to-write 0",
                "too few replicas",
            ),
            ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "replica"),
            (
                "RENAME kf:{kf}:epoch away",
                "RENAME away kf:{kf}:epoch",
                "Redis",
            ),
            (
                "SET kf:{kf}:epoch many",
                "SET kf:{kf}:epoch 1",
                "not a number",
            ),
            (
                "RENAME kf:{kf}:events away",
                "RENAME away kf:{kf}:events",
                "something else",
            ),
        ] {
            server.tell(refuse);
            if what == "something else" {
                server.tell("SET kf:{kf}:events text");
            }
            not_committed(&store, what).await;
            server.tell(allow);
            assert!(store.get(&id("b")).await.unwrap().is_none(), "{refuse}");
            assert_eq!(store.head().await.unwrap().epoch, Epoch(1), "{refuse}");
        }
        let second = store.commit(&create(client("b"))).await.unwrap();
        assert_eq!(second.epoch, Epoch(2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lost_epoch_is_another_history_and_a_strange_one_an_error() {
        let server = RedisServer::start(&[]).await;
        let store = store(&server);
        store.commit(&create(client("a"))).await.unwrap();
        let head = store.head().await.unwrap();
        let none = Head::default();
        server.tell("RENAME kf:{kf}:epoch away");
        let told = store.follow(head, SOON).await.unwrap();
        assert!(matches!(told, Follow::Replaced { .. }), "{told:?}");
        for (key, right) in [("epoch", "1"), ("head", &head.hash.to_string())] {
            server.tell(&format!("SET kf:{{kf}}:{key} many"));
            let told = store.head().await;
            assert!(matches!(told, Err(StoreError::Unreadable(_))), "{told:?}");
            server.tell(&format!("SET kf:{{kf}}:{key} {right}"));
        }
        server.tell("DEL kf:{kf}:events");
        let told = store.follow(none, SOON).await.unwrap();
        assert!(
            matches!(told, Follow::Gap { now } if now == head),
            "{told:?}"
        );
        server.tell("XADD kf:{kf}:events 2-0 event {}");
        let told = store.follow(head, SOON).await;
        assert!(matches!(told, Err(StoreError::Refused(_))), "{told:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn forgotten_scripts_and_ended_connections_are_made_up_for() {
        let server = RedisServer::start(&[]).await;
        let store = store(&server);
        store.commit(&create(client("a"))).await.unwrap();
        server.tell("SCRIPT FLUSH");
        store.commit(&create(client("b"))).await.unwrap();
        server.tell("CLIENT KILL TYPE normal SKIPME yes");
        // At most the one question that finds the connection ended.
        let _ = store.head().await;
        assert_eq!(store.head().await.unwrap().epoch, Epoch(2));
    }

    /// Another server may have lost what this one told, and count on from there all the same: whoever
    /// follows has to know that it may be another.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_follower_is_told_that_its_connection_was_lost() {
        let server = RedisServer::start(&[]).await;
        let store = store(&server);
        let version = store.load(&mut |_| ()).await.unwrap();
        let at_once = Duration::ZERO;
        for _ in 0..2 {
            store.follow(version, at_once).await.unwrap();
            server.tell("CLIENT KILL TYPE normal SKIPME yes");
            while store.head().await.is_err() {}
            let told = store.follow(version, at_once).await;
            assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
        }
    }
}
