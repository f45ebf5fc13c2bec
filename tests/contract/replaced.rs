//! A Redis whose history becomes another one under a replica that follows it: after a failover that
//! lost changes, or when an older copy was restored. No connection ends.

use keyferry::directory::Directory;
use keyferry::store::redis::Redis;
use keyferry::store::{Epoch, Store};
use std::sync::Arc;

use super::directory::Replica;
use super::records::{client, create, disabled, replace};
use super::redis_server::RedisServer;

const KEYS: [&str; 4] = ["epoch", "head", "events", "client"];

fn store(server: &RedisServer) -> Arc<Redis> {
    Arc::new(Redis::new(&server.settings()))
}

/// Puts all that `from` holds in the place of all that `to` holds, at one moment.
fn copy(from: &RedisServer, to: &RedisServer) {
    let mut all = redis::pipe();
    all.atomic().cmd("FLUSHALL").ignore();
    for key in KEYS.map(|key| format!("kf:{{kf}}:{key}")) {
        let mut dump = redis::cmd("DUMP");
        let dumped: Vec<u8> = dump.arg(&key).query(&mut from.connection()).unwrap();
        all.cmd("RESTORE").arg(key).arg(0).arg(dumped).ignore();
    }
    all.exec(&mut to.connection()).unwrap();
}

/// The other history has gone on to `epoch` by the time that it is there; the one that is known
/// has two changes.
async fn another_history_with_changes_up_to(epoch: u64) {
    let [server, other] = [RedisServer::start(&[]).await, RedisServer::start(&[]).await];
    let known = store(&server);
    let version = known.commit(&create(client("lost"))).await.unwrap().epoch;
    let changed = replace(version, disabled("lost"));
    known.commit(&changed).await.unwrap();
    let replica = Replica::over(Arc::clone(&known) as Arc<dyn Store>).await;
    let active = |directory: &Directory, name: &str| {
        let id = super::records::client_id(name);
        directory.view().is_client_active(&id)
    };
    replica.until(|it| it.epoch() == Epoch(2)).await;
    assert_eq!(active(&replica.directory, "lost"), Some(false));

    let writer = store(&other);
    for n in 1..=epoch {
        let found = create(client(&format!("found-{n}")));
        writer.commit(&found).await.unwrap();
    }
    copy(&other, &server);
    let last = format!("found-{epoch}");
    replica.until(|it| active(it, &last) == Some(true)).await;
    // Not only what came last: everything is as in the other history.
    assert_eq!(active(&replica.directory, "found-1"), Some(true));
    assert_eq!(active(&replica.directory, "lost"), None);
    assert_eq!(replica.directory.regressions(), 1);
    // What this process believed of the head is corrected, too.
    let next = known.commit(&create(client("next"))).await.unwrap();
    assert_eq!(next.epoch, Epoch(epoch + 1));
    replica.directory.catch_up().await.unwrap();
    assert_eq!(active(&replica.directory, "next"), Some(true));
    assert_eq!(replica.directory.regressions(), 1);
}

/// What Redis is told was made for the history that it had a moment ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_emptied_under_way_takes_nothing_that_follows() {
    let server = RedisServer::start(&[]).await;
    let store = store(&server);
    let is_empty = || {
        let mut exists = redis::cmd("EXISTS");
        exists.arg("kf:{kf}:epoch");
        let is_kept: bool = exists.query(&mut server.connection()).unwrap();
        !is_kept
    };
    let empty = || {
        redis::cmd("FLUSHALL")
            .exec(&mut server.connection())
            .unwrap();
        assert!(is_empty());
    };
    for (known, is_taken) in [(Epoch::NONE, true), (Epoch(1), false)] {
        let first = store.commit(&create(client("first"))).await.unwrap();
        assert_eq!(first.epoch, Epoch(1));
        empty();
        let next = create(client("next")).following(known);
        assert_eq!(store.commit(&next).await.is_ok(), is_taken, "{known}");
        assert_eq!(is_empty(), !is_taken);
        empty();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_fewer_changes() {
    another_history_with_changes_up_to(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_as_many_changes() {
    another_history_with_changes_up_to(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_more_changes() {
    another_history_with_changes_up_to(3).await;
}
