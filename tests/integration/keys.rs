//! Cases K: what opens the gate as a key, and what never does.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keyferry::clock::{self, Timestamp};
use keyferry::key::{KeyId, KeyStatus, RevokedBy};
use sha2::{Digest as _, Sha256};

use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::Gateway;
use crate::support::key::{forged, with_checksum};
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

const REVOKED: KeyStatus = KeyStatus::Revoked {
    at: Timestamp::from_unix(1_700_000_000),
    by: RevokedBy::Operator,
};

/// A gateway on a Redis, and alice, who has fetched her key.
struct Scene {
    world: World,
    backend: Backend,
    store: SharedStore,
    gateway: Gateway,
    alice: Identity,
    key: String,
    id: String,
    client: String,
}

impl Scene {
    fn new() -> Self {
        let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
        let gateway = Gateway::builder(&world)
            .redis(&store.url())
            .echo(&backend)
            .start();
        let alice = world.client("alice");
        let key = gateway.claim_key(&alice);
        gateway.curl("/").key(&key).send().expect_status(200);
        let seen = backend.last();
        let of = |name| seen.header(name).to_owned();
        let (id, client) = (of("x-key-id"), of("x-client-id"));
        assert_eq!(key.split('_').nth(2), Some(id.as_str()));
        Self {
            world,
            backend,
            store,
            gateway,
            alice,
            key,
            id,
            client,
        }
    }

    fn by_key(&self, key: &str) -> Curl {
        self.gateway.curl("/").key(key)
    }

    fn by_header(&self, value: &str) -> Curl {
        self.gateway
            .curl("/")
            .header(&format!("X-API-Key: {value}"))
    }

    /// Revokes or otherwise changes alice's key, and waits until the gateway knows.
    fn edit_key(&self, edit: impl FnOnce(&mut keyferry::key::KeyRecord)) {
        self.store.edit_key(&self.id, edit);
        wait_for("the gateway to follow", || {
            (self.by_key(&self.key).send().status != 200).then_some(())
        });
    }

    /// Nothing of what `attempt` sends gets to the backend.
    #[track_caller]
    fn none_gets_through(&self, attempt: impl FnOnce()) {
        let before = self.backend.requests().len();
        attempt();
        assert_eq!(self.backend.requests().len(), before, "it got through");
    }
}

#[test]
fn k1_nothing_that_can_be_computed_from_a_certificate_is_a_key() {
    let scene = Scene::new();
    scene.by_key(&scene.key).send().expect_status(200);
    scene.by_header(&scene.key).send().expect_status(200);
    let x509 = &scene.alice.issued.x509;
    let sha256 = Sha256::digest(x509.to_der().unwrap());
    let spki = Sha256::digest(scene.alice.issued.key.public_key_to_der().unwrap());
    let sha1 = openssl::sha::sha1(&x509.to_der().unwrap());
    let serial = x509.serial_number().to_bn().unwrap().to_vec();
    let mut secrets = Vec::new();
    for bytes in [&sha256[..], &spki[..], &sha1[..], &serial[..]] {
        let hex = hex::encode(bytes);
        let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        secrets.extend([hex.to_uppercase(), pairs.join(":"), hex]);
        secrets.extend([STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)]);
    }
    secrets.extend([scene.id.clone(), scene.client.clone()]);
    secrets.push(format!("{}{}", scene.client, secrets[0]));
    scene.none_gets_through(|| {
        for secret in &secrets {
            scene
                .by_header(secret)
                .send()
                .expect_refusal(401, "key_malformed");
            // As a bearer token it is not even one of ours.
            scene
                .by_key(secret)
                .send()
                .expect_refusal(401, "credential_missing");
            let dressed = scene.by_key(&format!("kf_live_{}_{secret}", scene.id));
            dressed.send().expect_refusal(401, "key_malformed");
            // In the shape of a key, with a right checksum.
            let digits: String = secret.chars().filter(char::is_ascii_alphanumeric).collect();
            let shaped: String = digits.chars().cycle().take(43).collect();
            let key = with_checksum(&format!("kf_live_{}_{shaped}", scene.id));
            scene.by_key(&key).send().expect_refusal(401, "key_invalid");
        }
    });
}

