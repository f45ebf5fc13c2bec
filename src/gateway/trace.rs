//! The trace that a request belongs to: begun with its head, told to its backend, and in the end to
//! the log and whoever collects spans.

use http::HeaderMap;
use pingora::Error;

use super::Exchange;
use crate::clock;
use crate::key::Format;
use crate::trace::{Attempt, Began, SpanId, Trace, TraceId};
use crate::upstream::Backend;

impl Exchange {
    /// The request belongs to the trace that its headers tell of as far as they are believed, or to
    /// a new one.
    pub(super) fn follow(&mut self, headers: &HeaderMap, format: &Format) {
        let settings = self.live.tracing;
        let began = Began {
            format,
            names: settings.sampler.and_then(|_| new_trace()),
            by_front: self.front.is_some(),
        };
        self.trace = Trace::begin(headers, settings, began);
    }

    /// It is about to be sent to this address of `backend`.
    pub(super) fn note_attempt(&mut self, backend: &Backend, address: &str) {
        self.trace.attempt(|| {
            Some(Attempt {
                span: new_span()?,
                backend: backend.name().to_owned(),
                address: address.to_owned(),
                is_tls: backend.settings().tls.is_some(),
                begun: clock::monotonic(),
                ended: None,
                status: None,
                failure: None,
            })
        });
    }

    /// The backend answered.
    pub(super) fn note_status(&mut self, status: u16) {
        if let Some(attempt) = self.trace.last_attempt() {
            attempt.status = Some(status);
            attempt.ended = Some(clock::monotonic());
        }
    }

    /// The backend did not answer.
    pub(super) fn note_failure(&mut self, error: &Error) {
        if let Some(attempt) = self.trace.last_attempt()
            && attempt.ended.is_none()
        {
            attempt.failure = Some(error.etype().as_str().to_owned());
            attempt.ended = Some(clock::monotonic());
        }
    }
}

/// Names for a trace and for our step of it; none when the system has no randomness to give.
fn new_trace() -> Option<(TraceId, SpanId)> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some((TraceId::from_bytes(bytes)?, new_span()?))
}

fn new_span() -> Option<SpanId> {
    SpanId::from_bytes(getrandom::u64().ok()?.to_ne_bytes())
}
