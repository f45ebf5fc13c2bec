//! Spans of requests, as OpenTelemetry has them: made when a request is over, and kept in a queue that
//! nobody waits for until they are sent.

mod request;
mod span;

use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus::IntCounter;
use tokio::sync::mpsc;

use super::{AccessLine, Metrics};

pub use request::{Rejected, Resource, rejected};

/// How many requests are kept until they are sent; further ones are dropped.
const REQUESTS: usize = 4096;

/// Where spans of requests go.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<Queue>);

#[derive(Clone, Debug)]
struct Queue {
    requests: mpsc::Sender<Vec<Span>>,
    dropped: IntCounter,
}

/// The spans that wait to be sent.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<Vec<Span>>);

impl Spans {
    /// A queue, and its other end.
    #[must_use]
    pub fn queue(metrics: &Metrics) -> (Self, Waiting) {
        let (requests, waiting) = mpsc::channel(REQUESTS);
        let dropped = metrics.trace_spans.with_label_values(&["dropped"]);
        (Self(Some(Queue { requests, dropped })), Waiting(waiting))
    }

    /// Records the request of `line`, when its trace is to be recorded. Where the queue is full, it is
    /// only counted.
    pub fn record(&self, line: &AccessLine<'_>) {
        if let Some(queue) = &self.0
            && line.trace.is_recorded()
        {
            queue.add(line);
        }
    }
}

impl Queue {
    fn add(&self, line: &AccessLine<'_>) {
        // A flood of refusals leaves room for others.
        let is_crowded = self.requests.capacity() < REQUESTS / 2;
        let reserved = self.requests.try_reserve();
        match reserved {
            Ok(place) if !(is_crowded && line.reason.is_some()) => place.send(span::of(line)),
            Ok(_) | Err(_) => {
                let spans = line.trace.attempts().len().saturating_add(1);
                let spans = u64::try_from(spans).unwrap_or(u64::MAX);
                self.dropped.inc_by(spans);
            }
        }
    }
}

impl Waiting {
    /// Takes spans until there are at least `most` in `batch`, or no more.
    pub fn take(&mut self, batch: &mut Vec<Span>, most: usize) {
        while batch.len() < most
            && let Ok(spans) = self.0.try_recv()
        {
            batch.extend(spans);
        }
    }
}
