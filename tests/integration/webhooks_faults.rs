//! What is told to webhooks arrives at least once, whatever fails meanwhile; and what comes again has the
//! id that it had.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::proxy::{Mode, Proxy};
use crate::support::store::SharedStore;
use crate::support::webhook::{Message, OTHER, Receiver};
use crate::support::world::World;
use crate::support::{wait_for, wait_longer};

/// Until a message is sent a third time, at the latest, and for another gateway to take over.
const LONG: Duration = Duration::from_mins(1);
/// How long a slow receiver takes to answer.
const SLOW: Duration = Duration::from_secs(45);

/// What `keyferry webhook dead` lists.
fn listed(gateway: &Gateway, further: &[&str]) -> Vec<Value> {
    let command = ["webhook", "dead", "hook", "--output", "json"];
    let told = gateway.cli(&[&command[..], further].concat());
    let told = told.expect_success().json();
    told["messages"].as_array().unwrap().clone()
}

fn waiting(gateway: &Gateway) -> Vec<Value> {
    listed(gateway, &["--waiting"])
}

fn dead(gateway: &Gateway) -> Vec<Value> {
    listed(gateway, &[])
}

/// What was taken so far: the key id that each message is about, and how often it was taken.
fn keys_taken(receiver: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut taken = BTreeMap::<_, Vec<_>>::new();
    for message in receiver.of("key.issued") {
        assert_eq!(message.believed(), [true], "{message:#?}");
        if message.0["status"] == 200 {
            let key = message.data()["key_id"].as_str().unwrap().to_owned();
            taken.entry(key).or_default().push(message.id());
        }
    }
    taken
}

/// Each key was told of, and whatever came again about it had the same id.
#[track_caller]
fn expect_each_once_or_again(receiver: &Receiver, keys: &[String]) {
    let taken = wait_longer("all keys to be told of", LONG, || {
        let taken = keys_taken(receiver);
        keys.iter()
            .all(|key| taken.contains_key(key))
            .then_some(taken)
    });
    assert_eq!(taken.len(), keys.len(), "{taken:#?}");
    for (key, mut ids) in taken {
        ids.dedup();
        assert_eq!(ids.len(), 1, "{key}");
    }
}

/// The id of a key that a new client fetches.
fn key_of_somebody_new(gateway: &Gateway, world: &World, name: &str) -> String {
    let key = gateway.claim_key(&world.client(name));
    key.rsplit('_').nth(1).unwrap().to_owned()
}

#[test]
fn a_receiver_that_is_down_is_told_when_it_is_back_by_the_same_ids() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let way = Proxy::to(receiver.address().port());
    let only = toml::toml! { events = ["key.issued"] };
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling_like("hook", way.address(), only)
        .start_telling();
    way.set(Mode::Refuse);
    let key = key_of_somebody_new(&gateway, &world, "alice");
    let tried = wait_for("an attempt", || {
        let waiting = waiting(&gateway);
        waiting
            .into_iter()
            .find(|one| one["attempts"].as_u64().unwrap() >= 1)
    });
    let why = tried["why"].as_str().unwrap();
    assert_eq!(why, "ConnectRefused: Connection refused (os error 111)");
    assert!(
        gateway.log().contains("does not take a message"),
        "{}",
        gateway.log()
    );
    let line = gateway.webhook();
    assert!(
        line["waiting"].as_u64().unwrap() >= 1 && line["last_failed"].is_i64(),
        "{line:#?}"
    );

    // Answers that tell nothing good, each of which counts as not taken.
    receiver.set(&json!({ "answer": 500, "times": 1 }));
    way.set(Mode::Pass);
    expect_each_once_or_again(&receiver, std::slice::from_ref(&key));
    let all: Vec<_> = receiver.of("key.issued").iter().map(Message::id).collect();
    assert!(
        all.len() >= 2 && all.iter().all(|id| *id == all[0]),
        "{all:#?}"
    );
    assert_eq!(tried["id"], json!(all[0]));
    wait_for("nothing to wait", || {
        (gateway.webhook()["waiting"] == json!(0)).then_some(())
    });
}

#[test]
fn a_receiver_that_is_slow_delays_no_other_and_no_request() {
    let (world, backend) = (World::new(), Backend::start());
    let (slow, quick) = (Receiver::knowing(&[OTHER]), Receiver::start());
    let patient = toml::toml! {
        timeout = "60s"
        secret_file = "slow.whsec"
    };
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .file("slow.whsec", OTHER)
        .telling_like("slow", slow.address(), patient)
        .telling(quick.address())
        .start_telling();
    slow.set(&json!({ "slow": SLOW.as_secs() }));
    // Whoever waits for the first answer of the slow one waits until then.
    let begun = keyferry::clock::monotonic();
    let keys: Vec<_> = (0..12)
        .map(|n| key_of_somebody_new(&gateway, &world, &format!("client-{n}")))
        .collect();
    expect_each_once_or_again(&quick, &keys);
    assert!(begun.elapsed() < SLOW, "{:?}", begun.elapsed());
    assert!(
        keys_taken(&slow).len() <= 8,
        "so many are under way at a time"
    );
    slow.set(&json!({}));
    expect_each_once_or_again(&slow, &keys);
}

