//! What reaches `keyferry verify` past the gateway, by somebody who reads along behind it: each is
//! refused, and the backend alone would have believed it (ATTACKS S and H).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::signature::{CHANGES, FORMS};
use super::verify::Scene;
use crate::support::backend::Recorded;
use crate::support::gateway::secret;
use crate::support::verify::{Verify, bytes, send};

/// S2, S6, S7, S8: the backend alone believes each of them; the verifier none.
#[test]
fn s2_s6_s7_s8_whatever_is_changed_is_refused_and_the_backend_alone_believes_it() {
    let scene = Scene::of_the_tap(&[]);
    let good = scene.tapped(
        "/tapped/orders?limit=10&a=b",
        "hello",
        &["Content-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"],
    );
    // Those that speak of other requests than this one are fitted to it.
    let fitted = |what: &str, mut request: Recorded| {
        if what.contains("path") || what.contains("query") {
            request.target = request.target.replace("/v1/", "/tapped/");
            request.target = request.target.replace("/V1/", "/Tapped/");
        }
        request
    };
    for (what, change) in CHANGES.into_iter().chain(FORMS) {
        let mut request = good.clone();
        if what == "key name" {
            request.headers.iter_mut().for_each(|(_, value)| {
                *value = value.replace("keyid=\"tap\"", "keyid=\"echo\"");
            });
        } else {
            change(&mut request);
        }
        let request = bytes(&fitted(what, request), "");
        assert_eq!(
            send(scene.backend.address(), &request).status,
            200,
            "{what}: the control"
        );
        let (status, reason, arrived) = scene.verified(&request);
        assert!(
            status == 401 && reason.starts_with("signature_"),
            "{what}: {status} {reason}"
        );
        assert!(!arrived, "{what}");
    }
    assert_eq!(
        scene.verified(&bytes(&good, "")),
        (200, String::new(), true)
    );
}

/// S3: also within its window, at one verifier.
#[test]
fn s3_a_signature_is_good_once() {
    let scene = Scene::of_the_tap(&[]);
    let request = bytes(&scene.tapped("/tapped", "", &[]), "");
    assert_eq!(scene.verified(&request), (200, String::new(), true));
    let replayed = (401, "signature_replayed".to_owned(), false);
    assert_eq!(scene.verified(&request), replayed);
    assert_eq!(
        send(scene.backend.address(), &request).status,
        200,
        "the control"
    );

    let forgetful = Verify::before(
        scene.backend.address(),
        &[("tap", &secret("tap"))],
        &["--remember", "0"],
    );
    for _ in 0..2 {
        assert_eq!(send(forgetful.address(), &request).status, 200);
    }
}

/// S5: signed for another backend, with a secret that this verifier has not.
#[test]
fn s5_what_was_signed_for_another_backend_is_refused() {
    let scene = Scene::new(&[]);
    let request = scene.tapped("/tapped", "", &[]);
    let unknown = (401, "signature_key_unknown".to_owned(), false);
    assert_eq!(scene.verified(&bytes(&request, "")), unknown);
    let mut renamed = request;
    for (_, value) in &mut renamed.headers {
        *value = value.replace("keyid=\"tap\"", "keyid=\"echo\"");
    }
    let mismatch = (401, "signature_mismatch".to_owned(), false);
    assert_eq!(scene.verified(&bytes(&renamed, "")), mismatch);
}

/// H1, H2: other spellings beside a good signature, and other headers that mean identity.
#[test]
fn h2_no_other_spelling_of_an_identity_arrives_beside_a_good_signature() {
    let scene = Scene::of_the_tap(&[]);
    for line in [
        "X_Client_Id: admin",
        "x.client.id: admin",
        "X_KEY_ID: admin",
        "X-Key_Scopes: admin",
        "Signature_Input: admin",
    ] {
        let request = bytes(&scene.tapped("/tapped", "", &[]), &format!("{line}\r\n"));
        assert_eq!(
            send(scene.backend.address(), &request).status,
            200,
            "the control"
        );
        assert!(
            scene
                .backend
                .last()
                .head
                .windows(5)
                .any(|part| part == b"admin")
        );
        let disguised = (401, "header_disguised".to_owned(), false);
        assert_eq!(scene.verified(&request), disguised, "{line}");
    }
    for line in [
        "x-CLIENT-id: admin",
        "X-Key-Scopes: admin",
        "SIGNATURE: gw=:AAAA:",
    ] {
        let request = bytes(&scene.tapped("/tapped", "", &[]), &format!("{line}\r\n"));
        let (status, _, arrived) = scene.verified(&request);
        assert!(status == 401 && !arrived, "{line}");
    }
    let others = "X-Forwarded-Client-Cert: admin\r\nX-Client-Cert: admin\r\nRemote-User: admin\r\n\
                  X-Original-URL: /admin\r\nApp: kept\r\n";
    let request = String::from_utf8(bytes(&scene.tapped("/tapped", "", &[]), others)).unwrap();
    let request = request.replace("Connection: close", "Connection: close, x-client-id");
    assert_eq!(
        scene.verified(request.as_bytes()),
        (200, String::new(), true)
    );
    let arrived = scene.backend.last();
    assert!(
        !arrived.head.windows(5).any(|part| part == b"admin"),
        "{arrived:?}"
    );
    assert_eq!(arrived.header("app"), "kept");
    assert!(
        !arrived.header("x-client-id").is_empty(),
        "Connection takes no identity away"
    );
}

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: x\r\nX-Client-Id: admin\r\n\r\n";

