//! What was acknowledged survives the death of whoever acknowledged it.
//!
//! The test starts its own program again, with a variable that makes it the one to be killed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyferry::store::embedded::{self, Embedded};
use keyferry::store::local::{Listener, socket_path};
use keyferry::store::redis::{Redis, Shape};
use keyferry::store::{Epoch, Store, open_embedded};

use super::adapter::{Kind, Rig};
use super::again;
use super::records::{described, description, id, replace};
use super::redis_server::{self, record_keys};

const STORE: &str = "KEYFERRY_TEST_STORE";

fn embedded(path: &Path) -> embedded::Settings {
    embedded::Settings {
        record_keys: record_keys(),
        ..embedded::Settings::new(path)
    }
}

/// The program that is killed: changes one record again and again, and tells of each change only
/// once it is acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only run by the test below, in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "the test is told by its parent where the store is"
)]
async fn writes_until_it_is_killed() {
    let address = std::env::var(STORE).unwrap();
    let store: Arc<dyn Store> = if let Some(port) = address.strip_prefix("redis://127.0.0.1:") {
        let shape = Shape::Single(redis_server::address(port.parse().unwrap()));
        Arc::new(Redis::new(&redis_server::settings(shape)))
    } else {
        open_embedded(&embedded(address.as_ref())).await.unwrap()
    };
    let mut version = store.head().await.unwrap().epoch;
    loop {
        let next = replace(version, described("a", &version.next().to_string()));
        version = store.commit(&next).await.unwrap().epoch;
        println!("\nacknowledged {version}");
    }
}

/// The other program that is killed: what a gateway does for commands.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only run by the test below, in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "the test is told by its parent where the store is"
)]
async fn serves_until_it_is_killed() {
    let path = std::env::var(STORE).unwrap();
    let store = Arc::new(Embedded::open_with(&embedded(path.as_ref())).unwrap());
    let listener = Listener::bind(store).unwrap();
    println!("\nserving");
    listener.serve(std::future::pending()).await.unwrap();
}

pub(crate) async fn what_was_acknowledged_survives_a_kill(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let mut last = Epoch::NONE;
    for round in 1..=5 {
        if kind == Kind::Embedded {
            rig.close().await;
        }
        let (mut child, mut lines) = again::start(
            "death::writes_until_it_is_killed",
            &[(STORE, &rig.address())],
        );
        let enough = last.0 + 7 * round;
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(epoch) = line.strip_prefix("acknowledged ") {
                    last = Epoch(epoch.parse().unwrap());
                    if last.0 == enough {
                        child.start_kill().unwrap();
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reading)
            .await
            .unwrap();
        child.wait().await.unwrap();

        if kind == Kind::Embedded {
            rig.open().await;
        }
        let store = rig.handle().await;
        // The last change may still be under way where the store outlives who asked for it.
        let record = loop {
            let before = store.head().await.unwrap().epoch;
            let record = store.get(&id("a")).await.unwrap().unwrap();
            if store.head().await.unwrap().epoch == before {
                assert_eq!(before, record.version);
                break record;
            }
        };
        // One more may have been carried out whose acknowledgement was never told.
        assert!(record.version >= last && record.version <= last.next());
        assert_eq!(
            description(&record.record),
            Some(record.version.to_string().as_str())
        );
        last = record.version;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_acknowledged_to_commands_survives_its_death() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyferry.redb");
    let mut version = Epoch::NONE;
    for _ in 0..3 {
        // From the second round on, the socket of the gateway before is still in the place.
        let role = "death::serves_until_it_is_killed";
        let (mut child, mut lines) = again::start(role, &[(STORE, path.to_str().unwrap())]);
        while lines.next_line().await.unwrap().unwrap() != "serving" {}
        let store = open_embedded(&embedded(&path)).await.unwrap();
        for _ in 0..20 {
            let next = replace(version, described("a", "kept"));
            version = store.commit(&next).await.unwrap().epoch;
        }
        child.kill().await.unwrap();
        assert!(store.head().await.is_err());
        assert!(socket_path(&path).exists());

        let store = open_embedded(&embedded(&path)).await.unwrap();
        let record = store.get(&id("a")).await.unwrap().unwrap();
        assert_eq!(
            (record.version, store.head().await.unwrap().epoch),
            (version, version)
        );
    }
}
