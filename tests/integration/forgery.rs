//! Case K15: who can write to Redis, and has no record key, becomes nobody and brings nothing back.

use keyferry::certificate::Fingerprint;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

const REFUSED: &str = "keyferry_store_records_refused_total{reason=\"wrong_mac\"}";

/// Everything that a gateway has but its secrets.
struct Intruder {
    redis: redis::Connection,
    signs: bool,
}

impl Intruder {
    fn get<T: redis::FromRedisValue>(&mut self, command: &[&str]) -> T {
        let (name, arguments) = command.split_first().unwrap();
        let mut command = redis::cmd(&name.replace("kf:", "kf:{kf}:"));
        for argument in arguments {
            command.arg(argument.replace("kf:", "kf:{kf}:"));
        }
        command.query(&mut self.redis).unwrap()
    }

    fn record(&mut self, kind: &str, name: &str) -> Value {
        let stored: String = self.get(&["HGET", &format!("kf:{kind}"), name]);
        serde_json::from_str(&stored).unwrap()
    }

    fn put(&mut self, kind: &str, name: &str, stored: &str) {
        let () = self.get(&["HSET", &format!("kf:{kind}"), name, stored]);
    }

    /// As a gateway would write it, and where gateways sign, with a MAC that is none.
    fn close(&self, what: &str) -> String {
        if self.signs {
            format!("{{\"schema\":2,{what},\"mac\":\"1:{}\"}}", "0".repeat(64))
        } else {
            format!("{{\"schema\":1,{what}}}")
        }
    }

    /// The stored form of a record in the order in which gateways write it.
    fn record_of(&self, version: u64, record: &Value) -> String {
        self.close(&format!("\"version\":{version},\"record\":{record}"))
    }

    /// A change that nobody made, as the next one.
    fn tell(&mut self, record: &Value) {
        let epoch: u64 = self.get(&["GET", "kf:epoch"]);
        let before: String = self.get(&["GET", "kf:head"]);
        let next = epoch + 1;
        let event = json!({
            "epoch": next, "before": before, "action": "certificate_added",
            "actor": { "is": "gateway" }, "at": 1_795_418_999, "records": [record],
        });
        let event = self.close(&format!("\"event\":{event}"));
        let head = hex::encode(Sha256::digest(&event));
        let mut all = redis::pipe();
        all.atomic();
        all.cmd("XADD")
            .arg("kf:{kf}:events")
            .arg(format!("{next}-0"));
        all.arg("event").arg(event);
        all.set("kf:{kf}:epoch", next).set("kf:{kf}:head", head);
        all.exec(&mut self.redis).unwrap();
    }
}

fn fingerprint(identity: &Identity) -> String {
    Fingerprint::of(&identity.issued.x509.to_der().unwrap()).to_string()
}

/// Alice's certificate record, in the name of somebody else's certificate.
fn as_alice(intruder: &mut Intruder, alice: &Identity, other: &Identity) -> Value {
    let mut record = intruder.record("certificate", &fingerprint(alice))["record"].take();
    record["fingerprint"] = fingerprint(other).into();
    record
}

