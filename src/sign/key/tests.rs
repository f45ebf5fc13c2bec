//! Keys of two algorithms, and who takes the one for the other.

use http::HeaderMap;
use http::header::HeaderValue;

use super::super::tests::with_larger_s;
use super::super::{Confused, Invalid, Message, Names, Verifier, are_confused, confused, tried};
use super::*;
use crate::clock::Timestamp;
use crate::secret::Secret;

const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);
const ORDERS: Message<'static> = Message {
    method: "GET",
    authority: "api.example.com",
    path: "/v1/orders",
    query: Some("limit=10"),
    content_digest: None,
};
fn private(byte: u8) -> SigningKey {
    SigningKey::of_seed("orders", &[byte; 32]).unwrap()
}

fn signed(with: &SigningKey) -> HeaderMap {
    let made = tried(with, &Names::default(), &ORDERS, NOW).unwrap();
    made.into_headers().collect()
}

fn changed(headers: &HeaderMap, name: &'static str, change: impl Fn(&str) -> String) -> HeaderMap {
    let mut headers = headers.clone();
    let value = change(headers[name].to_str().unwrap());
    headers.insert(name, HeaderValue::from_str(&value).unwrap());
    headers
}

fn verdict(key: impl Into<VerifyingKey>, headers: &HeaderMap) -> Result<(), Invalid> {
    let verifier = Verifier::new([key], Names::default());
    verifier.verify(&ORDERS, headers, NOW).map(drop)
}

#[test]
fn what_is_signed_by_ed25519_is_believed_by_its_public_key_alone() {
    let headers = signed(&private(1));
    assert!(
        headers["signature-input"]
            .to_str()
            .unwrap()
            .contains(";alg=\"ed25519\";")
    );
    let public = private(1).verifying();
    let from_file = VerifyingKey::ed25519("orders", public.to_pem().unwrap().as_bytes()).unwrap();
    assert_eq!(verdict(from_file, &headers), Ok(()));
    assert_eq!(verdict(private(2), &headers), Err(Invalid::Mismatch));
}

#[test]
fn s2_every_change_of_one_character_of_a_header_is_noticed_by_ed25519() {
    let headers = signed(&private(1));
    assert_eq!(verdict(private(1), &headers), Ok(()));
    for name in ["x-key-id", "x-client-id", "signature", "signature-input"] {
        for at in 0..headers[name].len() {
            let flip = |value: &str| {
                let mut bytes = value.as_bytes().to_vec();
                bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
                String::from_utf8(bytes).unwrap()
            };
            let altered = changed(&headers, name, flip);
            assert!(verdict(private(1), &altered).is_err(), "{name} at {at}");
        }
    }
}

/// Whoever knows the public key signs by HMAC with it as the secret. A check that takes the algorithm
/// from the request and the key from its file believes him; as it is played here.
#[test]
fn s6_a_public_key_is_not_taken_for_a_secret() {
    let key = private(1);
    for how in Confused::ALL {
        let bytes = how.of(&key.verifying()).unwrap();
        let attack = signed(&confused(&key.verifying(), how).unwrap());
        let naive = SigningKey::shared("orders".to_owned(), &bytes);
        assert_eq!(verdict(naive, &attack), Ok(()), "{how:?}");
        assert_eq!(
            verdict(key.verifying(), &attack),
            Err(Invalid::Algorithm),
            "{how:?}"
        );
        let swapped = changed(&attack, "signature-input", |it| {
            it.replace("hmac-sha256", "ed25519")
        });
        assert_eq!(
            verdict(key.verifying(), &swapped),
            Err(Invalid::Mismatch),
            "{how:?}"
        );
        let without = |it: &str| it.replace(";alg=\"hmac-sha256\"", "");
        let without = changed(&attack, "signature-input", without);
        assert_eq!(
            verdict(key.verifying(), &without),
            Err(Invalid::Form),
            "{how:?}"
        );
    }
    let secret = SigningKey::shared("a".to_owned(), &[7; 32]).verifying();
    assert!(confused(&secret, Confused::Pem).is_none());
}

/// The other way round: a secret is good for no signature by Ed25519.
#[test]
fn s6_the_algorithm_is_the_keys_and_not_the_requests() {
    let shared = SigningKey::shared("orders".to_owned(), &[7; 32]);
    assert_eq!(verdict(shared.clone(), &signed(&shared)), Ok(()));
    assert_eq!(
        verdict(shared.clone(), &signed(&private(7))),
        Err(Invalid::Algorithm)
    );
    for (with, from, to) in [
        (private(1), "ed25519", "hmac-sha256"),
        (shared, "hmac-sha256", "ed25519"),
    ] {
        let renamed = changed(&signed(&with), "signature-input", |it| it.replace(from, to));
        assert_eq!(verdict(with, &renamed), Err(Invalid::Algorithm), "{to}");
    }
}

