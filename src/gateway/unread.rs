//! The answer to what came over HTTP/1 and could not be read as a request: like any other refusal, but
//! written here, since there is no request that it would answer.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderValue, StatusCode};

use super::problem::{self, Links};
use super::{Gateway, Live, Refusal, told};
use crate::clock;
use crate::door::Refuse;
use crate::framing::Unreadable;
use crate::telemetry::{AccessLine, Metrics, Outcome, RouteMetrics};
use crate::trace::Trace;

/// Answers and accounts for what cannot be read.
pub struct Unread {
    metrics: Metrics,
    counts: RouteMetrics,
    live: Arc<ArcSwap<Live>>,
}

impl Gateway {
    /// What is said in place of this gateway where there is no request for it.
    #[must_use]
    pub fn unread(&self) -> Unread {
        Unread {
            metrics: self.parts.metrics.clone(),
            counts: self.own_counts.clone(),
            live: Arc::clone(&self.parts.live),
        }
    }
}

impl Refuse for Unread {
    fn refuse(&self, why: Unreadable, peer: Option<SocketAddr>) -> Vec<u8> {
        let refusal = Refusal::Unreadable(why);
        let (code, request_id) = (refusal.code(), clock::unique().to_string());
        let live = self.live.load();
        let links = Links {
            authority: "",
            base: &live.self_service.path,
        };
        let body = problem::document(&refusal, &told::sentence(&why), links, &request_id);
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        let reason = status.canonical_reason().unwrap_or_default();
        let mut answer = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{}: {request_id}\r\n",
            status.as_u16(),
            body.len(),
            live.names.request_id
        );
        if let Some(Ok(value)) = live.transport_security.as_ref().map(HeaderValue::to_str) {
            let _ = write!(answer, "Strict-Transport-Security: {value}\r\n");
        }
        let _ = write!(answer, "Connection: close\r\n\r\n{body}");
        self.account(code.as_str(), code.status(), &request_id, body.len(), peer);
        answer.into_bytes()
    }
}

impl Unread {
    fn account(
        &self,
        reason: &'static str,
        status: u16,
        request_id: &str,
        sent: usize,
        peer: Option<SocketAddr>,
    ) {
        self.counts.count("none", Outcome::Deny, Duration::ZERO);
        let labels = ["none", "deny", reason];
        self.metrics.decisions.with_label_values(&labels).inc();
        AccessLine {
            request_id,
            trace: &Trace::default(),
            peer: &peer.map(|peer| peer.to_string()).unwrap_or_default(),
            http: "1.1",
            method: "",
            question: false,
            host: "",
            path: "",
            route: None,
            status,
            reason: Some(reason),
            detail: None,
            observe: None,
            would_refuse: None,
            auth: "none",
            assurance: None,
            front: None,
            client_address: None,
            client: None,
            key: None,
            certificate_problem: None,
            upstream: None,
            attempts: 0,
            begun: clock::monotonic(),
            duration: Duration::ZERO,
            sent,
            received: 0,
            tls: None,
            resumed: false,
            closed: None,
        }
        .write();
    }
}
