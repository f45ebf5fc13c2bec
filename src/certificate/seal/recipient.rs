//! The public key of a certificate, as what a content key is encrypted to.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::encode::{CONTEXT_0, CONTEXT_1, CONTEXT_2, algorithm, bytes, sequence, small, value};
use super::{CannotSeal, ContentKey};
use crate::certificate::der::tag;
use crate::tls;
use crate::tls::bn::BigNumContext;
use crate::tls::derive::Deriver;
use crate::tls::ec::{EcKey, PointConversionForm};
use crate::tls::error::ErrorStack;
use crate::tls::nid::Nid;
use crate::tls::pkey::{Id, PKey, PKeyRef, Public};

/// The shortest RSA key that anything is encrypted to.
const LEAST_RSA_BITS: u32 = 2048;

const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// `dhSinglePass-stdDH-sha256kdf-scheme` (RFC 5753 section 7.1.4).
const ECDH_SHA256: &[u8] = &[0x2b, 0x81, 4, 1, 0x0b, 1];
/// `id-aes256-wrap` (RFC 3565 section 2.3.2).
const AES256_WRAP: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 0x2d];
const NULL: &[u8] = &[5, 0];

/// A key that can be encrypted to.
#[derive(Clone, Debug)]
pub(super) enum PublicKey {
    Rsa(PKey<Public>),
    Ec(EcKey<Public>),
}

impl PublicKey {
    pub(super) fn of(key: &PKeyRef<Public>) -> Result<Self, CannotSeal> {
        match key.id() {
            Id::RSA if key.bits() < LEAST_RSA_BITS => Err(CannotSeal::Weak(key.bits())),
            Id::RSA => Ok(Self::Rsa(key.to_owned())),
            Id::EC => {
                let key = key.ec_key()?;
                match key.group().curve_name() {
                    Some(Nid::X9_62_PRIME256V1 | Nid::SECP384R1 | Nid::SECP521R1) => {
                        Ok(Self::Ec(key))
                    }
                    _ => Err(CannotSeal::Curve),
                }
            }
            Id::ED25519 => Err(CannotSeal::SignsOnly("Ed25519")),
            Id::ED448 => Err(CannotSeal::SignsOnly("Ed448")),
            Id::RSA_PSS => Err(CannotSeal::SignsOnly("RSA-PSS")),
            _ => Err(CannotSeal::Kind),
        }
    }

    /// The `RecipientInfo` (RFC 5652 section 6.2) with `secret` for whoever holds the private key;
    /// `named` is the certificate's issuer and serial number.
    pub(super) fn info(&self, named: &[u8], secret: &ContentKey) -> Result<Vec<u8>, ErrorStack> {
        match self {
            Self::Rsa(key) => transport(key, named, secret),
            Self::Ec(key) => agreement(key, named, secret),
        }
    }
}

/// `KeyTransRecipientInfo` with RSAES-OAEP, SHA-256 throughout (RFC 4055 section 4).
fn transport(key: &PKey<Public>, named: &[u8], secret: &ContentKey) -> Result<Vec<u8>, ErrorStack> {
    let encrypted = tls::transported(key, secret.as_ref())?;
    let sha256 = algorithm(SHA256, NULL);
    let mgf1 = algorithm(MGF1, &sha256);
    let parameters = sequence(&[&value(CONTEXT_0, &[&sha256]), &value(CONTEXT_1, &[&mgf1])]);
    Ok(sequence(&[
        &small(0),
        named,
        &algorithm(RSAES_OAEP, &parameters),
        &bytes(&encrypted),
    ]))
}

/// `KeyAgreeRecipientInfo` with ephemeral-static ECDH (RFC 5753 section 3.1).
fn agreement(
    key: &EcKey<Public>,
    named: &[u8],
    secret: &ContentKey,
) -> Result<Vec<u8>, ErrorStack> {
    let group = key.group();
    let ours = EcKey::generate(group)?;
    let mut numbers = BigNumContext::new()?;
    let point = ours.public_key();
    let point = point.to_bytes(group, PointConversionForm::UNCOMPRESSED, &mut numbers)?;
    let (ours, theirs) = (PKey::from_ec_key(ours)?, PKey::from_ec_key(key.clone())?);
    let mut deriver = Deriver::new(&ours)?;
    deriver.set_peer(&theirs)?;
    let shared = Zeroizing::new(deriver.derive_to_vec()?);

    let wrap = algorithm(AES256_WRAP, &[]);
    let wrapped = tls::wrapped(&wrapping_key(&shared, &wrap), secret)?;
    let originator = sequence_as(
        CONTEXT_1,
        &[
            &algorithm(EC_PUBLIC_KEY, &[]),
            &value(tag::BIT_STRING, &[&[0], &point]),
        ],
    );
    let encrypted = sequence(&[&sequence(&[named, &bytes(&wrapped)])]);
    Ok(sequence_as(
        CONTEXT_1,
        &[
            &small(3),
            &value(CONTEXT_0, &[&originator]),
            &algorithm(ECDH_SHA256, &wrap),
            &encrypted,
        ],
    ))
}

/// The X9.63 key derivation of RFC 5753 section 7.2: of SHA-256, one round gives the 256 bits.
fn wrapping_key(shared: &[u8], wrap: &[u8]) -> Zeroizing<[u8; 32]> {
    let bits = bytes(&256_u32.to_be_bytes());
    let info = sequence(&[wrap, &value(CONTEXT_2, &[&bits])]);
    let mut hash = Sha256::new();
    hash.update(shared);
    hash.update(1_u32.to_be_bytes());
    hash.update(info);
    Zeroizing::new(hash.finalize().into())
}

/// `[n] IMPLICIT SEQUENCE`.
fn sequence_as(context: u8, parts: &[&[u8]]) -> Vec<u8> {
    value(context, parts)
}
