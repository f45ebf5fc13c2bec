//! Webhooks: that others are told what happens, as often as it does, signed, and never of a secret.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Setup};
use crate::support::pki::leaf;
use crate::support::python;
use crate::support::wait_for;
use crate::support::webhook::{Message, OTHER, Receiver, SECRET};
use crate::support::world::{Identity, World};

fn ids(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().map(Message::id).collect()
}

/// All of them different, and believed by the library.
#[track_caller]
fn expect_sound(messages: &[Message]) {
    assert_eq!(ids(messages).len(), messages.len(), "{messages:#?}");
    for message in messages {
        assert_eq!(message.believed(), [true], "{message:#?}");
        assert_eq!(message.header("content-type"), "application/json");
        assert_eq!(message.0["path"], "/hook?token=canary-of-the-url");
    }
}

#[test]
fn every_key_that_is_issued_is_told_of_once_and_never_the_key() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let only = toml::toml! { events = ["key.issued"] };
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling_like("hook", receiver.address(), only)
        .start_telling();
    let claimed = gateway.claim_key(&world.client("alice"));
    gateway.cli(&["client", "add", "bob"]).expect_success();
    let issued = gateway
        .cli(&["key", "issue", "--client", "bob"])
        .expect_success();
    let rotated = gateway
        .curl("/.well-known/keyferry/key/rotate")
        .method("POST")
        .key(&claimed)
        .send()
        .expect_status(201);

    let told = receiver.taken("key.issued", 3);
    expect_sound(&told);
    let how: Vec<_> = told
        .iter()
        .map(|message| message.data()["how"].clone())
        .collect();
    assert_eq!(how, ["claim", "operator", "rotation"]);
    assert_eq!(told[1].data()["client"], "bob");
    let by = told[1].data()["by"].as_str().unwrap().to_owned();
    assert!(by.starts_with("operator "), "{by}");
    let id = |key: &str| key.rsplit('_').nth(1).map(ToOwned::to_owned);
    assert_eq!(
        told[0].data()["key_id"].as_str().map(ToOwned::to_owned),
        id(&claimed)
    );

    // The key itself is in nothing that was told, and the URL's token in nothing that is shown.
    let new = rotated.json()["key"].as_str().unwrap().to_owned();
    let secret = |key: &str| key.rsplit('_').next().unwrap().to_owned();
    let shown = issued.output;
    for key in [claimed, new] {
        assert!(
            told.iter()
                .all(|message| !message.text().contains(&secret(&key)))
        );
    }
    let operators = shown
        .split_whitespace()
        .find(|word| word.starts_with("kf_live_"));
    let operators = secret(operators.unwrap());
    assert!(
        told.iter()
            .all(|message| !message.text().contains(&operators))
    );
    let listed = gateway.cli(&["webhook", "list"]).expect_success().output;
    for text in [gateway.log(), listed] {
        assert!(
            !text.contains("canary-of-the-url") && !text.contains("whsec_"),
            "{text}"
        );
    }
    let metric = |result: &str| {
        gateway.metric(&format!(
            "keyferry_webhook_deliveries_total{{result=\"{result}\",webhook=\"hook\"}}"
        ))
    };
    assert!((metric("sent") - 3.0).abs() < 0.1 && metric("failed") < 0.1);
}

#[test]
fn a_conflict_is_told_of_once_an_hour_for_each_pair() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling(receiver.address())
        .start_telling();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let keys = [gateway.claim_key(&alice), gateway.claim_key(&bob)];
    let conflict = |client, key: &str| {
        let request = gateway.curl("/").certificate(client).key(key);
        request.send().expect_status(403);
    };
    for _ in 0..5 {
        conflict(&alice, &keys[1]);
    }
    let told = receiver.taken("credential.conflict", 1);
    // Later than what might come of the others.
    conflict(&bob, &keys[0]);
    let both = receiver.taken("credential.conflict", 2);
    expect_sound(&both);
    assert_eq!(both.len(), 2, "{both:#?}");
    let of = |message: &Message, what: &str| message.data()[what].as_str().unwrap().to_owned();
    assert!(of(&told[0], "certificate_of").starts_with("alice"));
    assert!(of(&told[0], "key_of").starts_with("bob"));
    assert_eq!(of(&both[1], "certificate_of"), of(&told[0], "key_of"));
}

