//! The public name of a key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Uuid, Variant};

/// The public identifier of a key, and the identity that a backend sees: a UUIDv7 (RFC 9562),
/// written as 32 lower-case hex digits without hyphens. There is no other text form.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Uuid);

/// The text is not a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 32 lower-case hex digits that form a UUIDv7")]
pub struct NotAKeyId;

impl KeyId {
    /// How many characters the text form has.
    pub const LEN: usize = 32;

    /// A new id, ordered by the time of its making.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The half of it that is random but for two bits, with those last.
    #[must_use]
    pub const fn random_bits(&self) -> u64 {
        // The variant comes first, and is the same for all.
        self.0.as_u64_pair().1.rotate_left(2)
    }

    /// Writes the text form into `buffer` and gives it back as text.
    pub fn encode(self, buffer: &mut [u8; Self::LEN]) -> &str {
        self.0.simple().encode_lower(buffer)
    }
}

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != Self::LEN || !text.bytes().all(lower_hex) {
            return Err(NotAKeyId);
        }
        let uuid = Uuid::try_parse(text).map_err(|_| NotAKeyId)?;
        if uuid.get_version_num() != 7 || uuid.get_variant() != Variant::RFC4122 {
            return Err(NotAKeyId);
        }
        Ok(Self(uuid))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.encode(&mut [0; Self::LEN]))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for KeyId {
    type Error = NotAKeyId;

    fn try_from(text: String) -> Result<Self, NotAKeyId> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_text_form() {
        let id = KeyId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            id.to_string().to_uppercase().parse::<KeyId>(),
            Err(NotAKeyId)
        );
        assert_eq!(
            id.0.hyphenated().to_string().parse::<KeyId>(),
            Err(NotAKeyId)
        );
    }

    #[test]
    fn a_uuid_of_another_version_or_a_piece_of_a_fingerprint_is_no_key_id() {
        assert!("0197f3c2a1b27c3d8e4f5a6b7c8d9e0f".parse::<KeyId>().is_ok());
        assert!("0197f3c2a1b24c3d8e4f5a6b7c8d9e0f".parse::<KeyId>().is_err());
        assert!("0197f3c2a1b27c3dce4f5a6b7c8d9e0f".parse::<KeyId>().is_err());
    }
}
