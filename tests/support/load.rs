//! Clients that call over and over while something happens to the gateway.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::backend::Backend;
use super::python::run_within;
use super::wait_for;
use super::world::{HOST, Identity, World};

/// How many callers of each kind there are.
const CALLERS: usize = 2;
/// How many requests must have come before anything happens, and again after it.
const SOME: usize = 100;
/// Longer than anything happens; whoever runs the tests ends them before that.
const LONG: Duration = Duration::from_hours(3);

/// What became of the requests of one kind of client.
#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) answers: u64,
    pub(crate) connections: u64,
    /// How often a client was told to go on elsewhere.
    pub(crate) told: u64,
    /// How many connections were refused before a request was sent.
    pub(crate) refused: u64,
    pub(crate) failures: Vec<String>,
}

/// Clients that connect anew for each request, that keep an HTTP/1.1 connection, and that speak
/// HTTP/2, call `address` while `happens`. Where they `may_refuse`, a connection that is refused before
/// a request is sent is no failure.
pub(crate) fn load(
    world: &World,
    address: SocketAddr,
    clients: (&Identity, &Backend),
    may_refuse: bool,
    happens: impl FnOnce(),
) -> BTreeMap<String, Outcome> {
    load_at("/load", world, address, clients, may_refuse, happens)
}

/// The same at another path.
pub(crate) fn load_at(
    path: &str,
    world: &World,
    address: SocketAddr,
    (client, backend): (&Identity, &Backend),
    may_refuse: bool,
    happens: impl FnOnce(),
) -> BTreeMap<String, Outcome> {
    let until = world.path(&uuid::Uuid::now_v7().to_string());
    let given = json!({
        "address": address,
        "host": HOST,
        "authority": world.authority,
        "certificate": client.chain,
        "key": client.key,
        "path": path,
        "until": until,
        "may_refuse": may_refuse,
        "callers": { "new": CALLERS, "kept": CALLERS, "h2": CALLERS },
    });
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| run_within(LONG, "load_client.py", &given));
        {
            // Also when it ends in a panic, or they would go on calling.
            let _until = Until(&until);
            more_requests(backend);
            happens();
        }
        let told = calling.join().expect("its own assertions hold");
        serde_json::from_value(told).expect("what the script promises")
    })
}

/// A file that is there from its end on.
struct Until<'a>(&'a Path);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::write(self.0, "") {
            eprintln!("the callers are not told to stop: {error}");
        }
    }
}

/// Waits until more requests have come to the backend.
#[track_caller]
pub(crate) fn more_requests(backend: &Backend) {
    backend.forget();
    wait_for("more requests", || {
        (backend.requests().len() >= SOME).then_some(())
    });
}
