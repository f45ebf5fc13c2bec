//! How clients become known: by themselves, by approval, by registration; and what two gateways
//! that share a Redis know of each other's clients, also while it is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use keyferry::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use keyferry::clock;
use keyferry::key::KeyId;
use serde_json::json;

use crate::support::gateway::Gateway;
use crate::support::key::forged;
use crate::support::python::run;
use crate::support::scene::Scene;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity};

const BASE: &str = "/.well-known/keyferry";

impl Scene {
    fn enrolling(&self, mode: &str) -> Gateway {
        self.builder().set("enrolment.mode", mode).start()
    }

    /// What an operator does: gives the certificate to a client, under this key id.
    fn register(&self, who: &Identity, client: &str, key: &str) {
        let der = who.issued.x509.to_der().unwrap();
        self.store.add_certificate(CertificateRecord::new(
            Fingerprint::of(&der),
            Mapping::Mapped {
                client: client.parse().unwrap(),
                key: key.parse().unwrap(),
            },
            Source::Operator,
            clock::now(),
        ));
    }

    /// The client id and the key id that the backend saw last.
    fn seen(&self) -> (String, String) {
        let request = self.backend.last();
        let of = |name| request.header(name).to_owned();
        (of("x-client-id"), of("x-key-id"))
    }
}

#[test]
fn enrolment_auto_makes_a_client_at_its_first_call() {
    let scene = Scene::new();
    let gateway = scene.enrolling("auto");
    let (alice, bob) = (scene.world.client("alice"), scene.world.client("bob"));
    let ask = |who| gateway.curl("/").certificate(who).send();
    ask(&alice).expect_status(200);
    let first = scene.seen();
    ask(&alice).expect_status(200);
    assert_eq!(scene.seen(), first);
    ask(&bob).expect_status(200);
    let second = scene.seen();
    assert!(first.0 != second.0 && first.1 != second.1, "{second:?}");
    // Another certificate with the same name is never the same client by its name alone.
    let namesake = scene.world.client("alice");
    ask(&namesake).expect_refusal(403, "approval_pending");
}

#[test]
fn enrolment_approve_lists_a_certificate_and_waits_for_the_operator() {
    let scene = Scene::new();
    let gateway = scene.enrolling("approve");
    let alice = scene.world.client("alice");
    let ask = |path: &str| gateway.curl(path).certificate(&alice).send();
    for _ in 0..2 {
        let problem = ask("/").expect_refusal(403, "approval_pending").json();
        let line = gateway.access_line(problem["request_id"].as_str().unwrap());
        let fingerprint = Fingerprint::of(&alice.issued.x509.to_der().unwrap());
        assert_eq!(line["detail"], fingerprint.to_string());
    }
    ask(&format!("{BASE}/whoami")).expect_refusal(403, "approval_pending");
    let claim = gateway.curl(&format!("{BASE}/key")).method("POST");
    let claim = claim.certificate(&alice).send();
    claim.expect_refusal(403, "approval_pending");
    assert!(scene.backend.requests().is_empty());
    let seen = gateway
        .lines()
        .into_iter()
        .filter(|line| line["message"] == "a certificate was seen for the first time");
    assert_eq!(seen.count(), 1, "it is listed once");
}

#[test]
fn enrolment_registered_refuses_whoever_the_operator_did_not_name() {
    let scene = Scene::new();
    // The client comes to be by another gateway that enrols it; here it is the operator's act.
    let elsewhere = scene.enrolling("auto");
    let (known, named) = (scene.world.client("known"), scene.world.client("named"));
    let answer = elsewhere.curl("/").certificate(&known).send();
    answer.expect_status(200);
    let (client, key) = scene.seen();

    let gateway = scene.enrolling("registered");
    let ask = |who| gateway.curl("/").certificate(who).send();
    ask(&known).expect_status(200);
    let before = scene.backend.requests().len();
    let problem = ask(&named).expect_refusal(403, "client_unregistered");
    assert!(
        problem.json()["detail"]
            .as_str()
            .unwrap()
            .contains("SHA-256")
    );
    let claim = gateway.curl(&format!("{BASE}/key")).method("POST");
    let claim = claim.certificate(&named).send();
    claim.expect_refusal(403, "client_unregistered");
    assert_eq!(scene.backend.requests().len(), before);

    scene.register(&named, &client, &key);
    // Known at once: what memory does not tell is confirmed with the store.
    ask(&named).expect_status(200);
    assert_eq!(scene.seen(), (client, key));
}

