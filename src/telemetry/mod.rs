//! What the gateway tells of itself: metrics, logs, spans, health.

mod access;
mod log;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
mod spans;

pub use access::AccessLine;
pub use log::{Filter, Levels, LogError, start as start_log};
pub(crate) use metrics::{Maker, expose};
pub use metrics::{Metrics, Outcome, RouteMetrics};
#[cfg(feature = "otlp")]
pub use otlp::{Rejected, Resource, Spans, Waiting, rejected};
#[cfg(not(feature = "otlp"))]
pub use spans::Spans;
