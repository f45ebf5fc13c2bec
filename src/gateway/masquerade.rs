//! Backends that still get the headers of an old proxy: by which certificate, and how often.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use prometheus::IntCounter;

use super::{Exchange, Gateway};
use crate::certificate::{Whole, keep_whole};
use crate::clock::Timestamp;
use crate::credential::Sent;
use crate::identity::Identity;
use crate::masquerade::{Certificate, Masquerade};
use crate::policy::Permit;
use crate::store::Change;
use crate::telemetry::Metrics;

/// What is told of certificates, to each backend; where no backend is told anything, there is none.
#[derive(Default)]
pub struct Masquerades {
    backends: Vec<Option<One>>,
}

/// What one backend is told.
struct One {
    masquerade: Arc<Masquerade>,
    shown: IntCounter,
    recorded: IntCounter,
    incomplete: IntCounter,
    unknown: IntCounter,
}

/// Whose certificate a backend is told of.
enum Source {
    /// The one that the client shows.
    Shown(Whole),
    /// The client's newest that is recorded.
    Recorded(Whole),
    /// None is known.
    Unknown,
}

impl Masquerades {
    /// What the backends of these names are told, in the order that routes refer to.
    pub fn new<'a>(
        backends: impl IntoIterator<Item = (&'a str, &'a Arc<Masquerade>)>,
        metrics: &Metrics,
    ) -> Self {
        let mut masquerades = Self::default();
        for (backend, masquerade) in backends {
            let counter = |certificate| {
                let counts = &metrics.masqueraded;
                counts.with_label_values(&[backend, certificate])
            };
            let one = || One {
                masquerade: Arc::clone(masquerade),
                shown: counter("shown"),
                recorded: counter("recorded"),
                incomplete: counter("incomplete"),
                unknown: counter("unknown"),
            };
            let is_told = !masquerade.is_empty();
            masquerades.backends.push(is_told.then(one));
        }
        if masquerades.backends.iter().all(Option::is_none) {
            masquerades.backends.clear();
        }
        masquerades
    }

    /// Whether no backend is told anything.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.backends.is_empty()
    }

    /// Whether the backend at this place is told something.
    #[must_use]
    pub fn is_told(&self, backend: usize) -> bool {
        self.backends.get(backend).is_some_and(Option::is_some)
    }
}

impl One {
    fn headers(&self, whole: &Whole, now: Timestamp) -> Vec<(Bytes, HeaderValue)> {
        let read = Certificate::read(whole.as_der());
        read.map_or_else(
            |_| Vec::new(),
            |certificate| self.masquerade.headers(&certificate, now).collect(),
        )
    }
}

impl Exchange {
    /// Keeps the certificate that was shown, where it may be needed.
    pub(super) fn keep_shown(&mut self, sent: Option<&Arc<Sent>>) {
        if !self.live.masquerades.are_none() {
            self.shown = sent.map(Arc::clone);
        }
    }

    /// The change, which keeps the certificate that was shown as it is, where that is needed.
    pub(super) fn keeping_shown(&self, change: Change) -> Change {
        match self.shown() {
            Some(whole) => keep_whole(change, &whole),
            None => change,
        }
    }

    /// The certificate that was shown, as it is, where that is needed.
    pub(super) fn shown(&self) -> Option<Whole> {
        let leaf = self.shown.as_ref()?.chain().leaf()?;
        leaf.to_der().ok().map(Whole::from)
    }
}

impl Gateway {
    /// What the backend is told of the caller's certificate. A client that came by one is known by
    /// that, and whoever came by key alone by the newest that it has.
    pub(super) fn told(
        &self,
        permit: &Permit,
        exchange: &Exchange,
        is_sent_again: bool,
        now: Timestamp,
    ) -> Vec<(Bytes, HeaderValue)> {
        let backends = &exchange.live.masquerades.backends;
        let one = backends.get(permit.route().backend);
        let (Some(identity), Some(Some(one))) = (permit.identity(), one) else {
            return Vec::new();
        };
        let (count, certificate) = match self.source(identity, exchange) {
            Source::Shown(whole) => (&one.shown, Some(whole)),
            Source::Recorded(whole) => (&one.recorded, Some(whole)),
            Source::Unknown => (&one.unknown, None),
        };
        let told = certificate.as_ref().map(|whole| one.headers(whole, now));
        let is_incomplete = |told: &Vec<_>| told.len() < one.masquerade.len();
        let count = match &told {
            Some(told) if is_incomplete(told) => &one.incomplete,
            _ => count,
        };
        // Of a request, not of how often it is sent.
        if !is_sent_again {
            count.inc();
        }
        told.unwrap_or_default()
    }

    fn source(&self, identity: &Identity, exchange: &Exchange) -> Source {
        if let Some(proven) = identity.certificate() {
            let shown = exchange.shown.as_ref();
            let is_it = shown.is_some_and(|shown| shown.chain().fingerprint() == proven);
            let shown = exchange.shown().filter(|_| is_it);
            return shown.map_or(Source::Unknown, Source::Shown);
        }
        let view = self.parts.directory.view();
        let newest = view.newest_whole(identity.client());
        newest.map_or(Source::Unknown, Source::Recorded)
    }
}
