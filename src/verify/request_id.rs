//! The name of a request in logs and refusals.

use http::HeaderMap;
use http::header::HeaderName;
use uuid::Uuid;

/// More than any gateway sends.
const LONGEST: usize = 128;

/// The request's own when it is well formed, otherwise a new one.
pub(super) fn request_id(headers: &HeaderMap, name: &HeaderName) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let fits = |id: &&str| (1..=LONGEST).contains(&id.len()) && id.bytes().all(plain);
    let sent = headers.get(name).and_then(|id| id.to_str().ok());
    sent.filter(fits)
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
