//! The signature of a revocation list, checked without the list: of a million entries only the
//! digest is kept.

use crate::certificate::der::{Reader, tag};
use crate::tls;
use crate::tls::error::ErrorStack;
use crate::tls::hash::{MessageDigest, hash};
use crate::tls::pkey::{HasPublic, Id, PKeyRef};
use crate::tls::sign::Verifier;

/// The arcs that name algorithms, without what comes last.
const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];
const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
const EDWARDS: &[u8] = &[0x2b, 0x65];
const SHA1: &[u8] = &[0x2b, 14, 3, 2];
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];

/// How a list was signed.
pub(super) struct Signature {
    scheme: Scheme,
    value: Box<[u8]>,
}

enum Scheme {
    Digested {
        kind: tls::Scheme,
        digest: Box<[u8]>,
        hash: MessageDigest,
    },
    /// Edwards curves sign the whole, which must be kept.
    Whole(Id, Box<[u8]>),
    /// None that counts: of no known kind, ill-formed, or named differently within what it signs.
    Other,
}

impl Signature {
    /// Reads the signature `value` over `signed`. Its algorithm is named beside it and within what
    /// it signs, and must be the same (RFC 5280 section 5.1.1.2).
    pub(super) fn read(signed: &[u8], (beside, within): (&[u8], &[u8]), value: &[u8]) -> Self {
        let (scheme, value) = match value.split_first() {
            // A signature has whole bytes.
            Some((0, value)) if beside == within => (Scheme::of(beside, signed), value),
            _ => (None, value),
        };
        Self {
            scheme: scheme.unwrap_or(Scheme::Other),
            value: value.into(),
        }
    }

    /// Whether it was made with this key.
    pub(super) fn is_by<T: HasPublic>(&self, key: &PKeyRef<T>) -> bool {
        let good = self.verify(key).unwrap_or(false);
        let _ = ErrorStack::get();
        good
    }

    fn verify<T: HasPublic>(&self, key: &PKeyRef<T>) -> Result<bool, ErrorStack> {
        match &self.scheme {
            Scheme::Other => Ok(false),
            Scheme::Whole(id, whole) => Ok(key.id() == *id
                && Verifier::new_without_digest(key)?.verify_oneshot(&self.value, whole)?),
            Scheme::Digested { kind, digest, hash } => {
                let fits = match kind {
                    tls::Scheme::Ecdsa => key.id() == Id::EC,
                    tls::Scheme::Pkcs1 => key.id() == Id::RSA,
                    tls::Scheme::Pss { .. } => [Id::RSA, Id::RSA_PSS].contains(&key.id()),
                };
                Ok(fits && tls::is_over((*hash, digest), &self.value, *kind, key)?)
            }
        }
    }
}

impl Scheme {
    fn of(algorithm: &[u8], signed: &[u8]) -> Option<Self> {
        let mut outer = Reader(algorithm);
        let mut fields = outer.enter(tag::SEQUENCE).ok()?;
        let oid = fields.expect(tag::OID).ok()?.content;
        let (last, arc) = oid.split_last()?;
        let (kind, bits) = match (arc, last) {
            (PKCS1, 5) => (tls::Scheme::Pkcs1, 1),
            (PKCS1, 10) => return Self::pss(fields, signed),
            (PKCS1, 11) => (tls::Scheme::Pkcs1, 256),
            (PKCS1, 12) => (tls::Scheme::Pkcs1, 384),
            (PKCS1, 13) => (tls::Scheme::Pkcs1, 512),
            (PKCS1, 14) => (tls::Scheme::Pkcs1, 224),
            (ECDSA, 1) => (tls::Scheme::Ecdsa, 1),
            (ECDSA_SHA2, 1) => (tls::Scheme::Ecdsa, 224),
            (ECDSA_SHA2, 2) => (tls::Scheme::Ecdsa, 256),
            (ECDSA_SHA2, 3) => (tls::Scheme::Ecdsa, 384),
            (ECDSA_SHA2, 4) => (tls::Scheme::Ecdsa, 512),
            (EDWARDS, 112) => return Some(Self::Whole(Id::ED25519, signed.into())),
            (EDWARDS, 113) => return Some(Self::Whole(Id::ED448, signed.into())),
            _ => return None,
        };
        Self::digested(kind, sha(bits)?, signed)
    }

    fn digested(kind: tls::Scheme, by: MessageDigest, signed: &[u8]) -> Option<Self> {
        let digest = hash(by, signed).ok()?;
        let digest = digest.as_ref().into();
        Some(Self::Digested {
            kind,
            digest,
            hash: by,
        })
    }

    /// RSASSA-PSS names its parameters (RFC 4055 section 3.1); what it leaves out is SHA-1, and a
    /// salt of 20 bytes.
    fn pss(mut fields: Reader<'_>, signed: &[u8]) -> Option<Self> {
        let mut parameters = fields.enter(tag::SEQUENCE).ok()?;
        let hash_field = parameters.optional(0xa0).ok()?;
        let mask_field = parameters.optional(0xa1).ok()?;
        let salt_field = parameters.optional(0xa2).ok()?;
        // Another trailer than the one there is would be a fourth.
        parameters.end().ok()?;
        let hash = hash_field.map_or_else(|| sha(1), |field| named(field.content))?;
        let mask = match mask_field {
            None => sha(1)?,
            Some(field) => {
                let mut function = Reader(field.content).enter(tag::SEQUENCE).ok()?;
                function
                    .expect(tag::OID)
                    .ok()
                    .filter(|oid| oid.content == MGF1)?;
                named(function.0)?
            }
        };
        let salt = match salt_field {
            None => 20,
            Some(field) => match Reader(field.content).expect(tag::INTEGER).ok()?.content {
                [salt @ 0..=127] => *salt,
                _ => return None,
            },
        };
        Self::digested(tls::Scheme::Pss { mask, salt }, hash, signed)
    }
}