/// O14: whoever controls a receiver must not get the gateway to call somebody else.
#[test]
fn o14_a_receiver_leads_the_gateway_nowhere_else() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let inside = Receiver::start();
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling(receiver.address())
        .start_telling();
    let elsewhere = format!("http://{}/inside", inside.address());
    let away = json!({ "answer": 307, "times": 9, "headers": { "Location": elsewhere } });
    receiver.set(&away);
    // Whoever follows gets there, with all that was posted.
    let follows = Curl::get(&format!("http://{}/", receiver.address()));
    let sent = follows.method("POST").body("{\"type\":\"x\"}");
    let _ = sent.option("--location").send();
    assert_eq!(inside.all().len(), 1);

    key_of_somebody_new(&gateway, &world, "alice");
    let why = wait_for("a message that is not taken", || {
        let waiting = waiting(&gateway);
        let tried = waiting.iter().find(|one| one["kind"] == "key.issued")?;
        tried["why"].as_str().map(ToOwned::to_owned)
    });
    assert_eq!(why, "it answers 307");
    assert_eq!(inside.all().len(), 1);
    let test = gateway.cli(&["webhook", "test", "hook"]);
    assert_eq!(test.status.code(), Some(1), "{test:#?}");
    assert_eq!(inside.all().len(), 1);
}

#[test]
fn a_receiver_that_wants_nothing_is_left_alone_until_the_operator_says_so() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let only = toml::toml! { events = ["key.issued"] };
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling_like("hook", receiver.address(), only)
        .start_telling();
    receiver.set(&json!({ "answer": 410, "times": 1 }));
    let mut keys = vec![key_of_somebody_new(&gateway, &world, "alice")];
    wait_for("it to want nothing", || {
        gateway.webhook()["gone"].is_i64().then_some(())
    });
    keys.push(key_of_somebody_new(&gateway, &world, "bob"));
    let all = wait_for("both to be dead", || {
        Some(dead(&gateway)).filter(|dead| dead.len() == 2)
    });
    assert!(
        all.iter()
            .all(|one| one["why"].as_str().unwrap().contains("410"))
    );
    assert_eq!(receiver.all().len(), 1, "it was asked again");
    let shown = gateway.metric("keyferry_webhook_dead{webhook=\"hook\"}");
    assert!((shown - 2.0).abs() < 0.1);

    let retried = gateway.cli(&["webhook", "retry", "hook"]).expect_success();
    assert!(retried.output.starts_with("2 message(s)"), "{retried:#?}");
    expect_each_once_or_again(&receiver, &keys);

    // What is dead can be forgotten, one or all.
    receiver.set(&json!({ "answer": 410, "times": 1 }));
    for name in ["carol", "dave"] {
        key_of_somebody_new(&gateway, &world, name);
    }
    let all = wait_for("both to be dead", || {
        Some(dead(&gateway)).filter(|dead| dead.len() == 2)
    });
    let forget = |what: &[&str]| {
        let told = gateway.cli(&[&["webhook", "forget", "hook"], what].concat());
        told.expect_success().output
    };
    let one = forget(&[all[0]["id"].as_str().unwrap()]);
    assert!(one.starts_with("1 message(s)"), "{one}");
    assert!(forget(&[]).starts_with("1 message(s)"));
    assert_eq!(dead(&gateway), [] as [Value; 0]);
    let none = gateway.cli(&["webhook", "retry", "hook", "msg_none"]);
    assert_eq!(none.status.code(), Some(1), "{none:#?}");
}

#[test]
fn what_was_not_told_survives_that_the_gateway_is_killed() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let way = Proxy::to(receiver.address().port());
    let mut gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling(way.address())
        .start_telling();
    way.set(Mode::Refuse);
    let keys = ["alice", "bob"].map(|name| key_of_somebody_new(&gateway, &world, name));
    // The one may be in the mailbox by now, and the other not yet found.
    gateway.kill();
    way.set(Mode::Pass);
    gateway.start_again();
    expect_each_once_or_again(&receiver, &keys);
}

/// Two gateways on one Redis. The one that tells is killed, and Redis goes for a while.
#[test]
fn gateways_that_share_a_redis_tell_everything_and_repeat_only_by_the_same_id() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let mut store = SharedStore::start();
    let gateway = || {
        Gateway::builder(&world)
            .echo(&backend)
            .redis(&store.url())
            .telling(receiver.address())
            .start()
    };
    let mut gateways = [gateway(), gateway()];
    gateways[0].wait_until_it_tells();
    let mut keys = Vec::new();
    for n in 0..6 {
        let name = format!("both-{n}");
        keys.push(key_of_somebody_new(&gateways[n % 2], &world, &name));
    }
    expect_each_once_or_again(&receiver, &keys);
    // While nothing fails, each is told once.
    assert!(keys_taken(&receiver).values().all(|ids| ids.len() == 1));

    let tells = |gateway: &Gateway| gateway.log().contains("this gateway tells the webhook now");
    let keeper = gateways.iter().position(tells).expect("one that tells");
    let other = 1 - keeper;
    assert!(!tells(&gateways[other]), "both tell");
    keys.push(key_of_somebody_new(
        &gateways[keeper],
        &world,
        "just-before",
    ));
    gateways[keeper].kill();
    keys.push(key_of_somebody_new(&gateways[other], &world, "just-after"));
    expect_each_once_or_again(&receiver, &keys);
    assert!(tells(&gateways[other]));

    store.stop();
    store.start_again();
    gateways[keeper].start_again();
    let name = "after-redis";
    let key = wait_for("a key after Redis came back", || {
        let client = world.client(name);
        let claim = gateways[other]
            .curl("/.well-known/keyferry/key")
            .method("POST");
        let answer = claim.certificate(&client).send();
        (answer.status == 201).then(|| answer.json()["key_id"].as_str().unwrap().to_owned())
    });
    keys.push(key);
    expect_each_once_or_again(&receiver, &keys);
}
