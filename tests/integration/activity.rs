//! What is remembered of those who called: when, from where, how often, and what was refused.

use serde_json::Value as Json;

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::key;
use crate::support::pki::{leaf, now};
use crate::support::redis::RedisServer;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::World;

fn show(gateway: &Gateway, client: &str) -> Json {
    let arguments = ["client", "show", client, "--output", "json"];
    gateway.cli(&arguments).expect_success().json()
}

/// The requests by certificate, by key, and refused; a test may run over midnight.
fn requests(shown: &Json) -> [u64; 3] {
    ["by_certificate", "by_key", "refused"].map(|kind| {
        let days = shown["requests"].as_array().unwrap().iter();
        days.map(|day| day[kind].as_u64().unwrap()).sum()
    })
}

/// What the store shows once it has been told of so many requests.
#[track_caller]
fn shown_with(gateway: &Gateway, client: &str, expected: [u64; 3]) -> Json {
    let mut last = Json::Null;
    wait_for(&format!("{expected:?} of {client}"), || {
        last = show(gateway, client);
        let so_far = requests(&last);
        assert!(
            so_far.iter().zip(expected).all(|(now, most)| *now <= most),
            "{so_far:?} is more than {expected:?}"
        );
        (so_far == expected).then(|| last.clone())
    })
}

#[test]
fn what_was_seen_survives_a_restart_and_no_request_is_counted_twice() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::start(&world, &backend);
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    for _ in 0..3 {
        gateway
            .curl("/")
            .certificate(&alice)
            .send()
            .expect_status(200);
    }
    let id = backend.last().header("x-client-id").to_owned();
    // A client's own calls are requests like any other.
    let key = gateway.claim_key(&alice);
    gateway.curl("/").key(&key).send().expect_status(200);
    // With a key beside it, a certificate is not what the request depends on.
    let both = gateway.curl("/").key(&key).certificate(&alice);
    both.send().expect_status(200);

    gateway
        .curl("/")
        .certificate(&bob)
        .send()
        .expect_status(200);
    let other = backend.last().header("x-client-id").to_owned();
    let conflict = gateway.curl("/").key(&key).certificate(&bob).send();
    conflict.expect_refusal(403, "credential_conflict");

    assert!(gateway.stop().success(), "{}", gateway.log());
    gateway.start_again();
    gateway.curl("/").key(&key).send().expect_status(200);
    let shown = shown_with(&gateway, &id, [4, 3, 0]);
    let key_of = shown["keys"][0]["key_id"].as_str().unwrap();
    assert_eq!(key_of, key.split('_').nth(2).unwrap());
    for credential in ["certificates", "keys"] {
        let used = &shown[credential][0]["last_used"];
        assert_eq!(used["from"], "127.0.0.1", "{shown:#}");
        assert!(used["at"].as_str().unwrap().ends_with('Z'), "{shown:#}");
    }
    let of_other = shown_with(&gateway, &other, [1, 0, 1]);
    for shown in [&shown, &of_other] {
        assert_eq!(shown["last_refusal"]["reason"], "credential_conflict");
        assert_eq!(shown["last_refusal"]["at"], shown["last_conflict"]);
    }

    // Killed, it loses what it has not told yet and nothing else.
    gateway.kill();
    gateway.start_again();
    assert_eq!(requests(&show(&gateway, &id)), [4, 3, 0]);
    let text = gateway.cli(&["client", "show", &id]).expect_success();
    assert!(text.output.contains("from 127.0.0.1"), "{text:#?}");
    assert!(
        text.output.contains("a day a bar") && text.output.contains('█'),
        "{text:#?}"
    );
}

#[test]
fn counts_of_two_gateways_add_up() {
    let (world, backend) = (World::new(), Backend::start());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(RedisServer::start(&[]));
    let replica = || {
        Gateway::builder(&world)
            .echo(&backend)
            .redis(&redis.url())
            .start()
    };
    let (one, mut other) = (replica(), replica());
    let alice = world.client("alice");
    let key = one.claim_key(&alice);
    for _ in 0..5 {
        one.curl("/").certificate(&alice).send().expect_status(200);
        one.curl("/").key(&key).send().expect_status(200);
        other.curl("/").key(&key).send().expect_status(200);
    }
    let id = backend.last().header("x-client-id").to_owned();
    shown_with(&one, &id, [6, 10, 0]);
    other
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    // What was not told yet is told at the end.
    assert!(other.stop().success(), "{}", other.log());
    assert_eq!(requests(&show(&one, &id)), [7, 10, 0]);
}

