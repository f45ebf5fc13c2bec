//! `keyferry reload`, and files that change while they are read.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::reload_live::{errors, reload, route};
use crate::support::backend::{Backend, BackendTls};
use crate::support::gateway::{Builder, Gateway, Told};
use crate::support::pki::{Issued, leaf, root, server};
use crate::support::world::World;
use crate::support::{linger, wait_for, wait_longer};

fn in_json(gateway: &Gateway) -> (Option<i32>, Json) {
    let told = gateway.cli(&["reload", "--output", "json"]);
    (told.status.code(), told.json())
}

#[track_caller]
fn expect(told: &Told, status: i32, texts: &[&str]) {
    assert_eq!(told.status.code(), Some(status), "{told:?}");
    for text in texts {
        let all = format!("{}{}", told.output, told.errors);
        assert!(all.contains(text), "{text}: {told:?}");
    }
}

#[test]
fn the_command_tells_what_was_taken_over_and_what_needs_a_restart() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let text = || gateway.cli(&["reload"]);
    expect(
        &text(),
        0,
        &["nothing has changed that the gateway takes over\n"],
    );
    gateway.deploy(
        |config| {
            let marker = route("marker", "/marker", "echo");
            config["route"].as_array_mut().unwrap().push(marker);
            let store = config["store"].as_table_mut().unwrap();
            store.insert("max_stale".to_owned(), "2h".into());
        },
        &[],
    );
    let told = text();
    expect(
        &told,
        0,
        &["needs a restart of the gateway:\n  store.max_stale\n"],
    );
    expect(
        &told,
        0,
        &["the gateway took over:\n  route[marker] (new)\n"],
    );
    let (status, report) = in_json(&gateway);
    assert_eq!(status, Some(0));
    let expected = json!({
        "outcome": "taken_over",
        "changed": [],
        "needs_restart": ["store.max_stale"],
        "problems": [],
    });
    assert_eq!(report, expected);
}

#[test]
fn the_command_says_why_nothing_was_taken_over() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::start(&world, &backend);
    let good = gateway.contents("pepper.key");
    gateway.put("pepper.key", "another pepper, also of at least 32 bytes");
    let goes_on = "the gateway goes on with what it had";
    expect(
        &gateway.cli(&["reload"]),
        1,
        &["pepper 1 is the current one", goes_on],
    );
    let (status, report) = in_json(&gateway);
    assert_eq!((status, &report["outcome"]), (Some(1), &json!("refused")));
    gateway.put("pepper.key", &good);
    expect(&gateway.cli(&["reload"]), 0, &[]);

    gateway.deploy(
        |config| config["route"][0]["backend"] = "nobody".into(),
        &[],
    );
    let told = gateway.cli(&["reload"]);
    expect(
        &told,
        78,
        &["keyferry.toml:", "there is no backend \"nobody\""],
    );
    // Who sees the configuration otherwise than the gateway does is told what that sees.
    let asked = gateway.admin("/reload").method("POST");
    let asked = asked.header("Content-Type: application/json").send();
    let report = asked.expect_status(200).json();
    assert_eq!(report["outcome"], "wrong");
    let problem = &report["problems"][0];
    assert_eq!(problem["key"], "route[0].backend");
    assert!(
        problem["line"].as_u64().is_some_and(|line| line > 0),
        "{problem}"
    );
    assert!(problem["file"].as_str().unwrap().ends_with("keyferry.toml"));
    gateway.deploy(|config| config["route"][0]["backend"] = "echo".into(), &[]);
    expect(&gateway.cli(&["reload"]), 0, &[]);

    gateway.stop();
    expect(&gateway.cli(&["reload"]), 69, &["no gateway answers"]);
    gateway.deploy(|config| drop(config.remove("admin")), &[]);
    expect(
        &gateway.cli(&["reload"]),
        1,
        &["has no [admin] address", "SIGHUP"],
    );
}

/// Nobody but the operator, who sends what no page can.
#[test]
fn a_web_page_cannot_make_the_gateway_read_its_configuration() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let json = "Content-Type: application/json";
    let post = |headers: &[&str]| {
        let call = gateway.admin("/reload").method("POST");
        headers
            .iter()
            .fold(call, |call, header| call.header(header))
            .send()
    };
    // What pages can send, to a name that leads here or to the address itself.
    post(&[json, "Host: attacker.example"]).expect_status(421);
    post(&[]).expect_status(403);
    post(&["Content-Type: text/plain"]).expect_status(403);
    post(&[json, "Origin: https://attacker.example"]).expect_status(403);
    post(&[json, "Origin: null"]).expect_status(403);
    gateway.admin("/reload").send().expect_status(405);
    let asks_first = gateway
        .admin("/reload")
        .method("OPTIONS")
        .send()
        .expect_status(405);
    let allowed = asks_first.headers.iter();
    assert!(
        !allowed
            .map(|(name, _)| name.to_lowercase())
            .any(|name| name.starts_with("access-control"))
    );
    let read = || gateway.log().matches("keyferry reload: reading").count();
    assert_eq!(read(), 0);
    // The control.
    post(&[json]).expect_status(200);
    assert_eq!(read(), 1);
}

