//! What the backend gets: the request as it was verified, and nothing else that looks like an identity.

use http::header::{EXPECT, HOST, HeaderName};
use http::{HeaderMap, Version};
use pingora::http::RequestHeader;

use super::Admitted;
use crate::head::Head;
use crate::sign::{Names, header};

/// Makes of `request` what goes to the backend: the identity that `admitted` vouches for, once, and
/// no signature. `came` is how it was verified: of what it names in `Connection`, the identity is not
/// taken away. Of what else looks like an identity, what is verified keeps the headers `keep`.
///
/// # Errors
///
/// When it cannot be written so.
pub(super) fn on(
    request: &mut RequestHeader,
    came: (&Head<'_>, Version),
    admitted: &Admitted,
    (names, keep): (&Names, &[HeaderName]),
    request_id: &str,
) -> pingora::Result<()> {
    let (head, version) = came;
    strip(request, admitted, (names, keep));
    request.set_raw_path(head.target().as_bytes())?;
    request.insert_header(HOST, head.authority.as_str())?;
    request.insert_header(names.request_id.clone(), request_id)?;
    if version < Version::HTTP_11 {
        // Such a client knows no `100 Continue` (RFC 9110 section 10.1.1).
        request.remove_header(&EXPECT);
    }
    if let Admitted::Verified(vouched) = admitted {
        request.insert_header(names.key_id.clone(), vouched.key_id.to_string())?;
        request.insert_header(names.client_id.clone(), vouched.client.as_str())?;
        if let Some(scopes) = head.headers.get(&names.key_scopes) {
            request.insert_header(names.key_scopes.clone(), scopes.clone())?;
        }
    }
    Ok(())
}

/// Whatever could be taken for an identity, or make another request of this one.
fn strip(request: &mut RequestHeader, admitted: &Admitted, (names, keep): (&Names, &[HeaderName])) {
    let is_verified = matches!(admitted, Admitted::Verified(_));
    let like_kept = |name: &HeaderName| {
        let mut kept = keep.iter();
        kept.any(|kept| header::folds_to(name.as_str(), kept.as_str()))
    };
    let unwanted: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| !header::OF_THE_WAY.contains(&name.as_str()))
        .filter(|name| !(is_verified && keep.contains(name)))
        .filter(|name| {
            header::is_reserved(name.as_str(), names)
                || header::is_misleading(name.as_str())
                || like_kept(name)
        })
        .cloned()
        .collect();
    for name in unwanted {
        request.remove_header(&name);
    }
}

/// The identity for a proxy that asked.
pub(super) fn told<'a>(
    admitted: &'a Admitted,
    headers: &'a HeaderMap,
    names: &'a Names,
) -> Vec<(&'a HeaderName, String)> {
    let Admitted::Verified(vouched) = admitted else {
        return Vec::new();
    };
    let scopes = headers.get(&names.key_scopes);
    let scopes = scopes.and_then(|scopes| scopes.to_str().ok());
    [
        Some((&names.key_id, vouched.key_id.to_string())),
        Some((&names.client_id, vouched.client.to_string())),
        scopes.map(|scopes| (&names.key_scopes, scopes.to_owned())),
    ]
    .into_iter()
    .flatten()
    .collect()
}