/// Tries it on gateways that sign, or on some that believe everything; tells what came of it.
fn attack(signs: bool) {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let builder = Gateway::builder(&world).redis(&store.url()).echo(&backend);
    let mut gateway = if signs {
        builder.start()
    } else {
        let none: Vec<toml::Value> = Vec::new();
        let builder = builder.set("store.record_keys", none);
        builder.set("store.unsigned_records", "accept").start()
    };
    let [alice, mallory, eve, carol] =
        ["alice", "mallory", "eve", "carol"].map(|it| world.client(it));
    let key = gateway.claim_key(&alice);
    let key_id = key.split('_').nth(2).unwrap();
    let who = |gateway: &Gateway, identity: &Identity| {
        let answer = gateway.curl("/").certificate(identity).send();
        (answer.status == 200).then(|| backend.last().header("x-client-id").to_owned())
    };
    let owner = who(&gateway, &alice).unwrap();
    let redis = store.connection();
    let mut intruder = Intruder { redis, signs };

    // A mapping that is told to a running gateway.
    let forged = as_alice(&mut intruder, &alice, &mallory);
    intruder.tell(&forged);
    wait_for("the gateway to have seen it", || {
        let refused = gateway.metric(REFUSED) > 0.0;
        let applied = who(&gateway, &mallory).as_ref() == Some(&owner);
        (refused || applied).then_some(())
    });
    assert_eq!(who(&gateway, &mallory).as_ref() == Some(&owner), !signs);
    if signs {
        assert!(gateway.metric(REFUSED) >= 1.0);
        assert!(
            gateway
                .log()
                .contains("the store holds what is not believed")
        );
    }
    // It holds up nothing else.
    assert_eq!(who(&gateway, &alice).as_ref(), Some(&owner));
    gateway.claim_key(&carol);
    let unharmed = who(&gateway, &carol);

    // A revoked key that is active again, in place of its record or as a change.
    let active = intruder.record("key", key_id)["record"].take();
    gateway.cli(&["key", "revoke", key_id]).expect_success();
    wait_for("the revocation", || {
        (gateway.curl("/").key(&key).send().status == 401).then_some(())
    });
    let altered = intruder.record_of(1000, &active);
    intruder.put("key", key_id, &altered);
    // A mapping in the store that a gateway starts with.
    let forged = as_alice(&mut intruder, &alice, &eve);
    let forged = intruder.record_of(1, &forged);
    intruder.put("certificate", &fingerprint(&eve), &forged);
    assert_eq!(gateway.curl("/").key(&key).send().status, 401);
    assert!(gateway.stop().success());
    gateway.start_again();
    let status = gateway.curl("/").key(&key).send().status;
    // What stands in the store in its place is not "nothing".
    assert_eq!(status, if signs { 503 } else { 200 });
    assert_eq!(who(&gateway, &eve).as_ref() == Some(&owner), !signs);
    if signs {
        assert_eq!(gateway.curl("/").certificate(&eve).send().status, 503);
        assert!(gateway.metric(REFUSED) >= 2.0);
        let listed = gateway.cli(&["key", "list"]).expect_success();
        assert!(listed.errors.contains("cannot be believed"), "{listed:#?}");
    }
    assert!(unharmed.is_some() && who(&gateway, &carol) == unharmed);
}

#[test]
fn k15_without_record_keys_who_can_write_to_redis_is_whoever_it_wants() {
    attack(false);
}

#[test]
fn k15_with_record_keys_who_can_write_to_redis_is_nobody() {
    attack(true);
}

/// An authentic record, in the place of the one that it became; and something that makes the gateway
/// load everything.
#[test]
fn k15_a_revocation_is_upheld_against_the_record_of_before() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateway = Gateway::builder(&world)
        .redis(&store.url())
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    let key_id = key.split('_').nth(2).unwrap();
    let redis = store.connection();
    let mut intruder = Intruder { redis, signs: true };
    let before: String = intruder.get(&["HGET", "kf:key", key_id]);
    gateway.cli(&["key", "revoke", key_id]).expect_success();
    wait_for("the revocation", || {
        (gateway.curl("/").key(&key).send().status == 401).then_some(())
    });
    intruder.put("key", key_id, &before);
    let forged = as_alice(&mut intruder, &alice, &world.client("mallory"));
    intruder.tell(&forged);
    wait_for("the revocation to be made again", || {
        assert_eq!(gateway.curl("/").key(&key).send().status, 401);
        let status = intruder.record("key", key_id)["record"]["status"]["is"].take();
        (status == "revoked").then_some(())
    });
}

/// The record of before is authentic, and so is what an innocent command makes of it.
#[test]
fn k15_a_change_of_the_record_of_before_takes_no_revocation_back() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateway = Gateway::builder(&world)
        .redis(&store.url())
        .backend("echo", backend.address())
        .route("/", "echo", "either")
        .start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    let by_key = || gateway.curl("/").key(&key).send().status;
    let by_certificate = || gateway.curl("/").certificate(&alice).send().status;
    assert_eq!(by_certificate(), 200);
    let id = backend.last().header("x-client-id").to_owned();
    let redis = store.connection();
    let mut intruder = Intruder { redis, signs: true };
    let before: String = intruder.get(&["HGET", "kf:client", &id]);
    gateway.cli(&["client", "disable", &id]).expect_success();
    wait_for("the client to be shut out", || {
        (by_key() == 403).then_some(())
    });

    intruder.put("client", &id, &before);
    let tag = ["client", "tag", &id, "--add", "wave-1"];
    gateway.cli(&tag).expect_success();
    wait_for("the client to be disabled again", || {
        assert_eq!(by_key(), 403);
        assert_eq!(by_certificate(), 403);
        let status = intruder.record("client", &id)["record"]["status"]["is"].take();
        (status == "disabled").then_some(())
    });
    assert!(refused(&gateway, "older") >= 1.0);

    // What the operator gives back is back.
    gateway.cli(&["client", "enable", &id]).expect_success();
    wait_for("the client to be let in", || {
        (by_key() == 200).then_some(())
    });
}

