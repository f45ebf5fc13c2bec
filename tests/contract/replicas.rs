//! Gateways that share a store: each tells of itself, and hears of all.

use std::time::Duration;

use keyferry::clock::Timestamp;
use keyferry::store::redis::Redis;
use keyferry::store::{Epoch, Heard, Replica, ReplicaState, Store};

use super::adapter::{Kind, Rig};
use super::redis_server::RedisServer;

fn replica(id: &str, state: ReplicaState) -> Replica {
    Replica {
        id: id.to_owned(),
        host: "gw 1 \"é\"".to_owned(),
        version: "0.1.0".to_owned(),
        since: Timestamp::from_unix(5),
        state,
        epoch: Epoch(7),
        store_age: 1,
        configuration: "00ff".to_owned(),
        is_taken_over: true,
    }
}

async fn heard(store: &dyn Store) -> Vec<Heard> {
    let mut heard = store.replicas().await.unwrap();
    assert_eq!(heard.damaged, []);
    let name = |heard: &Heard| heard.replica.id.clone();
    heard.entries.sort_by_key(name);
    heard.entries
}

pub(crate) async fn each_gateway_is_heard_of_with_what_it_told_last(kind: Kind) {
    let rig = Rig::start(kind).await;
    let (store, other) = (rig.handle().await, rig.handle().await);
    assert_eq!(heard(store.as_ref()).await, []);
    let (ready, starting) = (ReplicaState::Ready, ReplicaState::Starting);
    for (id, state) in [("a", starting), ("b", ready), ("a", ready)] {
        store.announce(&replica(id, state)).await.unwrap();
    }
    let told = heard(other.as_ref()).await;
    let replicas: Vec<_> = told.iter().map(|heard| heard.replica.clone()).collect();
    assert_eq!(replicas, [replica("a", ready), replica("b", ready)]);
    assert!(told.iter().all(|heard| heard.ago < 60), "{told:?}");
    // It gets older until it tells again.
    let is_older = async || {
        heard(other.as_ref())
            .await
            .iter()
            .all(|heard| heard.ago > 0)
    };
    let aging = async {
        while !is_older().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let aged = tokio::time::timeout(Duration::from_secs(30), aging).await;
    assert!(aged.is_ok(), "it gets no older");
    store.announce(&replica("a", ready)).await.unwrap();
    let told = heard(other.as_ref()).await;
    assert!(told[0].ago < told[1].ago, "{told:?}");
    let head = store.head().await.unwrap();
    assert_eq!(head.epoch, Epoch::NONE, "it is no change");
}

/// Around the change of an hour, and where the clock of another gateway is ahead, one is in two hashes.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_told_in_two_hours_is_heard_of_once() {
    let server = RedisServer::start(&[]).await;
    let store = Redis::new(&server.settings());
    let now = keyferry::clock::now().as_unix();
    for (hour, at, state) in [
        (-1, now - 60, ReplicaState::Starting),
        (0, now - 40, ReplicaState::Ready),
        (1, now - 50, ReplicaState::Starting),
    ] {
        let told = serde_json::to_string(&replica("a", state)).unwrap();
        let key = format!("kf:{{kf}}:replicas:{}", now.div_euclid(3600) + hour);
        redis::cmd("HSET")
            .arg(key)
            .arg("a")
            .arg(format!("{at} {told}"))
            .exec(&mut server.connection())
            .unwrap();
    }
    let told = heard(&store).await;
    let replicas: Vec<_> = told.iter().map(|heard| heard.replica.clone()).collect();
    assert_eq!(replicas, [replica("a", ReplicaState::Ready)], "{told:?}");
}
