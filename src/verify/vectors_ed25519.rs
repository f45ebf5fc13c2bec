//! The vectors in `tests/data/signature/ed25519.json`, from which a verifier in any language can learn
//! whether it is right: they are made here, what is good by the signer itself, and the decision agrees
//! with each.
//!
//! A change makes [`the_vectors_are_the_ones_in_the_file`] fail and leaves the new ones under `target`.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that stops with a message is the point"
)]

use std::fs;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use http::header::{HOST, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};

use super::*;
use crate::secret::Secret;
use crate::sign::tests::signed_at;
use crate::sign::{Confused, SigningKey, VerifyingKey, confused};

const KEPT: &str = "tests/data/signature/ed25519.json";
const MADE: &str = "target/vectors/ed25519.json";
const NOW: i64 = 1_795_418_999;
/// What the gateway signs with, and what it signs with next.
const KEY: &str = "orders-2026-11";
const NEXT: &str = "orders-2026-12";
/// ℓ, the order of the group (RFC 8032 section 5.1), as S is written.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";

const HEADER: &str = "signature_header";
const FORM: &str = "signature_malformed";
const UNKNOWN: &str = "signature_key_unknown";
const MISMATCH: &str = "signature_mismatch";
const TIME: &str = "signature_not_current";

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Accept {
        client: String,
        key_id: String,
        scopes: String,
    },
    /// A reason of docs/VERIFY.md.
    Refuse(String),
}

#[derive(Clone, Debug, Serialize)]
struct Case {
    name: String,
    method: String,
    target: String,
    authority: String,
    headers: Vec<(String, String)>,
    expect: Expect,
}

/// The private key of which the 32 bytes begin with `first` and count on.
fn private(id: &str, first: u8) -> SigningKey {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend(first..first + 32);
    let text = BASE64_STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    SigningKey::ed25519(id, &Secret::new(pem.into_bytes())).unwrap()
}

fn keys() -> [SigningKey; 2] {
    [private(KEY, 0), private(NEXT, 32)]
}

fn message<'a>(method: &'a str, target: &'a str, authority: &'a str) -> Message<'a> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Message {
        method,
        authority,
        path,
        query,
        content_digest: None,
    }
}

/// `GET /v1/orders?limit=10` by the first key, for a client with a scope.
fn signed(name: &str, (key, at): (&SigningKey, i64), number: u128) -> Case {
    let (target, authority) = ("/v1/orders?limit=10", "api.example.com");
    let message = message("GET", target, authority);
    let nonce = uuid::Uuid::from_u128(0x0197_f3c2_a1b2_7c3d_8e4f_5a6b_7c8d_9e10 + number);
    let made = signed_at(&message, key.clone(), nonce, Timestamp::from_unix(NOW + at));
    let names = ["x-key-id", "x-client-id", "x-key-scopes", INPUT, SIGNATURE];
    let value = |name: &str| made[name].to_str().unwrap().to_owned();
    let headers = names.map(|name| (name.to_owned(), value(name)));
    Case {
        name: name.to_owned(),
        method: "GET".to_owned(),
        target: target.to_owned(),
        authority: authority.to_owned(),
        expect: Expect::Accept {
            client: value("x-client-id"),
            key_id: value("x-key-id"),
            scopes: value("x-key-scopes"),
        },
        headers: headers.into(),
    }
}

impl Case {
    fn value(&mut self, name: &str) -> &mut String {
        let mut fields = self.headers.iter_mut();
        &mut fields.find(|(found, _)| found == name).unwrap().1
    }

    fn edit(&mut self, name: &str, from: &str, to: &str) {
        let value = self.value(name);
        assert!(value.contains(from), "no {from} in {value}");
        *value = value.replacen(from, to, 1);
    }

    /// What stands between the colons.
    fn bytes(&mut self) -> Vec<u8> {
        let value = self.value(SIGNATURE).clone();
        let text = value.trim_start_matches("gw=:").trim_end_matches(':');
        BASE64_STANDARD.decode(text).unwrap()
    }

    fn put(&mut self, text: &str) {
        *self.value(SIGNATURE) = format!("gw=:{text}:");
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put(&BASE64_STANDARD.encode(bytes));
    }
}

