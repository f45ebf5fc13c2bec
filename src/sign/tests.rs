//! What the signer makes, and whatever else somebody sends.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::signer::Covered;
use super::*;
use crate::clock::Timestamp;
use crate::secret::{Secret, SecretBytes};

const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);
const ORDERS: Message<'static> = Message {
    method: "GET",
    authority: "api.example.com",
    path: "/v1/orders",
    query: Some("limit=10"),
    content_digest: None,
};

fn secret(byte: u8) -> SecretBytes {
    Secret::new(vec![byte; 32])
}

fn key(id: &str, byte: u8) -> SigningKey {
    SigningKey::new(id, &secret(byte)).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(vec![key("new", 1), key("old", 2)], Names::default())
}

/// The headers of a request that was signed in the name of `acme`, with a scope.
fn signed(message: &Message<'_>, with: SigningKey) -> HeaderMap {
    signed_at(message, with, uuid::Uuid::now_v7(), NOW)
}

/// The same with this nonce, at this time; for other tests, too.
pub(crate) fn signed_at(
    message: &Message<'_>,
    with: SigningKey,
    nonce: uuid::Uuid,
    now: Timestamp,
) -> HeaderMap {
    let acme = (
        "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f",
        "acme",
        &["orders:read"][..],
    );
    signed_as(message, with, acme, nonce, now)
}

/// In the name of this key id, client, and scopes.
pub(crate) fn signed_as(
    message: &Message<'_>,
    with: SigningKey,
    (key_id, client, scopes): (&str, &str, &[&str]),
    nonce: uuid::Uuid,
    now: Timestamp,
) -> HeaderMap {
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    let caller = Covered::of(key_id.parse().unwrap(), client, &scopes);
    let signer = Signer::new(with, Names::default());
    let made = signer.sign_as(message, &caller, nonce, now).unwrap();
    made.into_headers().collect()
}

