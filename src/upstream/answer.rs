//! What HTTP forbids in the answers of backends, and Pingora passes on.

use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use pingora::http::{RequestHeader, ResponseHeader};

/// Whether it asks for a WebSocket, the one protocol for which Pingora asks backends.
#[must_use]
pub fn asks_for_websocket(request: &RequestHeader) -> bool {
    let to = request.headers.get(UPGRADE);
    to.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Why the answer of a backend cannot be passed on: others could end it elsewhere than Pingora does.
#[must_use]
pub fn fault(request: &RequestHeader, response: &ResponseHeader) -> Option<&'static str> {
    // Pingora passes on what follows as it comes.
    if response.status == StatusCode::SWITCHING_PROTOCOLS && !asks_for_websocket(request) {
        return Some("101 without having been asked");
    }
    let mut codings = response.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !codings.next().is_none_or(is_chunked) || codings.next().is_some() {
        return Some("a transfer coding that is not known");
    }
    (response.headers.get_all(CONTENT_LENGTH).iter().count() > 1).then_some("two content lengths")
}
