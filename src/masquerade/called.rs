//! What a header of an old proxy may be called.

use http::HeaderName;

use crate::sign::{Names, header};
use crate::trace;

/// Headers that say something else than who calls; besides those of [`header::is_misleading`] and
/// [`trace::is_another`].
const OTHERS: [&str; 46] = [
    "age",
    "allow",
    "alt-used",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "digest",
    "dnt",
    "early-data",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "last-event-id",
    "link",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
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
    "want-content-digest",
    "x-api-key",
    "x-api-key-check",
    "x-front-secret",
    "x-front-signature",
    "x-requested-with",
];
const OTHERS_PREFIXES: [&str; 9] = [
    "accept",
    "access-control-",
    "content-",
    "grpc-",
    "if-",
    "proxy-",
    "sec-",
    "x-amz-",
    "x-csrf-",
];

/// Whether a header may be called so that says who calls and nothing else: no backend takes it for what
/// HTTP or the gateway says, whether its own headers have the names `own` or the usual ones.
#[must_use]
pub fn may_be_called(name: &HeaderName, own: &Names) -> bool {
    let usual = Names::default();
    let mut own = [own, &usual].into_iter().flat_map(|names| {
        let Names {
            key_id,
            client_id,
            key_scopes,
            request_id,
            reserved: _,
        } = names;
        [key_id, client_id, key_scopes, request_id]
    });
    let text = name.as_str();
    let is_plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    is_plain
        && !own.any(|own| header::folds_to(text, own.as_str()))
        && !OTHERS.iter().any(|other| header::folds_to(text, other))
        && !OTHERS_PREFIXES
            .iter()
            .any(|prefix| header::begins(text, prefix))
        && (!header::is_misleading(text) || header::is_reserved_everywhere(text))
        && !trace::is_another(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_an_old_proxy_is_called_as_nothing_else_is() {
        let own = Names {
            client_id: HeaderName::from_static("x-acme-client"),
            ..Names::default()
        };
        let may = |name: &str| may_be_called(&name.parse().unwrap(), &own);
        for name in [
            "X-SSL-Client-S-DN",
            "SSL_CLIENT_S_DN",
            "Client-Cert",
            "Remote-User",
            "X-Forwarded-Client-Cert",
            "X-Forwarded-Tls-Client-Cert",
            "X-Caller-DN",
        ] {
            assert!(may(name), "{name}");
        }
        for name in [
            // The gateway's own, as they are called here and usually.
            "X-Acme-Client",
            "x_acme_client",
            "X-Client-Id",
            "X_Client_Id",
            "X-Key-Id",
            "X-Key-Scopes",
            "X-Request-Id",
            "Signature",
            "Signature_Input",
            "X-API-Key",
            "Authorization",
            // HTTP's.
            "Host",
            "Connection",
            "Content-Length",
            "Content_Length",
            "Content-Digest",
            "Transfer-Encoding",
            "HTTP2-Settings",
            "Early-Data",
            "Max-Forwards",
            "Idempotency-Key",
            "grpc-timeout",
            "X-Amz-Date",
            "Proxy-Authorization",
            "Sec-WebSocket-Key",
            // Of where it comes from, and what it asks for.
            "X-Forwarded-For",
            "X-Real-IP",
            "X-HTTP-Method-Override",
            "traceparent",
            "b3",
            // Not of these characters.
            "X.Caller.DN",
        ] {
            assert!(!may(name), "{name}");
        }
    }
}
