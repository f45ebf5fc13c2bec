//! What the gateway tells of itself: metrics, logs, health.

mod access;
mod log;
mod metrics;

pub use access::AccessLine;
pub use log::{Filter, Levels, LogError, start as start_log};
pub use metrics::{Metrics, Outcome, RouteMetrics};
