//! The operator's commands, on a store that nobody has open, beside a running gateway, and on a
//! Redis.

use serde_json::{Value as Json, json};

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::pki::{leaf, now};
use crate::support::redis::RedisServer;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

/// A gateway on which only certificates that the operator named are clients.
fn registered(world: &World, backend: &Backend) -> Gateway {
    Gateway::builder(world)
        .echo(backend)
        .set("enrolment.mode", "registered")
        .start()
}

fn ask(gateway: &Gateway, arguments: &[&str]) -> Json {
    let arguments = [arguments, &["--output", "json"]].concat();
    gateway.cli(&arguments).expect_success().json()
}

/// A refusal, in words and with the status.
#[track_caller]
fn expect_refusal(told: &Told, status: i32, words: &str) {
    assert_eq!(told.status.code(), Some(status), "{told:#?}");
    assert!(told.errors.contains(words), "{told:#?}");
    assert_eq!(told.output, "");
}

fn issue(gateway: &Gateway, client: &str) -> String {
    let told = gateway.cli(&["key", "issue", "--client", client]);
    let told = told.expect_success();
    told.output.trim_end().to_owned()
}

fn path(client: &Identity) -> &str {
    client.chain.to_str().unwrap()
}

fn key_id(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

/// As much of a fingerprint as tables show.
fn begin(fingerprint: &str) -> &str {
    fingerprint.get(..16).unwrap()
}

fn by_key(gateway: &Gateway, key: &str) -> u16 {
    gateway.curl("/").key(key).send().status
}

fn by_certificate(gateway: &Gateway, client: &Identity) -> u16 {
    gateway.curl("/").certificate(client).send().status
}

#[test]
fn commands_work_on_a_store_that_nobody_has_open() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    let mut gateway = registered(&world, &backend);
    gateway.stop();

    let added = ask(
        &gateway,
        &["client", "add", "acme", "--description", "Acme GmbH"],
    );
    assert_eq!(
        (&added["changed"], &added["client_id"]),
        (&json!(true), &json!("acme"))
    );
    let given = ask(
        &gateway,
        &["certificate", "add", "--client", "acme", path(&alice)],
    );
    let reserved = given["certificate"]["key_id"].as_str().unwrap().to_owned();
    assert_eq!(given["certificate"]["subject"], "CN=alice");
    let told = gateway.cli(&["key", "issue", "--client", "acme"]);
    let told = told.expect_success();
    assert_eq!(told.output.lines().count(), 1, "it can be piped: {told:#?}");
    let key = told.output.trim_end();
    assert_eq!(key_id(key), reserved);

    gateway.start_again();
    assert_eq!(by_certificate(&gateway, &alice), 200);
    assert_eq!(backend.last().header("x-key-id"), reserved);
    assert_eq!(by_key(&gateway, key), 200);
    assert_eq!(backend.last().header("x-key-id"), reserved);
    assert_eq!(backend.last().header("x-client-id"), "acme");
}

#[test]
fn a_running_gateway_knows_a_change_at_once() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    let gateway = registered(&world, &backend);
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_refusal(403, "client_unregistered");

    gateway.cli(&["client", "add", "acme"]).expect_success();
    let key = issue(&gateway, "acme");
    assert_eq!(by_key(&gateway, &key), 200);
    gateway
        .cli(&["certificate", "add", "--client", "acme", path(&alice)])
        .expect_success();
    assert_eq!(by_certificate(&gateway, &alice), 200);
    assert_eq!(backend.last().header("x-key-id"), key_id(&key));

    let second = issue(&gateway, "acme");
    assert_eq!(by_key(&gateway, &second), 200);
    assert_eq!(by_key(&gateway, &key), 200, "until it is revoked");
    assert_eq!(by_certificate(&gateway, &alice), 200);
    assert_eq!(backend.last().header("x-key-id"), key_id(&second));

    let revoke = ["key", "revoke", key_id(&key)];
    assert_eq!(ask(&gateway, &revoke)["changed"], true);
    gateway
        .curl("/")
        .key(&key)
        .send()
        .expect_refusal(401, "key_invalid");
    assert_eq!(by_key(&gateway, &second), 200);
    assert_eq!(ask(&gateway, &revoke)["changed"], false);

    let listed = ask(&gateway, &["certificate", "list"]);
    let fingerprint = listed["certificates"][0]["fingerprint"].as_str().unwrap();
    gateway
        .cli(&["certificate", "remove", begin(fingerprint)])
        .expect_success();
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_refusal(403, "client_unregistered");
}

