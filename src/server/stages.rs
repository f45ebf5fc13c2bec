//! The stages of the gateway's end, for whom they concern.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pingora::server::ShutdownWatch;
use tokio::sync::{mpsc, watch};

use crate::door::{Closing, Lines};

/// How far the end has come, for whom it concerns.
#[derive(Clone)]
pub(super) struct Stages {
    /// Answers of HTTP/1.1 say that no further request is taken on their connection.
    pub(super) parting: Arc<AtomicBool>,
    /// No client's connection is accepted.
    pub(super) closed: watch::Sender<bool>,
    /// None is accepted by that listener any more: `closed` has been seen.
    pub(super) deaf: watch::Sender<bool>,
    /// Idle connections are closed, and those of HTTP/2 take no further request.
    pub(super) left: watch::Sender<bool>,
    /// Metrics and health are told by nobody here.
    pub(super) silent: watch::Sender<bool>,
    /// What goes on beside the requests ends.
    ended: watch::Sender<bool>,
    /// How many services have not ended.
    pub(super) running: watch::Sender<usize>,
    /// The connections of clients.
    lines: Arc<OnceLock<Arc<Lines>>>,
    orders: mpsc::Sender<Order>,
    failed: Arc<AtomicBool>,
}

/// A service that has not ended.
pub(super) struct Running(watch::Sender<usize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// What else than a signal ends the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Another has the sockets and serves.
    HandedOver,
    /// It cannot take over.
    GiveUp,
}

/// When a service ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// When no client's connection is accepted any more.
    Closed,
    /// When nobody asks this gateway for its metrics any more.
    Silent,
    /// Last.
    Ended,
}

impl Stages {
    /// Nothing has come of it. What is ordered otherwise than by a signal arrives at the receiver.
    pub(super) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, given) = mpsc::channel(2);
        let stage = || watch::channel(false).0;
        let stages = Self {
            parting: Arc::default(),
            closed: stage(),
            deaf: stage(),
            left: stage(),
            silent: stage(),
            ended: stage(),
            running: watch::channel(0).0,
            lines: Arc::default(),
            orders,
            failed: Arc::default(),
        };
        (stages, given)
    }

    /// All that is left ends.
    pub(super) fn end(&self) {
        for stage in [&self.closed, &self.left, &self.silent, &self.ended] {
            stage.send_replace(true);
        }
    }

    /// The watch that Pingora's services end by.
    pub(super) fn until(&self, until: Until) -> ShutdownWatch {
        match until {
            Until::Closed => self.closed.subscribe(),
            Until::Silent => self.silent.subscribe(),
            Until::Ended => self.ended.subscribe(),
        }
    }

    pub(super) fn parting(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.parting)
    }

    pub(super) fn left(&self) -> ShutdownWatch {
        self.left.subscribe()
    }

    /// These connections are the ones to be cut in the end.
    pub(super) fn are_open(&self, lines: &Arc<Lines>) {
        let _ = self.lines.set(Arc::clone(lines));
    }

    /// Cuts what is still open; whoever speaks `WebSocket` is told.
    pub(super) fn cut(&self) {
        if let Some(lines) = self.lines.get() {
            lines.close_all(Closing::Stopping);
        }
    }

    /// The public listener accepts nothing any more.
    pub(super) fn deaf(&self) {
        self.deaf.send_replace(true);
    }

    /// The end waits until what this gives is dropped.
    pub(super) fn running(&self) -> Running {
        let count = &self.running;
        count.send_modify(|count| *count = count.saturating_add(1));
        Running(count.clone())
    }

    /// Another gateway serves with our sockets.
    pub(super) async fn handed_over(&self) {
        let _ = self.orders.send(Order::HandedOver).await;
    }

    /// The gateway cannot begin.
    pub(super) async fn give_up(&self) {
        self.failed.store(true, Ordering::Relaxed);
        let _ = self.orders.send(Order::GiveUp).await;
    }

    /// Whether it could not begin.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}
