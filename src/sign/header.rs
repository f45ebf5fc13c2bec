//! The one list of header names that mean identity, and how names are compared.

use http::HeaderMap;
use http::header::HeaderName;

/// `Signature-Input` (RFC 9421 section 4.1).
pub const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
/// `Signature` (RFC 9421 section 4.2).
pub const SIGNATURE: HeaderName = HeaderName::from_static("signature");
/// `Content-Digest` (RFC 9530 section 2).
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The headers that carry the identity to backends.
#[derive(Clone, Debug)]
pub struct Names {
    /// The key id.
    pub key_id: HeaderName,
    /// The client id.
    pub client_id: HeaderName,
    /// The key's scopes.
    pub key_scopes: HeaderName,
    /// The request's id.
    pub request_id: HeaderName,
    /// Further headers by which some backend knows callers.
    pub reserved: Vec<HeaderName>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            key_id: HeaderName::from_static("x-key-id"),
            client_id: HeaderName::from_static("x-client-id"),
            key_scopes: HeaderName::from_static("x-key-scopes"),
            request_id: HeaderName::from_static("x-request-id"),
            reserved: Vec::new(),
        }
    }
}

impl Names {
    /// The headers that say who calls, and that it is true.
    #[must_use]
    pub fn identity(&self) -> [HeaderName; 5] {
        [
            self.key_id.clone(),
            self.client_id.clone(),
            self.key_scopes.clone(),
            SIGNATURE,
            SIGNATURE_INPUT,
        ]
    }
}

/// Headers that a backend could take for an identity, whole names. `X-Request-Id` is not among
/// them: a client's own is passed on.
pub const RESERVED: [&str; 24] = [
    "x-front-secret",
    "x-front-signature",
    "remote-user",
    "x-remote-user",
    "x-client-dn",
    "x-client-subject",
    "x-ssl-client",
    "signature",
    "signature-input",
    "x-api-key",
    "x-api-key-check",
    "x-key-id",
    "x-client-id",
    "x-key-scopes",
    "client-cert",
    "client-cert-chain",
    "x-client-cert",
    "x-client-cert-chain",
    "x-forwarded-client-cert",
    "x-arr-clientcert",
    "l5d-client-id",
    "x-ssl-cert",
    "ssl-cert",
    "x-client-verify",
];

/// Headers by which a backend would take the request for another than the one that was decided on
/// and signed, or for one from elsewhere. The gateway sets what backends need of these itself.
pub const MISLEADING: [&str; 12] = [
    "x-original-method",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
];

/// The beginning of further such names.
pub const MISLEADING_PREFIX: &str = "x-forwarded-";

/// Those of them that whoever passes a request on sets itself.
pub const OF_THE_WAY: [&str; 2] = ["x-forwarded-for", "x-forwarded-proto"];

/// The beginnings of further names that mean identity.
pub const RESERVED_PREFIXES: [&str; 9] = [
    "x-ssl-client-",
    "ssl-client-",
    "x-forwarded-tls-client-cert",
    "x-amzn-mtls-",
    "cf-client-cert-",
    "x-consumer-",
    "x-client-cert-",
    "x-forwarded-client-cert-",
    "x-tls-client-",
];

/// Whether `name` could be taken for an identity by some backend.
///
/// CGI, WSGI and PHP fold `X_Key_Id`, `X.Key.Id` and `X-Key-Id` into one name, so names are
/// compared in lower case with every character that is neither letter nor digit as `-`.
#[must_use]
pub fn is_reserved(name: &str, names: &Names) -> bool {
    let own = [&names.key_id, &names.client_id, &names.key_scopes];
    let mut own = own.into_iter().chain(&names.reserved);
    is_reserved_everywhere(name) || own.any(|own| folds_to(name, own.as_str()))
}

/// Whether `name` could be taken for an identity whatever is configured.
#[must_use]
pub fn is_reserved_everywhere(name: &str) -> bool {
    RESERVED.iter().any(|reserved| folds_to(name, reserved))
        || RESERVED_PREFIXES.iter().any(|prefix| begins(name, prefix))
}

