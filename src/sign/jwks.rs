//! Public keys as a JWK set (RFC 7517, RFC 8037), for whoever checks signatures.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::{Deserialize, Serialize};

use super::key::{KeyFault, VerifyingKey};

/// The media type (RFC 7517 section 8.5.2).
pub const MEDIA_TYPE: &str = "application/jwk-set+json";

const KIND: &str = "OKP";
const CURVE: &str = "Ed25519";
/// The name of RFC 8037, which every library knows; RFC 9864 calls it `Ed25519`.
const ALGORITHMS: [&str; 2] = ["EdDSA", CURVE];
const USE: &str = "sig";

/// Why a text is no JWK set that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKeySet {
    /// Not JSON with a list `keys`.
    #[error("it is no JWK set: {0}")]
    Form(String),
    /// A key for Ed25519 that is broken.
    #[error("its key {0:?} cannot be used: {1}")]
    Key(String, KeyFault),
    /// Who checks signatures must not be able to make them.
    #[error("its key {0:?} is a private one, which only the gateway may have")]
    Private(String),
}

#[derive(Serialize)]
struct Set<'a> {
    keys: Vec<Public<'a>>,
}

#[derive(Serialize)]
struct Public<'a> {
    kty: &'static str,
    crv: &'static str,
    x: String,
    kid: &'a str,
    alg: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
}

#[derive(Deserialize)]
struct Read {
    keys: Vec<Key>,
}

/// What of a key decides. Members that are not known are ignored (RFC 7517 section 4).
#[derive(Deserialize)]
struct Key {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    d: Option<serde::de::IgnoredAny>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    #[serde(rename = "key_ops")]
    operations: Option<Vec<String>>,
}

/// The set of those `keys` that are public ones.
#[must_use]
pub fn write<'a>(keys: impl IntoIterator<Item = &'a VerifyingKey>) -> String {
    let public = |key: &'a VerifyingKey| {
        Some(Public {
            kty: KIND,
            crv: CURVE,
            x: BASE64_URL_SAFE_NO_PAD.encode(key.public()?),
            kid: key.id(),
            alg: ALGORITHMS[0],
            purpose: USE,
        })
    };
    let keys = keys.into_iter().filter_map(public).collect();
    serde_json::to_string(&Set { keys }).unwrap_or_default()
}

/// The keys for signatures by Ed25519 in a set; others are passed over, secrets among them.
///
/// # Errors
///
/// [`NotAKeySet`] when it is none, or a key of these cannot be used.
pub fn read(json: &[u8]) -> Result<Vec<VerifyingKey>, NotAKeySet> {
    let set: Read =
        serde_json::from_slice(json).map_err(|error| NotAKeySet::Form(error.to_string()))?;
    set.keys
        .iter()
        .filter(|key| key.is_meant())
        .map(Key::read)
        .collect()
}

impl Key {
    fn is_meant(&self) -> bool {
        let alg = self.alg.as_deref();
        let operations = self.operations.as_deref();
        self.kty == KIND
            && self.crv.as_deref() == Some(CURVE)
            && alg.is_none_or(|alg| ALGORITHMS.contains(&alg))
            && self.purpose.as_deref().is_none_or(|purpose| purpose == USE)
            && operations.is_none_or(|all| all.iter().any(|one| one == "verify"))
    }

    fn read(&self) -> Result<VerifyingKey, NotAKeySet> {
        let id = self.kid.as_deref().unwrap_or_default();
        if self.d.is_some() {
            return Err(NotAKeySet::Private(id.to_owned()));
        }
        let x = self.x.as_deref().unwrap_or_default();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(x).unwrap_or_default();
        let bytes = <&[u8; 32]>::try_from(&*bytes).map_err(|_| KeyFault::Public);
        bytes
            .and_then(|bytes| VerifyingKey::of_bytes(id, bytes))
            .map_err(|fault| NotAKeySet::Key(id.to_owned(), fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8037 appendix A.2.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn set(key: &str) -> Result<Vec<VerifyingKey>, NotAKeySet> {
        read(format!(r#"{{"keys":[{key}]}}"#).as_bytes())
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let key = format!(
            r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}","kid":"orders","alg":"EdDSA","use":"sig"}}"#
        );
        let keys = set(&key).unwrap();
        assert_eq!(write(&keys), format!(r#"{{"keys":[{key}]}}"#));
        let secret = crate::secret::Secret::new(vec![7; 32]);
        let secret = super::super::SigningKey::new("other", &secret).unwrap();
        assert_eq!(write([&secret.verifying()]), r#"{"keys":[]}"#);
    }

    #[test]
    fn only_keys_for_these_signatures_are_taken() {
        let with = |more: &str| {
            set(&format!(
                r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}","kid":"a"{more}}}"#
            ))
        };
        let number = |more| with(more).map(|keys| keys.len());
        for more in [
            "",
            r#","alg":"Ed25519""#,
            r#","key_ops":["verify"]"#,
            r#","other":{}"#,
        ] {
            assert_eq!(number(more), Ok(1), "{more}");
        }
        for more in [
            r#","alg":"HS256""#,
            r#","use":"enc""#,
            r#","key_ops":["sign"]"#,
        ] {
            assert_eq!(number(more), Ok(0), "{more}");
        }
        assert_eq!(
            with(r#","d":"AAAA""#).unwrap_err(),
            NotAKeySet::Private("a".to_owned())
        );
        for other in [
            r#"{"kty":"oct","k":"AAAA","kid":"a","alg":"HS256"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"AAAA","kid":"a"}"#,
        ] {
            assert_eq!(set(other).map(|keys| keys.len()), Ok(0), "{other}");
        }
    }

    #[test]
    fn what_is_broken_is_refused_whole() {
        let key = |x: &str, kid: &str| {
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"{kid}"}}"#)
        };
        let fault = |x: &str, kid: &str| match set(&key(x, kid)) {
            Err(NotAKeySet::Key(_, fault)) => fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(X.trim_start_matches('1'), "a"), KeyFault::Public);
        assert_eq!(fault(&format!("{X}="), "a"), KeyFault::Public);
        assert_eq!(fault(X, ""), KeyFault::Id);
        assert_eq!(fault(&"A".repeat(43), "a"), KeyFault::Weak);
        for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert!(
                matches!(read(text.as_bytes()), Err(NotAKeySet::Form(_))),
                "{text}"
            );
        }
    }
}
