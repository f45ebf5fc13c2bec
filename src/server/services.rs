//! Pingora's server and the services on it, each with the time when it ends.

use std::net::SocketAddr;

use pingora::apps::ServerApp;
use pingora::server::{RunArgs, Server};
use pingora::services::ServiceWithDependents;
use pingora::services::background::{BackgroundService, background_service};
use pingora::services::listening::Service;

use super::handover::Taken;
use super::parts::Beside;
use super::staged::Staged;
use super::stages::{Stages, Until};
use super::stop::Stop;
use super::tasks::KeepAsking;

pub(super) struct Services<'a> {
    pub(super) server: Server,
    pub(super) stages: &'a Stages,
    /// The sockets of another process.
    pub(super) taken: &'a Taken,
}

impl Services<'_> {
    /// Adds one that ends last: requests that are still under way may need it.
    pub(super) fn last<T>(&mut self, name: &str, task: T)
    where
        T: BackgroundService + Send + Sync + 'static,
    {
        let service = background_service(name, task);
        let service = Staged::new(service, self.stages, Until::Ended);
        self.server.add_service(service);
    }

    /// Adds a listener that is seldom asked.
    pub(super) fn small<A>(&mut self, name: &str, app: A, address: SocketAddr)
    where
        A: ServerApp + Send + Sync + 'static,
    {
        let mut service = Service::new(name.to_owned(), app);
        service.threads = Some(1);
        service.add_tcp(&address.to_string());
        self.listening(service, Until::Silent);
    }

    /// Adds one that listens, or begins when the listeners do.
    pub(super) fn listening(
        &mut self,
        service: impl ServiceWithDependents + 'static,
        until: Until,
    ) {
        let service = Staged::new(service, self.stages, until).after(self.taken);
        self.server.add_service(service);
    }

    /// Adds what goes on beside the requests.
    pub(super) fn beside(&mut self, beside: Beside) {
        self.last("directory", beside.follow);
        self.last("backends", beside.balancers);
        if let Some(commands) = beside.commands {
            self.last("commands", commands);
        }
        self.last("reload", beside.reload);
        self.last("revocation lists", beside.lists);
        self.last("sightings", beside.sightings);
        self.last("asking", KeepAsking(beside.asking));
        self.last("lessons", beside.learn);
        self.last("terms", beside.terms);
        self.last("secrets", beside.secrets);
        if let Some(budgets) = beside.budgets {
            self.last("budgets", budgets);
        }
        if let Some(export) = beside.export {
            self.last("spans", export);
        }
        self.last("webhooks", beside.webhooks);
        self.last("replicas", beside.replicas);
        if let Some(snapshot) = beside.snapshot {
            self.last("snapshot", snapshot);
        }
    }

    /// Runs them until the end.
    pub(super) fn run(mut self, stop: Stop) {
        self.server.bootstrap();
        self.server.run(RunArgs {
            shutdown_signal: Box::new(stop),
        });
    }
}