/// Whether `name` could make a backend take the request for another; compared like the reserved ones.
#[must_use]
pub fn is_misleading(name: &str) -> bool {
    MISLEADING
        .iter()
        .any(|misleading| folds_to(name, misleading))
        || begins(name, MISLEADING_PREFIX)
}

/// Whether `name` looks like one that frames the body to backends that fold names, and is not that one.
#[must_use]
pub fn is_disguised_framing(name: &str) -> bool {
    let is_disguise = |real: &&str| folds_to(name, real) && !name.eq_ignore_ascii_case(real);
    ["content-length", "transfer-encoding"]
        .iter()
        .any(is_disguise)
}

/// A name that backends may take for one that is signed, or that carries the signature, and that is not
/// that one: of `X_Client_Id`, nobody would know whose it is. `Content-Digest` counts, too.
#[must_use]
pub fn disguised<'a>(headers: &'a HeaderMap, names: &Names) -> Option<&'a HeaderName> {
    let known = names.identity();
    headers.keys().find(|name| {
        let is_like =
            |known: &HeaderName| folds_to(name.as_str(), known.as_str()) && *name != known;
        is_disguised_framing(name.as_str()) || known.iter().any(is_like) || is_like(&CONTENT_DIGEST)
    })
}

/// Whether `name` begins with `prefix`, compared like the reserved ones.
#[must_use]
pub fn begins(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| folds_to(start, prefix))
}

/// Whether `name` has a character that some backends fold into `-`.
#[must_use]
pub fn is_ambiguous(name: &str) -> bool {
    name.bytes().any(|b| b == b'_' || b == b'.')
}

/// Whether `name` is `reserved` to backends that fold names.
#[must_use]
pub fn folds_to(name: &str, reserved: &str) -> bool {
    let fold = |b: u8| {
        if b.is_ascii_alphanumeric() {
            b.to_ascii_lowercase()
        } else {
            b'-'
        }
    };
    name.len() == reserved.len() && name.bytes().map(fold).eq(reserved.bytes().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_belongs_to_the_application_is_not_reserved() {
        for name in [
            "accept",
            "authorization",
            "x-request-id",
            "x-client-identity",
            "x-key",
            "digest",
        ] {
            assert!(
                !is_reserved(name, &Names::default()) && !is_misleading(name),
                "{name}"
            );
        }
    }

    #[test]
    fn renamed_headers_are_reserved_beside_the_usual_ones() {
        let names = Names {
            key_id: HeaderName::from_static("x-acme-key"),
            reserved: vec![HeaderName::from_static("x-caller-dn")],
            ..Names::default()
        };
        for name in ["X_Acme.Key", "x-key-id", "X-Caller_DN"] {
            assert!(is_reserved(name, &names), "{name}");
        }
    }

    /// Every whole name, and every beginning with something after it.
    fn names() -> Vec<(&'static str, &'static str)> {
        let whole = RESERVED.iter().chain(&MISLEADING).map(|name| (*name, ""));
        whole
            .chain(RESERVED_PREFIXES.iter().map(|name| (*name, "anything")))
            .chain([(MISLEADING_PREFIX, "for")])
            .collect()
    }

    proptest! {
        #[test]
        fn h2_no_spelling_of_a_reserved_name_slips_through(
            at in proptest::sample::select(names()),
            upper in any::<u64>(),
            separators in proptest::collection::vec("[-_.!#$%&'*+^`|~]", 8),
        ) {
            let (whole, tail) = at;
            let mut separators = separators.iter().cycle();
            let spelled: String = whole.chars().enumerate().map(|(i, c)| match c {
                '-' => separators.next().unwrap().clone(),
                c if upper >> (i % 64) & 1 == 1 => c.to_ascii_uppercase().to_string(),
                c => c.to_string(),
            }).collect();
            let spelled = format!("{spelled}{tail}");
            let removed = is_reserved(&spelled, &Names::default()) || is_misleading(&spelled);
            prop_assert!(removed, "{}", spelled);
        }
    }
}
