//! Who cannot connect: the admin listener and `keyferry failures`.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::wait_for;
use crate::support::world::{HOST, World};

/// The one line of the journal for `reason`, once it has come to `count`.
#[track_caller]
pub(super) fn journal(gateway: &Gateway, reason: &str, count: u64) -> Value {
    wait_for("the journal", || {
        let answer = gateway.admin("/handshakes").send().expect_status(200);
        let mut lines = answer.json()["failures"].as_array().unwrap().clone();
        lines.retain(|line| line["reason"] == reason);
        assert!(lines.len() < 2, "{lines:#?}");
        lines.pop().filter(|line| line["count"] == count)
    })
}

#[test]
fn the_operator_sees_who_cannot_connect_and_what_to_do() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let client = world.client("client");
    gateway
        .curl("/")
        .certificate(&client)
        .send()
        .expect_status(200);
    let told = gateway.cli(&["failures"]).expect_success();
    assert_eq!(told.output, "");
    assert!(told.errors.contains("no such handshake"), "{told:#?}");

    let distrustful = world.path("other.pem");
    std::fs::write(&distrustful, world.clients.pem()).unwrap();
    for _ in 0..3 {
        let url = format!("https://{HOST}:{}/", gateway.address().port());
        let ask = Curl::get(&url).resolve(HOST, gateway.address());
        let ask = ask.tls("1.2").authority(&distrustful);
        assert_eq!(ask.send().status, 0);
    }
    let url = format!("http://{}/", gateway.address());
    Curl::get(&url).method("POST").send().expect_status(400);
    let line = journal(&gateway, "server_certificate_distrusted", 3);
    assert_eq!(line["address"], "127.0.0.1");
    assert_eq!(line["server_name"], HOST);
    assert_eq!(line["tls"], "1.2 or later");
    assert!(line["ciphers"].as_array().unwrap().len() > 3, "{line:#}");
    let words = line["openssl"].as_str().unwrap();
    assert!(words.contains("alert unknown ca"), "{words}");
    assert!(line["first"].as_i64().unwrap() <= line["last"].as_i64().unwrap());
    journal(&gateway, "plain_http", 1);

    let told = gateway.cli(&["failures"]).expect_success();
    let has = |text: &str| assert!(told.output.contains(text), "{text}: {told:#?}");
    has("alert unknown ca, for api.example.com");
    has("give the client the CA that issued the gateway's certificate");
    has("begin the client's URL with https://");

    let only = |arguments: &[&str]| {
        let told = gateway.cli(&[&["failures", "--output", "json"], arguments].concat());
        let report = told.expect_success().json();
        let reasons = report["reasons"].as_array().unwrap().iter();
        let reasons = reasons.map(|reason| reason["reason"].as_str().unwrap().to_owned());
        reasons.collect::<Vec<_>>()
    };
    assert_eq!(only(&["--reason", "plain_http"]), ["plain_http"]);
    assert_eq!(only(&["--address", "127.0.0.1"]).len(), 2);
    assert_eq!(only(&["--address", "::ffff:127.0.0.1"]).len(), 2);
    assert_eq!(only(&["--address", "192.0.2.1"]).len(), 0);
    let wrong = gateway.cli(&["failures", "--address", "somewhere"]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:#?}");
    assert!(wrong.errors.contains("not an IP address"), "{wrong:#?}");
}

#[test]
fn a_gateway_that_cannot_be_asked_is_told() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::start(&world, &backend);
    gateway.stop();
    let told = gateway.cli(&["failures"]);
    assert_eq!(told.status.code(), Some(69), "{told:#?}");
    assert!(told.errors.contains("does it run"), "{told:#?}");

    let gateway = Gateway::builder(&world)
        .without("admin")
        .echo(&backend)
        .start();
    let told = gateway.cli(&["failures"]);
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    assert!(told.errors.contains("[admin]"), "{told:#?}");
}

/// A name of the attacker's that leads to this machine makes the browser take the answer for the
/// attacker's own.
#[test]
fn a_web_page_cannot_read_the_admin_listener() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let ask = || gateway.admin("/handshakes");
    ask().send().expect_status(200);
    let rebound = ask().header("Host: rebound.attacker.example");
    rebound.send().expect_status(421);
    let origin = ask().header("Origin: https://attacker.example").send();
    let allowed = origin.all("access-control-allow-origin");
    assert!(allowed.is_empty(), "{origin:#?}");
    let preflight = ask().method("OPTIONS").send();
    preflight.expect_status(405);
}

/// What a client says of itself steers no terminal and breaks no document.
#[test]
fn a_server_name_of_control_characters_is_only_text() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let mut hello = super::tls::client_hello(openssl::ssl::SslVersion::TLS1_2);
    let name = HOST.as_bytes();
    let at = hello
        .windows(name.len())
        .position(|part| part == name)
        .expect("the server name");
    hello[at..at + 4].copy_from_slice(b"\x1b[2J");
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    tcp.write_all(&hello).unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    let line = journal(&gateway, "closed_after_hello", 1);
    let seen = line["server_name"].as_str().unwrap();
    assert_eq!(seen, HOST.replacen("api.", r"\u{1b}[2j", 1));
    let told = gateway.cli(&["failures"]).expect_success();
    assert!(!told.output.contains('\u{1b}'), "{told:#?}");
    assert!(told.output.contains(r"\u{1b}[2j"), "{told:#?}");
}
