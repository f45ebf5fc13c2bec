//! A running gateway takes other secrets over: peppers, record keys and signing secrets come and go
//! while clients call, and what is wrong changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use keyferry::clock;
use toml::{Table, Value};

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::{Builder, Gateway, secret};
use crate::support::signature::verify;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

/// How a gateway comes to read its configuration again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Hangup,
    Watching,
}

/// The file of a secret; the first ones are there already.
fn file(kind: &str, number: i64) -> String {
    match (kind, number) {
        ("signing", 1) => "echo.secret".to_owned(),
        ("record", 1) => "record.key".to_owned(),
        ("pepper", 1) => "pepper.key".to_owned(),
        _ => format!("{kind}-{number}.key"),
    }
}

fn contents(kind: &str, number: i64) -> String {
    format!("the {kind} number {number}, of at least 32 bytes")
}

fn versions(kind: &str, numbers: &[i64]) -> Value {
    let version = |number: &i64| {
        let mut table = Table::new();
        table.insert("version".to_owned(), (*number).into());
        table.insert("file".to_owned(), file(kind, *number).into());
        Value::from(table)
    };
    numbers.iter().map(version).collect::<Vec<_>>().into()
}

fn set_peppers(config: &mut Table, numbers: &[i64], current: Option<i64>) {
    config["key"]["pepper"] = versions("pepper", numbers);
    let key = config["key"].as_table_mut().unwrap();
    key.remove("current_pepper");
    key.extend(current.map(|number| ("current_pepper".to_owned(), number.into())));
}

fn set_record_keys(config: &mut Table, numbers: &[i64]) {
    config["store"]["record_keys"] = versions("record", numbers);
}

fn key_id(number: i64) -> String {
    if number == 1 {
        "echo".to_owned()
    } else {
        format!("echo-{number}")
    }
}

fn set_signing(config: &mut Table, number: i64) {
    let signing = &mut config["backend"][0]["signing"];
    signing["key_id"] = key_id(number).into();
    signing["secret_file"] = file("signing", number).into();
}

fn signing_secret(number: i64) -> Vec<u8> {
    match number {
        1 => secret("echo"),
        _ => contents("signing", number).into_bytes(),
    }
}

/// What a gateway does with a secret: 1 uses it, 0 accepts it.
fn use_of(gateway: &Gateway, kind: &str, name: &str) -> Option<i64> {
    let series = format!("keyferry_secret_current{{kind=\"{kind}\",name=\"{name}\"}} ");
    let page = gateway.metrics();
    let mut values = page.lines().filter_map(|line| line.strip_prefix(&series));
    values.next().map(|value| value.parse().unwrap())
}

fn is_in_step(gateway: &Gateway) -> bool {
    gateway.metric("keyferry_reload_success") > 0.5
}

/// Two gateways on one Redis, before one backend.
struct Fleet {
    gateways: [Gateway; 2],
    backend: Backend,
    store: SharedStore,
    world: World,
}

impl Fleet {
    fn start() -> Self {
        Self::start_with(&[], false)
    }

    fn start_with(settings: &[(&str, &str)], is_mounted: bool) -> Self {
        let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
        let gateways = [(); 2].map(|()| {
            let mut builder = builder(&world, &backend, &store);
            for (setting, value) in settings {
                builder = builder.set(setting, *value);
            }
            let builder = if is_mounted {
                builder.mounted()
            } else {
                builder
            };
            builder.start()
        });
        Self {
            gateways,
            backend,
            store,
            world,
        }
    }

    /// One that is not among them, and goes on with secrets of before.
    fn outsider(&self, peppers: &[i64], current: i64, record_keys: &[i64]) -> Gateway {
        let builder = builder(&self.world, &self.backend, &self.store);
        let numbers = peppers.iter().map(|number| ("pepper", *number));
        let numbers = numbers.chain(record_keys.iter().map(|number| ("record", *number)));
        let builder = numbers
            .filter(|(_, number)| *number != 1)
            .fold(builder, |builder, (kind, number)| {
                builder.file(&file(kind, number), contents(kind, number))
            });
        builder
            .set("key.pepper", versions("pepper", peppers))
            .set("key.current_pepper", current)
            .set("store.record_keys", versions("record", record_keys))
            .start()
    }

