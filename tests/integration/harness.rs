//! The tools of the tests themselves: what they do not see, no test would.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::support::backend::{Backend, BackendTls, Recorded};
use crate::support::curl::Curl;
use crate::support::free_addresses;
use crate::support::pki::root;
use crate::support::redis::RedisServer;
use crate::support::s_client::SClient;
use crate::support::signature::{verify, verify_in_node, verify_in_python};
use crate::support::world::{HOST, World};

fn url(backend: &Backend, path: &str) -> String {
    format!("http://{}{path}", backend.address())
}

#[test]
fn the_backend_records_a_request_to_the_byte() {
    let backend = Backend::start();
    Curl::get(&url(&backend, "/a/../b;c?d=%20"))
        .header("x-UPPER_lower: one")
        .header("X-Upper_Lower:  two ")
        .header("X-Empty;")
        .send()
        .expect_status(200);
    let request = backend.last();
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, "/a/../b;c?d=%20");
    assert_eq!(request.all("x-upper_lower"), ["one", "two"]);
    assert_eq!(request.header("x-empty"), "");
    let head = String::from_utf8(request.head).unwrap();
    assert!(head.starts_with("GET /a/../b;c?d=%20 HTTP/1.1\r\nHost: "));
    assert!(head.contains("\r\nx-UPPER_lower: one\r\n"));
}

#[test]
fn the_backend_takes_bodies_of_any_length_and_trailers() {
    let backend = Backend::start();
    Curl::get(&url(&backend, "/"))
        .method("PUT")
        .body("hello")
        .send()
        .expect_status(200);
    assert_eq!(
        (backend.last().body.as_str(), backend.last().body_bytes),
        ("hello", 5)
    );
    assert_eq!(
        backend.last().body_sha256,
        hex::encode(Sha256::digest("hello"))
    );

    let bytes = 3 * 1024 * 1024;
    Curl::get(&url(&backend, "/"))
        .upload(bytes)
        .send()
        .expect_status(200);
    assert_eq!(backend.last().body_bytes, bytes);

    Curl::get(&url(&backend, "/"))
        .header("Transfer-Encoding: chunked")
        .body("chunks")
        .send()
        .expect_status(200);
    assert_eq!(
        (backend.last().body.as_str(), backend.last().trailers.len()),
        ("chunks", 0)
    );
}

#[test]
fn the_backend_answers_as_asked() {
    let backend = Backend::start();
    let ask = |path: &str| Curl::get(&url(&backend, path)).send();
    assert_eq!(ask("/").expect_status(200).json()["target"], "/");
    ask("/status/503").expect_status(503);
    assert_eq!(ask("/headers?X-Forged=yes").header("x-forged"), "yes");
    let trailed = ask("/trailers?X-Sum=abc");
    assert_eq!(
        (trailed.text().as_str(), trailed.trailers.len()),
        ("body", 1)
    );
    assert_eq!(
        Curl::get(&url(&backend, "/bytes?n=70000"))
            .discard_body()
            .send()
            .body_bytes,
        70000
    );
    Curl::get(&url(&backend, "/"))
        .head()
        .send()
        .expect_status(200);

    let dropped = ask("/drop?times=1");
    assert_eq!(dropped.status, 0);
    assert!(dropped.error.contains("Empty reply"), "{}", dropped.error);
    ask("/drop?times=1").expect_status(200);

    backend.proceed();
    backend.proceed();
    assert_eq!(ask("/sse?n=2").text(), "data: 1\n\ndata: 2\n\n");
    ask("/slow").expect_status(200);
}

#[test]
fn requests_of_one_connection_are_told_apart_from_those_of_two() {
    let backend = Backend::start();
    let request = || Curl::get(&url(&backend, "/")).http1();
    let answers = Curl::send_on_one_connection([request(), request()]);
    assert_eq!((answers[0].connects, answers[1].connects), (1, 0));
    assert_eq!(answers[1].version, "1.1");
    request().send().expect_status(200);
    let connections: Vec<_> = backend
        .wait_for_requests(3)
        .iter()
        .map(|r| r.connection)
        .collect();
    assert_eq!(connections, [1, 1, 2]);
}

fn tls_backend(world: &World) -> Backend {
    let pem = |bytes| String::from_utf8(bytes).unwrap();
    Backend::start_tls(&BackendTls {
        chain: pem(world.gateway.issued.chain_pem()),
        key: pem(world.gateway.issued.key_pem()),
        client_ca: Some(pem(world.clients.pem())),
    })
}

