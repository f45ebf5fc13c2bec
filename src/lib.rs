//! Keyferry carries the clients of an API from TLS client certificates to API keys.
//!
//! ```text
//!         EDGE (sockets, TLS)                CORE (no I/O, no clock, no log)                   EDGE
//! client ─▶ door ─▶ gateway::admit ─┬▶ credential ─▶ identity ─▶ policy ─▶ sign ─┬▶ upstream ─▶ backend
//!           │ handshake, limits     │   Presented     Identity     Permit   Signed │
//!           │ certificate verdict   │                    ▲ looks up               │
//!           ▼                       │              directory (in memory)          │
//!      handshake failures           │                    ▲ follows the events      │
//!      explained                    │              store (port) ── redis │ redb    │
//!                                   └── any refusal ─▶ gateway::problem ─▶ client (RFC 9457)
//! ```
//!
//! Each arrow carries one value that only the stage before it can make. A request that skipped a
//! stage does not compile, and an absent verdict refuses. Start reading at [`gateway`].

pub mod admin;
pub mod certificate;
pub mod cli;
pub mod client;
pub mod config;
pub mod credential;
pub mod directory;
pub(crate) mod doctor;
pub mod door;
pub mod foresight;
pub mod framing;
pub mod front;
pub mod gateway;
pub mod head;
pub mod identity;
pub mod import;
pub mod key;
pub mod limit;
pub mod masquerade;
pub mod observe;
pub mod operation;
pub mod phase;
pub mod policy;
pub mod server;
pub mod sign;
pub mod store;
pub mod telemetry;
pub mod trace;
pub mod upstream;
pub mod verify;
pub mod webhook;

pub mod clock;
pub mod secret;
pub(crate) mod socket;
pub mod text;
pub mod tls;

// What tests share names the library as they do from outside.
#[cfg(test)]
extern crate self as keyferry;
#[cfg(test)]
#[path = "../tests/support/list.rs"]
pub(crate) mod list;
#[cfg(test)]
#[path = "../tests/support/pki.rs"]
pub(crate) mod pki;
