//! Where certificates that backends are told of come from: kept only where that is needed.

use serde_json::{Value, json};

use super::{gateway, masquerading, told};
use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, secret};
use crate::support::store::SharedStore;
use crate::support::verify::{Verify, send};
use crate::support::wait_for;
use crate::support::world::{HOST, World};

const NAME: &str = "X-SSL-Client-S-DN";
const DN: &[(&str, &str)] = &[(NAME, "$ssl_client_s_dn")];

fn told_of(gateway: &Gateway, backend: &Backend, key: &str) -> Vec<String> {
    gateway.curl("/").key(key).send().expect_status(200);
    let told = told(&backend.last(), NAME);
    told.into_iter()
        .map(|value| String::from_utf8(value).unwrap())
        .collect()
}

fn certificates(gateway: &Gateway) -> Vec<Value> {
    let list = gateway.cli(&["certificate", "list", "--output", "json"]);
    let list = list.expect_success().json();
    list["certificates"].as_array().unwrap().clone()
}

/// From now on its backend gets these headers.
fn tell(gateway: &Gateway, headers: &[(&str, &str)]) {
    let config = std::fs::read_to_string(gateway.config_file()).unwrap();
    let mut config: toml::Table = config.parse().unwrap();
    let backend = config["backend"][0].as_table_mut().unwrap();
    backend.extend(masquerading(headers));
    std::fs::write(gateway.config_file(), config.to_string()).unwrap();
    gateway.cli(&["reload"]).expect_success();
}

fn is_counted(gateway: &Gateway) -> bool {
    let page = gateway.metrics();
    page.contains("keyferry_masqueraded_requests_total{")
}

fn debt(gateway: &Gateway) -> Value {
    let status = gateway.cli(&["status", "--output", "json"]);
    status.expect_success().json()["debt"].take()
}

fn is_warned_of(gateway: &Gateway) -> bool {
    let look = ["doctor", "--no-backends", "--output", "json"];
    let report = gateway.cli(&look).json();
    let mut findings = report["findings"].as_array().unwrap().iter();
    let found = findings.find(|one| one["check"] == "configuration_masquerade");
    found.expect("a finding")["outcome"] == "warning"
}

#[test]
fn nothing_is_kept_until_a_backend_is_told_and_then_it_is_learned() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = gateway(&world, backend.address(), &[]).start();
    let [alice, bob, named] = ["alice", "bob", "named"].map(|name| world.client(name));
    let comes = |who| gateway.curl("/").certificate(who).send().expect_status(200);
    comes(&bob);
    let key = gateway.claim_key(&alice);
    gateway.cli(&["client", "add", "named"]).expect_success();
    let file = named.chain.to_str().unwrap();
    let add = ["certificate", "add", file, "--client", "named"];
    gateway.cli(&add).expect_success();
    let known = certificates(&gateway);
    assert!(known.iter().all(|one| one["whole"] == false), "{known:#?}");
    assert!(told_of(&gateway, &backend, &key).is_empty());
    assert!(!is_counted(&gateway) && !is_warned_of(&gateway));

    tell(&gateway, DN);
    assert!(told_of(&gateway, &backend, &key).is_empty());
    let owed = |clients, not_served| json!({ "backends": ["legacy"], "clients": clients, "clients_not_served": not_served });
    assert_eq!(debt(&gateway), owed(0, 1));
    wait_for("the certificate to be learned as it is", || {
        // What is known is loaded again first, to keep certificates from then on.
        comes(&alice);
        assert_eq!(told(&backend.last(), NAME), [b"CN=alice".to_vec()]);
        let told = told_of(&gateway, &backend, &key);
        (told == ["CN=alice"]).then_some(())
    });
    assert_eq!(debt(&gateway), owed(1, 0));
    // Whoever fetches its key is known at once.
    let bobs = gateway.claim_key(&bob);
    assert_eq!(told_of(&gateway, &backend, &bobs), ["CN=bob"]);
    // Handed in again, one that is the client's already is completed.
    gateway.cli(&add).expect_success();
    let kept = certificates(&gateway);
    let mut mapped = kept.iter().filter(|one| one["status"] == "mapped");
    assert!(mapped.all(|one| one["whole"] == true), "{kept:#?}");
    assert!(is_counted(&gateway) && is_warned_of(&gateway));

    tell(&gateway, &[]);
    assert!(told_of(&gateway, &backend, &key).is_empty());
    assert!(!is_counted(&gateway) && !is_warned_of(&gateway));
}

#[test]
fn a_gateway_that_starts_from_its_snapshot_tells_of_who_comes_by_key() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let mut gateway = gateway(&world, backend.address(), DN)
        .redis(&store.url())
        .set("store.snapshot", "keyferry.snapshot")
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    assert_eq!(told_of(&gateway, &backend, &key), ["CN=alice"]);
    // Which writes the snapshot.
    assert!(gateway.stop().success());
    drop(store);
    gateway.start_again();
    assert_eq!(told_of(&gateway, &backend, &key), ["CN=alice"]);
}

#[test]
fn long_bodies_and_both_versions_of_http_are_told_the_same() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = gateway(&world, backend.address(), DN).start();
    let key = gateway.claim_key(&world.client("alice"));
    for ask in [
        gateway.curl("/").http1(),
        gateway.curl("/").http2(),
        // Not by the plain exchange.
        gateway.curl("/").http2().upload(100_000),
        gateway.curl("/").http1().upload(100_000),
    ] {
        ask.key(&key).send().expect_status(200);
        assert_eq!(told(&backend.last(), NAME), [b"CN=alice".to_vec()]);
    }
}

#[test]
fn a_verifier_keeps_the_header_where_the_signature_is_good_and_nowhere_else() {
    for keeps in [false, true] {
        let (world, backend) = (World::new(), Backend::start());
        let keep: &[&str] = if keeps { &["--keep-header", NAME] } else { &[] };
        let options = [&["--open", "/open"], keep].concat();
        let secrets = [("legacy", &*secret("legacy"))];
        let verify = Verify::before(backend.address(), &secrets, &options);
        let gateway = gateway(&world, verify.address(), DN).start();
        let key = gateway.claim_key(&world.client("alice"));
        let told_of = told_of(&gateway, &backend, &key);
        assert_eq!(told_of.is_empty(), !keeps);
        if keeps {
            assert_eq!(told_of, ["CN=alice"]);
        }
        // Past the gateway nobody says who he is.
        for spelled in [NAME, "X_SSL_Client_S_DN"] {
            let forged = format!(
                "GET /open HTTP/1.1\r\nHost: {HOST}\r\n{spelled}: CN=admin\r\n\
                         Connection: close\r\n\r\n"
            );
            send(verify.address(), forged.as_bytes());
            let arrived = backend.last();
            assert!(
                !arrived.head.windows(8).any(|part| part == b"CN=admin"),
                "{spelled}"
            );
        }
    }
}
