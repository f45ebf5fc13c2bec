//! What HTTP forbids and Pingora passes on. Heads over HTTP/1 were read strictly as they came in
//! ([`crate::framing`]); answers are looked at by [`crate::upstream::fault`].

use http::header::CONTENT_LENGTH;
use http::{Method, Version};
use pingora::http::RequestHeader;

use super::refusal::Refusal;
use crate::framing::Limits;
use crate::head::Malformed;

/// What `Allow` names when only CONNECT and TRACE are not (RFC 9110 section 9.1, RFC 5789).
const EVERY_OTHER_METHOD: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Refuses the methods that open tunnels or show the identity and its signature to the client (RFC 9110
/// section 9.3).
///
/// # Errors
///
/// [`Refusal`].
pub(super) fn method(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        Err(Refusal::MethodNotAllowed(EVERY_OTHER_METHOD))
    } else {
        Ok(())
    }
}

/// Refuses these, and what `h2` lets through over HTTP/2 and is too large or none.
///
/// # Errors
///
/// [`Refusal`].
pub(super) fn request(request: &RequestHeader, limits: Limits) -> Result<(), Refusal> {
    method(&request.method)?;
    if request.version != Version::HTTP_2 {
        return Ok(());
    }
    let mut size = request.raw_path().len();
    for (name, value) in &request.headers {
        let length = name.as_str().len().saturating_add(value.len());
        size = size.saturating_add(length);
        let ends = [value.as_bytes().first(), value.as_bytes().last()];
        if ends.into_iter().flatten().any(|b| b" \t".contains(b)) {
            return Err(Malformed::Http.into());
        }
    }
    if request.headers.len() > limits.fields || size > limits.bytes {
        return Err(Malformed::TooLarge.into());
    }
    let lengths = request.headers.get_all(CONTENT_LENGTH).iter().count();
    let scheme = request.uri.scheme_str();
    if lengths > 1 || !scheme.is_none_or(|scheme| matches!(scheme, "https" | "http")) {
        return Err(Malformed::Http.into());
    }
    Ok(())
}