#[test]
fn a_refusal_counts_for_the_client_that_proved_who_it_is_and_for_nobody_else() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let day = 86_400;
    let late = world.client_like(leaf("late").dates_unix(now() - 9 * day, now() - day));
    gateway.cli(&["client", "add", "acme"]).expect_success();
    let file = late.chain.to_str().unwrap();
    let add = ["certificate", "add", "--client", "acme", file];
    gateway.cli(&add).expect_success();
    let issued = gateway.cli(&["key", "issue", "--client", "acme"]);
    let issued = issued.expect_success().output;
    let key = issued.trim_end();
    let key_id = key.split('_').nth(2).unwrap();

    let expired = || gateway.curl("/").certificate(&late).send();
    expired().expect_refusal(401, "certificate_expired");
    // Whoever knows a key id, which is no secret, refuses nobody anything.
    let forged = gateway.curl("/").key(&key::forged(key_id)).send();
    forged.expect_refusal(401, "key_invalid");
    let shown = shown_with(&gateway, "acme", [0, 0, 1]);
    assert_eq!(shown["last_refusal"]["reason"], "certificate_expired");
    assert_eq!(shown["certificates"][0]["last_used"], Json::Null);
    assert_eq!(shown["stage"], "key-issued", "a refused call is no use");

    gateway.cli(&["key", "revoke", key_id]).expect_success();
    let revoked = gateway.curl("/").key(key).send();
    revoked.expect_refusal(401, "key_invalid");
    let shown = shown_with(&gateway, "acme", [0, 0, 2]);
    assert_eq!(shown["last_refusal"]["reason"], "key_invalid");
    assert_eq!(shown["last_conflict"], Json::Null);
}

#[test]
fn a_refusal_for_what_the_route_asks_counts_too() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .route("/keys", "echo", "key")
        .start();
    let alice = world.client("alice");
    let to = |path| gateway.curl(path).certificate(&alice).send();
    to("/").expect_status(200);
    let id = backend.last().header("x-client-id").to_owned();
    to("/keys").expect_refusal(401, "certificate_retired");
    let shown = shown_with(&gateway, &id, [1, 0, 1]);
    assert_eq!(shown["last_refusal"]["reason"], "certificate_retired");
}

#[test]
fn a_damaged_last_time_hides_no_other_and_counts_as_no_leave_to_retire() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let replica = || {
        Gateway::builder(&world)
            .redis(&store.url())
            .echo(&backend)
            .start()
    };
    let one = replica();
    one.cli(&["client", "add", "quiet"]).expect_success();
    let alice = world.client("alice");
    let key = one.claim_key(&alice);
    let retire = || {
        let arguments = ["phase", "retire", "--client", "quiet", "--dry-run"];
        one.cli(&arguments)
    };
    let told = retire().expect_success();
    assert!(!told.errors.contains("cannot be read"), "{told:#?}");
    assert_eq!(show(&one, "quiet")["last_seen"]["unreadable"], false);
    one.curl("/").key(&key).send().expect_status(200);
    let dual = || {
        let arguments = ["client", "list", "--stage", "dual", "--output", "json"];
        one.cli(&arguments).expect_success()
    };
    let is_one = |told: &Told| told.json()["clients"].as_array().unwrap().len() == 1;
    wait_for("the times to be told", || is_one(&dual()).then_some(()));

    // Whose it is can be read, or not even that.
    for field in ["quiet:certificate", "garbage"] {
        redis::pipe()
            .hset("kf:{kf}:seen", field, "garbage")
            .hset("kf:{kf}:used", "garbage", "garbage")
            .exec(&mut store.connection())
            .unwrap();
        let told = retire();
        assert_eq!(told.status.code(), Some(1), "{told:#?}");
        for part in ["1 client(s)", "cannot be read: quiet", "left out"] {
            assert!(told.errors.contains(part), "{part}: {told:#?}");
        }
        // Whoever is read is known as before, also to a gateway that starts now.
        let shown = dual();
        assert!(shown.errors.contains("2 last time(s)"), "{shown:#?}");
        assert!(is_one(&shown), "{shown:#?}");
        let quiet = show(&one, "quiet");
        // What is nobody's by its name is not met by who asks for one client.
        let is_its = field != "garbage";
        assert_eq!(quiet["last_seen"]["unreadable"], is_its, "{quiet:#?}");
        let listed = one.cli(&["client", "list"]).expect_success().output;
        let row = listed.lines().find(|line| line.starts_with("quiet"));
        assert!(row.unwrap().contains("unreadable"), "{listed}");
        let other = replica();
        wait_for("the times to be loaded", || {
            let whoami = other.curl("/.well-known/keyferry/whoami").key(&key).send();
            (whoami.expect_status(200).json()["stage"] == "dual").then_some(())
        });
        let warned = |line: &Json| line["level"] == "WARN" && line["damaged"] == 2;
        assert!(other.lines().iter().any(warned));
        let _: () = redis::cmd("HDEL")
            .arg("kf:{kf}:seen")
            .arg(field)
            .query(&mut store.connection())
            .unwrap();
    }
}
