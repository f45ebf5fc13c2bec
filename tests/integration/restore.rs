//! Case K10: a revocation can be taken back, for a while; and warnings of what ends by itself.

use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::World;

const BASE: &str = "/.well-known/keyferry";

fn id(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

fn restore(gateway: &Gateway, id: &str, more: &[&str]) -> Told {
    gateway.cli(&[&["key", "restore", id], more].concat())
}

/// Waits until each gateway answers `key` like this.
#[track_caller]
fn wait_until(gateways: &[&Gateway], key: &str, status: u16) {
    for gateway in gateways {
        wait_for("the gateway to follow", || {
            (gateway.curl("/").key(key).send().status == status).then_some(())
        });
    }
}

#[test]
fn k10_a_revocation_is_taken_back_at_every_replica_whoever_revoked() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let replica = || {
        Gateway::builder(&world)
            .redis(&store.url())
            .echo(&backend)
            .start()
    };
    let (one, other) = (replica(), replica());
    let alice = world.client("alice");
    let key = one.claim_key(&alice);
    let both = [&one, &other];
    let revoke = one.curl(&format!("{BASE}/keys/{}", id(&key)));
    revoke.method("DELETE").key(&key).send().expect_status(204);
    wait_until(&both, &key, 401);
    restore(&one, id(&key), &["--dry-run"]).expect_success();
    let refused = one.curl("/").key(&key).send();
    refused.expect_refusal(401, "key_invalid");
    let told = restore(
        &other,
        id(&key),
        &["--output", "json", "--reason", "a mistake"],
    );
    let told = told.expect_success().json();
    assert_eq!(told["action"], "key_restored");
    assert_eq!(told["changed"], true);
    wait_until(&both, &key, 200);
    let again = restore(&one, id(&key), &["--output", "json"]);
    assert_eq!(again.expect_success().json()["changed"], false);

    // By the operator as well, until the client has another key.
    one.cli(&["key", "revoke", id(&key)]).expect_success();
    wait_until(&both, &key, 401);
    restore(&one, id(&key), &[]).expect_success();
    wait_until(&both, &key, 200);
    one.cli(&["key", "revoke", id(&key)]).expect_success();
    wait_until(&both, &key, 401);
    let next = one.claim_key(&alice);
    let refused = restore(&one, id(&key), &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:#?}");
    assert!(refused.errors.contains(id(&next)), "{refused:#?}");
    wait_until(&both, &key, 401);
    wait_until(&both, &next, 200);
}

#[test]
fn k10_after_the_window_a_revocation_stays() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("key.restore_window", "1s")
        .echo(&backend)
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    gateway.cli(&["key", "revoke", id(&key)]).expect_success();
    let late = wait_for("the window to close", || {
        let told = restore(&gateway, id(&key), &["--dry-run"]);
        (!told.status.success()).then_some(told)
    });
    assert_eq!(late.status.code(), Some(1), "{late:#?}");
    assert!(late.errors.contains("too long ago"), "{late:#?}");
    let unknown = keyferry::key::KeyId::generate().to_string();
    assert_eq!(restore(&gateway, &unknown, &[]).status.code(), Some(1));
    wait_until(&[&gateway], &key, 401);
}

#[test]
fn what_ends_soon_is_counted_listed_and_told_to_its_client() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    let client = backend.last().header("x-client-id").to_owned();
    let issue = ["key", "issue", "--client", &client, "--expires", "10d"];
    let issued = gateway.cli(&issue).expect_success();
    let key = issued.output.trim();
    wait_until(&[&gateway], key, 200);
    let whoami = gateway
        .curl(&format!("{BASE}/whoami"))
        .key(key)
        .send()
        .json();
    let days_left = |told: &Value| told["keys"][0]["days_left"].as_i64().unwrap();
    assert!((9..=10).contains(&days_left(&whoami)), "{whoami:#}");
    let listed = gateway.curl(&format!("{BASE}/keys")).key(key).send().json();
    assert!((9..=10).contains(&days_left(&listed)), "{listed:#}");
    let list = |period: &str| {
        let told = gateway.cli(&["key", "list", "--expiring", period, "--output", "json"]);
        let told: Value = told.expect_success().json();
        told["keys"].as_array().unwrap().len()
    };
    assert_eq!((list("9d"), list("11d")), (0, 1));
    let count = |kind: &str, window: &str| {
        let labels = format!(r#"{{kind="{kind}",window="{window}"}}"#);
        gateway.metric(&format!("keyferry_clients_expiring{labels}"))
    };
    wait_for("the clients to be counted", || {
        let keys = ["7d", "30d", "90d"].map(|window| count("key", window));
        (format!("{keys:?}") == "[0.0, 1.0, 1.0]").then_some(())
    });
    // The certificate, on which the client depends as well, ends within a day.
    assert!((count("cert", "7d") - 1.0).abs() < f64::EPSILON);
}
