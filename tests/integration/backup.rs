//! The operator saves a store, checks it, loses it, and brings it back; and moves it elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use redis::streams::StreamRangeReply;
use sha2::{Digest as _, Sha256};

use crate::support::gateway::{Builder, Gateway};
use crate::support::scene::Scene;
use crate::support::wait_for;

impl Scene {
    fn embedded(&self) -> Builder<'_> {
        Gateway::builder(&self.world).echo(&self.backend)
    }

    fn redis(&self) -> Gateway {
        self.builder().start()
    }

    fn file(&self, name: &str) -> String {
        self.world.path(name).display().to_string()
    }

    fn redis_says(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let _: redis::Value = command.query(&mut self.store.connection()).unwrap();
    }

    /// Leaves the store as a restore leaves it that was killed before it brought any client.
    fn break_off(&self) {
        let mut events = redis::cmd("XREVRANGE");
        events.arg("kf:{kf}:events").arg("+").arg("-");
        let events: StreamRangeReply = events.query(&mut self.store.connection()).unwrap();
        let [end, before, ..] = &events.ids[..] else {
            panic!("too few changes");
        };
        let event: String = before.get("event").unwrap();
        let epoch = before.id.strip_suffix("-0").unwrap();
        let head = hex::encode(Sha256::digest(event));
        self.redis_says(&["XDEL", "kf:{kf}:events", &end.id]);
        self.redis_says(&["XSETID", "kf:{kf}:events", &before.id]);
        self.redis_says(&["MSET", "kf:{kf}:epoch", epoch, "kf:{kf}:head", &head]);
        self.redis_says(&[
            "DEL",
            "kf:{kf}:client",
            "kf:{kf}:certificate",
            "kf:{kf}:key",
        ]);
    }
}

fn id(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.curl("/").key(key).send().status
}

#[track_caller]
fn verified(gateway: &Gateway, more: &[&str], found: &[&str]) {
    let command = [&["store", "verify", "--output", "json"], more].concat();
    let told = gateway.cli(&command);
    let report = told.json();
    let status = i32::from(!found.is_empty());
    assert_eq!(told.status.code(), Some(status), "{report:#}");
    for what in found {
        assert!(
            report["wrong"].to_string().contains(what),
            "{what}: {report:#}"
        );
    }
}

#[test]
fn what_was_revoked_after_the_backup_stays_revoked_behind_a_running_gateway() {
    let scene = Scene::new();
    let gateway = scene.redis();
    let [kept, revoked] = ["alice", "bob"].map(|name| gateway.claim_key(&scene.world.client(name)));
    let (backup, audit) = (scene.file("backup"), scene.file("audit"));
    gateway.cli(&["store", "backup", &backup]).expect_success();
    gateway
        .cli(&["key", "revoke", id(&revoked)])
        .expect_success();
    gateway
        .cli(&["audit", "export", "--file", &audit])
        .expect_success();
    wait_for("the gateway to follow", || {
        (status(&gateway, &revoked) == 401).then_some(())
    });

    scene.redis_says(&["FLUSHALL"]);
    wait_for("the gateway to find its store empty", || {
        (gateway.metric("keyferry_store_lost") > 0.0).then_some(())
    });
    assert_eq!(status(&gateway, &kept), 200);
    let restore = [
        "store", "restore", &backup, "--output", "json", "--reason", "a drill",
    ];
    let told = gateway.cli(&restore).expect_success();
    assert_eq!(told.json()["changed"], true);
    wait_for("the gateway to take what was restored", || {
        assert_eq!(status(&gateway, &revoked), 401);
        assert_eq!(status(&gateway, &kept), 200);
        (gateway.metric("keyferry_store_lost") == 0.0).then_some(())
    });
    // It is revoked again where the backup did not know.
    let list = || {
        let told = gateway
            .cli(&["key", "list", "--output", "json"])
            .expect_success();
        let keys = told.json()["keys"].clone();
        let keys = keys.as_array().unwrap().clone();
        let found = keys.into_iter().find(|key| key["key_id"] == id(&revoked));
        found.unwrap().to_string()
    };
    wait_for("the gateway to make the revocation again", || {
        list().contains("\"revoked\"").then_some(())
    });
    assert_eq!(status(&gateway, &revoked), 401);
    verified(&gateway, &[], &[]);
    let changes = gateway.cli(&["audit", "list"]).expect_success().output;
    assert!(
        changes.contains("store_restored") && changes.contains("a drill"),
        "{changes}"
    );
    drop(gateway);

    // The control: where no gateway remembers, the backup alone revives it, and the export helps.
    for (more, answer) in [(vec![], 200), (vec!["--audit", &audit], 401)] {
        scene.redis_says(&["FLUSHALL"]);
        let gateway = scene.redis();
        let command = [&["store", "restore", &backup][..], &more].concat();
        gateway.cli(&command).expect_success();
        wait_for("the gateway to follow", || {
            (status(&gateway, &kept) == 200).then_some(())
        });
        assert_eq!(status(&gateway, &revoked), answer, "{more:?}");
    }
}

