//! Cases C: how a client fetches its key, once, and what nobody else gets out of that.

use keyferry::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use keyferry::clock;
use keyferry::key::{KeyStatus, RevokedBy};
use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::Gateway;
use crate::support::pki::{leaf, root};
use crate::support::python::run;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

const BASE: &str = "/.well-known/keyferry";
const TOKEN: &str = "Idempotency-Key: 6f1c6a52-3f0e-4f5b-9a3e-1f8f5f4d2c11";
const OTHER_TOKEN: &str = "Idempotency-Key: 6f1c6a52-3f0e-4f5b-9a3e-1f8f5f4d2c12";

fn claim(gateway: &Gateway, who: &Identity) -> Curl {
    let ask = gateway.curl(&format!("{BASE}/key")).method("POST");
    ask.certificate(who)
}

fn whoami(gateway: &Gateway) -> Curl {
    gateway.curl(&format!("{BASE}/whoami"))
}

fn keys(gateway: &Gateway) -> Curl {
    gateway.curl(&format!("{BASE}/keys"))
}

#[track_caller]
fn key_of(answer: Answer) -> String {
    let answer = answer.expect_status(201).json();
    answer["key"].as_str().expect("a key").to_owned()
}

fn start() -> (World, Backend, Gateway) {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    (world, backend, gateway)
}

#[test]
fn c1_a_certificate_that_is_not_good_claims_nothing() {
    let (world, _backend, gateway) = start();
    let stranger = root("Stranger").self_signed();
    let bad = [
        (
            world.files(leaf("alice").signed_by(&stranger).with(&[&stranger.x509])),
            "certificate_untrusted",
        ),
        (
            world.client_like(leaf("alice").dates(-3600, -1)),
            "certificate_expired",
        ),
        (
            world.client_like(leaf("alice").purposes(&["serverAuth"])),
            "certificate_wrong_purpose",
        ),
    ];
    let alice = world.client("alice");
    let key = key_of(claim(&gateway, &alice).send());
    for (who, reason) in &bad {
        let answer = claim(&gateway, who).send();
        assert!(!answer.text().contains("kf_live_"), "{}", answer.text());
        answer.expect_refusal(401, reason);
        // Not beside a good key either: a claim is by certificate.
        let answer = claim(&gateway, who).key(&key).send();
        answer.expect_refusal(403, "certificate_required");
    }
    let entries = gateway.metric(r#"keyferry_directory_entries{kind="client"}"#);
    let all = gateway.metric("keyferry_directory_entries");
    assert!(entries <= 1.0 && all <= 3.0, "{}", gateway.metrics());
}

#[test]
fn c2_a_certificate_in_a_header_claims_nothing() {
    let (world, backend, gateway) = start();
    let alice = world.client("alice");
    let pem = String::from_utf8(alice.issued.pem()).unwrap();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let escaped = pem.replace('\n', "%0A").replace(' ', "%20");
    for header in [
        format!("Client-Cert: :{der}:"),
        format!("X-Forwarded-Client-Cert: Cert=\"{escaped}\""),
        format!("X-Amzn-Mtls-Clientcert: {escaped}"),
        format!("SSL-Client-Cert: {escaped}"),
        format!("X-SSL-Client-Cert: {escaped}"),
    ] {
        let ask = gateway.curl(&format!("{BASE}/key")).method("POST");
        let answer = ask.header(&header).send();
        answer.expect_refusal(401, "credential_missing");
        let answer = gateway.curl("/").header(&header).send();
        answer.expect_refusal(401, "credential_missing");
    }
    assert!(backend.requests().is_empty());
    key_of(claim(&gateway, &alice).send());
}

/// 20 claims of one client, all at once over one HTTP/2 connection.
fn claims_at_once(gateway: &Gateway, world: &World, who: &Identity) -> Vec<Value> {
    let ask = json!({ "headers": [
        [":method", "POST"], [":scheme", "https"], [":path", format!("{BASE}/key")],
        [":authority", HOST], ["content-length", "0"],
    ]});
    let answer = run(
        "h2_client.py",
        &json!({
            "address": gateway.address(),
            "host": HOST,
            "authority": world.authority,
            "certificate": who.chain,
            "key": who.key,
            "requests": vec![ask; 20],
            "together": true,
        }),
    );
    let answers = answer["answers"].as_array().expect("answers").clone();
    assert_eq!(answers.len(), 20, "{answer:#}");
    answers
}

/// Exactly one of the answers shows a key; gives it.
#[track_caller]
fn one_key(answers: &[Value]) -> String {
    let mut shown = Vec::new();
    for answer in answers {
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        match answer["status"].as_u64() {
            Some(201) => shown.push(body["key"].as_str().unwrap().to_owned()),
            Some(409) => assert_eq!(body["reason"], "key_already_issued"),
            other => panic!("{other:?}: {body:#}"),
        }
    }
    assert_eq!(shown.len(), 1, "{answers:#?}");
    shown.remove(0)
}

#[test]
fn c3_of_parallel_claims_exactly_one_is_shown_a_key_with_the_embedded_store() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("self_service.per_credential", 1000)
        .echo(&backend)
        .start();
    // A client that was seen before, and one whose first call this is.
    for seen_before in [true, false] {
        let client = world.client(&format!("client-{seen_before}"));
        if seen_before {
            let answer = gateway.curl("/").certificate(&client).send();
            answer.expect_status(200);
        }
        let key = one_key(&claims_at_once(&gateway, &world, &client));
        gateway.curl("/").key(&key).send().expect_status(200);
        let id = backend.last().header("x-key-id").to_owned();
        let listed = keys(&gateway).key(&key).send().expect_status(200).json();
        assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed:#}");
        assert_eq!(listed["keys"][0]["key_id"], id.as_str());
    }
    let two = world.client("two");
    let answers = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| claim(&gateway, &two).send());
        [ask(), ask()].map(|thread| thread.join().unwrap())
    });
    let mut statuses = answers.map(|answer| answer.status);
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[test]
fn c3_of_parallel_claims_at_two_gateways_exactly_one_is_shown_a_key() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let replica = || {
        Gateway::builder(&world)
            .redis(&store.url())
            .set("self_service.per_credential", 1000)
            .echo(&backend)
            .start()
    };
    let (one, other) = (replica(), replica());
    for number in 0..3 {
        let client = world.client(&format!("client-{number}"));
        let answers = std::thread::scope(|scope| {
            let ask = |gateway| {
                let (world, client) = (&world, &client);
                scope.spawn(move || claims_at_once(gateway, world, client))
            };
            [ask(&one), ask(&other)].map(|thread| thread.join().unwrap())
        });
        let key = one_key(&answers.concat());
        for gateway in [&one, &other] {
            gateway.curl("/").key(&key).send().expect_status(200);
            let by_key = backend.last();
            let answer = gateway.curl("/").certificate(&client).send();
            answer.expect_status(200);
            let by_certificate = backend.last();
            for name in ["x-key-id", "x-client-id"] {
                assert_eq!(by_key.header(name), by_certificate.header(name));
            }
        }
    }
}

