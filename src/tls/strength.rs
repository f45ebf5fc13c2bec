//! What is too weak to be believed: less than 112 bits of security (NIST SP 800-57 part 1), which
//! OpenSSL calls level 2 and BoringSSL never asks for.

use crate::tls::library::security_bits;
use crate::tls::nid::Nid;
use crate::tls::x509::X509Ref;

/// What a key must have.
pub const STRONG_BITS: u32 = 112;

/// What a certificate was signed over, if nobody should be believed by it.
#[must_use]
pub fn weak_digest(x509: &X509Ref) -> Option<&'static str> {
    let algorithm = x509.signature_algorithm().object().nid();
    match algorithm.signature_algorithms()?.digest {
        Nid::MD5 => Some("MD5"),
        Nid::SHA1 => Some("SHA-1"),
        Nid::MD2 | Nid::MD4 | Nid::MDC2 | Nid::RIPEMD160 => {
            Some("an algorithm of the last century")
        }
        _ => None,
    }
}

/// Whether a certificate's key is too weak, or what signed it, unless that is the key itself, which
/// proves nothing.
#[must_use]
pub fn is_weak(x509: &X509Ref) -> bool {
    let Ok(key) = x509.public_key() else {
        return true;
    };
    let is_self_signed = || x509.verify(&key).unwrap_or(false);
    security_bits(&key) < STRONG_BITS || (weak_digest(x509).is_some() && !is_self_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::bn::BigNum;
    use crate::tls::pkey::PKey;
    use crate::tls::rsa::Rsa;

    /// The security of an RSA key whose modulus has so many bits.
    fn security(bits: u32) -> u32 {
        let number = |digits: &[u8]| BigNum::from_slice(digits).unwrap();
        let mut modulus = number(&[1]);
        let last = i32::try_from(bits).unwrap().saturating_sub(1);
        modulus.set_bit(last).unwrap();
        let key = Rsa::from_public_components(modulus, number(&[1, 0, 1]));
        security_bits(&PKey::from_rsa(key.unwrap()).unwrap())
    }

    /// A key of 2048 bits may lack its first ones, if whoever made it did not care.
    #[test]
    fn rsa_keys_are_as_strong_with_either_library() {
        for (bits, expected) in [
            (920, 80),
            (1024, 80),
            (1962, 104),
            (1963, 112),
            (2040, 112),
            (2048, 112),
            (3072, 128),
            (4096, 152),
            (6144, 176),
            (7680, 192),
            (7681, 200),
            (8192, 200),
        ] {
            assert_eq!(security(bits), expected, "{bits} bits");
        }
        assert!(security(919) < 80);
    }
}
