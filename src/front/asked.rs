//! What a proxy asks about: the request that it got, told in headers of its own.
//!
//! It is believed, since nobody but the proxy can ask. But what its client sent may stand beside what
//! it set: where two of them tell of a request, neither is taken.

use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::sign::header::folds_to;

/// In which headers a proxy tells of the request that it asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// `X-Original-Method`, `X-Original-URI` and `Host`: nginx, HAProxy
    Original,
    /// `X-Forwarded-Method`, `X-Forwarded-Uri` and `X-Forwarded-Host`: Traefik
    Forwarded,
    /// In none: the question is a request like it, as Envoy asks
    RequestLine,
}

/// A proxy does not say clearly about what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unclear(pub &'static str);

const TWO_WAYS: Unclear =
    Unclear("the question tells of the request in two ways, in headers of another form as well");
const NOT_ONCE: Unclear =
    Unclear("the question must have each header that tells of the request exactly once");

/// Where method and target are told, in any form.
const TOLD: [&str; 6] = [
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-method",
    "x-forwarded-uri",
];

impl Form {
    /// The headers of method, target and authority.
    const fn headers(self) -> Option<(&'static str, &'static str, HeaderName)> {
        match self {
            Self::Original => Some(("x-original-method", "x-original-uri", HOST)),
            Self::Forwarded => Some((
                "x-forwarded-method",
                "x-forwarded-uri",
                HeaderName::from_static("x-forwarded-host"),
            )),
            Self::RequestLine => None,
        }
    }

    /// Whether the proxy tells of method or target in a header of this `name`, which is for us alone.
    #[must_use]
    pub fn is_told_in(self, name: &str) -> bool {
        self.headers()
            .is_some_and(|(method, target, _)| name == method || name == target)
    }

    /// The request that `question` asks about, and its target; the question's own target is `target`.
    ///
    /// # Errors
    ///
    /// [`Unclear`] when it is told in no way, or in two.
    pub fn read(self, question: &Parts, target: &[u8]) -> Result<(Parts, Vec<u8>), Unclear> {
        let (mut request, ()) = http::Request::new(()).into_parts();
        request.headers.clone_from(&question.headers);
        let tells_else = |name: &HeaderName| {
            TOLD.iter().any(|told| folds_to(name.as_str(), told)) && !self.is_told_in(name.as_str())
        };
        if question.headers.keys().any(tells_else) {
            return Err(TWO_WAYS);
        }
        // Over HTTP/2 the host is named beside the headers.
        if let Some(named) = question.uri.authority()
            && !question.headers.contains_key(HOST)
        {
            let named = HeaderValue::from_str(named.as_str()).map_err(|_| NOT_ONCE)?;
            request.headers.insert(HOST, named);
        }
        let Some((method, uri, host)) = self.headers() else {
            request.method = question.method.clone();
            return Ok((request, target.to_owned()));
        };
        let method = once(&question.headers, method)?;
        let target = once(&question.headers, uri)?.as_bytes().to_owned();
        let authority = once(&request.headers, host.as_str())?.clone();
        request.method = Method::from_bytes(method.as_bytes())
            .map_err(|_| Unclear("the question names no method"))?;
        request.headers.insert(HOST, authority);
        Ok((request, target))
    }
}

fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a HeaderValue, Unclear> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(NOT_ONCE),
    }
}
