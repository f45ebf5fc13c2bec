//! Reads the configuration anew while the gateway runs, on SIGHUP and when a file of it changes.

use std::collections::BTreeSet;
use std::io;
use std::mem::take;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::spawn_blocking;

use super::live::Live;
use crate::admin::reload::{Asked, Outcome, Report};
use crate::clock;
use crate::config::{Config, Problems, Reading, Seen, Source, listed};
use crate::telemetry::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long they must stay as they are: files that belong together change one after the other.
const SETTLED: Duration = Duration::from_millis(300);
/// How long that may take. What was only read once may be half of a secret: it is not judged then.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// For how long it is news what was taken over.
const UNTOLD: Duration = Duration::from_secs(10);
/// When a configuration is tried again that was right and could not be taken over yet.
const AGAIN: Duration = Duration::from_mins(1);

/// From here on SIGHUP does not end the process, which it does to one that knows nothing of it.
///
/// # Errors
///
/// When the system does not let signals be handled.
pub fn survive_hangups() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_io().build()?;
    let _inside = runtime.enter();
    // The handler stays when this runtime goes.
    signal(SignalKind::hangup()).map(drop)
}

/// Keeps what the gateway runs with in step with its configuration.
pub(super) struct Reload {
    source: Arc<Source>,
    started_with: Arc<Seen>,
    /// The digest of the configuration that the gateway runs with.
    digest: watch::Sender<String>,
    live: Live,
    /// Who wants it done now.
    asked: Mutex<mpsc::Receiver<Asked>>,
    metrics: Metrics,
}

/// Where it stands.
struct State {
    /// What was seen at the last reading, whatever became of it.
    seen: Arc<Seen>,
    /// What was seen of the configuration that the gateway runs with.
    taken: Arc<Seen>,
    /// When it is tried again though nothing changed.
    again: Option<Instant>,
    /// What was taken over lately and nobody who asked was told of.
    untold: BTreeSet<String>,
    untold_until: Instant,
}

impl Reload {
    /// The gateway runs with what `source` said when `started_with` was seen of it, whose `digest` is told to
    /// others. It is read again for everybody who has `asked`.
    pub(super) fn new(
        (source, started_with, digest): (Arc<Source>, Arc<Seen>, watch::Sender<String>),
        live: Live,
        asked: mpsc::Receiver<Asked>,
        metrics: &Metrics,
    ) -> Self {
        let reload = Self {
            source,
            digest,
            started_with,
            live,
            asked: Mutex::new(asked),
            metrics: metrics.clone(),
        };
        reload.succeeded();
        reload
    }

    async fn keep(&self, mut hangups: Signal) -> io::Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut asked = self.asked.lock().await;
        let mut state = State {
            seen: Arc::clone(&self.started_with),
            taken: Arc::clone(&self.started_with),
            again: None,
            untold: BTreeSet::new(),
            untold_until: clock::monotonic(),
        };
        loop {
            let mut teller = None;
            tokio::select! {
                _ = look.tick() => {
                    let is_due = state.again.is_some_and(|at| at <= clock::monotonic());
                    if !is_due && is_current(&state.seen).await? {
                        continue;
                    }
                }
                _ = hangups.recv() => tracing::info!("SIGHUP: reading the configuration again"),
                Some(who) = asked.recv() => {
                    tracing::info!("keyferry reload: reading the configuration again");
                    teller = Some(who);
                }
            }
            let mut report = match settled(SETTLED_WITHIN, || self.read()).await? {
                Ok(reading) => self.judge(reading, &mut state).await,
                Err(unsettled) => self.refuse(Outcome::Unavailable, &unsettled),
            };
            if let Some(teller) = teller {
                report.changed = take(&mut state.untold).into_iter().collect();
                // Who asked may be gone.
                let _ = teller.send(report);
            }
        }
    }

    async fn read(&self) -> io::Result<Reading> {
        let source = Arc::clone(&self.source);
        Ok(spawn_blocking(move || source.read_again()).await?)
    }

    /// Takes over what was read, or says why not.
    async fn judge(&self, Reading { config, seen }: Reading, state: &mut State) -> Report {
        state.seen = Arc::new(seen);
        state.again = None;
        match config {
            Ok(config) => self.take_over(config, state).await,
            Err(problems) => {
                for problem in problems.iter() {
                    tracing::error!(%problem, "the configuration is wrong");
                }
                self.failed();
                wrong(&problems)
            }
        }
    }

    async fn take_over(&self, config: Config, state: &mut State) -> Report {
        let needs_restart = state.seen.changes_since(&self.started_with).needs_restart;
        if !needs_restart.is_empty() {
            tracing::warn!(
                settings = listed(&needs_restart),
                "the configuration has changed where that needs a restart"
            );
        }
        let mut report = match self.live.prepare(config).await {
            Ok(prepared) => {
                let changed = state.seen.changes_since(&state.taken).live;
                let secrets = self.live.commit(prepared);
                state.taken = Arc::clone(&state.seen);
                let digest = state.taken.digest(&self.started_with);
                self.digest.send_replace(digest);
                let settings = listed(&changed);
                tracing::info!(changed = settings, secrets, "took the configuration over");
                self.succeeded();
                state.note(changed);
                of(Outcome::TakenOver)
            }
            Err(error) => {
                state.again = clock::monotonic().checked_add(AGAIN);
                self.refuse(error.outcome(), &error)
            }
        };
        report.needs_restart = needs_restart.into_iter().collect();
        report
    }

    fn succeeded(&self) {
        self.metrics.reload_success.set(1);
        self.metrics.reload_timestamp.set(clock::now().as_unix());
    }

    fn refuse(&self, outcome: Outcome, error: &impl ToString) -> Report {
        let (file, error) = (self.source.path().display(), error.to_string());
        tracing::error!(%file, error, "the configuration is not taken over");
        self.failed();
        Report {
            error: Some(error),
            ..of(outcome)
        }
    }

    fn failed(&self) {
        self.metrics.reload_success.set(0);
        tracing::error!("the gateway goes on with what it had; it looks again when a file changes");
    }
}

