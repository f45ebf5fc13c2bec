//! A running gateway takes over other settings: who enrols, where clients serve themselves and how
//! often, what headers are called, whom it observes, what it logs.

use serde_json::json;
use toml::{Table, Value};

use super::reload_live::{reload, route};
use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::process::with_boringssl;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

/// Edits the configuration, and tells what the gateway took over of it.
#[track_caller]
fn change(gateway: &Gateway, edit: impl FnOnce(&mut Table)) -> Vec<String> {
    gateway.deploy(edit, &[]);
    let report = reload(gateway);
    assert_eq!(report["needs_restart"], json!([]), "{report}");
    serde_json::from_value(report["changed"].clone()).unwrap()
}

/// Sets `table.key`.
fn set(config: &mut Table, table: &str, key: &str, value: impl Into<Value>) {
    let table = config.entry(table).or_insert_with(|| Table::new().into());
    let table = table.as_table_mut().unwrap();
    table.insert(key.to_owned(), value.into());
}

fn called(gateway: &Gateway, client: &Identity) -> crate::support::curl::Answer {
    gateway.curl("/").certificate(client).send()
}

#[test]
fn who_enrols_is_decided_by_the_enrolment_of_now() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let [alice, bob, carol, dave] =
        ["alice", "bob", "carol", "dave"].map(|name| world.client(name));
    called(&gateway, &alice).expect_status(200);
    let mode = |mode: &'static str| {
        let changed = change(&gateway, |config| set(config, "enrolment", "mode", mode));
        assert_eq!(changed, ["enrolment.mode"]);
    };
    mode("registered");
    called(&gateway, &bob).expect_refusal(403, "client_unregistered");
    mode("approve");
    called(&gateway, &carol).expect_refusal(403, "approval_pending");
    mode("auto");
    called(&gateway, &dave).expect_status(200);
    called(&gateway, &alice).expect_status(200);
    let changed = change(&gateway, |config| set(config, "enrolment", "at_most", 1));
    assert_eq!(changed, ["enrolment.at_most"]);
    called(&gateway, &world.client("erin")).expect_refusal(403, "client_unregistered");
}

#[test]
fn clients_serve_themselves_where_and_as_often_as_is_set_now() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    let rotate = |base: &str, key: &str| {
        let call = gateway.curl(&format!("{base}key/rotate")).method("POST");
        call.key(key).send()
    };
    let (old, new) = ("/.well-known/keyferry/", "/keys/");
    let whoami = |base: &str| gateway.curl(&format!("{base}whoami")).key(&key).send();
    whoami(old).expect_status(200);
    assert_eq!(
        whoami(new).expect_status(200).json()["target"],
        "/keys/whoami"
    );
    change(&gateway, |config| set(config, "self_service", "path", new));
    assert_eq!(whoami(new).expect_status(200).json()["proven_by"], "key");
    assert_eq!(
        whoami(old).expect_status(200).json()["target"],
        format!("{old}whoami")
    );

    change(&gateway, |config| set(config, "key", "per_client", 1));
    rotate(new, &key).expect_refusal(409, "too_many_keys");
    change(&gateway, |config| {
        set(config, "key", "per_client", 5);
        set(config, "self_service", "per_credential", 1);
    });
    // What was counted before counts on.
    let refused = rotate(new, &key);
    refused.expect_refusal(429, "rate_limited");
    change(&gateway, |config| {
        set(config, "self_service", "per_credential", 9);
    });
    rotate(new, &key).expect_status(201);
}

#[test]
fn headers_and_scopes_are_those_of_now() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let key = gateway.claim_key(&world.client("alice"));
    let call = || {
        let forged = gateway.curl("/").key(&key).header("X-Customer-Key: forged");
        forged.send().expect_status(200);
        backend.last()
    };
    assert_eq!(
        call().header("x-customer-key"),
        "forged",
        "the control: it is no name of ours"
    );
    let key_id = call().header("x-key-id").to_owned();
    let changed = change(&gateway, |config| {
        set(config, "headers", "key_id", "X-Customer-Key");
    });
    assert_eq!(changed, ["headers.key_id"]);
    let seen = call();
    assert_eq!(seen.header("x-customer-key"), key_id);
    assert!(seen.header("signature-input").contains("x-customer-key"));
    assert!(seen.all("x-key-id").is_empty());

    let scopes = |scopes: &[&str]| {
        let scopes: Vec<_> = scopes.iter().map(|scope| Value::from(*scope)).collect();
        change(&gateway, |config| {
            let route = config["route"][0].as_table_mut().unwrap();
            route.insert("scopes".to_owned(), scopes.into());
        })
    };
    assert_eq!(scopes(&["orders:read"]), ["route[echo-either].scopes[0]"]);
    gateway
        .curl("/")
        .key(&key)
        .send()
        .expect_refusal(403, "scope_missing");
    scopes(&[]);
    call();
}

