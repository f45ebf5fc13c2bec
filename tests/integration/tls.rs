//! Cases R: resumption, server names, several requests on one connection; and handshakes that
//! fail, each counted and explained.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use keyferry::certificate::Fingerprint;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{HandshakeError, SslConnector, SslMethod, SslVersion};
use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::{Builder, Gateway};
use crate::support::pki::{intermediate, leaf, root, server};
use crate::support::process::{Process, with_boringssl};
use crate::support::python::run;
use crate::support::s_client::{SClient, Transcript};
use crate::support::world::{HOST, Identity, World};
use crate::support::{free_addresses, wait_for};

const WHOAMI: &str = "GET /.well-known/keyferry/whoami";
const FAILURES: &str = "keyferry_tls_handshake_failures_total";
const CLAIM: &str = "POST /.well-known/keyferry/key";

fn request(line: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// What an HTTP/1.1 answer within a transcript says in JSON.
#[track_caller]
fn json_of(transcript: &Transcript) -> Value {
    let output = &transcript.output;
    let (_, answer) = output.split_once("HTTP/1.1 ").expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<Value>();
    values.next().expect("a value").expect("JSON")
}

#[track_caller]
fn assert_refusal(transcript: &Transcript, status: u16, reason: &str) {
    assert_eq!(transcript.status(), Some(status), "{transcript:#?}");
    assert_eq!(json_of(transcript)["reason"], reason, "{transcript:#?}");
}

#[test]
fn r1_a_session_is_resumed_again_and_again_with_the_same_identity() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let issuing = intermediate("Issuing").signed_by(&world.clients);
    let below = world.files(leaf("below").signed_by(&issuing));
    for client in [world.client("direct"), below] {
        let mut keys = Vec::new();
        for version in ["1.2", "1.3"] {
            let session = world.path(&format!("session-{version}"));
            let connect = || gateway.s_client().certificate(&client).tls(version);
            let first = connect().keep_session(&session).send(&request("GET /"));
            let state = |transcript: &Transcript| (transcript.status(), transcript.was_resumed());
            assert_eq!(state(&first), (Some(200), false), "{first:#?}");
            keys.push(backend.last().header("x-key-id").to_owned());
            for _ in 0..3 {
                let again = connect().resume_session(&session).send(&request("GET /"));
                assert_eq!(state(&again), (Some(200), true), "{again:#?}");
                keys.push(backend.last().header("x-key-id").to_owned());
            }
        }
        keys.dedup();
        assert_eq!(keys.len(), 1, "{keys:?}");
    }
    let resumed = gateway.lines().into_iter();
    let resumed = resumed.filter(|line| line["resumed"] == true).count();
    assert_eq!(resumed, 12, "the access line tells resumed connections");
}

/// `-reconnect` is one full handshake and five that resume it.
#[test]
fn r1_six_connections_in_a_row_succeed() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let client = world.client("client");
    let connect = gateway.s_client().certificate(&client).tls("1.2");
    let done = connect.option("-reconnect").send(&request("GET /"));
    assert_eq!(done.output.matches("\nNew, ").count(), 1, "{done:#?}");
    assert_eq!(done.output.matches("\nReused, ").count(), 5, "{done:#?}");
    assert!(gateway.metric(FAILURES) < 0.1);
    let handshakes = r#"keyferry_tls_handshakes_total{result="ok",version="TLSv1.2"}"#;
    wait_for("six handshakes", || {
        (gateway.metric(handshakes) >= 6.0).then_some(())
    });
}

