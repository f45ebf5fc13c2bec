//! The text form of an API key.
//!
//! ```text
//! key    = brand "_" env "_" key-id "_" secret crc
//! secret = 43 base62 digits      crc = 6 base62 digits: CRC-32 of all before it
//! ```

use std::fmt;

use memchr::memmem;

use super::{Digest, KeyId, Peppers};
use crate::secret::Secret;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_DIGITS: usize = 43;
const CRC_DIGITS: usize = 6;

/// How this installation's keys begin: `kf_live_`. Never change it once keys are out.
#[derive(Clone, Debug)]
pub struct Format {
    prefix: String,
    brand_len: usize,
    finder: memmem::Finder<'static>,
}

/// A brand or an environment that cannot begin a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use 2 to 8 characters of a-z and 0-9")]
pub struct NotAFormat;

impl Format {
    /// Keys that begin with `brand` and `environment`.
    ///
    /// # Errors
    ///
    /// [`NotAFormat`] unless both are 2 to 8 characters of `a-z0-9`.
    pub fn new(brand: &str, environment: &str) -> Result<Self, NotAFormat> {
        let fits = |part: &str| {
            (2..=8).contains(&part.len())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !fits(brand) || !fits(environment) {
            return Err(NotAFormat);
        }
        let prefix = format!("{brand}_{environment}_");
        Ok(Self {
            brand_len: brand.len().saturating_add(1),
            finder: memmem::Finder::new(&prefix).into_owned(),
            prefix,
        })
    }

    /// Whether `text` claims to be one of our keys: it begins with the brand, in any case. A bearer
    /// token that does not belongs to the application behind us.
    #[must_use]
    pub fn claims(&self, text: &[u8]) -> bool {
        let brand = self.prefix.as_bytes().get(..self.brand_len);
        let start = text.get(..self.brand_len);
        brand
            .zip(start)
            .is_some_and(|(brand, start)| brand.eq_ignore_ascii_case(start))
    }

    /// Whether something that looks like one of our keys stands anywhere in `text`: the prefix and
    /// the first digits of a key id. For keeping keys out of URLs, logs and backends.
    #[must_use]
    pub fn occurs_in(&self, text: &[u8]) -> bool {
        self.finder.find_iter(text).any(|at| {
            let id = at
                .checked_add(self.prefix.len())
                .and_then(|from| text.get(from..));
            id.and_then(|id| id.get(..8))
                .is_some_and(|id| id.iter().all(u8::is_ascii_hexdigit))
        })
    }
}

/// A key in the clear. It is not `Clone`, never printed, and wiped when dropped.
pub struct ApiKey {
    id: KeyId,
    text: Secret<String>,
}

/// The text is not a whole key: cut off, mistyped, or of another environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The parts are not where they belong, or have other lengths.
    #[error("the key has not the shape of a key")]
    Shape,
    /// The last six digits do not fit the rest.
    #[error("the key's checksum does not fit")]
    Checksum,
}

impl ApiKey {
    /// Reads a key, strictly: no white space, no other case, nothing before or after.
    ///
    /// # Errors
    ///
    /// [`Malformed`], found without any look-up.
    pub fn parse(text: &[u8], format: &Format) -> Result<Self, Malformed> {
        let text = str::from_utf8(text).map_err(|_| Malformed::Shape)?;
        let rest = text.strip_prefix(&format.prefix).ok_or(Malformed::Shape)?;
        let (id, secret) = rest.split_once('_').ok_or(Malformed::Shape)?;
        let id: KeyId = id.parse().map_err(|_| Malformed::Shape)?;
        if secret.len() != SECRET_DIGITS + CRC_DIGITS
            || !secret.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return Err(Malformed::Shape);
        }
        let (body, crc) = text
            .split_at_checked(text.len().saturating_sub(CRC_DIGITS))
            .ok_or(Malformed::Shape)?;
        if crc.as_bytes() != checksum(body.as_bytes()) {
            return Err(Malformed::Checksum);
        }
        Ok(Self {
            id,
            text: Secret::new(text.to_owned()),
        })
    }

    /// A new key for `id`, with 256 bits from the system's random source.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn generate(id: KeyId, format: &Format) -> Result<Self, getrandom::Error> {
        let mut text = format!("{}{id}_", format.prefix);
        let full = text.len().saturating_add(SECRET_DIGITS);
        while text.len() < full {
            // 248 = 4 × 62: bytes above would make some digits likelier than others.
            let byte = getrandom::u32()?.to_le_bytes()[0];
            if byte < 248 {
                text.push(char::from(digit(u32::from(byte))));
            }
        }
        text.extend(checksum(text.as_bytes()).map(char::from));
        Ok(Self {
            id,
            text: Secret::new(text),
        })
    }

    /// The key's public id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The digest under the current pepper, for the record.
    #[must_use]
    pub fn digest(&self, peppers: &Peppers) -> Digest {
        peppers.digest(self.text.expose().as_bytes())
    }

    /// Whether this is the key that `stored` was made of; in constant time, also when `stored` is
    /// none or its pepper is gone, so that an unknown id costs what a wrong secret costs.
    #[must_use]
    pub fn matches(&self, stored: Option<&Digest>, peppers: &Peppers) -> bool {
        peppers.matches(self.text.expose().as_bytes(), stored)
    }

    /// The digest to put in the place of `stored`, which is this key's, when that was made with an
    /// older pepper.
    #[must_use]
    pub fn renewed(&self, stored: &Digest, peppers: &Peppers) -> Option<Digest> {
        peppers.is_outdated(stored).then(|| self.digest(peppers))
    }

    /// The key as text, for the one answer that shows it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.text.expose()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}, [redacted])", self.id)
    }
}

