//! Where certificates that backends are told of come from: kept only where that is needed.

use std::net::TcpListener;

use base64::prelude::{BASE64_STANDARD as STANDARD, Engine as _};
use serde_json::{Value, json};

use super::{gateway, masquerading, tell, told};
use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, secret};
use crate::support::python::{Server, run};
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

/// What is shown in a handshake that is resumed, or by a front, is shown all the same; and HTTP/2 has
/// the header as well.
#[test]
fn however_a_client_comes_its_backend_is_told_the_same() {
    let (world, backend) = (World::new(), Backend::start());
    let front = toml::toml! {
        name = "edge"
        from = ["127.0.0.1"]
        format = "rfc9440"
        secret_files = ["front.secret"]
    };
    let front_secret = "0123456789abcdef0123456789abcdef";
    let over_http2 = Server::start("grpc_server.py");
    let mut settings = masquerading(DN);
    settings.insert("protocol".to_owned(), "http2".into());
    let gateway = gateway(&world, backend.address(), DN)
        .backend_like("h2", over_http2.address(), settings)
        .route("/keyferry.test.Echo", "h2", "either")
        .file("front.secret", front_secret)
        .push("front", front)
        .start();
    let alice = world.client("alice");
    let is_told = || assert_eq!(told(&backend.last(), NAME), [b"CN=alice".to_vec()]);
    let key = gateway.claim_key(&alice);
    assert_eq!(told_of(&gateway, &backend, &key), ["CN=alice"]);
    let answer = run(
        "grpc_client.py",
        &json!({
            "address": gateway.address(), "host": HOST, "authority": world.authority,
            "certificate": alice.chain, "key": alice.key,
            "metadata": [["x-ssl-client-s-dn", "CN=admin"]],
            "method": "Unary", "messages": ["one"],
        }),
    );
    assert_eq!(answer["code"], "OK", "{answer:#}");
    let seen = answer["initial"].to_string();
    assert!(
        seen.contains("x-ssl-client-s-dn") && seen.contains("CN=alice") && !seen.contains("admin"),
        "{seen}"
    );
    let der = STANDARD.encode(alice.issued.x509.to_der().unwrap());
    let by_front = |path: &str| {
        gateway
            .curl(path)
            .header(&format!("X-Front-Secret: {front_secret}"))
            .header(&format!("Client-Cert: :{der}:"))
    };
    by_front("/").send().expect_status(200);
    is_told();
    // Beside what an attacker adds.
    let forged = by_front("/").header(&format!("{NAME}: CN=admin"));
    forged.send().expect_status(200);
    is_told();

    let session = world.path("session");
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    for resumes in [false, true] {
        let connect = gateway.s_client().certificate(&alice).tls("1.3");
        let connect = if resumes {
            connect.resume_session(&session)
        } else {
            connect.keep_session(&session)
        };
        let told = connect.send(request.as_bytes());
        assert_eq!((told.status(), told.was_resumed()), (Some(200), resumes));
        is_told();
    }
}

/// A request that goes to a second address is one.
#[test]
fn a_request_that_is_tried_again_counts_once() {
    let (world, backend) = (World::new(), Backend::start());
    let gone = { TcpListener::bind("127.0.0.1:0").unwrap() }.local_addr();
    let gone = gone.unwrap();
    let gateway = gateway(&world, gone, DN).start();
    let config = std::fs::read_to_string(gateway.config_file()).unwrap();
    let both = format!("\"{gone}\", \"{}\"", backend.address());
    let config = config.replace(&format!("\"{gone}\""), &both);
    std::fs::write(gateway.config_file(), config).unwrap();
    gateway.cli(&["reload"]).expect_success();
    let key = gateway.claim_key(&world.client("alice"));
    for _ in 0..6 {
        assert_eq!(told_of(&gateway, &backend, &key), ["CN=alice"]);
    }
    let failures = gateway.metric(r#"keyferry_upstream_failures_total{backend="legacy"}"#);
    assert!(failures > 0.0, "none was tried again");
    let recorded =
        r#"keyferry_masqueraded_requests_total{backend="legacy",certificate="recorded"} 6"#;
    assert!(gateway.metrics().contains(&format!("{recorded}\n")));
}

/// What takes the name away leaves nothing that an older program could not read; and what gives it back
/// has it learned again.
#[test]
fn what_is_superseded_is_kept_no_more_and_learned_again_when_it_is_restored() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = gateway(&world, backend.address(), DN).start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    assert_eq!(told_of(&gateway, &backend, &key), ["CN=alice"]);
    let listed = certificates(&gateway);
    assert_eq!(listed[0]["whole"], true);
    let fingerprint = listed[0]["fingerprint"].as_str().unwrap();
    let change = |verb: &[&str]| {
        let all = [&["certificate"], verb, &[fingerprint]].concat();
        gateway.cli(&all).expect_success();
    };
    change(&["supersede"]);
    assert_eq!(certificates(&gateway)[0]["whole"], false);
    change(&["supersede", "--undo"]);
    assert!(told_of(&gateway, &backend, &key).is_empty());
    wait_for("the certificate to be learned again", || {
        gateway
            .curl("/")
            .certificate(&alice)
            .send()
            .expect_status(200);
        let told = told_of(&gateway, &backend, &key);
        (told == ["CN=alice"]).then_some(())
    });
    change(&["remove"]);
    assert_eq!(certificates(&gateway)[0]["whole"], false);
    assert!(told_of(&gateway, &backend, &key).is_empty());
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
    const OTHER: &str = "X-Caller-DN";
    let both = [DN, &[(OTHER, "$ssl_client_s_dn")]].concat();
    for keeps in [false, true] {
        let (world, backend) = (World::new(), Backend::start());
        let keep = ["--keep-header", NAME, "--keep-header", OTHER];
        let keep = if keeps { &keep[..] } else { &[] };
        let options = [&["--open", "/open"], keep].concat();
        let secrets = [("legacy", &*secret("legacy"))];
        let verify = Verify::before(backend.address(), &secrets, &options);
        let gateway = gateway(&world, verify.address(), &both).start();
        let key = gateway.claim_key(&world.client("alice"));
        let told_of = told_of(&gateway, &backend, &key);
        assert_eq!(told_of.is_empty(), !keeps);
        if keeps {
            assert_eq!(told_of, ["CN=alice"]);
        }
        assert_eq!(told(&backend.last(), OTHER), [b"CN=alice".to_vec()]);
        // Past the gateway nobody says who he is. What is not named to the verifier means nothing to it.
        for (spelled, is_reserved) in [
            (NAME, true),
            ("X_SSL_Client_S_DN", true),
            (OTHER, false),
            ("X_Caller_DN", false),
        ] {
            let forged = format!(
                "GET /open HTTP/1.1\r\nHost: {HOST}\r\n{spelled}: CN=admin\r\n\
                         Connection: close\r\n\r\n"
            );
            send(verify.address(), forged.as_bytes());
            let arrived = backend.last();
            let arrived = arrived.head.windows(8).any(|part| part == b"CN=admin");
            assert_eq!(arrived, !is_reserved && !keeps, "{spelled}");
        }
    }
}
