//! What the integration tests are built of: the real program, real clients, recording backends.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses some of the tools"
)]

pub(crate) mod again;
pub(crate) mod asker;
pub(crate) mod asking;
pub(crate) mod backend;
pub(crate) mod balancer;
pub(crate) mod clients;
pub(crate) mod cluster;
pub(crate) mod curl;
pub(crate) mod deploy;
pub(crate) mod dice;
pub(crate) mod front;
pub(crate) mod gateway;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod listening;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod old_proxy;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod python;
pub(crate) mod redis;
pub(crate) mod s_client;
pub(crate) mod scene;
pub(crate) mod signature;
pub(crate) mod store;
pub(crate) mod verify;
pub(crate) mod webhook;
pub(crate) mod websocket;
pub(crate) mod wire;
pub(crate) mod world;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyferry::clock;

/// How long a condition may take to come true before the test fails; generous, since it costs
/// nothing when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until `attempt` gives something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    wait_longer(what, PATIENCE, attempt)
}

/// Like [`wait_for`], with another patience: for what takes its time by nature.
#[track_caller]
pub(crate) fn wait_longer<T>(
    what: &str,
    patience: Duration,
    mut attempt: impl FnMut() -> Option<T>,
) -> T {
    let started = clock::monotonic();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(
            started.elapsed() < patience,
            "waited {patience:?} in vain for {what}"
        );
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one pause between two looks at a condition"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// Lets time pass, for whoever strikes at moments that chance gives. Parking alone may end at once.
pub(crate) fn linger(time: Duration) {
    let begun = clock::monotonic();
    while begun.elapsed() < time {
        std::thread::park_timeout(time.saturating_sub(begun.elapsed()));
    }
}

/// Tells whoever goes on until then that it is over, also when that is by a panic: or else nobody
/// would ever hear of it.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `N` addresses that were free a moment ago, all different.
pub(crate) fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("a bound address"))
}