#[test]
fn a_backup_is_for_its_owner_and_comes_whole_or_not_at_all() {
    let scene = Scene::new();
    let gateway = scene.embedded().start();
    let file = scene.file("backup");
    // Most likely another store is meant.
    let nothing = gateway.cli(&["store", "backup", &file]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing:#?}");
    verified(&gateway, &[], &["nothing was ever written"]);
    let key = gateway.claim_key(&scene.world.client("alice"));
    gateway.cli(&["store", "backup", &file]).expect_success();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(id(&key)) && !text.contains(&key), "{text}");
    assert!(!text.contains("\"receipt\""), "{text}");
    let again = gateway.cli(&["store", "backup", &file]);
    assert_eq!(again.status.code(), Some(64), "{again:#?}");
    let to_output = gateway.cli(&["store", "backup", "-"]).expect_success();
    let copy = scene.file("copy");
    fs::write(&copy, to_output.output).unwrap();
    for file in [&file, &copy] {
        verified(&gateway, &[file], &[]);
    }

    // What was altered changes nothing.
    let head = || gateway.cli(&["store", "status"]).expect_success().output;
    let before = head();
    let altered = scene.file("altered");
    fs::write(&altered, text.replace("\"active\"", "\"Active\"")).unwrap();
    let told = gateway.cli(&["store", "restore", &altered]);
    assert_eq!(told.status.code(), Some(65), "{told:#?}");
    assert!(told.errors.contains("not authentic"), "{told:#?}");
    verified(&gateway, &[&altered], &["not authentic"]);
    gateway.cli(&["store", "restore", &file]).expect_success();
    assert_eq!(head(), before);
}

#[test]
fn what_is_not_believed_is_left_out_and_told() {
    let scene = Scene::new();
    let gateway = scene.redis();
    let [kept, forged] = ["alice", "bob"].map(|name| gateway.claim_key(&scene.world.client(name)));
    scene.redis_says(&["HSET", "kf:{kf}:key", id(&forged), "{\"schema\":1}"]);
    let file = scene.file("backup");
    let told = gateway.cli(&["store", "backup", &file, "--output", "json"]);
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    assert!(
        told.json()["left_out"].to_string().contains(id(&forged)),
        "{told:#?}"
    );
    let text = fs::read_to_string(&file).unwrap();
    let is_key = |line: &&str| line.contains("\"kind\":\"key\"");
    let keys: Vec<_> = text.lines().filter(is_key).collect();
    assert!(keys.len() == 1 && keys[0].contains(id(&kept)), "{keys:?}");
    // The certificate that names it is there, and the key is not.
    verified(
        &gateway,
        &[&file],
        &[&format!("key:{}, which is missing", id(&forged))],
    );

    // Nothing names a phase, and it is missed all the same.
    scene.redis_says(&["DEL", "kf:{kf}:key", "kf:{kf}:certificate", "kf:{kf}:alias"]);
    scene.redis_says(&["HSET", "kf:{kf}:phase", "all", "{\"schema\":1}"]);
    let file = scene.file("phases");
    let told = gateway.cli(&["store", "backup", &file]);
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    verified(&gateway, &[&file], &["left out: phase:all"]);
    scene.redis_says(&["FLUSHALL"]);
    let told = gateway.cli(&["store", "restore", &file]);
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    assert!(told.errors.contains("1 left out"), "{told:#?}");
}

