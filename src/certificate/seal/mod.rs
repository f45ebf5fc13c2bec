//! Sealing: what only the holder of a certificate's private key can read.
//!
//! A sealed message is CMS `AuthEnvelopedData` (RFC 5083) with AES-256-GCM (RFC 5084), which
//! `openssl cms -decrypt` opens from OpenSSL 3.0 on. The older `EnvelopedData` with AES-CBC is not
//! made: whoever carries such a message can change what is read in it. The content key is encrypted
//! with RSAES-OAEP or by ECDH, never with PKCS #1 v1.5, whose padding tells secrets by its errors.

mod encode;
mod recipient;
// What opens messages is in OpenSSL alone; tests/integration/sealed.rs opens those of either library.
#[cfg(feature = "openssl")]
#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

use self::encode::{BYTES_0, CONTEXT_0, algorithm, bytes, sequence, small, value};
use self::recipient::PublicKey;
use super::der::tag;
use super::{Facts, Fingerprint, NotHanded, handed};
use crate::tls;
use crate::tls::error::ErrorStack;
use crate::tls::symm::{Cipher, encrypt_aead};

const AUTH_ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 23];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const AES256_GCM: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 0x2e];
const NONCE_BYTES: usize = 12;
const TAG_BYTES: u8 = 16;

/// The key that encrypts one message.
type ContentKey = Zeroizing<[u8; 32]>;

/// Whom a message is sealed to: a certificate in full. Nothing of it is verified; that it is the
/// client's own is what the store says of its fingerprint.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// What the certificate says of itself.
    pub facts: Facts,
    /// `IssuerAndSerialNumber`.
    named: Vec<u8>,
    key: PublicKey,
}

/// Why nothing can be sealed to what was handed over.
#[derive(Debug, thiserror::Error)]
pub enum CannotSeal {
    /// It is not the certificate of a client.
    #[error(transparent)]
    NotHanded(#[from] NotHanded),
    /// Its key has no way to decrypt.
    #[error(
        "its key is of the kind {0}, which signs and cannot decrypt, so that nothing can be sealed \
         to it; let the client fetch its key with the certificate"
    )]
    SignsOnly(&'static str),
    /// Its RSA key has so few bits.
    #[error(
        "its RSA key has {0} bits; keys are sealed to 2048 or more, since whoever breaks it could \
         read the sealed key"
    )]
    Weak(u32),
    /// Its key lies on another curve.
    #[error(
        "its key lies on another curve than P-256, P-384 and P-521, the ones that are sealed to"
    )]
    Curve,
    /// Its key is of another kind.
    #[error("its key is neither RSA nor of an elliptic curve, the kinds that are sealed to")]
    Kind,
    /// The library could not read the key.
    #[error("its key cannot be read: {0}")]
    Unreadable(#[from] ErrorStack),
}

/// Why a message was not sealed, though there is whom to seal it to.
#[derive(Debug, thiserror::Error)]
pub enum NotSealed {
    /// The system has no randomness to give.
    #[error("the system has no randomness to give: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The library failed.
    #[error("the message could not be encrypted: {0}")]
    Library(#[from] ErrorStack),
}

impl Recipient {
    /// Reads the contents of a file as [`super::Handed::read`] does.
    ///
    /// # Errors
    ///
    /// [`CannotSeal`].
    pub fn read(file: &[u8]) -> Result<Self, CannotSeal> {
        let leaf = handed::leaf_of(file)?;
        let facts = leaf.content.facts;
        let serial = hex::decode(&facts.serial).map_err(|_| NotHanded::NoCertificate)?;
        Ok(Self {
            fingerprint: leaf.fingerprint,
            named: sequence(&[&leaf.content.issuer, &value(tag::INTEGER, &[&serial])]),
            facts,
            key: PublicKey::of(&*leaf.x509.public_key()?)?,
        })
    }

    /// Encrypts `message` so that only the holder of the certificate's private key can read it, and
    /// notices when it was altered. Gives the PEM form (RFC 7468 section 9).
    ///
    /// # Errors
    ///
    /// [`NotSealed`].
    pub fn seal(&self, message: &[u8]) -> Result<String, NotSealed> {
        let mut secret = ContentKey::default();
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(secret.as_mut())?;
        getrandom::fill(&mut nonce)?;
        let mut mac = [0; TAG_BYTES as usize];
        let gcm = Cipher::aes_256_gcm();
        let encrypted = encrypt_aead(gcm, secret.as_ref(), Some(&nonce), &[], message, &mut mac)?;

        let parameters = sequence(&[&bytes(&nonce), &small(TAG_BYTES)]);
        let content = sequence(&[
            &value(tag::OID, &[DATA]),
            &algorithm(AES256_GCM, &parameters),
            &value(BYTES_0, &[&encrypted]),
        ]);
        let recipients = value(tag::SET, &[&self.key.info(&self.named, &secret)?]);
        let sealed = sequence(&[&small(0), &recipients, &content, &bytes(&mac)]);
        let whole = sequence(&[
            &value(tag::OID, &[AUTH_ENVELOPED_DATA]),
            &value(CONTEXT_0, &[&sealed]),
        ]);
        let pem = tls::message(&whole)?;
        Ok(String::from_utf8_lossy(&pem).into_owned())
    }
}