/// R3: what the operator takes away is gone from sessions that were proven before, too.
#[test]
fn r3_a_certificate_that_was_removed_is_refused_on_a_resumed_session() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    for version in ["1.2", "1.3"] {
        let client = world.client(version);
        let session = world.path(&format!("session-{version}"));
        let connect = || gateway.s_client().certificate(&client).tls(version);
        let resume = || connect().resume_session(&session).send(&request("GET /"));
        let first = connect().keep_session(&session).send(&request("GET /"));
        assert_eq!(first.status(), Some(200), "{first:#?}");
        assert_eq!(resume().status(), Some(200));
        let id = backend.last().header("x-client-id").to_owned();
        let fingerprint = Fingerprint::of(&client.issued.x509.to_der().unwrap());
        let before = backend.requests().len();

        gateway.cli(&["client", "disable", &id]).expect_success();
        let refused = resume();
        assert!(refused.was_resumed(), "{refused:#?}");
        assert_refusal(&refused, 403, "client_disabled");
        gateway.cli(&["client", "enable", &id]).expect_success();
        assert_eq!(resume().status(), Some(200));

        let remove = ["certificate", "remove", &fingerprint.to_string()];
        gateway.cli(&remove).expect_success();
        let refused = resume();
        assert!(refused.was_resumed(), "{refused:#?}");
        assert_refusal(&refused, 403, "client_unregistered");
        let afresh = connect().send(&request("GET /"));
        assert_refusal(&afresh, 403, "client_unregistered");
        assert_eq!(backend.requests().len(), before + 1, "only while enabled");
    }
}

#[test]
fn r4_a_session_that_began_without_a_certificate_never_gets_one() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let session = world.path("session");
    for version in ["1.2", "1.3"] {
        let connect = || gateway.s_client().tls(version);
        let with = connect().certificate(&alice).send(&request(WHOAMI));
        assert_eq!(with.status(), Some(200), "the control: {with:#?}");

        let without = connect().keep_session(&session).send(&request(WHOAMI));
        assert_refusal(&without, 401, "credential_missing");
        for line in [WHOAMI, "GET /"] {
            let resumed = connect().certificate(&alice).resume_session(&session);
            let resumed = resumed.send(&request(line));
            assert!(resumed.was_resumed(), "{resumed:#?}");
            assert_refusal(&resumed, 401, "credential_missing");
        }
        let claim = connect().certificate(&alice).resume_session(&session);
        let claim = claim.send(&request(CLAIM));
        assert!(claim.was_resumed(), "{claim:#?}");
        assert_refusal(&claim, 401, "credential_missing");
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn r7_a_resumed_session_cannot_claim_a_key() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    for version in ["1.2", "1.3"] {
        let client = world.client(version);
        let session = world.path(&format!("session-{version}"));
        let connect = || gateway.s_client().certificate(&client).tls(version);
        let first = connect().keep_session(&session).send(&request(WHOAMI));
        assert_eq!(first.status(), Some(200), "{first:#?}");
        let resumed = connect().resume_session(&session).send(&request(CLAIM));
        assert!(resumed.was_resumed(), "{resumed:#?}");
        assert_refusal(&resumed, 403, "handshake_required");
        let anew = connect().send(&request(CLAIM));
        assert_eq!(anew.status(), Some(201), "{anew:#?}");
        assert!(json_of(&anew)["key"].as_str().unwrap().starts_with("kf_"));
    }
}

/// R8: a ticket that another process sealed is worth nothing; the handshake is a full one.
#[test]
fn r8_a_ticket_of_another_gateway_is_not_taken() {
    let (world, backend) = (World::new(), Backend::start());
    let (one, other) = (
        Gateway::start(&world, &backend),
        Gateway::start(&world, &backend),
    );
    let client = world.client("client");
    for version in ["1.2", "1.3"] {
        let session = world.path(&format!("session-{version}"));
        let first = one.s_client().certificate(&client).tls(version);
        let first = first.keep_session(&session).send(&request("GET /"));
        assert_eq!(first.status(), Some(200), "{first:#?}");
        for (gateway, resumed) in [(&one, true), (&other, false)] {
            let again = gateway.s_client().certificate(&client).tls(version);
            let again = again.resume_session(&session).send(&request("GET /"));
            assert_eq!(
                (again.status(), again.was_resumed()),
                (Some(200), resumed),
                "{again:#?}"
            );
        }
    }
}

/// Sends its `ClientHello` as many small records, each in a packet of its own.
#[derive(Debug)]
pub(super) struct Fragmenting {
    tcp: TcpStream,
    whole: bool,
    size: usize,
}

impl Fragmenting {
    /// Records of so many bytes.
    pub(super) const fn new(tcp: TcpStream, size: usize) -> Self {
        Self {
            tcp,
            whole: false,
            size,
        }
    }
}

impl Read for Fragmenting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(buffer)
    }
}