impl State {
    /// Whoever changes a file and asks at once shall learn what became of it, also when the gateway has
    /// noticed by itself in between.
    fn note(&mut self, changed: BTreeSet<String>) {
        let now = clock::monotonic();
        if self.untold_until < now {
            self.untold.clear();
        }
        if !changed.is_empty() {
            self.untold_until = now.checked_add(UNTOLD).unwrap_or(now);
        }
        self.untold.extend(changed);
    }
}

const fn of(outcome: Outcome) -> Report {
    Report {
        outcome,
        changed: Vec::new(),
        needs_restart: Vec::new(),
        problems: Vec::new(),
        error: None,
    }
}

fn wrong(problems: &Problems) -> Report {
    // Both are written for whoever reads `--output json`.
    let told = problems.iter().map(|problem| {
        let told = serde_json::to_value(problem);
        told.and_then(serde_json::from_value)
    });
    Report {
        problems: told.filter_map(Result::ok).collect(),
        ..of(Outcome::Wrong)
    }
}

/// What never stays as it is long enough to be judged.
#[derive(Debug, thiserror::Error)]
#[error("{} changed all the time for {} seconds", .0.display(), SETTLED_WITHIN.as_secs())]
struct Unsettled(PathBuf);

/// A reading like the one before it.
async fn settled<F>(
    within: Duration,
    mut read: impl FnMut() -> F,
) -> io::Result<Result<Reading, Unsettled>>
where
    F: Future<Output = io::Result<Reading>>,
{
    let begun = clock::monotonic();
    let mut before = read().await?;
    loop {
        tokio::time::sleep(SETTLED).await;
        let now = read().await?;
        if now.seen == before.seen {
            return Ok(Ok(now));
        }
        if begun.elapsed() > within {
            let changed = now.seen.files_changed_since(&before.seen);
            return Ok(Err(Unsettled(
                changed.into_iter().next().unwrap_or_default(),
            )));
        }
        before = now;
    }
}

async fn is_current(seen: &Arc<Seen>) -> io::Result<bool> {
    let seen = Arc::clone(seen);
    Ok(spawn_blocking(move || seen.is_current()).await?)
}

#[async_trait]
impl BackgroundService for Reload {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let keep = async {
            // It holds a whole configuration at times.
            let keep = Box::pin(self.keep(signal(SignalKind::hangup())?));
            if let Err(error) = keep.await {
                tracing::error!(%error, "changes of the configuration are no longer noticed");
            }
            io::Result::Ok(())
        };
        tokio::select! {
            _ = keep => {}
            _ = shutdown.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The first reading sees a half, as when a file is being written.
    #[tokio::test]
    async fn what_was_read_once_only_is_not_judged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyferry.toml");
        let source = Source::new(path.clone(), std::iter::empty());
        let (mut readings, whole) = (0, "[listener]\naddress = \"127.0.0.1:1\"\n");
        let settled = settled(SETTLED_WITHIN, || {
            readings += 1;
            let half = &whole.as_bytes()[..15];
            let contents = if readings == 1 {
                half
            } else {
                whole.as_bytes()
            };
            fs::write(&path, contents).unwrap();
            std::future::ready(Ok(source.read()))
        });
        let last = settled.await.unwrap().unwrap();
        assert_eq!(readings, 3);
        assert!(last.seen == source.read().seen);
    }

    /// As when somebody writes a log where a secret should be: it is said, and never taken for one.
    #[tokio::test]
    async fn what_never_stays_as_it_is_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyferry.toml");
        let source = Source::new(path.clone(), std::iter::empty());
        let mut readings = 0;
        let settled = settled(Duration::ZERO, || {
            readings += 1;
            fs::write(&path, "#".repeat(readings)).unwrap();
            std::future::ready(Ok(source.read()))
        });
        let unsettled = settled.await.unwrap().err().unwrap();
        assert!(
            unsettled
                .to_string()
                .contains("keyferry.toml changed all the time")
        );
    }
}