#[test]
fn k2_a_key_id_without_its_secret_is_no_key() {
    let scene = Scene::new();
    scene.by_key(&scene.key).send().expect_status(200);
    let id = &scene.id;
    scene.none_gets_through(|| {
        for text in [
            format!("kf_live_{id}"),
            format!("kf_live_{id}_"),
            format!("kf_{id}"),
            with_checksum(&format!("kf_live_{id}_")),
            with_checksum(&format!("kf_live_{id}")),
        ] {
            let ask = scene.by_key(&text).send();
            ask.expect_refusal(401, "key_malformed");
        }
        scene
            .by_header(id)
            .send()
            .expect_refusal(401, "key_malformed");
    });
    // The id of a key that was reserved and never fetched has no secret that would fit.
    let bob = scene.world.client("bob");
    scene
        .gateway
        .curl("/")
        .certificate(&bob)
        .send()
        .expect_status(200);
    let reserved = scene.backend.last().header("x-key-id").to_owned();
    scene.none_gets_through(|| {
        let ask = scene.by_key(&forged(&reserved)).send();
        ask.expect_refusal(401, "key_invalid");
    });
}

#[test]
fn k3_a_wrong_secret_is_refused_without_asking_the_store() {
    let mut scene = Scene::new();
    scene.by_key(&scene.key).send().expect_status(200);
    let unknown = forged(&KeyId::generate().to_string());
    let refused = |scene: &Scene, key: &str, status, reason| {
        let answer = scene.by_key(key).send();
        answer.expect_refusal(status, reason);
    };
    refused(&scene, &unknown, 401, "key_invalid");
    // Whoever asks a store that is gone hears nothing, as the control shows. (Counting its questions
    // would count those of following it, too.)
    scene.store.stop();
    refused(&scene, &unknown, 503, "store_unavailable");
    let mut typo = scene.key.clone();
    typo.pop();
    for _ in 0..5 {
        refused(&scene, &forged(&scene.id), 401, "key_invalid");
        refused(&scene, &format!("{typo}!"), 401, "key_malformed");
    }
    refused(&scene, &unknown, 503, "store_unavailable");
}

#[test]
fn k4_and_k5_what_is_not_the_whole_key_to_the_letter_is_malformed() {
    let scene = Scene::new();
    scene.by_key(&scene.key).send().expect_status(200);
    let key = &scene.key;
    let cut = |length: usize| key.chars().take(length).collect::<String>();
    let mut seen = BTreeSet::new();
    scene.none_gets_through(|| {
        for text in [
            cut(key.len() - 1),
            cut(60),
            "kf_".to_owned(),
            format!("{key}0"),
            format!("{key}_"),
            format!("{key} {key}"),
            format!("\"{key}\""),
            key.to_uppercase(),
            key.to_lowercase(),
            key.replace("kf_", "\u{43a}f_"),
            key.replace('o', "\u{43e}").replace("live", "l\u{456}ve"),
            format!("kf_live_{}", "A".repeat(24 * 1024)),
        ] {
            let answer = scene.by_header(&text).send();
            let problem = answer.expect_refusal(401, "key_malformed").json();
            seen.insert(shape(&problem));
        }
        scene
            .gateway
            .curl("/")
            .header("X-API-Key;")
            .send()
            .expect_refusal(401, "key_malformed");
        for text in ["Bearer", "Bearer ", "Bearer      ", "Bearer\t", "bearer"] {
            // Over HTTP/2, space at the ends of a value is malformed (RFC 9113 section 8.2.1).
            let ask = scene.gateway.curl("/").http1();
            let ask = ask.header(&format!("Authorization: {text}")).send();
            ask.expect_refusal(401, "credential_missing");
        }
        let longer = format!("kf_live_{}", "A".repeat(64 * 1024));
        let refused = scene.by_header(&longer).http1().send();
        refused.expect_refusal(431, "head_too_large");
        // Bytes that no header may have never become a credential.
        for bad in ["\0", "\u{1}", "\r", "\u{7f}"] {
            let request = format!(
                "GET / HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: {key}{bad}\r\nConnection: close\r\n\r\n"
            );
            let answer = scene.gateway.s_client().send_quietly(request.as_bytes());
            assert!(
                !matches!(answer.status(), Some(200..=299)),
                "{bad:?}: {answer:#?}"
            );
        }
        let huge = scene.by_header(&"k".repeat(100_000)).send();
        assert!(
            matches!(huge.status, 0 | 400 | 401 | 431),
            "a key of 100 kB: {huge:#?}"
        );
    });
    assert_eq!(seen.len(), 1, "one shape of answer: {seen:#?}");
    // Spaces around a header's value are not of it (RFC 9110 section 5.5).
    scene
        .gateway
        .curl("/")
        .http1()
        .header(&format!("X-API-Key:   {key}  "))
        .send()
        .expect_status(200);
}