#[test]
fn a_brownout_is_told_of_when_it_begins_ends_and_stops_itself() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling(receiver.address())
        .start_telling();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    for client in [&alice, &bob] {
        gateway
            .curl("/")
            .certificate(client)
            .send()
            .expect_status(200);
    }
    let brownout = |further: &[&str]| {
        let at_once = ["--from", "now", "--force", "--reason", "a drill"];
        let what = ["phase", "brownout", "--all", "--percent", "100"];
        let all = [&what[..], &at_once, further].concat();
        gateway.cli(&all).expect_success();
    };
    let refused = |client| {
        wait_for("a refusal", || {
            let answer = gateway.curl("/").certificate(client).send();
            (answer.status == 403).then_some(())
        });
    };
    brownout(&[]);
    let begun = receiver.taken("brownout.begun", 1);
    assert_eq!(begun[0].data()["target"], "all");
    assert_eq!(begun[0].data()["budget"], Value::Null);
    refused(&alice);
    refused(&bob);
    refused(&bob);
    gateway.cli(&["phase", "undo", "--all"]).expect_success();
    let ended = receiver.taken("brownout.ended", 1);
    assert_eq!(
        ended[0].data()["refusals"],
        2,
        "one a minute of each client"
    );
    assert_eq!(ended[0].data()["clients"], 2);
    assert_eq!(ended[0].data()["change"], begun[0].data()["change"]);

    brownout(&["--budget", "1"]);
    assert_eq!(receiver.taken("brownout.begun", 2)[1].data()["budget"], 1);
    // Of each client one a minute: whoever was not counted before.
    let carol = world.client("carol");
    wait_for("the first refusal", || {
        let answer = gateway.curl("/").certificate(&carol).send();
        (answer.status == 403).then_some(())
    });
    let stopped = receiver.taken("brownout.stopped", 1);
    assert_eq!(stopped[0].data()["refusals"], 1);
    assert_eq!(receiver.of("brownout.ended").len(), 1);
    expect_sound(&receiver.all());
}

#[test]
fn a_certificate_that_ends_soon_and_the_end_of_the_migration_are_told_of() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling(receiver.address())
        .set("migration.window", "1s")
        .start_telling();
    let (soon, late) = (
        world.client_like(leaf("soon").dates(-3600, 5 * 86_400)),
        world.client_like(leaf("late").dates(-3600, 200 * 86_400)),
    );
    for client in [&soon, &late] {
        gateway
            .curl("/")
            .certificate(client)
            .send()
            .expect_status(200);
    }
    let told = receiver.taken("certificate.expiring", 1);
    assert_eq!(told[0].data()["within_days"], 7);
    let client = told[0].data()["client"].as_str().unwrap().to_owned();
    assert!(client.starts_with("soon"), "{client}");

    for client in [&soon, &late] {
        let key = gateway.claim_key(client);
        gateway.curl("/").key(&key).send().expect_status(200);
    }
    let finished = receiver.taken("migration.finished", 1);
    assert_eq!(finished[0].data(), json!({ "moved": 2, "disabled": 0 }));
    expect_sound(&receiver.all());
    assert_eq!(
        receiver.of("certificate.expiring").len(),
        1,
        "{:#?}",
        receiver.all()
    );
}

#[test]
fn the_end_of_a_cohort_is_told_of_once_and_again_after_somebody_was_left() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let only = toml::toml! { events = ["cohort.finished"] };
    let mut gateway = Gateway::builder(&world)
        .echo(&backend)
        .telling_like("hook", receiver.address(), only)
        .set("migration.window", "1s")
        .start_telling();
    let join = |gateway: &Gateway, who: &Identity, cohort: &str| {
        gateway.curl("/").certificate(who).send().expect_status(200);
        let id = backend.last().header("x-client-id").to_owned();
        gateway
            .cli(&["client", "tag", &id, "--add", cohort])
            .expect_success();
    };
    let move_on = |gateway: &Gateway, who: &Identity| {
        let key = gateway.claim_key(who);
        gateway.curl("/").key(&key).send().expect_status(200);
    };
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.client(name));
    join(&gateway, &alice, "mobile");
    join(&gateway, &bob, "servers");
    move_on(&gateway, &alice);
    receiver.taken("cohort.finished", 1);

    // Whoever goes on knows that it was told, and sees that somebody is left when it tells of the others.
    assert!(gateway.stop().success());
    gateway.start_again();
    join(&gateway, &carol, "mobile");
    move_on(&gateway, &bob);
    receiver.taken("cohort.finished", 2);
    move_on(&gateway, &carol);
    let told = receiver.taken("cohort.finished", 3);
    expect_sound(&told);
    let data: Vec<_> = told.iter().map(Message::data).collect();
    let finished =
        |cohort: &str, moved: u64| json!({ "cohort": cohort, "moved": moved, "disabled": 0 });
    let expected = [("mobile", 1), ("servers", 1), ("mobile", 2)];
    assert_eq!(
        data,
        expected.map(|(cohort, moved)| finished(cohort, moved))
    );
}

