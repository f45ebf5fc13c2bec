//! What is sent past the gateway to try a backend: in the name of nobody, by a stranger who knows
//! everything but the secret, or by the operator, who knows that, too.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use uuid::Uuid;

use super::key::SPKI;
use super::signer::Covered;
use super::{Algorithm, Message, Names, SignError, Signed, Signer, SigningKey, VerifyingKey, jwks};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Whom it pretends to be: nobody.
const CLIENT: &str = "keyferry-doctor";
/// Of a form that a backend may check, and older than any gateway.
const KEY_ID: &str = "01800000000070008000000000000000";

/// The secret that it is signed with. Everybody can read it here, so no backend may believe it.
const SECRET: &[u8] = b"a secret that everybody knows, so that it is none";
/// The same as a private key for Ed25519.
const SEED: &[u8; 32] = b"a seed that everybody knows, hm!";

/// The headers of an identity that nobody vouches for, in the form that the gateway gives them, with
/// the signature of a stranger by this algorithm under the key id `key_id`. With them it can be tried
/// whether a backend checks what [`super::Verifier`] does: none may accept them.
///
/// # Errors
///
/// [`SignError`] when `key_id` or the message cannot stand in a signature.
pub fn forged(
    (key_id, algorithm): (&str, Algorithm),
    names: &Names,
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Signed, SignError> {
    let key = match algorithm {
        Algorithm::HmacSha256 => SigningKey::new(key_id, &Secret::new(SECRET.to_vec())),
        Algorithm::Ed25519 => SigningKey::of_seed(key_id, SEED),
    };
    tried(&key?, names, message, now)
}

/// The same, signed with `key`, which a backend may have: to try whether it notices what is altered
/// then, or comes twice. Whatever is signed so, it is in nobody's name.
///
/// # Errors
///
/// [`SignError`] when the message cannot stand in a signature.
pub fn tried(
    key: &SigningKey,
    names: &Names,
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Signed, SignError> {
    let nobody = Covered {
        key_id: KEY_ID.to_owned(),
        client_id: CLIENT,
        scopes: None,
    };
    Signer::new(key.clone(), names.clone()).sign_as(message, &nobody, Uuid::now_v7(), now)
}

/// As what a public key is mistaken for a secret: in each of the forms in which it is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confused {
    /// The text of its file.
    Pem,
    /// The same without its last line end, as many programs read a secret.
    PemStripped,
    /// The same with the line ends of Windows.
    PemCrlf,
    /// What is between the lines of PEM.
    PemBody,
    /// What that stands for: `SubjectPublicKeyInfo` (RFC 8410).
    Der,
    /// The same in hexadecimal.
    DerHex,
    /// Its 32 bytes.
    Bytes,
    /// These in hexadecimal.
    Hex,
    /// These in base64.
    Base64,
    /// These as a JWK has them, in `x`.
    X,
    /// The JWK set with it alone, as the gateway publishes it.
    Set,
}

impl Confused {
    /// All forms.
    pub const ALL: [Self; 11] = [
        Self::Pem,
        Self::PemStripped,
        Self::PemCrlf,
        Self::PemBody,
        Self::Der,
        Self::DerHex,
        Self::Bytes,
        Self::Hex,
        Self::Base64,
        Self::X,
        Self::Set,
    ];

    /// What is done with it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pem => "hmac-sha256 with the public key's file as the secret",
            Self::PemStripped => "hmac-sha256 with the file less its last line end as the secret",
            Self::PemCrlf => "hmac-sha256 with the file with line ends of Windows as the secret",
            Self::PemBody => "hmac-sha256 with the base64 of the file as the secret",
            Self::Der => "hmac-sha256 with the public key in DER as the secret",
            Self::DerHex => "hmac-sha256 with that DER in hexadecimal as the secret",
            Self::Bytes => "hmac-sha256 with the public key's 32 bytes as the secret",
            Self::Hex => "hmac-sha256 with these bytes in hexadecimal as the secret",
            Self::Base64 => "hmac-sha256 with these bytes in base64 as the secret",
            Self::X => "hmac-sha256 with x of the JWK as the secret",
            Self::Set => "hmac-sha256 with the JWK set as the secret",
        }
    }

    /// What `key` is in this form; none when it has nothing public.
    #[must_use]
    pub fn of(self, key: &VerifyingKey) -> Option<Vec<u8>> {
        let (bytes, pem) = (key.public()?, key.to_pem()?);
        let der = || [&SPKI[..], bytes].concat();
        Some(match self {
            Self::Pem => pem.into_bytes(),
            Self::PemStripped => pem.trim_end().into(),
            Self::PemCrlf => pem.replace('\n', "\r\n").into_bytes(),
            Self::PemBody => BASE64_STANDARD.encode(der()).into_bytes(),
            Self::Der => der(),
            Self::DerHex => hex::encode(der()).into_bytes(),
            Self::Bytes => bytes.to_vec(),
            Self::Hex => hex::encode(bytes).into_bytes(),
            Self::Base64 => BASE64_STANDARD.encode(bytes).into_bytes(),
            Self::X => BASE64_URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
            Self::Set => jwks::write([key]).into_bytes(),
        })
    }
}

/// A key by which somebody signs who knows the public key `key` alone, and its id: HMAC, and what is
/// public as the secret. A check that goes by `alg` of the request believes it. None when `key` has
/// nothing public.
#[must_use]
pub fn confused(key: &VerifyingKey, with: Confused) -> Option<SigningKey> {
    let secret = with.of(key)?;
    Some(SigningKey::shared(key.id().to_owned(), &secret))
}

/// Whether the secret `one` is the public key `other` in one of these forms, or the other way round: then
/// everybody could sign.
#[must_use]
pub fn are_confused(one: &VerifyingKey, other: &VerifyingKey) -> bool {
    let is_it = |secret: &VerifyingKey, key: &VerifyingKey| {
        let mut forms = Confused::ALL.iter();
        secret.algorithm() == Algorithm::HmacSha256
            && forms
                .any(|how| confused(key, *how).is_some_and(|key| key.verifying().is_same(secret)))
    };
    is_it(one, other) || is_it(other, one)
}
