//! Rotating keys: a new one takes the place of the old, which goes on for a while and not longer.

use keyferry::clock::{self, Timestamp};
use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::Gateway;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

const BASE: &str = "/.well-known/keyferry";
const USED: &str = "kf:{kf}:used";
const TOKEN: &str = "Idempotency-Key: 6f1c6a52-3f0e-4f5b-9a3e-1f8f5f4d2c11";

/// A gateway on a Redis, and alice, who has fetched her key.
struct Scene {
    backend: Backend,
    store: SharedStore,
    gateway: Gateway,
    alice: Identity,
    key: String,
    world: World,
}

impl Scene {
    fn new() -> Self {
        Self::with(10)
    }

    /// Where a client may have so many keys at the same time.
    fn with(keys: u32) -> Self {
        let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
        let gateway = Self::replica(&world, &backend, &store, keys);
        let alice = world.client("alice");
        let key = gateway.claim_key(&alice);
        Self {
            backend,
            store,
            gateway,
            alice,
            key,
            world,
        }
    }

    fn replica(world: &World, backend: &Backend, store: &SharedStore, keys: u32) -> Gateway {
        Gateway::builder(world)
            .redis(&store.url())
            .set("key.per_client", keys)
            .echo(backend)
            .start()
    }

    fn rotate(&self, key: &str) -> Curl {
        let ask = self.gateway.curl(&format!("{BASE}/key/rotate"));
        ask.method("POST").key(key)
    }

    fn by_key(&self, key: &str) -> Curl {
        self.gateway.curl("/").key(key)
    }

    /// What the store knows of the last use of a key.
    fn used(&self, key: &str) -> Option<String> {
        let mut question = redis::cmd("HGET");
        let question = question.arg(USED).arg(format!("key:{}", id(key)));
        question.query(&mut self.store.connection()).unwrap()
    }

    /// The id of alice.
    fn client(&self) -> String {
        let whoami = self.gateway.curl(&format!("{BASE}/whoami"));
        let told = whoami.key(&self.key).send().json();
        told["client_id"].as_str().unwrap().to_owned()
    }

    fn keys(&self, key: &str) -> Vec<Value> {
        let ask = self.gateway.curl(&format!("{BASE}/keys")).key(key);
        let listed = ask.send().expect_status(200).json();
        listed["keys"].as_array().unwrap().clone()
    }
}