/// K11.
#[test]
fn nothing_of_a_disabled_client_is_accepted() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    assert_eq!(by_certificate(&gateway, &alice), 200);
    let id = backend.last().header("x-client-id").to_owned();
    assert_eq!(by_key(&gateway, &key), 200);

    assert_eq!(ask(&gateway, &["client", "disable", &id])["changed"], true);
    for request in [
        gateway.curl("/").certificate(&alice),
        gateway.curl("/").key(&key),
        gateway.curl("/").certificate(&alice).key(&key),
    ] {
        request.send().expect_refusal(403, "client_disabled");
    }
    let told = gateway.cli(&["key", "issue", "--client", &id]);
    expect_refusal(&told, 1, "is disabled");

    gateway.cli(&["client", "enable", &id]).expect_success();
    assert_eq!(by_certificate(&gateway, &alice), 200);
    assert_eq!(by_key(&gateway, &key), 200);
}

/// K12.
#[test]
fn a_name_is_given_once() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = registered(&world, &backend);
    gateway.cli(&["client", "add", "acme"]).expect_success();
    let key = issue(&gateway, "acme");
    expect_refusal(&gateway.cli(&["client", "add", "acme"]), 1, "already");
    gateway.cli(&["client", "disable", "acme"]).expect_success();
    expect_refusal(
        &gateway.cli(&["client", "add", "acme"]),
        1,
        "no name is used twice",
    );
    assert_eq!(by_key(&gateway, &key), 403);
    let clients = &ask(&gateway, &["client", "list"])["clients"];
    assert_eq!(clients.as_array().map(Vec::len), Some(1));
}

#[test]
fn a_certificate_waits_for_the_operators_word() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .set("enrolment.mode", "approve")
        .start();
    let clients = [world.client("Alice GmbH"), world.client("bob")];
    for client in &clients {
        let answer = gateway.curl("/").certificate(client).send();
        answer.expect_refusal(403, "approval_pending");
    }
    let pending = ["certificate", "list", "--pending"];
    let waiting = ask(&gateway, &pending)["certificates"].clone();
    let fingerprint = |subject: &str| {
        let all = waiting.as_array().unwrap().iter();
        let mut found = all.filter(|one| one["subject"] == subject);
        found.next().unwrap()["fingerprint"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (alice, bob) = (fingerprint("CN=Alice GmbH"), fingerprint("CN=bob"));
    let text = gateway.cli(&pending).expect_success().output;
    assert!(
        text.contains(begin(&alice)) && text.contains("CN=bob"),
        "{text}"
    );

    let approved = ask(&gateway, &["certificate", "approve", begin(&alice)]);
    let id = approved["certificate"]["client_id"].as_str().unwrap();
    assert!(id.starts_with("alice-gmbh-"), "{id}");
    assert_eq!(by_certificate(&gateway, &clients[0]), 200);
    assert_eq!(backend.last().header("x-client-id"), id);
    assert_eq!(
        ask(&gateway, &["certificate", "approve", &alice])["changed"],
        false
    );

    gateway
        .cli(&[
            "certificate",
            "approve",
            &bob.to_uppercase(),
            "--client",
            id,
        ])
        .expect_success();
    assert_eq!(by_certificate(&gateway, &clients[1]), 200);
    assert_eq!(backend.last().header("x-client-id"), id);

    gateway
        .cli(&["certificate", "remove", &bob])
        .expect_success();
    let told = gateway.cli(&["certificate", "approve", &bob]);
    expect_refusal(&told, 1, "was removed");
    gateway
        .cli(&["certificate", "add", "--client", id, &bob])
        .expect_success();
    assert_eq!(by_certificate(&gateway, &clients[1]), 200);
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = registered(&world, &backend);
    gateway.stop();
    let alice = world.client("alice");
    for id in ["acme", "other"] {
        gateway.cli(&["client", "add", id]).expect_success();
    }
    gateway
        .cli(&["certificate", "add", "--client", "acme", path(&alice)])
        .expect_success();
    let add =
        |certificate: &str| gateway.cli(&["certificate", "add", "--client", "other", certificate]);
    expect_refusal(&add(path(&alice)), 1, "belongs to the client acme");
    expect_refusal(&add(alice.key.to_str().unwrap()), 64, "private key");
    expect_refusal(&add(world.authority.to_str().unwrap()), 64, "authority");
    expect_refusal(&add(&"ab".repeat(20)), 64, "SHA-1");
    expect_refusal(&add("no-such-file.pem"), 64, "cannot be read");

    for (arguments, status, words) in [
        (&["client", "add", "Acme"][..], 64, "a-z"),
        (
            &["client", "show", "nobody"],
            1,
            "there is no client nobody",
        ),
        (&["client", "disable", "nobody"], 1, "keyferry client list"),
        (
            &["key", "issue", "--client", "nobody"],
            1,
            "there is no client",
        ),
        (
            &[
                "key",
                "issue",
                "--client",
                "acme",
                "--expires",
                "2020-01-01",
            ],
            64,
            "past",
        ),
        (
            &["key", "issue", "--client", "acme", "--expires", "soon"],
            64,
            "90d",
        ),
        (
            &["key", "revoke", "0197f3c2a1b27c3d8e4f5a6b7c8d9e0f"],
            1,
            "there is no key",
        ),
        (&["certificate", "approve", "abcdef"], 64, "fingerprint"),
        (
            &["certificate", "remove", "abcdefabcdef"],
            1,
            "there is no certificate",
        ),
    ] {
        expect_refusal(&gateway.cli(arguments), status, words);
    }
    let in_json = gateway.cli(&["client", "show", "nobody", "--output", "json"]);
    let error: Json = serde_json::from_str(&in_json.errors).unwrap();
    assert!(error["error"].as_str().unwrap().contains("nobody"));
}

#[test]
fn a_dry_run_changes_nothing_and_shows_no_key() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = registered(&world, &backend);
    gateway.stop();
    let alice = world.client("alice");
    gateway.cli(&["client", "add", "acme"]).expect_success();
    let before = ask(&gateway, &["status"]);
    for arguments in [
        &["client", "add", "other"][..],
        &["client", "disable", "acme"],
        &["certificate", "add", "--client", "acme", path(&alice)],
        &["key", "issue", "--client", "acme"],
    ] {
        let dry = [arguments, &["--dry-run"]].concat();
        let told = gateway.cli(&dry).expect_success();
        let said = told.output + &told.errors;
        assert!(said.contains("would"), "{said}");
        assert!(!said.contains("kf_live"), "{said}");
        let told = ask(&gateway, &dry);
        assert_eq!(
            (&told["dry_run"], &told["epoch"]),
            (&json!(true), &Json::Null)
        );
        assert!(!told.to_string().contains("kf_live"), "{told}");
        // A name that is not made yet would be another one in earnest.
        assert_eq!(told["key_id"], Json::Null);
        assert_eq!(told["certificate"]["key_id"], Json::Null);
    }
    assert_eq!(ask(&gateway, &["status"]), before);
}

