//! What a backend may believe: every change to a really recorded request is refused, by the
//! program's own verifier and by two that are not ours (ATTACKS S).

use http::{HeaderMap, HeaderName, HeaderValue};
use keyferry::clock::{self, Timestamp};
use keyferry::secret::Secret;
use keyferry::sign::header::Names;
use keyferry::sign::{Invalid, Message, SigningKey, Verifier};

use crate::support::backend::{Backend, Recorded};
use crate::support::gateway::{Gateway, secret};
use crate::support::signature::{verify, verify_in_node, verify_in_python};
use crate::support::world::World;

/// A request as the gateway sent it, with a digest of its body.
fn recorded() -> Recorded {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let request = gateway.curl("/v1/orders?limit=10&a=b").body("hello");
    let request = request
        .header("Content-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:")
        .certificate(&world.client("alice"));
    request.send().expect_status(200);
    backend.last()
}

fn signing_key(id: &str, backend: &str) -> SigningKey {
    SigningKey::new(id, &Secret::new(secret(backend))).unwrap()
}

/// The program's own verdict on a recorded request, at `now`.
pub(super) fn verdict_of(
    verifier: &Verifier,
    request: &Recorded,
    now: Timestamp,
) -> Result<(), Invalid> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*request.target, None),
    };
    let message = Message {
        method: &request.method,
        authority: request.all("host").first().copied().unwrap_or_default(),
        path,
        query,
        content_digest: None,
    };
    verifier.verify(&message, &headers, now).map(|_| ())
}

fn ours() -> Verifier {
    Verifier::new(vec![signing_key("echo", "echo")], Names::default())
}