/// Gateways that sign, and three clients of theirs that have fetched their keys.
struct Known {
    world: World,
    backend: Backend,
    store: SharedStore,
    clients: [Identity; 3],
    keys: [String; 3],
    /// The record of the last key before it was fetched.
    reserved: String,
    intruder: Intruder,
}

impl Known {
    fn new() -> (Self, Gateway) {
        let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
        let gateway = Self::gateway_of(&world, &backend, &store);
        let clients = ["alice", "bob", "carol"].map(|it| world.client(it));
        let redis = store.connection();
        let mut intruder = Intruder { redis, signs: true };
        let [.., carol] = &clients;
        gateway
            .curl("/")
            .certificate(carol)
            .send()
            .expect_status(200);
        let all: Vec<(String, String)> = intruder.get(&["HGETALL", "kf:key"]);
        let [(_, reserved)] = all.try_into().unwrap();
        let keys = clients.each_ref().map(|it| gateway.claim_key(it));
        let known = Self {
            world,
            backend,
            store,
            clients,
            keys,
            reserved,
            intruder,
        };
        (known, gateway)
    }

    fn gateway(&self) -> Gateway {
        Self::gateway_of(&self.world, &self.backend, &self.store)
    }

    fn gateway_of(world: &World, backend: &Backend, store: &SharedStore) -> Gateway {
        Gateway::builder(world)
            .redis(&store.url())
            .echo(backend)
            .start()
    }

    fn key_id(&self, client: usize) -> String {
        self.keys[client].split('_').nth(2).unwrap().to_owned()
    }

    /// All records of the first client, and two of the second one.
    fn delete_and_damage(&mut self) {
        let (deleted, damaged) = (self.key_id(0), self.key_id(1));
        let owner = self.intruder.record("key", &deleted)["record"]["client"].take();
        let [alice, bob, _] = &self.clients;
        for (kind, name) in [
            ("key", deleted.as_str()),
            ("client", owner.as_str().unwrap()),
            ("certificate", &fingerprint(alice)),
        ] {
            let gone: u32 = self.intruder.get(&["HDEL", &format!("kf:{kind}"), name]);
            assert_eq!(gone, 1, "{kind} {name}");
        }
        self.intruder.put("key", &damaged, "{}");
        self.intruder.put("certificate", &fingerprint(bob), "{}");
    }

    /// What comes of every key, and of the first two certificates.
    fn statuses(&self, gateway: &Gateway) -> ([u16; 3], [u16; 2]) {
        let by_key = |key: &String| gateway.curl("/").key(key).send().status;
        let [alice, bob, _] = &self.clients;
        let by_certificate = |it| gateway.curl("/").certificate(it).send().status;
        (
            self.keys.each_ref().map(by_key),
            [alice, bob].map(by_certificate),
        )
    }
}

fn refused(gateway: &Gateway, reason: &str) -> f64 {
    let series = format!("keyferry_store_records_refused_total{{reason=\"{reason}\"}}");
    gateway.metric(&series)
}

