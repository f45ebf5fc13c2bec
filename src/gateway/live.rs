//! What of the gateway is replaced while it runs: one value, so that nobody sees half of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::{FirstSights, Masquerades, Refusal, SelfService};
use crate::client::{Enrolment, Renewal};
use crate::front::Fronts;
use crate::head::{Head, Malformed};
use crate::key::Peppers;
use crate::observe::Observations;
use crate::policy::{Asking, Observing, Route, Routes};
use crate::sign::{Names, Signer, VerifyingKey, jwks};
use crate::telemetry::RouteMetrics;
use crate::trace;
use crate::upstream::Backend;

/// The parts that are replaced while the gateway runs. A request keeps those with which it began.
pub struct Live {
    /// Where requests go.
    pub routes: Routes,
    /// What is counted of each of them.
    pub counts: Vec<RouteMetrics>,
    /// The backends, in the order that routes refer to.
    pub backends: Vec<Arc<Backend>>,
    /// What signs requests to each of them; none where no route carries an identity.
    pub signers: Vec<Option<Signer>>,
    /// The public keys of those that check signatures by such.
    pub key_sets: KeySets,
    /// What each of them is told of certificates, as by an old proxy.
    pub masquerades: Masquerades,
    /// Where clients are asked for certificates.
    pub asking: Arc<Asking>,
    /// Who is believed to forward the certificates of clients.
    pub fronts: Arc<Fronts>,
    /// What key digests are made with.
    pub peppers: Peppers,
    /// How many keys of one client can be used at the same time.
    pub keys_per_client: usize,
    /// What becomes of unknown certificates.
    pub enrolment: Enrolment,
    /// What becomes of new certificates of known clients, by authority.
    pub renewal: Vec<Renewal>,
    /// How many of them become known.
    pub first_sights: FirstSights,
    /// The names of the identity headers.
    pub names: Names,
    /// Whether headers with `_` or `.` in their names are passed on.
    pub keep_ambiguous_headers: bool,
    /// The clients' own calls.
    pub self_service: SelfService,
    /// What leads clients to where they fetch their keys.
    pub link_to_keys: Option<HeaderValue>,
    /// `Strict-Transport-Security` (RFC 6797), where the operator wants it.
    pub transport_security: Option<HeaderValue>,
    /// How requests are traced.
    pub tracing: trace::Settings,
    /// How far back a certificate counts as still in use.
    pub window: Duration,
    /// Whose requests are only observed; none: it enforces.
    pub observing: Option<Observing>,
    /// What was observed.
    pub observations: Arc<Observations>,
}

/// The public keys of each backend that checks signatures by such, as they are published.
#[derive(Debug, Default)]
pub struct KeySets {
    sets: BTreeMap<String, Bytes>,
    waiting: Vec<VerifyingKey>,
}

impl KeySets {
    /// Adds those of `backend`: what it is signed with, and what is published beside it.
    pub fn add(&mut self, backend: &str, current: &VerifyingKey, beside: &[VerifyingKey]) {
        if current.public().is_some() {
            let set = jwks::write(std::iter::once(current).chain(beside));
            self.sets.insert(backend.to_owned(), set.into());
            self.waiting.extend_from_slice(beside);
        }
    }

    /// The JWK set of `backend`.
    pub(super) fn of(&self, backend: &str) -> Option<Bytes> {
        self.sets.get(backend).cloned()
    }

    /// Those that are published and not signed with.
    #[must_use]
    pub fn waiting(&self) -> &[VerifyingKey] {
        &self.waiting
    }
}

impl Live {
    /// The route of a request; refused when a backend could read its path as another's.
    pub(super) fn route(&self, head: &Head<'_>) -> Result<&Arc<Route>, Refusal> {
        let routes = &self.routes;
        let route = routes.find(head.host(), head.path);
        let canonical = head.canonical_path();
        if canonical.starts_with(&self.self_service.path) {
            // Also in disguise, the reserved paths reach no backend.
            return Err(Malformed::AmbiguousPath.into());
        }
        let reading = if canonical == head.path {
            route
        } else {
            routes.find(head.host(), canonical)
        };
        match (route, reading) {
            (Some(route), Some(reading)) if Arc::ptr_eq(route, reading) => Ok(route),
            (None, None) => Err(Refusal::RouteNotFound),
            _ => Err(Malformed::AmbiguousPath.into()),
        }
    }

    /// What signs requests along `route`, where they carry an identity.
    pub(super) fn signer(&self, route: &Route) -> Option<&Signer> {
        self.signers.get(route.backend)?.as_ref()
    }

    /// What is counted of `route`; none when it is not one of these.
    pub(super) fn counts(&self, route: &Arc<Route>) -> Option<&RouteMetrics> {
        let mut counted = self.routes.iter().zip(&self.counts);
        let found = counted.find(|(known, _)| Arc::ptr_eq(known, route));
        found.map(|(_, counts)| counts)
    }

    /// Whose requests are only observed and what was, while there are any.
    #[must_use]
    pub fn observations(&self) -> Option<&Arc<Observations>> {
        self.observing.as_ref().map(|_| &self.observations)
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
