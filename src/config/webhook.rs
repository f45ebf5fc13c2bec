//! Somebody who is told what happens, as whoever tells needs to know.

use std::time::Duration;

use super::settings::{Address, BackendTls};
use crate::upstream::{Protocol, Settings};
use crate::webhook::{Kind, Secret};

/// Somebody who is told what happens.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name, which no other has.
    pub name: String,
    /// Its host and port.
    pub address: Address,
    /// What messages are posted to there; it may hold a token.
    pub path: String,
    /// None for plain text.
    pub tls: Option<BackendTls>,
    /// How long it may take.
    pub timeout: Duration,
    /// What messages are signed with, all of them.
    pub secrets: Vec<Secret>,
    /// What it is told.
    pub events: Vec<Kind>,
}

impl Webhook {
    /// What whoever talks to it has to know.
    #[must_use]
    pub fn upstream(&self) -> Settings {
        Settings {
            name: self.name.clone(),
            addresses: vec![self.address.to_string()],
            protocol: Protocol::Http1,
            tls: self.tls.as_ref().map(BackendTls::upstream),
            connect_timeout: self.timeout,
            read_timeout: self.timeout,
            health_check: None,
        }
    }
}
