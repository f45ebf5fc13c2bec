//! What webhooks are to be told of, in the store: who is believed, and that it outlasts record keys.

use serde_json::json;
use toml::{Table, Value};

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::proxy::{Mode, Proxy};
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::webhook::Receiver;
use crate::support::world::World;

/// O4: whoever can write to the store, and no more, must not have the gateway sign what it made up.
#[test]
fn o4_a_message_that_somebody_put_into_the_store_is_not_sent() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let store = SharedStore::start();
    let begin = |believing: &str| {
        Gateway::builder(&world)
            .echo(&backend)
            .redis(&store.url())
            .set("store.unsigned_records", believing)
            .telling(receiver.address())
            .start()
    };
    let forged = |id: &str| {
        let body = json!({ "type": "key.issued", "timestamp": "x", "data": { "forged": id } });
        let letter = json!({
            "id": id, "kind": "key.issued", "at": 1, "body": body.to_string(), "next": 1,
        });
        format!("{{\"schema\":1,\"mailbox\":{letter}}}")
    };
    let put = |slot: &str, stored: &str| {
        let () = redis::cmd("HSET")
            .arg("kf:{kf}:mailbox:hook")
            .arg(slot)
            .arg(stored)
            .query(&mut store.server().connection())
            .unwrap();
    };
    // Where everything is believed, it is signed and sent.
    let mut gateway = begin("accept");
    gateway.wait_until_it_tells();
    assert!(gateway.stop().success());
    put("7", &forged("msg_one"));
    let gateway = begin("accept");
    let came = receiver.taken("key.issued", 1);
    assert_eq!(
        (came[0].id(), came[0].believed()),
        ("msg_one".to_owned(), vec![true])
    );
    drop(gateway);

    put("8", &forged("msg_two"));
    let gateway = begin("refuse");
    gateway.claim_key(&world.client("alice"));
    receiver.taken("key.issued", 2);
    assert!(
        receiver
            .all()
            .iter()
            .all(|message| message.id() != "msg_two")
    );
    assert!(
        gateway
            .log()
            .contains("messages in the store are not believed")
    );
}

/// A message waits while the record key that it was signed with is replaced and taken away.
#[test]
fn what_waits_outlasts_a_change_of_record_keys() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let (way, store) = (Proxy::to(receiver.address().port()), SharedStore::start());
    let begin = |keys: &[(i64, &str)]| {
        let keys = keys.iter().map(|(version, file)| {
            let mut key = Table::new();
            key.insert("version".to_owned(), (*version).into());
            key.insert("file".to_owned(), (*file).into());
            Value::Table(key)
        });
        let keys: Vec<_> = keys.collect();
        let only = toml::toml! { events = ["key.issued"] };
        Gateway::builder(&world)
            .echo(&backend)
            .redis(&store.url())
            .file("second.key", "the second record key, of 32 bytes or more")
            .set("store.record_keys", keys)
            .telling_like("hook", way.address(), only)
            .start()
    };
    let (first, second) = ((1, "record.key"), (2, "second.key"));
    way.set(Mode::Refuse);
    let mut gateway = begin(&[first]);
    gateway.wait_until_it_tells();
    gateway.claim_key(&world.client("alice"));
    let waits = |gateway: &Gateway| {
        wait_for("a message to wait", || {
            (gateway.webhook()["waiting"] == json!(1)).then_some(())
        });
    };
    waits(&gateway);
    assert!(gateway.stop().success());

    let mut gateway = begin(&[second, first]);
    wait_for("a gateway that tells", || {
        let tells = gateway.log().contains("this gateway tells the webhook now");
        tells.then_some(())
    });
    gateway.cli(&["store", "reseal"]).expect_success();
    waits(&gateway);
    assert!(gateway.stop().success());

    way.set(Mode::Pass);
    let gateway = begin(&[second]);
    let came = receiver.taken("key.issued", 1);
    assert_eq!(came[0].believed(), [true]);
    assert!(!gateway.log().contains("not believed"), "{}", gateway.log());
}