    fn deploy(&self, by: By, edit: impl Fn(&mut Table), files: &[(&str, &str)]) {
        for gateway in &self.gateways {
            gateway.deploy(&edit, files);
            if by == By::Hangup {
                gateway.signal("HUP");
            }
        }
    }

    fn wait_until_all(&self, what: &str, condition: impl Fn(&Gateway) -> bool) {
        for gateway in &self.gateways {
            wait_for(what, || condition(gateway).then_some(()));
        }
    }

    /// Waits until every gateway uses the secrets `number` as 1, 0 or not at all.
    fn wait_for_use(&self, kinds: &[&str], number: i64, expected: Option<i64>) {
        self.wait_until_all("the secrets to be taken over", |gateway| {
            let uses = |kind: &&str| use_of(gateway, kind, &number.to_string()) == expected;
            kinds.iter().all(uses)
        });
    }

    /// Takes all three secrets from `old` to the next, from start to end.
    fn rotate(&self, old: i64, by: By) {
        let (new, first) = (old + 1, self.backend.requests().len());
        let added = ["pepper", "record", "signing"];
        let added = added.map(|kind| (file(kind, new), contents(kind, new)));
        let added = added.each_ref().map(|(name, text)| (&**name, &**text));
        let both = ["pepper", "record_key"];
        let add = |config: &mut Table| {
            set_peppers(config, &[old, new], Some(old));
            set_record_keys(config, &[old, new]);
        };
        self.deploy(by, add, &added);
        self.wait_for_use(&both, new, Some(0));
        self.wait_for_use(&both, old, Some(1));
        let make_current = |config: &mut Table| {
            set_peppers(config, &[old, new], None);
            set_record_keys(config, &[new, old]);
            set_signing(config, new);
        };
        self.deploy(by, make_current, &[]);
        self.wait_for_use(&both, new, Some(1));
        self.wait_until_all("the signing secret", |gateway| {
            let uses = [old, new].map(|number| use_of(gateway, "signing", &key_id(number)));
            uses == [None, Some(1)]
        });
        let [one, _] = &self.gateways;
        one.cli(&["store", "reseal"]).expect_success();
        wait_for("nothing to be left of the old ones", || {
            let told = one.cli(&["store", "status", "--output", "json"]);
            let told = told.expect_success().json();
            let names = |map: &serde_json::Value| -> Vec<String> {
                map.as_object().unwrap().keys().cloned().collect()
            };
            let left = [&told["records"]["by_key"], &told["keys_by_pepper"]].map(names);
            (left == [[new.to_string()], [new.to_string()]]).then_some(())
        });
        let remove = |config: &mut Table| {
            set_peppers(config, &[new], None);
            set_record_keys(config, &[new]);
        };
        self.deploy(by, remove, &[]);
        self.wait_for_use(&both, old, None);
        self.wait_until_all("a good configuration", is_in_step);
        self.expect_signed(first, [old, new]);
    }

    /// A backend that knows these two secrets believes every request since `first`.
    fn expect_signed(&self, first: usize, known: [i64; 2]) {
        let mut used = BTreeSet::new();
        for request in &self.backend.requests()[first..] {
            let input = request.header("signature-input");
            let signed_by = known
                .iter()
                .find(|number| input.contains(&format!(";keyid=\"{}\";", key_id(**number))));
            let number = *signed_by.unwrap_or_else(|| panic!("a third secret: {input}"));
            verify(request, &signing_secret(number)).unwrap();
            used.insert(number);
        }
        assert_eq!(used, BTreeSet::from(known));
    }

