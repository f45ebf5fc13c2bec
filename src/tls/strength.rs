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
