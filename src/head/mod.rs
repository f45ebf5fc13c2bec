//! The head of a request as every stage reads it: one authority, one path, one meaning.

use std::borrow::Cow;

use http::header::{EXPECT, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method};
use percent_encoding::{percent_decode, percent_decode_str};

use crate::credential;
use crate::front::Unreadable;
use crate::key::Format;
use crate::sign::header::CONTENT_DIGEST;

/// More than any method that is registered (RFC 9110 section 16.1).
pub(crate) const LONGEST_METHOD: usize = 32;
/// A host name has 253 characters at most (RFC 1035 section 2.3.4), and a port six.
const LONGEST_AUTHORITY: usize = 260;
/// More than any request id that is usual.
const LONGEST_ID: usize = 128;
/// How often a path is decoded: some backends do it more than once.
const DECODINGS: usize = 3;

/// A request's head that has exactly one reading.
#[derive(Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// Host and port as asked for, in lower case, without the port of `https` or `http`.
    pub authority: String,
    /// The path as it came; begins with `/`.
    pub path: &'a str,
    /// The query as it came, without `?`.
    pub query: Option<&'a str>,
    /// The headers as they came.
    pub headers: &'a HeaderMap,
    canonical: Cow<'a, str>,
}

/// What is kept of a head to decide on it again, for as long as its request lasts.
pub struct Kept {
    method: Method,
    authority: String,
    path: String,
    canonical: Option<String>,
    /// Those that carry credentials.
    headers: HeaderMap,
}

/// The id that a request brings under this `name`, when it is well formed: 1 to 128 letters, digits,
/// `.`, `_` and `-`.
#[must_use]
pub fn request_id<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let id = headers.get(name)?.to_str().ok()?;
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_plain)).then_some(id)
}

impl Kept {
    /// The head, with no other headers than those that carry credentials.
    #[must_use]
    pub fn head(&self) -> Head<'_> {
        let canonical = self.canonical.as_ref().unwrap_or(&self.path);
        Head {
            method: &self.method,
            authority: self.authority.clone(),
            path: &self.path,
            query: None,
            headers: &self.headers,
            canonical: Cow::Borrowed(canonical),
        }
    }
}

/// A head that has no reading, or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither `/path` nor `https://host/path`.
    #[error("the request target is neither a path nor an absolute URL in plain ASCII")]
    Target,
    /// No host, or one that is none.
    #[error("the request names no valid host; send exactly one Host header (RFC 9112 section 3.2)")]
    Host,
    /// Two hosts that differ.
    #[error("the request names two different hosts; Host and the request target must agree")]
    TwoHosts,
    /// `.` or `..`, also in disguise.
    #[error(
        "the path has a '.' or '..' segment; send the path that you mean (RFC 3986 section 5.2.4)"
    )]
    DotSegment,
    /// A character that ends the path for some readers.
    #[error(
        "the path has a control character such as '%00', where some backends cut it off; send the path that you mean (RFC 3986 section 7.3)"
    )]
    ControlCharacter,
    /// What HTTP forbids.
    #[error("the request breaks a rule of HTTP (RFC 9110, RFC 9112, RFC 9113)")]
    Http,
    /// A key in the URL.
    #[error(
        "the URL carries an API key, and URLs end up in logs; send it as 'Authorization: Bearer', and rotate this one"
    )]
    KeyInUrl,
    /// Something else than `100-continue` is expected.
    #[error("only 'Expect: 100-continue' is known here (RFC 9110 section 10.1.1)")]
    Expectation,
    /// More header lines, or longer ones, than are taken.
    #[error("the request has too many header lines, or too long ones; send fewer and shorter ones")]
    TooLarge,
    /// Another route for a backend that reads the path more freely.
    #[error(
        "the path can be read as that of another route; send it without '//', ';' and needless percent-encoding"
    )]
    AmbiguousPath,
    /// A certificate that a front forwards, and that has not one reading.
    #[error("{0}")]
    Forwarded(Unreadable),
}

impl<'a> Head<'a> {
    /// Reads a request that asked for `target`, as it stood on the wire.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for whatever backends could read in two ways.
    pub fn read(request: &'a Parts, target: &'a [u8], format: &Format) -> Result<Self, Malformed> {
        let head = Self::of(request, target)?;
        let target = str::from_utf8(target).map_err(|_| Malformed::Target)?;
        if holds_key(target, format) || format.occurs_in(head.authority.as_bytes()) {
            return Err(Malformed::KeyInUrl);
        }
        Ok(head)
    }

