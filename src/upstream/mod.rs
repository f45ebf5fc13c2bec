//! Backends: where they are, whether they are well, and what they are sent.

mod backend;
mod discovery;
pub mod probe;
mod rewrite;
mod upgrade;

pub use backend::{Backend, BackendError, HealthCheck, Protocol, Settings, Tls};
pub use rewrite::{CannotSend, Rules, pass_on, rewrite};
