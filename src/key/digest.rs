//! What is stored of a key: `HMAC-SHA-256(pepper, "apikey.v1" NUL key)`.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::secret::SecretBytes;

const CONTEXT: &[u8] = b"apikey.v1\0";

/// Which pepper a digest was made with.
pub type PepperVersion = u32;

/// A key's digest and the version of the pepper that made it.
///
/// It has no `==`, which would tell by its time how much of a digest is right:
///
/// ```compile_fail,E0369
/// fn is_it(one: &keyferry::key::Digest, other: &keyferry::key::Digest) -> bool {
///     *one == *other
/// }
/// ```
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Digest {
    pepper: PepperVersion,
    #[serde(with = "hex::serde")]
    bytes: [u8; 32],
}

impl Digest {
    /// The digest as 64 hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.bytes)
    }

    /// The digest of which these are the parts.
    pub(crate) const fn of_parts(pepper: PepperVersion, bytes: [u8; 32]) -> Self {
        Self { pepper, bytes }
    }

    /// What it consists of, for whoever keeps millions.
    pub(crate) const fn parts(self) -> (PepperVersion, [u8; 32]) {
        (self.pepper, self.bytes)
    }

    /// The version of the pepper that it was made with.
    #[must_use]
    pub const fn pepper(&self) -> PepperVersion {
        self.pepper
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest(pepper {}, [redacted])", self.pepper)
    }
}

/// A secret that is mixed into every digest and never stored beside them: a stolen store gives no
/// usable key.
#[derive(Clone)]
pub struct Pepper {
    version: PepperVersion,
    state: Hmac<Sha256>,
}

impl Pepper {
    /// The pepper `secret`, known as `version`.
    #[must_use]
    pub fn new(version: PepperVersion, secret: &SecretBytes) -> Self {
        Self {
            version,
            state: keyed(secret.expose()),
        }
    }

    fn mac(&self, context: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.state.clone();
        mac.update(context);
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({}, [redacted])", self.version)
    }
}

/// The pepper that new digests are made with, and older ones that stored digests still name.
#[derive(Clone, Debug)]
pub struct Peppers {
    current: Pepper,
    older: Vec<Pepper>,
}

impl Peppers {
    /// New digests use `current`; `older` are kept for the digests that name them.
    pub fn new(current: Pepper, older: impl IntoIterator<Item = Pepper>) -> Self {
        Self {
            current,
            older: older.into_iter().collect(),
        }
    }

    /// The digest of a key's text under the current pepper.
    pub(super) fn digest(&self, key: &[u8]) -> Digest {
        Digest {
            pepper: self.current.version,
            bytes: self
                .current
                .mac(CONTEXT, &[key])
                .finalize()
                .into_bytes()
                .into(),
        }
    }

    /// Whether `stored` was made with an older pepper than new digests are. Never with a newer one:
    /// while a pepper is introduced, gateways differ in which is the current one.
    pub(super) const fn is_outdated(&self, stored: &Digest) -> bool {
        stored.pepper < self.current.version
    }

    /// Whether `stored` is the digest of `key`. The work is the same whether or not there is one.
    pub(super) fn matches(&self, key: &[u8], stored: Option<&Digest>) -> bool {
        let pepper = stored.and_then(|stored| self.version(stored.pepper));
        let computed: [u8; 32] = pepper
            .unwrap_or(&self.current)
            .mac(CONTEXT, &[key])
            .finalize()
            .into_bytes()
            .into();
        let expected = stored.map_or([0; 32], |stored| stored.bytes);
        let equal = bool::from(computed.ct_eq(&expected));
        equal && pepper.is_some()
    }

    /// Keys of 32 bytes for another use than digests, bound to `context` and `parts`: first that of
    /// the current pepper, which closes, then those of the others, for what was closed under them.
    pub fn derive(&self, context: &[u8], parts: &[&[u8]]) -> impl Iterator<Item = [u8; 32]> {
        self.all()
            .map(move |pepper| pepper.mac(context, parts).finalize().into_bytes().into())
    }

