//! Reads the configuration anew while the gateway runs, on SIGHUP and when a file of it changes.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;

use super::live::Live;
use crate::clock;
use crate::config::{Config, Reading, Seen, Source};
use crate::telemetry::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long they must stay as they are: files that belong together change one after the other.
const SETTLED: Duration = Duration::from_millis(300);
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
    live: Live,
    metrics: Metrics,
}

/// What the last reading came to.
struct Judged {
    seen: Arc<Seen>,
    /// When it is tried again though nothing changed.
    again: Option<Instant>,
}

impl Reload {
    /// The gateway runs with what `source` said when `started_with` was seen of it.
    pub(super) fn new(source: Source, started_with: Seen, live: Live, metrics: &Metrics) -> Self {
        let reload = Self {
            source: Arc::new(source),
            started_with: Arc::new(started_with),
            live,
            metrics: metrics.clone(),
        };
        reload.succeeded();
        reload
    }

    async fn keep(&self, mut hangups: Signal) -> io::Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut judged = Judged {
            seen: Arc::clone(&self.started_with),
            again: None,
        };
        loop {
            tokio::select! {
                _ = look.tick() => {
                    let is_due = judged.again.is_some_and(|at| at <= clock::monotonic());
                    if !is_due && is_current(&judged.seen).await? {
                        continue;
                    }
                }
                _ = hangups.recv() => tracing::info!("SIGHUP: reading the configuration again"),
            }
            judged = self.judge(settled(|| self.read()).await?).await;
        }
    }

    async fn read(&self) -> io::Result<Reading> {
        let source = Arc::clone(&self.source);
        Ok(spawn_blocking(move || source.read_again()).await?)
    }

    /// Takes over what was read, or says why not.
    async fn judge(&self, Reading { config, seen }: Reading) -> Judged {
        let seen = Arc::new(seen);
        let again = match config {
            Ok(config) => self.take_over(config, &seen).await,
            Err(problems) => {
                for problem in problems.iter() {
                    tracing::error!(%problem, "the configuration is wrong");
                }
                self.failed();
                None
            }
        };
        Judged { seen, again }
    }

    async fn take_over(&self, config: Config, seen: &Seen) -> Option<Instant> {
        let others = seen.needs_restart_since(&self.started_with);
        if !others.is_empty() {
            let settings = others.iter().map(ToString::to_string);
            let settings = settings.collect::<Vec<_>>().join(", ");
            tracing::warn!(
                settings,
                "the configuration has changed where that needs a restart"
            );
        }
        match self.live.prepare(config).await {
            Ok(prepared) => {
                let secrets = self.live.commit(prepared);
                tracing::info!(secrets, "took the configuration over");
                self.succeeded();
                None
            }
            Err(error) => {
                let file = self.source.path().display();
                tracing::error!(%file, %error, "the configuration is not taken over");
                self.failed();
                clock::monotonic().checked_add(AGAIN)
            }
        }
    }

    fn succeeded(&self) {
        self.metrics.reload_success.set(1);
        self.metrics.reload_timestamp.set(clock::now().as_unix());
    }

    fn failed(&self) {
        self.metrics.reload_success.set(0);
        tracing::error!("the gateway goes on with what it had; it looks again when a file changes");
    }
}

/// A reading like the one before it.
async fn settled<F>(mut read: impl FnMut() -> F) -> io::Result<Reading>
where
    F: Future<Output = io::Result<Reading>>,
{
    let mut before = read().await?;
    loop {
        tokio::time::sleep(SETTLED).await;
        let now = read().await?;
        if now.seen == before.seen {
            return Ok(now);
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
            if let Err(error) = self.keep(signal(SignalKind::hangup())?).await {
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
        let settled = settled(|| {
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
        let last = settled.await.unwrap();
        assert_eq!(readings, 3);
        assert!(last.seen == source.read().seen);
    }
}
