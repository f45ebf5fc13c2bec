//! Cases C12: only the right private key opens what is sealed, and only as it was sealed.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

use std::ops::Range;

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::pkey_ctx::PkeyCtx;

use super::*;
use crate::pki::{self, Issued, Kind, leaf, new_key};
use crate::tls::ec::{EcGroup, EcKey};
use crate::tls::nid::Nid;
use crate::tls::pkey::{Id, PKey, Private};
use crate::tls::stack::Stack;
use crate::tls::x509::X509;

const MESSAGE: &[u8] = b"kf_live_0197f3c2a1b27c3d8e4f5a6b7c8d9e0f_0123456789\n";

fn on_curve(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A client with a key of each kind that can be sealed to.
fn clients() -> Vec<Issued> {
    let kinds = [Kind::Rsa(2048), Kind::Rsa(3072), Kind::P256, Kind::P384].map(new_key);
    let keys = kinds.into_iter().chain([on_curve(Nid::SECP521R1)]);
    keys.map(|key| leaf("device").key(&key).self_signed())
        .collect()
}

fn sealed(client: &Issued) -> Vec<u8> {
    let pem = Recipient::read(&client.pem()).unwrap().seal(MESSAGE);
    let pem = pem.unwrap();
    assert!(pem.starts_with("-----BEGIN CMS-----\n"), "{pem}");
    CmsContentInfo::from_pem(pem.as_bytes())
        .unwrap()
        .to_der()
        .unwrap()
}

fn open(der: &[u8], key: &PKey<Private>) -> Option<Vec<u8>> {
    let message = CmsContentInfo::from_der(der).ok()?;
    message.decrypt_without_cert_check(key).ok()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

#[test]
fn whoever_holds_the_private_key_reads_the_message() {
    for client in clients() {
        let der = sealed(&client);
        assert_eq!(open(&der, &client.key).as_deref(), Some(MESSAGE));
        let named = CmsContentInfo::from_der(&der).unwrap();
        let x509 = X509::from_pem(&client.pem()).unwrap();
        assert_eq!(named.decrypt(&client.key, &x509).unwrap(), MESSAGE);
        assert!(!contains(&der, b"kf_live"));
    }
}

#[test]
fn c12_nobody_else_reads_the_message() {
    for client in clients() {
        let der = sealed(&client);
        // Of the same kind and name, so that only the key is another.
        let other = client.key.as_ref();
        let other = match (other.rsa(), other.ec_key()) {
            (Ok(_), _) => new_key(Kind::Rsa(client.key.bits())),
            (_, Ok(key)) => on_curve(key.group().curve_name().unwrap()),
            _ => unreachable!(),
        };
        assert_eq!(open(&der, &other), None);
        let twin = leaf("device").key(&other).self_signed();
        assert_eq!(open(&sealed(&twin), &client.key), None);
        assert_eq!(open(&der, &client.key).as_deref(), Some(MESSAGE));
    }
}

/// In `EnvelopedData`, a byte of the initialization vector changes the same byte of what is read,
/// and nobody notices.
#[test]
fn c12_what_was_altered_does_not_open() {
    let client = leaf("device").key(&new_key(Kind::Rsa(2048))).self_signed();
    let mut recipients = Stack::new().unwrap();
    recipients
        .push(X509::from_pem(&client.pem()).unwrap())
        .unwrap();
    let control = Cipher::aes_256_cbc();
    let control = CmsContentInfo::encrypt(&recipients, MESSAGE, control, CMSOptions::BINARY);
    let mut control = control.unwrap().to_der().unwrap();
    let vector = memchr::memmem::find(&control, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 0x2a]);
    // After the OID of AES-256-CBC: tag, length, and the first byte.
    control[vector.unwrap() + 11] ^= b'k' ^ b'X';
    let read = open(&control, &client.key).unwrap();
    assert!(read.starts_with(b"Xf_live_"), "{read:?}");

    for client in clients() {
        let der = sealed(&client);
        let mut opened = Vec::new();
        for (at, bit) in (0..der.len()).flat_map(|at| [(at, 1), (at, 0x80)]) {
            let mut altered = der.clone();
            altered[at] ^= bit;
            if let Some(read) = open(&altered, &client.key) {
                assert_eq!(read, MESSAGE, "byte {at} changes what is read");
                opened.push(at);
            }
        }
        // What may change unnoticed says for whom the message is, and in which version it is
        // written: nothing of that changes what is read.
        assert!(!opened.is_empty());
        for part in secret_parts(&der, &client) {
            assert!(
                !opened.iter().any(|at| part.contains(at)),
                "{part:?} {opened:?}"
            );
        }
    }
}

/// Where the encrypted content key, the nonce, the content and its tag stand.
fn secret_parts(der: &[u8], client: &Issued) -> [Range<usize>; 4] {
    let before = |end: usize, length: usize| end - length..end;
    let tag = before(der.len(), 16);
    let content = before(tag.start - 2, MESSAGE.len());
    let nonce = before(content.start - 5, NONCE_BYTES);
    let data = memchr::memmem::rfind(der, DATA).unwrap();
    let rsa = client.key.rsa().ok().map(|key| key.size() as usize);
    // A wrapped key has eight bytes more.
    let key = before(data - 4, rsa.unwrap_or(32 + 8));
    [key, nonce, content, tag]
}

#[test]
fn c12_pkcs1_v1_5_is_not_used() {
    let pkcs1 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    for client in clients() {
        let der = sealed(&client);
        assert!(!contains(&der, &pkcs1), "rsaEncryption");
        let is_rsa = client.key.rsa().is_ok();
        assert_eq!(
            contains(&der, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7]),
            is_rsa
        );
    }
}

#[test]
fn no_two_messages_share_a_secret() {
    for client in clients() {
        let [one, other] = [sealed(&client), sealed(&client)];
        let parts = secret_parts(&one, &client).into_iter();
        for (part, same) in parts.zip(secret_parts(&other, &client)) {
            assert_ne!(one[part.clone()], other[same], "{part:?}");
        }
    }
}

#[test]
fn a_key_that_cannot_decrypt_or_is_weak_is_refused_by_its_kind() {
    let root = pki::root("root").self_signed();
    let said = |key: PKey<Private>| {
        let client = leaf("device").key(&key).signed_by(&root);
        Recipient::read(&client.pem()).unwrap_err().to_string()
    };
    let ed25519 = said(PKey::generate_ed25519().unwrap());
    assert!(
        ed25519.contains("Ed25519, which signs and cannot decrypt"),
        "{ed25519}"
    );
    let ed448 = said(PKey::generate_ed448().unwrap());
    assert!(ed448.contains("Ed448"), "{ed448}");
    let short = said(new_key(Kind::Rsa(1024)));
    assert!(short.contains("1024 bits"), "{short}");
    let koblitz = said(on_curve(Nid::SECP256K1));
    assert!(koblitz.contains("curve"), "{koblitz}");
    let mut pss = PkeyCtx::new_id(Id::RSA_PSS).unwrap();
    pss.keygen_init().unwrap();
    pss.set_rsa_keygen_bits(2048).unwrap();
    let pss = said(pss.keygen().unwrap());
    assert!(pss.contains("RSA-PSS"), "{pss}");
    assert!(matches!(
        Recipient::read(&root.pem()),
        Err(CannotSeal::NotHanded(NotHanded::Authority))
    ));
}
