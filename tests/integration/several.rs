//! Commands that name several things at once, and those that concern one client among many.

use keyferry::certificate::Fingerprint;
use serde_json::{Value as Json, json};

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::store::SharedStore;
use crate::support::world::{Identity, World};

fn start(world: &World, store: &SharedStore, enrolment: &str) -> (Gateway, Backend) {
    let backend = Backend::start();
    let gateway = Gateway::builder(world)
        .redis(&store.url())
        .echo(&backend)
        .set("enrolment.mode", enrolment)
        .start();
    (gateway, backend)
}

fn ask(gateway: &Gateway, arguments: &[&str]) -> Json {
    let arguments = [arguments, &["--output", "json"]].concat();
    gateway.cli(&arguments).expect_success().json()
}

#[track_caller]
fn expect_refusal(told: &Told, status: i32, words: &str) {
    assert_eq!(told.status.code(), Some(status), "{told:#?}");
    assert!(told.errors.contains(words), "{told:#?}");
}

fn path(client: &Identity) -> &str {
    client.chain.to_str().unwrap()
}

fn fingerprint(client: &Identity) -> String {
    let der = client.issued.x509.to_der().unwrap();
    Fingerprint::of(&der).to_string()
}

fn ids(gateway: &Gateway, filter: &[&str]) -> Vec<String> {
    let listed = ask(gateway, &[&["client", "list"], filter].concat());
    let clients = listed["clients"].as_array().unwrap().iter();
    clients
        .map(|client| client["client_id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn several_clients_change_together_or_not_at_all() {
    let (world, store) = (World::new(), SharedStore::start());
    let (gateway, _backend) = start(&world, &store, "registered");
    let added = ask(&gateway, &["client", "add", "a", "b", "a", "--tag", "x"]);
    assert_eq!(
        (&added["changed"], &added["epoch"], &added["clients"]),
        (
            &json!(true),
            &json!(1),
            &json!([{ "client_id": "a" }, { "client_id": "b" }])
        )
    );
    expect_refusal(
        &gateway.cli(&["client", "add", "c", "b", "d"]),
        1,
        "there is a client b already",
    );
    assert_eq!(ids(&gateway, &[]), ["a", "b"]);

    let tag = |names: &[&str]| {
        let tag = [&["client", "tag"], names, &["--add", "mobile"]].concat();
        gateway.cli(&tag)
    };
    expect_refusal(&tag(&["a", "c"]), 1, "there is no client c");
    assert_eq!(ids(&gateway, &["--cohort", "mobile"]), [""; 0]);
    assert_eq!(tag(&["a"]).expect_success().output, "tagged a: mobile x\n");
    let told = tag(&["a", "b"]).expect_success().output;
    assert_eq!(
        told,
        "a has these tags already: mobile x\ntagged b: mobile x\n"
    );
    assert_eq!(ids(&gateway, &["--cohort", "mobile"]), ["a", "b"]);

    let switched = ask(&gateway, &["client", "disable", "b", "a", "--dry-run"]);
    assert_eq!(
        (&switched["changed"], &switched["epoch"]),
        (&json!(true), &Json::Null)
    );
    let switched = ask(&gateway, &["client", "disable", "b", "a"]);
    assert_eq!(switched["epoch"], 4);
    let again = gateway
        .cli(&["client", "disable", "a", "b"])
        .expect_success();
    assert_eq!(
        again.output,
        "a is disabled already\nb is disabled already\n"
    );
    let one = ask(&gateway, &["client", "enable", "a"]);
    assert_eq!(
        (&one["client_id"], &one["clients"]),
        (&json!("a"), &Json::Null)
    );

    let many: Vec<_> = (0..1001).map(|n| format!("c{n}")).collect();
    let add = |count: usize| {
        let some = many.iter().take(count).map(String::as_str);
        let add: Vec<_> = ["client", "add"].into_iter().chain(some).collect();
        gateway.cli(&add)
    };
    expect_refusal(&add(1001), 64, "c1000");
    add(1000).expect_success();
    assert_eq!(ids(&gateway, &[]).len(), 1002);
}

#[test]
fn of_several_certificates_the_good_ones_are_given() {
    let (world, store) = (World::new(), SharedStore::start());
    let (gateway, backend) = start(&world, &store, "approve");
    let clients = ["alice", "bob", "carol"].map(|name| world.client(name));
    let fingerprints = clients.each_ref().map(|client| {
        let answer = gateway.curl("/").certificate(client).send();
        answer.expect_refusal(403, "approval_pending");
        fingerprint(client)
    });
    let [alice, bob, carol] = fingerprints.each_ref().map(String::as_str);
    gateway.cli(&["client", "add", "acme"]).expect_success();

    let nobody = "0".repeat(64);
    let told = gateway.cli(&["certificate", "approve", alice, &nobody, bob]);
    expect_refusal(&told, 1, "1 of the certificates were not given, and 2 were");
    assert!(
        told.errors
            .contains(&format!("{nobody} was not given: there is no certificate"))
    );
    assert_eq!(told.output.matches("gave the certificate to").count(), 2);
    let mut seen = Vec::new();
    for client in &clients[..2] {
        let answer = gateway.curl("/").certificate(client).send();
        answer.expect_status(200);
        seen.push(backend.last().header("x-client-id").to_owned());
    }
    assert!(
        seen[0].starts_with("alice-") && seen[1].starts_with("bob-"),
        "{seen:?}"
    );

    let add = [
        "certificate",
        "add",
        "--client",
        "acme",
        path(&clients[0]),
        carol,
    ];
    let told = gateway.cli(&[add.as_slice(), &["--output", "json"]].concat());
    expect_refusal(&told, 1, "1 of the certificates were not given, and 1 were");
    let told = told.json();
    assert_eq!(told["certificates"][0]["certificate"]["fingerprint"], carol);
    assert_eq!(told["certificates"][0]["changed"], true);
    assert_eq!(told["refused"][0]["named"], path(&clients[0]));
    let answer = gateway.curl("/").certificate(&clients[2]).send();
    answer.expect_status(200);
    assert_eq!(backend.last().header("x-client-id"), "acme");
}

/// Makes a client with a certificate and a key, both of which it uses. Gives the key.
fn make(gateway: &Gateway, id: &str, client: &Identity) -> String {
    gateway.cli(&["client", "add", id]).expect_success();
    let add = ["certificate", "add", "--client", id, path(client)];
    gateway.cli(&add).expect_success();
    let by_certificate = gateway.curl("/").certificate(client).send();
    by_certificate.expect_status(200);
    let issued = ask(gateway, &["key", "issue", "--client", id]);
    let key = issued["key"].as_str().unwrap().to_owned();
    gateway.curl("/").key(&key).send().expect_status(200);
    key
}

/// Damages everything that the store holds of a client.
fn damage(store: &SharedStore, id: &str, certificate: &str, key: &str) {
    for (hash, field) in [
        ("client", id),
        ("certificate", certificate),
        ("key", key),
        ("seen", &format!("{id}:certificate")),
        ("used", &format!("certificate:{certificate}")),
        ("used", &format!("key:{key}")),
    ] {
        let mut overwrite = redis::cmd("HSET");
        overwrite.arg(format!("kf:{{kf}}:{hash}"));
        overwrite.arg(field).arg("damaged");
        let new: u64 = overwrite.query(&mut store.connection()).unwrap();
        assert_eq!(new, 0, "{hash} {field} was there");
    }
    let mut add = redis::cmd("ZADD");
    add.arg("kf:{kf}:owned").arg(0).arg(format!("{id} damaged"));
    let new: u64 = add.query(&mut store.connection()).unwrap();
    assert_eq!(new, 1);
}

/// Damage is what shows who was read.
#[test]
fn a_command_about_one_client_reads_no_other() {
    let (world, store) = (World::new(), SharedStore::start());
    let (mut gateway, _backend) = start(&world, &store, "auto");
    let [alice, bob] = ["alice", "bob"].map(|name| world.client(name));
    let [own, others] = [&alice, &bob].map(fingerprint);
    let [key, anothers] = [("acme", &alice), ("other", &bob)].map(|(id, client)| {
        let key = make(&gateway, id, client);
        key.split('_').nth(2).unwrap().to_owned()
    });
    // It tells what it has seen when it ends.
    gateway.stop();
    damage(&store, "other", &others, &anothers);

    let shown = ask(&gateway, &["client", "show", "acme"]);
    let used = |kind: &str| shown[kind][0]["last_used"].is_object();
    assert!(used("certificates") && used("keys"), "{shown:#}");
    let (file, next) = (path(&alice), "ab".repeat(32));
    let seal = ["--client", "acme", "--seal", "--certificate", file];
    for arguments in [
        &["client", "tag", "acme", "--add", "mobile"][..],
        &["key", "list", "--client", "acme"],
        &["key", "revoke", &key],
        &["key", "restore", &key],
        &["key", "rotate", "acme"],
        &["key", "issue", "--client", "acme"],
        &[["key", "issue"].as_slice(), &seal].concat(),
        &["certificate", "list", "--client", "acme"],
        &["certificate", "announce", "acme", "--spki", &next],
        &["certificate", "supersede", &own],
        &["certificate", "supersede", &own, "--undo"],
        &["certificate", "approve", &own],
        &["certificate", "remove", &own],
        &["certificate", "add", "--client", "acme", file],
    ] {
        let told = gateway.cli(arguments).expect_success();
        assert!(!told.errors.contains("is refused"), "{told:?}");
    }
    // The control: whoever reads everything, or the other, meets the damage and tells it.
    for arguments in [
        &["client", "list"][..],
        &["status"],
        &["client", "show", "other"],
        &["certificate", "remove", own.get(..16).unwrap()],
    ] {
        let told = gateway.cli(arguments);
        assert!(told.errors.contains("client:other is refused"), "{told:?}");
    }
}
