//! Cases K14 and C7: floods are bounded, and hit whoever makes them.

use openssl::hash::MessageDigest;

use super::hostile::twin;
use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::Gateway;
use crate::support::pki::{leaf, root};
use crate::support::world::{Identity, World};

const BASE: &str = "/.well-known/keyferry";

fn claim(gateway: &Gateway, who: &Identity) -> Curl {
    let ask = gateway.curl(&format!("{BASE}/key")).method("POST");
    ask.certificate(who)
}

fn rotate(gateway: &Gateway, key: &str) -> Curl {
    let ask = gateway.curl(&format!("{BASE}/key/rotate")).method("POST");
    ask.key(key)
}

fn from(ask: Curl, address: &str) -> Curl {
    ask.option("--interface").option(address)
}

/// Asks until it is too much; twice the limit at most, since a minute may end on the way.
#[track_caller]
fn until_limited(limit: usize, mut ask: impl FnMut() -> Curl) -> Answer {
    let mut answers = (0..=2 * limit).map(|_| ask().send());
    let limited = answers.find(|answer| answer.status == 429);
    let limited = limited.expect("a limit");
    let after: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    limited.expect_refusal(429, "rate_limited")
}

#[test]
fn k14_who_asks_too_often_is_told_when_to_come_again_and_locks_nobody_else_out() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("self_service.per_credential", 4)
        .set("self_service.per_address", 1000)
        .echo(&backend)
        .start();
    let (attacker, victim) = (world.client("attacker"), world.client("victim"));
    let key = gateway.claim_key(&attacker);
    until_limited(4, || claim(&gateway, &attacker));
    // Each rotation with the key of the one before, so that it is another key every time.
    let mut newest = key.clone();
    let limited = (0..=8).find_map(|_| {
        let answer = rotate(&gateway, &newest).send();
        let next = answer.json()["key"].as_str().map(str::to_owned);
        match next {
            Some(next) => {
                newest = next;
                None
            }
            None => Some(answer),
        }
    });
    let limited = limited.expect("a limit");
    limited.expect_refusal(429, "rate_limited");
    // Only such calls are counted.
    gateway.curl("/").key(&key).send().expect_status(200);
    let cert = gateway.curl("/").certificate(&attacker).send();
    cert.expect_status(200);
    // From another address the same, since the credential is what counts.
    let elsewhere = from(claim(&gateway, &attacker), "127.0.0.2").send();
    assert!([409, 429].contains(&elsewhere.status), "{elsewhere:#?}");
    // The victim, at the same address; and it can still rotate what it gets.
    let key = gateway.claim_key(&victim);
    rotate(&gateway, &key).send().expect_status(201);
}

#[test]
fn k14_an_address_with_many_certificates_is_bounded_and_others_are_not() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("self_service.per_address", 5)
        .echo(&backend)
        .start();
    let mut number = 0;
    until_limited(5, || {
        number += 1;
        let fleet = world.client(&format!("fleet-{number}"));
        from(claim(&gateway, &fleet), "127.0.0.3")
    });
    // Whoever proves nothing is not counted, wherever it comes from.
    for _ in 0..20 {
        let ask = gateway.curl(&format!("{BASE}/key")).method("POST");
        ask.send().expect_refusal(401, "credential_missing");
    }
    gateway.claim_key(&world.client("victim"));
}

#[test]
fn c7_a_flood_of_good_certificates_of_one_authority_is_bounded() {
    let (world, backend) = (World::new(), Backend::start());
    let other = root("Other Root").self_signed();
    let gateway = Gateway::builder(&world)
        .set("enrolment.per_minute", 5)
        .file("other-root.pem", other.pem())
        .push("ca", toml::toml! { name = "other" file = "other-root.pem" })
        .echo(&backend)
        .start();
    let known = world.client("known");
    let ask = |who: &Identity| gateway.curl("/").certificate(who).send();
    ask(&known).expect_status(200);
    let flood: Vec<_> = (0..12)
        .map(|number| ask(&world.client(&format!("flood-{number}"))))
        .collect();
    let refused: Vec<_> = flood
        .into_iter()
        .filter(|answer| answer.status != 200)
        .collect();
    assert!(!refused.is_empty(), "the flood goes on for ever");
    for answer in refused {
        let answer = answer.expect_refusal(503, "overloaded");
        assert!(!answer.all("retry-after").is_empty());
    }
    // Who is known goes on, and so does the other authority's first sight.
    ask(&known).expect_status(200);
    let stranger = world.files(leaf("stranger").signed_by(&other));
    ask(&stranger).expect_status(200);
}

#[test]
fn c7_the_twin_of_a_named_certificate_uses_up_nobodys_first_sight() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("enrolment.per_minute", 3)
        .echo(&backend)
        .start();
    let ask = |who: &Identity| gateway.curl("/").certificate(who).send();
    let acme = world.client("acme");
    gateway.cli(&["client", "add", "acme"]).expect_success();
    let print = acme.issued.x509.digest(MessageDigest::sha256()).unwrap();
    let add = [
        "certificate",
        "add",
        &hex::encode(print),
        "--client",
        "acme",
    ];
    gateway.cli(&add).expect_success();
    let twin = world.files(twin(&acme.issued, &world.clients));
    for _ in 0..8 {
        ask(&twin).expect_refusal(403, "client_unregistered");
    }
    ask(&world.client("stranger")).expect_status(200);
}

#[test]
fn c7_beyond_a_number_of_clients_none_becomes_known_by_itself() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("enrolment.at_most", 3)
        .echo(&backend)
        .start();
    let ask = |who: &Identity| gateway.curl("/").certificate(who).send();
    let first = world.client("first");
    ask(&first).expect_status(200);
    for number in 2..8 {
        let answer = ask(&world.client(&format!("client-{number}")));
        if number <= 3 {
            answer.expect_status(200);
        } else {
            answer.expect_refusal(403, "client_unregistered");
        }
    }
    let clients = gateway.metric(r#"keyferry_directory_entries{kind="client"}"#);
    assert!(clients <= 3.0, "{clients}");
    ask(&first).expect_status(200);
    // The operator can still add one by hand.
    let told = gateway.cli(&["client", "add", "by-hand"]);
    told.expect_success();
}
