//! The directory over each store.

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use keyferry::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use keyferry::client::{ClientId, CredentialId, History, LastUse, Sighting, Use};
use keyferry::clock::Day;
use keyferry::directory::Directory;
use keyferry::key::{KeyId, KeyRecord};
use keyferry::store::{
    Batch, Change, CommitError, Committed, Epoch, Follow, Head, Heard, Legible, Letter, Loaded,
    Page, Posting, RecordId, Replica as Gateway, Reseal, Resealed, Selection, Store, StoreError,
    StoredEvent, Versioned, Write,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::adapter::{Kind, Rig};
use super::records::{NOW, change, client, client_id, count_up, create, disabled, replace};

const SOON: Duration = Duration::from_secs(10);

/// A directory that follows the store, like a replica's.
pub(crate) struct Replica {
    pub(crate) directory: Arc<Directory>,
    following: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Replica {
    pub(crate) async fn start(rig: &Rig) -> Self {
        Self::over(rig.handle().await).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>) -> Self {
        let directory = Arc::new(Directory::new(store));
        let follower = Arc::clone(&directory);
        let following = tokio::spawn(async move { follower.follow().await });
        let replica = Self {
            directory,
            following,
        };
        replica.until(Directory::is_loaded).await;
        replica
    }

    /// It hears nothing of the store any more.
    pub(crate) fn pause(&self) {
        self.following.abort();
    }

    /// It goes on with what it knows, and follows the store again.
    pub(crate) fn resume(&mut self) {
        let follower = Arc::clone(&self.directory);
        self.following = tokio::spawn(async move { follower.follow().await });
    }

    pub(crate) async fn until(&self, holds: impl Fn(&Directory) -> bool) {
        let waiting = async {
            while !holds(&self.directory) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, waiting).await.unwrap();
    }

    pub(crate) fn active(&self, client: &str) -> Option<bool> {
        let id: ClientId = client_id(client);
        self.directory.view().is_client_active(&id)
    }
}

pub(crate) async fn a_directory_loads_and_follows(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let version = store.commit(&create(client("a"))).await.unwrap().epoch;
    let replica = Replica::start(&rig).await;
    assert_eq!(replica.active("a"), Some(true));
    assert_eq!(replica.directory.epoch(), version);

    let version = store
        .commit(&replace(version, disabled("a")))
        .await
        .unwrap()
        .epoch;
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
    let mut replica = Replica::start(&rig).await;
    replica.pause();
    count_up(&*rig.handle().await, "a", 350).await;
    assert_eq!(replica.active("a"), None);
    replica.resume();
    replica
        .until(|directory| directory.epoch() == Epoch(350))
        .await;
    assert_eq!(replica.active("a"), Some(true));
}

/// A store whose answers for the epoch are held back until they are let through.
pub(crate) struct Held {
    store: Arc<dyn Store>,
    asked: Semaphore,
    let_through: Semaphore,
    /// What others do just before a record is read.
    pub(crate) quicker: Mutex<Vec<Change>>,
}

impl Held {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            asked: Semaphore::new(0),
            let_through: Semaphore::new(0),
            quicker: Mutex::default(),
        }
    }
}

#[async_trait]
impl Store for Held {
    async fn head(&self) -> Result<Head, StoreError> {
        let head = self.store.head().await;
        self.asked.add_permits(1);
        self.let_through.acquire().await.unwrap().forget();
        head
    }

    async fn commit(&self, change: &Change) -> Result<Committed, CommitError> {
        self.store.commit(change).await
    }

    async fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError> {
        let quicker = std::mem::take(&mut *self.quicker.lock().unwrap());
        for change in quicker {
            self.store.commit(&change).await.unwrap();
        }
        self.store.get(id).await
    }

    async fn select(&self, which: &Selection) -> Result<Vec<Versioned>, StoreError> {
        self.store.select(which).await
    }

    async fn load(&self, each: &mut (dyn FnMut(Loaded) + Send)) -> Result<Head, StoreError> {
        self.store.load(each).await
    }

