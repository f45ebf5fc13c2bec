//! The embedded store: one file, for one gateway.
//!
//! The file is a redb database: `records` (`client:acme` to the stored form of [`Versioned`]),
//! `owned` (which are or were a client's), `events` (epoch to the stored form of
//! [`Event`](super::Event)), `meta`, `head`, and the tables of what was seen and of mailboxes. A change is one
//! transaction that is on the disk before it is acknowledged.
//!
//! Whoever has the file open holds a lock on it that ends with the process. Commands that are run
//! beside a gateway therefore go through it: see [`super::local`].

mod activity;
mod mailbox;
mod open;
mod replicas;
mod tables;
mod upkeep;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redb::Database;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::spawn_blocking;

pub use open::OpenError;
use replicas::Replicas;
pub use upkeep::{check, compact};

use super::{
    Batch, Change, CommitError, Committed, EVENTS_KEPT, Epoch, Follow, Head, Heard, Legible,
    Letter, Loaded, Page, Posting, RecordId, RecordKeys, Replica, Reseal, Resealed, Selection,
    Store, StoreError, StoredEvent, Versioned,
};
use crate::client::{ClientId, CredentialId, History, LastUse, Sighting, Use};
use crate::clock::Day;

/// How many records lie between the file and whoever loads them.
const LOAD_AHEAD: usize = 256;

/// Where the file is, and what is kept in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// What records and events are authenticated with.
    pub record_keys: RecordKeys,
    /// How many events to keep.
    pub events_kept: u64,
}

impl Settings {
    /// The file `path`, in which nothing is signed.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            record_keys: RecordKeys::none(),
            events_kept: EVENTS_KEPT,
        }
    }
}

/// The store in a file that this process has open.
pub struct Embedded {
    file: Arc<OpenFile>,
    /// The file takes one change at a time; waiting for it must not hold a thread.
    writing: Arc<Mutex<()>>,
    path: PathBuf,
    replicas: Replicas,
}

struct OpenFile {
    database: Database,
    head: watch::Sender<Head>,
    record_keys: RecordKeys,
    events_kept: u64,
}

