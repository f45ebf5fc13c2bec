//! How the public listener is to speak TLS.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::front::Fronts;
use crate::policy::{Network, ServerNames};
use crate::secret::SecretBytes;
use crate::tls;

/// How the public listener speaks TLS.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What becomes of clients' certificates.
    pub names: ServerNames,
    /// Whether clients are shown the names of the authorities that are trusted.
    pub ca_names: bool,
    /// How long a handshake may take, from the connection on.
    pub handshake_timeout: Duration,
    /// The balancers in front. With them, only they may connect, and each connection begins with a
    /// header of the PROXY protocol.
    pub balancers: Option<Vec<Network>>,
    /// Who forwards the certificates of clients, and is asked for its own.
    pub fronts: Arc<Fronts>,
    /// The oldest version that is spoken.
    pub minimum_tls: MinimumTls,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// Our own certificates; the first is for clients that ask for no name, or for an unknown one.
    pub certificates: Vec<ServerCertificate>,
    /// How sessions are resumed.
    pub resumption: Resumption,
}

/// How a client that comes again resumes its session.
#[derive(Clone, Debug)]
pub enum Resumption {
    /// By a ticket that holds the session. What the keys of tickets are derived from, for replicas that
    /// share it; none: this gateway has keys of its own.
    Tickets(Option<SecretBytes>),
    /// This gateway keeps the session itself. How many bytes all of them may take.
    Memory(u32),
}

/// Where the sessions are that clients may resume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sessions {
    /// With the clients: each has its own, sealed, in a ticket.
    #[default]
    Tickets,
    /// In the memory of the gateway, and of no other.
    Memory,
}

impl Sessions {
    /// Whether this program has them there.
    #[must_use]
    pub const fn are_possible(self) -> bool {
        match self {
            Self::Tickets => true,
            Self::Memory => tls::KEEPS_SESSIONS,
        }
    }
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MinimumTls {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

/// A certificate of ours.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// The chain in PEM, leaf first.
    pub chain_pem: Vec<u8>,
    /// The key in PEM.
    pub key_pem: SecretBytes,
}
