//! What a backend is sent: stripped first, then the one identity inserted.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use crate::clock::{self, Timestamp};
use crate::credential;
use crate::front::{FRONT_SECRET, FRONT_SIGNATURE};
use crate::head::Head;
use crate::key::Format;
use crate::policy::{Observed, Permit};
use crate::sign::{Message, Names, SignError, Signed, Signer, header};
use crate::trace::{self, Context, TRACEPARENT, TRACESTATE};

/// What may pass.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// The names of the identity headers.
    pub names: &'a Names,
    /// How keys begin: none may reach a backend.
    pub format: &'a Format,
    /// Whether headers with `_` or `.` in their names are passed on.
    pub keep_ambiguous: bool,
    /// The address that the request came from.
    pub peer: Option<IpAddr>,
    /// What the backend is told of the trace.
    pub trace: trace::Onward<'a>,
    /// What this backend is told of whom the permit names, as by an old proxy.
    pub told: Vec<(Bytes, HeaderValue)>,
}

/// Why a request cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum CannotSend {
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The backend has no signing key, and the request carries an identity.
    #[error("the backend has no signing key")]
    NoSigningKey,
    /// A header or the target cannot be set.
    #[error("the request cannot be rewritten: {0}")]
    Header(#[from] Box<pingora::Error>),
}

/// Rewrites `request`, which is on its way to a backend: nothing that could be taken for an identity
/// stays; then whom `permit` names is inserted, signed by the backend's `signer` over the request as
/// it will be sent, with a nonce of its own.
///
/// # Errors
///
/// [`CannotSend`]. The request must not be forwarded then.
pub fn rewrite(
    request: &mut RequestHeader,
    head: &Head<'_>,
    permit: &Permit,
    signer: Option<&Signer>,
    rules: &Rules<'_>,
    request_id: &str,
    now: Timestamp,
) -> Result<(), CannotSend> {
    strip(request, rules);
    join_cookies(request);
    tell_trace(request, rules.trace.context)?;

    let target = head.target();
    if request.raw_path() != target.as_bytes() {
        request.set_raw_path(target.as_bytes())?;
    }
    let host = request.headers.get(HOST);
    if host.is_none_or(|host| host.as_bytes() != head.authority.as_bytes()) {
        request.insert_header(HOST, head.authority.as_str())?;
    }
    request.insert_header(rules.names.request_id.clone(), request_id)?;

    if let Some(peer) = rules.peer {
        request.insert_header("X-Forwarded-For", peer.to_string())?;
    }
    request.insert_header("X-Forwarded-Proto", "https")?;

    let message = Message::of(head, request.headers.get(header::CONTENT_DIGEST))?;
    for (name, value) in signed(&message, permit, signer, now)?.into_headers() {
        request.insert_header(name, value)?;
    }
    // Only now: never without a signed identity beside.
    for (name, value) in { rules.told.iter() }.filter(|_| permit.identity().is_some()) {
        request.insert_header(name.clone(), value)?;
    }
    Ok(())
}

/// The headers that tell a backend of whom `permit` names, signed by its `signer` over `message`, with a
/// nonce of its own; none when it names nobody.
///
/// # Errors
///
/// [`CannotSend`]. Nobody may be vouched for then.
pub fn signed(
    message: &Message<'_>,
    permit: &Permit,
    signer: Option<&Signer>,
    now: Timestamp,
) -> Result<Signed, CannotSend> {
    match (signer, permit.identity()) {
        (Some(signer), _) => Ok(signer.sign(message, permit, clock::unique(), now)?),
        (None, None) => Ok(Signed::default()),
        (None, Some(_)) => Err(CannotSend::NoSigningKey),
    }
}

/// Lets `request` go on as it came, to a backend that an existing gateway speaks for: nothing that
/// could be an identity is taken away, and nothing is added. Only a key of ours, and what shows a
/// front, go no further, as everywhere: nobody behind us needs them.
pub fn pass_on(request: &mut RequestHeader, _: &Observed, format: &Format) {
    remove(request, |name, value| is_for_us(name, value, format));
    join_cookies(request);
}

/// Ends a body once, when it ends with nothing more to send, as one over HTTP/2 that ends with an empty
/// frame: Pingora 0.9.1 would write the last chunk twice, and a backend take the second for the beginning
/// of the next request. The last thing that a filter of bodies does.
pub fn end_once(body: &mut Option<Bytes>, is_all: bool) {
    if is_all && body.as_ref().is_some_and(Bytes::is_empty) {
        *body = None;
    }
}

/// Says of the trace what `context` says, and nothing that came.
fn tell_trace(
    request: &mut RequestHeader,
    context: Option<&Context>,
) -> Result<(), Box<pingora::Error>> {
    request.remove_header(&TRACEPARENT);
    request.remove_header(&TRACESTATE);
    let Some(context) = context else {
        return Ok(());
    };
    request.insert_header(TRACEPARENT, context.traceparent())?;
    match context.tracestate() {
        Some(state) => request.insert_header(TRACESTATE, state),
        None => Ok(()),
    }
}

/// Makes one header of the pieces in which clients send cookies over HTTP/2; over HTTP/1, backends
/// know only one (RFC 9113 section 8.2.3).
fn join_cookies(request: &mut RequestHeader) {
    let pieces: Vec<&[u8]> = request
        .headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if pieces.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..]))
    {
        // What was one header is one again: it cannot be too many.
        let _ = request.insert_header(COOKIE, whole);
    }
}

/// Removes every header that could be taken for an identity, and every one that carries a key.
fn strip(request: &mut RequestHeader, rules: &Rules<'_>) {
    remove(request, |name, value| is_unwanted(name, value, rules));
    let mut digests = request.headers.get_all(header::CONTENT_DIGEST).iter();
    if digests.next().is_some() && digests.next().is_some() {
        request.remove_header(&header::CONTENT_DIGEST);
    }
}

/// Whether a header could be taken for an identity, or make another request of this one, or carries a
/// key.
pub fn is_unwanted(name: &HeaderName, value: &HeaderValue, rules: &Rules<'_>) -> bool {
    header::is_reserved(name.as_str(), rules.names)
        || header::is_misleading(name.as_str())
        || header::is_disguised_framing(name.as_str())
        || (!rules.trace.keeps_others && trace::is_another(name))
        || (!rules.keep_ambiguous && header::is_ambiguous(name.as_str()))
        || carries_key(name, value, rules.format)
}

/// Whether a header is for us alone: it carries one of our keys, or shows a front.
pub fn is_for_us(name: &HeaderName, value: &HeaderValue, format: &Format) -> bool {
    [FRONT_SECRET, FRONT_SIGNATURE].contains(name) || carries_key(name, value, format)
}

/// Whether one of our keys stands in the header, whole or not.
fn carries_key(name: &HeaderName, value: &HeaderValue, format: &Format) -> bool {
    (*name == AUTHORIZATION && credential::is_our_bearer(value, format))
        || format.occurs_in(value.as_bytes())
}

/// Removes every header of a name that one `unwanted` field has.
fn remove(request: &mut RequestHeader, unwanted: impl Fn(&HeaderName, &HeaderValue) -> bool) {
    let names: Vec<HeaderName> = request
        .headers
        .iter()
        .filter(|(name, value)| unwanted(name, value))
        .map(|(name, _)| name.clone())
        .collect();
    for name in names {
        request.remove_header(&name);
    }
}