impl Embedded {
    /// Opens the store in the file `path`, in which nothing is signed.
    ///
    /// # Errors
    ///
    /// As [`Self::open_with`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(&Settings::new(path))
    }

    /// Opens the store, and makes the file (mode 0600) and its folder (0700) when there is none. It
    /// blocks for as long as that takes: after a crash, the whole file is checked.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: in use, not a store, damaged, or not allowed.
    pub fn open_with(settings: &Settings) -> Result<Self, OpenError> {
        Self::of(open::open(&settings.path)?, settings)
    }

    /// Opens the store like [`Self::open_with`], and compacts the file when more than half of it is
    /// free: for whoever has it open for long.
    ///
    /// # Errors
    ///
    /// As [`Self::open_with`].
    pub fn open_compact(settings: &Settings) -> Result<Self, OpenError> {
        Self::of(upkeep::open_compact(&settings.path)?, settings)
    }

    fn of(database: Database, settings: &Settings) -> Result<Self, OpenError> {
        let path = &settings.path;
        let head = tables::head(&database).map_err(|error| OpenError::Damaged {
            path: path.clone(),
            why: error.to_string(),
        })?;
        Ok(Self {
            file: Arc::new(OpenFile {
                database,
                head: watch::Sender::new(head),
                record_keys: settings.record_keys.clone(),
                events_kept: settings.events_kept,
            }),
            writing: Arc::default(),
            path: path.clone(),
            replicas: Replicas::default(),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `read` where it may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&OpenFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        spawn_blocking(move || read(&file))
            .await
            .map_err(|error| broken(&error))?
    }
}

#[async_trait]
impl Store for Embedded {
    async fn commit(&self, change: &Change) -> Result<Committed, CommitError> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let (file, change) = (Arc::clone(&self.file), change.clone());
        // The turn goes along: should the caller go away, the change is still carried out whole,
        // announced, and only then the next one begun.
        spawn_blocking(move || {
            let _turn = turn;
            let head =
                tables::commit(&file.database, &change, &file.record_keys, file.events_kept)?;
            file.head.send_replace(head);
            Ok(head.epoch.into())
        })
        .await
        .map_err(|error| broken(&error))?
    }

    async fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError> {
        let id = id.clone();
        self.read(move |file| tables::get(&file.database, &id, &file.record_keys))
            .await
    }

    async fn select(&self, which: &Selection) -> Result<Vec<Versioned>, StoreError> {
        let which = which.clone();
        self.read(move |file| tables::select(&file.database, &which, &file.record_keys))
            .await
    }

    async fn load(&self, each: &mut (dyn FnMut(Loaded) + Send)) -> Result<Head, StoreError> {
        let (sender, mut records) = mpsc::channel(LOAD_AHEAD);
        let reading =
            self.read(move |file| tables::load(&file.database, &file.record_keys, &sender));
        let taking = async {
            while let Some(record) = records.recv().await {
                each(record);
            }
        };
        tokio::join!(reading, taking).0
    }

    async fn reseal(&self, reseal: Reseal, from: Option<&str>) -> Result<Resealed, StoreError> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let from = from.unwrap_or_default().to_owned();
        self.read(move |file| {
            let _turn = turn;
            tables::reseal(&file.database, &file.record_keys, reseal, &from)
        })
        .await
    }

    async fn follow(&self, after: Head, wait: Duration) -> Result<Follow, StoreError> {
        let mut head = self.file.head.subscribe();
        if *head.borrow_and_update() == after {
            // Whether it came, or the wait is over: the file says what there is.
            let changed = head.wait_for(|now| *now != after);
            let _ = tokio::time::timeout(wait, changed).await;
        }
        self.read(move |file| tables::events(&file.database, after, &file.record_keys))
            .await
    }

    async fn trail(&self, after: Epoch) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(move |file| tables::trail(&file.database, after))
            .await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(|file| tables::head(&file.database)).await
    }

    async fn saw(&self, batch: &Batch) -> Result<u64, StoreError> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let batch = batch.clone();
        self.read(move |file| {
            let _turn = turn;
            activity::saw(&file.database, &batch)
        })
        .await
    }

    async fn sightings(&self) -> Result<Legible<Sighting, ClientId>, StoreError> {
        self.read(|file| activity::sightings(&file.database)).await
    }

    async fn uses(&self) -> Result<Legible<Use, CredentialId>, StoreError> {
        self.read(|file| activity::uses(&file.database)).await
    }

    async fn sighting(&self, client: &ClientId) -> Result<Legible<Sighting, ClientId>, StoreError> {
        let client = client.clone();
        self.read(move |file| activity::sighting(&file.database, &client))
            .await
    }

    async fn last_use(&self, credential: &CredentialId) -> Result<Option<LastUse>, StoreError> {
        let credential = *credential;
        self.read(move |file| activity::last_use(&file.database, &credential))
            .await
    }

    async fn counts(
        &self,
        client: &ClientId,
        days: RangeInclusive<Day>,
    ) -> Result<History, StoreError> {
        let client = client.clone();
        self.read(move |file| activity::counts(&file.database, Some(&client), &days))
            .await
    }

    async fn all_counts(
        &self,
        days: RangeInclusive<Day>,
        each: &mut (dyn FnMut(ClientId, History) + Send),
    ) -> Result<(), StoreError> {
        let (sender, mut histories) = mpsc::channel(LOAD_AHEAD);
        let reading = self.read(move |file| activity::all_counts(&file.database, &days, &sender));
        let taking = async {
            while let Some((client, history)) = histories.recv().await {
                each(client, history);
            }
        };
        tokio::join!(reading, taking).0
    }

    async fn totals(&self, days: RangeInclusive<Day>) -> Result<History, StoreError> {
        self.read(move |file| activity::counts(&file.database, None, &days))
            .await
    }

    async fn spent(&self, phase: Epoch) -> Result<u64, StoreError> {
        self.read(move |file| activity::spent(&file.database, phase))
            .await
    }

    async fn announce(&self, replica: &Replica) -> Result<(), StoreError> {
        self.replicas.announce(replica);
        Ok(())
    }

    async fn replicas(&self) -> Result<Legible<Heard, String>, StoreError> {
        Ok(self.replicas.all())
    }

    async fn mailbox(&self, name: &str) -> Result<Option<Page>, StoreError> {
        let name = name.to_owned();
        self.read(move |file| mailbox::page(&file.database, &name, &file.record_keys))
            .await
    }

    async fn letters(&self, mailbox: &str) -> Result<Legible<Letter, u16>, StoreError> {
        let mailbox = mailbox.to_owned();
        self.read(move |file| mailbox::letters(&file.database, &mailbox, &file.record_keys))
            .await
    }

    async fn post(&self, posting: &Posting) -> Result<bool, StoreError> {
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let posting = posting.clone();
        self.read(move |file| {
            let _turn = turn;
            mailbox::post(&file.database, &posting, &file.record_keys)
        })
        .await
    }
}

/// The thread that worked on the file is gone: it panicked, or the program is ending.
fn broken(error: &tokio::task::JoinError) -> StoreError {
    StoreError::Unavailable(format!("the embedded store broke off: {error}"))
}
