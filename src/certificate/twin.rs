//! The other form of a certificate that is signed with ECDSA.
//!
//! Where (r, s) is a signature, (r, n − s) is one too, and anybody can make it: the same
//! certificate, as good, with another SHA-256 and another SHA-1. So a fingerprint alone does not tell whether a
//! certificate was seen before. Signatures of the other kinds that are accepted have one form.

use super::der::{Reader, tag};
use super::{Alias, Fingerprint};
use crate::tls::bn::{BigNum, BigNumContext};
use crate::tls::ecdsa::EcdsaSig;
use crate::tls::error::ErrorStack;
use crate::tls::x509::X509Ref;

/// By what a certificate is known besides its fingerprint, in whichever of its forms.
#[derive(Debug, Default)]
pub(super) struct Forms {
    /// The fingerprint of the other form, when there is one.
    pub(super) twin: Option<Fingerprint>,
    /// The SHA-1 of each form.
    pub(super) sha1s: Vec<Alias>,
}

impl Forms {
    /// The forms of `certificate`, which `issuer` signed.
    pub(super) fn of(certificate: &X509Ref, issuer: &X509Ref) -> Self {
        let (own, twin) = (certificate.to_der().ok(), twin(certificate, issuer));
        Self {
            twin: twin.as_deref().map(Fingerprint::of),
            sha1s: own
                .iter()
                .chain(&twin)
                .filter_map(|der| Alias::sha1_of(der))
                .collect(),
        }
    }
}

/// The DER of the other form of `certificate`, which `issuer` signed; none when there is no other
/// form.
fn twin(certificate: &X509Ref, issuer: &X509Ref) -> Option<Vec<u8>> {
    let twin = signature(certificate, issuer).and_then(|signature| with(certificate, &signature));
    // A key of another kind leaves an error that nobody waits for.
    let _ = ErrorStack::get();
    twin
}

/// The signature's other form.
fn signature(certificate: &X509Ref, issuer: &X509Ref) -> Option<Vec<u8>> {
    let key = issuer.public_key().and_then(|key| key.ec_key()).ok()?;
    let signature = EcdsaSig::from_der(certificate.signature().as_slice()).ok()?;
    let (mut order, mut other) = (BigNum::new().ok()?, BigNum::new().ok()?);
    let mut context = BigNumContext::new().ok()?;
    key.group().order(&mut order, &mut context).ok()?;
    other.checked_sub(&order, signature.s()).ok()?;
    let r = signature.r().to_owned().ok()?;
    EcdsaSig::from_private_components(r, other)
        .and_then(|signature| signature.to_der())
        .ok()
}

/// The certificate with another signature (RFC 5280 section 4.1).
fn with(certificate: &X509Ref, signature: &[u8]) -> Option<Vec<u8>> {
    let der = certificate.to_der().ok()?;
    let mut whole = Reader(&der).enter(tag::SEQUENCE).ok()?;
    let (tbs, algorithm) = (whole.next().ok()?, whole.next().ok()?);
    // No bit of the last octet is unused.
    let signature = value(tag::BIT_STRING, &[&[0], signature]);
    Some(value(
        tag::SEQUENCE,
        &[tbs.whole, algorithm.whole, &signature],
    ))
}

/// A value in DER: tag, length, and the parts of its content (X.690 section 10.1).
fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut value = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => value.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let digits: Vec<u8> = length.into_iter().skip_while(|digit| *digit == 0).collect();
            value.push(0x80 | u8::try_from(digits.len()).unwrap_or(u8::MAX));
            value.extend(digits);
        }
    }
    value.extend(content);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Kind, leaf, root};
    use crate::tls::x509::X509;

    #[test]
    fn the_twin_of_a_certificate_is_as_good_and_its_twin_is_the_certificate() {
        let root = root("Clients").self_signed();
        let alice = leaf("alice").signed_by(&root);
        let other = signature(&alice.x509, &root.x509).unwrap();
        let der = alice.x509.to_der().unwrap();
        let mut whole = Reader(&der).enter(tag::SEQUENCE).unwrap();
        let (tbs, algorithm) = (whole.next().unwrap(), whole.next().unwrap());
        let bits = value(tag::BIT_STRING, &[&[0], &other]);
        let made = value(tag::SEQUENCE, &[tbs.whole, algorithm.whole, &bits]);
        let made = X509::from_der(&made).unwrap();
        assert!(made.verify(&root.x509.public_key().unwrap()).unwrap());

        let made_der = made.to_der().unwrap();
        assert_ne!(made_der, der);
        assert_eq!(twin(&alice.x509, &root.x509), Some(made_der));
        assert_eq!(twin(&made, &root.x509), Some(der));
    }

    #[test]
    fn signatures_of_other_kinds_have_no_twin() {
        for kind in [Kind::Rsa(2048), Kind::Ed25519] {
            let root = root("Clients").kind(kind).self_signed();
            let alice = leaf("alice").signed_by(&root);
            assert_eq!(twin(&alice.x509, &root.x509), None);
        }
    }
}
