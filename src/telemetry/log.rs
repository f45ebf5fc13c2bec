//! Logs: one JSON object a line, on standard error.
//!
//! Never in a log: keys, secrets, whole queries, headers that carry credentials.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber, callsite};
use tracing_log::AsLog as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
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

/// What this process logs; it can be changed at any time.
#[derive(Clone)]
pub struct Levels(Arc<ArcSwap<EnvFilter>>);

/// Other levels, which can be read.
pub struct Filter(EnvFilter);

/// Starts the logs of this process. `levels` is a level for the gateway, or a list that names
/// levels by module; what libraries say is kept to warnings unless the list names them.
///
/// # Errors
///
/// [`LogError`] when `levels` cannot be read, or when called twice.
pub fn start(levels: &str) -> Result<Levels, LogError> {
    let Filter(filter) = Filter::read(levels)?;
    let levels = Levels(Arc::new(ArcSwap::from_pointee(filter)));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(levels.clone())
        .with(lines)
        .try_init()?;
    Ok(levels)
}

impl Filter {
    /// Reads `levels`, as [`start`] does.
    ///
    /// # Errors
    ///
    /// [`LogError::Level`].
    pub fn read(levels: &str) -> Result<Self, LogError> {
        directives(levels)
            .parse()
            .map(Self)
            .map_err(|_| LogError::Level(levels.to_owned()))
    }
}

impl Levels {
    /// Logs by `filter` from now on.
    pub fn set(&self, Filter(filter): Filter) {
        self.0.store(Arc::new(filter));
        callsite::rebuild_interest_cache();
        log::set_max_level(LevelFilter::current().as_log());
    }
}

/// Passes on to the filter of the moment, which most lines ask once only: their answer is kept until
/// there is another filter.
impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, line: &'static Metadata<'static>) -> Interest {
        Layer::<S>::register_callsite(&**self.0.load(), line)
    }

    fn enabled(&self, line: &Metadata<'_>, context: Context<'_, S>) -> bool {
        Layer::<S>::enabled(&**self.0.load(), line, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(&**self.0.load())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.load().on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.load().on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.0.load().on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.0.load().on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.0.load().on_close(id, context);
    }
}

fn directives(levels: &str) -> String {
    let ours = levels.split(',').map(|level| match level.split_once('=') {
        Some(_) => level.to_owned(),
        None => format!("keyferry={},access={}", level.trim(), level.trim()),
    });
    let always = [LIBRARIES, AUDIT].map(ToOwned::to_owned).into_iter();
    always.chain(ours).collect::<Vec<_>>().join(",")
}