#[test]
fn an_operator_sees_where_everybody_stands() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let day = 86_400;
    let [alice, soon] = [("alice", 60), ("soon", 3)].map(|(name, days)| {
        let spec = leaf(name).dates_unix(now() - day, now() + days * day);
        world.client_like(spec)
    });
    assert_eq!(by_certificate(&gateway, &soon), 200);
    let key = gateway.claim_key(&alice);
    assert_eq!(by_key(&gateway, &key), 200);
    let id = backend.last().header("x-client-id").to_owned();
    gateway.cli(&["client", "add", "new"]).expect_success();
    let unused = issue(&gateway, "new");

    // The gateway tells the store of sightings now and then.
    let status = wait_for("the sightings to be stored", || {
        let status = ask(&gateway, &["status"]);
        (status["clients"]["by_stage"]["dual"] == 1).then_some(status)
    });
    assert_eq!(
        status["clients"],
        json!({
            "total": 3,
            "by_stage": {
                "registered": 0, "cert-only": 1, "key-issued": 1, "dual": 1, "key-only": 0,
                "retired": 0
            }
        })
    );
    assert_eq!(status["certificates"]["mapped"], 2);
    assert_eq!(status["certificates"]["expiring_within_7_days"], 1);
    assert_eq!(status["keys"], json!({ "issued": 2, "never_used": 1 }));
    let text = gateway.cli(&["status"]).expect_success().output;
    assert!(
        text.starts_with("clients ") && text.contains("cert-only 1 · key-issued 1"),
        "{text}"
    );

    let dual = &ask(&gateway, &["client", "list", "--stage", "dual"])["clients"];
    assert_eq!(dual.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&dual[0]["client_id"], &dual[0]["keys"]),
        (&json!(id), &json!(1))
    );
    let shown = ask(&gateway, &["client", "show", &id]);
    assert_eq!(shown["certificates"][0]["subject"], "CN=alice");
    assert_eq!(shown["keys"][0]["key_id"], key_id(&key));
    assert!(
        shown["last_seen"]["by_key"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );

    let of_new = ask(&gateway, &["key", "list", "--client", "new"]);
    assert_eq!(of_new["keys"][0]["key_id"], key_id(&unused));
}

