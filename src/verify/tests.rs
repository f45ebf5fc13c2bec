//! The decision, on what the gateway signs and on what others send.

use http::header::{HOST, HeaderName, HeaderValue};

use super::*;
use crate::secret::Secret;
use crate::sign::tests::signed_at;
use crate::sign::{Invalid, SigningKey};

const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

fn key() -> SigningKey {
    SigningKey::new("orders", &Secret::new(vec![7; 32])).unwrap()
}

fn guard(remember: usize) -> Guard {
    Guard {
        open: OpenPaths::new(vec!["/healthz".to_owned()]),
        ..Guard::believing(vec![key()], remember).unwrap()
    }
}

fn request(method: &str, fields: &[(&str, &str)]) -> Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = method.parse().unwrap();
    parts
        .headers
        .insert(HOST, HeaderValue::from_static("api.example.com"));
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        parts.headers.append(name, value.parse().unwrap());
    }
    parts
}

/// `GET /v1/orders?limit=10`, signed at `now`.
fn signed(now: Timestamp) -> Parts {
    let message = Message {
        method: "GET",
        authority: "api.example.com",
        path: "/v1/orders",
        query: Some("limit=10"),
        content_digest: None,
    };
    let mut parts = request("GET", &[]);
    let made = signed_at(&message, key(), uuid::Uuid::nil(), now);
    parts.headers.extend(made);
    parts
}

fn admit(guard: &Guard, request: &Parts, target: &str, now: Timestamp) -> Result<bool, Refusal> {
    let admitted = guard.admit(request, target.as_bytes(), now)?;
    Ok(matches!(admitted, Admitted::Verified(_)))
}

const TARGET: &str = "/v1/orders?limit=10";

#[test]
fn what_the_gateway_signed_is_let_through_once() {
    let guard = guard(10);
    assert_eq!(admit(&guard, &signed(NOW), TARGET, NOW), Ok(true));
    assert_eq!(
        admit(&guard, &signed(NOW), TARGET, NOW),
        Err(Refusal::Replayed)
    );
    let later = Timestamp::from_unix(NOW.as_unix() + 1);
    assert_eq!(admit(&guard, &signed(later), TARGET, later), Ok(true));
    assert_eq!(
        admit(&guard, &signed(NOW), TARGET, later),
        Err(Refusal::Replayed)
    );
}

#[test]
fn an_absolute_target_is_the_same_request_and_another_path_is_not() {
    let absolute = format!("http://api.example.com{TARGET}");
    assert_eq!(admit(&guard(9), &signed(NOW), &absolute, NOW), Ok(true));
    let mismatch = Err(Refusal::Invalid(Invalid::Mismatch));
    assert_eq!(admit(&guard(9), &signed(NOW), "/v1/other", NOW), mismatch);
}

#[test]
fn a_signature_is_forgotten_when_it_has_ended_and_not_before() {
    let guard = guard(9);
    let at = |seconds: i64| Timestamp::from_unix(NOW.as_unix() + seconds);
    assert_eq!(admit(&guard, &signed(NOW), TARGET, NOW), Ok(true));
    assert_eq!(
        admit(&guard, &signed(NOW), TARGET, at(65)),
        Err(Refusal::Replayed)
    );
    assert_eq!(guard.metrics.remembered.get(), 1);
    let too_late = Err(Refusal::Invalid(Invalid::Time));
    assert_eq!(admit(&guard, &signed(NOW), TARGET, at(66)), too_late);
    assert_eq!(admit(&guard, &signed(at(66)), TARGET, at(66)), Ok(true));
    assert_eq!(guard.metrics.remembered.get(), 1);
    // The clock is set back: what was forgotten is not believed again.
    assert_eq!(admit(&guard, &signed(NOW), TARGET, NOW), too_late);
}

#[test]
fn what_cannot_be_remembered_is_refused_until_there_is_room() {
    let guard = guard(3);
    let at = |seconds: i64| Timestamp::from_unix(NOW.as_unix() + seconds);
    for second in 0..3 {
        assert_eq!(
            admit(&guard, &signed(at(second)), TARGET, at(second)),
            Ok(true)
        );
    }
    assert_eq!(
        admit(&guard, &signed(at(3)), TARGET, at(3)),
        Err(Refusal::Full)
    );
    assert_eq!(admit(&guard, &signed(at(66)), TARGET, at(66)), Ok(true));
}

#[test]
fn without_memory_a_signature_is_good_for_its_minute() {
    let guard = guard(0);
    for _ in 0..2 {
        assert_eq!(admit(&guard, &signed(NOW), TARGET, NOW), Ok(true));
    }
}