/// Whoever can write to the export can swap its lines, or take some away: each is authentic.
#[test]
fn an_export_whose_changes_are_not_in_their_order_revives_nothing() {
    let scene = Scene::new();
    let mut gateway = scene.redis();
    let key = gateway.claim_key(&scene.world.client("alice"));
    let (backup, audit) = (scene.file("backup"), scene.file("audit"));
    gateway.cli(&["store", "backup", &backup]).expect_success();
    for change in ["revoke", "restore", "revoke"] {
        gateway.cli(&["key", change, id(&key)]).expect_success();
    }
    let export = ["audit", "export", "--file", &audit];
    gateway.cli(&export).expect_success();
    gateway.stop();
    let text = fs::read_to_string(&audit).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (last, before) = (lines.len() - 1, lines.len() - 2);
    let mut swapped = lines.clone();
    swapped.swap(last, before);
    let mut without = lines.clone();
    without.remove(before);
    for altered in [swapped, without] {
        scene.redis_says(&["FLUSHALL"]);
        fs::write(&audit, altered.join("\n") + "\n").unwrap();
        let told = gateway.cli(&["store", "restore", &backup, "--audit", &audit]);
        assert_eq!(told.status.code(), Some(65), "{told:#?}");
        assert!(told.errors.contains("does not follow"), "{told:#?}");
        let status = gateway.cli(&["key", "list"]).expect_success().output;
        assert!(!status.contains(id(&key)), "{status}");
    }
    fs::write(&audit, text).unwrap();
    let restore = ["store", "restore", &backup, "--audit", &audit];
    gateway.cli(&restore).expect_success();
    gateway.start_again();
    assert_eq!(status(&gateway, &key), 401);
}

/// A restore that never came to its end: the certificate that is still to come is nobody new.
#[test]
fn nobody_enrols_in_a_store_that_is_half_restored() {
    let scene = Scene::new();
    let mut gateway = scene.redis();
    let alice = scene.world.client("alice");
    let call = |gateway: &Gateway| gateway.curl("/").certificate(&alice).send().status;
    assert_eq!(call(&gateway), 200);
    let client = scene.backend.last().header("x-client-id").to_owned();
    let backup = scene.file("backup");
    gateway.cli(&["store", "backup", &backup]).expect_success();
    gateway.stop();
    scene.redis_says(&["FLUSHALL"]);
    let restore = ["store", "restore", &backup];
    gateway.cli(&restore).expect_success();
    scene.break_off();

    gateway.start_again();
    let answer = call(&gateway);
    assert_eq!(answer, 503);
    gateway.cli(&restore).expect_success();
    wait_for("the gateway to hear of the end", || {
        (call(&gateway) == 200).then_some(())
    });
    assert_eq!(scene.backend.last().header("x-client-id"), client);
    // It goes on as ever.
    let bob = scene.world.client("bob");
    gateway
        .curl("/")
        .certificate(&bob)
        .send()
        .expect_status(200);
}