/// (R, S + ℓ) of a signature (R, S) by Ed25519: ℓ, the order of the group, is one more than −1 there.
pub(crate) fn with_larger_s(signature: &[u8]) -> Vec<u8> {
    let less_one = (-curve25519_dalek::Scalar::ONE).to_bytes();
    let (mut other, mut carry) = (signature.to_vec(), 1);
    for (ours, order) in other.iter_mut().skip(32).zip(less_one) {
        carry = u16::from(*ours)
            .wrapping_add(u16::from(order))
            .wrapping_add(carry);
        *ours = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    other
}

fn verify(message: &Message<'_>, headers: &HeaderMap) -> Result<(), Invalid> {
    verifier().verify(message, headers, NOW).map(drop)
}

fn changed(headers: &HeaderMap, name: &str, change: impl Fn(&str) -> String) -> HeaderMap {
    let mut headers = headers.clone();
    let name: HeaderName = name.parse().unwrap();
    let value = change(headers[&name].to_str().unwrap());
    headers.insert(name, HeaderValue::from_str(&value).unwrap());
    headers
}

#[test]
fn what_the_signer_makes_the_verifier_believes() {
    let vouched = verifier()
        .verify(&ORDERS, &signed(&ORDERS, key("new", 1)), NOW)
        .unwrap();
    assert_eq!(
        (vouched.client.as_str(), &*vouched.key_id.to_string()),
        ("acme", "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f")
    );
    assert_eq!(
        (&*vouched.signed_with, vouched.until),
        ("new", NOW.as_unix() + LIFETIME + 5)
    );
}

#[test]
fn s2_every_change_of_the_request_is_noticed() {
    let headers = signed(&ORDERS, key("new", 1));
    assert_eq!(verify(&ORDERS, &headers), Ok(()));
    for message in [
        Message {
            method: "POST",
            ..ORDERS
        },
        Message {
            authority: "api.example.org",
            ..ORDERS
        },
        Message {
            path: "/v1/order",
            ..ORDERS
        },
        Message {
            query: Some("limit=11"),
            ..ORDERS
        },
        Message {
            query: None,
            ..ORDERS
        },
    ] {
        assert_eq!(
            verify(&message, &headers),
            Err(Invalid::Mismatch),
            "{message:?}"
        );
    }
}

#[test]
fn s2_every_change_of_one_character_of_a_header_is_noticed() {
    let headers = signed(&ORDERS, key("new", 1));
    for name in [
        "x-key-id",
        "x-client-id",
        "x-key-scopes",
        "signature",
        "signature-input",
    ] {
        for at in 0..headers[name].len() {
            let flip = |value: &str| {
                let mut bytes = value.as_bytes().to_vec();
                bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
                String::from_utf8(bytes).unwrap()
            };
            assert!(
                verify(&ORDERS, &changed(&headers, name, flip)).is_err(),
                "{name} at {at}"
            );
        }
    }
}

#[test]
fn s6_another_algorithm_label_or_key_is_refused() {
    let headers = signed(&ORDERS, key("new", 1));
    for (from, to) in [
        ("hmac-sha256", "none"),
        ("hmac-sha256", "HMAC-SHA256"),
        (";alg=\"hmac-sha256\"", ""),
        ("gw=", "gw2="),
        ("tag=\"keyferry\"", "tag=\"other\""),
        (";tag=\"keyferry\"", ""),
        ("\"@path\" ", ""),
        ("\"@method\" \"@authority\"", "\"@authority\" \"@method\""),
        ("\"@method\"", "\"@method\" \"@method\""),
        (" \"x-key-scopes\"", ""),
    ] {
        let input = changed(&headers, "signature-input", |value| {
            value.replacen(from, to, 1)
        });
        assert_ne!(input, headers, "{from}");
        assert_eq!(verify(&ORDERS, &input), Err(Invalid::Form), "{from} → {to}");
    }
    let unknown = changed(&headers, "signature-input", |value| {
        value.replace("\"new\"", "\"other\"")
    });
    assert_eq!(verify(&ORDERS, &unknown), Err(Invalid::UnknownKey));
    let swapped = changed(&headers, "signature-input", |value| {
        value.replace("\"new\"", "\"old\"")
    });
    assert_eq!(verify(&ORDERS, &swapped), Err(Invalid::Mismatch));
}

#[test]
fn s6_a_second_signature_or_a_second_header_is_refused() {
    let headers = signed(&ORDERS, key("new", 1));
    for name in ["signature-input", "signature"] {
        let twice = changed(&headers, name, |value| {
            format!("{value}, {}", value.replace("gw=", "gw2="))
        });
        assert_eq!(verify(&ORDERS, &twice), Err(Invalid::Form), "{name}");
    }
    for name in [
        "signature-input",
        "signature",
        "x-key-id",
        "x-client-id",
        "x-key-scopes",
    ] {
        let mut twice = headers.clone();
        let name: HeaderName = name.parse().unwrap();
        twice.append(name.clone(), headers[&name].clone());
        assert!(
            matches!(verify(&ORDERS, &twice), Err(Invalid::Header(_))),
            "{name}"
        );
    }
}

#[test]
fn s8_without_any_of_the_headers_nobody_is_believed() {
    let headers = signed(&ORDERS, key("new", 1));
    for name in ["signature-input", "signature", "x-key-id", "x-client-id"] {
        let mut without = headers.clone();
        without.remove(name);
        assert!(
            matches!(verify(&ORDERS, &without), Err(Invalid::Header(_))),
            "{name}"
        );
    }
    assert!(verify(&ORDERS, &HeaderMap::new()).is_err());
}

#[test]
fn s3_and_s4_a_signature_is_of_now_give_or_take_the_clocks() {
    let headers = signed(&ORDERS, key("new", 1));
    let at = |offset: i64| {
        let now = Timestamp::from_unix(NOW.as_unix() + offset);
        verifier().verify(&ORDERS, &headers, now).map(drop)
    };
    assert_eq!((at(-5), at(0), at(LIFETIME + 5)), (Ok(()), Ok(()), Ok(())));
    assert_eq!(
        (at(-6), at(LIFETIME + 6)),
        (Err(Invalid::Time), Err(Invalid::Time))
    );
}

#[test]
fn s9_two_secrets_are_believed_during_a_rotation_and_no_third() {
    for (with, outcome) in [
        (key("new", 1), Ok(())),
        (key("old", 2), Ok(())),
        (key("new", 3), Err(Invalid::Mismatch)),
        (key("older", 2), Err(Invalid::UnknownKey)),
    ] {
        assert_eq!(
            verify(&ORDERS, &signed(&ORDERS, with.clone())),
            outcome,
            "{with:?}"
        );
    }
}

#[test]
fn s10_a_content_digest_is_covered_and_cannot_be_left_out() {
    let digest = Message {
        content_digest: Some("sha-256=:abc=:"),
        ..ORDERS
    };
    let mut headers = signed(&digest, key("new", 1));
    assert!(verify(&ORDERS, &headers).is_err());
    headers.insert("content-digest", HeaderValue::from_static("sha-256=:abc=:"));
    assert_eq!(verify(&ORDERS, &headers), Ok(()));
    headers.insert("content-digest", HeaderValue::from_static("sha-256=:abd=:"));
    assert_eq!(verify(&ORDERS, &headers), Err(Invalid::Mismatch));
}

#[test]
fn s7_components_and_values_are_the_ones_that_were_signed_each_once_and_in_order() {
    let headers = signed(&ORDERS, key("new", 1));
    assert_eq!(verify(&ORDERS, &headers), Ok(()));
    let input = |from: &'static str, to: &'static str| {
        let altered = changed(&headers, "signature-input", |input| {
            input.replacen(from, to, 1)
        });
        assert_ne!(
            altered["signature-input"], headers["signature-input"],
            "{from}"
        );
        altered
    };
    let value = |name, value: &'static str| changed(&headers, name, |_| value.to_owned());
    for altered in [
        input(r#""@method" "@authority""#, r#""@authority" "@method""#),
        input(r#""@method""#, r#""@method" "@method""#),
        input(r#" "x-client-id""#, ""),
        input(r#" "x-client-id""#, r#" "x-client-id" "x-request-id""#),
        input(r#""@query""#, r#""@query";req"#),
        value("x-client-id", "acme, acme"),
        value("x-client-id", " acme"),
        value("x-client-id", ""),
        value("x-key-scopes", ""),
        value("x-key-scopes", "orders:read, orders:write"),
    ] {
        assert!(verify(&ORDERS, &altered).is_err(), "{altered:?}");
    }
    let mut twice = headers.clone();
    twice.append("x-client-id", headers["x-client-id"].clone());
    assert!(verify(&ORDERS, &twice).is_err());
}