    /// That of the pepper `version` alone; none when it is not known.
    #[must_use]
    pub fn derive_with(&self, version: PepperVersion, context: &[u8]) -> Option<[u8; 32]> {
        let pepper = self.version(version)?;
        Some(pepper.mac(context, &[]).finalize().into_bytes().into())
    }

    /// The pepper that new digests are made with.
    #[must_use]
    pub const fn current(&self) -> PepperVersion {
        self.current.version
    }

    /// Every pepper that is known.
    pub fn versions(&self) -> impl Iterator<Item = PepperVersion> {
        self.all().map(|pepper| pepper.version)
    }

    /// The peppers that `next` does not have, or has with another secret.
    pub fn missing_in(&self, next: &Self) -> impl Iterator<Item = PepperVersion> {
        let is_there = |pepper: &Pepper| {
            let next = next.version(pepper.version);
            next.is_some_and(|next| is_same_key(&pepper.state, &next.state))
        };
        self.all()
            .filter(move |pepper| !is_there(pepper))
            .map(|pepper| pepper.version)
    }

    fn all(&self) -> impl Iterator<Item = &Pepper> {
        std::iter::once(&self.current).chain(&self.older)
    }

    fn version(&self, version: PepperVersion) -> Option<&Pepper> {
        self.all().find(|pepper| pepper.version == version)
    }
}

/// Whether two states of HMAC are keyed with the same secret. That takes the same time whichever.
pub(crate) fn is_same_key(one: &Hmac<Sha256>, other: &Hmac<Sha256>) -> bool {
    let mac = |state: &Hmac<Sha256>| state.clone().chain_update(b"is this the same?").finalize();
    mac(one) == mac(other)
}

/// HMAC-SHA-256 keyed with `secret`; HMAC takes keys of any length (RFC 2104).
pub(crate) fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(secret) {
        Ok(state) => state,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn pepper(version: PepperVersion, byte: u8) -> Pepper {
        Pepper::new(version, &Secret::new(vec![byte; 32]))
    }

    #[test]
    fn an_older_pepper_still_proves_its_digests() {
        let before = Peppers::new(pepper(1, 1), []);
        let after = Peppers::new(pepper(2, 2), [pepper(1, 1)]);
        let digest = before.digest(b"key");
        assert!(after.matches(b"key", Some(&digest)));
        assert_eq!(after.digest(b"key").pepper(), 2);
        assert!(!after.matches(b"other", Some(&digest)));
    }

    #[test]
    fn a_pepper_that_went_or_became_another_is_missed() {
        let peppers = Peppers::new(pepper(2, 2), [pepper(1, 1)]);
        let missing = |next: Peppers| peppers.missing_in(&next).collect::<Vec<_>>();
        assert!(missing(Peppers::new(pepper(1, 1), [pepper(2, 2)])).is_empty());
        assert_eq!(missing(Peppers::new(pepper(3, 3), [pepper(2, 2)])), [1]);
        assert_eq!(missing(Peppers::new(pepper(2, 2), [pepper(1, 9)])), [1]);
        assert_eq!(missing(Peppers::new(pepper(1, 2), [])), [2, 1]);
    }

    #[test]
    fn nothing_matches_without_a_digest_or_without_its_pepper() {
        let digest = Peppers::new(pepper(7, 7), []).digest(b"key");
        let other = Peppers::new(pepper(1, 7), []);
        assert!(!other.matches(b"key", Some(&digest)));
        assert!(!other.matches(b"key", None));
    }

    #[test]
    fn neither_pepper_nor_digest_is_printed() {
        let peppers = Peppers::new(pepper(1, b'Z'), []);
        let shown = format!("{peppers:?} {:?}", peppers.digest(b"key"));
        assert!(!shown.contains("ZZ") && !shown.contains(&peppers.digest(b"key").to_hex()));
    }
}