    /// Calls every gateway by key and by certificate all the time that `story` takes: no request may
    /// fail. Gives how many there were.
    fn under_traffic(&self, key: &str, client: &Identity, story: impl FnOnce()) -> usize {
        let over = AtomicBool::new(false);
        let call = |request: &(dyn Fn() -> Curl + Sync)| {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) {
                for answer in Curl::send_on_one_connection([(); 5].map(|()| request())) {
                    answer.expect_status(200);
                    calls += 1;
                }
            }
            calls
        };
        scope(|scope| {
            let callers = self.gateways.each_ref().map(|gateway| {
                let call = &call;
                let by_key = move || call(&|| gateway.curl("/").key(key));
                let by_certificate = move || call(&|| gateway.curl("/").certificate(client));
                [scope.spawn(by_key), scope.spawn(by_certificate)]
            });
            // Also when the story ends badly.
            let ends = Ends(&over);
            story();
            drop(ends);
            let callers = callers.into_iter().flatten();
            callers.map(|caller| caller.join().unwrap()).sum()
        })
    }
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn builder<'a>(world: &'a World, backend: &Backend, store: &SharedStore) -> Builder<'a> {
    Gateway::builder(world).redis(&store.url()).echo(backend)
}

#[test]
fn secrets_are_rotated_three_times_in_a_row_and_no_request_fails() {
    let fleet = Fleet::start();
    let [one, other] = &fleet.gateways;
    let key = one.claim_key(&fleet.world.client("alice"));
    let bob = fleet.world.client("bob");
    let calls = fleet.under_traffic(&key, &bob, || {
        fleet.rotate(1, By::Hangup);
        fleet.rotate(2, By::Watching);
        fleet.rotate(3, By::Hangup);
    });
    assert!(calls > 100, "{calls}");
    assert_eq!(one.log().matches("SIGHUP").count(), 6, "{}", one.log());

    // The old ones are gone: what still comes under them is not believed.
    let late = fleet.outsider(&[1, 4], 1, &[4]);
    let carol = late.claim_key(&fleet.world.client("carol"));
    late.curl("/").key(&carol).send().expect_status(200);
    for gateway in &fleet.gateways {
        let refused = gateway.curl("/").key(&carol).send();
        refused.expect_refusal(401, "key_invalid");
    }
    drop(late);
    let late = fleet.outsider(&[4], 4, &[1, 4]);
    let dave = late.claim_key(&fleet.world.client("dave"));
    late.curl("/").key(&dave).send().expect_status(200);
    fleet.wait_until_all("the record to be refused", |gateway| {
        let series = "keyferry_store_records_refused_total{reason=\"unknown_key\"}";
        let refused = gateway.metric(series) > 0.5;
        // Whose record is not believed may be somebody.
        refused && gateway.curl("/").key(&dave).send().status == 503
    });
    other.curl("/").key(&key).send().expect_status(200);
    // Once the key is known, what was refused is believed.
    let know = |config: &mut Table| set_record_keys(config, &[4, 1]);
    fleet.deploy(By::Hangup, know, &[]);
    fleet.wait_until_all("the record to be believed", |gateway| {
        gateway.curl("/").key(&dave).send().status == 200
    });
}

#[test]
fn secrets_that_kubernetes_swaps_in_are_taken_over_and_no_request_fails() {
    let fleet = Fleet::start_with(&[], true);
    let [one, _] = &fleet.gateways;
    let key = one.claim_key(&fleet.world.client("alice"));
    let bob = fleet.world.client("bob");
    let calls = fleet.under_traffic(&key, &bob, || fleet.rotate(1, By::Watching));
    assert!(calls > 20, "{calls}");
    assert!(!one.log().contains("SIGHUP"));
}