#[test]
fn no_command_shows_a_key_again() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let claimed = gateway.claim_key(&world.client("alice"));
    gateway.cli(&["client", "add", "new"]).expect_success();
    let issued = issue(&gateway, "new");
    for arguments in [
        &["key", "list"][..],
        &["client", "list"],
        &["client", "show", "new"],
        &["status"],
        &["certificate", "list"],
    ] {
        for output in ["text", "json"] {
            let arguments = [arguments, &["--output", output]].concat();
            let told = gateway.cli(&arguments).expect_success();
            assert!(
                !told.output.contains('\u{1b}'),
                "no colour in a pipe: {told:#?}"
            );
            for key in [&claimed, &issued] {
                let secret = key.rsplit('_').next().unwrap();
                assert!(!told.output.contains(secret), "{told:#?}");
            }
        }
    }
}

#[test]
fn a_key_that_nobody_could_read_is_a_failure() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = registered(&world, &backend);
    gateway.stop();
    gateway.cli(&["client", "add", "acme"]).expect_success();
    let unread = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        gateway.cli_into(arguments, writer)
    };
    for output in ["text", "json"] {
        let issue = ["key", "issue", "--client", "acme", "--output", output];
        let told = unread(&issue);
        let keys = ask(&gateway, &["key", "list"]);
        let mut ids = keys["keys"].as_array().unwrap().iter();
        expect_refusal(&told, 70, "nobody has seen it");
        assert!(ids.any(|key| {
            let advice = format!("keyferry key revoke {}", key["key_id"].as_str().unwrap());
            told.errors.contains(&advice)
        }));
        assert!(!told.errors.contains("kf_live"), "{told:#?}");
    }
    // Whatever can be shown again is not missed.
    unread(&["key", "list"]).expect_success();
}

#[test]
fn a_key_ends_when_the_operator_said_and_has_the_scopes_that_it_was_given() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = registered(&world, &backend);
    gateway.cli(&["client", "add", "acme"]).expect_success();
    let issued = ask(
        &gateway,
        &[
            "key",
            "issue",
            "--client",
            "acme",
            "--expires",
            "1s",
            "--scope",
            "b",
            "--scope",
            "a",
        ],
    );
    assert_eq!(issued["scopes"], json!(["a", "b"]));
    let key = issued["key"].as_str().unwrap();
    wait_for("the key to end", || {
        (by_key(&gateway, key) == 401).then_some(())
    });
    let keys = ask(&gateway, &["key", "list"]);
    assert_eq!(keys["keys"][0]["status"], "expired");
}

#[tokio::test]
async fn commands_work_on_redis_and_say_when_it_is_gone() {
    let mut redis = RedisServer::start(&[]).await;
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .set("enrolment.mode", "registered")
        .redis(&redis.url())
        .start();
    let alice = world.client("alice");
    gateway.cli(&["client", "add", "acme"]).expect_success();
    gateway
        .cli(&["certificate", "add", "--client", "acme", path(&alice)])
        .expect_success();
    let key = issue(&gateway, "acme");
    // What is new is looked up at once; what ends comes with the events.
    assert_eq!(by_certificate(&gateway, &alice), 200);
    assert_eq!(by_key(&gateway, &key), 200);
    assert_eq!(backend.last().header("x-key-id"), key_id(&key));
    gateway
        .cli(&["key", "revoke", key_id(&key)])
        .expect_success();
    wait_for("the key to be refused", || {
        (by_key(&gateway, &key) == 401).then_some(())
    });
    gateway.cli(&["client", "disable", "acme"]).expect_success();
    wait_for("the certificate to be refused", || {
        (by_certificate(&gateway, &alice) == 403).then_some(())
    });

    redis.stop();
    let told = gateway.cli(&["client", "list"]);
    expect_refusal(&told, 69, "the store does not answer");
    let told = gateway.cli(&["client", "add", "other"]);
    expect_refusal(&told, 69, "the store does not answer");
}