/// A verifier, ours or another.
type Check<'a> = dyn Fn(&Recorded) -> Result<(), String> + 'a;
/// What is changed, and how.
pub(super) type Change = (&'static str, fn(&mut Recorded));

fn set(request: &mut Recorded, name: &str, value: &str) {
    let field = request.headers.iter_mut();
    let mut field = field.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    value.clone_into(&mut field.next().expect(name).1);
}

/// Replaces a part of a header's value, which must be there.
fn edit(request: &mut Recorded, name: &str, from: &str, to: &str) {
    let value = request.header(name).to_owned();
    assert!(value.contains(from), "no {from} in {value}");
    set(request, name, &value.replacen(from, to, 1));
}

fn add(request: &mut Recorded, name: &str, value: &str) {
    request.headers.push((name.to_owned(), value.to_owned()));
}

fn drop_field(request: &mut Recorded, name: &str) {
    request
        .headers
        .retain(|(found, _)| !found.eq_ignore_ascii_case(name));
}

/// Every covered part, each changed alone.
pub(super) const CHANGES: [Change; 16] = [
    ("method", |r| "PUT".clone_into(&mut r.method)),
    ("authority", |r| set(r, "host", "other.example.com")),
    ("path", |r| {
        "/v1/order?limit=10&a=b".clone_into(&mut r.target);
    }),
    ("path's case", |r| {
        "/V1/orders?limit=10&a=b".clone_into(&mut r.target);
    }),
    ("query", |r| {
        "/v1/orders?limit=11&a=b".clone_into(&mut r.target);
    }),
    ("query's order", |r| {
        "/v1/orders?a=b&limit=10".clone_into(&mut r.target);
    }),
    ("no query", |r| "/v1/orders".clone_into(&mut r.target)),
    ("key id", |r| {
        set(r, "x-key-id", "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f");
    }),
    ("client id", |r| set(r, "x-client-id", "somebody-else")),
    ("content digest", |r| {
        set(
            r,
            "content-digest",
            "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        );
    }),
    ("created", |r| {
        edit(r, "signature-input", ";created=1", ";created=2");
    }),
    ("expires", |r| {
        edit(r, "signature-input", ";expires=1", ";expires=2");
    }),
    ("nonce", |r| {
        edit(r, "signature-input", ";nonce=\"", ";nonce=\"0");
    }),
    ("key name", |r| {
        edit(r, "signature-input", "keyid=\"echo\"", "keyid=\"other\"");
    }),
    ("tag", |r| {
        edit(r, "signature-input", "tag=\"keyferry\"", "tag=\"another\"");
    }),
    ("signature", |r| {
        let first = r.header("signature").chars().nth(4).unwrap();
        let other = if first == 'A' { "B" } else { "A" };
        edit(
            r,
            "signature",
            &format!("gw=:{first}"),
            &format!("gw=:{other}"),
        );
    }),
];

/// S2: whatever covered part of a recorded request is changed, no verifier believes it.
#[test]
fn s2_no_covered_part_can_be_changed() {
    let good = recorded();
    let own = |request: &Recorded| match verdict_of(&ours(), request, clock::now()) {
        Ok(()) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    let key = secret("echo");
    let verifiers: [&Check<'_>; 4] = [
        &own,
        &|request| verify(request, &key),
        &|request| verify_in_python(request, &key),
        &|request| verify_in_node(request, &key),
    ];
    for (number, verifier) in verifiers.iter().enumerate() {
        // What is not covered may change, and the request itself is good.
        let mut harmless = good.clone();
        add(&mut harmless, "App", "anything");
        assert_eq!(verifier(&good), Ok(()), "verifier {number}");
        assert_eq!(verifier(&harmless), Ok(()), "verifier {number}");
        for (what, change) in CHANGES {
            let mut request = good.clone();
            change(&mut request);
            assert!(verifier(&request).is_err(), "{what}, verifier {number}");
        }
        for name in [
            "x-key-id",
            "x-client-id",
            "content-digest",
            "signature",
            "signature-input",
        ] {
            let mut request = good.clone();
            drop_field(&mut request, name);
            assert!(
                verifier(&request).is_err(),
                "without {name}, verifier {number}"
            );
        }
        for name in ["x-key-id", "x-client-id", "content-digest"] {
            let mut request = good.clone();
            add(&mut request, name, "another");
            assert!(verifier(&request).is_err(), "two {name}, verifier {number}");
        }
    }
}

/// S3, S4: after its window a request is refused, and before it; the skew has an end.
#[test]
fn s3_a_signature_is_good_for_its_window_only() {
    let (request, now) = (recorded(), clock::now().as_unix());
    let at = |seconds: i64| verdict_of(&ours(), &request, Timestamp::from_unix(now + seconds));
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(30), Ok(()));
    for late in [120, 3600, -120, -3600] {
        assert_eq!(at(late), Err(Invalid::Time), "{late} seconds");
    }
}

/// S5: what was signed for one backend is worth nothing at another.
#[test]
fn s5_a_request_to_one_backend_is_refused_by_another() {
    let (request, now) = (recorded(), clock::now());
    let other = |id| Verifier::new(vec![signing_key(id, "other")], Names::default());
    assert_eq!(verdict_of(&ours(), &request, now), Ok(()));
    assert_eq!(
        verdict_of(&other("other"), &request, now),
        Err(Invalid::UnknownKey)
    );
    assert_eq!(
        verdict_of(&other("echo"), &request, now),
        Err(Invalid::Mismatch)
    );
}

/// Other forms of the same signature, and none at all.
pub(super) const FORMS: [Change; 20] = [
    ("no signature at all", |r| {
        for name in ["x-key-id", "x-client-id", "signature", "signature-input"] {
            drop_field(r, name);
        }
    }),
    ("no signature", |r| drop_field(r, "signature")),
    ("no input", |r| drop_field(r, "signature-input")),
    ("alg none", |r| {
        edit(r, "signature-input", "hmac-sha256", "none");
    }),
    ("alg of another kind", |r| {
        edit(r, "signature-input", "hmac-sha256", "rsa-v1_5-sha256");
    }),
    ("no alg", |r| {
        edit(r, "signature-input", ";alg=\"hmac-sha256\"", "");
    }),
    ("no expires", |r| {
        edit(r, "signature-input", ";expires=", ";expired=");
    }),
    ("alg twice", |r| {
        edit(
            r,
            "signature-input",
            ";keyid=",
            ";alg=\"hmac-sha256\";keyid=",
        );
    }),
    ("another label", |r| {
        edit(r, "signature-input", "gw=", "gw2=");
        edit(r, "signature", "gw=", "gw2=");
    }),
    ("a second label", |r| {
        let (input, signature) = (
            r.header("signature-input").to_owned(),
            r.header("signature").to_owned(),
        );
        set(
            r,
            "signature-input",
            &format!("{input}, {}", input.replacen("gw=", "gw2=", 1)),
        );
        set(
            r,
            "signature",
            &format!("{signature}, {}", signature.replacen("gw=", "gw2=", 1)),
        );
    }),
    ("our label twice in one field", |r| {
        let input = r.header("signature-input").to_owned();
        set(r, "signature-input", &format!("{input}, {input}"));
    }),
    ("two inputs", |r| {
        let input = r.header("signature-input").to_owned();
        add(r, "signature-input", &input);
    }),
    ("two signatures", |r| {
        let signature = r.header("signature").to_owned();
        add(r, "signature", &signature);
    }),
    ("components in another order", |r| {
        edit(
            r,
            "signature-input",
            "\"@method\" \"@authority\"",
            "\"@authority\" \"@method\"",
        );
    }),
    ("a component twice", |r| {
        edit(
            r,
            "signature-input",
            "(\"@method\"",
            "(\"@method\" \"@method\"",
        );
    }),
    ("a component less", |r| {
        edit(r, "signature-input", " \"x-client-id\"", "");
    }),
    ("a component with a parameter", |r| {
        edit(r, "signature-input", "\"x-key-id\"", "\"x-key-id\";sf");
    }),
    ("white space of another kind", |r| {
        edit(r, "signature-input", "(\"@method\"", "( \"@method\"");
    }),
    ("an empty key id", |r| set(r, "x-key-id", "")),
    ("a list of clients", |r| {
        let client = r.header("x-client-id").to_owned();
        set(r, "x-client-id", &format!("{client}, other"));
    }),
];

/// S6, S7, S8: one signature, in the one form that the gateway gives it, or none is believed.
#[test]
fn s6_only_the_one_form_of_a_signature_is_believed() {
    let (good, now) = (recorded(), clock::now());
    assert_eq!(verdict_of(&ours(), &good, now), Ok(()));
    for (what, change) in FORMS {
        let mut request = good.clone();
        change(&mut request);
        assert!(verdict_of(&ours(), &request, now).is_err(), "{what}");
    }
}

/// S9: during a rotation the backend believes both keys, afterwards only the new one.
#[test]
fn s9_two_keys_are_believed_in_the_overlap_and_one_after_it() {
    let (request, now) = (recorded(), clock::now());
    let keys = || vec![signing_key("echo", "echo"), signing_key("next", "next")];
    let both = Verifier::new(keys(), Names::default());
    let after = Verifier::new(keys().split_off(1), Names::default());
    assert_eq!(verdict_of(&both, &request, now), Ok(()));
    assert_eq!(verdict_of(&after, &request, now), Err(Invalid::UnknownKey));
}