impl Write for Fragmenting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Only a first ClientHello says TLS 1.0 (RFC 8446 section 5.1).
        if self.whole || !bytes.starts_with(&[0x16, 3, 1]) {
            return self.tcp.write(bytes);
        }
        let mut records = bytes;
        let mut message = Vec::new();
        while let Some((header, rest)) = records.split_first_chunk::<5>() {
            let length = u16::from_be_bytes([header[3], header[4]]);
            let (part, rest) = rest.split_at(length.into());
            message.extend_from_slice(part);
            records = rest;
        }
        for part in message.chunks(self.size) {
            let length = u16::try_from(part.len()).expect("a small part");
            let record = [&[0x16, 3, 1], &length.to_be_bytes()[..], part].concat();
            // It may be refused on the way.
            if self.tcp.write_all(&record).is_err() {
                break;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

#[test]
fn r11_a_client_hello_in_many_records_is_judged_like_one_in_one() {
    let (world, backend) = (World::new(), Backend::start());
    let partners = root("Partners Root").self_signed();
    let builder = Gateway::builder(&world)
        .file("partners.pem", partners.pem())
        .push(
            "ca",
            toml::toml! { name = "partners" file = "partners.pem" },
        );
    let gateway = hosts(with_names(builder, &world), &backend).start();
    let client = world.client("client");
    let ask = |who: Option<&Identity>, fragment: bool, host: &str| {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_ca_file(&world.authority).unwrap();
        if let Some(who) = who {
            connector.set_certificate_chain_file(&who.chain).unwrap();
            let pem = openssl::ssl::SslFiletype::PEM;
            connector.set_private_key_file(&who.key, pem).unwrap();
        }
        let tcp = TcpStream::connect(gateway.address()).unwrap();
        tcp.set_nodelay(true).unwrap();
        let stream = Fragmenting {
            whole: !fragment,
            ..Fragmenting::new(tcp, 7)
        };
        let mut tls = connector
            .build()
            .connect("two.example.com", stream)
            .unwrap();
        let ask = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        tls.write_all(ask.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A connection that ends without TLS's farewell has still answered.
        let _farewell = tls.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer[9..12]).into_owned()
    };
    for (who, host, status) in [
        (Some(&client), "clients.example.com", "200"),
        (Some(&client), "partners.example.com", "401"),
        (Some(&client), "keys.example.com", "401"),
        (None, "clients.example.com", "401"),
        (None, "open.example.com", "200"),
    ] {
        for fragment in [false, true] {
            assert_eq!(ask(who, fragment, host), status, "{host}");
        }
    }
}

/// Two hosts for certificates of two authorities, one for keys, one for everybody.
fn hosts<'a>(builder: Builder<'a>, backend: &Backend) -> Builder<'a> {
    let route = |host: &str, accept: &str, cas: &[&str]| {
        let mut entry = toml::toml! { backend = "echo" };
        for (name, value) in [("name", host), ("host", host), ("accept", accept)] {
            entry.insert(name.to_owned(), value.into());
        }
        let cas: Vec<_> = cas.iter().map(|&ca| toml::Value::from(ca)).collect();
        entry.insert("cas".to_owned(), cas.into());
        entry
    };
    builder
        .backend("echo", backend.address())
        .push(
            "route",
            route("clients.example.com", "certificate", &["clients"]),
        )
        .push(
            "route",
            route("partners.example.com", "certificate", &["partners"]),
        )
        .push("route", route("keys.example.com", "key", &[]))
        .push("route", route("open.example.com", "none", &[]))
}

fn over_h2(gateway: &Gateway, world: &World, who: Option<&Identity>, hosts: &[&str]) -> Vec<Value> {
    let ask = |host: &&str| {
        json!({ "headers": [
            [":method", "GET"], [":scheme", "https"], [":path", "/"], [":authority", host],
        ]})
    };
    let answer = run(
        "h2_client.py",
        &json!({
            "address": gateway.address(),
            "host": HOST,
            "authority": world.authority,
            "certificate": who.map(|who| &who.chain),
            "key": who.map(|who| &who.key),
            "requests": hosts.iter().map(ask).collect::<Vec<_>>(),
        }),
    );
    let answers = answer["answers"].as_array().expect("answers").clone();
    assert_eq!(answers.len(), hosts.len(), "{answer:#}");
    answers
}

