//! Logs: one JSON object a line, on standard error.
//!
//! Never in a log: keys, secrets, whole queries, headers that carry credentials.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// What pingora and its friends may say: they log whole requests below this.
const LIBRARIES: &str = "warn";
/// Every change is told whatever the level, unless the list names it.
const AUDIT: &str = "audit=info";

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

/// Starts the logs of this process. `levels` is a level for the gateway, or a list that names
/// levels by module; what libraries say is kept to warnings unless the list names them.
///
/// # Errors
///
/// [`LogError`] when `levels` cannot be read, or when called twice.
pub fn start(levels: &str) -> Result<(), LogError> {
    let ours = levels.split(',').map(|level| match level.split_once('=') {
        Some(_) => level.to_owned(),
        None => format!("keyferry={},access={}", level.trim(), level.trim()),
    });
    let always = [LIBRARIES, AUDIT].map(ToOwned::to_owned).into_iter();
    let directives: Vec<_> = always.chain(ours).collect();
    let filter = EnvFilter::builder()
        .parse(directives.join(","))
        .map_err(|_| LogError::Level(levels.to_owned()))?;
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