#[test]
fn c4_a_claim_is_repeated_only_with_its_token_and_its_certificate() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateway = Gateway::builder(&world)
        .redis(&store.url())
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    let first = claim(&gateway, &alice).header(TOKEN).send();
    let first = first.expect_status(201).json();
    let key = first["key"].as_str().unwrap();
    for _ in 0..2 {
        let again = claim(&gateway, &alice).header(TOKEN).send();
        assert_eq!(again.expect_status(201).json(), first);
    }
    let listed = keys(&gateway).key(key).send().expect_status(200).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed:#}");

    // Without the token, and with another one.
    let refused = |ask: Curl| {
        let answer = ask.send();
        assert!(!answer.text().contains("kf_live_"), "{}", answer.text());
        answer.expect_refusal(409, "key_already_issued");
    };
    refused(claim(&gateway, &alice));
    refused(claim(&gateway, &alice).header(OTHER_TOKEN));
    refused(claim(&gateway, &alice).header(&TOKEN.replace("6f1c", "6F1C")));

    // By another certificate of the same client, and by another client.
    let second = world.client("alice");
    let der = second.issued.x509.to_der().unwrap();
    store.add_certificate(CertificateRecord::new(
        Fingerprint::of(&der),
        Mapping::Mapped {
            client: first["client_id"].as_str().unwrap().parse().unwrap(),
            key: first["key_id"].as_str().unwrap().parse().unwrap(),
        },
        Source::Operator,
        clock::now(),
    ));
    let same = whoami(&gateway).certificate(&second).send().json();
    assert_eq!(same["client_id"], first["client_id"], "{same:#}");
    refused(claim(&gateway, &second).header(TOKEN));
    let bob = world.client("bob");
    let bobs = key_of(claim(&gateway, &bob).header(TOKEN).send());
    assert_ne!(bobs, key);

    for bad in [
        "short",
        "a b c d e f g h i j k",
        "",
        "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
    ] {
        let header = if bad.is_empty() {
            "Idempotency-Key;".to_owned()
        } else {
            format!("Idempotency-Key: {bad}")
        };
        let answer = claim(&gateway, &world.client("carol")).header(&header);
        answer.send().expect_refusal(400, "request_malformed");
    }
    // Revoked, it is not shown again either.
    let path = format!("{BASE}/keys/{}", first["key_id"].as_str().unwrap());
    let delete = gateway.curl(&path).method("DELETE").key(key).send();
    delete.expect_status(204);
    refused(claim(&gateway, &alice).header(TOKEN));
}