type Change = (&'static str, &'static str, fn(&mut Case));

#[rustfmt::skip]
const EVIL: &[Change] = &[
    ("another method", MISMATCH, |it| it.method = "PUT".to_owned()),
    ("another host", MISMATCH, |it| it.authority = "other.example.com".to_owned()),
    ("another path", MISMATCH, |it| it.target = "/v1/order?limit=10".to_owned()),
    ("another query", MISMATCH, |it| it.target = "/v1/orders?limit=11".to_owned()),
    ("another client", MISMATCH, |it| it.edit("x-client-id", "acme", "somebody-else")),
    ("another key id", MISMATCH, |it| it.edit("x-key-id", "0197", "0198")),
    ("another scope", MISMATCH, |it| it.edit("x-key-scopes", "read", "write")),
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
    ("S and the order of the group", MISMATCH, larger),
    ("the first bit of R", MISMATCH, |it| flip(it, 0)),
    ("the last bit of R", MISMATCH, |it| flip(it, 31)),
    ("the first bit of S", MISMATCH, |it| flip(it, 32)),
    ("the highest bits of S", MISMATCH, |it| flip(it, 63)),
    ("the neutral element and zero", MISMATCH, |it| it.put_bytes(&[&[1][..], &[0; 63]].concat())),
    ("nothing but zeros", MISMATCH, |it| it.put_bytes(&[0; 64])),
    ("R and S in the other order", MISMATCH, |it| { let mut bytes = it.bytes(); bytes.rotate_left(32); it.put_bytes(&bytes); }),
    ("a byte less", MISMATCH, |it| { let bytes = it.bytes(); it.put_bytes(&bytes[..63]); }),
    ("a byte more", MISMATCH, |it| { let bytes = it.bytes(); it.put_bytes(&[&*bytes, &[0]].concat()); }),
    ("R alone", MISMATCH, |it| { let bytes = it.bytes(); it.put_bytes(&bytes[..32]); }),
    ("no byte", MISMATCH, |it| it.put("")),
    ("no padding", FORM, |it| { let text = BASE64_STANDARD.encode(it.bytes()); it.put(text.trim_end_matches('=')); }),
    ("the alphabet of URLs", FORM, |it| { let text = BASE64_URL_SAFE.encode(it.bytes()); assert!(text.contains(['-', '_'])); it.put(&text); }),
    ("in hex", MISMATCH, |it| { let text = hex::encode(it.bytes()); it.put(&text); }),
    ("two signatures", HEADER, |it| { let twice = it.value(SIGNATURE).clone(); it.headers.push((SIGNATURE.to_owned(), twice)); }),
    ("a second label", FORM, |it| { let text = it.value(INPUT).clone(); *it.value(INPUT) = format!("{text}, {}", text.replacen("gw=", "gw2=", 1)); }),
    ("another label", FORM, |it| { it.edit(INPUT, "gw=", "gw2="); it.edit(SIGNATURE, "gw=", "gw2="); }),
    ("no signature", HEADER, |it| it.headers.retain(|(name, _)| name != SIGNATURE)),
    ("X_Client_Id beside", "header_disguised", |it| it.headers.push(("x_client_id".to_owned(), "somebody-else".to_owned()))),
];

