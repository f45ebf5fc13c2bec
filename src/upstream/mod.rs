//! Backends: where they are, whether they are well, and what they are sent.

mod answer;
mod backend;
mod discovery;
pub mod exchange;
mod idle;
mod post;
pub mod probe;
mod rewrite;
mod upgrade;
mod verdict;
#[cfg(test)]
mod weak;

pub use answer::{asks_for_websocket, fault};
pub use backend::{Backend, BackendError, HealthCheck, Protocol, Settings, Tls};
pub use post::{Answered, Receiver};
pub use rewrite::{CannotSend, Rules, end_once, is_for_us, is_unwanted, pass_on, rewrite, signed};
pub(crate) use verdict::Verdict;