#[test]
fn an_open_path_needs_no_signature_and_carries_no_identity() {
    let guard = guard(9);
    let ask = |target, fields: &[(&str, &str)]| admit(&guard, &request("GET", fields), target, NOW);
    assert_eq!(ask("/healthz", &[]), Ok(false));
    assert_eq!(ask("/healthz/deep?x", &[]), Ok(false));
    assert_eq!(ask("/healthzz", &[]), Err(Refusal::Unsigned));
    assert_eq!(ask("/v1", &[]), Err(Refusal::Unsigned));
    for name in [
        "x-key-id",
        "x-client-id",
        "x-key-scopes",
        "signature",
        "signature-input",
    ] {
        let forged = ask("/healthz", &[(name, "acme")]);
        assert!(
            matches!(forged, Err(Refusal::Invalid(_))),
            "{name}: {forged:?}"
        );
    }
    // Some backends would read this as /v1.
    assert!(ask("/healthz/../v1", &[]).is_err() && ask("/healthz/%2e%2e/v1", &[]).is_err());
}

#[test]
fn h2_a_name_in_disguise_is_refused_also_beside_a_good_signature() {
    for name in [
        "x_client_id",
        "x.client.id",
        "x-client_id",
        "x_key_id",
        "x_key_scopes",
        "signature_input",
        "content_digest",
        "content_length",
        "transfer.encoding",
    ] {
        let mut request = signed(NOW);
        let header: HeaderName = name.parse().unwrap();
        request
            .headers
            .insert(header, HeaderValue::from_static("admin"));
        let disguised = Err(Refusal::Disguised(name.to_owned()));
        assert_eq!(admit(&guard(9), &request, TARGET, NOW), disguised);
        request.headers.remove(name);
        assert_eq!(admit(&guard(9), &request, TARGET, NOW), Ok(true));
    }
}

#[test]
fn tunnels_are_not_opened() {
    for method in ["CONNECT", "TRACE"] {
        let asked = admit(&guard(9), &request(method, &[]), "/healthz", NOW);
        assert_eq!(asked, Err(Refusal::Method));
    }
}

const ORIGINAL: [(&str, &str); 2] = [("x-original-method", "GET"), ("x-original-uri", TARGET)];
const FORWARDED: [(&str, &str); 3] = [
    ("x-forwarded-method", "GET"),
    ("x-forwarded-uri", TARGET),
    ("x-forwarded-host", "api.example.com"),
];

/// A question about the signed request, with these fields.
fn asked(form: Form, fields: &[(&str, &str)], target: &str) -> Result<bool, Refusal> {
    let mut question = signed(NOW);
    question.headers.extend(
        request("GET", fields)
            .headers
            .into_iter()
            .filter_map(|(name, value)| {
                name.filter(|name| *name != HOST).map(|name| (name, value))
            }),
    );
    let (request, target) = form.read(&question, target.as_bytes())?;
    admit(&guard(9), &request, str::from_utf8(&target).unwrap(), NOW)
}

#[test]
fn a_question_has_one_reading_or_none() {
    assert_eq!(asked(Form::Original, &ORIGINAL, "/ask"), Ok(true));
    assert_eq!(asked(Form::Forwarded, &FORWARDED, "/ask"), Ok(true));
    assert_eq!(asked(Form::RequestLine, &[], TARGET), Ok(true));
    let unclear = |asked: Result<bool, Refusal>| matches!(asked, Err(Refusal::Asked(_)));
    let both = [&ORIGINAL[..], &FORWARDED[..]].concat();
    for form in [Form::Original, Form::Forwarded, Form::RequestLine] {
        assert!(unclear(asked(form, &both, TARGET)), "{form:?}");
    }
    assert!(unclear(asked(Form::RequestLine, &ORIGINAL[1..], TARGET)));
    assert!(unclear(asked(Form::Original, &ORIGINAL[1..], TARGET)));
    assert!(unclear(asked(Form::Forwarded, &FORWARDED[..2], TARGET)));
    assert!(unclear(asked(Form::Original, &[], TARGET)));
    for other in [
        "x_original_uri",
        "x-original-url",
        "x-rewrite-url",
        "x.forwarded.uri",
    ] {
        let fields = [&ORIGINAL[..], &[(other, "/v1/admin")]].concat();
        assert!(unclear(asked(Form::Original, &fields, "/ask")), "{other}");
    }
}

/// By a metric that is there from the start, and by no other.
#[test]
fn every_refusal_is_counted_under_a_reason_of_the_list() {
    use crate::framing::Unreadable;
    use crate::head::Malformed;
    let all = [
        Refusal::Unreadable(Unreadable::TooLong),
        Refusal::Unreadable(Unreadable::Version),
        Refusal::Unreadable(Unreadable::Line),
        Refusal::Malformed(Malformed::Expectation),
        Refusal::Method,
        Form::Original
            .read(&request("GET", &[]), b"/")
            .unwrap_err()
            .into(),
        Refusal::Unsigned,
        Refusal::Disguised(String::new()),
        Refusal::Invalid(Invalid::Header("")),
        Refusal::Invalid(Invalid::Form),
        Refusal::Invalid(Invalid::UnknownKey),
        Refusal::Invalid(Invalid::Time),
        Refusal::Invalid(Invalid::Mismatch),
        Refusal::Replayed,
        Refusal::Full,
        Refusal::Body,
        Refusal::Backend,
    ];
    let mut reasons = all.each_ref().map(Refusal::reason);
    reasons.sort_unstable();
    assert_eq!(reasons, Refusal::REASONS);
}
