//! The adapters, each with what it needs to run.

use std::path::PathBuf;
use std::sync::Arc;

use keyferry::store::embedded::Embedded;
use keyferry::store::{EVENTS_KEPT, RecordId, Store};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
}

/// A new, empty store of one kind.
pub(crate) struct Rig {
    folder: TempDir,
    events_kept: u64,
    embedded: Option<Arc<Embedded>>,
}

impl Rig {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::keeping(kind, EVENTS_KEPT).await
    }

    pub(crate) async fn keeping(_kind: Kind, events_kept: u64) -> Self {
        let mut rig = Self {
            folder: tempfile::tempdir().unwrap(),
            events_kept,
            embedded: None,
        };
        rig.open().await;
        rig
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("state/keyferry.redb")
    }

    /// Lets go of the store, for another process to take it.
    pub(crate) fn close(&mut self) {
        self.embedded = None;
    }

    pub(crate) async fn open(&mut self) {
        let embedded = Embedded::open_keeping(&self.path(), self.events_kept).unwrap();
        self.embedded = Some(Arc::new(embedded));
    }

    /// A handle on the store: another replica, or another command, each time.
    pub(crate) fn handle(&self) -> Arc<dyn Store> {
        Arc::clone(self.embedded.as_ref().unwrap()) as Arc<dyn Store>
    }

    /// Puts `stored` in the place of the record `id`, behind the store's back.
    pub(crate) async fn overwrite(&mut self, id: &RecordId, stored: &str) {
        self.embedded = None;
        let database = redb::Database::open(self.path()).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(redb::TableDefinition::<&str, &[u8]>::new("records"))
            .unwrap()
            .insert(id.to_string().as_str(), stored.as_bytes())
            .unwrap();
        transaction.commit().unwrap();
        drop(database);
        self.open().await;
    }

    /// What is stored as the record `id`.
    pub(crate) async fn stored(&mut self, id: &RecordId) -> String {
        use redb::ReadableDatabase;
        self.embedded = None;
        let database = redb::Database::open(self.path()).unwrap();
        let read = database.begin_read().unwrap();
        let table = read
            .open_table(redb::TableDefinition::<&str, &[u8]>::new("records"))
            .unwrap();
        let stored = table.get(id.to_string().as_str()).unwrap().unwrap();
        let stored = String::from_utf8(stored.value().to_vec()).unwrap();
        drop((table, read, database));
        self.open().await;
        stored
    }
}
