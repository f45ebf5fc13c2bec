//! The adapters, each with what it needs to run.

use std::path::PathBuf;
use std::sync::Arc;

use keyferry::store::embedded::Embedded;
use keyferry::store::redis::{Redis, Settings};
use keyferry::store::{EVENTS_KEPT, RecordId, Store};
use redb::ReadableDatabase;
use tempfile::TempDir;

use super::redis_server::RedisServer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Redis,
}

/// A new, empty store of one kind.
pub(crate) struct Rig {
    place: Place,
    events_kept: u64,
}

enum Place {
    Embedded {
        folder: TempDir,
        open: Option<Arc<Embedded>>,
    },
    Redis(RedisServer),
}

const RECORDS: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("records");

impl Rig {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::keeping(kind, EVENTS_KEPT).await
    }

    pub(crate) async fn keeping(kind: Kind, events_kept: u64) -> Self {
        let place = match kind {
            Kind::Embedded => Place::Embedded {
                folder: tempfile::tempdir().unwrap(),
                open: None,
            },
            Kind::Redis => {
                let safe = ["--appendonly", "yes", "--appendfsync", "always"];
                Place::Redis(RedisServer::start(&safe).await)
            }
        };
        let mut rig = Self { place, events_kept };
        rig.open().await;
        rig
    }

    /// What a program needs to know to open this store: a path or a URL.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Embedded { .. } => self.path().to_str().unwrap().to_owned(),
            Place::Redis(server) => server.url(),
        }
    }

    fn path(&self) -> PathBuf {
        match &self.place {
            Place::Embedded { folder, .. } => folder.path().join("state/keyferry.redb"),
            Place::Redis(_) => panic!("Redis has no path"),
        }
    }

    /// Lets go of the store, for another process to take it.
    pub(crate) fn close(&mut self) {
        if let Place::Embedded { open, .. } = &mut self.place {
            *open = None;
        }
    }

    /// Opens the store after [`Self::close`], [`Self::stop`] or the death of another process.
    pub(crate) async fn open(&mut self) {
        let path = self.path_if_embedded();
        match (&mut self.place, path) {
            (Place::Embedded { open, .. }, Some(path)) => {
                let embedded = Embedded::open_keeping(&path, self.events_kept).unwrap();
                *open = Some(Arc::new(embedded));
            }
            (Place::Redis(_), _) | (_, None) => {}
        }
    }

    fn path_if_embedded(&self) -> Option<PathBuf> {
        matches!(self.place, Place::Embedded { .. }).then(|| self.path())
    }

    /// A handle on the store: another replica, or another command, each time.
    pub(crate) fn handle(&self) -> Arc<dyn Store> {
        match &self.place {
            Place::Embedded { open, .. } => Arc::clone(open.as_ref().unwrap()) as Arc<dyn Store>,
            Place::Redis(server) => Arc::new(
                Redis::new(&Settings {
                    events_kept: self.events_kept,
                    ..Settings::new(server.url())
                })
                .unwrap(),
            ),
        }
    }

    /// Puts `stored` in the place of the record `id`, behind the store's back.
    pub(crate) async fn overwrite(&mut self, id: &RecordId, stored: &str) {
        if let Place::Redis(server) = &self.place {
            let () = redis::cmd("HSET")
                .arg(format!("kf:{{kf}}:{}", id.kind()))
                .arg(id.name())
                .arg(stored)
                .query(&mut server.connection())
                .unwrap();
            return;
        }
        self.close();
        let database = redb::Database::open(self.path()).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(RECORDS)
            .unwrap()
            .insert(id.to_string().as_str(), stored.as_bytes())
            .unwrap();
        transaction.commit().unwrap();
        drop(database);
        self.open().await;
    }

    /// What is stored as the record `id`.
    pub(crate) async fn stored(&mut self, id: &RecordId) -> String {
        if let Place::Redis(server) = &self.place {
            return redis::cmd("HGET")
                .arg(format!("kf:{{kf}}:{}", id.kind()))
                .arg(id.name())
                .query(&mut server.connection())
                .unwrap();
        }
        self.close();
        let database = redb::Database::open(self.path()).unwrap();
        let records = database.begin_read().unwrap().open_table(RECORDS).unwrap();
        let stored = records.get(id.to_string().as_str()).unwrap().unwrap();
        let stored = String::from_utf8(stored.value().to_vec()).unwrap();
        drop((records, database));
        self.open().await;
        stored
    }
}