#[test]
fn r12_each_request_of_one_h2_connection_is_judged_by_its_own_host() {
    let (world, backend) = (World::new(), Backend::start());
    let partners = root("Partners Root").self_signed();
    let builder = Gateway::builder(&world)
        .file("partners.pem", partners.pem())
        .push(
            "ca",
            toml::toml! { name = "partners" file = "partners.pem" },
        );
    let gateway = hosts(builder, &backend).start();
    let client = world.client("client");
    let names = [
        "clients.example.com",
        "partners.example.com",
        "keys.example.com",
        "open.example.com",
        "other.example.com",
        "CLIENTS.example.com:443",
    ];
    let outcome = |who: Option<&Identity>| -> Vec<(u64, String)> {
        let answers = over_h2(&gateway, &world, who, &names);
        let told = |answer: &Value| {
            let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            let reason = body["reason"].as_str().unwrap_or_default();
            (answer["status"].as_u64().unwrap(), reason.to_owned())
        };
        answers.iter().map(told).collect()
    };
    let expect = |list: [(u64, &str); 6]| list.map(|(status, reason)| (status, reason.to_owned()));
    assert_eq!(
        outcome(Some(&client)),
        expect([
            (200, ""),
            (401, "certificate_untrusted"),
            (401, "certificate_retired"),
            (200, ""),
            (404, "route_not_found"),
            (200, ""),
        ])
    );
    assert_eq!(
        outcome(Some(&world.files(leaf("partner").signed_by(&partners)))),
        expect([
            (401, "certificate_untrusted"),
            (200, ""),
            (401, "certificate_retired"),
            (200, ""),
            (404, "route_not_found"),
            (401, "certificate_untrusted"),
        ])
    );
    assert_eq!(
        outcome(None),
        expect([
            (401, "credential_missing"),
            (401, "credential_missing"),
            (401, "credential_missing"),
            (200, ""),
            (404, "route_not_found"),
            (401, "credential_missing"),
        ])
    );
    // On the open route nobody is somebody.
    let open = backend.requests().into_iter();
    let mut open = open.filter(|request| request.header("host") == "open.example.com");
    assert!(open.all(|request| request.all("x-client-id").is_empty()));
}

/// R5: what a ticket proves is the certificate, not a policy; the route of each host decides.
#[test]
fn r5_a_ticket_of_one_server_name_opens_no_other() {
    let (world, backend) = (World::new(), Backend::start());
    let partners = root("Partners Root").self_signed();
    let builder = Gateway::builder(&world)
        .file("partners.pem", partners.pem())
        .push(
            "ca",
            toml::toml! { name = "partners" file = "partners.pem" },
        );
    let gateway = hosts(with_names(builder, &world), &backend).start();
    let client = world.client("client");
    let session = world.path("session");
    let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    for version in ["1.2", "1.3"] {
        let connect = || gateway.s_client().certificate(&client).tls(version);
        let first = connect().keep_session(&session);
        let first = first.send(ask("clients.example.com").as_bytes());
        assert_eq!(first.status(), Some(200), "{first:#?}");
        for name in ["partners.example.com", "keys.example.com"] {
            let mut other = SClient::to(gateway.address(), name);
            other = other.certificate(&client).tls(version);
            let other = other.resume_session(&session).send(ask(name).as_bytes());
            assert_eq!(other.status(), Some(401), "{other:#?}");
        }
    }
}

/// Adds server certificates: one for two names, one for a wildcard.
fn with_names<'a>(builder: Builder<'a>, world: &World) -> Builder<'a> {
    let two = server("two.example.com")
        .names(&["two.example.com", "Zwei.example.com"])
        .signed_by(&world.servers);
    let wild = server("*.wild.example.com").signed_by(&world.servers);
    let names = ["gateway", "two", "wild"].map(|name| {
        let mut entry = toml::Table::new();
        entry.insert("certificate_file".to_owned(), format!("{name}.pem").into());
        entry.insert("key_file".to_owned(), format!("{name}.key").into());
        entry
    });
    builder
        .file("two.pem", two.chain_pem())
        .file("two.key", two.key_pem())
        .file("wild.pem", wild.chain_pem())
        .file("wild.key", wild.key_pem())
        .set("listener.certificate", names.to_vec())
}

