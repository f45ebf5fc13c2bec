//! The gateway: what happens to a request, from its head to the backend and back.
//!
//! Start at [`Gateway::admit`]: it tells the whole story of a decision. `proxy` carries it out in
//! the phases of pingora-proxy, `self_service` answers the clients' own calls, and `problem` tells
//! every refusal.

mod account;
mod app;
mod check;
mod code;
mod conflicts;
mod decide;
mod enrol;
mod exchange;
mod front;
mod limit;
mod live;
mod masquerade;
mod notice;
mod observe;
mod overload;
mod plain;
mod problem;
mod proxy;
mod question;
mod refusal;
mod renewal;
mod running;
mod seen;
mod self_service;
mod strict;
mod told;
mod trace;
mod unread;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

pub use app::{App, Proxy};
pub use code::Code;
pub use conflicts::{Conflict, Conflicts};
pub use exchange::Exchange;
pub use front::{begin_counting, forget_fronts};
pub use live::{KeySets, Live};
pub use masquerade::Masquerades;
pub use notice::link_to_keys;
pub use overload::{Bounds, Limited, PerClient, TooMany};
pub use plain::ATTEMPTS;
pub(crate) use problem::documentation;
pub use refusal::Refusal;
pub use running::Overseer;
pub use unread::Unread;

use limit::Limits;
use overload::Overload;
use running::Begun;

use crate::certificate::Verifier;
use crate::clock::Timestamp;
use crate::credential::Presented;
use crate::directory::{Directory, Lessons, Sightings};
use crate::door::Connection;
use crate::framing;
use crate::head::Head;
use crate::identity::{self, Freshness, Grace, Purpose};
use crate::key::Format;
use crate::limit::Budgets;
use crate::policy::{self, Permit};
use crate::store::Store;
use crate::telemetry::{Metrics, RouteMetrics, Spans};

/// How many first sights are written to the store at a time.
const ENROLMENTS_AT_ONCE: usize = 32;
/// What requests that no route serves are counted as.
pub const OWN_ROUTE: &str = "keyferry";

/// What the gateway is made of, from its start to its end.
pub struct Parts {
    /// Who is known.
    pub directory: Arc<Directory>,
    /// Where changes go.
    pub store: Arc<dyn Store>,
    /// What is seen of clients.
    pub sightings: Arc<Sightings>,
    /// Where requests with credentials of two clients are noted.
    pub conflicts: Conflicts,
    /// What is to be recorded of certificates that were only named.
    pub lessons: Arc<Lessons>,
    /// What certificates are verified by.
    pub verifier: Arc<Verifier>,
    /// How keys begin.
    pub format: Format,
    /// How large the head of a request may be.
    pub head: framing::Limits,
    /// How long the directory is believed without a word from the store.
    pub max_stale: Duration,
    /// What there may be at once, and how often.
    pub bounds: Bounds,
    /// The buckets of the clients, when each has a rate.
    pub budgets: Option<Arc<Budgets>>,
    /// Where spans go.
    pub spans: Spans,
    /// What is counted.
    pub metrics: Metrics,
    /// What is replaced while it runs.
    pub live: Arc<ArcSwap<Live>>,
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
    own_counts: RouteMetrics,
    enrolments: Semaphore,
    begun: Begun,
    limits: Limits,
    /// Whether clients of HTTP/1.1 are told to come by another connection.
    parting: Arc<AtomicBool>,
    overload: Overload,
}

impl Gateway {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let overload = Overload::new(parts.bounds.clone(), parts.budgets.clone(), &parts.metrics);
        account::begin_counting(&parts.metrics);
        Self {
            own_counts: parts.metrics.route(OWN_ROUTE),
            parts,
            enrolments: Semaphore::new(ENROLMENTS_AT_ONCE),
            begun: Begun::new(),
            limits: Limits::new(),
            parting: Arc::default(),
            overload,
        }
    }

    /// With what tells it to part with its clients, once the gateway is to end.
    #[must_use]
    pub fn until(self, parting: Arc<AtomicBool>) -> Self {
        Self { parting, ..self }
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
        let route = live.route(head)?;
        if let Some(permit) = policy::open(route) {
            return Ok(permit);
        }
        let caller = self.caller(head, connection, live, Purpose::Request, freshness, now)?;
        let asked = live.asking.asks(Some(head.host()));
        let sightings = &self.parts.sightings;
        Ok(policy::decide(route, caller, asked, sightings, now)?)
    }

    /// Who calls, by what the request and its connection present. A certificate counts only at hosts
    /// that treat it as the one that it was shown to (RFC 9110 section 7.4).
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
        if connection.is_misdirected(live.asking.policy(Some(head.host()))) {
            return Err(Refusal::AuthorityMismatch);
        }
        let certificate = connection.certificate(verifier, now);
        let presented = Presented::read(head.headers, certificate, format)?;
        Ok(identity::resolve(
            &directory.view(),
            &live.peppers,
            &presented,
            Grace {
                purpose,
                claims: live.self_service.expired_grace,
                sightings: &self.parts.sightings,
            },
            freshness,
            now,
        )?)
    }
}
