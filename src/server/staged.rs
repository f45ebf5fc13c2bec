//! Services that end when their part of the end has come, instead of all at once.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents};

use super::handover::Taken;
use super::stages::{Running, Stages, Until};

/// A service that ends at a stage of the end.
pub(super) struct Staged<S> {
    service: S,
    stages: Stages,
    until: ShutdownWatch,
    running: Option<Running>,
    taken: Taken,
}

impl<S> Staged<S> {
    pub(super) fn new(service: S, stages: &Stages, until: Until) -> Self {
        Self {
            service,
            stages: stages.clone(),
            until: stages.until(until),
            running: Some(stages.running()),
            taken: Taken::default(),
        }
    }

    /// With sockets of another process, and not before it is time to take over.
    pub(super) fn after(mut self, taken: &Taken) -> Self {
        self.taken = taken.clone();
        self
    }
}

#[async_trait]
impl<S: ServiceWithDependents> ServiceWithDependents for Staged<S> {
    async fn start_service(
        &mut self,
        sockets: Option<ListenFds>,
        _: ShutdownWatch,
        listeners_per_fd: usize,
        ready: ServiceReadyNotifier,
    ) {
        let _running = self.running.take();
        let until = self.until.clone();
        let mut ended = until.clone();
        let begins = tokio::select! {
            begins = self.taken.begin(sockets.as_ref()) => begins,
            _ = ended.wait_for(|ended| *ended) => false,
        };
        if begins {
            let service = &mut self.service;
            service
                .start_service(sockets, until, listeners_per_fd, ready)
                .await;
        } else {
            // Nothing listened, so nothing has to be waited for.
            self.stages.deaf();
        }
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }
}

/// The application `A` of the public listener, which parts with its clients step by step. HTTP/1.1 says
/// with any answer that the connection ends; HTTP/2 says it once, with GOAWAY, which could be all that a
/// client hears before its first request: so only after nothing is accepted any more.
pub(super) struct Parting<A> {
    app: Arc<A>,
    stages: Stages,
    left: ShutdownWatch,
}

impl<A> Parting<A> {
    pub(super) fn new(app: A, stages: &Stages) -> Self {
        Self {
            app: Arc::new(app),
            left: stages.left(),
            stages: stages.clone(),
        }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync> ServerApp for Parting<A> {
    async fn process_new(self: &Arc<Self>, stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        self.app.process_new(stream, &self.left).await
    }

    /// Runs when nothing is accepted any more.
    async fn cleanup(&self) {
        self.stages.deaf();
        let _ = self.left.clone().wait_for(|left| *left).await;
        // Connections on which there is no request are closed.
        self.app.cleanup().await;
    }
}
