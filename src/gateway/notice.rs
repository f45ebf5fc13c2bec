//! What answers say beside their content: nothing that imitates us, and to clients that still come
//! by certificate, that this ends.

use http::HeaderName;
use http::header::{HeaderMap, HeaderValue, LINK, STRICT_TRANSPORT_SECURITY};
use pingora::Result;
use pingora::http::ResponseHeader;

use super::Exchange;
use super::check::API_KEY_CHECK;
use crate::sign::{Names, header};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The link to where clients fetch their keys, below the path `base`; it is relative to what the
/// client asked for (RFC 8288 section 3.1).
#[must_use]
pub fn link_to_keys(base: &str) -> Option<HeaderValue> {
    let title = "POST here with your certificate to fetch an API key";
    HeaderValue::try_from(format!(
        "<{base}key>; rel=\"deprecation\"; title=\"{title}\""
    ))
    .ok()
}

/// Tells a client to come by TLS only, as long as the backend does not say so itself; what became of the key that it sent to be checked, and one that came by
/// certificate alone what was announced of its phase.
///
/// `Deprecation` and `Sunset` have one value each, and what a backend says of its resource would be
/// read as said of the certificate: ours take their place. Links are added to those of the backend.
///
/// # Errors
///
/// When the head takes no more headers.
pub(super) fn tell(head: &mut ResponseHeader, exchange: &Exchange) -> Result<()> {
    if let Some(value) = &exchange.live.transport_security
        && !head.headers.contains_key(STRICT_TRANSPORT_SECURITY)
    {
        head.insert_header(STRICT_TRANSPORT_SECURITY, value)?;
    }
    if let Some(checked) = exchange.key_check {
        head.insert_header(API_KEY_CHECK, checked.as_str())?;
    }
    let phase = exchange.phase.as_ref();
    let Some(notice) = phase.and_then(|phase| phase.notice.as_ref()) else {
        return Ok(());
    };
    head.insert_header(DEPRECATION, &notice.deprecation)?;
    if let Some(sunset) = &notice.sunset {
        head.insert_header(SUNSET, sunset)?;
    }
    for link in exchange.live.link_to_keys.iter().chain(&notice.guide) {
        head.append_header(LINK, link)?;
    }
    Ok(())
}

/// The names in `headers` that only the gateway may set, and a signature that claims to be ours.
pub(super) fn imitations(headers: &HeaderMap, names: &Names) -> Vec<HeaderName> {
    let ours = |value: &HeaderValue| value.as_bytes().starts_with(b"gw=");
    headers
        .iter()
        .filter(|(name, value)| {
            let signature = **name == header::SIGNATURE || **name == header::SIGNATURE_INPUT;
            if signature {
                ours(value)
            } else {
                header::is_reserved(name.as_str(), names)
            }
        })
        .map(|(name, _)| name.clone())
        .collect()
}

/// Takes them out.
pub(super) fn remove_imitations(response: &mut ResponseHeader, names: &Names) {
    for name in imitations(&response.headers, names) {
        response.remove_header(&name);
    }
}
