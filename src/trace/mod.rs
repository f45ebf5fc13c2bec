//! The trace that a request belongs to, as W3C Trace Context tells it
//! (<https://www.w3.org/TR/trace-context/>): read strictly, or not at all.
//!
//! Here is only what a trace is; [`Trace`] is that of one request.

mod request;
mod sampler;
mod state;

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::key::Format;
use crate::sign::header::{begins, folds_to};

pub use request::{Attempt, Began, Believe, Onward, Settings, Trace};
pub use sampler::{NoRatio, Sampler};

/// Which request of which trace this one is made for.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems tell themselves beside it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Other headers that tell of a trace, or carry what services believe about it. Whoever is not
/// believed has no say by any of them.
const OTHERS: [&str; 15] = [
    "b3",
    "baggage",
    "correlation-context",
    "elastic-apm-traceparent",
    "grpc-trace-bin",
    "newrelic",
    "request-context",
    "request-id",
    "sentry-trace",
    "sw8",
    "uber-trace-id",
    "x-amzn-trace-id",
    "x-client-trace-id",
    "x-cloud-trace-context",
    "x-envoy-force-trace",
];
/// The beginnings of more.
const OTHERS_PREFIXES: [&str; 8] = [
    "jaeger-",
    "ot-",
    "sw8-",
    "uberctx-",
    "x-b3-",
    "x-datadog-",
    "x-instana-",
    "x-ot-span-",
];

/// Names a trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// Names one step of a trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

/// The request of a trace for which another one is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its trace.
    pub trace: TraceId,
    /// Which step of it.
    pub span: SpanId,
    flags: u8,
}

/// What a request says of its trace, and what it is told in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Where in which trace.
    pub parent: Parent,
    written: HeaderValue,
    state: Option<HeaderValue>,
}

/// It is recorded (Trace Context section 3.2.2.5.1).
const SAMPLED: u8 = 1;
/// The trace's name was made at random (Level 2, section 3.2.2.5.2).
const RANDOM: u8 = 2;

impl TraceId {
    /// None for zeros.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// None for zeros.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl Parent {
    /// A step of `trace`.
    #[must_use]
    pub const fn new(trace: TraceId, span: SpanId, is_sampled: bool) -> Self {
        let flags = if is_sampled { SAMPLED } else { 0 };
        Self { trace, span, flags }
    }

    /// Whether whoever made it says that it is recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The next step of the same trace.
    #[must_use]
    pub const fn then(self, span: SpanId, is_sampled: bool) -> Self {
        let next = Self::new(self.trace, span, is_sampled);
        Self {
            flags: next.flags | (self.flags & RANDOM),
            ..next
        }
    }

    /// Reads the value of `traceparent`. Of a version that is not known yet, what version 00 knows.
    fn read(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_first_chunk::<55>()?;
        let [v0, v1, b'-', middle @ .., f0, f1] = known else {
            return None;
        };
        let (trace, middle) = middle.split_first_chunk::<32>()?;
        let [b'-', span @ .., b'-'] = middle else {
            return None;
        };
        let is_whole = match digits(&[*v0, *v1])? {
            [0] => rest.is_empty(),
            [0xff] => false,
            [_] => rest.first().is_none_or(|next| *next == b'-'),
        };
        if !is_whole {
            return None;
        }
        let [flags] = digits(&[*f0, *f1])?;
        Some(Self {
            trace: TraceId::from_bytes(digits(trace)?)?,
            span: SpanId::from_bytes(digits(span)?)?,
            flags,
        })
    }
}

/// Hexadecimal digits in lower case, and no others.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

impl Context {
    /// What the headers say; none when they say nothing, or two things, or nothing that can be read.
    /// `tracestate` goes by itself: what is wrong with it does not touch the rest. What holds a key of
    /// ours, by `format`, is worth nothing.
    #[must_use]
    pub fn read(headers: &HeaderMap, format: &Format) -> Option<Self> {
        let mut sent = headers.get_all(TRACEPARENT).iter();
        let (Some(written), None) = (sent.next(), sent.next()) else {
            return None;
        };
        if format.occurs_in(written.as_bytes()) {
            return None;
        }
        Some(Self {
            parent: Parent::read(written.as_bytes())?,
            written: written.clone(),
            state: state::read(headers).filter(|state| !format.occurs_in(state.as_bytes())),
        })
    }

    /// What is told of `parent`, with what was told beside the context that it goes on with.
    #[must_use]
    pub fn of(parent: Parent, before: Option<&Self>) -> Option<Self> {
        Some(Self {
            parent,
            written: HeaderValue::try_from(parent.to_string()).ok()?,
            state: before.and_then(|before| before.state.clone()),
        })
    }

    /// The value of `traceparent`: of one that was read, as it came.
    #[must_use]
    pub const fn traceparent(&self) -> &HeaderValue {
        &self.written
    }

    /// The value of `tracestate`.
    #[must_use]
    pub const fn tracestate(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }
}

/// Whether services could take the header for a trace's, besides the two of Trace Context. Names are
/// compared as those of identities are.
#[must_use]
pub fn is_another(name: &HeaderName) -> bool {
    let name = name.as_str();
    OTHERS.iter().any(|other| folds_to(name, other))
        || OTHERS_PREFIXES.iter().any(|prefix| begins(name, prefix))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Parent {
    /// As `traceparent`, version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests;