fn id(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

fn moment(told: &Value) -> i64 {
    let moment: jiff::Timestamp = told.as_str().unwrap().parse().unwrap();
    moment.as_second()
}

#[test]
fn a_client_rotates_its_key_and_both_work_until_the_overlap_ends() {
    let scene = Scene::new();
    scene.store.edit_key(id(&scene.key), |key| {
        key.scopes = vec!["a".parse().unwrap()];
    });
    for (body, hours) in [(None, 24), (Some(json!({"overlap": "7d"})), 7 * 24)] {
        let old = scene
            .gateway
            .claim_key(&scene.world.client(&format!("client-{hours}")));
        let ask = match body {
            None => scene.rotate(&old),
            Some(body) => scene.rotate(&old).body(body.to_string()),
        };
        let answer = ask.send().expect_status(201);
        assert_eq!(answer.header("cache-control"), "no-store");
        let told = answer.json();
        let new = told["key"].as_str().unwrap();
        assert_eq!(told["key_id"], id(new));
        assert_eq!(told["replaces"]["key_id"], id(&old));
        let end = moment(&told["replaces"]["expires_at"]);
        let expected = clock::now().as_unix() + hours * 3600;
        assert!((expected - 60..=expected).contains(&end), "{told:#}");
        for key in [old.as_str(), new] {
            scene.by_key(key).send().expect_status(200);
            assert_eq!(scene.backend.last().header("x-key-id"), id(key));
        }
        assert_eq!(scene.keys(new).len(), 2);
    }
    // The certificate follows in the same change, and the scopes stay.
    let told = scene.rotate(&scene.key).send().expect_status(201).json();
    let whoami = scene.gateway.curl(&format!("{BASE}/whoami"));
    let told_by = whoami.certificate(&scene.alice).send().json();
    assert_eq!(told_by["key_id"], told["key_id"]);
    assert_eq!(told_by["scopes"], json!(["a"]));
}

#[test]
fn k9_a_key_ends_to_the_second_also_on_an_open_connection_and_at_other_replicas() {
    let scene = Scene::new();
    let other = Scene::replica(&scene.world, &scene.backend, &scene.store, 10);
    other.curl("/").key(&scene.key).send().expect_status(200);
    let told = scene.rotate(&scene.key).send().expect_status(201).json();
    let new = told["key"].as_str().unwrap();
    let end = clock::now().as_unix() + 4;
    scene.store.edit_key(id(&scene.key), |key| {
        key.expires_at = Some(Timestamp::from_unix(end));
    });
    for gateway in [&scene.gateway, &other] {
        // Not a second too early, not one too late, whatever the gateway has in memory.
        let ask = |path: &str| gateway.curl(path).key(&scene.key);
        let answers = std::thread::scope(|scope| {
            let open = [ask("/"), ask("/slow"), ask("/")];
            let open = scope.spawn(move || Curl::send_on_one_connection(open));
            wait_for("the end", || {
                let asked = clock::now().as_unix();
                let status = ask("/").send().status;
                let answered = clock::now().as_unix();
                assert!(status == 401 || asked < end, "good after its end");
                assert!(status == 200 || answered >= end, "ended too early");
                (status == 401).then_some(())
            });
            scene.backend.proceed();
            open.join().unwrap()
        });
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        if gateway.address() == scene.gateway.address() {
            assert_eq!(statuses, [200, 200, 401]);
            assert_eq!(answers[2].connects, 0, "it was the same connection");
        } else {
            assert_eq!(statuses, [401, 401, 401]);
        }
    }
    scene.by_key(new).send().expect_status(200);
}

#[test]
fn an_overlap_of_nothing_ends_the_old_key_with_the_answer() {
    let scene = Scene::new();
    let body = r#"{"overlap":"0"}"#;
    let told = scene.rotate(&scene.key).body(body).send();
    let told = told.expect_status(201).json();
    scene
        .by_key(&scene.key)
        .send()
        .expect_refusal(401, "key_invalid");
    let new = told["key"].as_str().unwrap();
    scene.by_key(new).send().expect_status(200);
}

#[test]
fn c6_a_certificate_alone_rotates_nothing_and_an_old_key_only_once() {
    let scene = Scene::new();
    let ask = || {
        let ask = scene.gateway.curl(&format!("{BASE}/key/rotate"));
        ask.method("POST")
    };
    let by_thief = ask().certificate(&scene.alice).send();
    by_thief.expect_refusal(403, "key_required");
    ask().send().expect_refusal(401, "credential_missing");
    let cross = scene
        .rotate(&scene.key)
        .header("Origin: https://evil.example");
    cross.send().expect_refusal(403, "cross_site_request");
    let get = scene.rotate(&scene.key).method("GET").send();
    let get = get.expect_refusal(405, "method_not_allowed");
    assert_eq!(get.header("allow"), "POST");
    assert_eq!(scene.keys(&scene.key).len(), 1, "nothing was made");

    // The owner rotates, and uses the new key; then somebody comes with the old one.
    let told = scene.rotate(&scene.key).send().expect_status(201).json();
    let new = told["key"].as_str().unwrap();
    scene.by_key(new).send().expect_status(200);
    let late = scene.rotate(&scene.key).send();
    assert!(!late.text().contains("kf_live_"), "{}", late.text());
    late.expect_refusal(409, "key_rotated");
    let mut alarms = scene.gateway.lines().into_iter();
    let alarm = |line: &Value| line["level"] == "WARN" && line["key_id"] == id(&scene.key);
    assert!(alarms.any(|line| alarm(&line)), "it is an alarm");
    scene.by_key(new).send().expect_status(200);
    let again = scene.rotate(new).send().expect_status(201).json();
    assert_eq!(again["replaces"]["key_id"], id(new));
}

#[test]
fn a_new_key_that_nobody_used_is_replaced_so_that_there_is_one_at_a_time() {
    let scene = Scene::new();
    let rotate = || scene.rotate(&scene.key).send().expect_status(201).json();
    let [lost, found] = [(); 2].map(|()| rotate()["key"].as_str().unwrap().to_owned());
    scene
        .by_key(&lost)
        .send()
        .expect_refusal(401, "key_invalid");
    scene.by_key(&found).send().expect_status(200);
    let late = scene.rotate(&scene.key).send();
    late.expect_refusal(409, "key_rotated");
}

#[test]
fn c6_a_new_key_that_was_used_at_one_replica_is_in_use_at_every_other_at_once() {
    let scene = Scene::new();
    let other = Scene::replica(&scene.world, &scene.backend, &scene.store, 10);
    let rotate = |gateway: &Gateway, key: &str| {
        let ask = gateway.curl(&format!("{BASE}/key/rotate"));
        ask.method("POST").key(key).send()
    };
    // The first use of the key was told, and so was a later one in its time.
    let told = |key: &str| {
        let told = scene.used(key)?;
        told.split(' ').next().unwrap().parse::<i64>().ok()
    };
    scene.by_key(&scene.key).send().expect_status(200);
    let first = wait_for("the first use", || told(&scene.key));
    wait_for("a later use", || {
        scene.by_key(&scene.key).send().expect_status(200);
        told(&scene.key).filter(|last| *last > first + 1)
    });

    let lost = rotate(&scene.gateway, &scene.key).expect_status(201).json();
    let new = rotate(&other, &scene.key).expect_status(201).json();
    assert_ne!(lost["key"], new["key"], "the control: nobody used it");
    let new = new["key"].as_str().unwrap();
    scene.by_key(new).send().expect_status(200);
    rotate(&other, &scene.key).expect_refusal(409, "key_rotated");
    other.curl("/").key(new).send().expect_status(200);
}

#[test]
fn c6_a_new_key_whose_use_cannot_be_read_is_not_taken_for_an_unused_one() {
    let scene = Scene::new();
    let told = scene.rotate(&scene.key).send().expect_status(201).json();
    let new = format!("key:{}", told["key_id"].as_str().unwrap());
    let mut behind = scene.store.connection();
    let used = redis::cmd("HSET").arg(USED).arg(&new).arg("x").take();
    used.exec(&mut behind).unwrap();
    let asked = scene.rotate(&scene.key).send();
    let asked = asked.expect_refusal(503, "store_unavailable");
    assert!(!asked.all("retry-after").is_empty());
    let unused = redis::cmd("HDEL").arg(USED).arg(&new).take();
    unused.exec(&mut behind).unwrap();
    scene.rotate(&scene.key).send().expect_status(201);
}

#[test]
fn a_client_has_only_so_many_keys_at_the_same_time() {
    let scene = Scene::with(3);
    let other = Scene::replica(&scene.world, &scene.backend, &scene.store, 3);
    let shown = |answer: Answer| {
        let told = answer.expect_status(201).json();
        told["key"].as_str().unwrap().to_owned()
    };
    let second = shown(scene.rotate(&scene.key).send());
    let third = shown(scene.rotate(&second).send());
    let cli = |what: &[&str]| scene.gateway.cli(what);
    let client = scene.client();
    for gateway in [&scene.gateway, &other] {
        let ask = gateway.curl(&format!("{BASE}/key/rotate")).method("POST");
        let refused = ask.key(&third).send().expect_refusal(409, "too_many_keys");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        for part in ["3 keys", "DELETE keys/", "overlap"] {
            assert!(detail.contains(part), "{detail}");
        }
    }
    for what in [
        ["key", "issue", "--client", &client].as_slice(),
        &["key", "rotate", &client],
    ] {
        let told = cli(what);
        assert_eq!(told.status.code(), Some(1), "{told:#?}");
        for part in ["key.per_client", "keyferry key revoke"] {
            assert!(told.errors.contains(part), "{told:#?}");
        }
        assert_eq!(told.output, "");
    }
    assert!(
        cli(&["key", "rotate", &client])
            .errors
            .contains("--overlap 0")
    );

    // What ends a key makes room for one.
    let fourth = shown(scene.rotate(&third).body(r#"{"overlap":"0"}"#).send());
    scene
        .rotate(&fourth)
        .send()
        .expect_refusal(409, "too_many_keys");
    let path = format!("{BASE}/keys/{}", id(&scene.key));
    let revoke = scene.gateway.curl(&path).method("DELETE").key(&fourth);
    revoke.send().expect_status(204);
    let fifth = shown(scene.rotate(&fourth).send());
    // A lost answer has its place, and the key that replaces it gets that.
    let sixth = shown(scene.rotate(&fourth).send());
    scene
        .by_key(&fifth)
        .send()
        .expect_refusal(401, "key_invalid");
    scene.by_key(&sixth).send().expect_status(200);
    let usable = scene.keys(&sixth).into_iter();
    assert_eq!(usable.filter(|key| key["status"] == "active").count(), 3);
}

#[test]
fn of_rotations_at_two_gateways_no_more_pass_than_there_is_room_for() {
    let scene = Scene::with(3);
    let other = Scene::replica(&scene.world, &scene.backend, &scene.store, 3);
    let issue = ["key", "issue", "--client", &scene.client()];
    let issued = scene.gateway.cli(&issue).expect_success();
    let issued = issued.output.trim();
    wait_for("the gateway to follow", || {
        (other.curl("/").key(issued).send().status == 200).then_some(())
    });
    let rotate = |gateway: &Gateway, key: &str| {
        let ask = gateway.curl(&format!("{BASE}/key/rotate"));
        ask.method("POST").key(key).send().status
    };
    let mut statuses = std::thread::scope(|scope| {
        let one = scope.spawn(|| rotate(&scene.gateway, &scene.key));
        let two = scope.spawn(|| rotate(&other, issued));
        [one, two].map(|thread| thread.join().unwrap())
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[test]
fn c6_a_revoked_key_stays_revoked_by_whom_it_was() {
    let scene = Scene::new();
    let answer = scene.rotate(&scene.key).send().expect_status(201).json();
    let next = answer["key"].as_str().unwrap().to_owned();
    scene.by_key(&next).send().expect_status(200);
    let told = scene.gateway.cli(&["key", "revoke", id(&next)]);
    told.expect_success();
    wait_for("the revocation to arrive", || {
        (scene.by_key(&next).send().status == 401).then_some(())
    });
    // Whoever has the old key, which goes on for a while, gives it up in the client's name.
    let path = format!("{BASE}/keys/{}", id(&next));
    let again = scene.gateway.curl(&path).method("DELETE").key(&scene.key);
    again.send().expect_status(204);
    // It was the operator, so the client may claim another.
    scene.gateway.claim_key(&scene.alice);
}

#[test]
fn c4_a_rotation_is_repeated_only_with_its_token_and_its_key() {
    let scene = Scene::new();
    let first = scene.rotate(&scene.key).header(TOKEN).send();
    let first = first.expect_status(201).json();
    for _ in 0..2 {
        let again = scene.rotate(&scene.key).header(TOKEN).send();
        assert_eq!(again.expect_status(201).json(), first);
    }
    let new = first["key"].as_str().unwrap();
    assert_eq!(scene.keys(new).len(), 2);
    // Not by the certificate, which the new key id belongs to as well.
    let claim = scene.gateway.curl(&format!("{BASE}/key")).method("POST");
    let claim = claim.certificate(&scene.alice).header(TOKEN).send();
    assert!(!claim.text().contains("kf_live_"), "{}", claim.text());
    claim.expect_refusal(409, "key_already_issued");
    // Nor by another client with the same token.
    let bobs = scene.gateway.claim_key(&scene.world.client("bob"));
    let told = scene.rotate(&bobs).header(TOKEN).send().expect_status(201);
    assert_ne!(told.json()["key"], first["key"]);
}

#[test]
fn c3_of_parallel_rotations_exactly_one_is_carried_out() {
    let scene = Scene::new();
    let answers = std::thread::scope(|scope| {
        let ask = |()| scope.spawn(|| scene.rotate(&scene.key).header(TOKEN).send());
        [(); 6].map(ask).map(|thread| thread.join().unwrap())
    });
    let mut shown: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect_status(201).json()["key"].to_string())
        .collect();
    shown.dedup();
    assert_eq!(shown.len(), 1);
    assert_eq!(scene.keys(&scene.key).len(), 2);
}

#[test]
fn a_body_that_means_nothing_rotates_nothing() {
    let scene = Scene::new();
    let long = format!(r#"{{"overlap":"{}"}}"#, "1".repeat(5000));
    for body in [
        "x",
        "{",
        "[]",
        r#"{"overlap":"2h"}"#,
        r#"{"overlap":86400}"#,
        r#"{"more":1}"#,
        &long,
    ] {
        for ask in [scene.rotate(&scene.key).http1(), scene.rotate(&scene.key)] {
            let answer = ask.body(body).send();
            answer.expect_refusal(400, "request_malformed");
        }
    }
    assert_eq!(scene.keys(&scene.key).len(), 1);
    let empty = scene.rotate(&scene.key).body("{}").send();
    empty.expect_status(201);
}

#[test]
fn the_operator_rotates_the_newest_key_of_a_client() {
    let scene = Scene::new();
    let client = &scene.client();
    let cli = |more: &[&str]| {
        let arguments = [&["key", "rotate", client, "--output", "json"], more].concat();
        scene.gateway.cli(&arguments)
    };
    let dry = cli(&["--dry-run"]).expect_success().json();
    assert_eq!((&dry["key"], &dry["key_id"]), (&Value::Null, &Value::Null));
    assert_eq!(scene.keys(&scene.key).len(), 1);

    let told = cli(&["--overlap", "0", "--expires", "30d", "--reason", "lost"]);
    let told = told.expect_success().json();
    assert_eq!(told["action"], "key_rotated");
    assert_eq!(told["replaces"]["key_id"], id(&scene.key));
    let new = told["key"].as_str().unwrap();
    wait_for("the gateway to follow", || {
        (scene.by_key(new).send().status == 200).then_some(())
    });
    let old = scene.by_key(&scene.key).send();
    old.expect_refusal(401, "key_invalid");

    let plain = scene.gateway.cli(&["key", "rotate", client]);
    let plain = plain.expect_success();
    let newest = plain.output.trim();
    assert!(newest.starts_with("kf_live_") && newest != new, "{plain:?}");
    assert!(!plain.errors.contains(newest), "shown once");
    let bad = scene
        .gateway
        .cli(&["key", "rotate", client, "--overlap", "2h"]);
    assert_eq!(bad.status.code(), Some(64));
    let nobody = scene.gateway.cli(&["key", "rotate", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
}