#[test]
fn the_server_certificate_is_chosen_by_the_name_that_the_client_asks_for() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = with_names(Gateway::builder(&world), &world)
        .echo(&backend)
        .start();
    let client = world.client("client");
    // curl compares the name with the certificate.
    for host in [
        HOST,
        "two.example.com",
        "zwei.example.com",
        "a.wild.example.com",
    ] {
        for tls in ["1.2", "1.3"] {
            let ask = gateway.curl_at(host, "/").tls(tls);
            ask.certificate(&client).send().expect_status(200);
        }
    }
    for host in [
        "a.b.wild.example.com",
        "wild.example.com",
        "three.example.com",
    ] {
        let answer = gateway.curl_at(host, "/").certificate(&client).send();
        assert_eq!(answer.status, 0, "{answer:#?}");
        assert!(
            answer.error.contains("no alternative certificate"),
            "{}",
            answer.error
        );
    }
    // In any case of letters, with a final dot, and without any name.
    for (name, subject) in [
        ("TWO.example.com", "two.example.com"),
        ("unknown.example.com", HOST),
    ] {
        let connect = SClient::to(gateway.address(), name);
        let seen = connect.certificate(&client).send(&request("GET /"));
        assert_eq!(seen.status(), Some(200), "{seen:#?}");
        let line = format!("subject=CN = {subject}");
        assert!(seen.output.contains(&line), "{seen:#?}");
    }
}

/// A server that lets clients renegotiate, to show that this client really tries.
fn renegotiating_server(world: &World) -> (Process, SocketAddr) {
    let [address] = free_addresses();
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", &address.to_string()])
        .arg("-cert")
        .arg(&world.gateway.chain)
        .arg("-key")
        .arg(&world.gateway.key)
        .args(["-tls1_2", "-www", "-client_renegotiation"]);
    let process = Process::start(&mut command, &world.path("s_server.log"));
    wait_for("s_server", || TcpStream::connect(address).ok());
    (process, address)
}

#[test]
fn r14_renegotiation_is_refused() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    // A line of only `R` is s_client's word for it.
    let renegotiate = |address| {
        let client = SClient::to(address, HOST).tls("1.2");
        client.option("-no_ign_eof").send(b"R\n")
    };
    let (_server, address) = renegotiating_server(&world);
    let control = renegotiate(address);
    assert!(
        control.errors.contains("RENEGOTIATING") || control.output.contains("RENEGOTIATING"),
        "{control:#?}"
    );
    assert!(!control.errors.contains("no renegotiation"), "{control:#?}");
    let refused = renegotiate(gateway.address());
    assert!(refused.errors.contains("no renegotiation"), "{refused:#?}");
}