#[test]
fn whom_it_observes_is_decided_by_what_is_set_now() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let nobody = || gateway.curl("/").send();
    let observations = || gateway.admin("/observations").send();
    nobody().expect_refusal(401, "credential_missing");
    observations().expect_status(400);
    let from = |from: &'static str| {
        change(&gateway, |config| {
            set(config, "observe", "from", vec![from]);
        });
    };
    from("127.0.0.1");
    nobody().expect_status(200);
    assert_eq!(observations().expect_status(200).json()["requests"], 1);
    assert!(gateway.log().contains("THIS GATEWAY ONLY OBSERVES"));
    assert!(gateway.metric("keyferry_observing") > 0.5);
    from("192.0.2.1");
    nobody().expect_refusal(401, "credential_missing");
    let told = gateway
        .admin("/observations")
        .send()
        .expect_status(200)
        .json();
    assert_eq!(told["requests"], 1, "{told}");
    change(&gateway, |config| drop(config.remove("observe")));
    assert!(gateway.log().contains("no longer observes"));
    assert!(gateway.metric("keyferry_observing") < 0.5);
    observations().expect_status(400);
}

#[test]
fn what_is_logged_is_decided_by_the_level_of_now() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .set("telemetry.log", "error")
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    let call = |id: &str| {
        let call = gateway
            .curl("/")
            .key(&key)
            .header(&format!("X-Request-Id: {id}"));
        call.send().expect_status(200);
    };
    let expect_silence = |id: &str| {
        call(id);
        // Something later that is always told.
        let audits = || gateway.log().matches("\"target\":\"audit\"").count();
        let told = audits();
        gateway.claim_key(&world.client(id));
        wait_for("the line of a change", || (audits() > told).then_some(()));
        assert!(!gateway.log().contains(&format!("\"request_id\":\"{id}\"")));
    };
    expect_silence("r1");
    change(&gateway, |config| set(config, "telemetry", "log", "info"));
    call("r2");
    gateway.access_line("r2");
    change(&gateway, |config| set(config, "telemetry", "log", "error"));
    expect_silence("r3");
}

/// `listener.client_certificates`: the handshakes after it.
#[test]
fn whether_certificates_are_asked_for_is_decided_at_each_handshake() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    called(&gateway, &alice).expect_status(200);
    let ask = |word: &'static str| {
        let changed = change(&gateway, |config| {
            set(config, "listener", "client_certificates", word);
            config["route"] = vec![route("main", "/", "echo")].into();
        });
        assert!(changed.contains(&"listener.client_certificates".to_owned()));
    };
    ask("off");
    called(&gateway, &alice).expect_refusal(401, "credential_missing");
    ask("optional");
    called(&gateway, &alice).expect_status(200);
}

/// R6: who has a ticket, or the name of a session, shakes hands anew when it is of the other setting.
#[test]
fn r6_sessions_are_where_the_setting_of_now_says() {
    if with_boringssl() {
        return;
    }
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let (client, session) = (world.client("client"), world.path("session"));
    let connect = || gateway.s_client().certificate(&client);
    let ask = b"GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";
    let begin = || connect().keep_session(&session).send(ask);
    let is_resumed = || {
        let again = connect().resume_session(&session).send(ask);
        assert_eq!(again.status(), Some(200), "{again:#?}");
        again.was_resumed()
    };
    for (key, value) in [
        ("sessions", Value::from("memory")),
        ("session_bytes", Value::from(1_048_576)),
        ("sessions", Value::from("tickets")),
    ] {
        assert_eq!(begin().status(), Some(200));
        assert!(is_resumed(), "the control, before {key} = {value}");
        let changed = change(&gateway, |config| set(config, "listener", key, value));
        assert_eq!(changed, [format!("listener.{key}")]);
        assert!(!is_resumed(), "after {key}");
    }
    assert_eq!(begin().status(), Some(200));
    assert!(is_resumed());
}
