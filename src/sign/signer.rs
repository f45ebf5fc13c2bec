//! Making the headers that tell a backend who calls.

use std::fmt::Write as _;

use http::header::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::base::Base;
use super::key::{Algorithm, KeyFault, SigningKey};
use super::{LABEL, LIFETIME, Names, TAG, header};
use crate::clock::Timestamp;
use crate::head::Head;
use crate::key::{KeyId, Scope};
use crate::policy::Permit;

/// The request as it will be sent, after every rewriting.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The method.
    pub method: &'a str,
    /// The value of `Host`: lower case, without a default port (RFC 9421 section 2.2.3).
    pub authority: &'a str,
    /// The path, as sent.
    pub path: &'a str,
    /// The query without `?`, as sent; none when there is no `?`.
    pub query: Option<&'a str>,
    /// The value of `Content-Digest`, when there is one.
    pub content_digest: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// The request of this `head`, with its one `Content-Digest`, when it has one.
    ///
    /// # Errors
    ///
    /// [`SignError::Value`] when that cannot stand in a signature base.
    pub fn of(head: &'a Head<'_>, digest: Option<&'a HeaderValue>) -> Result<Self, SignError> {
        let digest = digest.map(HeaderValue::to_str).transpose();
        Ok(Self {
            method: head.method.as_str(),
            authority: &head.authority,
            path: head.path,
            query: head.query,
            content_digest: digest.map_err(|_| SignError::Value("content digest"))?,
        })
    }
}

/// Why a request cannot be signed. It is not forwarded then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A value cannot stand in a header or in the signature base.
    #[error("the request's {0} cannot be signed")]
    Value(&'static str),
}

/// Signs requests to one backend.
#[derive(Clone, Debug)]
pub struct Signer {
    names: Names,
    key: SigningKey,
}

/// The headers that carry an identity, made by [`Signer::sign`] alone; by default nobody's.
#[derive(Debug, Default)]
pub struct Signed(Vec<(HeaderName, HeaderValue)>);

impl Signed {
    /// Each header, once. Insert them in place of whatever has their names.
    pub fn into_headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.0.into_iter()
    }
}

impl Signer {
    /// Signs with `key`, in headers called `names`.
    #[must_use]
    pub const fn new(key: SigningKey, names: Names) -> Self {
        Self { names, key }
    }