fn larger(case: &mut Case) {
    let (mut bytes, order) = (case.bytes(), hex::decode(ORDER).unwrap());
    let mut carry = 0;
    for (ours, order) in bytes[32..].iter_mut().zip(order) {
        carry += u16::from(*ours) + u16::from(order);
        *ours = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    case.put_bytes(&bytes);
}

fn flip(case: &mut Case, at: usize) {
    let mut bytes = case.bytes();
    bytes[at] ^= if at == 63 { 0xe0 } else { 1 };
    case.put_bytes(&bytes);
}

fn all() -> Vec<Case> {
    let [key, next] = &keys();
    let mut all = Vec::new();
    for (name, with) in [
        ("as the gateway signs", (key, 0)),
        ("by the other of two live keys", (next, 0)),
        ("at the latest time", (key, -65)),
        ("at the earliest time", (key, 5)),
    ] {
        all.push(signed(name, with, all.len() as u128));
    }
    for (name, at) in [("too late", -66), ("too early", 6)] {
        let mut case = signed(name, (key, at), all.len() as u128);
        case.expect = Expect::Refuse(TIME.to_owned());
        all.push(case);
    }
    for (name, how) in [
        (
            "by HMAC with the file of the public key as secret",
            Confused::Pem,
        ),
        (
            "by HMAC with the bytes of the public key as secret",
            Confused::Bytes,
        ),
    ] {
        let secret = confused(&key.verifying(), how).unwrap();
        let mut case = signed(name, (&secret, 0), all.len() as u128);
        case.expect = Expect::Refuse(FORM.to_owned());
        all.push(case.clone());
        case.name += ", under the name of Ed25519";
        case.edit(INPUT, "hmac-sha256", "ed25519");
        case.expect = Expect::Refuse(MISMATCH.to_owned());
        all.push(case);
    }
    for (name, reason, change) in EVIL {
        let mut case = signed(name, (key, 0), all.len() as u128);
        change(&mut case);
        case.expect = Expect::Refuse((*reason).to_owned());
        all.push(case);
    }
    all
}

/// One case a line, so that a change of one can be read.
fn text(cases: &[Case]) -> String {
    let pem = |key: SigningKey| {
        (
            key.id().to_owned(),
            key.verifying().to_pem().unwrap().into(),
        )
    };
    let keys: Map<String, Value> = keys().into_iter().map(pem).collect();
    let lines: Vec<_> = cases
        .iter()
        .map(|case| serde_json::to_string(case).unwrap())
        .collect();
    format!(
        "{{\n\"alg\": \"ed25519\",\n\"now\": {NOW},\n\"public_keys\": {},\n\"cases\": [\n{}\n]\n}}\n",
        Value::from(keys),
        lines.join(",\n")
    )
}

#[test]
fn the_vectors_are_the_ones_in_the_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = text(&all());
    let kept = fs::read_to_string(root.join(KEPT)).unwrap_or_default();
    if made != kept {
        fs::create_dir_all(root.join("target/vectors")).unwrap();
        fs::write(root.join(MADE), &made).unwrap();
    }
    assert!(
        made == kept,
        "{KEPT} is not what is made now; look at {MADE}, and take it over"
    );
}

/// docs/SIGNATURE.md shows the first of them.
#[test]
fn the_page_shows_the_vector_for_ed25519() {
    let page = include_str!("../../docs/SIGNATURE.md");
    let mut first = all().swap_remove(0);
    for name in [INPUT, SIGNATURE] {
        let value = first.value(name).clone();
        assert!(page.contains(&value), "docs/SIGNATURE.md has no {value}");
    }
    assert!(page.contains(&private(KEY, 0).verifying().to_pem().unwrap()));
}

fn guard() -> Guard {
    Guard::believing(keys().map(VerifyingKey::from), 1000).unwrap()
}

fn verdict(guard: &Guard, case: &Case) -> Result<(String, String), &'static str> {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = case.method.parse().unwrap();
    let host = HeaderValue::from_str(&case.authority).unwrap();
    parts.headers.insert(HOST, host);
    for (name, value) in &case.headers {
        let name: HeaderName = name.parse().unwrap();
        parts.headers.append(name, value.parse().unwrap());
    }
    let now = Timestamp::from_unix(NOW);
    match guard.admit(&parts, case.target.as_bytes(), now) {
        Ok(Admitted::Verified(it)) => Ok((it.client.to_string(), it.key_id.to_string())),
        Ok(Admitted::Open) => Err("open"),
        Err(refusal) => Err(refusal.reason()),
    }
}

/// ATTACKS S: the verdict of each, and of what is good a second time.
#[test]
fn s_every_vector_for_ed25519_is_judged_as_it_says() {
    let guard = guard();
    for case in all() {
        let found = verdict(&guard, &case);
        match &case.expect {
            Expect::Accept { client, key_id, .. } => {
                assert_eq!(found, Ok((client.clone(), key_id.clone())), "{}", case.name);
                let again = verdict(&guard, &case);
                assert_eq!(again, Err("signature_replayed"), "{} again", case.name);
            }
            Expect::Refuse(reason) => assert_eq!(found, Err(&**reason), "{}", case.name),
        }
    }
}
