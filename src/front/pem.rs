//! Certificates in PEM (RFC 7468) and nothing else, percent-encoded for a header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;

use super::Unreadable;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

pub(super) const NOT_PEM: Unreadable =
    Unreadable::Not("percent-encoded PEM of certificates (RFC 7468) and nothing else");

/// Whether a private key stands in it.
pub(super) fn holds_key(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"PRIVATE KEY").is_some()
}

/// The certificates, in their order. `+` is itself. Lines may also end with a tab or a space, which
/// is what some proxies make of line ends.
pub(super) fn escaped(value: &[u8]) -> Result<Vec<Vec<u8>>, Unreadable> {
    let text: Vec<u8> = percent_decode(value).collect();
    if holds_key(&text) {
        return Err(Unreadable::PrivateKey);
    }
    let mut rest = str::from_utf8(&text).map_err(|_| NOT_PEM)?.trim_ascii();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let body = rest.strip_prefix(BEGIN).ok_or(NOT_PEM)?;
        let (body, after) = body.split_once(END).ok_or(NOT_PEM)?;
        let base64: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        found.push(STANDARD.decode(base64).map_err(|_| NOT_PEM)?);
        rest = after.trim_ascii_start();
    }
    if found.is_empty() {
        return Err(NOT_PEM);
    }
    Ok(found)
}
