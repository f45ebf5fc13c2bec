//! The configuration: read from one file and the environment, and whole or not at all.
//!
//! Two steps. [`file::File`] is what was typed; [`Config`] is what the stages need, with every
//! file read and every name resolved, and only [`Source::read`] makes one. Whatever is wrong is
//! reported together: file, line, key, what is wrong, and what to write instead.

mod build;
mod changes;
mod document;
mod example;
pub mod file;
mod lists;
mod period;
mod places;
mod problem;
mod reference;
mod settings;
mod source;
mod typed;
mod webhook;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::admin;
use crate::certificate::Ca;
use crate::client::{Enrolment, Renewal};
use crate::door::Lifetimes;
use crate::front::Fronts;
use crate::key::Format;
use crate::policy::{Observing, Route};
pub use changes::Changes;
pub use changes::listed;
pub use lists::{Lists, Look};
pub use period::Period;
pub use problem::{KeyPath, Place, Problem, Problems};
pub use reference::reference;
pub use settings::{
    Address, Backend, BackendTls, Collector, FirstSights, Headers, HealthCheck, Http, Keys, Limits,
    ListFiles, Listener, Migration, NamedFile, Offline, Pem, SelfService, ServerCertificate,
    Shutdown, StoreSettings, Telemetry, Tracing,
};
pub(crate) use source::read_up_to;
pub use source::{Reading, Seen, Source};
pub use webhook::Webhook;

/// A configuration with which the gateway can start.
#[derive(Debug)]
pub struct Config {
    /// Where clients connect.
    pub listener: Listener,
    /// How long clients may take.
    pub lifetimes: Lifetimes,
    /// Whose client certificates are accepted.
    pub cas: Vec<Ca>,
    /// Where the revocation lists of each are, in the order of `cas`.
    pub lists: Vec<Option<ListFiles>>,
    /// What is done with new certificates of known clients, in the order of `cas`.
    pub renewal: Vec<Renewal>,
    /// What happens with an unknown certificate.
    pub enrolment: Enrolment,
    /// How many of them become known.
    pub first_sights: FirstSights,
    /// How keys look and how they are stored.
    pub keys: Keys,
    /// Where everything is remembered.
    pub store: StoreSettings,
    /// What is done while that cannot be reached.
    pub offline: Offline,
    /// The services behind the gateway.
    pub backends: Vec<Backend>,
    /// Which requests go where.
    pub routes: Vec<Route>,
    /// The endpoints by which clients help themselves.
    pub self_service: SelfService,
    /// How the move is watched and steered.
    pub migration: Migration,
    /// What there may be at once, and how often.
    pub limits: Limits,
    /// The headers that carry the identity to backends.
    pub headers: Headers,
    /// What clients may ask of the gateway over HTTP.
    pub http: Http,
    /// Whose requests are only observed; none: the gateway enforces.
    pub observe: Option<Observing>,
    /// How the gateway ends.
    pub shutdown: Shutdown,
    /// Who is believed to forward the certificates of clients.
    pub fronts: Arc<Fronts>,
    /// Metrics, health, logs and traces.
    pub telemetry: Telemetry,
    /// Who is told what happens.
    pub webhooks: Vec<Webhook>,
    /// Where the operator's questions are answered; none when nowhere.
    pub admin: Option<admin::Settings>,
    /// Every file that was read for it, in that order.
    pub files: Vec<NamedFile>,
}

/// What a gateway keeps as it was at its start, of what it and its operator ask for later.
pub struct Fixed {
    addresses: [SocketAddr; 2],
    store: StoreSettings,
    offline: Offline,
    key_format: Format,
    files: Vec<NamedFile>,
}

impl Fixed {
    /// What of `config` stays.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let files = config.files.iter().filter(|file| !file.is_live());
        Self {
            addresses: [config.listener.address, config.telemetry.address],
            store: config.store.clone(),
            offline: config.offline.clone(),
            key_format: config.keys.format.clone(),
            files: files.cloned().collect(),
        }
    }
}

impl Config {
    /// Where a gateway goes on that keeps `fixed`: what its operator asks about is what it has, also when that
    /// is another one in its file by now. Record keys are taken over otherwise.
    pub fn stay_where(&mut self, fixed: &Fixed) {
        [self.listener.address, self.telemetry.address] = fixed.addresses;
        self.store = fixed.store.clone();
        self.offline = fixed.offline.clone();
        self.keys.format = fixed.key_format.clone();
        self.files.retain(NamedFile::is_live);
        self.files.extend(fixed.files.iter().cloned());
    }
}

impl Config {
    /// Reads the file at `path` and the `KEYFERRY__…` variables of the environment `env`, and every
    /// file that they name.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, in the order of the file.
    pub fn load(
        path: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        Source::new(path.to_owned(), env).read().config
    }

    /// The names of the backends that still get the headers of an old proxy.
    pub fn masquerading(&self) -> impl Iterator<Item = &str> {
        let backends = self.backends.iter();
        let told = backends.filter(|backend| !backend.masquerade.is_empty());
        told.map(|backend| backend.name.as_str())
    }
}

#[cfg(test)]
mod tests;
