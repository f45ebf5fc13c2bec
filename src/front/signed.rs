//! The signature by which a front shows that it has a secret, without sending it.

use hmac::Mac as _;
use http::header::HeaderName;

use super::{Format, only};
use crate::clock::Timestamp;
use crate::head::Head;
use crate::key::keyed;
use crate::secret::SecretBytes;

/// The header with the time of the signature, in seconds since 1970, a space, and the HMAC-SHA-256 in
/// hex.
pub const FRONT_SIGNATURE: HeaderName = HeaderName::from_static("x-front-signature");

/// What is signed begins with it.
const VERSION: &str = "front.v1";

/// How far the time may be from ours, in seconds: for so long somebody who saw a request can send
/// it again.
const WITHIN: u64 = 60;

/// Which of the `secrets` signed this request with its certificate in this `format`, just now.
pub(super) fn signed_by(
    head: &Head<'_>,
    format: &Format,
    secrets: &[SecretBytes],
    now: Timestamp,
) -> Option<usize> {
    let shown = only(head.headers, &FRONT_SIGNATURE).and_then(|value| value.to_str().ok());
    let (created, mac) = shown?.split_once(' ')?;
    let is_plain = created.bytes().all(|b| b.is_ascii_digit());
    let at = created.parse::<i64>().ok().filter(|_| is_plain);
    let is_recent = at.is_some_and(|at| now.as_unix().abs_diff(at) <= WITHIN);
    let mac = hex::decode(mac).ok().filter(|_| is_recent)?;
    let forwarded = format.find(head.headers, None).ok()?;
    let (first, second) = forwarded.map(|found| found.parts()).unwrap_or_default();
    let (mark, query): (&[u8], &[u8]) = match head.query {
        Some(query) => (b"?", query.as_bytes()),
        None => (b"", b""),
    };
    let lines: [&[&[u8]]; 7] = [
        &[VERSION.as_bytes()],
        &[created.as_bytes()],
        &[head.method.as_str().as_bytes()],
        &[head.authority.as_bytes()],
        &[head.path.as_bytes(), mark, query],
        &[first],
        &[second],
    ];
    let signed = |secret| is_mac(&mac, secret, &lines);
    secrets.iter().position(signed)
}

/// Whether `mac` is that of the `lines`, each with a line feed behind it: no part can hold one.
fn is_mac(mac: &[u8], secret: &SecretBytes, lines: &[&[&[u8]]]) -> bool {
    let mut own = keyed(secret.expose());
    for line in lines {
        line.iter().for_each(|part| own.update(part));
        own.update(b"\n");
    }
    own.verify_slice(mac).is_ok()
}
