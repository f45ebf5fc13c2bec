//! What a request presented: a key, a certificate, both, or nothing.
//!
//! "Presented nothing" and "presented something bad" are different values, so that the second can
//! never pass for the first.

mod sent;

pub use sent::Sent;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::certificate::{Lapsed, Rejected, Verified};
use crate::key::{ApiKey, Format, Malformed};

/// The header that carries a key beside `Authorization`.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The headers from which [`Presented::read`] takes credentials.
pub const HEADERS: [HeaderName; 2] = [AUTHORIZATION, API_KEY];

/// What a request presented.
#[derive(Debug)]
pub struct Presented {
    key: PresentedKey,
    certificate: PresentedCertificate,
}

/// The key that a request presented.
#[derive(Debug)]
pub enum PresentedKey {
    /// None.
    Absent,
    /// Something that claims to be a key and is none.
    Malformed(Malformed),
    /// A whole key; whether it is good is not known yet.
    Key(ApiKey),
}

/// The certificate that a client showed.
#[derive(Debug)]
pub enum PresentedCertificate {
    /// None.
    Absent,
    /// One that is good now.
    Verified(Verified, Assurance),
    /// One with which nothing is wrong but that it has ended.
    Lapsed(Box<Lapsed>, Assurance),
    /// One that is not.
    Rejected(Box<Rejected>),
}

/// How it is known that whoever shows a certificate holds its private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assurance {
    /// It was proven to us in the TLS handshake.
    Proven,
    /// A front says that it was proven there.
    Asserted {
        /// Whether its word is enough to be given a key.
        may_claim: bool,
    },
}

impl Assurance {
    /// The word for it in logs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Asserted { .. } => "asserted",
        }
    }
}

/// Two credentials of the same kind, so that it depends on the reader which one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request carries more than one API key; send exactly one, in one header")]
pub struct Ambiguous;

impl Presented {
    /// Reads the credentials of a request: the key from its headers; beside it stands `certificate`.
    ///
    /// A bearer token that does not begin with the brand of `format` belongs to the application
    /// and is no credential here.
    ///
    /// # Errors
    ///
    /// [`Ambiguous`] for two `Authorization` or two `X-API-Key` fields, equal or not, for a list
    /// of keys in one field, and for a key in both.
    pub fn read(
        headers: &HeaderMap,
        certificate: PresentedCertificate,
        format: &Format,
    ) -> Result<Self, Ambiguous> {
        let bearer = only(headers, &AUTHORIZATION)?
            .and_then(|value| bearer_token(value.as_bytes()))
            .filter(|token| format.claims(token));
        let key = match (bearer, only(headers, &API_KEY)?.map(HeaderValue::as_bytes)) {
            (Some(_), Some(_)) => return Err(Ambiguous),
            (None, None) => PresentedKey::Absent,
            (Some(text), None) | (None, Some(text)) if text.contains(&b',') => {
                return Err(Ambiguous);
            }
            (Some(text), None) | (None, Some(text)) => match ApiKey::parse(text, format) {
                Ok(key) => PresentedKey::Key(key),
                Err(malformed) => PresentedKey::Malformed(malformed),
            },
        };
        Ok(Self { key, certificate })
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PresentedKey {
        &self.key
    }

    /// The key alone, taken out.
    #[must_use]
    pub fn into_key(self) -> PresentedKey {
        self.key
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &PresentedCertificate {
        &self.certificate
    }
}

/// Whether `value`, of an `Authorization` field, is a bearer token that claims to be our key, and
/// so must not reach a backend.
#[must_use]
pub fn is_our_bearer(value: &HeaderValue, format: &Format) -> bool {
    bearer_token(value.as_bytes()).is_some_and(|token| format.claims(token))
}

fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Ambiguous> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Ambiguous),
        (value, None) => Ok(value),
    }
}

/// The token of `Bearer token` (RFC 6750 section 2.1); the scheme has no case (RFC 9110, 11.1).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyId;

    fn format() -> Format {
        Format::new("kf", "live").unwrap()
    }

    fn key() -> String {
        ApiKey::generate(KeyId::generate(), &format())
            .unwrap()
            .reveal()
            .to_owned()
    }

    fn read(fields: &[(&str, &str)]) -> Result<PresentedKey, Ambiguous> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        Presented::read(&headers, PresentedCertificate::Absent, &format())
            .map(|presented| presented.key)
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        let key = key();
        for field in [
            ("authorization", format!("Bearer {key}")),
            ("authorization", format!("bearer   {key}")),
            ("x-api-key", key.clone()),
        ] {
            assert!(
                matches!(read(&[(field.0, &field.1)]), Ok(PresentedKey::Key(_))),
                "{field:?}"
            );
        }
    }

    #[test]
    fn what_belongs_to_the_application_is_no_credential() {
        for value in [
            "Bearer eyJhbGciOi",
            "Basic a2Y6bGl2ZQ==",
            "Bearer",
            "Bearer   ",
            "kf_live_x",
        ] {
            assert!(
                matches!(read(&[("authorization", value)]), Ok(PresentedKey::Absent)),
                "{value}"
            );
        }
        let key = key();
        let both = [
            ("authorization", "Bearer eyJhbGciOi"),
            ("x-api-key", key.as_str()),
        ];
        assert!(matches!(read(&both), Ok(PresentedKey::Key(_))));
    }

    #[test]
    fn h5_two_keys_are_refused_even_when_they_are_the_same() {
        let (key, other) = (key(), key());
        let bearer = format!("Bearer {key}");
        let (list, bearers) = (
            format!("{key},{other}"),
            format!("Bearer {key}, Bearer {key}"),
        );
        for fields in [
            vec![("x-api-key", &*key), ("x-api-key", &*key)],
            vec![("authorization", &*bearer), ("authorization", &*bearer)],
            vec![("authorization", "Basic x"), ("authorization", &*bearer)],
            vec![("authorization", &*bearer), ("x-api-key", &*key)],
            vec![("x-api-key", &*list)],
            vec![("authorization", &*bearers)],
        ] {
            assert_eq!(read(&fields).unwrap_err(), Ambiguous, "{fields:?}");
        }
    }

    #[test]
    fn k4_what_claims_to_be_a_key_and_is_none_is_malformed_and_never_absent() {
        let key = key();
        let fields = [
            ("x-api-key", String::new()),
            ("x-api-key", "anything".to_owned()),
            ("x-api-key", key.to_uppercase()),
            ("authorization", format!("Bearer {}", key.to_uppercase())),
            ("authorization", "Bearer kf_".to_owned()),
            ("authorization", format!("Bearer {key}0")),
            ("authorization", format!("Bearer {key} x")),
        ];
        for (name, value) in fields {
            assert!(
                matches!(read(&[(name, &value)]), Ok(PresentedKey::Malformed(_))),
                "{name}: {value}"
            );
        }
    }
}