/// Header lines more, and what follows the head: each has two readings, or none.
const TWO_READINGS: [(&str, &str); 7] = [
    (
        "Content-Length: 72\r\nTransfer-Encoding: chunked",
        "0\r\n\r\n",
    ),
    ("Content-Length: 0\r\nContent-Length: 67", ""),
    ("Transfer-Encoding: xchunked", ""),
    ("Content-Length : 0", ""),
    ("App: a\r\n b", ""),
    ("App: a\nTransfer-Encoding: chunked", ""),
    ("Content_Length: 67", ""),
];

/// H8: a good signature, and a body that is framed in two ways, with another request in it.
#[test]
fn h8_nothing_is_smuggled_behind_a_verified_request() {
    let scene = Scene::of_the_tap(&[]);
    let with = |lines: &str, body: &str| {
        let head = bytes(&scene.tapped("/tapped", "", &[]), &format!("{lines}\r\n"));
        [&head, body.as_bytes()].concat()
    };
    for (lines, body) in TWO_READINGS {
        let (status, reason, arrived) = scene.verified(&with(lines, &format!("{body}{HIDDEN}")));
        assert!(
            (400..=501).contains(&status) && !reason.is_empty(),
            "{lines}"
        );
        assert!(!arrived, "{lines}");
    }
    let bad_chunk = with("Transfer-Encoding: chunked", "x\r\n");
    assert_eq!(scene.verified(&bad_chunk).1, "request_malformed");
    let preface = scene.verified(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(preface, (505, "http_version_unknown".to_owned(), false));
    assert_eq!(
        scene.verified(&with("App: a", "")),
        (200, String::new(), true)
    );
}

/// H8: each request of a connection is judged by itself.
#[test]
fn h8_a_good_request_opens_nothing_for_the_next() {
    let scene = Scene::of_the_tap(&[]);
    let first = || {
        let first = bytes(&scene.tapped("/tapped", "", &[]), "");
        let first = String::from_utf8(first).unwrap();
        first.replace("Connection: close\r\n", "")
    };
    let at_once = send(
        scene.verify.address(),
        format!("{}{HIDDEN}", first()).as_bytes(),
    );
    assert_eq!(at_once.status, 200);
    let mut stream = TcpStream::connect(scene.verify.address()).unwrap();
    stream.write_all(first().as_bytes()).unwrap();
    let mut said = [0; 4096];
    assert!(stream.read(&mut said).unwrap() > 0 && said.starts_with(b"HTTP/1.1 200"));
    scene.backend.wait_for_requests(2);
    // The answer may come in two parts.
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    while stream.read(&mut said).is_ok_and(|read| read > 0) {}
    stream.set_read_timeout(None).unwrap();
    stream.write_all(HIDDEN.as_bytes()).unwrap();
    stream.read_exact(&mut said[..12]).unwrap();
    assert_eq!(&said[..12], b"HTTP/1.1 401");
    let requests = scene.backend.requests();
    assert!(requests.iter().all(|request| request.target != "/hidden"));
}

/// H9: an absolute target is a path to the backend.
#[test]
fn h9_the_backend_sees_the_path_that_was_verified() {
    let scene = Scene::of_the_tap(&[]);
    let request = scene.tapped("/tapped?a", "", &[]);
    let target = format!(" http://{}/tapped", request.header("host"));
    let absolute = String::from_utf8(bytes(&request, "")).unwrap();
    let absolute = absolute.replacen(" /tapped", &target, 1);
    let believed = (200, String::new(), true);
    assert_eq!(scene.verified(absolute.as_bytes()), believed);
    assert_eq!(scene.backend.last().target, "/tapped?a");
}

/// S10: an exchanged body never arrives whole, in one piece or in many.
#[test]
fn s10_an_exchanged_body_never_arrives_whole() {
    let scene = Scene::of_the_tap(&[]);
    let digest = "Content-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let good = scene.tapped("/tapped", "hello", &[digest]);
    let mut exchanged = scene.tapped("/tapped", "hello", &[digest]);
    "hallo".clone_into(&mut exchanged.body);
    assert_eq!(
        send(scene.backend.address(), &bytes(&exchanged, "")).status,
        200,
        "the control"
    );
    assert_eq!(
        scene.verified(&bytes(&good, "")),
        (200, String::new(), true)
    );
    let refused = (400, "body_mismatch".to_owned(), false);
    assert_eq!(scene.verified(&bytes(&exchanged, "")), refused);

    // In chunks, a good one and one that goes on.
    for (body, status) in [
        ("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200),
        ("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 400),
    ] {
        let mut request = scene.tapped("/tapped", "hello", &[digest]);
        request.body.clear();
        let head = String::from_utf8(bytes(&request, "Transfer-Encoding: chunked\r\n")).unwrap();
        let (said, _, arrived) = scene.verified(format!("{head}{body}").as_bytes());
        assert_eq!((said, arrived), (status, status == 200), "{body}");
    }
    let mut empty = scene.tapped("/tapped", "hello", &[digest]);
    empty.body.clear();
    assert_eq!(scene.verified(&bytes(&empty, "")), refused);
}

/// H8: a body in chunks that is empty, and of which that was signed, ends once for the backend: nothing
/// is left on the connection for the next request.
#[test]
fn h8_an_empty_body_that_was_signed_leaves_nothing_for_the_next_request() {
    const OF_NOTHING: &str =
        "Content-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let scene = Scene::of_the_tap(&[]);
    for _ in 0..2 {
        let signed = scene.tapped("/tapped/empty", "", &[OF_NOTHING]);
        let mut sent = bytes(&signed, "Transfer-Encoding: chunked\r\n");
        sent.extend_from_slice(b"0\r\n\r\n");
        assert_eq!(scene.verified(&sent), (200, String::new(), true));
        let next = bytes(&scene.tapped("/tapped/next", "", &[]), "");
        assert_eq!(scene.verified(&next), (200, String::new(), true));
    }
    assert_eq!(scene.backend.requests().len(), 4);
}
