//! What is signed by Ed25519 (ATTACKS S), and what can be done to such a signature.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use curve25519_dalek::Scalar;
use ed25519_dalek::{Signature, Verifier as _};
use sha2::{Digest as _, Sha512};

use super::case::{
    Asked, Case, Change, DISGUISED, FORM, HEADER, INPUT, KEY, MISMATCH, NEXT, ORDERS, SIGNATURE,
    TIME, UNKNOWN,
};
use crate::secret::Secret;
use crate::sign::tests::with_larger_s;
use crate::sign::{Confused, SigningKey, confused};

/// The requests are for a client with a scope.
const READ: Asked = Asked {
    scopes: &["orders:read"],
    ..ORDERS
};

/// What the gateway signs with, and what it signs with next.
pub(super) fn keys() -> [SigningKey; 2] {
    [private(KEY, 0), private(NEXT, 32)]
}

/// The 32 bytes begin with `first` and count on.
fn private(id: &str, first: u8) -> SigningKey {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend(first..first + 32);
    let text = BASE64_STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    SigningKey::ed25519(id, &Secret::new(pem.into_bytes())).unwrap()
}

#[rustfmt::skip]
const EVIL: &[Change] = &[
    ("another method", MISMATCH, |it| it.method = "PUT".to_owned()),
    ("another host", MISMATCH, |it| it.authority = Some("other.example.com".to_owned())),
    ("another path", MISMATCH, |it| it.target = "/v1/order?limit=10".to_owned()),
    ("another query", MISMATCH, |it| it.target = "/v1/orders?limit=11".to_owned()),
    ("another client", MISMATCH, |it| it.set("X-Client-Id", "somebody-else")),
    ("another key id", MISMATCH, |it| it.edit("X-Key-Id", "0197", "0198")),
    ("another scope", MISMATCH, |it| it.edit("X-Key-Scopes", "read", "write")),
    ("another time of signing", MISMATCH, |it| it.edit(INPUT, ";created=1795418999", ";created=1795418998")),
    ("another nonce", MISMATCH, |it| it.edit(INPUT, "nonce=\"0197", "nonce=\"0198")),
    ("the key id of the other key", MISMATCH, |it| it.edit(INPUT, "2026-11", "2026-12")),
    ("an unknown key id", UNKNOWN, |it| it.edit(INPUT, "2026-11", "2026-10")),
    ("an empty key id", UNKNOWN, |it| it.edit(INPUT, KEY, "")),
    ("alg of a secret", FORM, |it| it.edit(INPUT, "ed25519", "hmac-sha256")),
    ("alg none", FORM, |it| it.edit(INPUT, "ed25519", "none")),
    ("alg as JOSE calls it", FORM, |it| it.edit(INPUT, "ed25519", "EdDSA")),
    ("alg in upper case", FORM, |it| it.edit(INPUT, "ed25519", "Ed25519")),
    ("no alg", FORM, |it| it.edit(INPUT, ";alg=\"ed25519\"", "")),
    ("alg twice", FORM, |it| it.edit(INPUT, ";keyid", ";alg=\"hmac-sha256\";keyid")),
    ("S and the order of the group", MISMATCH, |it| it.put_bytes(&with_larger_s(&it.bytes()))),
    ("the first bit of R", MISMATCH, |it| flip(it, 0)),
    ("the last bit of R", MISMATCH, |it| flip(it, 31)),
    ("the first bit of S", MISMATCH, |it| flip(it, 32)),
    ("the highest bits of S", MISMATCH, |it| flip(it, 63)),
    ("the neutral element and zero", MISMATCH, |it| it.put_bytes(&[&[1][..], &[0; 63]].concat())),
    ("strict: R the neutral element, and S that fits it", MISMATCH, neutral),
    ("nothing but zeros", MISMATCH, |it| it.put_bytes(&[0; 64])),
    ("R and S in the other order", MISMATCH, |it| it.change_bytes(|bytes| bytes.rotate_left(32))),
    ("a byte less", MISMATCH, |it| it.change_bytes(|bytes| bytes.truncate(63))),
    ("a byte more", MISMATCH, |it| it.change_bytes(|bytes| bytes.push(0))),
    ("R alone", MISMATCH, |it| it.change_bytes(|bytes| bytes.truncate(32))),
    ("no byte", MISMATCH, |it| it.put("")),
    ("no padding", FORM, |it| { let text = BASE64_STANDARD.encode(it.bytes()); it.put(text.trim_end_matches('=')); }),
    ("the alphabet of URLs", FORM, |it| { let text = BASE64_URL_SAFE.encode(it.bytes()); assert!(text.contains(['-', '_'])); it.put(&text); }),
    ("in hex", MISMATCH, |it| it.put(&hex::encode(it.bytes()))),
    ("two signatures", HEADER, |it| it.add(SIGNATURE, &it.value(SIGNATURE))),
    ("a second label", FORM, |it| { let text = it.value(INPUT); it.set(INPUT, &format!("{text}, {}", text.replacen("gw=", "gw2=", 1))); }),
    ("another label", FORM, |it| it.both(|one| one.replacen("gw=", "gw2=", 1))),
    ("no signature", HEADER, |it| it.drop(SIGNATURE)),
    ("X_Client_Id beside", DISGUISED, |it| it.add("X_Client_Id", "somebody-else")),
];