/// The hash of an algorithm identifier.
fn named(algorithm: &[u8]) -> Option<MessageDigest> {
    let mut fields = Reader(algorithm).enter(tag::SEQUENCE).ok()?;
    let oid = fields.expect(tag::OID).ok()?.content;
    match oid.split_last()? {
        (26, SHA1) => sha(1),
        (1, SHA2) => sha(256),
        (2, SHA2) => sha(384),
        (3, SHA2) => sha(512),
        (4, SHA2) => sha(224),
        _ => None,
    }
}

fn sha(bits: u16) -> Option<MessageDigest> {
    Some(match bits {
        1 => MessageDigest::sha1(),
        224 => MessageDigest::sha224(),
        256 => MessageDigest::sha256(),
        384 => MessageDigest::sha384(),
        512 => MessageDigest::sha512(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Kind, new_key, oid_der, tlv};
    use crate::tls::pkey::{PKey, Private};
    use crate::tls::rsa::Padding;
    use crate::tls::sign::{RsaPssSaltlen, Signer};

    const SIGNED: &[u8] = b"a list";

    fn algorithm(dotted: &str, parameters: &[u8]) -> Vec<u8> {
        tlv(tag::SEQUENCE, &[&oid_der(dotted), parameters].concat())
    }

    /// The parameters of RSASSA-PSS with SHA-256 throughout.
    fn pss(salt: u8) -> Vec<u8> {
        let sha256 = algorithm("2.16.840.1.101.3.4.2.1", &[5, 0]);
        let mask = algorithm("1.2.840.113549.1.1.8", &sha256);
        let salt = tlv(0xa2, &[2, 1, salt]);
        tlv(
            tag::SEQUENCE,
            &[tlv(0xa0, &sha256), tlv(0xa1, &mask), salt].concat(),
        )
    }

    fn sign(key: &PKey<Private>, digest: Option<MessageDigest>, salt: Option<i32>) -> Vec<u8> {
        let signer = match digest {
            Some(digest) => Signer::new(digest, key),
            None => Signer::new_without_digest(key),
        };
        let mut signer = signer.unwrap();
        if let Some(salt) = salt {
            signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            let salt = RsaPssSaltlen::custom(salt);
            signer.set_rsa_pss_saltlen(salt).unwrap();
        }
        [vec![0], signer.sign_oneshot_to_vec(SIGNED).unwrap()].concat()
    }

    #[test]
    fn every_kind_of_signature_is_checked_and_counts_for_its_own_key_and_name_only() {
        let (rsa, ec) = (|| new_key(Kind::Rsa(2048)), || new_key(Kind::P256));
        let (sha1, sha256, sha512) = (
            MessageDigest::sha1(),
            MessageDigest::sha256(),
            MessageDigest::sha512(),
        );
        let keys = [
            rsa(),
            ec(),
            new_key(Kind::Ed25519),
            #[cfg(feature = "openssl")]
            PKey::generate_ed448().unwrap(),
        ];
        let cases = [
            (0, "1.2.840.113549.1.1.5", vec![5, 0], Some(sha1), None),
            (0, "1.2.840.113549.1.1.11", vec![5, 0], Some(sha256), None),
            (0, "1.2.840.113549.1.1.13", vec![5, 0], Some(sha512), None),
            (0, "1.2.840.113549.1.1.10", pss(32), Some(sha256), Some(32)),
            (1, "1.2.840.10045.4.1", vec![], Some(sha1), None),
            (1, "1.2.840.10045.4.3.2", vec![], Some(sha256), None),
            (1, "1.2.840.10045.4.3.4", vec![], Some(sha512), None),
            (2, "1.3.101.112", vec![], None, None),
            #[cfg(feature = "openssl")]
            (3, "1.3.101.113", vec![], None, None),
        ];
        for (own, dotted, parameters, digest, salt) in &cases {
            let named = algorithm(dotted, parameters);
            let value = sign(&keys[*own], *digest, *salt);
            let read = |signed: &[u8], within: &[u8], value: &[u8]| {
                let read = Signature::read(signed, (&named, within), value);
                let by = |key: &PKey<Private>| read.is_by(key);
                keys.iter()
                    .chain([&rsa(), &ec()])
                    .map(by)
                    .collect::<Vec<_>>()
            };
            let all = keys.len() + 2;
            let only: Vec<_> = (0..all).map(|place| place == *own).collect();
            assert_eq!(read(SIGNED, &named, &value), only, "{dotted}");
            let none = vec![false; all];
            assert_eq!(read(b"another", &named, &value), none, "{dotted}");
            assert_eq!(read(SIGNED, &algorithm("1.2.3", &[]), &value), none);
            // Under any other name it is no signature.
            for (_, other, parameters, _, _) in cases.iter().filter(|case| case.1 != *dotted) {
                let named = algorithm(other, parameters);
                let read = Signature::read(SIGNED, (&named, &named), &value);
                assert!(
                    !keys.iter().any(|key| read.is_by(key)),
                    "{dotted} as {other}"
                );
            }
            let mut bits = value.clone();
            bits[0] = 1;
            assert_eq!(read(SIGNED, &named, &bits), none, "{dotted}");
        }
        // Another salt than the one that is named.
        let named = algorithm("1.2.840.113549.1.1.10", &pss(20));
        let value = sign(&keys[0], Some(sha256), Some(32));
        assert!(!Signature::read(SIGNED, (&named, &named), &value).is_by(&keys[0]));
    }
}
