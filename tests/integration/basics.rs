//! A client calls with its certificate, or with its API key, and the backend sees the same signed
//! identity.

use keyferry::client::ClientId;
use keyferry::key::KeyId;

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, secret};
use crate::support::pki::{Kind, intermediate, leaf};
use crate::support::signature::{verify, verify_in_node, verify_in_python};
use crate::support::world::World;

/// V1: a verified certificate is enough, whatever kind of key it has.
#[test]
fn a_client_calls_by_certificate() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let below = intermediate("Clients Intermediate").signed_by(&world.clients);
    let mut seen = Vec::new();
    for client in [
        world.client("p256"),
        world.client_like(leaf("p384").kind(Kind::P384)),
        world.client_like(leaf("rsa").kind(Kind::Rsa(2048))),
        world.client_like(leaf("ed25519").kind(Kind::Ed25519)),
        world.files(leaf("below").signed_by(&below)),
    ] {
        let answer = gateway.curl("/v1/orders?limit=10").certificate(&client);
        answer.send().expect_status(200);
        let request = backend.last();
        assert_eq!(request.target, "/v1/orders?limit=10");
        let key_id: KeyId = request.header("x-key-id").parse().unwrap();
        let client_id: ClientId = request.header("x-client-id").parse().unwrap();
        assert_eq!(verify(&request, &secret("echo")), Ok(()));
        seen.push((key_id, client_id));
    }
    for (number, one) in seen.iter().enumerate() {
        for other in &seen[..number] {
            assert!(
                one.0 != other.0 && one.1 != other.1,
                "{one:?} and {other:?}"
            );
        }
    }
}

/// ARCHITECTURE 2.7: it makes no difference to the backend whether a call came by certificate or
/// by key.
#[test]
fn the_backend_sees_one_key_id_by_certificate_and_by_key() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    let by_certificate = backend.last();

    let key = gateway.claim_key(&alice);
    for request in [
        gateway.curl("/").key(&key),
        gateway.curl("/").header(&format!("X-API-Key: {key}")),
        gateway.curl("/").certificate(&alice).key(&key),
        gateway.curl("/").certificate(&alice),
    ] {
        request.send().expect_status(200);
        let seen = backend.last();
        assert_eq!(verify(&seen, &secret("echo")), Ok(()));
        for name in ["x-key-id", "x-client-id"] {
            assert_eq!(seen.header(name), by_certificate.header(name));
        }
        let head = String::from_utf8(seen.head).unwrap();
        assert!(!head.contains(&key), "the key itself went to the backend");
    }
}

/// V2.
#[test]
fn a_request_without_a_credential_is_refused_with_a_challenge() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let answer = gateway.curl("/").send();
    answer.expect_refusal(401, "credential_missing");
    assert!(backend.requests().is_empty());
}

/// S1: the signature is right by the word of two libraries that are not ours.
#[test]
fn verifiers_in_other_languages_take_the_signature() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    for path in ["/", "/v1/orders?limit=10", "/v1/orders?"] {
        gateway
            .curl(path)
            .certificate(&alice)
            .send()
            .expect_status(200);
        let request = backend.last();
        for verifier in [verify, verify_in_python, verify_in_node] {
            assert_eq!(verifier(&request, &secret("echo")), Ok(()), "{path}");
            assert!(verifier(&request, &secret("other")).is_err(), "{path}");
        }
    }
}
