//! The gateway: what happens to a request, from its head to the backend and back.
//!
//! Start at [`Gateway::admit`]: it tells the whole story of a decision. `proxy` carries it out in
//! the phases of pingora-proxy, `self_service` answers the clients' own calls, and `problem` tells
//! every refusal.

mod account;
mod check;
mod code;
mod enrol;
mod exchange;
mod front;
mod limit;
mod notice;
mod observe;
mod problem;
mod proxy;
mod refusal;
mod renewal;
mod seen;
mod self_service;
mod told;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::sync::Semaphore;

pub use code::Code;
pub use exchange::Exchange;
pub use refusal::Refusal;

use limit::Limits;

use crate::certificate::Verifier;
use crate::client::{Enrolment, Renewal};
use crate::clock::Timestamp;
use crate::credential::Presented;
use crate::directory::{Directory, Lessons, Sightings};
use crate::door::Connection;
use crate::front::Fronts;
use crate::head::{Head, Malformed};
use crate::identity::{self, Freshness, Grace, Purpose};
use crate::key::{Format, Peppers};
use crate::observe::Observations;
use crate::policy::{self, Asking, Observing, Permit, Route, Routes};
use crate::sign::{Names, Signer};
use crate::store::Store;
use crate::telemetry::{Metrics, RouteMetrics};
use crate::upstream::Backend;

/// How many first sights are written to the store at a time.
const ENROLMENTS_AT_ONCE: usize = 32;

/// What the gateway is made of.
pub struct Parts {
    /// Where requests go.
    pub routes: Routes,
    /// The backends, in the order that routes refer to.
    pub backends: Vec<Backend>,
    /// Who is known.
    pub directory: Arc<Directory>,
    /// Where clients are asked for certificates.
    pub asking: Arc<Asking>,
    /// Where changes go.
    pub store: Arc<dyn Store>,
    /// What is seen of clients.
    pub sightings: Arc<Sightings>,
    /// What is to be recorded of certificates that were only named.
    pub lessons: Arc<Lessons>,
    /// What certificates are verified by.
    pub verifier: Arc<Verifier>,
    /// How keys begin.
    pub format: Format,
    /// What is replaced while it runs.
    pub live: Arc<ArcSwap<Live>>,
    /// How many keys of one client can be used at the same time.
    pub keys_per_client: usize,
    /// What becomes of unknown certificates.
    pub enrolment: Enrolment,
    /// How many of them become known.
    pub first_sights: FirstSights,
    /// The names of the identity headers.
    pub names: Names,
    /// Whether headers with `_` or `.` in their names are passed on.
    pub keep_ambiguous_headers: bool,
    /// The clients' own calls.
    pub self_service: SelfService,
    /// How far back a certificate counts as still in use.
    pub window: Duration,
    /// Whose requests are only observed; none: it enforces.
    pub observing: Option<Observing>,
    /// What was observed.
    pub observations: Arc<Observations>,
    /// How long the directory is believed without a word from the store.
    pub max_stale: Duration,
    /// What is counted.
    pub metrics: Metrics,
}

/// The parts that are replaced while the gateway runs. A request keeps those with which it began.
#[derive(Debug)]
pub struct Live {
    /// Who is believed to forward the certificates of clients.
    pub fronts: Arc<Fronts>,
    /// What key digests are made with.
    pub peppers: Peppers,
    /// What becomes of new certificates of known clients, by authority.
    pub renewal: Vec<Renewal>,
    /// What signs requests to each of the backends; none where no route carries an identity.
    pub signers: Vec<Option<Signer>>,
}

/// Where and how clients serve themselves.
#[derive(Clone, Debug)]
pub struct SelfService {
    /// The path of the calls, with `/` at both ends.
    pub path: String,
    /// How long the answer to a claim can be repeated with its `Idempotency-Key`.
    pub retry_window: Duration,
    /// For how long after its end a certificate may still claim its key; none when it may not.
    pub expired_grace: Option<Duration>,
    /// How often a certificate or a key may ask for a key, in a minute.
    pub per_credential: u32,
    /// How often keys may be asked for from an address, in a minute.
    pub per_address: u32,
}

/// What bounds a flood of certificates that are good and were never seen before.
#[derive(Clone, Copy, Debug)]
pub struct FirstSights {
    /// How many of one authority become known in a minute.
    pub per_minute: u32,
    /// From how many certificates on none becomes known by itself.
    pub at_most: usize,
}

/// The gateway.
pub struct Gateway {
    parts: Parts,
    counts: Vec<RouteMetrics>,
    own_counts: RouteMetrics,
    enrolments: Semaphore,
    limits: Limits,
    /// What leads clients to where they fetch their keys.
    link_to_keys: Option<HeaderValue>,
}

impl Gateway {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let counts = parts
            .routes
            .iter()
            .map(|route| parts.metrics.route(&route.name))
            .collect();
        let limits = Limits::new(&parts.self_service, parts.first_sights);
        let own_counts = parts.metrics.route("keyferry");
        front::begin_counting(&parts.live.load().fronts, &parts.metrics);
        Self {
            link_to_keys: notice::link_to_keys(&parts.self_service.path),
            parts,
            counts,
            own_counts,
            enrolments: Semaphore::new(ENROLMENTS_AT_ONCE),
            limits,
        }
    }

    /// Whether the request may go to a backend: the whole decision, top to bottom.
    ///
    /// No lock, no wait, no I/O: everything is in memory. What memory does not tell is
    /// [`identity::Refused::Unconfirmed`], unless the directory was just
    /// [`Freshness::Confirmed`].
    ///
    /// # Errors
    ///
    /// [`Refusal`], which every stage can give.
    pub fn admit(
        &self,
        head: &Head<'_>,
        connection: &Connection,
        live: &Live,
        freshness: Freshness,
        now: Timestamp,
    ) -> Result<Permit, Refusal> {
        let route = self.route(head)?;
        if let Some(permit) = policy::open(route) {
            return Ok(permit);
        }
        let caller = self.caller(head, connection, live, Purpose::Request, freshness, now)?;
        let asked = self.parts.asking.asks(Some(head.host()));
        let sightings = &self.parts.sightings;
        Ok(policy::decide(route, caller, asked, sightings, now)?)
    }

    /// The route of a request; refused when a backend could read its path as another's.
    fn route(&self, head: &Head<'_>) -> Result<&Arc<Route>, Refusal> {
        let routes = &self.parts.routes;
        let route = routes.find(head.host(), head.path);
        let canonical = head.canonical_path();
        if canonical.starts_with(&self.parts.self_service.path) {
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

    /// Who calls, by what the request and its connection present.
    fn caller(
        &self,
        head: &Head<'_>,
        connection: &Connection,
        live: &Live,
        purpose: Purpose,
        freshness: Freshness,
        now: Timestamp,
    ) -> Result<identity::Caller, Refusal> {
        let Parts {
            directory,
            verifier,
            format,
            max_stale,
            ..
        } = &self.parts;
        if !directory.is_loaded() || directory.age() > *max_stale {
            return Err(Refusal::StoreUnavailable);
        }
        let certificate = connection.certificate(verifier, now);
        let presented = Presented::read(head.headers, certificate, format)?;
        Ok(identity::resolve(
            &directory.view(),
            &live.peppers,
            &presented,
            Grace {
                purpose,
                claims: self.parts.self_service.expired_grace,
                sightings: &self.parts.sightings,
            },
            freshness,
            now,
        )?)
    }
}