    /// The same for whoever knows of no keys.
    ///
    /// # Errors
    ///
    /// [`Malformed`], as above.
    pub fn of(request: &'a Parts, target: &'a [u8]) -> Result<Self, Malformed> {
        let target = str::from_utf8(target).map_err(|_| Malformed::Target)?;
        if !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Malformed::Target);
        }
        let (named, rest) = split_target(target)?;
        let authority = authority(request, named)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        let canonical = canonical(path);
        if canonical
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        {
            return Err(Malformed::DotSegment);
        }
        if request.method.as_str().len() > LONGEST_METHOD || !covered_is_text(&request.headers) {
            return Err(Malformed::Http);
        }
        let expects = request.headers.get_all(EXPECT).iter();
        if !{ expects }.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err(Malformed::Expectation);
        }
        if canonical.bytes().any(|b| b.is_ascii_control()) {
            return Err(Malformed::ControlCharacter);
        }
        Ok(Self {
            method: &request.method,
            authority,
            path,
            query,
            headers: &request.headers,
            canonical,
        })
    }

    /// What is needed to decide on it again.
    #[must_use]
    pub fn keep(&self) -> Kept {
        let mut headers = HeaderMap::new();
        for name in credential::HEADERS {
            for value in self.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        Kept {
            method: self.method.clone(),
            authority: self.authority.clone(),
            path: self.path.to_owned(),
            canonical: match &self.canonical {
                Cow::Borrowed(_) => None,
                Cow::Owned(canonical) => Some(canonical.clone()),
            },
            headers,
        }
    }

    /// Path and query, as they came.
    #[must_use]
    pub fn target(&self) -> Cow<'_, str> {
        match self.query {
            Some(query) => [self.path, "?", query].concat().into(),
            None => self.path.into(),
        }
    }

    /// The host without port.
    #[must_use]
    pub fn host(&self) -> &str {
        let end = match self.authority.rfind(']') {
            Some(bracket) => bracket.saturating_add(1),
            None => self.authority.find(':').unwrap_or(self.authority.len()),
        };
        self.authority
            .get(..end)
            .unwrap_or(&self.authority)
            .trim_end_matches('.')
    }

    /// The path as the freest of backends would read it.
    #[must_use]
    pub fn canonical_path(&self) -> &str {
        &self.canonical
    }
}

/// Whether one of our keys stands in `target`, however often it was percent-encoded.
fn holds_key(target: &str, format: &Format) -> bool {
    if !target.contains('%') {
        return format.occurs_in(target.as_bytes());
    }
    let mut decoded = target.as_bytes().to_owned();
    for _ in 0..DECODINGS {
        decoded = percent_decode(&decoded).collect();
        if format.occurs_in(&decoded) {
            return true;
        }
    }
    false
}

/// The authority of an absolute target, and the rest from the path on.
fn split_target(target: &str) -> Result<(Option<&str>, &str), Malformed> {
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let lower = |prefix: &str| {
        target
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let after = ["https://", "http://"]
        .into_iter()
        .find(|scheme| lower(scheme))
        .and_then(|scheme| target.get(scheme.len()..));
    let after = after.ok_or(Malformed::Target)?;
    let end = after.find(['/', '?']).unwrap_or(after.len());
    let (named, rest) = after.split_at_checked(end).ok_or(Malformed::Target)?;
    if rest.starts_with('?') {
        Err(Malformed::Target)
    } else {
        Ok((Some(named), rest))
    }
}

/// The one authority that `Host`, `:authority` and an absolute target agree on.
fn authority(request: &Parts, named: Option<&str>) -> Result<String, Malformed> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Malformed::TwoHosts);
    }
    let host = host
        .map(|host| host.to_str())
        .transpose()
        .map_err(|_| Malformed::Host)?;
    let pseudo = request.uri.authority().map(http::uri::Authority::as_str);
    let mut all = [host, pseudo, named].into_iter().flatten();
    let first = all.next().ok_or(Malformed::Host)?;
    if all.any(|other| !other.eq_ignore_ascii_case(first)) {
        return Err(Malformed::TwoHosts);
    }
    let parsed: http::uri::Authority = first.parse().map_err(|_| Malformed::Host)?;
    if parsed.host().is_empty() || first.contains('@') || first.len() > LONGEST_AUTHORITY {
        return Err(Malformed::Host);
    }
    let lower = first.to_ascii_lowercase();
    let plain = lower
        .strip_suffix(":443")
        .or_else(|| lower.strip_suffix(":80"));
    Ok(plain.map_or_else(|| lower.clone(), str::to_owned))
}

/// Whether the header that is signed besides ours can stand in a signature base.
fn covered_is_text(headers: &HeaderMap) -> bool {
    let visible = |value: &HeaderValue| value.as_bytes().iter().all(|b| (b' '..0x7f).contains(b));
    headers.get_all(CONTENT_DIGEST).iter().all(visible)
}

/// `path` with percent-encoding undone, however often it was done, `\` as `/`, path parameters dropped and empty segments
/// merged.
fn canonical(path: &str) -> Cow<'_, str> {
    if !path.contains(['%', '\\', ';']) && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut decoded = path.to_owned();
    for _ in 0..DECODINGS {
        decoded = percent_decode_str(&decoded)
            .decode_utf8_lossy()
            .into_owned();
    }
    let decoded = decoded.replace('\\', "/");
    let mut canonical = String::with_capacity(decoded.len());
    for segment in decoded.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        if !name.is_empty() {
            canonical.push('/');
            canonical.push_str(name);
        }
    }
    if canonical.is_empty() || decoded.ends_with('/') {
        canonical.push('/');
    }
    Cow::Owned(canonical)
}

#[cfg(test)]
mod tests;
