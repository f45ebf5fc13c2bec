//! What is tried: each is something that only the gateway, or nobody at all, may send.

use http::header::{HeaderName, HeaderValue};

use crate::clock::{self, Timestamp};
use crate::sign::{self, Algorithm, Confused, Message, Names, SignError, SigningKey, VerifyingKey};

/// A name and a value, for each header line.
pub(super) type Headers = Vec<(HeaderName, HeaderValue)>;

/// How long ago a signature was made that has ended, and how far ahead one is that is not good yet.
const PAST: i64 = -600;
const FUTURE: i64 = 600;
/// Whom an attack would like to be.
const SOMEBODY: HeaderValue = HeaderValue::from_static("somebody-else");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    Unsigned,
    Claimed,
    Underscored,
    Stranger,
    StrangersKey,
    /// What is right, as the control.
    Good,
    Replayed,
    Expired,
    Early,
    Method,
    Path,
    Query,
    Client,
    Scopes,
    Twice,
    Disguised,
    /// Signed by HMAC, with what is public as the secret.
    Public(Confused),
}

/// A request, and with which key it is signed.
pub(super) struct Target<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) names: Names,
    /// The backend's own, when the operator gives it.
    pub(super) key: Option<SigningKey>,
    /// What the backend checks with, when the operator gives that or the other.
    pub(super) checks: Option<VerifyingKey>,
}

impl Attack {
    /// Those for which nobody needs a secret.
    pub(super) const OF_STRANGERS: [Self; 5] = [
        Self::Unsigned,
        Self::Claimed,
        Self::Underscored,
        Self::Stranger,
        Self::StrangersKey,
    ];
    /// Those of somebody who reads along behind the gateway; they take a good signature to begin with.
    pub(super) const OF_READERS: [Self; 10] = [
        Self::Replayed,
        Self::Expired,
        Self::Early,
        Self::Method,
        Self::Path,
        Self::Query,
        Self::Client,
        Self::Scopes,
        Self::Twice,
        Self::Disguised,
    ];

    /// Its name, and what it is.
    pub(super) const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Unsigned => ("unsigned", "no identity at all"),
            Self::Claimed => ("claimed", "X-Key-Id and X-Client-Id without a signature"),
            Self::Underscored => (
                "underscored",
                "X_Key_Id and X_Client_Id without a signature",
            ),
            Self::Stranger => ("stranger", "a signature with another secret"),
            Self::StrangersKey => (
                "stranger-ed25519",
                "a signature with another private key, by ed25519",
            ),
            Self::Good => ("good", "as the gateway signs; must be believed"),
            Self::Replayed => ("replayed", "a good request for the second time"),
            Self::Expired => ("expired", "signed ten minutes ago"),
            Self::Early => ("early", "signed for in ten minutes"),
            Self::Method => ("other-method", "signed for another method"),
            Self::Path => ("other-path", "signed for another path"),
            Self::Query => ("other-query", "signed for another query"),
            Self::Client => ("other-client", "signed for another client"),
            Self::Scopes => ("other-scopes", "scopes that were not signed"),
            Self::Twice => (
                "two-clients",
                "a second X-Client-Id beside the one that was signed",
            ),
            Self::Disguised => ("disguised", "X_Client_Id beside the one that was signed"),
            Self::Public(how) => (of_confusion(how), how.as_str()),
        }
    }

    /// The headers by which `target` is asked; none when they take a secret that is not there.
    pub(super) fn headers(self, target: &Target<'_>) -> Result<Option<Headers>, SignError> {
        let now = clock::now();
        let as_it_is = target.message();
        Ok(Some(match self {
            Self::Unsigned => Vec::new(),
            Self::Claimed => target.claims(now)?,
            Self::Underscored => underscored(target.claims(now)?),
            Self::Stranger => target.strangers(Algorithm::HmacSha256, now)?,
            Self::StrangersKey => target.strangers(Algorithm::Ed25519, now)?,
            _ => {
                let Some(key) = self.key(target) else {
                    return Ok(None);
                };
                let (message, seconds) = match self {
                    Self::Expired => (as_it_is, PAST),
                    Self::Early => (as_it_is, FUTURE),
                    Self::Method => (with(as_it_is, |it| it.method = "DELETE"), 0),
                    Self::Path => (with(as_it_is, |it| it.path = "/keyferry-probe"), 0),
                    Self::Query => (with(as_it_is, |it| it.query = Some("keyferry-probe")), 0),
                    _ => (as_it_is, 0),
                };
                let at = Timestamp::from_unix(now.as_unix().saturating_add(seconds));
                let signed = sign::tried(&key, &target.names, &message, at)?;
                self.altered(signed.into_headers().collect(), &target.names)
            }
        }))
    }

    /// What it is signed with, when that is known.
    fn key(self, target: &Target<'_>) -> Option<SigningKey> {
        match self {
            Self::Public(how) => sign::confused(target.checks.as_ref()?, how),
            _ => target.key.clone(),
        }
    }

    /// What is changed of what was signed.
    fn altered(self, mut headers: Headers, names: &Names) -> Headers {
        match self {
            Self::Client => {
                for (name, value) in &mut headers {
                    if *name == names.client_id {
                        *value = SOMEBODY;
                    }
                }
            }
            Self::Scopes => headers.push((names.key_scopes.clone(), SOMEBODY)),
            Self::Twice => headers.push((names.client_id.clone(), SOMEBODY)),
            Self::Disguised => {
                let more = vec![(names.client_id.clone(), SOMEBODY)];
                headers.extend(underscored(more));
            }
            _ => {}
        }
        headers
    }
}

