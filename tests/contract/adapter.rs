//! The adapters, each with what it needs to run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyferry::store::embedded::{self, Embedded, OpenError};
use keyferry::store::local::{Client, Listener, socket_path};
use keyferry::store::redis::{Redis, Settings};
use keyferry::store::{EVENTS_KEPT, RecordId, RecordKeys, Store};
use redb::ReadableDatabase;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::redis_server::{Deployment, Program, record_keys};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Local,
    Redis,
    Oldest,
    Valkey,
    Tls,
    Sentinel,
    Cluster,
}

impl Kind {
    pub(crate) fn is_redis(self) -> bool {
        !matches!(self, Self::Embedded | Self::Local)
    }
}

/// A new, empty store of one kind.
pub(crate) struct Rig {
    place: Place,
    events_kept: u64,
    record_keys: RecordKeys,
}

enum Place {
    /// This process has the file open and uses it itself.
    Embedded {
        folder: TempDir,
        open: Option<Arc<Embedded>>,
    },
    /// This process has the file open, and everybody uses it through the socket.
    Local {
        folder: TempDir,
        gateway: Option<Gateway>,
    },
    Redis(Box<Deployment>),
}

/// A server that forgets nothing it acknowledged.
const SAFE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

impl Place {
    fn redis(redis: Deployment) -> Self {
        Self::Redis(Box::new(redis))
    }
}

/// What a gateway does for commands.
struct Gateway {
    end: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Gateway {
    fn start(store: Arc<Embedded>) -> Self {
        let listener = Listener::bind(store).unwrap();
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(async {
            let ended = async { ended.await.unwrap_or_default() };
            listener.serve(ended).await.unwrap();
        });
        Self { end, serving }
    }

    async fn stop(self) {
        self.end.send(()).unwrap();
        self.serving.await.unwrap();
    }
}

const RECORDS: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("records");

impl Rig {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::keeping(kind, EVENTS_KEPT).await
    }

    pub(crate) async fn keeping(kind: Kind, events_kept: u64) -> Self {
        let folder = || tempfile::tempdir().unwrap();
        let place = match kind {
            Kind::Embedded => Place::Embedded {
                folder: folder(),
                open: None,
            },
            Kind::Local => Place::Local {
                folder: folder(),
                gateway: None,
            },
            Kind::Redis => Place::redis(Deployment::single(&SAFE).await),
            Kind::Oldest => Place::redis(Deployment::of_program(Program::Oldest, &SAFE).await),
            Kind::Valkey => Place::redis(Deployment::of_program(Program::Valkey, &SAFE).await),
            Kind::Tls => Place::redis(Deployment::tls(&SAFE).await),
            Kind::Sentinel => Place::redis(Deployment::sentinel(&SAFE, 0, 1).await),
            Kind::Cluster => Place::redis(Deployment::cluster(&SAFE, 0).await),
        };
        let mut rig = Self {
            place,
            events_kept,
            record_keys: record_keys(),
        };
        if !kind.is_redis() {
            rig.open().await;
        }
        rig
    }

    /// What a program needs to know to open this store: a path or a URL.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Embedded { .. } | Place::Local { .. } => self.path().display().to_string(),
            Place::Redis(redis) => redis.first().url(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        match &self.place {
            Place::Embedded { folder, .. } | Place::Local { folder, .. } => {
                folder.path().join("state/keyferry.redb")
            }
            Place::Redis(_) => panic!("Redis has no path"),
        }
    }

    /// Ends the store: closes the file, stops the gateway, or kills Redis.
    pub(crate) async fn close(&mut self) {
        match &mut self.place {
            Place::Embedded { open, .. } => *open = None,
            Place::Local { gateway, .. } => gateway.take().unwrap().stop().await,
            Place::Redis(redis) => redis.servers[0].stop(),
        }
    }

    /// From now on the store is opened with these record keys.
    pub(crate) async fn believe(&mut self, record_keys: RecordKeys) {
        self.record_keys = record_keys;
        if !matches!(self.place, Place::Redis(_)) {
            self.close().await;
            self.open().await;
        }
    }

    /// Starts the store after [`Self::close`].
    pub(crate) async fn open(&mut self) {
        if let Place::Redis(redis) = &mut self.place {
            assert!(redis.servers[0].start_again().await);
            return;
        }
        let settings = embedded::Settings {
            record_keys: self.record_keys.clone(),
            events_kept: self.events_kept,
            ..embedded::Settings::new(self.path())
        };
        // What answers questions until the end lets go of the file a moment later.
        let opening = async {
            loop {
                match Embedded::open_with(&settings) {
                    Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                    opened => return opened.unwrap(),
                }
            }
        };
        let opened = tokio::time::timeout(Duration::from_secs(5), opening).await;
        let store = Arc::new(opened.expect("the file to be free"));
        match &mut self.place {
            Place::Embedded { open, .. } => *open = Some(store),
            Place::Local { gateway, .. } => *gateway = Some(Gateway::start(store)),
            Place::Redis(_) => {}
        }
    }

