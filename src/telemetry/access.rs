//! The access line: one a request, with everything that explains its outcome and no secret.

use std::time::{Duration, Instant};

use crate::client::ClientId;
use crate::key::KeyId;
use crate::policy::Route;
use crate::trace::Trace;

/// What is told of one request.
#[derive(Debug)]
pub struct AccessLine<'a> {
    /// The request's id, which the client and the backend saw too.
    pub request_id: &'a str,
    /// Its trace.
    pub trace: &'a Trace,
    /// The address that the connection came from.
    pub peer: &'a str,
    /// The version of HTTP: `1.1`, `2`.
    pub http: &'static str,
    /// The method.
    pub method: &'a str,
    /// The host that was asked for.
    pub host: &'a str,
    /// The path, without the query; shortened, and emptied when a key stands in it.
    pub path: &'a str,
    /// The route, when one was found.
    pub route: Option<&'a Route>,
    /// The status that the client got; 0 when it got none.
    pub status: u16,
    /// Why it was refused: the code that the client saw.
    pub reason: Option<&'a str>,
    /// What the client was not told.
    pub detail: Option<&'a str>,
    /// On a gateway that observes: `passed` when the request went on as it came, whatever was decided;
    /// `enforced` when it did not.
    pub observe: Option<&'static str>,
    /// Why a request that was passed on would have been refused.
    pub would_refuse: Option<&'a str>,
    /// Why the gateway ended it before it was over.
    pub closed: Option<&'static str>,
    /// `certificate`, `key`, `both` or `none`.
    pub auth: &'static str,
    /// How it is known that the client holds the key of its certificate: `proven`, or `asserted` by a
    /// front.
    pub assurance: Option<&'static str>,
    /// The front that brought the request.
    pub front: Option<&'a str>,
    /// The client's address behind a front, as far as the front tells it.
    pub client_address: Option<String>,
    /// Who called.
    pub client: Option<&'a ClientId>,
    /// The key id that the backend saw.
    pub key: Option<KeyId>,
    /// What was wrong with a certificate beside a good key.
    pub certificate_problem: Option<&'static str>,
    /// The address of the backend.
    pub upstream: Option<&'a str>,
    /// How often the request was sent to a backend.
    pub attempts: u32,
    /// When its head came.
    pub begun: Instant,
    /// From the request's head to the answer's end.
    pub duration: Duration,
    /// Bytes of body that went to the client.
    pub sent: usize,
    /// Bytes of body that came from the client.
    pub received: usize,
    /// The TLS version.
    pub tls: Option<&'a str>,
    /// Whether the TLS session was resumed.
    pub resumed: bool,
}

impl AccessLine<'_> {
    /// Writes the line.
    pub fn write(&self) {
        tracing::info!(
            target: "access",
            request_id = self.request_id,
            trace_id = self.trace.id().map(tracing::field::display),
            trace_recorded = self.trace.span().map(|span| span.is_sampled()),
            peer = self.peer,
            http = self.http,
            method = self.method,
            host = self.host,
            path = self.path,
            route = self.route.map(|route| route.name.as_str()),
            status = self.status,
            reason = self.reason,
            detail = self.detail,
            observe = self.observe,
            would_refuse = self.would_refuse,
            closed = self.closed,
            auth = self.auth,
            assurance = self.assurance,
            front = self.front,
            client_address = self.client_address,
            client = self.client.map(ClientId::as_str),
            key_id = self.key.map(tracing::field::display),
            certificate_problem = self.certificate_problem,
            upstream = self.upstream,
            attempts = self.attempts,
            duration_us = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            sent = self.sent,
            received = self.received,
            tls = self.tls,
            resumed = self.resumed,
            "request"
        );
    }
}
