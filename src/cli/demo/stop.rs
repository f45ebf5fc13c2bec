//! Being asked to end, by Ctrl-C, by SIGTERM, or by a terminal that goes away: none may leave anything
//! of the scene behind.

use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// How long one waits before one looks again.
const PAUSE: Duration = Duration::from_millis(100);
/// Long enough to notice a signal that has arrived.
const GLANCE: Duration = Duration::from_millis(1);

/// Notices the signals, which from then on do not end the program by themselves.
pub(super) struct Stop {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
    /// The gateway of the scene survives it.
    hang_up: Signal,
}

/// Somebody wants the demonstration to end.
#[derive(Debug, thiserror::Error)]
#[error("stopped before the end of the story")]
pub(super) struct Stopped;

impl Stop {
    pub(super) fn watch() -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let signals = runtime.block_on(async {
            let interrupt = signal(SignalKind::interrupt())?;
            let terminate = signal(SignalKind::terminate())?;
            std::io::Result::Ok((interrupt, terminate, signal(SignalKind::hangup())?))
        });
        let (interrupt, terminate, hang_up) = signals.context("cannot wait for signals")?;
        Ok(Self {
            runtime,
            interrupt,
            terminate,
            hang_up,
        })
    }

    /// Waits until one is asked to end.
    pub(super) fn wait(&mut self) {
        let _ = self.asked_within(Duration::MAX);
    }

    /// Lets a moment pass.
    pub(super) fn pause(&mut self) -> Result<(), Stopped> {
        self.asked_within(PAUSE)
    }

    /// Ends with an error when one was asked to end.
    pub(super) fn check(&mut self) -> Result<(), Stopped> {
        self.asked_within(GLANCE)
    }

    fn asked_within(&mut self, time: Duration) -> Result<(), Stopped> {
        let (interrupt, terminate) = (&mut self.interrupt, &mut self.terminate);
        let hang_up = &mut self.hang_up;
        let asked = self.runtime.block_on(async {
            let asked = async {
                tokio::select! {
                    _ = interrupt.recv() => (),
                    _ = terminate.recv() => (),
                    _ = hang_up.recv() => (),
                }
            };
            timeout(time, asked).await
        });
        if asked.is_ok() { Err(Stopped) } else { Ok(()) }
    }
}