impl Target<'_> {
    const fn message(&self) -> Message<'_> {
        Message {
            method: "GET",
            authority: self.host,
            path: self.path,
            query: self.query,
            content_digest: None,
        }
    }

    /// With a key that everybody knows, under the key id of the right one where that is given.
    fn strangers(&self, by: Algorithm, now: Timestamp) -> Result<Headers, SignError> {
        let key_id = self.checks.as_ref().map_or("stranger", VerifyingKey::id);
        let signed = sign::forged((key_id, by), &self.names, &self.message(), now)?;
        Ok(signed.into_headers().collect())
    }

    fn claims(&self, now: Timestamp) -> Result<Headers, SignError> {
        let mut headers = self.strangers(Algorithm::default(), now)?;
        let signature = [sign::header::SIGNATURE, sign::header::SIGNATURE_INPUT];
        headers.retain(|(name, _)| !signature.contains(name));
        Ok(headers)
    }
}

/// The name of an attack by HMAC.
const fn of_confusion(how: Confused) -> &'static str {
    match how {
        Confused::Pem => "public-key-as-secret",
        Confused::PemStripped => "public-text-as-secret",
        Confused::PemCrlf => "public-crlf-as-secret",
        Confused::PemBody => "public-body-as-secret",
        Confused::Der => "public-der-as-secret",
        Confused::DerHex => "public-der-hex-as-secret",
        Confused::Bytes => "public-bytes-as-secret",
        Confused::Hex => "public-hex-as-secret",
        Confused::Base64 => "public-base64-as-secret",
        Confused::X => "public-x-as-secret",
        Confused::Set => "public-set-as-secret",
    }
}

fn with<'a>(mut message: Message<'a>, change: impl FnOnce(&mut Message<'a>)) -> Message<'a> {
    change(&mut message);
    message
}

/// The same under names that CGI, WSGI and PHP take for them.
fn underscored(headers: Headers) -> Headers {
    let renamed = headers.into_iter().map(|(name, value)| {
        let other = name.as_str().replace('-', "_");
        // What was a name is one with `_`, too.
        (other.parse().unwrap_or(name), value)
    });
    renamed.collect()
}
