//! How the gateway ends: in steps, each of which waits for no longer than it must.
//!
//! On SIGTERM (or SIGQUIT) Pingora's own server stops accepting at once, tells every service to end,
//! also those that requests under way need, and sleeps for the whole of its grace period. Here the
//! steps follow one another:
//!
//! 1. lame duck: `/readyz` says no; connections are accepted until no balancer sends any,
//! 2. drain: none is accepted any more, and what is under way ends; idle connections are closed, and
//!    what takes too long is cut off,
//! 3. end: whatever goes on beside the requests ends, last of all, and writes what it has to.
//!
//! SIGINT leads to the third at once, and so does any further signal; one more ends the process. Who
//! hands its sockets over begins with the second.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use prometheus::IntGauge;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

use super::stages::{Order, Stages};
use crate::clock;
use crate::config::Shutdown;

/// How long whatever goes on beside the requests may take to write what it has to.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long connections that were accepted at the last moment have for their first request.
const SETTLE: Duration = Duration::from_secs(1);
/// How long close frames have to go out, and their answers to come; a little longer than the door
/// waits.
const GOODBYE: Duration = Duration::from_secs(4);
/// How often it is looked whether connections are left.
const LOOK: Duration = Duration::from_millis(10);

/// Takes the gateway through its end.
pub(super) struct Stop {
    settings: Shutdown,
    stages: Stages,
    draining: IntGauge,
    open: IntGauge,
    orders: Mutex<mpsc::Receiver<Order>>,
}

/// What asks for the end.
struct Asked {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

/// Who did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// There is time.
    Terminate,
    /// There is none.
    Interrupt,
    Order(Order),
}

impl Stop {
    /// Ends as `settings` say: shows it in `draining`, and waits until no connection is `open`.
    pub(super) fn new(settings: &Shutdown, draining: IntGauge, open: IntGauge) -> Self {
        let (stages, orders) = Stages::new();
        Self {
            settings: settings.clone(),
            stages,
            draining,
            open,
            orders: Mutex::new(orders),
        }
    }

    pub(super) const fn stages(&self) -> &Stages {
        &self.stages
    }

    /// Everything but what comes last.
    async fn wind_up(&self, why: Why) {
        match why {
            Why::Terminate => {
                self.draining.set(1);
                self.be_a_lame_duck().await;
                self.drain(SETTLE).await;
            }
            Why::Order(Order::HandedOver) => {
                tracing::info!("another gateway has taken the sockets over and serves");
                // Idle clients of HTTP/1.1 that call meanwhile are told to come by another connection.
                self.stages.silent.send_replace(true);
                self.drain(self.settings.lame_duck.max(SETTLE)).await;
            }
            Why::Interrupt => tracing::info!(
                open = self.open.get(),
                "asked to stop at once: connections are cut"
            ),
            Why::Order(Order::GiveUp) => {}
        }
    }

    async fn be_a_lame_duck(&self) {
        let time = self.settings.lame_duck;
        tracing::info!(
            ?time,
            open = self.open.get(),
            "asked to stop: /readyz says so, and connections are still accepted"
        );
        // Who was told earlier to come by another connection could come here again by that.
        let half = time.div_f64(2.0);
        sleep(half).await;
        self.stages.parting.store(true, Ordering::Relaxed);
        sleep(time.saturating_sub(half)).await;
    }

    /// Ends what is under way, within its time. Idle connections are not closed within `settle`.
    async fn drain(&self, settle: Duration) {
        let begun = clock::monotonic();
        self.stages.parting.store(true, Ordering::Relaxed);
        self.stages.closed.send_replace(true);
        tracing::info!(open = self.open.get(), "accepts no more connections");
        if !self.is_empty_within(settle).await {
            self.stages.left.send_replace(true);
            let time = self.settings.drain_timeout;
            tracing::info!(
                ?time,
                open = self.open.get(),
                "closes idle connections; what is under way may go on"
            );
            if !self.is_empty_within(time).await {
                tracing::warn!(
                    open = self.open.get(),
                    "requests took too long: their connections are cut"
                );
                self.stages.cut();
                self.is_empty_within(GOODBYE).await;
                return;
            }
        }
        tracing::info!(after = ?begun.elapsed(), "no connection is left");
    }

    async fn is_empty_within(&self, time: Duration) -> bool {
        let empty = async {
            let mut deaf = self.stages.deaf.subscribe();
            let _ = deaf.wait_for(|deaf| *deaf).await;
            loop {
                // Also the first time: a connection counts once its task runs.
                sleep(LOOK).await;
                if self.open.get() == 0 {
                    return;
                }
            }
        };
        timeout(time, empty).await.is_ok()
    }

    /// Ends everything.
    async fn end(&self) {
        self.stages.end();
        let mut running = self.stages.running.subscribe();
        let none = running.wait_for(|running| *running == 0);
        if timeout(LAST_WORDS, none).await.is_err() {
            tracing::warn!("not everything could be written before the end");
        }
    }

    async fn carry_out(&self) -> io::Result<ShutdownSignal> {
        let mut asked = Asked::listen()?;
        let mut orders = self.orders.lock().await;
        let why = tokio::select! {
            why = asked.wait() => why,
            Some(order) = orders.recv() => Why::Order(order),
        };
        tokio::select! {
            () = self.wind_up(why) => {}
            _ = asked.wait() => {
                tracing::warn!(open = self.open.get(), "asked again: connections are cut");
            }
        }
        tokio::select! {
            () = self.end() => Ok(ShutdownSignal::GracefulTerminate),
            _ = asked.wait() => Ok(ShutdownSignal::FastShutdown),
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    /// Returns when all is done that there is to do: Pingora only has to end its threads.
    async fn recv(&self) -> ShutdownSignal {
        self.carry_out().await.unwrap_or_else(|error| {
            tracing::error!(%error, "signals cannot be received; the gateway stops");
            ShutdownSignal::FastShutdown
        })
    }
}

impl Asked {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) -> Why {
        tokio::select! {
            _ = self.terminate.recv() => Why::Terminate,
            _ = self.quit.recv() => Why::Terminate,
            _ = self.interrupt.recv() => Why::Interrupt,
        }
    }
}
