//! The same identities in a Redis of its own, and a directory that loads them from there.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keyferry::clock;
use keyferry::directory::Directory;
use keyferry::secret::Secret;
use keyferry::store::redis::{Address, Redis, Settings, Shape};
use keyferry::store::{Action, Actor, Change, RecordKey, RecordKeys, Store, StoreError, Write};

use crate::identities::{Identity, NOW, Writer};
use crate::told;

/// How many identities one change makes.
const AT_ONCE: u32 = 500;

/// A `redis-server` process, which ends with this value.
struct Server(Child, u16);

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        Self(command.stdout(Stdio::null()).spawn().unwrap(), port)
    }

    fn settings(&self) -> Settings {
        let secret = Secret::new(vec![9; 32]);
        Settings {
            record_keys: RecordKeys::new(RecordKey::new(1, &secret), []),
            response_timeout: Duration::from_secs(30),
            // Else the events of the changes that make the identities would be kept as well.
            events_kept: 100,
            ..Settings::new(Shape::Single(Address {
                host: "127.0.0.1".to_owned(),
                port: self.1,
            }))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Writes so many identities into Redis, and loads them twice: as a gateway does that starts, and as
/// one does that has lost its connection and still has what it knew.
pub(crate) async fn load(number: u32) {
    let server = Server::start();
    let store: Arc<dyn Store> = Arc::new(Redis::new(&server.settings()));
    let begun = clock::monotonic();
    while let Err(StoreError::Unavailable(_)) = store.head().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "no redis-server");
    }
    let identities = Writer::new();
    for first in (0..number).step_by(AT_ONCE as usize) {
        let some = first..number.min(first + AT_ONCE);
        let writes = some.flat_map(|number| identities.records(&Identity::new(number, 0)));
        let actor = Actor::Operator {
            name: "bench".to_owned(),
        };
        let writes = writes.map(Write::create).collect();
        let change = Change::new(Action::KeyIssued, actor, NOW, writes);
        store.commit(&change).await.unwrap();
    }
    println!("written in {:.1} s", begun.elapsed().as_secs_f64());
    let _first = loaded(&store, number).await;
    let _second = loaded(&store, number).await;
}

async fn loaded(store: &Arc<dyn Store>, number: u32) -> Arc<Directory> {
    let (before, begun) = (crate::resident(), clock::monotonic());
    let directory = Arc::new(Directory::new(Arc::clone(store)));
    let follow = Arc::clone(&directory);
    let following = tokio::spawn(async move { follow.follow().await });
    while !directory.is_loaded() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    following.abort();
    assert_eq!(directory.view().len()[0].1, number as usize);
    told("identities from Redis", number, before);
    println!("  in {took:.1} s");
    directory
}