#[test]
fn what_does_not_fit_together_is_found() {
    let scene = Scene::new();
    let gateway = scene.redis();
    let alice = scene.world.client("alice");
    let key = gateway.claim_key(&alice);
    let rotate = gateway
        .curl("/.well-known/keyferry/key/rotate")
        .method("POST");
    rotate.key(&key).send().expect_status(201);
    gateway
        .curl("/")
        .certificate(&scene.world.client("bob"))
        .send()
        .expect_status(200);
    verified(&gateway, &[], &[]);

    let client = scene.backend.last().header("x-client-id").to_owned();
    let mut range = redis::cmd("ZRANGE");
    range.arg("kf:{kf}:owned").arg(0).arg(-1);
    let entries: Vec<String> = range.query(&mut scene.store.connection()).unwrap();
    let entry = entries
        .iter()
        .find(|entry| entry.contains(&format!(" key:{}", id(&key))));
    scene.redis_says(&["ZREM", "kf:{kf}:owned", entry.unwrap()]);
    verified(
        &gateway,
        &[],
        &[&format!("key:{} is not in the index", id(&key))],
    );
    scene.redis_says(&["ZADD", "kf:{kf}:owned", "0", entry.unwrap()]);
    verified(&gateway, &[], &[]);
    scene.redis_says(&["HDEL", "kf:{kf}:client", &client]);
    let missing = format!("client:{client} is missing");
    let named = format!("names client:{client}, which is missing");
    verified(&gateway, &[], &[&missing, &named]);
}

#[test]
fn a_store_moves_from_a_file_to_redis_and_back() {
    let scene = Scene::new();
    let (file, redis) = (scene.embedded().start(), scene.redis());
    let alice = scene.world.client("alice");
    let key = file.claim_key(&alice);
    let gone = file.claim_key(&scene.world.client("bob"));
    file.cli(&["key", "revoke", id(&gone)]).expect_success();
    let copy = |from: &Gateway, to: &Gateway| {
        let config = to.config_file().display().to_string();
        let told = from.cli(&["store", "copy", "--to", &config, "--output", "json"]);
        told.expect_success().json()
    };
    assert_eq!(copy(&file, &redis)["changed"], true);
    wait_for("the gateway to follow", || {
        (status(&redis, &key) == 200).then_some(())
    });
    assert_eq!(status(&redis, &gone), 401);
    redis
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    assert_eq!(copy(&file, &redis)["changed"], false);

    redis.cli(&["key", "revoke", id(&key)]).expect_success();
    assert_eq!(copy(&redis, &file)["revoked"], 1);
    assert_eq!(status(&file, &key), 401);
    verified(&file, &[], &[]);
    verified(&redis, &[], &[]);

    // Where the pepper is another one, no key could be used.
    let other = scene
        .embedded()
        .file("pepper.key", "another pepper, of thirty-two bytes or more")
        .start();
    let config = other.config_file().display().to_string();
    let told = file.cli(&["store", "copy", "--to", &config]);
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    assert!(told.errors.contains("pepper 1"), "{told:#?}");
    let same = file.config_file().display().to_string();
    let told = file.cli(&["store", "copy", "--to", &same]);
    assert_eq!(told.status.code(), Some(64), "{told:#?}");
}

#[test]
fn the_file_of_a_running_gateway_is_not_compacted() {
    let scene = Scene::new();
    let mut gateway = scene.embedded().start();
    let key = gateway.claim_key(&scene.world.client("alice"));
    let told = gateway.cli(&["store", "compact"]);
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    assert!(told.errors.contains("stop the gateway"), "{told:#?}");
    let checked = |gateway: &Gateway| {
        let told = gateway
            .cli(&["store", "verify", "--output", "json"])
            .expect_success();
        told.json()["file_checked"].clone()
    };
    assert_eq!(checked(&gateway), false);
    gateway.stop();
    let told = gateway
        .cli(&["store", "compact", "--output", "json"])
        .expect_success();
    let report = told.json();
    assert!(report["bytes_after"].as_u64() <= report["bytes_before"].as_u64());
    assert_eq!(checked(&gateway), true);
    gateway.start_again();
    assert_eq!(status(&gateway, &key), 200);
}
