//! The trace of one request: where it came from, what is recorded of it, and what its backend is
//! told.

use std::time::Instant;

use http::header::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::key::Format;

use super::{Context, Parent, Sampler, SpanId, TraceId};

/// Whose word on a trace is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Believe {
    /// Nobody's: what clients say of a trace goes no further.
    #[default]
    Nobody,
    /// That of a front that proved to be one.
    Fronts,
    /// Everybody's.
    Everybody,
}

/// How requests are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Whose word is believed.
    pub believe: Believe,
    /// Which traces are recorded that begin here; none when this gateway records nothing.
    pub sampler: Option<Sampler>,
    /// Whether every request that is refused is recorded, of traces that begin here.
    pub refusals: bool,
}

impl Default for Settings {
    /// The gateway takes no part: what came goes on as it came.
    fn default() -> Self {
        Self {
            believe: Believe::Everybody,
            sampler: None,
            refusals: false,
        }
    }
}

/// The trace of one request.
#[derive(Debug, Default)]
pub struct Trace {
    /// What came with the request and could be read.
    sent: Option<Context>,
    is_believed: bool,
    own: Option<Own>,
}

/// What is recorded here.
#[derive(Debug)]
struct Own {
    span: Parent,
    records_refusals: bool,
    /// It went to a backend, whether that is recorded or not.
    was_sent: bool,
    attempts: Vec<Attempt>,
}

/// What was known when the trace began.
#[derive(Clone, Copy, Debug)]
pub struct Began<'a> {
    /// How keys begin: none goes on under another name.
    pub format: &'a Format,
    /// New names for a trace and for our step of it; none when the system has no randomness to give.
    pub names: Option<(TraceId, SpanId)>,
    /// Whether a front brought the request.
    pub by_front: bool,
}

/// A request to a backend.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its step of the trace.
    pub span: SpanId,
    /// The backend's name.
    pub backend: String,
    /// Which of its addresses.
    pub address: String,
    /// Whether that is spoken to by TLS.
    pub is_tls: bool,
    /// When it was begun.
    pub begun: Instant,
    /// When the head of its answer came, or when it failed.
    pub ended: Option<Instant>,
    /// The status of the answer; none when there was none.
    pub status: Option<u16>,
    /// Why there was none, as far as that is known.
    pub failure: Option<String>,
}

/// What a backend is told of the trace.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// That, and nothing else that came under these names.
    pub context: Option<&'a Context>,
    /// Whether what came in the headers of other systems stays.
    pub keeps_others: bool,
}

impl Trace {
    /// The trace of a request with these `headers`.
    #[must_use]
    pub fn begin(headers: &HeaderMap, settings: Settings, began: Began<'_>) -> Self {
        let sent = Context::read(headers, began.format);
        let is_believed = match settings.believe {
            Believe::Nobody => false,
            Believe::Fronts => began.by_front,
            Believe::Everybody => true,
        };
        let own = settings.sampler.zip(began.names).map(|(sampler, names)| {
            let (trace, span) = names;
            let span = match sent.as_ref().filter(|_| is_believed) {
                // Whoever began a trace decides whether it is recorded.
                Some(sent) => sent.parent.then(span, sent.parent.is_sampled()),
                None => Parent::new(trace, span, sampler.keeps(&trace)),
            };
            Own {
                span,
                records_refusals: settings.refusals,
                was_sent: false,
                attempts: Vec::new(),
            }
        });
        Self {
            sent,
            is_believed,
            own,
        }
    }

    /// Its name, when there is one that anybody behind us can know.
    #[must_use]
    pub fn id(&self) -> Option<TraceId> {
        let own = self.own.as_ref().map(|own| own.span.trace);
        own.or_else(|| Some(self.parent()?.trace))
    }

    /// Our step of it, when this gateway records any.
    #[must_use]
    pub fn span(&self) -> Option<Parent> {
        self.own.as_ref().map(|own| own.span)
    }