#[test]
fn what_is_wrong_changes_nothing_and_is_told_until_it_is_mended() {
    let fleet = Fleet::start();
    let [gateway, _] = &fleet.gateways;
    let alice = fleet.world.client("alice");
    let key = gateway.claim_key(&alice);
    let serves = || {
        gateway.curl("/").key(&key).send().expect_status(200);
        let by_certificate = gateway.curl("/").certificate(&alice).send();
        by_certificate.expect_status(200);
    };
    assert!(is_in_step(gateway));
    assert!(gateway.metric("keyferry_reload_timestamp_seconds") > 1.0);
    let told = |name: &str| {
        let log = gateway.log();
        let errors = log.lines().filter(|line| line.contains("ERROR"));
        errors.filter(|line| line.contains(name)).count()
    };
    let half = |text: &str| text.chars().take(text.len() / 2).collect::<String>();
    for name in ["keyferry.toml", "pepper.key", "record.key", "echo.secret"] {
        let good = gateway.contents(name);
        let wrong = [
            Some(half(&good)),
            Some(String::new()),
            Some("short".to_owned()),
            None,
        ];
        for wrong in wrong {
            match &wrong {
                Some(wrong) => gateway.put(name, wrong),
                None => gateway.remove(name),
            }
            let before = told(name);
            gateway.signal("HUP");
            wait_for("the mistake to be told", || {
                (!is_in_step(gateway) && told(name) > before).then_some(())
            });
            serves();
            gateway.put(name, &good);
            gateway.signal("HUP");
            wait_for("all to be well", || is_in_step(gateway).then_some(()));
            serves();
        }
    }
    // Nobody has to say when the mistake is mended.
    let good = gateway.contents("pepper.key");
    gateway.remove("pepper.key");
    wait_for("the mistake to be told", || {
        (!is_in_step(gateway)).then_some(())
    });
    serves();
    gateway.put("pepper.key", &good);
    wait_for("all to be well", || is_in_step(gateway).then_some(()));
    serves();
}

/// What can never be read is told once for each time that it changes, and holds nothing up: neither a
/// text that was cut in the middle of a letter, nor a pipe into which nobody writes.
#[test]
fn what_is_no_text_or_no_file_is_told_once_and_keeps_nobody_waiting() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let (good, path) = (
        gateway.contents("keyferry.toml"),
        gateway.path("keyferry.toml"),
    );
    let told = || gateway.log().matches("cannot be read: it is not").count();
    let expect_told = |times| {
        wait_for("the mistake to be told", || (told() == times).then_some(()));
        assert!(!is_in_step(&gateway));
        // Long enough to look again twice.
        let begun = clock::monotonic();
        wait_for("it to have looked again", || {
            assert_eq!(told(), times);
            (begun.elapsed() > Duration::from_secs(5)).then_some(())
        });
    };
    let expect_mended = || {
        gateway.put("keyferry.toml", &good);
        wait_for("all to be well", || is_in_step(&gateway).then_some(()));
    };
    fs::write(&path, [good.as_bytes(), b"# caf\xc3"].concat()).unwrap();
    expect_told(1);
    expect_mended();
    gateway.remove("keyferry.toml");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    expect_told(2);
    gateway.remove("keyferry.toml");
    expect_mended();
}

#[test]
fn the_embedded_store_goes_on_with_other_record_keys() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::start(&world, &backend);
    let key = gateway.claim_key(&world.client("alice"));
    let texts = [1, 2].map(|number| ("record-key", number));
    let texts = texts.map(|(kind, number)| (file("record", number), contents(kind, number)));
    let files = texts.each_ref().map(|(name, text)| (&**name, &**text));
    let take_over = |numbers: &'static [i64], unsigned: &'static str, uses: [Option<i64>; 2]| {
        let edit = |config: &mut Table| {
            let store = config["store"].as_table_mut().unwrap();
            store.insert("record_keys".to_owned(), versions("record", numbers));
            store.insert("unsigned_records".to_owned(), unsigned.into());
        };
        gateway.deploy(edit, &files);
        gateway.signal("HUP");
        wait_for("the record keys", || {
            let used =
                [1, 2].map(|number: i64| use_of(&gateway, "record_key", &number.to_string()));
            (used == uses && is_in_step(&gateway)).then_some(())
        });
        gateway.curl("/").key(&key).send().expect_status(200);
    };
    take_over(&[1], "accept", [Some(1), None]);
    expect_refused(
        &gateway,
        |config| config["store"]["unsigned_records"] = "refuse".into(),
        "4 records would no longer be believed",
    );
    gateway.cli(&["store", "reseal"]).expect_success();
    take_over(&[1, 2], "refuse", [Some(1), Some(0)]);
    take_over(&[2, 1], "refuse", [Some(0), Some(1)]);
    gateway.cli(&["store", "reseal"]).expect_success();
    take_over(&[2], "refuse", [None, Some(1)]);
    let bob = gateway.claim_key(&world.client("bob"));
    gateway.stop();
    gateway.start_again();
    for key in [key, bob] {
        gateway.curl("/").key(&key).send().expect_status(200);
    }
}

