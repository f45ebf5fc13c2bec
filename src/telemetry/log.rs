//! Logs: one JSON object a line, on standard error.
//!
//! Never in a log: keys, secrets, whole queries, headers that carry credentials.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// What pingora and its friends may say: they log whole requests below this.
const LIBRARIES: &str = "warn";

/// A log filter that cannot be read, or logs that were started twice.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Not a filter.
    #[error("{0:?} is not a log level: use error, warn, info, debug or trace")]
    Level(String),
    /// Logs are on already.
    #[error("logs cannot be started: {0}")]
    Start(#[from] TryInitError),
}

/// Starts the logs of this process at `level`; what libraries say is kept to warnings.
///
/// # Errors
///
/// [`LogError`] for an unknown level, or when called twice.
pub fn start(level: &str) -> Result<(), LogError> {
    if !["error", "warn", "info", "debug", "trace"].contains(&level) {
        return Err(LogError::Level(level.to_owned()));
    }
    let filter = EnvFilter::builder()
        .parse(format!("{LIBRARIES},keyferry={level},access=info"))
        .map_err(|_| LogError::Level(level.to_owned()))?;
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(())
}