    /// Whether this request is recorded.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.span.is_sampled())
    }

    /// The step before ours, when it is believed.
    #[must_use]
    pub fn parent(&self) -> Option<Parent> {
        let sent = self.sent.as_ref().filter(|_| self.is_believed);
        sent.map(|sent| sent.parent)
    }

    /// What was told beside it.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        let sent = self.sent.as_ref().filter(|_| self.is_believed);
        sent?.tracestate()?.to_str().ok()
    }

    /// What somebody calls the step before ours who is not believed.
    #[must_use]
    pub fn claimed(&self) -> Option<Parent> {
        let sent = self.sent.as_ref().filter(|_| !self.is_believed);
        sent.map(|sent| sent.parent)
    }

    /// The requests to backends, when they are recorded.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        self.own.as_ref().map_or(&[], |own| &own.attempts)
    }

    /// Adds an attempt, when that is recorded. The one before has failed.
    pub fn attempt(&mut self, make: impl FnOnce() -> Option<Attempt>) {
        let Some(own) = self.own.as_mut() else {
            return;
        };
        own.was_sent = true;
        if own.span.is_sampled()
            && let Some(attempt) = make()
        {
            if let Some(before) = own.attempts.last_mut() {
                before.ended.get_or_insert(attempt.begun);
            }
            own.attempts.push(attempt);
        }
    }

    /// The attempt that is under way.
    pub fn last_attempt(&mut self) -> Option<&mut Attempt> {
        self.own.as_mut()?.attempts.last_mut()
    }

    /// It is refused, and so goes to nobody: also of a trace of which no more is recorded, this is.
    pub fn refuse(&mut self) {
        let begins_here = self.parent().is_none();
        if let Some(own) = self.own.as_mut()
            && own.records_refusals
            && !own.was_sent
            && begins_here
        {
            own.span = own.span.then(own.span.span, true);
        }
    }

    /// What the backend of the last attempt is told; `made` keeps what is made for that.
    #[must_use]
    pub fn onward<'a>(&'a self, made: &'a mut Option<Context>) -> Onward<'a> {
        let sent = self.sent.as_ref().filter(|_| self.is_believed);
        let context = match &self.own {
            None => sent,
            Some(own) => {
                let last = own.attempts.last().map_or(own.span.span, |last| last.span);
                let next = own.span.then(last, own.span.is_sampled());
                *made = Context::of(next, sent);
                made.as_ref()
            }
        };
        Onward {
            context,
            keeps_others: self.is_believed,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;
    use proptest::prelude::*;

    use super::super::tests::{GOOD, TRACE, format, headers, read};
    use super::*;
    use crate::clock;

    fn names() -> Option<(TraceId, SpanId)> {
        Some((TraceId::from_bytes([7; 16])?, SpanId::from_bytes([8; 8])?))
    }

    fn begin(believe: Believe, ratio: Option<f64>, by_front: bool) -> Trace {
        let settings = Settings {
            believe,
            sampler: ratio.map(|ratio| Sampler::new(ratio).unwrap()),
            refusals: true,
        };
        let headers = headers(&[("traceparent", GOOD), ("tracestate", "foo=1")]);
        Trace::begin(
            &headers,
            settings,
            Began {
                format: &format(),
                names: names(),
                by_front,
            },
        )
    }

    fn told(trace: &Trace) -> (Option<String>, Option<String>, bool) {
        let mut made = None;
        let onward = trace.onward(&mut made);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let context = onward.context;
        (
            context.map(|context| text(context.traceparent())),
            context.and_then(Context::tracestate).map(text),
            onward.keeps_others,
        )
    }

    #[test]
    fn without_a_part_in_it_a_trace_goes_on_as_it_came_or_not_at_all() {
        let came = (Some(GOOD.to_owned()), Some("foo=1".to_owned()), true);
        let believed = begin(Believe::Everybody, None, false);
        assert_eq!(told(&believed), came);
        assert_eq!(believed.id().unwrap().to_string(), TRACE);
        assert_eq!(told(&begin(Believe::Fronts, None, true)), came);
        for nobody in [
            begin(Believe::Nobody, None, true),
            begin(Believe::Fronts, None, false),
        ] {
            assert_eq!(told(&nobody), (None, None, false));
            assert_eq!((nobody.id(), nobody.is_recorded()), (None, false));
        }
    }

    fn attempt(number: u8) -> Attempt {
        Attempt {
            span: SpanId::from_bytes([number; 8]).unwrap(),
            backend: "orders".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            is_tls: false,
            begun: clock::monotonic(),
            ended: None,
            status: None,
            failure: None,
        }
    }

    #[test]
    fn what_is_refused_is_recorded_where_its_trace_begins() {
        let mut new = begin(Believe::Nobody, Some(0.0), false);
        new.refuse();
        assert!(new.is_recorded());
        let mut failed = begin(Believe::Nobody, Some(0.0), false);
        failed.attempt(|| Some(attempt(1)));
        failed.refuse();
        assert!(!failed.is_recorded(), "its backend was told otherwise");
        let unsampled = headers(&[("traceparent", &GOOD.replace("-01", "-00"))]);
        let settings = Settings {
            sampler: Sampler::new(1.0).ok(),
            refusals: true,
            ..Settings::default()
        };
        let began = Began {
            format: &format(),
            names: names(),
            by_front: false,
        };
        let mut somebodys = Trace::begin(&unsampled, settings, began);
        somebodys.refuse();
        assert!(!somebodys.is_recorded(), "who began it decided");
    }

    #[test]
    fn with_a_part_in_it_the_backend_is_told_of_our_own_step() {
        let own = "07".repeat(16);
        let mut new = begin(Believe::Nobody, Some(1.0), false);
        assert_eq!(
            told(&new),
            (Some(format!("00-{own}-{}-01", "08".repeat(8))), None, false)
        );
        assert_eq!(new.claimed().unwrap().to_string(), GOOD, "for a link");
        assert_eq!((new.parent(), new.state()), (None, None));
        for number in [5_u8, 6] {
            new.attempt(|| Some(attempt(number)));
        }
        assert_eq!(
            told(&new).0,
            Some(format!("00-{own}-{}-01", "06".repeat(8)))
        );
        assert_eq!(new.attempts().len(), 2);

        let unrecorded = begin(Believe::Nobody, Some(0.0), false);
        assert_eq!(
            told(&unrecorded).0,
            Some(format!("00-{own}-{}-00", "08".repeat(8)))
        );
        assert!(!unrecorded.is_recorded());
        // Whoever began it decides.
        let continued = begin(Believe::Everybody, Some(0.0), false);
        let step = format!("00-{TRACE}-{}-01", "08".repeat(8));
        assert_eq!(
            told(&continued),
            (Some(step), Some("foo=1".to_owned()), true)
        );
        assert!(continued.is_recorded() && continued.claimed().is_none());
        assert_eq!(continued.parent().unwrap().to_string(), GOOD);
    }

    #[test]
    fn flags_that_nobody_knows_go_no_further_and_randomness_is_told_on() {
        let parent = read(&[("traceparent", &GOOD.replace("-01", "-ff"))])
            .unwrap()
            .parent;
        let span = names().unwrap().1;
        assert!(parent.then(span, true).to_string().ends_with("-03"));
        assert!(parent.then(span, false).to_string().ends_with("-02"));
    }

    proptest! {
        /// Whatever comes, what is told on is well formed, and of the same trace or of ours.
        #[test]
        fn no_header_brings_anything_ill_formed_through(
            parent in "([0-9a-f]{2}-[0-9a-fA-F]{32}-[0-9a-f]{16}-[0-9a-f]{2}|[ -~]{0,60})",
            state in "([a-z0-9@=, ]{0,80}|[ -~\t]{0,600})",
        ) {
            let headers = headers(&[("traceparent", parent.trim()), ("tracestate", state.trim())]);
            let settings = Settings { believe: Believe::Everybody, sampler: Sampler::new(0.5).ok(), refusals: false };
            let trace = Trace::begin(&headers, settings, Began { format: &format(), names: names(), by_front: false });
            let (told, beside, _) = told(&trace);
            let again = read(&[("traceparent", &told.unwrap()), ("tracestate", beside.as_deref().unwrap_or_default())]).unwrap();
            prop_assert_eq!(Some(again.parent.trace), trace.id());
            prop_assert_eq!(again.tracestate().map(|s| s.to_str().unwrap().to_owned()), beside);
        }
    }
}
