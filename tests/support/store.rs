//! A Redis that gateways share, and the store in it as the operator's commands use it: for what no
//! client can do to itself.

use keyferry::certificate::{AliasRecord, CertificateRecord};
use keyferry::client::ClientRecord;
use keyferry::clock;
use keyferry::key::KeyRecord;
use keyferry::store::redis::Redis;
use keyferry::store::{Action, Actor, Change, Record, RecordId, Store as _, Versioned, Write};
use tokio::runtime::Runtime;

use super::redis::RedisServer;
use super::wait_for;

/// A Redis of the test's own that keeps what it was told over a restart.
pub(crate) struct SharedStore {
    // Ends first: a connection needs it.
    store: Redis,
    server: RedisServer,
    runtime: Runtime,
}

impl SharedStore {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let server = runtime.block_on(RedisServer::start(&["--appendonly", "yes"]));
        let store = Redis::new(&server.settings());
        Self {
            store,
            server,
            runtime,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Ends Redis as a crash would, once it has written what it acknowledged: while the disk is slow
    /// it acknowledges first.
    pub(crate) fn stop(&mut self) {
        wait_for("Redis to write", || {
            let mut info = redis::cmd("INFO");
            let info: String = info.arg("persistence").query(&mut self.connection()).ok()?;
            info.contains("aof_buffer_length:0\r").then_some(())
        });
        self.server.stop();
    }

    /// Starts it again with all that it had acknowledged.
    pub(crate) fn start_again(&mut self) {
        assert!(self.runtime.block_on(self.server.start_again()));
    }

    /// The server, to be tampered with.
    pub(crate) const fn server(&self) -> &RedisServer {
        &self.server
    }

    /// Looks behind the store's back.
    pub(crate) fn connection(&self) -> redis::Connection {
        self.server.connection()
    }

    /// Changes what the store remembers of a client.
    pub(crate) fn edit_client(&self, id: &str, edit: impl FnOnce(&mut ClientRecord)) {
        let id = RecordId::Client(id.parse().expect("a client id"));
        self.edit(&id, Action::ClientDisabled, |record| match record {
            Record::Client(client) => edit(client),
            other => panic!("{other:?} is no client"),
        });
    }

    /// Changes what the store remembers of a key.
    pub(crate) fn edit_key(&self, id: &str, edit: impl FnOnce(&mut KeyRecord)) {
        let id = RecordId::Key(id.parse().expect("a key id"));
        self.edit(&id, Action::KeyIssued, |record| match record {
            Record::Key(key) => edit(key),
            other => panic!("{other:?} is no key"),
        });
    }

    /// Changes what the store remembers of another name of a certificate.
    pub(crate) fn edit_alias(&self, id: &str, edit: impl FnOnce(&mut AliasRecord)) {
        let id = RecordId::Alias(id.parse().expect("an alias"));
        self.edit(&id, Action::CertificateAnnounced, |record| match record {
            Record::Alias(alias) => edit(alias),
            other => panic!("{other:?} is no alias"),
        });
    }

    /// Gives a certificate to a client.
    pub(crate) fn add_certificate(&self, record: CertificateRecord) {
        self.commit(Action::CertificateAdded, Write::create(record));
    }

    fn edit(&self, id: &RecordId, action: Action, edit: impl FnOnce(&mut Record)) {
        let found = self.runtime.block_on(self.store.get(id));
        let Versioned {
            version,
            mut record,
        } = found.expect("a store").expect("a record");
        edit(&mut record);
        self.commit(action, Write::replace(version, record));
    }

    fn commit(&self, action: Action, write: Write) {
        let change = Change::new(
            action,
            Actor::Operator {
                name: "test".to_owned(),
            },
            clock::now(),
            vec![write],
        );
        let done = self.runtime.block_on(self.store.commit(&change));
        done.expect("a change that nobody got ahead of");
    }
}
