//! The trail of changes: who, what, when, why and from where; that nothing is missing; and that it
//! outlives the store.

use std::fs;

use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::World;

/// A gateway at which alice fetched a key, and the operator revoked it.
struct Scene {
    gateway: Gateway,
    store: SharedStore,
    world: World,
    key: String,
}

impl Scene {
    fn new() -> Self {
        let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
        let gateway = Gateway::builder(&world)
            .redis(&store.url())
            .echo(&backend)
            .set("telemetry.log", "error")
            .start();
        let key = gateway.claim_key(&world.client("alice"));
        let id = key.split('_').nth(2).unwrap();
        let revoke = ["key", "revoke", id, "--reason", "lost"];
        gateway.cli(&revoke).expect_success();
        Self {
            key: id.to_owned(),
            gateway,
            store,
            world,
        }
    }

    fn verify(&self, more: &[&str]) -> (Option<i32>, Value) {
        let command = [&["audit", "verify", "--output", "json"], more].concat();
        let told: Told = self.gateway.cli(&command);
        (told.status.code(), told.json())
    }

    #[track_caller]
    fn is_wrong(&self, more: &[&str], what: &str) {
        let (status, report) = self.verify(more);
        assert_eq!(
            (status, &report["ok"]),
            (Some(1), &false.into()),
            "{report}"
        );
        assert!(report["wrong"].to_string().contains(what), "{report}");
    }

    #[track_caller]
    fn is_whole(&self, more: &[&str]) -> Value {
        let (status, report) = self.verify(more);
        assert_eq!(status, Some(0), "{report}");
        report
    }
}

#[test]
fn every_change_tells_who_made_it_and_from_where() {
    let scene = Scene::new();
    let list = |more: &[&str]| {
        let command = [&["audit", "list", "--output", "json"], more].concat();
        scene.gateway.cli(&command).expect_success().json()["changes"].clone()
    };
    let all = list(&[]);
    let actions = [0, 1, 2].map(|n| all[n]["action"].as_str().unwrap().to_owned());
    assert_eq!(
        actions,
        ["certificate_enrolled", "key_claimed", "key_revoked"]
    );
    assert_eq!(all[0]["actor"]["is"], "gateway");
    assert_eq!(all[0]["origin"]["is"], "host");
    assert_eq!(all[1]["actor"]["is"], "client");
    assert_eq!(all[1]["origin"]["address"], "127.0.0.1");
    assert!(all[1]["origin"]["id"].as_str().unwrap().len() > 20);
    assert_eq!(all[2]["actor"]["is"], "operator");
    assert_eq!(all[2]["reason"], "lost");
    let key = &all[2]["records"][0];
    assert_eq!(key["id"], format!("key:{}", scene.key));
    assert_eq!(key["before"]["status"]["is"], "active");
    assert_eq!(key["after"]["status"]["is"], "revoked");

    let alice = all[1]["actor"]["id"].as_str().unwrap();
    scene.gateway.claim_key(&scene.world.client("bob"));
    assert_eq!(list(&["--client", alice]).as_array().unwrap().len(), 3);
    assert_eq!(list(&["--most", "2"]).as_array().unwrap().len(), 2);
    assert_eq!(
        list(&["--since", "2100-01-01"]).as_array().unwrap().len(),
        0
    );
    let told = scene.gateway.cli(&["audit", "list"]).expect_success();
    assert!(
        told.output.contains("operator") && told.errors.is_empty(),
        "{told:#?}"
    );
    // The gateway told each as it came to know it, although it logs errors only.
    wait_for("the gateway to have told the changes", || {
        let log = scene.gateway.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("\"target\":\"audit\""));
        let lines: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let epochs: Vec<_> = lines
            .iter()
            .filter_map(|line| line["epoch"].as_u64())
            .collect();
        (epochs == [1, 2, 3, 4, 5]).then(|| {
            assert_eq!(lines[2]["action"], "key_revoked");
            assert_eq!(lines[2]["reason"], "lost");
            assert_eq!(lines[2]["records"], format!("key:{}", scene.key));
        })
    });
}

