//! Threads of their own for handshakes.
//!
//! A handshake is a millisecond of arithmetic. Done on the threads that serve requests, a flood of
//! them would stand in front of every request; here the system divides the processors between the
//! two, and requests are not slowed down by more than that.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// How much the threads let others go first: with this, requests get three quarters of a processor
/// that both want, and handshakes still go on.
const NICE: i32 = 5;

/// The threads. They begin with the first handshake, since none may run before the server does.
#[derive(Debug, Default)]
pub(super) struct Pool(OnceLock<Option<Runtime>>);

impl Pool {
    /// Runs a handshake on them; without threads of its own where the system gives none.
    pub(super) fn spawn<F>(&self, handshake: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.0.get_or_init(begin) {
            Some(threads) => threads.spawn(handshake),
            None => tokio::spawn(handshake),
        }
    }
}

/// Half as many threads as there are processors.
fn begin() -> Option<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = Builder::new_multi_thread()
        .worker_threads(processors.div_ceil(2))
        .thread_name("handshakes")
        .on_thread_start(|| {
            // Where that is forbidden, they are like any other.
            let _nice = rustix::process::nice(NICE);
        })
        .enable_time()
        .build();
    threads
        .inspect_err(|error| tracing::error!(%error, "handshakes get no threads of their own"))
        .ok()
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Waiting for its threads is forbidden where the server's own run.
        if let Some(Some(threads)) = self.0.take() {
            threads.shutdown_background();
        }
    }
}