/// A problem without what differs from request to request by itself.
fn shape(problem: &serde_json::Value) -> String {
    let mut problem = problem.clone();
    problem.as_object_mut().unwrap().remove("request_id");
    problem.to_string()
}

#[test]
fn k6_a_certificate_and_a_key_of_two_clients_refuse_each_other() {
    let scene = Scene::new();
    let bob = scene.world.client("bob");
    let bobs_key = scene.gateway.claim_key(&bob);
    let ask = |who: &Identity, key: &str| scene.by_key(key).certificate(who).send();
    ask(&scene.alice, &scene.key).expect_status(200);
    ask(&bob, &bobs_key).expect_status(200);
    scene.none_gets_through(|| {
        for (who, key) in [(&scene.alice, &bobs_key), (&bob, &scene.key)] {
            let problem = ask(who, key).expect_refusal(403, "credential_conflict");
            let text = problem.text();
            assert!(!text.contains("alice-") && !text.contains("bob-"), "{text}");
            let line = scene
                .gateway
                .access_line(problem.json()["request_id"].as_str().unwrap());
            let detail = line["detail"].as_str().unwrap();
            assert!(
                detail.contains("alice-") && detail.contains("bob-"),
                "{detail}"
            );
            assert_eq!(line["client"], serde_json::Value::Null);
        }
    });
}

#[test]
fn k7_a_bad_key_is_refused_beside_a_good_certificate_and_a_good_key_carries_a_bad_one() {
    let scene = Scene::new();
    let with = |key: &str| scene.by_key(key).certificate(&scene.alice).send();
    with(&scene.key).expect_status(200);

    let expired = scene
        .world
        .client_like(crate::support::pki::leaf("alice").dates(-3600, -1));
    let beside = scene.by_key(&scene.key).certificate(&expired).send();
    let id = beside.expect_status(200).header("x-request-id").to_owned();
    let line = scene.gateway.access_line(&id);
    assert_eq!(line["certificate_problem"], "certificate_expired");
    assert_eq!(line["auth"], "key");
    assert_eq!(scene.backend.last().header("x-key-id"), scene.id);

    scene.none_gets_through(|| {
        with(&forged(&scene.id)).expect_refusal(401, "key_invalid");
        with(&forged(&KeyId::generate().to_string())).expect_refusal(401, "key_invalid");
        with("kf_live_").expect_refusal(401, "key_malformed");
        scene.edit_key(|key| key.expires_at = Some(clock::now()));
        with(&scene.key).expect_refusal(401, "key_invalid");
        scene.store.edit_key(&scene.id, |key| {
            key.expires_at = None;
            key.status = REVOKED;
        });
        wait_for("the revocation", || {
            let id = with(&scene.key).header("x-request-id").to_owned();
            let detail = scene.gateway.access_line(&id)["detail"].to_string();
            detail.contains("revoked").then_some(())
        });
        with(&scene.key).expect_refusal(401, "key_invalid");
    });
    // The certificate alone goes on: it was not revoked.
    let alone = scene.gateway.curl("/").certificate(&scene.alice).send();
    alone.expect_status(200);
}