#[test]
fn c4_parallel_claims_with_one_token_all_get_the_same_key() {
    let (world, _backend, gateway) = start();
    let alice = world.client("alice");
    let answers = std::thread::scope(|scope| {
        let ask = |()| scope.spawn(|| claim(&gateway, &alice).header(TOKEN).send());
        [(); 5].map(ask).map(|thread| thread.join().unwrap())
    });
    let mut shown: Vec<_> = answers.into_iter().map(key_of).collect();
    shown.dedup();
    assert_eq!(shown.len(), 1);
}

#[test]
fn c4_after_the_window_a_claim_is_not_repeated() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("self_service.retry_window", "1s")
        .set("self_service.per_credential", 1000)
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    let key = key_of(claim(&gateway, &alice).header(TOKEN).send());
    let late = wait_for("the window to close", || {
        let again = claim(&gateway, &alice).header(TOKEN).send();
        (again.status != 201).then_some(again)
    });
    assert!(!late.text().contains(&key));
    late.expect_refusal(409, "key_already_issued");
    gateway.curl("/").key(&key).send().expect_status(200);
}

#[test]
fn c5_a_claim_is_a_post_that_no_other_site_can_make() {
    let (world, _backend, gateway) = start();
    let alice = world.client("alice");
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = claim(&gateway, &alice).method(method).send();
        let answer = answer.expect_refusal(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "POST");
    }
    let cross = [
        "Origin: https://evil.example",
        "Origin: null",
        "Origin: http://api.example.com",
        "Origin: https://api.example.com.evil.example",
        "Origin: https://evil.example/api.example.com",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: nonsense",
    ];
    for header in cross {
        let answer = claim(&gateway, &alice).header(header).send();
        answer.expect_refusal(403, "cross_site_request");
        // As a form of a browser would send it.
        let form = claim(&gateway, &alice).header(header).body("a=b").send();
        form.expect_refusal(403, "cross_site_request");
    }
    let origin = format!("Origin: https://{HOST}:{}", gateway.address().port());
    let own = claim(&gateway, &alice).header(&origin);
    let answer = own.header("Sec-Fetch-Site: same-origin").send();
    let answer = answer.expect_status(201);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.all("access-control-allow-origin").is_empty());
    let (key, id) = (
        answer.json()["key"].as_str().unwrap().to_owned(),
        answer.json()["key_id"].as_str().unwrap().to_owned(),
    );
    for header in cross {
        let path = format!("{BASE}/keys/{id}");
        let revoke = gateway.curl(&path).method("DELETE").key(&key);
        let answer = revoke.header(header).send();
        answer.expect_refusal(403, "cross_site_request");
    }
    gateway.curl("/").key(&key).send().expect_status(200);
}

#[test]
fn whoami_tells_the_same_of_a_client_by_certificate_and_by_key() {
    let (world, backend, gateway) = start();
    let alice = world.client("alice");
    let before = whoami(&gateway).certificate(&alice).send();
    let before = before.expect_status(200);
    assert_eq!(before.header("cache-control"), "no-store");
    let before = before.json();
    assert_eq!(before["proven_by"], "certificate");
    assert_eq!(before["keys"], json!([]));
    assert_eq!(before["certificate"]["subject"], "CN=alice");
    let key = gateway.claim_key(&alice);
    for (ask, proven_by) in [
        (whoami(&gateway).key(&key), "key"),
        (whoami(&gateway).header(&format!("X-API-Key: {key}")), "key"),
        (whoami(&gateway).key(&key).certificate(&alice), "both"),
        (whoami(&gateway).certificate(&alice), "certificate"),
    ] {
        let answer = ask.send().expect_status(200);
        assert!(!answer.text().contains(&key), "the key is shown once");
        let told = answer.json();
        for name in ["client_id", "key_id"] {
            assert_eq!(told[name], before[name], "{told:#}");
        }
        assert_eq!(told["proven_by"], proven_by);
        assert_eq!(told["keys"][0]["key_id"], before["key_id"]);
    }
    whoami(&gateway)
        .send()
        .expect_refusal(401, "credential_missing");
    assert!(backend.requests().is_empty(), "it never reaches a backend");
}