#[test]
fn curl_shows_certificates_and_speaks_the_version_it_is_told() {
    let world = World::new();
    let backend = tls_backend(&world);
    let ask = || {
        Curl::get(&format!("https://{HOST}:{}/", backend.address().port()))
            .resolve(HOST, backend.address())
            .authority(&world.authority)
    };
    let alice = world.client("alice");
    for version in ["1.2", "1.3"] {
        ask()
            .tls(version)
            .certificate(&alice)
            .send()
            .expect_status(200);
        assert_eq!(backend.last().peer.as_deref(), Some("alice"));
    }
    assert_eq!(ask().send().status, 0, "this backend wants a certificate");
    let stranger = world.files(root("stranger").self_signed());
    assert_eq!(ask().certificate(&stranger).send().status, 0);
}

#[test]
fn s_client_sends_bytes_of_any_kind_and_resumes_sessions() {
    let world = World::new();
    let backend = tls_backend(&world);
    let (alice, session) = (world.client("alice"), world.path("session"));
    let connect = |version| {
        SClient::to(backend.address(), HOST)
            .certificate(&alice)
            .tls(version)
    };
    let bytes = b"GET /raw HTTP/1.1\r\nHost: h\r\nX-Odd : \x80\r\nConnection: close\r\n\r\n";
    for version in ["1.2", "1.3"] {
        let first = connect(version).keep_session(&session).send(bytes);
        assert_eq!(
            (first.status(), first.was_resumed()),
            (Some(200), false),
            "{first:#?}"
        );
        assert!(
            backend
                .last()
                .head
                .windows(9)
                .any(|part| part == b"X-Odd : \x80")
        );
        let second = connect(version).resume_session(&session).send(bytes);
        assert_eq!(
            (second.status(), second.was_resumed()),
            (Some(200), true),
            "{second:#?}"
        );
    }
    let quiet = connect("1.3").send_quietly(bytes);
    assert!(quiet.output.starts_with("HTTP/1.1 200"), "{quiet:#?}");
}

#[tokio::test]
async fn a_backend_and_a_redis_run_beside_a_runtime_of_the_test() {
    let redis = RedisServer::start(&[]).await;
    assert!(redis.url().starts_with("redis://127.0.0.1:"));
    let backend = Backend::start();
    Curl::get(&url(&backend, "/")).send().expect_status(200);
}

#[test]
fn free_addresses_differ() {
    let [one, other] = free_addresses();
    assert_ne!(one, other);
}

/// PROTOCOL 3, signed here and now, since verifiers look at the clock.
fn signed(secret: &[u8]) -> Recorded {
    let now = keyferry::clock::now().as_unix();
    let params = format!(
        r#"("@method" "@authority" "@path" "@query" "x-key-id" "x-client-id");created={now};expires={};nonce="n1";alg="hmac-sha256";keyid="orders-2026-11";tag="keyferry""#,
        now + 60
    );
    let base = format!(
        "\"@method\": GET\n\"@authority\": api.example.com\n\"@path\": /v1/orders\n\"@query\": ?limit=10\n\"x-key-id\": 0197f3c2a1b27c3d8e4f5a6b7c8d9e0f\n\"x-client-id\": acme-payments\n\"@signature-params\": {params}"
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(base.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let backend = Backend::start();
    Curl::get(&url(&backend, "/v1/orders?limit=10"))
        .header("Host: api.example.com")
        .header("X-Key-Id: 0197f3c2a1b27c3d8e4f5a6b7c8d9e0f")
        .header("X-Client-Id: acme-payments")
        .header(&format!("Signature-Input: gw={params}"))
        .header(&format!("Signature: gw=:{signature}:"))
        .send()
        .expect_status(200);
    backend.last()
}

/// S2: a change of any covered part is refused, by each of the three verifiers.
#[test]
fn three_verifiers_take_a_good_signature_and_no_changed_one() {
    let secret: Vec<u8> = (0..32).collect();
    let good = signed(&secret);
    let changed = |change: fn(&mut Recorded)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let bad = [
        changed(|r| r.method = "POST".to_owned()),
        changed(|r| r.target = "/v1/orders?limit=11".to_owned()),
        changed(|r| r.target = "/v1/order?limit=10".to_owned()),
        changed(|r| r.headers.retain(|(name, _)| name != "X-Key-Id")),
        changed(|r| r.headers.retain(|(name, _)| name != "Signature")),
        changed(|r| {
            r.headers
                .push(("X-Client-Id".to_owned(), "other".to_owned()));
        }),
    ];
    for verifier in [verify, verify_in_python, verify_in_node] {
        assert_eq!(verifier(&good, &secret), Ok(()));
        assert!(verifier(&good, &[9; 32]).is_err(), "under another secret");
        for request in &bad {
            assert!(verifier(request, &secret).is_err(), "{request:#?}");
        }
    }
}
