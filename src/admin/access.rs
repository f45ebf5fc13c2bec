//! Who asks the admin listener, and how much they may do.
//!
//! Somebody shows a token, of which the configuration has no more than the SHA-256: whoever reads it cannot
//! ask by it. Tokens are made of chance, so that nobody finds one by trying ([`Token::make`]).

use std::fmt;
use std::net::IpAddr;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use crate::operation::Role;
use crate::secret::Secret;

/// How every token begins, so that one that got lost is recognized. Never changes.
const PREFIX: &str = "kf_admin_";
/// How many bytes of chance are in it.
const CHANCE: usize = 32;

/// What the configuration knows of a token.
#[derive(Clone)]
pub struct Token {
    /// Who has it, in the record of changes.
    pub name: String,
    /// How much may be done by it.
    pub role: Role,
    /// The SHA-256 of its text.
    pub digest: [u8; 32],
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    /// Who has the token.
    pub(super) name: String,
    pub(super) role: Role,
}

/// Nobody who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    /// No token.
    #[error("show a token: Authorization: Bearer kf_admin_…")]
    NoToken,
    /// Not one that is known, or several.
    #[error("the token is not known here")]
    Unknown,
}

impl Token {
    /// A new token, whose text is shown once, and its SHA-256.
    ///
    /// # Errors
    ///
    /// When the system gives no randomness.
    pub fn make() -> Result<(Secret<String>, [u8; 32]), getrandom::Error> {
        let mut chance = Zeroizing::new([0; CHANCE]);
        getrandom::fill(chance.as_mut())?;
        let encoded = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(chance.as_slice()));
        let text = format!("{PREFIX}{}", encoded.as_str());
        let digest = Sha256::digest(text.as_bytes()).into();
        Ok((Secret::new(text), digest))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {:?})", self.name, self.role)
    }
}

/// Who has the token that `headers` show (RFC 6750 section 2.1).
pub(super) fn who(headers: &HeaderMap, tokens: &[Token]) -> Result<Who, Stranger> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let one = shown.next().ok_or(Stranger::NoToken)?;
    let text = one.to_str().map_err(|_| Stranger::Unknown)?;
    let (scheme, text) = text.split_once(' ').ok_or(Stranger::Unknown)?;
    if !scheme.eq_ignore_ascii_case("bearer") || shown.next().is_some() {
        return Err(Stranger::Unknown);
    }
    by_text(text, tokens).map(|(who, _)| who)
}

/// Who has the token of this text, and its SHA-256. Every known one is compared, and each in the same time.
pub(super) fn by_text(text: &str, tokens: &[Token]) -> Result<(Who, [u8; 32]), Stranger> {
    let digest = Sha256::digest(text.as_bytes());
    let found = tokens.iter().fold(None, |found, token| {
        let is_this = bool::from(token.digest.as_slice().ct_eq(digest.as_slice()));
        if is_this { Some(token) } else { found }
    });
    let token = found.ok_or(Stranger::Unknown)?;
    let who = Who {
        name: token.name.clone(),
        role: token.role,
    };
    Ok((who, token.digest))
}

/// Whether `peer` is on this machine.
pub(super) fn is_here(peer: Option<IpAddr>) -> bool {
    peer.is_some_and(|peer| peer.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| (AUTHORIZATION, value.parse().unwrap()));
        values.collect()
    }

    #[test]
    fn only_a_known_token_shown_once_tells_who_asks() {
        let (text, digest) = Token::make().unwrap();
        let text = text.expose().clone();
        let ci = Token {
            name: "ci".to_owned(),
            role: Role::Operator,
            digest,
        };
        let (other, _) = Token::make().unwrap();
        let tokens = [ci];
        let ask = |values: &[&str]| who(&headers(values), &tokens).map(|who| who.name);
        let bearer = format!("Bearer {text}");
        assert_eq!(ask(&[&bearer]), Ok("ci".to_owned()));
        assert_eq!(ask(&[&format!("bearer {text}")]), Ok("ci".to_owned()));
        assert_eq!(ask(&[]), Err(Stranger::NoToken));
        let other = format!("Bearer {}", other.expose());
        let hex = format!("Bearer {}", hex::encode(digest));
        let cut = format!("Bearer {}", text.get(1..).unwrap());
        let basic = format!("Basic {text}");
        for wrong in [
            &[other.as_str()][..],
            &[&hex],
            &[&cut],
            &[&basic],
            &[&text],
            &["Bearer "],
            &[&bearer, &bearer],
            &[&bearer, &other],
        ] {
            assert_eq!(ask(wrong), Err(Stranger::Unknown), "{wrong:?}");
        }
        assert!(!format!("{tokens:?}").contains(&hex::encode(digest)));
    }
}