/// The private key chooses zero for the nonce: R is the neutral element, and S = k·a. The usual check believes
/// that, as is seen here; the strict one wants no R of small order.
fn neutral(case: &mut Case) {
    let seed: Vec<u8> = (0..32).collect();
    let key = ed25519_dalek::SigningKey::from_bytes(&seed.try_into().unwrap());
    let (base, _) = case.base();
    let mut r = [0; 32];
    r[0] = 1;
    let k = Sha512::new()
        .chain_update(r)
        .chain_update(key.verifying_key())
        .chain_update(&base)
        .finalize();
    let s = Scalar::from_bytes_mod_order_wide(&k.into()) * key.to_scalar();
    let signature = Signature::from_components(r, s.to_bytes());
    key.verifying_key()
        .verify(base.as_bytes(), &signature)
        .unwrap();
    case.put_bytes(&signature.to_bytes());
}

fn flip(case: &mut Case, at: usize) {
    case.change_bytes(|bytes| bytes[at] ^= if at == 63 { 0xe0 } else { 1 });
}

pub(super) fn all() -> Vec<Case> {
    let [key, next] = keys();
    let mut all = Vec::new();
    for (name, key, signed_at) in [
        ("as the gateway signs", &key, 0),
        ("by the other of two live keys", &next, 0),
        ("at the latest time", &key, -65),
        ("at the earliest time", &key, 5),
    ] {
        let asked = Asked { signed_at, ..READ };
        all.push(asked.signed_with(key.clone(), name, all.len()));
    }
    for (name, signed_at) in [("too late", -66), ("too early", 6)] {
        let asked = Asked { signed_at, ..READ };
        let case = asked.signed_with(key.clone(), name, all.len());
        all.push(case.refused(TIME));
    }
    for how in Confused::ALL {
        let secret = confused(&key.verifying(), how).unwrap();
        let name = format!("by {}", how.as_str());
        let case = READ.signed_with(secret, &name, all.len());
        all.push(case.clone().refused(FORM));
        let mut case = case.refused(MISMATCH);
        case.name += ", under the name of Ed25519";
        case.edit(INPUT, "hmac-sha256", "ed25519");
        all.push(case);
    }
    for (name, reason, change) in EVIL {
        let mut case = READ.signed_with(key.clone(), name, all.len());
        change(&mut case);
        all.push(case.refused(reason));
    }
    all
}

/// docs/SIGNATURE.md shows the first of them.
#[test]
fn the_page_shows_the_vector_for_ed25519() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SIGNATURE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let first = all().swap_remove(0);
    for name in [INPUT, SIGNATURE] {
        let value = first.value(name);
        assert!(page.contains(&value), "docs/SIGNATURE.md has no {value}");
    }
    let [key, _] = keys();
    assert!(page.contains(&key.verifying().to_pem().unwrap()));
}