/// Deploys what one gateway must refuse, and waits until it says why.
fn expect_refused(gateway: &Gateway, edit: impl FnOnce(&mut Table), why: &str) {
    let before = gateway.log().matches(why).count();
    let texts = ["pepper", "record"].map(|kind| (file(kind, 2), contents(kind, 2)));
    let files = texts.each_ref().map(|(name, text)| (&**name, &**text));
    gateway.deploy(edit, &files);
    gateway.signal("HUP");
    wait_for(why, || {
        (gateway.log().matches(why).count() > before).then_some(())
    });
    assert!(!is_in_step(gateway));
}

#[test]
fn the_current_secret_is_not_taken_away() {
    let fleet = Fleet::start();
    let [gateway, _] = &fleet.gateways;
    let key = gateway.claim_key(&fleet.world.client("alice"));
    let original = gateway.contents("keyferry.toml");
    let why =
        |what: &str| format!("{what} 1 is the current one, and is gone or has another secret");
    let served = || gateway.curl("/").key(&key).send().expect_status(200);
    expect_refused(
        gateway,
        |config| set_peppers(config, &[2], None),
        &why("pepper"),
    );
    served();
    gateway.put("keyferry.toml", &original);
    expect_refused(
        gateway,
        |config| set_record_keys(config, &[2]),
        &why("record key"),
    );
    served();
    gateway.put("keyferry.toml", &original);
    let pepper = gateway.contents("pepper.key");
    gateway.put("pepper.key", "another pepper, also of at least 32 bytes");
    expect_refused(gateway, |_| (), &why("pepper"));
    served();
    gateway.put("pepper.key", &pepper);
    gateway.signal("HUP");
    wait_for("all to be well", || is_in_step(gateway).then_some(()));
    served();
}