#[test]
fn a_webhook_is_told_what_it_wants_and_signed_with_both_secrets_of_a_rotation() {
    let (world, backend) = (World::new(), Backend::start());
    let receiver = Receiver::knowing(&[SECRET, OTHER]);
    let wants = toml::toml! {
        events = ["credential.conflict"]
        former_secret_file = "former.whsec"
    };
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .file("former.whsec", OTHER)
        .telling_like("hook", receiver.address(), wants)
        .start_telling();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    gateway.claim_key(&alice);
    let key = gateway.claim_key(&bob);
    gateway
        .curl("/")
        .certificate(&alice)
        .key(&key)
        .send()
        .expect_status(403);
    let told = receiver.taken("credential.conflict", 1);
    assert_eq!(told[0].believed(), [true, true]);
    assert_eq!(receiver.all().len(), 1, "keys were issued before it");

    let tested = gateway.cli(&["webhook", "test", "hook", "--output", "json"]);
    let tested = tested.expect_success().json();
    assert_eq!(
        (&tested["taken"], &tested["status"]),
        (&json!(true), &json!(200))
    );
    let came = receiver.taken("webhook.test", 1);
    assert_eq!(came[0].id(), tested["id"].as_str().unwrap());
    assert_eq!(came[0].believed(), [true, true]);
    receiver.set(&json!({ "answer": 401, "times": 1 }));
    let tested = gateway.cli(&["webhook", "test", "hook"]);
    assert_eq!(tested.status.code(), Some(1), "{tested:#?}");
    assert!(tested.output.contains("it answers 401"), "{tested:#?}");
    let unknown = gateway.cli(&["webhook", "test", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(unknown.errors.contains("hook"), "{unknown:#?}");
}

#[test]
fn a_receiver_over_tls_is_told_when_its_certificate_is_good_and_not_otherwise() {
    let (world, backend) = (World::new(), Backend::start());
    let receiver = Receiver::with_tls(&world);
    let setup = |trusted: &str, name: &str| {
        let port = receiver.address().port();
        let mut further = toml::toml! { tls = { ca_file = "hooks-ca.pem" } };
        further.insert(
            "url".to_owned(),
            format!("https://{name}:{port}/hook?token=canary-of-the-url").into(),
        );
        let authority = if trusted == "servers" {
            world.servers.pem()
        } else {
            world.clients.pem()
        };
        Gateway::builder(&world)
            .echo(&backend)
            .file("hooks-ca.pem", authority)
            .telling_like("hook", receiver.address(), further)
            .write()
    };
    let test = |setup: &Setup| setup.cli(&["webhook", "test", "hook", "--output", "json"]);
    let told = test(&setup("servers", "localhost")).expect_success().json();
    assert_eq!(told["status"], 200);
    expect_sound(&receiver.taken("webhook.test", 1));
    let told = test(&setup("others", "localhost"));
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    let why = told.json()["why"].as_str().unwrap().to_owned();
    assert!(
        why.contains("TLSHandshake") || why.contains("InvalidCert"),
        "{why}"
    );
    assert!(!told.output.contains("canary"), "{told:#?}");
    assert_eq!(receiver.all().len(), 1);
}

/// The code of docs/WEBHOOKS.md in this language.
fn code(language: &str) -> String {
    let page = include_str!("../../docs/WEBHOOKS.md");
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_code_of_the_page_believes_what_the_gateway_sends_and_nothing_else() {
    let (world, backend, receiver) = (World::new(), Backend::start(), Receiver::start());
    let former = toml::toml! { former_secret_file = "former.whsec" };
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .file("former.whsec", OTHER)
        .telling_like("hook", receiver.address(), former)
        .start();
    gateway.cli(&["webhook", "test", "hook"]).expect_success();
    let came = receiver.taken("webhook.test", 1).remove(0);
    let now: i64 = came.header("webhook-timestamp").parse().unwrap();
    let third = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let (mut expected, mut calls) = (Vec::new(), Vec::new());
    let mut call = |is_good: bool, secrets: &[&str], later: i64, changed: &str, to: &str| {
        let mut headers = came.0["headers"].clone();
        let mut body = came.text().to_owned();
        match changed {
            "" => {}
            "body" => body.push_str(to),
            header => headers[header] = json!(to),
        }
        let now = now + later;
        calls.push(json!({ "secrets": secrets, "headers": headers, "body": body, "now": now }));
        expected.push(is_good);
    };
    call(true, &[SECRET], 0, "", "");
    call(true, &[OTHER], -299, "", "");
    call(true, &[third, OTHER], 299, "", "");
    call(false, &[third], 0, "", "");
    call(false, &[], 0, "", "");
    call(false, &[SECRET], 301, "", "");
    call(false, &[SECRET], -301, "", "");
    call(false, &[SECRET], 0, "body", " ");
    call(false, &[SECRET], 0, "webhook-id", "msg_other");
    call(false, &[SECRET], 0, "webhook-timestamp", "x");
    call(false, &[SECRET], 0, "webhook-signature", "v1,");
    call(false, &[SECRET], 0, "webhook-signature", "");
    for (language, script) in [("python", "webhook_page.py"), ("js", "webhook_page.mjs")] {
        let told = python::run(script, &json!({ "code": code(language), "calls": calls }));
        assert_eq!(told, json!(expected), "{language}");
    }
}
