//! What resolves the names of backends, checks their addresses and ends connections to them that wait
//! for too long, for as long as they are in use.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::upstream::Backend;

/// Runs it for each of them.
pub(super) struct Balancers(pub(super) watch::Receiver<Vec<Arc<Backend>>>);

/// It stops when dropped.
struct Running {
    backend: Arc<Backend>,
    task: AbortHandle,
}

impl Running {
    fn start(backend: &Arc<Backend>, shutdown: &ShutdownWatch) -> Self {
        let (served, shutdown) = (Arc::clone(backend), shutdown.clone());
        let task = tokio::spawn(async move { served.look_after(shutdown).await });
        Self {
            backend: Arc::clone(backend),
            task: task.abort_handle(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.backend.close_idle();
    }
}

#[async_trait]
impl BackgroundService for Balancers {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let (mut used, mut running) = (self.0.clone(), Vec::<Running>::new());
        loop {
            let wanted = used.borrow_and_update().clone();
            running.retain(|one| {
                wanted
                    .iter()
                    .any(|backend| Arc::ptr_eq(backend, &one.backend))
            });
            for backend in &wanted {
                if !running.iter().any(|one| Arc::ptr_eq(backend, &one.backend)) {
                    running.push(Running::start(backend, &shutdown));
                }
            }
            tokio::select! {
                Ok(()) = used.changed() => {}
                _ = shutdown.changed() => break,
            }
        }
    }
}