#[test]
fn a_client_sees_and_revokes_its_own_keys_and_no_others() {
    let (world, backend, gateway) = start();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let (alices, bobs) = (gateway.claim_key(&alice), gateway.claim_key(&bob));
    let id = |key: &str| key.split('_').nth(2).unwrap().to_owned();
    let listed = keys(&gateway).certificate(&alice).send();
    let listed = listed.expect_status(200);
    assert_eq!(listed.header("cache-control"), "no-store");
    let list = listed.json()["keys"].as_array().unwrap().clone();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["key_id"], id(&alices).as_str());
    assert_eq!(list[0]["status"], "active");
    let secret = alices.rsplit('_').next().unwrap();
    assert!(!listed.text().contains(secret));
    keys(&gateway)
        .send()
        .expect_refusal(401, "credential_missing");

    let delete = |id: &str| gateway.curl(&format!("{BASE}/keys/{id}")).method("DELETE");
    let unknown = keyferry::key::KeyId::generate().to_string();
    let mut told = Vec::new();
    for id in [
        id(&bobs),
        unknown,
        "nonsense".to_owned(),
        id(&bobs).to_uppercase(),
    ] {
        for ask in [
            delete(&id).key(&alices),
            delete(&id).key(&alices).certificate(&alice),
        ] {
            let mut problem = ask.send().expect_refusal(404, "resource_not_found").json();
            problem.as_object_mut().unwrap().remove("request_id");
            told.push(problem);
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "another's key looks like none: {told:#?}");
    gateway.curl("/").key(&bobs).send().expect_status(200);
    delete(&id(&alices))
        .send()
        .expect_refusal(401, "credential_missing");

    // Its own, by its key; refused from then on, without a pause.
    delete(&id(&alices)).key(&alices).send().expect_status(204);
    let count = backend.requests().len();
    let ask = gateway.curl("/").key(&alices).send();
    ask.expect_refusal(401, "key_invalid");
    assert_eq!(backend.requests().len(), count);
    delete(&id(&alices))
        .key(&alices)
        .send()
        .expect_refusal(401, "key_invalid");
    let listed = keys(&gateway).certificate(&alice).send().json();
    assert_eq!(listed["keys"][0]["status"], "revoked", "{listed:#}");

    // The certificate goes on, under the id that backends know.
    let answer = gateway.curl("/").certificate(&alice).send();
    answer.expect_status(200);
    assert_eq!(backend.last().header("x-key-id"), id(&alices));
}

/// Somebody stole the certificate of a client that has moved to its key.
#[test]
fn c6_an_old_certificate_takes_no_key_away_and_gets_no_second_one() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateway = Gateway::builder(&world)
        .redis(&store.url())
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    let id = key.split('_').nth(2).unwrap();
    let delete = || gateway.curl(&format!("{BASE}/keys/{id}")).method("DELETE");
    let again = || claim(&gateway, &alice).send();
    again().expect_refusal(409, "key_already_issued");
    let theft = gateway.lines().into_iter();
    let mut theft = theft.filter(|line| line["level"] == "WARN" && line["key_id"] == id);
    assert!(theft.next().is_some(), "a second claim is an alarm");
    let by_thief = delete().certificate(&alice).send();
    by_thief.expect_refusal(403, "key_required");
    gateway.curl("/").key(&key).send().expect_status(200);

    // Once the owner gave the key up, and once it expired, there is still none to be had.
    store.edit_key(id, |key| key.expires_at = Some(clock::now()));
    wait_for("the key to expire", || {
        (gateway.curl("/").key(&key).send().status == 401).then_some(())
    });
    again().expect_refusal(409, "key_already_issued");
    store.edit_key(id, |key| key.expires_at = None);
    wait_for("the key to be good again", || {
        (delete().key(&key).send().status == 204).then_some(())
    });
    again().expect_refusal(409, "key_already_issued");

    // Only after the operator revoked it: then with a new id, for certificate and key alike.
    store.edit_key(id, |key| {
        key.status = KeyStatus::Revoked {
            at: clock::now(),
            by: RevokedBy::Operator,
        };
    });
    let anew = gateway.claim_key(&alice);
    let new_id = anew.split('_').nth(2).unwrap();
    assert_ne!(new_id, id);
    for ask in [
        gateway.curl("/").key(&anew),
        gateway.curl("/").certificate(&alice),
    ] {
        ask.send().expect_status(200);
        assert_eq!(backend.last().header("x-key-id"), new_id);
    }
    let old = gateway.curl("/").key(&key).send();
    old.expect_refusal(401, "key_invalid");
    gateway.curl("/").key(&anew).send().expect_status(200);
}

/// A kept-alive connection is no way around a revocation (decided per request).
#[test]
fn k8_a_revoked_key_is_refused_on_the_connection_that_it_came_on() {
    let (world, _backend, gateway) = start();
    for http2 in [true, false] {
        let key = gateway.claim_key(&world.client(&format!("alice-{http2}")));
        let id = key.split('_').nth(2).unwrap().to_owned();
        let version = |ask: Curl| if http2 { ask.http2() } else { ask.http1() };
        let delete = gateway.curl(&format!("{BASE}/keys/{id}")).method("DELETE");
        let answers = Curl::send_on_one_connection([
            version(gateway.curl("/").key(&key)),
            version(delete.key(&key)),
            version(gateway.curl("/").key(&key)),
        ]);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 204, 401]);
        assert_eq!(answers[1].connects + answers[2].connects, 0);
    }
}