/// The base62 digit for `value` modulo 62.
fn digit(value: u32) -> u8 {
    let index = usize::try_from(value.rem_euclid(62)).unwrap_or_default();
    BASE62.get(index).copied().unwrap_or(b'0')
}

fn checksum(body: &[u8]) -> [u8; CRC_DIGITS] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [b'0'; CRC_DIGITS];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest = rest.div_euclid(62);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Pepper;
    use proptest::prelude::*;

    const VECTOR: &str = "kf_live_0197f3c2a1b27c3d8e4f5a6b7c8d9e0f_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg4XL7FQ";

    fn live() -> Format {
        Format::new("kf", "live").unwrap()
    }

    #[test]
    fn the_vector_of_the_protocol_comes_out() {
        let key = ApiKey::parse(VECTOR.as_bytes(), &live()).unwrap();
        assert_eq!(key.id().to_string(), "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f");
        let peppers = Peppers::new(Pepper::new(1, &Secret::new(vec![0; 32])), []);
        assert_eq!(
            key.digest(&peppers).to_hex(),
            "fcba6f01062ebffa11e2bb540e5b6ddaaebe2d00b49106f7caaff30732ff8718"
        );
        assert!(key.matches(Some(&key.digest(&peppers)), &peppers));
    }

    #[test]
    fn a_made_key_reads_back_and_is_its_own() {
        let (id, format) = (KeyId::generate(), Format::new("acme", "test").unwrap());
        let key = ApiKey::generate(id, &format).unwrap();
        let again = ApiKey::parse(key.reveal().as_bytes(), &format).unwrap();
        assert_eq!((again.id(), again.reveal()), (id, key.reveal()));
        assert_eq!(
            ApiKey::parse(key.reveal().as_bytes(), &live()).unwrap_err(),
            Malformed::Shape
        );
        assert_ne!(
            ApiKey::generate(id, &format).unwrap().reveal(),
            key.reveal()
        );
    }

    #[test]
    fn brands_and_environments_are_two_to_eight_plain_characters() {
        for bad in ["", "k", "KF", "k_f", "123456789", "k-f"] {
            assert!(Format::new(bad, "live").is_err(), "{bad}");
            assert!(Format::new("kf", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_found_wherever_it_stands() {
        let text = |s: &str| live().occurs_in(s.as_bytes());
        assert!(text(&format!("a=1&k={VECTOR}&b")) && text(VECTOR.split_at(20).0));
        assert!(!text("kf_live_") && !text("kf_live_orders") && !text("kf_test_0197f3c2a1b2"));
    }

    proptest! {
        #[test]
        fn every_change_of_one_character_is_refused(at in 0..VECTOR.len(), with in any::<u8>()) {
            let mut text = VECTOR.as_bytes().to_vec();
            prop_assume!(text[at] != with);
            text[at] = with;
            prop_assert!(ApiKey::parse(&text, &live()).is_err());
        }

        #[test]
        fn every_piece_and_every_extension_is_refused(cut in 0..VECTOR.len(), more in ".{1,4}") {
            prop_assert!(ApiKey::parse(&VECTOR.as_bytes()[..cut], &live()).is_err());
            let longer = format!("{VECTOR}{more}");
            prop_assert!(ApiKey::parse(longer.as_bytes(), &live()).is_err());
        }
    }
}
