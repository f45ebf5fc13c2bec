//! Checking a signature, as a backend should: exactly the one form that the signer makes.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

use super::key::{Algorithm, VerifyingKey};
use super::signer::{Covered, Window, base};
use super::{LABEL, LIFETIME, Message, Names, TAG, header};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::key::KeyId;

/// How far the clocks of gateway and backend may differ, in seconds.
const SKEW: i64 = 5;

/// Checks what a gateway signed. Holds two keys while one takes the place of the other.
#[derive(Clone, Debug)]
pub struct Verifier {
    names: Names,
    keys: Vec<VerifyingKey>,
}

/// What a good signature says.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// Who called.
    pub client: ClientId,
    /// By which key id.
    pub key_id: KeyId,
    /// The name of the signing key.
    pub signed_with: String,
    /// By which the same signature is known when it comes again.
    pub mark: Mark,
    /// Until when it could, in seconds since 1970.
    pub until: i64,
}

/// A signature in short: the first bytes of its MAC, or of R where it is one by Ed25519. Either is
/// different for every nonce. Whoever has no secret can make none that is believed, so none of his
/// choice, and of one that is good no second one with another mark ([`VerifyingKey`] takes one form).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(u64);

impl Mark {
    /// As a number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A header is missing, stands twice, or is not text.
    #[error("the header {0:?} must be there exactly once")]
    Header(&'static str),
    /// Signed in another way than its key is meant for.
    #[error("the signature's algorithm is not that of its key")]
    Algorithm,
    /// `Signature-Input` or `Signature` is not one of ours.
    #[error("the signature has not the form that the gateway gives it")]
    Form,
    /// No such signing key here.
    #[error("the signing key is not known")]
    UnknownKey,
    /// Before or after its window.
    #[error("the signature is not of now")]
    Time,
    /// The signature does not fit what came.
    #[error("the signature does not fit the request")]
    Mismatch,
}

impl Verifier {
    /// Believes signatures by `keys`, in headers called `names`.
    #[must_use]
    pub fn new<K: Into<VerifyingKey>>(keys: impl IntoIterator<Item = K>, names: Names) -> Self {
        let keys = keys.into_iter().map(Into::into).collect();
        Self { names, keys }
    }

    /// Who called, by a request that came as `message` with `headers` at `now`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for anything but one signature, whole and unaltered, by a known key, in its
    /// window, over everything that the gateway covers.
    pub fn verify(
        &self,
        message: &Message<'_>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Vouched, Invalid> {
        let input = once(headers, &header::SIGNATURE_INPUT, "signature-input")?;
        let signature = once(headers, &header::SIGNATURE, "signature")?;
        let key_id = once(headers, &self.names.key_id, "key id")?;
        let client_id = once(headers, &self.names.client_id, "client id")?;
        let scopes = at_most_once(headers, &self.names.key_scopes, "scopes")?;
        let content_digest = at_most_once(headers, &header::CONTENT_DIGEST, "content-digest")?;

        let claimed = Claimed::parse(input)?;
        let window = Window {
            created: claimed.created,
            expires: claimed.expires,
            nonce: &claimed.nonce,
            algorithm: claimed.algorithm,
            key_id: &claimed.key_id,
        };
        let caller = Covered {
            key_id: key_id.to_owned(),
            client_id,
            scopes: scopes.map(str::to_owned),
        };
        let message = Message {
            content_digest,
            ..*message
        };
        let (base, parameters) =
            base(&message, &caller, &window, &self.names).map_err(|_| Invalid::Form)?;
        if input
            .strip_prefix(LABEL)
            .and_then(|rest| rest.strip_prefix('='))
            != Some(&parameters)
        {
            return Err(Invalid::Form);
        }
        let key = self
            .keys
            .iter()
            .find(|key| key.id() == claimed.key_id)
            .ok_or(Invalid::UnknownKey)?;
        // The key says how it is checked, and never the request.
        if key.algorithm() != claimed.algorithm {
            return Err(Invalid::Algorithm);
        }
        let signature = bytes_of(signature)?;
        if !key.fits(&base, &signature) {
            return Err(Invalid::Mismatch);
        }

        let (created, expires, now) = (claimed.created, claimed.expires, now.as_unix());
        let lasts = expires.saturating_sub(created);
        if !(0..=LIFETIME).contains(&lasts)
            || created.saturating_sub(SKEW) > now
            || now > expires.saturating_add(SKEW)
        {
            return Err(Invalid::Time);
        }
        let client = client_id
            .parse()
            .map_err(|_| Invalid::Header("client id"))?;
        let key_id = key_id.parse().map_err(|_| Invalid::Header("key id"))?;
        Ok(Vouched {
            client,
            key_id,
            signed_with: claimed.key_id,
            mark: Mark(
                signature
                    .first_chunk()
                    .copied()
                    .map_or(0, u64::from_le_bytes),
            ),
            until: expires.saturating_add(SKEW),
        })
    }

    /// The names of the keys that it believes.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(VerifyingKey::id)
    }

    /// Whether `other` believes the same keys.
    #[must_use]
    pub fn believes_like(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len() && { self.keys.iter() }
            .zip(&other.keys)
            .all(|(ours, theirs)| ours.id() == theirs.id() && ours.is_same(theirs))
    }

    /// What the headers are called.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }
}

/// What `Signature-Input` says of the signature.
struct Claimed {
    created: i64,
    expires: i64,
    nonce: String,
    algorithm: Algorithm,
    key_id: String,
}

impl Claimed {
    fn parse(input: &str) -> Result<Self, Invalid> {
        let dictionary: Dictionary = Parser::new(input).parse().map_err(|_| Invalid::Form)?;
        let Some(ListEntry::InnerList(InnerList { params, .. })) = dictionary.get(LABEL) else {
            return Err(Invalid::Form);
        };
        let integer = |name: &str| match params.get(name) {
            Some(BareItem::Integer(value)) => Ok(i64::from(*value)),
            _ => Err(Invalid::Form),
        };
        let string = |name: &str| match params.get(name) {
            Some(BareItem::String(value)) => Ok(value.as_str()),
            _ => Err(Invalid::Form),
        };
        // Without a nonce, two requests of one second would be one.
        if dictionary.len() != 1 || string("tag")? != TAG || string("nonce")?.is_empty() {
            return Err(Invalid::Form);
        }
        Ok(Self {
            created: integer("created")?,
            expires: integer("expires")?,
            nonce: string("nonce")?.to_owned(),
            algorithm: Algorithm::named(string("alg")?).ok_or(Invalid::Form)?,
            key_id: string("keyid")?.to_owned(),
        })
    }
}

fn bytes_of(signature: &str) -> Result<Vec<u8>, Invalid> {
    let text = signature
        .strip_prefix(LABEL)
        .and_then(|rest| rest.strip_prefix("=:"))
        .and_then(|rest| rest.strip_suffix(':'))
        .ok_or(Invalid::Form)?;
    BASE64_STANDARD.decode(text).map_err(|_| Invalid::Form)
}

fn at_most_once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    what: &'static str,
) -> Result<Option<&'a str>, Invalid> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::to_str);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(Invalid::Header(what)),
    }
}

fn once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    what: &'static str,
) -> Result<&'a str, Invalid> {
    at_most_once(headers, name, what)?.ok_or(Invalid::Header(what))
}
