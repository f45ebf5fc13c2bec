//! Signatures after the Standard Webhooks specification, so that receivers in any language can use a
//! library for it, or ten lines of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;

use crate::clock::Timestamp;
use crate::key::keyed;
use crate::secret::SecretBytes;

/// How it begins, as text.
const PREFIX: &str = "whsec_";
/// How many bytes it may have, by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What the messages of a webhook are signed with.
#[derive(Clone, Debug)]
pub struct Secret(SecretBytes);

/// The text is no secret of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not \"whsec_\" and 24 to 64 bytes in base64")]
pub struct NotASecret;

impl Secret {
    /// Reads `whsec_` and what follows in base64.
    ///
    /// # Errors
    ///
    /// [`NotASecret`].
    pub fn read(text: &SecretBytes) -> Result<Self, NotASecret> {
        let encoded = text.expose().strip_prefix(PREFIX.as_bytes());
        let bytes = STANDARD.decode(encoded.ok_or(NotASecret)?);
        let bytes = SecretBytes::new(bytes.map_err(|_| NotASecret)?);
        let fits = BYTES.contains(&bytes.expose().len());
        fits.then_some(Self(bytes)).ok_or(NotASecret)
    }

    /// The signature of what is sent `at` under this id.
    #[must_use]
    pub fn sign(&self, id: &str, at: Timestamp, body: &str) -> String {
        let mut mac = keyed(self.0.expose());
        mac.update(format!("{id}.{}.{body}", at.as_unix()).as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// The value of the header `webhook-signature`, while any of `secrets` may be the receiver's.
    #[must_use]
    pub fn sign_with_all(secrets: &[Self], id: &str, at: Timestamp, body: &str) -> String {
        let signatures = secrets.iter().map(|secret| secret.sign(id, at, body));
        signatures.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<Secret, NotASecret> {
        Secret::read(&SecretBytes::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn the_vector_of_the_specification_comes_out() {
        let secret = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at) = (
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp::from_unix(1_614_265_330),
        );
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(secret.sign(id, at, r#"{"test": 2432232314}"#), signature);
    }

    #[test]
    fn two_secrets_make_two_signatures() {
        let secrets = ["A", "B"].map(|c| secret(&format!("whsec_{}", c.repeat(32))).unwrap());
        let at = Timestamp::from_unix(1);
        let signed = Secret::sign_with_all(&secrets, "msg_1", at, "{}");
        let (one, other) = signed.split_once(' ').unwrap();
        assert!(one != other && one.starts_with("v1,") && other.starts_with("v1,"));
    }

    #[test]
    fn what_is_no_secret_is_none() {
        for bad in [
            "",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_",
            "whsec_QUJD",
            "whsec_!!!!",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        ] {
            assert_eq!(secret(bad).err(), Some(NotASecret), "{bad:?}");
        }
        let too_long = format!("whsec_{}", STANDARD.encode([1; 65]));
        assert!(secret(&too_long).is_err());
    }
}
