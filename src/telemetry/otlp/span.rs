//! A request as spans, by the semantic conventions of OpenTelemetry: one of the server that it came
//! to, and one of the client for every time that it was sent to a backend. What is not in the access
//! line is not in a span either: no query, no header, no key.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http::Method;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};
use opentelemetry_semantic_conventions::attribute::{
    CLIENT_ADDRESS, ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL,
    HTTP_REQUEST_RESEND_COUNT, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, NETWORK_PEER_ADDRESS,
    NETWORK_PEER_PORT, NETWORK_PROTOCOL_VERSION, SERVER_ADDRESS, SERVER_PORT, URL_FULL, URL_PATH,
    URL_SCHEME,
};

use super::AccessLine;
use crate::clock;
use crate::trace::{Attempt, Parent, SpanId};

/// The methods that spans are named by; any other could be a name without end.
const METHODS: [Method; 9] = [
    Method::CONNECT,
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
    Method::TRACE,
];
const OTHER: &str = "_OTHER";

/// Two clocks, read at one moment: spans tell the time of day, and everything is measured by the
/// other one.
#[derive(Clone, Copy)]
struct Clocks {
    wall: Duration,
    monotonic: Instant,
}

impl Clocks {
    /// The time of day at `moment`, since the epoch.
    fn at(self, moment: Instant) -> Duration {
        let ago = self.monotonic.saturating_duration_since(moment);
        self.wall.saturating_sub(ago)
    }
}

/// The spans of a request that is over; none when its trace has none here.
pub(super) fn of(line: &AccessLine<'_>) -> Vec<Span> {
    let Some(own) = line.trace.span() else {
        return Vec::new();
    };
    let clocks = Clocks {
        wall: clock::since_epoch(),
        monotonic: clock::monotonic(),
    };
    let attempts = line.trace.attempts().iter().enumerate();
    let attempts =
        attempts.map(|(before, attempt)| of_attempt(line, own, (before, attempt), clocks));
    let mut spans: Vec<_> = attempts.collect();
    spans.push(of_request(line, own, clocks));
    spans
}

fn of_request(line: &AccessLine<'_>, own: Parent, clocks: Clocks) -> Span {
    let method = method(line.method);
    let route = line.route.map(|route| route.path.as_str());
    let (host, port) = split(line.host);
    let (peer, peer_port) = peer(line.peer);
    let failed = line.status >= 500 || line.status == 0;
    let error = failed.then(|| error_type(line.reason.or(line.closed), line.status));
    let told = [
        Some(text(HTTP_REQUEST_METHOD, method)),
        (method == OTHER).then(|| text(HTTP_REQUEST_METHOD_ORIGINAL, line.method)),
        route.map(|route| text(HTTP_ROUTE, route)),
        Some(text(URL_SCHEME, "https")),
        Some(text(URL_PATH, line.path)),
        (!host.is_empty()).then(|| text(SERVER_ADDRESS, host)),
        port.map(|port| number(SERVER_PORT, port)),
        line.client_address.as_deref().map_or_else(
            || peer.map(|peer| text(CLIENT_ADDRESS, peer.to_string())),
            |client| Some(text(CLIENT_ADDRESS, client)),
        ),
        peer.map(|peer| text(NETWORK_PEER_ADDRESS, peer.to_string())),
        peer_port.map(|port| number(NETWORK_PEER_PORT, port)),
        Some(text(NETWORK_PROTOCOL_VERSION, line.http)),
        (line.status > 0).then(|| number(HTTP_RESPONSE_STATUS_CODE, line.status)),
        error.clone().map(|error| text(ERROR_TYPE, error)),
    ];
    let name = match route {
        Some(route) => format!("{} {route}", named(method)),
        None => named(method).to_owned(),
    };
    let parent = line.trace.parent();
    let begun = clocks.at(line.begun);
    Span {
        parent_span_id: parent.map_or_else(Vec::new, |parent| id(parent.span)),
        trace_state: line.trace.state().unwrap_or_default().to_owned(),
        links: line.trace.claimed().map(link).into_iter().collect(),
        attributes: told.into_iter().flatten().chain(ours(line)).collect(),
        status: error.map(failure),
        ..span(
            own,
            parent.is_some(),
            (name, SpanKind::Server),
            (begun, begun.saturating_add(line.duration)),
        )
    }
}