/// 20 first calls over both gateways at once.
#[test]
fn one_new_certificate_at_two_gateways_becomes_one_client_with_one_key_id() {
    let scene = Scene::new();
    let gateways = [scene.enrolling("auto"), scene.enrolling("auto")];
    for round in 0..3 {
        let client = scene.world.client(&format!("round-{round}"));
        let before = scene.backend.requests().len();
        let ask = json!({ "headers": [
            [":method", "GET"], [":scheme", "https"], [":path", "/"], [":authority", HOST],
        ]});
        let all_at_once = |gateway: &Gateway| {
            let answer = run(
                "h2_client.py",
                &json!({
                    "address": gateway.address(),
                    "host": HOST,
                    "authority": scene.world.authority,
                    "certificate": client.chain,
                    "key": client.key,
                    "requests": vec![ask.clone(); 10],
                    "together": true,
                }),
            );
            for one in answer["answers"].as_array().unwrap() {
                assert_eq!(one["status"], 200, "{answer:#}");
            }
        };
        std::thread::scope(|scope| {
            for gateway in &gateways {
                scope.spawn(|| all_at_once(gateway));
            }
        });
        let requests = scene.backend.wait_for_requests(before + 20);
        let identities: BTreeSet<_> = requests[before..]
            .iter()
            .map(|seen| (seen.header("x-client-id"), seen.header("x-key-id")))
            .collect();
        assert_eq!(identities.len(), 1, "{identities:?}");
    }
    for gateway in &gateways {
        wait_for("three clients in the directory", || {
            let clients = gateway.metric(r#"keyferry_directory_entries{kind="client"}"#);
            ((clients - 3.0).abs() < 0.1).then_some(())
        });
    }
}

#[test]
fn k8_a_key_claimed_at_one_gateway_works_at_once_at_the_other_and_ends_at_both() {
    let scene = Scene::new();
    let (one, other) = (scene.enrolling("auto"), scene.enrolling("auto"));
    for round in 0..5 {
        let client = scene.world.client(&format!("round-{round}"));
        let key = one.claim_key(&client);
        other.curl("/").key(&key).send().expect_status(200);
        let id = key.split('_').nth(2).unwrap();
        assert_eq!(scene.seen().1, id);
        let path = format!("{BASE}/keys/{id}");
        let revoke = one.curl(&path).method("DELETE").key(&key).send();
        revoke.expect_status(204);
        let revoked = clock::monotonic();
        let before = scene.backend.requests().len();
        let refused = one.curl("/").key(&key).send();
        refused.expect_refusal(401, "key_invalid");
        assert_eq!(scene.backend.requests().len(), before);
        // The other follows the events; nothing is asked of it meanwhile but this.
        wait_for("the other gateway to follow", || {
            (other.curl("/").key(&key).send().status == 401).then_some(())
        });
        let took = revoked.elapsed();
        assert!(took < Duration::from_secs(2), "it took {took:?}");
    }
}

/// O1: without the store known clients go on, and nothing unknown is called bad.
#[test]
fn o1_without_redis_known_clients_are_served_and_unknown_ones_told_to_come_again() {
    let mut scene = Scene::new();
    let gateway = scene.enrolling("auto");
    let (alice, bob) = (scene.world.client("alice"), scene.world.client("bob"));
    let key = gateway.claim_key(&alice);
    gateway
        .curl("/")
        .certificate(&bob)
        .send()
        .expect_status(200);
    let stranger = forged(&KeyId::generate().to_string());
    let by_stranger = || gateway.curl("/").key(&stranger).send();
    by_stranger().expect_refusal(401, "key_invalid");

    scene.store.stop();
    let carol = scene.world.client("carol");
    for _ in 0..2 {
        gateway.curl("/").key(&key).send().expect_status(200);
        gateway
            .curl("/")
            .certificate(&alice)
            .send()
            .expect_status(200);
        gateway
            .curl("/")
            .certificate(&bob)
            .send()
            .expect_status(200);
        for answer in [
            by_stranger(),
            gateway.curl("/").certificate(&carol).send(),
            gateway
                .curl(&format!("{BASE}/key"))
                .method("POST")
                .certificate(&bob)
                .send(),
        ] {
            let answer = answer.expect_refusal(503, "store_unavailable");
            let seconds: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&seconds));
        }
    }
    // What memory knows to be wrong is refused as ever.
    let wrong = forged(key.split('_').nth(2).unwrap());
    gateway
        .curl("/")
        .key(&wrong)
        .send()
        .expect_refusal(401, "key_invalid");
    wait_for("the metric to tell", || {
        (gateway.metric("keyferry_store_up") < 0.5).then_some(())
    });
    assert_eq!(gateway.health("/livez"), 200);
    assert_eq!(gateway.health("/readyz"), 200);

    scene.store.start_again();
    wait_for("the store to be back", || {
        (by_stranger().status == 401).then_some(())
    });
    gateway
        .curl("/")
        .certificate(&carol)
        .send()
        .expect_status(200);
    gateway.claim_key(&bob);
    gateway.curl("/").key(&key).send().expect_status(200);
    wait_for("the metric to tell", || {
        (gateway.metric("keyferry_store_up") > 0.5).then_some(())
    });
}