/// What an operator could put into the folder of secrets by mistake. With a public key as the secret,
/// everybody who reads it could sign.
#[test]
fn s6_what_is_published_is_refused_as_a_secret() {
    let public = private(1).verifying();
    let of = |how: Confused| how.of(&public).unwrap();
    let text = |how| String::from_utf8(of(how)).unwrap();
    let (pem, set, x) = (text(Confused::Pem), text(Confused::Set), text(Confused::X));
    let fault = |secret: &[u8]| {
        let secret = Secret::new(secret.to_vec());
        SigningKey::new("orders", &secret).map(drop)
    };
    for text in [
        pem.clone(),
        format!("\n{pem}"),
        format!("\u{feff}{pem}"),
        format!("# of orders\n{pem}"),
        text(Confused::PemBody),
        text(Confused::DerHex),
        format!(" {set}\n"),
        format!("\u{feff}{set}"),
        set.replace("\"orders\"", "7"),
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#),
        r#"{"keys":[]}"#.to_owned(),
    ] {
        let refused = fault(text.as_bytes());
        assert_eq!(refused, Err(KeyFault::NoSecret), "{text}");
    }
    assert_eq!(fault(&of(Confused::Der)), Err(KeyFault::NoSecret));
    for secret in [
        "{\"keys\" is how this secret begins",
        r#"{"key":"a"}"#,
        "[1]",
        &x,
    ] {
        assert_eq!(fault(secret.as_bytes()), Ok(()), "{secret}");
    }
}

/// A key in a form that looks like any secret is noticed where the key itself is known.
#[test]
fn s6_a_secret_that_is_a_known_public_key_is_noticed_in_every_form() {
    let public = private(1).verifying();
    for how in Confused::ALL {
        let shared = SigningKey::shared("other".to_owned(), &how.of(&public).unwrap());
        let shared = shared.verifying();
        assert!(are_confused(&shared, &public) && are_confused(&public, &shared));
        assert!(!are_confused(&shared, &private(2).verifying()), "{how:?}");
        assert!(!are_confused(&shared, &shared) && !are_confused(&public, &public));
    }
}

/// (R, S) and (R, S + ℓ) are the same to a check that does not look how large S is: the second would
/// be another text of the signature, and could come as if it were new.
#[test]
fn s3_nobody_makes_a_second_signature_of_one() {
    let (key, base) = (private(1), "what is signed");
    let good = BASE64_STANDARD.decode(key.sign(base)).unwrap();
    assert!(key.verifying().fits(base, &good));
    let other = with_larger_s(&good);
    assert_ne!(other, good);
    assert!(!key.verifying().fits(base, &other));
    for cut in [&good[..63], &good[..32], &[]] {
        assert!(!key.verifying().fits(base, cut), "{} bytes", cut.len());
    }
    assert!(!key.verifying().fits(base, &[&*good, &[0]].concat()));
}

/// With a public key of small order, one signature fits every text. The library's usual check believes
/// it; the strict one does not, and such a key is not taken in.
#[test]
fn s6_a_public_key_of_small_order_is_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&identity).unwrap();
    let forged = [&identity[..], &[0; 32]].concat();
    let signature = ed25519_dalek::Signature::from_slice(&forged).unwrap();
    let usual = |text: &[u8]| ed25519_dalek::Verifier::verify(&key, text, &signature).is_ok();
    assert!(usual(b"one text") && usual(b"any other text"));
    assert!(key.verify_strict(b"one text", &signature).is_err());
    let refused = VerifyingKey::of_bytes("orders", &identity);
    assert_eq!(refused.map(drop), Err(KeyFault::Weak));
    let pem = key.to_public_key_pem(LineEnding::LF).unwrap();
    let refused = VerifyingKey::ed25519("orders", pem.as_bytes());
    assert_eq!(refused.map(drop), Err(KeyFault::Weak));
}

#[test]
fn a_key_is_read_from_what_openssl_makes_and_from_nothing_else() {
    // RFC 9421 appendix B.1.4.
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n";
    let read = |text: &str| SigningKey::ed25519("orders", &Secret::new(text.as_bytes().to_vec()));
    let key = read(private).unwrap();
    assert_eq!(key.verifying().to_pem().as_deref(), Some(public));
    assert_eq!(format!("{key:?}"), "SigningKey(orders, [redacted])");
    for wrong in [
        "",
        public,
        private.trim_end().trim_end_matches('-'),
        &private.replace("MC4CAQ", "MC4CAg"),
    ] {
        assert_eq!(read(wrong).map(drop), Err(KeyFault::Private), "{wrong}");
    }
    let fault = VerifyingKey::ed25519("orders", private.as_bytes());
    assert_eq!(fault.map(drop), Err(KeyFault::Public));
    assert_eq!(
        VerifyingKey::ed25519("a b", public.as_bytes()).map(drop),
        Err(KeyFault::Id)
    );
}