/// What only this gateway can tell, by the names of the access line.
fn ours(line: &AccessLine<'_>) -> impl Iterator<Item = KeyValue> {
    let key = line.key.map(|key| key.to_string());
    let texts = [
        ("keyferry.request_id", Some(line.request_id)),
        ("keyferry.question", line.question.then_some("true")),
        (
            "keyferry.route",
            line.route.map(|route| route.name.as_str()),
        ),
        ("keyferry.auth", Some(line.auth)),
        ("keyferry.assurance", line.assurance),
        ("keyferry.front", line.front),
        (
            "keyferry.client",
            line.client.map(crate::client::ClientId::as_str),
        ),
        ("keyferry.key_id", key.as_deref()),
        ("keyferry.reason", line.reason),
        ("keyferry.detail", line.detail),
        ("keyferry.observe", line.observe),
        ("keyferry.would_refuse", line.would_refuse),
        ("keyferry.closed", line.closed),
        ("keyferry.certificate_problem", line.certificate_problem),
        ("keyferry.tls", line.tls),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(name, value)| Some(text(name, value?)));
    texts.collect::<Vec<_>>().into_iter()
}

fn of_attempt(
    line: &AccessLine<'_>,
    own: Parent,
    (before, attempt): (usize, &Attempt),
    clocks: Clocks,
) -> Span {
    let method = method(line.method);
    let over = line.begun.checked_add(line.duration);
    let ended = attempt.ended.or(over).unwrap_or(clocks.monotonic);
    let scheme = if attempt.is_tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", attempt.address, line.path);
    let (host, port) = split(&attempt.address);
    let error = match attempt.status {
        Some(status) => (status >= 400).then(|| status.to_string()),
        None => Some(error_type(attempt.failure.as_deref(), 0)),
    };
    let told = [
        Some(text(HTTP_REQUEST_METHOD, method)),
        Some(text(URL_FULL, url)),
        Some(text(SERVER_ADDRESS, host)),
        port.map(|port| number(SERVER_PORT, port)),
        attempt
            .status
            .map(|status| number(HTTP_RESPONSE_STATUS_CODE, status)),
        (before > 0).then(|| {
            number(
                HTTP_REQUEST_RESEND_COUNT,
                u16::try_from(before).unwrap_or(u16::MAX),
            )
        }),
        error.clone().map(|error| text(ERROR_TYPE, error)),
        Some(text("keyferry.backend", attempt.backend.as_str())),
    ];
    Span {
        span_id: id(attempt.span),
        parent_span_id: id(own.span),
        trace_state: line.trace.state().unwrap_or_default().to_owned(),
        attributes: told.into_iter().flatten().collect(),
        status: error.map(failure),
        ..span(
            own,
            false,
            (named(method).to_owned(), SpanKind::Client),
            (clocks.at(attempt.begun), clocks.at(ended)),
        )
    }
}

/// A span that is ours, without what differs.
fn span(
    own: Parent,
    is_remote: bool,
    (name, kind): (String, SpanKind),
    (begun, ended): (Duration, Duration),
) -> Span {
    Span {
        trace_id: own.trace.as_bytes().to_vec(),
        span_id: id(own.span),
        flags: flags(own, is_remote),
        name,
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(begun),
        end_time_unix_nano: nanoseconds(ended),
        ..Span::default()
    }
}

fn link(claimed: Parent) -> Link {
    Link {
        trace_id: claimed.trace.as_bytes().to_vec(),
        span_id: id(claimed.span),
        flags: flags(claimed, true),
        ..Link::default()
    }
}

/// Those of the trace, and whether the step before was somewhere else.
fn flags(own: Parent, is_remote: bool) -> u32 {
    let has = SpanFlags::ContextHasIsRemoteMask as u32;
    let is = if is_remote {
        SpanFlags::ContextIsRemoteMask as u32
    } else {
        0
    };
    u32::from(own.is_sampled()) | has | is
}

fn failure(error: String) -> Status {
    Status {
        code: StatusCode::Error.into(),
        message: error,
    }
}

/// A word of a closed set that says what went wrong.
fn error_type(known: Option<&str>, status: u16) -> String {
    match (known, status) {
        (Some(known), _) => known.to_owned(),
        (None, 0) => "no_answer".to_owned(),
        (None, status) => status.to_string(),
    }
}

fn method(method: &str) -> &str {
    let is_known = METHODS.iter().any(|known| known == method);
    if is_known { method } else { OTHER }
}

fn named(method: &str) -> &str {
    if method == OTHER { "HTTP" } else { method }
}

fn split(address: &str) -> (&str, Option<u16>) {
    let parts = address.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parts {
        Some((host, port)) => (host.trim_matches(['[', ']']), Some(port)),
        None => (address.trim_matches(['[', ']']), None),
    }
}

fn peer(peer: &str) -> (Option<IpAddr>, Option<u16>) {
    match peer.parse::<SocketAddr>() {
        Ok(peer) => (Some(peer.ip()), Some(peer.port())),
        Err(_) => (peer.parse().ok(), None),
    }
}

fn id(span: SpanId) -> Vec<u8> {
    span.as_bytes().to_vec()
}

fn nanoseconds(since: Duration) -> u64 {
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn text(name: &str, value: impl Into<String>) -> KeyValue {
    attribute(name, Value::StringValue(value.into()))
}

fn number(name: &str, value: u16) -> KeyValue {
    attribute(name, Value::IntValue(value.into()))
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