/// A backend that asks the gateway for a certificate of `authority`.
fn strict(servers: &Issued, authority: &Issued) -> Backend {
    let issued = server("backend.example").signed_by(servers);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Backend::start_tls(&BackendTls {
        chain: text(issued.chain_pem()),
        key: text(issued.key_pem()),
        client_ca: Some(text(authority.pem())),
    })
}

/// The gateway's own certificate towards that backend, and its key.
fn pair(authority: &Issued, number: usize) -> [(&'static str, String); 2] {
    let issued = leaf(&format!("gateway-{number}")).signed_by(authority);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    [
        ("own.pem", text(issued.chain_pem())),
        ("own.key", text(issued.key_pem())),
    ]
}

fn with_own_certificate<'a>(
    world: &'a World,
    backend: &Backend,
    own: &[(&str, String); 2],
) -> Builder<'a> {
    let entry = toml::toml! {
        protocol = "http1"
        [tls]
        ca_file = "backend-ca.pem"
        server_name = "backend.example"
        certificate_file = "own.pem"
        key_file = "own.key"
    };
    let builder = Gateway::builder(world).file("backend-ca.pem", world.servers.pem());
    let builder = own
        .iter()
        .fold(builder, |builder, (name, text)| builder.file(name, text));
    builder
        .backend_like("echo", backend.address(), entry)
        .route("/", "echo", "either")
}

/// A certificate of one folder and the key of another are no pair; while both are swapped again and
/// again, such a one is neither used nor told of.
#[test]
fn o8_a_pair_out_of_two_folders_is_never_used() {
    let world = World::new();
    let authority = root("gateways").self_signed();
    let backend = strict(&world.servers, &authority);
    let pairs: Vec<_> = (0..40).map(|number| pair(&authority, number)).collect();
    let gateway = with_own_certificate(&world, &backend, &pairs[0])
        .mounted()
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    let call = || gateway.curl("/").key(&key).send().expect_status(200);
    let shown = || backend.last().peer.unwrap();
    call();
    assert_eq!(shown(), "gateway-0");

    let [certificate, own_key] = pairs[1].each_ref().map(|(name, text)| (*name, &**text));
    // The attack, without the swap: half of a pair stays long enough to be read twice.
    gateway.deploy(|_| (), &[certificate]);
    expect(
        &gateway.cli(&["reload"]),
        78,
        &["the key does not belong to the certificate"],
    );
    wait_for("it to be told", || {
        gateway.log().contains("ERROR").then_some(())
    });
    call();
    assert_eq!(shown(), "gateway-0");
    gateway.deploy(|_| (), &[own_key]);
    reload(&gateway);
    call();
    assert_eq!(shown(), "gateway-1");

    let told = errors(&gateway);
    let over = AtomicBool::new(false);
    scope(|scope| {
        let asking = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                gateway.signal("HUP");
                call();
            }
        });
        for pair in &pairs[2..] {
            let pair = pair.each_ref().map(|(name, text)| (*name, &**text));
            gateway.deploy(|_| (), &pair);
            linger(Duration::from_millis(60));
        }
        over.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });
    wait_for("the last pair", || {
        call();
        (shown() == "gateway-39").then_some(())
    });
    assert_eq!(errors(&gateway), told, "{}", gateway.log());
}

/// What changes all the time may be half of a secret at any moment: it is told, not taken.
#[test]
fn o8_a_file_that_never_stays_as_it_is_is_told() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let key = gateway.claim_key(&world.client("alice"));
    let good = gateway.contents("keyferry.toml");
    let is_in_step = || gateway.metric("keyferry_reload_success") > 0.5;
    let over = AtomicBool::new(false);
    scope(|scope| {
        let writing = scope.spawn(|| {
            let mut number = 0_u64;
            while !over.load(Ordering::Relaxed) {
                gateway.put("keyferry.toml", &format!("{good}\n# {number}\n"));
                number += 1;
                linger(Duration::from_millis(50));
            }
        });
        let patience = Duration::from_mins(1);
        wait_longer("it to be told", patience, || (!is_in_step()).then_some(()));
        gateway.curl("/").key(&key).send().expect_status(200);
        over.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    });
    assert!(
        gateway
            .log()
            .contains("keyferry.toml changed all the time for 10 seconds")
    );
    wait_for("all to be well", || is_in_step().then_some(()));
}

/// Behind the links of Kubernetes, and without a word to the gateway.
#[test]
fn o8_three_swaps_in_a_row_are_noticed() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world).echo(&backend).mounted().start();
    let key = gateway.claim_key(&world.client("alice"));
    let status = |path: &str| gateway.curl(path).key(&key).send().status;
    for number in 0..3 {
        let (path, before) = (format!("/v{number}"), format!("/v{}/x", number - 1));
        gateway.deploy(
            |config| config["route"][0]["path"] = path.clone().into(),
            &[],
        );
        wait_for("the swap to be noticed", || {
            (status(&path) == 200 && status(&before) == 404).then_some(())
        });
    }
    assert_eq!(
        gateway.log().matches("took the configuration over").count(),
        3
    );
    assert!(fs::read_link(gateway.path("..data")).is_ok());
}