/// The one failed handshake that `attempt` causes is counted under `reason` and told in one line
/// with the peer's address.
#[track_caller]
fn fails(gateway: &Gateway, reason: &str, attempt: impl FnOnce() -> Option<SocketAddr>) {
    let failed = || -> Vec<Value> {
        let mut lines = gateway.lines();
        lines.retain(|line| line["message"] == "TLS handshake failed");
        lines
    };
    let series = format!(r#"keyferry_tls_handshake_failures_total{{reason="{reason}"}}"#);
    let (lines, count) = (failed().len(), gateway.metric(&series));
    let all = gateway.metric(FAILURES);
    let peer = attempt();
    wait_for("a failed handshake", || {
        (gateway.metric(FAILURES) > all).then_some(())
    });
    let told = wait_for("its line", || {
        let found = failed();
        (found.len() > lines).then_some(found)
    });
    assert_eq!(told.len(), lines + 1, "one line: {told:#?}");
    let line = told.last().unwrap();
    assert_eq!(line["reason"], reason, "{line:#}");
    assert!(
        (gateway.metric(&series) - count - 1.0).abs() < 0.1,
        "{reason}"
    );
    let address = line["peer"].as_str().unwrap().parse::<SocketAddr>();
    let address = address.expect("the peer's address and port");
    assert_eq!(address.ip(), gateway.address().ip());
    if let Some(peer) = peer {
        assert_eq!(address, peer);
    }
    for told in ["meaning", "remedy"] {
        assert!(line[told].as_str().is_some_and(|text| !text.is_empty()));
    }
}

/// Sends these bytes on a connection of its own, and waits until the gateway closes it.
fn send_raw(gateway: &Gateway, bytes: &[u8]) -> SocketAddr {
    let mut tcp = TcpStream::connect(gateway.address()).expect("a listener");
    let own = tcp.local_addr().expect("an address");
    tcp.write_all(bytes).expect("room for it");
    // How the gateway ends it is its own business.
    let _ended = tcp.read_to_end(&mut Vec::new());
    own
}

/// Takes what is written, and never has anything to read.
struct Recorder(Vec<u8>);

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Recorder {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// The first flight of a client.
pub(super) fn client_hello(version: SslVersion) -> Vec<u8> {
    let mut connector = SslConnector::builder(SslMethod::tls()).expect("TLS");
    connector.set_max_proto_version(Some(version)).expect("TLS");
    match connector.build().connect(HOST, Recorder(Vec::new())) {
        Err(HandshakeError::WouldBlock(waiting)) => waiting.get_ref().0.clone(),
        other => panic!("a handshake without an answer: {other:?}"),
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

#[test]
fn a_handshake_that_the_client_cannot_finish_is_told_with_its_reason() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let client = world.client("good");
    let good = |options: &[&str]| {
        let connect = gateway.s_client().certificate(&client);
        let connect = options.iter().fold(connect, |c, option| c.option(option));
        connect.send(&request("GET /"))
    };
    // The control: as asked for below, but with what the gateway speaks.
    for options in [
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"][..],
        &[],
    ] {
        assert_eq!(good(options).status(), Some(200));
    }
    assert!(gateway.metric(FAILURES) < 0.1);
    let address = gateway.address();

    fails(&gateway, "plain_http", || {
        let answer = Curl::get(&format!("http://{address}/")).send();
        let answer = answer.expect_status(400);
        assert!(answer.text().contains("https://"), "{answer:#?}");
        None
    });
    fails(&gateway, "version_too_old", || {
        assert_eq!(
            good(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).status(),
            None
        );
        None
    });
    fails(&gateway, "no_shared_cipher", || {
        assert_eq!(good(&["-tls1_2", "-cipher", "AES128-SHA"]).status(), None);
        None
    });
    fails(&gateway, "no_shared_cipher", || {
        assert_eq!(good(&["-tls1_3", "-curves", "P-521"]).status(), None);
        None
    });
    for tls in ["1.2", "1.3"] {
        // OpenSSL's clients send such an alert in the clear, which BoringSSL does not read.
        let is_unread = tls == "1.3" && with_boringssl();
        let reason = if is_unread {
            "client_alert"
        } else {
            "server_certificate_distrusted"
        };
        fails(&gateway, reason, || {
            let url = format!("https://{HOST}:{}/", address.port());
            let ask = Curl::get(&url).resolve(HOST, address);
            let answer = ask.tls(tls).authority(&world.path("other.pem"));
            std::fs::write(world.path("other.pem"), world.clients.pem()).unwrap();
            assert_eq!(answer.send().status, 0);
            None
        });
    }
}

#[test]
fn what_is_no_handshake_is_told_with_its_reason() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let client = world.client("client");
    let served = || {
        let answer = gateway.curl("/").certificate(&client).send();
        answer.expect_status(200);
    };
    served();
    assert!(gateway.metric(FAILURES) < 0.1);
    let address = gateway.address();

    fails(&gateway, "not_tls", || {
        Some(send_raw(&gateway, b"SSH-2.0-OpenSSH_9.2\r\n"))
    });
    for header in [
        &b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    ] {
        fails(&gateway, "proxy_header", || {
            Some(send_raw(&gateway, header))
        });
    }
    fails(&gateway, "client_alert", || {
        // Its answer to our certificate, in TLS 1.2: handshake_failure.
        let mut tcp = TcpStream::connect(address).unwrap();
        tcp.write_all(&client_hello(SslVersion::TLS1_2)).unwrap();
        tcp.read_exact(&mut [0; 5]).unwrap();
        tcp.write_all(&[0x15, 3, 3, 0, 2, 2, 40]).unwrap();
        let own = tcp.local_addr().ok();
        let _ended = tcp.read_to_end(&mut Vec::new());
        own
    });
    // BoringSSL reads it as any other.
    let unusual = if with_boringssl() {
        "client_alert"
    } else {
        "other"
    };
    fails(&gateway, unusual, || {
        // Nobody begins like this: an alert before anything was said.
        Some(send_raw(&gateway, &[0x15, 3, 1, 0, 2, 2, 40]))
    });
    let told = gateway.lines();
    let told = told.iter().find(|line| line["reason"] == unusual);
    assert!(told.is_some_and(|line| line["openssl"].as_str().is_some()));
    fails(&gateway, "closed_before_hello", || {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.local_addr().ok()
    });
    fails(&gateway, "closed_after_hello", || {
        let mut tcp = TcpStream::connect(address).unwrap();
        tcp.write_all(&client_hello(SslVersion::TLS1_3)).unwrap();
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        let _ended = tcp.read_to_end(&mut Vec::new());
        tcp.local_addr().ok()
    });
    served();
}

/// A certificate is public; holding it proves nothing.
#[test]
fn a_certificate_without_its_key_ends_the_handshake_with_a_bad_signature() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    // A key whose public half is alice's and whose private half is not: tools believe it fits.
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let public = alice.issued.key.ec_key().unwrap();
    let guess = BigNum::from_u32(4711).unwrap();
    let stolen = EcKey::from_private_components(&group, &guess, public.public_key()).unwrap();
    let mut thief = alice.issued.clone();
    thief.key = PKey::from_ec_key(stolen).unwrap();
    let thief = world.files(thief);
    for version in ["1.2", "1.3"] {
        let connect = |who| gateway.s_client().certificate(who).tls(version);
        let control = connect(&alice).send(&request("GET /"));
        assert_eq!(control.status(), Some(200), "{control:#?}");
        let before = backend.requests().len();
        fails(&gateway, "bad_signature", || {
            let tried = connect(&thief).send(&request("GET /"));
            assert_eq!(tried.status(), None, "{tried:#?}");
            None
        });
        assert_eq!(backend.requests().len(), before);
    }
}

/// R18: at every point where a client can fall silent.
#[test]
fn r18_a_stalled_handshake_ends_at_its_deadline() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("listener.handshake_timeout", "1s")
        .echo(&backend)
        .start();
    let client = world.client("client");
    let hello = client_hello(SslVersion::TLS1_3);
    let (before, after) = ("timeout_before_hello", "timeout_after_hello");
    for (flight, reason) in [
        (&[][..], before),
        (b"PO", before),
        (&hello[..3], before),
        (&hello[..hello.len() / 2], before),
        (&hello, after),
    ] {
        fails(&gateway, reason, || {
            let stalled = keyferry::clock::monotonic();
            let peer = {
                let mut tcp = TcpStream::connect(gateway.address()).unwrap();
                tcp.write_all(flight).unwrap();
                // Others are served meanwhile.
                let served = gateway.curl("/").certificate(&client).send();
                served.expect_status(200);
                let _ended = tcp.read_to_end(&mut Vec::new());
                tcp.local_addr().ok()
            };
            let took = stalled.elapsed().as_secs();
            assert!(took < 8, "it held a connection for {took} s");
            peer
        });
    }
    let open = || gateway.metric(r#"keyferry_connections{state="open"}"#);
    wait_for("every connection to be gone", || {
        (open() == 0.0).then_some(())
    });
}

#[test]
fn a_client_of_tls_1_2_is_refused_where_1_3_is_the_least() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("listener.minimum_tls", "1.3")
        .echo(&backend)
        .start();
    let client = world.client("client");
    let ask = |tls| gateway.curl("/").tls(tls).certificate(&client).send();
    ask("1.3").expect_status(200);
    fails(&gateway, "version_too_old", || {
        assert_eq!(ask("1.2").status, 0);
        None
    });
}

/// Where no certificate is asked for, none counts.
#[test]
fn a_listener_that_asks_for_no_certificate_takes_keys_only() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("listener.client_certificates", "off")
        .echo(&backend)
        .start();
    for path in ["/", "/.well-known/keyferry/whoami"] {
        let answer = gateway.curl(path).certificate(&world.client("a")).send();
        let told = answer.expect_refusal(401, "credential_missing").json();
        for member in ["detail", "next_step"] {
            let text = told[member].to_string();
            assert!(text.contains("Bearer") && !text.contains("cert"), "{text}");
        }
    }
}