    /// A handle on the store: another replica, or another command, each time.
    pub(crate) async fn handle(&self) -> Arc<dyn Store> {
        match &self.place {
            Place::Embedded { open, .. } => Arc::clone(open.as_ref().unwrap()) as Arc<dyn Store>,
            Place::Local { .. } => {
                Arc::new(Client::connect(&socket_path(&self.path())).await.unwrap())
            }
            Place::Redis(redis) => Arc::new(Redis::new(&Settings {
                events_kept: self.events_kept,
                record_keys: self.record_keys.clone(),
                ..redis.settings.clone()
            })),
        }
    }

    /// Puts `stored` in the place of the record `id`, behind the store's back.
    pub(crate) async fn overwrite(&mut self, id: &RecordId, stored: &str) {
        if let Place::Redis(redis) = &self.place {
            let () = ::redis::cmd("HSET")
                .arg(format!("kf:{{kf}}:{}", id.kind()))
                .arg(id.name())
                .arg(stored)
                .query(&mut redis.first().connection())
                .unwrap();
            return;
        }
        self.close().await;
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

    /// Puts `garbage` in the place of what was last seen of the client and of the credential, and
    /// breaks the client's counts in this piece of time; in Redis also what the brownout of phase 1
    /// spent, and what `writer` told last.
    pub(crate) async fn damage(
        &mut self,
        (client, credential, piece): (&str, &str, u32),
        writer: &str,
        garbage: &str,
    ) {
        const BROKEN_OFF: &[u8] = &[0xff];
        if let Place::Redis(redis) = &self.place {
            let (seen, counts) = (format!("{client}:certificate"), format!("counts:{piece}"));
            let fields = [
                ("seen", seen.as_str(), garbage.as_bytes()),
                ("used", credential, garbage.as_bytes()),
                (counts.as_str(), client, BROKEN_OFF),
                ("spent", "1", garbage.as_bytes()),
            ];
            let mut all = ::redis::pipe();
            for (key, field, stored) in fields {
                all.hset(format!("kf:{{kf}}:{key}"), field, stored);
            }
            all.set(format!("kf:{{kf}}:batch:{writer}"), garbage);
            return all.exec(&mut redis.first().connection()).unwrap();
        }
        self.close().await;
        let database = redb::Database::open(self.path()).unwrap();
        let transaction = database.begin_write().unwrap();
        for (table, name) in [("sightings", client), ("uses", credential)] {
            let table = redb::TableDefinition::<&str, &[u8]>::new(table);
            let mut table = transaction.open_table(table).unwrap();
            table.insert(name, garbage.as_bytes()).unwrap();
        }
        let counts = redb::TableDefinition::<(u32, &str), &[u8]>::new("counts");
        let mut counts = transaction.open_table(counts).unwrap();
        counts.insert((piece, client), BROKEN_OFF).unwrap();
        drop(counts);
        transaction.commit().unwrap();
        drop(database);
        self.open().await;
    }

    /// For how long Redis still keeps `key`.
    pub(crate) fn seconds_left(&self, key: &str) -> i64 {
        let Place::Redis(redis) = &self.place else {
            panic!("only Redis forgets by itself");
        };
        let mut question = ::redis::cmd("TTL");
        question
            .arg(key)
            .query(&mut redis.first().connection())
            .unwrap()
    }

    /// Gives a key of Redis another name.
    pub(crate) fn rename(&self, key: &str, name: &str) {
        let Place::Redis(redis) = &self.place else {
            panic!("only Redis has it");
        };
        let mut rename = ::redis::cmd("RENAME");
        rename.arg(key).arg(name);
        rename.exec(&mut redis.first().connection()).unwrap();
    }

    /// How much memory Redis needs for `key`.
    pub(crate) fn bytes_of(&self, key: &str) -> u64 {
        let Place::Redis(redis) = &self.place else {
            panic!("only Redis holds it in memory");
        };
        let mut question = ::redis::cmd("MEMORY");
        question.arg("USAGE").arg(key).arg("SAMPLES").arg(0);
        let answer = question.query(&mut redis.first().connection());
        answer.unwrap()
    }

    /// What is stored as the record `id`.
    pub(crate) async fn stored(&mut self, id: &RecordId) -> String {
        if let Place::Redis(redis) = &self.place {
            return ::redis::cmd("HGET")
                .arg(format!("kf:{{kf}}:{}", id.kind()))
                .arg(id.name())
                .query(&mut redis.first().connection())
                .unwrap();
        }
        self.close().await;
        let database = redb::Database::open(self.path()).unwrap();
        let records = database.begin_read().unwrap().open_table(RECORDS).unwrap();
        let stored = records.get(id.to_string().as_str()).unwrap().unwrap();
        let stored = String::from_utf8(stored.value().to_vec()).unwrap();
        drop((records, database));
        self.open().await;
        stored
    }
}
