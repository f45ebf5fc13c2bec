//! The directory over each store.

use std::sync::Arc;
use std::time::Duration;

use keyferry::client::ClientId;
use keyferry::directory::Directory;
use keyferry::store::Epoch;
use tokio::task::JoinHandle;

use super::adapter::{Kind, Rig};
use super::records::{client, client_id, count_up, create, disabled, replace};

const SOON: Duration = Duration::from_secs(10);

/// A directory that follows the store, like a replica's.
struct Replica {
    directory: Arc<Directory>,
    following: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Replica {
    async fn start(rig: &Rig) -> Self {
        let directory = Arc::new(Directory::new(rig.handle().await));
        let follower = Arc::clone(&directory);
        let following = tokio::spawn(async move { follower.follow().await });
        let replica = Self {
            directory,
            following,
        };
        replica.until(Directory::is_loaded).await;
        replica
    }

    async fn until(&self, holds: impl Fn(&Directory) -> bool) {
        let waiting = async {
            while !holds(&self.directory) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, waiting).await.unwrap();
    }

    fn active(&self, client: &str) -> Option<bool> {
        let id: ClientId = client_id(client);
        self.directory.view().is_client_active(&id)
    }
}

pub(crate) async fn a_directory_loads_and_follows(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let version = store.commit(&create(client("a"))).await.unwrap();
    let replica = Replica::start(&rig).await;
    assert_eq!(replica.active("a"), Some(true));
    assert_eq!(replica.directory.epoch(), version);

    let version = store
        .commit(&replace(version, disabled("a")))
        .await
        .unwrap();
    replica
        .until(|directory| directory.epoch() == version)
        .await;
    assert_eq!(replica.active("a"), Some(false));
}

pub(crate) async fn catching_up_sees_a_change_of_another_at_once(kind: Kind) {
    let rig = Rig::start(kind).await;
    let replica = Replica::start(&rig).await;
    let store = rig.handle().await;
    for n in 0..50 {
        let name = format!("c{n}");
        assert_eq!(replica.active(&name), None);
        store.commit(&create(client(&name))).await.unwrap();
        replica.directory.catch_up().await.unwrap();
        assert_eq!(replica.active(&name), Some(true));
    }
}

pub(crate) async fn a_directory_that_fell_behind_the_kept_events_loads_again(kind: Kind) {
    let rig = Rig::keeping(kind, 100).await;
    let replica = Replica::start(&rig).await;
    replica.following.abort();
    count_up(&*rig.handle().await, "a", 350).await;
    assert_eq!(replica.active("a"), None);
    let follower = Arc::clone(&replica.directory);
    let following = tokio::spawn(async move { follower.follow().await });
    replica
        .until(|directory| directory.epoch() == Epoch(350))
        .await;
    assert_eq!(replica.active("a"), Some(true));
    following.abort();
}

/// Whoever asks the store first may go away before the answer; those who wait for the same answer
/// must not be given an older one.
pub(crate) async fn catching_up_survives_that_the_asker_goes_away(kind: Kind) {
    let rig = Rig::start(kind).await;
    let replica = Replica::start(&rig).await;
    replica.directory.catch_up().await.unwrap();
    let store = rig.handle().await;
    for n in 0..50 {
        let name = format!("c{n}");
        let directory = Arc::clone(&replica.directory);
        let gone = tokio::spawn(async move { directory.catch_up().await });
        tokio::task::yield_now().await;
        store.commit(&create(client(&name))).await.unwrap();
        gone.abort();
        replica.directory.catch_up().await.unwrap();
        assert_eq!(replica.active(&name), Some(true));
    }
}