/// No event tells of what is deleted, overwritten, or put back: whoever knew better goes on with it
/// when it loads everything. The control is a gateway that knew nothing.
#[test]
fn k15_what_a_gateway_knows_stays_known_whatever_a_load_leaves_out() {
    let (mut known, knowing) = Known::new();
    known.delete_and_damage();
    // A key that was fetched, as one that was not.
    let (older, reserved) = (known.key_id(2), known.reserved.clone());
    known.intruder.put("key", &older, &reserved);
    // Whoever would change a record is refused, and that is counted.
    let rotate = knowing.curl("/.well-known/keyferry/key/rotate");
    let rotate = rotate.method("POST").key(&known.keys[1]).send();
    rotate.expect_refusal(503, "store_unavailable");
    assert!((refused(&knowing, "damaged") - 1.0).abs() < 0.5);

    let mallory = known.world.client("mallory");
    let forged = as_alice(&mut known.intruder, &known.clients[2], &mallory);
    known.intruder.tell(&forged);
    wait_for("everything to be loaded again", || {
        (refused(&knowing, "missing") >= 3.0).then_some(())
    });
    assert!(refused(&knowing, "damaged") >= 3.0 && refused(&knowing, "older") >= 1.0);
    assert_eq!(known.statuses(&knowing), ([200; 3], [200; 2]));

    // The control has never heard of the first client. Of what is refused it knows that it does not know.
    let newcomer = known.gateway();
    assert_eq!(known.statuses(&newcomer), ([401, 503, 401], [403, 503]));

    // What is known goes on until it is changed.
    newcomer.cli(&["key", "revoke", &older]).expect_success();
    wait_for("the revocation", || {
        (knowing.curl("/").key(&known.keys[2]).send().status == 401).then_some(())
    });
    let ([_, damaged, _], [_, by_certificate]) = known.statuses(&knowing);
    assert_eq!([damaged, by_certificate], [200; 2]);
}

/// A made-up event costs one load, not one more with each look at the configuration from then on.
#[test]
fn k15_a_configuration_that_believes_no_more_than_before_loads_nothing_again() {
    let (mut known, gateway) = Known::new();
    let mallory = known.world.client("mallory");
    let forged = as_alice(&mut known.intruder, &known.clients[0], &mallory);
    known.intruder.tell(&forged);
    let told = |what: &str| gateway.log().matches(what).count();
    let loads = || told("loaded the directory");
    wait_for("everything to be loaded again", || {
        (loads() == 2).then_some(())
    });
    for times in 1..=3 {
        gateway.signal("HUP");
        wait_for("it to be taken over", || {
            (told("took the configuration over") == times).then_some(())
        });
    }
    // What is known of the second has been followed after whatever the first brought about.
    for name in ["dave", "erin"] {
        gateway.claim_key(&known.world.client(name));
    }
    assert_eq!(loads(), 2);
}

/// Of a client of which the record is refused, nothing is known either.
#[test]
fn k15_the_credentials_of_a_client_that_is_not_believed_are_not_told_to_be_bad() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let mut gateway = Gateway::builder(&world)
        .redis(&store.url())
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    let redis = store.connection();
    let mut intruder = Intruder { redis, signs: true };
    let [(owner, record)] = intruder
        .get::<Vec<(String, String)>>(&["HGETALL", "kf:client"])
        .try_into()
        .unwrap();
    let start_with = |gateway: &mut Gateway, intruder: &mut Intruder, stored: Option<&str>| {
        assert!(gateway.stop().success());
        let () = intruder.get(&["DEL", "kf:client"]);
        if let Some(stored) = stored {
            intruder.put("client", &owner, stored);
        }
        gateway.start_again();
        [
            gateway.curl("/").key(&key),
            gateway.curl("/").certificate(&alice),
        ]
        .map(|ask| ask.send().status)
    };
    let altered = record.replace("active", "Active");
    assert_ne!(altered, record);
    assert_eq!(
        start_with(&mut gateway, &mut intruder, Some(&altered)),
        [503; 2]
    );
    // The controls: it is not there, and it is as it was.
    assert_eq!(start_with(&mut gateway, &mut intruder, None), [403; 2]);
    assert_eq!(
        start_with(&mut gateway, &mut intruder, Some(&record)),
        [200; 2]
    );
}

/// With a wrong record key nothing could be believed. That is no answer to anybody.
#[test]
fn k15_with_a_wrong_record_key_nobody_is_told_to_be_unknown() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let builder = || Gateway::builder(&world).redis(&store.url()).echo(&backend);
    let gateway = builder().start();
    let key = gateway.claim_key(&world.client("alice"));
    let wrong = builder().file("record.key", "another secret of at least 32 bytes");
    let wrong = wrong.start_unready();
    wait_for("the gateway to have tried", || {
        wrong
            .log()
            .contains("cannot follow the store")
            .then_some(())
    });
    assert_eq!(wrong.health("/readyz"), 503);
    assert_eq!(wrong.curl("/").key(&key).send().status, 503);
    gateway.curl("/").key(&key).send().expect_status(200);
}
