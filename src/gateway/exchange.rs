//! One request and its answer, as they go through the phases.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use pingora::http::RequestHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};

use super::Live;
use super::overload::Turn;
use super::refusal::Refusal;
use super::running::Running;
use crate::certificate::Reason;
use crate::client::{ClientId, Counted};
use crate::clock::{self, Timestamp};
use crate::credential::{Assurance, Sent};
use crate::door::{Connection, Serving};
use crate::front::{Believed, Form};
use crate::head::{self, Head};
use crate::identity::{Checked, Identity, Proof};
use crate::key::{Format, KeyId};
use crate::phase::InForce;
use crate::policy::{Observed, Permit, Route};
use crate::store::Origin;
use crate::trace::{Context, Trace};
use crate::upstream::{Backend, Rules};

/// How much of a path the log shows.
const LOGGED_PATH: usize = 256;

/// What is known of a request, from its head to its access line.
#[derive(Debug)]
pub struct Exchange {
    /// Whoever may end it early; none once its account is written.
    pub(super) running: Option<Arc<Running>>,
    /// Counted among those of its connection.
    pub(super) serving: Option<Serving>,
    /// The status of the answer, and so many bytes of its body.
    pub(super) answered: u16,
    pub(super) sent_bytes: usize,
    pub(super) started: Instant,
    pub(super) live: Arc<Live>,
    pub(super) now: Timestamp,
    pub(super) request_id: String,
    pub(super) trace: Trace,
    /// The front that brought it.
    pub(super) front: Option<Believed>,
    /// The method that a front asked about, where the request is its question.
    pub(super) question: Option<Method>,
    /// The connection as its client has it, when that is not the client's own.
    pub(super) behind_front: Option<Connection>,
    /// The certificate that was shown, where a backend may have to be told of it.
    pub(super) shown: Option<Arc<Sent>>,
    /// How it is known that the client holds the key of its certificate.
    pub(super) assurance: Option<Assurance>,
    /// The address that its connection came from.
    pub(super) connected: Option<IpAddr>,
    /// The same; of a front's client where the front tells it.
    pub(super) peer: Option<IpAddr>,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) route: Option<Arc<Route>>,
    pub(super) leave: Option<Leave>,
    pub(super) caller: Option<(ClientId, KeyId)>,
    /// What the request counts as, should it be served.
    pub(super) counted: Option<Counted>,
    /// The phase of a client that came by certificate alone.
    pub(super) phase: Option<Arc<InForce>>,
    pub(super) auth: &'static str,
    pub(super) certificate_problem: Option<Reason>,
    /// What is told of the key that came to be checked.
    pub(super) key_check: Option<Checked>,
    pub(super) refusal: Option<(&'static str, Option<String>)>,
    pub(super) would_refuse: Option<(&'static str, Option<String>)>,
    pub(super) upstream: Option<String>,
    pub(super) attempts: u32,
    pub(super) sent: Option<Instant>,
    /// Its turn among those under way.
    pub(super) turn: Option<Turn>,
}

/// Leave to go to a backend.
#[derive(Debug)]
pub(super) enum Leave {
    /// It was permitted: in the name of whom the permit names, and of nobody else.
    Permitted(Permit),
    /// Nothing was permitted: it goes on as it came.
    Observed(Observed),
}

impl Leave {
    /// The route that it may take.
    pub(super) const fn route(&self) -> &Arc<Route> {
        match self {
            Self::Permitted(permit) => permit.route(),
            Self::Observed(observed) => observed.route(),
        }
    }
}

impl Exchange {
    /// From where a change comes that the request causes.
    pub(super) fn origin(&self) -> Origin {
        Origin::Request {
            id: self.request_id.clone(),
            address: self.peer,
        }
    }

    /// In which form the front asks that brought it, when that is all it does.
    pub(super) fn asks(&self) -> Option<Form> {
        self.front.as_ref()?.front().asks
    }

    /// What may pass to a backend; `made` is room for what it is told of the trace.
    pub(super) fn rules<'a>(
        &'a self,
        format: &'a Format,
        made: &'a mut Option<Context>,
    ) -> Rules<'a> {
        Rules {
            names: &self.live.names,
            format,
            keep_ambiguous: self.live.keep_ambiguous_headers,
            peer: self.peer,
            trace: self.trace.onward(made),
            told: Vec::new(),
        }
    }

    /// The backend of the route that it may take.
    pub(super) fn backend(&self) -> Option<&Arc<Backend>> {
        let leave = self.leave.as_ref()?;
        self.live.backends.get(leave.route().backend)
    }

    /// Where it goes next: to an address of its backend that is well, another one at each attempt.
    pub(super) fn next_address(&mut self) -> Result<(Arc<Backend>, SocketAddr)> {
        let found = self
            .backend()
            .and_then(|backend| Some((Arc::clone(backend), backend.address()?)));
        let Some((backend, address)) = found else {
            return Error::e_explain(
                ErrorType::ConnectNoRoute,
                "no address of the backend is healthy",
            );
        };
        let text = address.to_string();
        self.note_attempt(&backend, &text);
        self.upstream = Some(text);
        self.attempts = self.attempts.saturating_add(1);
        Ok((backend, address))
    }

    /// Its backend could not be reached, and so was sent nothing: another address may be tried, as
    /// often as the server allows.
    pub(super) fn note_unreachable(&mut self, address: &SocketAddr, error: &mut Error) {
        if let Some(backend) = self.backend() {
            backend.count_failure();
        }
        self.note_failure(error);
        tracing::warn!(backend = %address, %error, request_id = self.request_id, "cannot reach a backend");
        error.set_retry(true);
    }

    pub(super) fn begin(live: Arc<Live>) -> Self {
        Self {
            running: None,
            serving: None,
            answered: 0,
            sent_bytes: 0,
            started: clock::monotonic(),
            live,
            now: clock::now(),
            request_id: String::new(),
            trace: Trace::default(),
            front: None,
            question: None,
            behind_front: None,
            shown: None,
            assurance: None,
            connected: None,
            peer: None,
            authority: String::new(),
            path: String::new(),
            route: None,
            leave: None,
            caller: None,
            counted: None,
            phase: None,
            auth: "none",
            certificate_problem: None,
            key_check: None,
            refusal: None,
            would_refuse: None,
            upstream: None,
            attempts: 0,
            sent: None,
            turn: None,
        }
    }

    /// The exchange that this task serves.
    pub(super) fn of_task(live: Arc<Live>) -> Self {
        let mut exchange = Self::begin(live);
        exchange.running = Running::current();
        exchange
    }

    /// Takes the client's `X-Request-Id` when it is well formed, else makes one.
    pub(super) fn identify(&mut self, request: &RequestHeader, format: &Format) {
        let sent = head::request_id(&request.headers, &self.live.names.request_id)
            .filter(|id| !format.occurs_in(id.as_bytes()));
        self.request_id = sent.map_or_else(|| clock::unique().to_string(), str::to_owned);
    }

    /// Notes what the log will say of the head.
    pub(super) fn note_head(&mut self, head: &Head<'_>) {
        self.authority.clone_from(&head.authority);
        self.path = head.path.chars().take(LOGGED_PATH).collect();
    }

    /// Notes who called.
    pub(super) fn note_identity(&mut self, identity: &Identity) {
        self.caller = Some((identity.client().clone(), identity.key()));
        self.certificate_problem = identity.rejected_beside();
        self.assurance = identity.assurance();
        self.phase = identity.phase().cloned();
        let (auth, counted) = match identity.proof() {
            Proof::Certificate(_) => ("certificate", Counted::ByCertificate),
            Proof::Key => ("key", Counted::ByKey),
            Proof::Both(_) => ("both", Counted::ByKey),
        };
        self.auth = auth;
        self.counted = Some(counted);
    }

    /// Notes that it was refused.
    pub(super) fn note_refusal(&mut self, refusal: &Refusal) {
        self.refusal = Some((refusal.code().as_str(), refusal.for_log()));
        self.trace.refuse();
        self.note_credentials(refusal);
    }

    /// Notes that it would have been refused.
    pub(super) fn note_would_refuse(&mut self, refusal: &Refusal) {
        self.would_refuse = Some((refusal.code().as_str(), refusal.for_log()));
        self.note_credentials(refusal);
    }

    /// Whether it goes on as it came, whatever was decided.
    pub(super) const fn is_observed(&self) -> bool {
        matches!(self.leave, Some(Leave::Observed(_)))
    }

    fn note_credentials(&mut self, refusal: &Refusal) {
        if let Some(caller) = refusal.caller() {
            self.note_identity(caller);
        }
        if self.caller.is_none() {
            self.auth = refusal.auth();
        }
        if let Some(rejected) = refusal.rejected() {
            self.certificate_problem = Some(rejected.reason());
        }
    }
}

/// One that is dropped without its account was cut off.
impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let nothing = Self::begin(Arc::clone(&self.live));
            running.leave(std::mem::replace(self, nothing));
        }
    }
}
