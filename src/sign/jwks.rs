//! Public keys as a JWK set (RFC 7517, RFC 8037), for whoever checks signatures.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::Serialize;
use serde_json::Value;
use serde_json::error::Category;

use super::key::{KeyFault, VerifyingKey};

/// The media type (RFC 7517 section 8.5.2).
pub const MEDIA_TYPE: &str = "application/jwk-set+json";

const KIND: &str = "OKP";
const CURVE: &str = "Ed25519";
/// The name of RFC 8037, which every library knows; RFC 9864 calls it `Ed25519`.
const ALGORITHMS: [&str; 2] = ["EdDSA", CURVE];
const USE: &str = "sig";

/// Why a text is no JWK set that can be used. It shows nothing of the text, which may be a secret that
/// somebody took for a set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKeySet {
    /// Not JSON.
    #[error("it is no JWK set: {what} at line {line}, column {column}")]
    Json {
        /// What is wrong there.
        what: &'static str,
        /// Where.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// JSON of another form.
    #[error("it is no JWK set: it has no list \"keys\"")]
    Form,
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

/// The keys for signatures by Ed25519 in a set. Others are passed over, whatever they look like: secrets
/// among them, but no private keys.
///
/// # Errors
///
/// [`NotAKeySet`] when it is none, has a private key, or a key of these cannot be used.
pub fn read(json: &[u8]) -> Result<Vec<VerifyingKey>, NotAKeySet> {
    let set: Value = serde_json::from_slice(json).map_err(|error| no_json(&error))?;
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or(NotAKeySet::Form)?;
    if let Some(private) = keys.iter().find(|key| key.get("d").is_some()) {
        return Err(NotAKeySet::Private(id_of(private).to_owned()));
    }
    let ours = keys.iter().filter(|key| is_meant(key));
    ours.map(read_one).collect()
}

/// Whether `text` is a JWK or a set of them, of whatever kind.
pub(super) fn is_like(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let value = serde_json::from_slice::<Value>(text);
    value.is_ok_and(|value| ["kty", "keys"].iter().any(|name| value.get(name).is_some()))
}

/// Of the error only what tells nothing of the text.
fn no_json(error: &serde_json::Error) -> NotAKeySet {
    NotAKeySet::Json {
        what: match error.classify() {
            Category::Eof => "JSON that is cut off",
            Category::Io | Category::Syntax | Category::Data => "no JSON",
        },
        line: error.line(),
        column: error.column(),
    }
}

/// Members that are not known are ignored (RFC 7517 section 4).
fn is_meant(key: &Value) -> bool {
    let is_or_missing = |name, allowed: &[&str]| {
        let value = key.get(name);
        value.is_none_or(|value| value.as_str().is_some_and(|value| allowed.contains(&value)))
    };
    let verifies = |all: &Value| {
        { all.as_array() }.is_some_and(|all| all.iter().any(|one| one.as_str() == Some("verify")))
    };
    text(key, "kty") == KIND
        && text(key, "crv") == CURVE
        && is_or_missing("alg", &ALGORITHMS)
        && is_or_missing("use", &[USE])
        && key.get("key_ops").is_none_or(verifies)
}

fn read_one(key: &Value) -> Result<VerifyingKey, NotAKeySet> {
    let x = BASE64_URL_SAFE_NO_PAD.decode(text(key, "x"));
    let bytes = x.unwrap_or_default();
    let bytes = <&[u8; 32]>::try_from(&*bytes).map_err(|_| KeyFault::Public);
    bytes
        .and_then(|bytes| VerifyingKey::of_bytes(id_of(key), bytes))
        .map_err(|fault| NotAKeySet::Key(id_of(key).to_owned(), fault))
}

fn id_of(key: &Value) -> &str {
    text(key, "kid")
}

fn text<'a>(key: &'a Value, name: &str) -> &'a str {
    key.get(name).and_then(Value::as_str).unwrap_or_default()
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
        for other in [
            r#"{"kty":"oct","k":"AAAA","kid":"a","alg":"HS256"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"AAAA","kid":"a"}"#,
            r#"{"kid":"a"}"#,
            r#"{"kty":"RSA","kid":7,"alg":[]}"#,
            r#"["OKP","Ed25519"]"#,
            "7",
        ] {
            assert_eq!(set(other).map(|keys| keys.len()), Ok(0), "{other}");
        }
    }

    /// K17: also one that would be passed over, since it is no better for that.
    #[test]
    fn k17_a_private_key_in_a_set_is_refused_whatever_it_is_for() {
        for private in [
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"a","d":"AAAA"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","kid":"a","use":"enc","d":"AAAA"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","kid":"a","key_ops":["sign"],"d":null}"#,
            r#"{"kty":"EC","kid":"a","d":7}"#,
        ] {
            let refused = set(private).unwrap_err();
            assert_eq!(refused, NotAKeySet::Private("a".to_owned()), "{private}");
        }
    }

    /// K17: a secret that somebody took for a set, in the forms of which `serde_json` shows the text.
    #[test]
    fn k17_nothing_of_a_text_that_is_no_set_is_shown() {
        for text in [
            "\"canary\"",
            "{\"keys\":\"canary\"}",
            "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"canary\"}]}",
            "{\"canary\":1,}",
            "[\"canary\"]",
            "canary",
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        assert_eq!(
            read(b"\n 1234 5678").unwrap_err().to_string(),
            "it is no JWK set: no JSON at line 2, column 7"
        );
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
        for text in ["[]", "[[]]", "[[[]]]", "{}", "7", r#"{"keys":{}}"#] {
            let refused = read(text.as_bytes()).unwrap_err();
            assert_eq!(refused, NotAKeySet::Form, "{text}");
        }
        let cut = read(b"").unwrap_err().to_string();
        assert!(cut.contains("JSON that is cut off"), "{cut}");
    }
}