#[test]
fn k11_a_disabled_client_is_refused_by_certificate_and_by_key() {
    let scene = Scene::new();
    let alone = || scene.gateway.curl("/").certificate(&scene.alice).send();
    alone().expect_status(200);
    scene.by_key(&scene.key).send().expect_status(200);
    scene.store.edit_client(&scene.client, |client| {
        client.status = keyferry::client::ClientStatus::Disabled { at: clock::now() };
    });
    wait_for("the gateway to follow", || {
        (scene.by_key(&scene.key).send().status == 403).then_some(())
    });
    scene.none_gets_through(|| {
        alone().expect_refusal(403, "client_disabled");
        let by_key = scene.by_key(&scene.key).send();
        by_key.expect_refusal(403, "client_disabled");
        let both = scene.by_key(&scene.key).certificate(&scene.alice).send();
        both.expect_refusal(403, "client_disabled");
        let claim = scene.gateway.curl("/.well-known/keyferry/key");
        let claim = claim.method("POST").certificate(&scene.alice).send();
        claim.expect_refusal(403, "client_disabled");
    });
    // Who cannot prove the secret is not told that the client is disabled.
    let guess = scene.by_key(&forged(&scene.id)).send();
    guess.expect_refusal(401, "key_invalid");
}

/// What of an answer a client could tell apart: everything but the request's id and the date.
fn visible(answer: Answer) -> String {
    let answer = answer.expect_refusal(401, "key_invalid");
    let own = |name: &str| ["x-request-id", "date"].contains(&name);
    let headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !own(&name.to_ascii_lowercase()))
        .collect();
    let length = answer.body.len();
    format!("{headers:?} {length} {}", shape(&answer.json()))
}

#[test]
fn k13_unknown_wrong_revoked_and_expired_keys_look_alike() {
    let scene = Scene::new();
    scene.by_key(&scene.key).send().expect_status(200);
    let mut seen = BTreeSet::new();
    let mut try_key = |key: &str, fault: &str| {
        let answer = scene.by_key(key).send();
        let request = answer.header("x-request-id").to_owned();
        seen.insert(visible(answer));
        let line = scene.gateway.access_line(&request);
        let detail = line["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(fault), "{fault}: {detail}");
        let id = key.split('_').nth(2).unwrap();
        assert!(detail.contains(id), "the key id finds the key: {detail}");
    };
    try_key(&forged(&KeyId::generate().to_string()), "unknown");
    try_key(&forged(&scene.id), "wrong_secret");
    scene.edit_key(|key| key.expires_at = Some(Timestamp::from_unix(1)));
    try_key(&scene.key, "expired");
    try_key(&forged(&scene.id), "wrong_secret");
    scene.store.edit_key(&scene.id, |key| {
        key.expires_at = None;
        key.status = REVOKED;
    });
    wait_for("the revocation", || {
        let request = scene
            .by_key(&scene.key)
            .send()
            .header("x-request-id")
            .to_owned();
        let detail = scene.gateway.access_line(&request)["detail"].to_string();
        detail.contains("revoked").then_some(())
    });
    try_key(&scene.key, "revoked");
    // Without the secret nobody learns that it was revoked, not even the log.
    try_key(&forged(&scene.id), "wrong_secret");
    assert_eq!(seen.len(), 1, "{seen:#?}");
}

#[test]
fn h5_two_keys_in_one_request_are_ambiguous() {
    let scene = Scene::new();
    let key = &scene.key;
    scene.by_key(key).send().expect_status(200);
    scene.none_gets_through(|| {
        for ask in [
            scene.by_key(key).header(&format!("X-API-Key: {key}")),
            scene
                .by_key(key)
                .header(&format!("Authorization: Bearer {key}")),
            scene.by_key(key).header("Authorization: Basic eDp5"),
            scene.by_header(key).header(&format!("x-api-key: {key}")),
            scene.by_header(&format!("{key},{key}")),
            scene.by_key(&format!("{key}, Bearer {key}")),
        ] {
            ask.send().expect_refusal(400, "credential_ambiguous");
        }
    });
    // An application's own token beside our key is none of ours, and arrives.
    let beside = scene
        .by_header(key)
        .header("Authorization: Bearer eyJhbGci");
    beside.send().expect_status(200);
    let seen = scene.backend.last();
    assert_eq!(seen.header("authorization"), "Bearer eyJhbGci");
    assert!(seen.all("x-api-key").is_empty());
}
