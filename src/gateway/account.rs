//! The account of a request, once it is over: its metrics, its access line and its spans.

use std::time::Duration;

use http::{Method, Version};
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

use super::proxy::{closing, connection};
use super::running::Running;
use super::{Exchange, Gateway};
use crate::certificate::{Reason, Verified};
use crate::client::Rung;
use crate::credential::Assurance;
use crate::door::{Closing, Connection};
use crate::front::Believed;
use crate::head::LONGEST_METHOD;
use crate::telemetry::{AccessLine, Metrics, Outcome};

/// What becomes of a certificate that renews another.
const RENEWED: [&str; 3] = ["followed", "pending", "refused"];

/// Shows what is counted of certificates from the beginning: what is first seen as 1 has not grown, for
/// Prometheus.
pub(super) fn begin_counting(metrics: &Metrics) {
    for reason in Reason::ALL {
        metrics
            .certificate_problems
            .with_label_values(&[reason.code()]);
    }
    for rung in Rung::ALL {
        for outcome in RENEWED {
            metrics
                .renewals
                .with_label_values(&[rung.as_str(), outcome]);
        }
    }
}

/// What its session knows of an exchange.
struct Seen<'a> {
    peer: String,
    http: &'static str,
    method: &'a Method,
    status: u16,
    closed: Option<&'static str>,
    sent: usize,
    received: usize,
    connection: Option<&'a Connection>,
}

impl Gateway {
    /// Counts the request and writes its line. `error` is what kept it from being answered.
    pub(super) fn account(&self, session: &Session, exchange: &Exchange, error: Option<&Error>) {
        let status = session
            .response_written()
            .map_or(0, |response| response.status.as_u16());
        let peer = session.client_addr().map(ToString::to_string);
        let connection = connection(session);
        let closed = closing(session).or_else(|| {
            // Of HTTP/2, where the connection goes on.
            let is_stuck = |error: &Error| {
                *error.etype() == ErrorType::WriteTimedout
                    && *error.esource() == ErrorSource::Downstream
            };
            error.filter(|error| is_stuck(error))?;
            Closing::NotReading.count(&self.parts.metrics);
            Some(Closing::NotReading)
        });
        let seen = Seen {
            peer: peer.unwrap_or_default(),
            http: version(session.req_header().version),
            method: &session.req_header().method,
            status,
            closed: closed.map(Closing::as_str),
            sent: session.body_bytes_sent(),
            received: session.body_bytes_read(),
            connection,
        };
        self.write_account(exchange, &seen, error.is_some());
    }

    /// The same for an exchange that was cut off, of which nothing else is left.
    pub(super) fn account_cut(&self, running: &Running) {
        let Some((closing, exchange)) = running.cut() else {
            return;
        };
        let peer = exchange.connected.map(|peer| peer.to_string());
        let seen = Seen {
            peer: peer.unwrap_or_default(),
            http: version(if running.http2.is_some() {
                Version::HTTP_2
            } else {
                Version::HTTP_11
            }),
            method: running.http2.as_ref().unwrap_or(&Method::GET),
            status: exchange.answered,
            closed: Some(closing.as_str()),
            sent: exchange.sent_bytes,
            received: usize::try_from(running.received()).unwrap_or(usize::MAX),
            connection: running.connection(),
        };
        self.write_account(&exchange, &seen, true);
    }

    fn write_account(&self, exchange: &Exchange, seen: &Seen<'_>, failed: bool) {
        let duration = exchange.started.elapsed();
        self.count(exchange, seen.status, failed, duration);
        let clients = exchange.behind_front.as_ref().or(seen.connection);
        let unknown = self.accepted_unknown(exchange, clients);
        let line = AccessLine {
            request_id: &exchange.request_id,
            trace: &exchange.trace,
            peer: &seen.peer,
            http: seen.http,
            method: logged_method(exchange.question.as_ref().unwrap_or(seen.method)),
            question: exchange.question.is_some(),
            host: &exchange.authority,
            path: &exchange.path,
            route: exchange.route.as_deref(),
            status: seen.status,
            reason: exchange.refusal.as_ref().map(|(reason, _)| *reason),
            detail: exchange
                .refusal
                .as_ref()
                .or(exchange.would_refuse.as_ref())
                .and_then(|(_, detail)| detail.as_deref())
                .or_else(|| unknown.as_ref()?.revocation_unknown()),
            observe: exchange.live.observing.as_ref().map(|_| {
                if exchange.is_observed() {
                    "passed"
                } else {
                    "enforced"
                }
            }),
            closed: seen.closed,
            would_refuse: exchange.would_refuse.as_ref().map(|(reason, _)| *reason),
            auth: exchange.auth,
            assurance: exchange.assurance.map(Assurance::as_str),
            front: exchange.front.as_ref().map(Believed::name),
            client_address: exchange
                .peer
                .filter(|_| exchange.front.is_some())
                .map(|address| address.to_string()),
            client: exchange.caller.as_ref().map(|(client, _)| client),
            key: exchange.caller.as_ref().map(|(_, key)| *key),
            certificate_problem: exchange
                .certificate_problem
                .or_else(|| unknown.as_ref().map(|_| Reason::RevocationUnknown))
                .map(Reason::code),
            upstream: exchange.upstream.as_deref(),
            attempts: exchange.attempts,
            begun: exchange.started,
            duration,
            sent: seen.sent,
            received: seen.received,
            tls: seen.connection.map(|connection| connection.tls().version),
            resumed: seen.connection.is_some_and(Connection::is_resumed),
        };
        line.write();
        self.parts.spans.record(&line);
    }

    /// The certificate by which the request was accepted though nobody could tell whether it was
    /// revoked; that is counted.
    fn accepted_unknown(
        &self,
        exchange: &Exchange,
        connection: Option<&Connection>,
    ) -> Option<Verified> {
        if exchange.refusal.is_some() || exchange.auth != "certificate" {
            return None;
        }
        let verifier = &self.parts.verifier;
        let certificate = connection?.verified(verifier, exchange.now)?;
        certificate.revocation_unknown()?;
        let counter = &self.parts.metrics.revocation_unknown_accepted;
        let trust = verifier.trust();
        let ca = trust.ca_name(certificate.ca());
        counter.with_label_values(&[ca]).inc();
        Some(certificate)
    }

    fn count(&self, exchange: &Exchange, status: u16, failed: bool, duration: Duration) {
        let outcome = match (&exchange.refusal, status) {
            (_, 500..) => Outcome::Error,
            (Some(_), _) => Outcome::Deny,
            (None, _) if failed => Outcome::Error,
            (None, _) => Outcome::Allow,
        };
        let route = exchange.route.as_ref();
        let counts = route.and_then(|route| exchange.live.counts(route));
        let counts = counts.unwrap_or(&self.own_counts);
        counts.count(exchange.auth, outcome, duration);
        let (decision, reason) = match (&exchange.refusal, &exchange.would_refuse) {
            (Some((reason, _)), _) => ("deny", *reason),
            (None, Some((reason, _))) => ("would_deny", *reason),
            (None, None) => ("allow", ""),
        };
        self.parts
            .metrics
            .decisions
            .with_label_values(&[exchange.auth, decision, reason])
            .inc();
        if let Some(problem) = exchange.certificate_problem {
            self.parts
                .metrics
                .certificate_problems
                .with_label_values(&[problem.code()])
                .inc();
        }
    }
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// A method that could be one; whatever else stands in its place, a key for instance, is not logged.
fn logged_method(method: &Method) -> &str {
    let method = method.as_str();
    if method.len() > LONGEST_METHOD {
        "?"
    } else {
        method
    }
}