/// It would lock clients out. A restart does what it is told.
#[test]
fn a_secret_that_is_needed_is_not_taken_away() {
    let mut fleet = Fleet::start();
    let [gateway, _] = &fleet.gateways;
    let key = gateway.claim_key(&fleet.world.client("alice"));
    let pepper_and_record_key = |peppers: &'static [i64], record_keys: &'static [i64]| {
        move |config: &mut Table| {
            set_peppers(config, peppers, None);
            set_record_keys(config, record_keys);
        }
    };
    let texts = ["pepper", "record"].map(|kind| (file(kind, 2), contents(kind, 2)));
    let files = texts.each_ref().map(|(name, text)| (&**name, &**text));
    fleet.deploy(By::Hangup, pepper_and_record_key(&[1, 2], &[2, 1]), &files);
    fleet.wait_for_use(&["pepper", "record_key"], 2, Some(1));
    let without_pepper = || pepper_and_record_key(&[2], &[2, 1]);
    let why = "and 1 keys that can be used need it";
    expect_refused(gateway, without_pepper(), why);
    let why = "4 records would no longer be believed";
    expect_refused(gateway, pepper_and_record_key(&[1, 2], &[2]), why);
    for kind in ["pepper", "record_key"] {
        assert_eq!(use_of(gateway, kind, "1"), Some(0));
    }
    // The control: who is locked out by it.
    expect_refused(gateway, without_pepper(), "keys that can be used need it");
    let [gateway, _] = &mut fleet.gateways;
    gateway.stop();
    gateway.start_again();
    let refused = gateway.curl("/").key(&key).send();
    refused.expect_refusal(401, "key_invalid");
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_taken_over() {
    let fleet = Fleet::start();
    let [gateway, _] = &fleet.gateways;
    let alice = fleet.world.client("alice");
    let edit = |config: &mut Table| {
        let mut front = config["backend"][0].as_table().unwrap().clone();
        front.insert("name".to_owned(), "front".into());
        front["signing"]["key_id"] = "front".into();
        front["signing"]["secret_file"] = "front.key".into();
        set_signing(config, 2);
        let backends = config["backend"].as_array_mut().unwrap();
        backends.insert(0, front.into());
        let store = config["store"].as_table_mut().unwrap();
        store.insert("max_stale".to_owned(), "2h".into());
        config["telemetry"]["address"] = "127.0.0.1:1".into();
    };
    let files = [
        (&*file("signing", 2), &*contents("signing", 2)),
        ("front.key", "a secret of another backend, of 32 bytes"),
    ];
    gateway.deploy(edit, &files);
    gateway.signal("HUP");
    wait_for("the signing secret", || {
        (use_of(gateway, "signing", "echo-2") == Some(1)).then_some(())
    });
    let log = gateway.log();
    let told = |text: &str| log.lines().find(|line| line.contains(text)).unwrap();
    let needs_restart = told("needs a restart");
    assert!(
        needs_restart.contains(r#""settings":"store.max_stale, telemetry.address""#),
        "{needs_restart}"
    );
    let changed = r#""changed":"backend[echo].signing.key_id, backend[echo].signing.secret_file, backend[front] (new)""#;
    let taken = told("took the configuration over");
    assert!(taken.contains(changed), "{taken}");
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    verify(&fleet.backend.last(), &signing_secret(2)).unwrap();
}

/// What was written before the pepper changed is of no use to who starts with the new one only.
#[test]
fn the_snapshot_follows_the_pepper() {
    let mut fleet = Fleet::start_with(&[("store.snapshot", "keyferry.snapshot")], false);
    let [gateway, _] = &mut fleet.gateways;
    let key = gateway.claim_key(&fleet.world.client("alice"));
    let path = gateway.folder().join("keyferry.snapshot");
    let written_after = |act: &dyn Fn()| {
        let before = fs::read(&path).ok();
        act();
        wait_for("the snapshot to be written", || {
            (fs::read(&path).ok() != before).then_some(())
        });
    };
    let take_over = |gateway: &Gateway, numbers: &[i64], current, expected| {
        let texts = numbers
            .iter()
            .map(|number| (file("pepper", *number), contents("pepper", *number)));
        let texts: Vec<_> = texts.filter(|(name, _)| name != "pepper.key").collect();
        let files: Vec<_> = texts
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        gateway.deploy(|config| set_peppers(config, numbers, current), &files);
        gateway.signal("HUP");
        wait_for("the peppers", || {
            let uses = [1, 2].map(|number: i64| use_of(gateway, "pepper", &number.to_string()));
            (uses == expected).then_some(())
        });
    };
    take_over(gateway, &[1, 2], Some(1), [Some(1), Some(0)]);
    written_after(&|| take_over(gateway, &[1, 2], None, [Some(0), Some(1)]));
    gateway.curl("/").key(&key).send().expect_status(200);
    wait_for("the digest to be made anew", || {
        let told = gateway.cli(&["store", "status", "--output", "json"]);
        let told = told.expect_success().json();
        (told["keys_by_pepper"] == serde_json::json!({ "2": 1 })).then_some(())
    });
    written_after(&|| take_over(gateway, &[2], None, [None, Some(1)]));
    gateway.kill();
    fleet.store.stop();
    gateway.start_again();
    gateway.curl("/").key(&key).send().expect_status(200);

    // What was sealed under a pepper that is still known opens as well.
    gateway.kill();
    let files = [(&*file("pepper", 3), &*contents("pepper", 3))];
    gateway.deploy(|config| set_peppers(config, &[2, 3], None), &files);
    gateway.start_again();
    gateway.curl("/").key(&key).send().expect_status(200);
}
