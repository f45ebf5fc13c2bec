//! The headers of an old proxy that a backend still gets.

use std::sync::Arc;

use http::HeaderName;

use super::{Builder, Built, all};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::masquerade::{Header, Masquerade, Value};
use crate::sign::header;
use crate::trace;

/// Headers that say something else than whose certificate it is, whole names and beginnings; besides those
/// of [`header::is_misleading`].
const TAKEN: [&str; 27] = [
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "pragma",
    "range",
    "referer",
    "set-cookie",
    "signature",
    "signature-input",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-api-key",
    "x-api-key-check",
    "x-front-secret",
    "x-front-signature",
];
const TAKEN_PREFIXES: [&str; 6] = [
    "accept",
    "access-control-",
    "content-",
    "if-",
    "proxy-",
    "sec-",
];

impl Builder<'_> {
    /// `own` are the gateway's own headers; `signed` is the route that brings identities to the backend.
    pub(super) fn masquerade(
        &mut self,
        at: &KeyPath,
        typed: &[file::MasqueradeHeader],
        (own, signed): (&file::Headers, Option<&str>),
    ) -> Built<Arc<Masquerade>> {
        if !typed.is_empty() && signed.is_none() {
            let wrong = "no route leads identities here, so none of these headers is ever sent";
            let write =
                "take it away, or give a route of this backend another accept than \"none\"";
            return Err(self.problem(at, wrong, write));
        }
        let mut names = Vec::new();
        let headers = all(typed.iter().enumerate().map(|(index, typed)| {
            let at = at.index(index);
            let (name_at, value_at) = (at.key("header"), at.key("value"));
            let write = r#"write header = "X-SSL-Client-S-DN""#;
            let name = self.required(&name_at, typed.header.as_deref(), write);
            let name = name.and_then(|name| self.told_name(&name_at, name, own, &mut names));
            let write = r#"write value = "$ssl_client_s_dn""#;
            let value = self.required(&value_at, typed.value.as_deref(), write);
            let value = value.and_then(|text| {
                text.parse::<Value>().map_err(|fault| {
                    let wrong = format!("{text:?} is no value of an old proxy");
                    self.problem(&value_at, wrong, fault.to_string())
                })
            });
            let (name, spelled) = name?;
            Ok(Header::new(name, spelled, value?))
        }))?;
        Ok(Arc::new(Masquerade::new(headers)))
    }

    /// A name that no backend takes for another, nor for what HTTP or the gateway says.
    fn told_name<'a>(
        &mut self,
        at: &KeyPath,
        text: &'a str,
        own: &file::Headers,
        names: &mut Vec<HeaderName>,
    ) -> Built<(HeaderName, &'a str)> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let parsed = text.parse::<HeaderName>().ok();
        let Some(name) = parsed.filter(|_| text.bytes().all(plain)) else {
            let write = "use letters, digits, hyphens and underscores";
            return Err(self.problem(at, format!("{text:?} cannot be used"), write));
        };
        let is = |other: &str| header::folds_to(text, other);
        let own = [
            &own.key_id,
            &own.client_id,
            &own.key_scopes,
            &own.request_id,
        ];
        if own.into_iter().any(|own| is(own)) {
            let wrong = format!("{text:?} is a header of the gateway's own, in [headers]");
            let write = "use the name that the old proxy's configuration has";
            return Err(self.problem(at, wrong, write));
        }
        let is_of_a_certificate = header::means_a_certificate(text);
        if TAKEN.iter().any(|taken| is(taken))
            || TAKEN_PREFIXES
                .iter()
                .any(|taken| header::begins(text, taken))
            || (header::is_misleading(text) && !is_of_a_certificate)
            || trace::is_another(&name)
        {
            let wrong = format!("{text:?} says something else than whose certificate it is");
            let write = "use the name that the old proxy's configuration has";
            return Err(self.problem(at, wrong, write));
        }
        if names.iter().any(|other| is(other.as_str())) {
            let wrong = format!("{text:?} is the name of another of these headers");
            return Err(self.problem(at, wrong, "name each header once"));
        }
        names.push(name.clone());
        Ok((name, text))
    }
}