#[test]
fn what_is_missing_or_altered_is_told() {
    let scene = Scene::new();
    let report = scene.is_whole(&[]);
    assert_eq!(
        (&report["events"], &report["whole_from"]),
        (&3.into(), &1.into())
    );

    let file = scene.world.path("export");
    let name = file.to_str().unwrap().to_owned();
    let export = ["audit", "export", "--file", &name];
    scene.gateway.cli(&export).expect_success();
    assert!(
        !scene.gateway.cli(&export).status.success(),
        "it overwrites nothing"
    );
    let of_file = ["--file", name.as_str()];
    assert_eq!(scene.is_whole(&of_file)["last"], report["last"]);
    let good = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = good.lines().collect();
    for (bad, what) in [
        (vec![lines[0].to_owned(), lines[2].to_owned()], "missing"),
        (
            vec![
                lines[0].to_owned(),
                lines[1].replace("key_claimed", "key_issued"),
            ],
            "MAC is wrong",
        ),
        (vec![lines[1].to_owned(), lines[0].to_owned()], "missing"),
    ] {
        fs::write(&file, bad.join("\n")).unwrap();
        scene.is_wrong(&of_file, what);
    }
    // The first ones were forgotten: the rest is whole.
    fs::write(&file, [lines[1], lines[2]].join("\n")).unwrap();
    assert_eq!(scene.is_whole(&of_file)["whole_from"], 2);

    // In the store also that a record is not what its last change made it.
    let mut redis = scene.store.connection();
    let mut tell = |command: &[&str]| -> Option<String> {
        redis::cmd(command[0])
            .arg(&command[1..])
            .query(&mut redis)
            .unwrap()
    };
    let key = scene.key.clone();
    let revoked = tell(&["HGET", "kf:{kf}:key", &key]).unwrap();
    tell(&["HDEL", "kf:{kf}:key", &key]);
    scene.is_wrong(&[], "is missing; change 3 wrote it");
    tell(&["HSET", "kf:{kf}:key", &key, &revoked]);
    scene.is_whole(&[]);
    // One that no change wrote, and one of a change that there never was.
    let client = tell(&["HGET", "kf:{kf}:client", "made-up"]);
    assert_eq!(client, None);
    tell(&["HSET", "kf:{kf}:client", "made-up", &revoked]);
    scene.is_wrong(&[], "client:made-up");
    tell(&["HDEL", "kf:{kf}:client", "made-up"]);
    tell(&["SET", "kf:{kf}:epoch", "2"]);
    scene.is_wrong(&[], "is said to be of change 3, and there is none");
    tell(&["SET", "kf:{kf}:epoch", "3"]);
    scene.is_whole(&[]);
    tell(&["XDEL", "kf:{kf}:events", "3-0"]);
    scene.is_wrong(&[], "the last change is not there");
    tell(&["XTRIM", "kf:{kf}:events", "MAXLEN", "0"]);
    scene.is_wrong(&[], "no change tells of");
}

/// An authentic record of before, in the place of the one that it became.
#[test]
fn a_record_that_was_put_back_is_told() {
    let scene = Scene::new();
    let mut redis = scene.store.connection();
    let mut stored = |value: Option<&str>| -> String {
        let mut command = redis::cmd(if value.is_some() { "HSET" } else { "HGET" });
        command.arg("kf:{kf}:key").arg(&scene.key).arg(value);
        let answer: redis::Value = command.query(&mut redis).unwrap();
        redis::from_redis_value(answer).unwrap_or_default()
    };
    let revoked = stored(None);
    scene
        .gateway
        .cli(&["key", "restore", &scene.key])
        .expect_success();
    stored(Some(&revoked));
    scene.is_wrong(&[], "as change 3 left it; change 4 wrote it later");
}