    /// What it signs with.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The headers for `message` in the name of whom `permit` names, good for [`LIFETIME`] seconds
    /// from `now`; none at all when it names nobody. `nonce` must be new for every attempt.
    ///
    /// An identity alone is not enough; policy has to permit the request first:
    ///
    /// ```compile_fail,E0308
    /// use keyferry::{clock, identity::Identity, sign::{Message, Signer}};
    /// fn unpermitted(signer: &Signer, message: &Message<'_>, identity: &Identity) {
    ///     let _ = signer.sign(message, identity, uuid::Uuid::nil(), clock::now());
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SignError::Value`] when a part of the message cannot stand in a signature base, such as a
    /// line break.
    pub fn sign(
        &self,
        message: &Message<'_>,
        permit: &Permit,
        nonce: Uuid,
        now: Timestamp,
    ) -> Result<Signed, SignError> {
        let Some(identity) = permit.identity() else {
            return Ok(Signed(Vec::new()));
        };
        let caller = Covered::of(
            identity.key(),
            identity.client().as_str(),
            identity.scopes(),
        );
        self.sign_as(message, &caller, nonce, now)
    }

    pub(super) fn sign_as(
        &self,
        message: &Message<'_>,
        caller: &Covered<'_>,
        nonce: Uuid,
        now: Timestamp,
    ) -> Result<Signed, SignError> {
        let (created, expires) = (now.as_unix(), now.as_unix().saturating_add(LIFETIME));
        let mut text = Uuid::encode_buffer();
        let window = Window {
            created,
            expires,
            nonce: nonce.hyphenated().encode_lower(&mut text),
            algorithm: self.key.algorithm(),
            key_id: self.key.id(),
        };
        let (base, parameters) = base(message, caller, &window, &self.names)?;
        let signature = [LABEL, "=:", &self.key.sign(&base), ":"].concat();
        let input = [LABEL, "=", &parameters].concat();

        let names = &self.names;
        let value =
            |text: String, what| HeaderValue::try_from(text).map_err(|_| SignError::Value(what));
        let mut headers = Vec::with_capacity(5);
        headers.push((
            names.client_id.clone(),
            value(caller.client_id.to_owned(), "client id")?,
        ));
        if let Some(scopes) = &caller.scopes {
            headers.push((names.key_scopes.clone(), value(scopes.clone(), "scopes")?));
        }
        headers.extend([
            (
                names.key_id.clone(),
                value(caller.key_id.clone(), "key id")?,
            ),
            (header::SIGNATURE_INPUT, value(input, "parameters")?),
            (header::SIGNATURE, value(signature, "signature")?),
        ]);
        Ok(Signed(headers))
    }
}

/// The identity headers' values.
pub(super) struct Covered<'a> {
    pub(super) key_id: String,
    pub(super) client_id: &'a str,
    pub(super) scopes: Option<String>,
}

impl<'a> Covered<'a> {
    pub(super) fn of(key: KeyId, client_id: &'a str, scopes: &[Scope]) -> Self {
        let scopes: Vec<_> = scopes.iter().map(Scope::as_str).collect();
        let scopes = (!scopes.is_empty()).then(|| scopes.join(" "));
        Self {
            key_id: key.to_string(),
            client_id,
            scopes,
        }
    }
}

/// The signature's own parameters.
pub(super) struct Window<'a> {
    pub(super) created: i64,
    pub(super) expires: i64,
    pub(super) nonce: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: &'a str,
}

/// The signature base and the signature's parameters, in the one form that there is.
pub(super) fn base(
    message: &Message<'_>,
    caller: &Covered<'_>,
    window: &Window<'_>,
    names: &Names,
) -> Result<(String, String), SignError> {
    // Room for what is usual, so that neither has to grow.
    let mut parameters = String::with_capacity(320);
    let mut base = Base::with_capacity(640);
    let mut cover = |component: &str, value: &str, what| {
        if !value.bytes().all(|b| (b' '..0x7f).contains(&b)) {
            return Err(SignError::Value(what));
        }
        base.line(component, value);
        let before = if parameters.is_empty() { "(\"" } else { " \"" };
        for part in [before, component, "\""] {
            parameters.push_str(part);
        }
        Ok(())
    };
    cover("@method", message.method, "method")?;
    cover("@authority", message.authority, "authority")?;
    cover("@path", message.path, "path")?;
    let query = ["?", message.query.unwrap_or_default()].concat();
    cover("@query", &query, "query")?;
    cover(names.key_id.as_str(), &caller.key_id, "key id")?;
    cover(names.client_id.as_str(), caller.client_id, "client id")?;
    if let Some(scopes) = &caller.scopes {
        cover(names.key_scopes.as_str(), scopes, "scopes")?;
    }
    if let Some(digest) = message.content_digest {
        cover(
            header::CONTENT_DIGEST.as_str(),
            digest.trim(),
            "content digest",
        )?;
    }
    let Window {
        created,
        expires,
        nonce,
        algorithm,
        key_id,
    } = window;
    let algorithm = algorithm.as_str();
    let _ = write!(
        parameters,
        ");created={created};expires={expires};nonce=\"{nonce}\";alg=\"{algorithm}\";keyid=\"{key_id}\";tag=\"{TAG}\""
    );
    Ok((base.end(&parameters), parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn signer() -> Signer {
        let secret = Secret::new((0..32).collect());
        Signer::new(
            SigningKey::new("orders-2026-11", &secret).unwrap(),
            Names::default(),
        )
    }

    fn sign(message: &Message<'_>) -> Result<Vec<(String, String)>, SignError> {
        let caller = Covered::of(
            "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f".parse().unwrap(),
            "acme-payments",
            &[],
        );
        let nonce = "0197f3c2-a1b2-7c3d-8e4f-5a6b7c8d9e10".parse().unwrap();
        let signed =
            signer().sign_as(message, &caller, nonce, Timestamp::from_unix(1_795_418_999))?;
        Ok(signed
            .into_headers()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect())
    }

    const ORDERS: Message<'static> = Message {
        method: "GET",
        authority: "api.example.com",
        path: "/v1/orders",
        query: Some("limit=10"),
        content_digest: None,
    };

    #[test]
    fn the_vector_of_the_protocol_comes_out_to_the_bit() {
        let headers = sign(&ORDERS).unwrap();
        let value = |name: &str| headers.iter().find(|(n, _)| n == name).unwrap().1.as_str();
        assert_eq!(value("x-key-id"), "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f");
        assert_eq!(value("x-client-id"), "acme-payments");
        assert_eq!(
            value("signature"),
            "gw=:nsFXl/wrO7aEHiqHFyXqEo9wkZ8rTeg8V4MNcDrBliQ=:"
        );
        assert_eq!(
            value("signature-input"),
            "gw=(\"@method\" \"@authority\" \"@path\" \"@query\" \"x-key-id\" \"x-client-id\");\
             created=1795418999;expires=1795419059;nonce=\"0197f3c2-a1b2-7c3d-8e4f-5a6b7c8d9e10\";\
             alg=\"hmac-sha256\";keyid=\"orders-2026-11\";tag=\"keyferry\""
        );
    }

    #[test]
    fn what_could_add_a_line_to_the_base_is_not_signed() {
        for path in ["/a\nb", "/a\r", "/\0", "/\u{e9}"] {
            assert_eq!(
                sign(&Message { path, ..ORDERS }).unwrap_err(),
                SignError::Value("path")
            );
        }
    }

    #[test]
    fn a_signing_key_never_shows_its_secret() {
        assert_eq!(
            format!("{:?}", signer().key),
            "SigningKey(orders-2026-11, [redacted])"
        );
    }
}