    async fn trail(&self, after: Epoch) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.trail(after).await
    }

    async fn reseal(&self, reseal: Reseal, from: Option<&str>) -> Result<Resealed, StoreError> {
        self.store.reseal(reseal, from).await
    }

    async fn follow(&self, after: Head, _: Duration) -> Result<Follow, StoreError> {
        // Slow to follow, so that only catching up brings what is new.
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.store.follow(after, Duration::ZERO).await
    }

    async fn saw(&self, batch: &Batch) -> Result<u64, StoreError> {
        self.store.saw(batch).await
    }

    async fn sightings(&self) -> Result<Legible<Sighting, ClientId>, StoreError> {
        self.store.sightings().await
    }

    async fn uses(&self) -> Result<Legible<Use, CredentialId>, StoreError> {
        self.store.uses().await
    }

    async fn sighting(&self, client: &ClientId) -> Result<Legible<Sighting, ClientId>, StoreError> {
        self.store.sighting(client).await
    }

    async fn last_use(&self, credential: &CredentialId) -> Result<Option<LastUse>, StoreError> {
        self.store.last_use(credential).await
    }

    async fn counts(
        &self,
        client: &ClientId,
        days: RangeInclusive<Day>,
    ) -> Result<History, StoreError> {
        self.store.counts(client, days).await
    }

    async fn all_counts(
        &self,
        days: RangeInclusive<Day>,
        each: &mut (dyn FnMut(ClientId, History) + Send),
    ) -> Result<(), StoreError> {
        self.store.all_counts(days, each).await
    }

    async fn totals(&self, days: RangeInclusive<Day>) -> Result<History, StoreError> {
        self.store.totals(days).await
    }

    async fn spent(&self, phase: Epoch) -> Result<u64, StoreError> {
        self.store.spent(phase).await
    }

    async fn announce(&self, replica: &Gateway) -> Result<(), StoreError> {
        self.store.announce(replica).await
    }

    async fn replicas(&self) -> Result<Legible<Heard, String>, StoreError> {
        self.store.replicas().await
    }

    async fn mailbox(&self, name: &str) -> Result<Option<Page>, StoreError> {
        self.store.mailbox(name).await
    }

    async fn letters(&self, mailbox: &str) -> Result<Legible<Letter, u16>, StoreError> {
        self.store.letters(mailbox).await
    }

    async fn post(&self, posting: &Posting) -> Result<bool, StoreError> {
        self.store.post(posting).await
    }
}

/// Whoever asks the store may go away before the answer. Those who wait for that answer must not be
/// given the one before, which is older than they are: a new key would be unknown to them.
pub(crate) async fn catching_up_survives_that_the_asker_goes_away(kind: Kind) {
    let rig = Rig::start(kind).await;
    let held = Arc::new(Held::new(rig.handle().await));
    let replica = Replica::over(Arc::clone(&held) as Arc<dyn Store>).await;
    let mut askers = [(); 3].map(|()| Box::pin(replica.directory.catch_up()));
    let [first, goes_away, waits] = &mut askers;
    // The first asks, and is told that there is nothing.
    until_asked(&held, first).await;
    rig.handle()
        .await
        .commit(&create(client("a")))
        .await
        .unwrap();
    // After the change come two who wait for the first, since its answer may be too old for them.
    assert!(begin(goes_away).await.is_none() && begin(waits).await.is_none());
    held.let_through.add_permits(1);
    first.await.unwrap();
    // One of them asks for both, and goes away.
    until_asked(&held, goes_away).await;
    *goes_away = Box::pin(replica.directory.catch_up());
    held.let_through.add_permits(1);
    waits.await.unwrap();
    assert_eq!(replica.active("a"), Some(true));
}

/// What a client was given a moment ago belongs to it, wherever memory lags: else a change would be
/// decided without it.
pub(crate) async fn what_a_client_has_is_read_with_all_that_it_was_given(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let version = store.commit(&create(client("a"))).await.unwrap().epoch;
    let slow = Held::new(rig.handle().await);
    let replica = Replica::over(Arc::new(slow)).await;
    let key = KeyRecord::reserved(KeyId::generate(), client_id("a"), NOW);
    let mapping = Mapping::Mapped {
        client: client_id("a"),
        key: key.id,
    };
    let fingerprint = Fingerprint::of(b"a certificate");
    let certificate = CertificateRecord::new(fingerprint, mapping, Source::Operator, NOW);
    let given = change(vec![
        Write::replace(version, client("a")),
        Write::create(key),
        Write::create(certificate),
    ]);
    let version = store.commit(&given).await.unwrap().epoch;
    assert!(replica.directory.epoch() < version, "it does not lag");
    let holdings = replica.directory.holdings(&client_id("a")).await;
    let holdings = holdings.unwrap().unwrap();
    assert_eq!(holdings.client.0, version);
    assert_eq!((holdings.certificates.len(), holdings.keys.len()), (1, 1));
    let nobody = replica.directory.holdings(&client_id("b")).await;
    assert!(nobody.unwrap().is_none());
}

async fn until_asked<T>(held: &Held, asker: &mut Pin<Box<impl Future<Output = T>>>) {
    tokio::select! {
        _ = asker => panic!("it was answered"),
        permit = held.asked.acquire() => permit.unwrap().forget(),
    }
}

/// Runs `future` until it first waits.
async fn begin<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
