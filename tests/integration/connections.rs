//! How long clients may take, how long connections live, and who is cut off while it goes on.

use std::time::Duration;

use keyferry::clock;
use serde_json::json;

use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway};
use crate::support::pki::leaf;
use crate::support::python::{Server, run};
use crate::support::store::SharedStore;
use crate::support::websocket::{echoes, goodbye, websocket};
use crate::support::wire::{Shown, Tls, Wire};
use crate::support::world::{HOST, Identity, World};
use crate::support::{linger, wait_for};

/// What nobody waits for.
const NEVER: &str = "1h";
/// The preface of HTTP/2, and SETTINGS without any.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn shown(client: &Identity) -> Shown {
    Shown {
        issued: client.issued.clone(),
        whole: true,
    }
}

pub(crate) fn dial(world: &World, gateway: &Gateway, client: Option<&Identity>) -> Wire {
    let tls = Tls::trusting(&world.servers.x509);
    let shown = client.map(shown);
    tls.connect(gateway.address(), shown.as_ref()).unwrap()
}

fn dial_http2(world: &World, gateway: &Gateway, client: &Identity) -> Wire {
    let tls = Tls::http2(&world.servers.x509);
    tls.connect(gateway.address(), Some(&shown(client)))
        .unwrap()
}

fn closed(gateway: &Gateway, reason: &str) -> f64 {
    let series = format!(r#"keyferry_connections_closed_total{{reason="{reason}"}}"#);
    let metrics = gateway.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

fn wait_until_closed(gateway: &Gateway, reason: &str) {
    wait_for(reason, || (closed(gateway, reason) >= 1.0).then_some(()));
    let log = gateway.log();
    let told = |line: &&str| line.contains("connection closed") && line.contains(reason);
    assert!(log.lines().any(|line| told(&line)), "{log}");
}

/// A short answer costs one record of TLS: its head and its body go out together.
#[test]
fn a_short_answer_is_one_record() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let mut wire = dial(&world, &gateway, Some(&world.client("alice")));
    for (path, status) in [("/.well-known/keyferry/whoami", "200"), ("/%2e/", "400")] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        assert!(wire.send(request.as_bytes()));
        // What is read at once is one record.
        let record = String::from_utf8(wire.next()).unwrap();
        let (head, body) = record.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let length = format!("content-length: {}", body.len());
        assert!(
            !body.is_empty() && head.to_lowercase().contains(&length),
            "{record}"
        );
    }
}

/// Drips header fields until the connection ends, or for a few seconds; then ends the head.
fn drip_head(wire: &mut Wire) -> Vec<u8> {
    wire.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n").as_bytes());
    for _ in 0..30 {
        if !wire.is_quiet_for(Duration::from_millis(100)) || !wire.send(b"a: b\r\n") {
            break;
        }
    }
    wire.send(b"\r\n");
    wire.until(b"\r\n\r\n")
}

/// A gateway with this setting of connections.
fn with(world: &World, backend: &Backend, setting: &str, value: &str) -> Gateway {
    Gateway::builder(world)
        .set(&format!("connections.{setting}"), value)
        .echo(backend)
        .start()
}

/// R18, O13: each byte comes in time, and the whole does not.
#[test]
fn r18_a_head_that_drips_is_answered_and_closed_at_its_deadline() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    let gateway = |head_timeout| with(&world, &backend, "head_timeout", head_timeout);
    // The attack: with no deadline it is waited for, and served.
    let patient = gateway(NEVER);
    let answer = drip_head(&mut dial(&world, &patient, Some(&alice)));
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");

    let strict = gateway("1s");
    let mut wire = dial(&world, &strict, Some(&alice));
    wire.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n").as_bytes());
    let mut said = Vec::new();
    while said.is_empty() && wire.is_quiet_for(Duration::from_millis(100)) {
        if !wire.send(b"a: b\r\n") {
            said = wire.next();
        }
    }
    wait_until_closed(&strict, "slow_head");
    // The head of a later request has the same deadline, and waiting for it has not.
    let mut wire = dial(&world, &strict, Some(&alice));
    assert_eq!(wire.call("GET", "/", &[]).unwrap().status, 200);
    assert!(wire.is_quiet_for(Duration::from_secs(2)));
    wire.send(b"GET / HT");
    let answer = String::from_utf8(wire.until(b"\r\n\r\n")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    wait_for("the second", || {
        (closed(&strict, "slow_head") >= 2.0).then_some(())
    });
}

/// R18, O13: HTTP/2, at every point where a client can fall silent within what it began.
#[test]
fn r18_half_a_preface_and_half_a_header_block_of_http2_end_at_their_deadline() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    let gateway = |head_timeout| with(&world, &backend, "head_timeout", head_timeout);
    let (patient, strict) = (gateway(NEVER), gateway("1s"));
    let half = b"\0\0\x20\x01\x05\0\0\0\x01\x82";
    // The first byte of a block that CONTINUATION has to end.
    let block = b"\0\0\x01\x01\x01\0\0\0\x01\x82";
    let silences: [Vec<u8>; 5] = [
        Vec::new(),
        PREFACE[..10].to_vec(),
        PREFACE[..24].to_vec(),
        [PREFACE, half].concat(),
        [PREFACE, block].concat(),
    ];
    for (count, silence) in silences.iter().enumerate() {
        // The attack: it is waited for.
        let mut wire = dial_http2(&world, &patient, &alice);
        wire.send(silence);
        while !wire.is_quiet_for(Duration::from_millis(1_500)) {}
        assert!(wire.send(b"\0"), "{silence:?}");
        assert!(closed(&patient, "slow_head") < 1.0);

        let mut wire = dial_http2(&world, &strict, &alice);
        wire.send(silence);
        let _ended = wire.rest();
        let expected = f64::from(u32::try_from(count).unwrap()) + 0.5;
        wait_for("its end", || {
            (closed(&strict, "slow_head") > expected).then_some(())
        });
    }
    // Whoever has sent a whole request is not concerned, however long the answer takes.
    let answer = std::thread::scope(|scope| {
        let slow = strict.curl("/slow").certificate(&alice).http2();
        let slow = scope.spawn(move || slow.send());
        backend.wait_for_requests(1);
        linger(Duration::from_secs(2));
        backend.proceed();
        slow.join().unwrap()
    });
    answer.expect_status(200);
}

/// O13: slow bodies, and who is none.
#[test]
fn o13_a_body_that_drips_is_answered_and_closed() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    let gateway = |rate: i64| {
        Gateway::builder(&world)
            .set("connections.head_timeout", "1s")
            .set("connections.body_minimum_rate", rate)
            .echo(&backend)
            .start()
    };
    let post = |wire: &mut Wire| {
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 40\r\n\r\n");
        wire.send(head.as_bytes());
        for _ in 0..40 {
            if !wire.is_quiet_for(Duration::from_millis(100)) || !wire.send(b"x") {
                break;
            }
        }
    };
    // The attack: when nothing is asked of it, it is waited for.
    let patient = gateway(0);
    let mut wire = dial(&world, &patient, Some(&alice));
    post(&mut wire);
    let answer = wire.until(b"\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");

    let strict = gateway(500);
    let mut wire = dial(&world, &strict, Some(&alice));
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 40\r\n\r\nx");
    wire.send(head.as_bytes());
    let answer = String::from_utf8(wire.rest().0).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
    wait_until_closed(&strict, "slow_body");

    // A body that came is not looked at while the backend takes its time, nor is a quick one.
    let answers = std::thread::scope(|scope| {
        let before = backend.requests().len();
        let slow = strict.curl("/slow").certificate(&alice).body("a body");
        let slow = scope.spawn(move || slow.send());
        backend.wait_for_requests(before + 1);
        linger(Duration::from_secs(3));
        backend.proceed();
        slow.join().unwrap()
    });
    answers.expect_status(200);
    assert!(closed(&strict, "slow_body") < 2.0);
}

/// O13: a client that takes nothing of what it asked for.
#[test]
fn o13_a_client_that_does_not_read_is_given_up() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    let gateway = |write_timeout| with(&world, &backend, "write_timeout", write_timeout);
    let ask = |gateway: &Gateway| {
        let mut wire = dial(&world, gateway, Some(&alice));
        let head = format!("GET /bytes?n=1000000000 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        wire.send(head.as_bytes());
        wire
    };
    let open = |gateway: &Gateway| gateway.metric(r#"keyferry_connections{state="open"}"#);
    let (patient, strict) = (gateway(NEVER), gateway("1s"));
    let kept = ask(&patient);
    let given_up = ask(&strict);
    wait_until_closed(&strict, "not_reading");
    wait_for("the connection to be gone", || {
        (open(&strict) < 1.0).then_some(())
    });
    // The attack: without a limit the connection is held for nothing.
    assert!(open(&patient) > 0.0 && closed(&patient, "not_reading") < 1.0);
    drop((kept, given_up));
}

/// R16: a connection that is old takes no more requests, and what is under way goes on.
#[test]
fn r16_an_old_connection_is_wound_up() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    let gateway = |max_age| with(&world, &backend, "max_age", max_age);
    let (patient, strict) = (gateway(NEVER), gateway("2s"));
    // The attack: it is kept for as long as its client likes.
    let mut kept = dial(&world, &patient, Some(&alice));
    let mut wire = dial(&world, &strict, Some(&alice));
    wait_for("Connection: close", || {
        let answer = kept.call("GET", "/", &[]).unwrap();
        assert_ne!(answer.header("connection"), Some("close"));
        let answer = wire.call("GET", "/", &[]).unwrap();
        assert_eq!(answer.status, 200);
        (answer.header("connection") == Some("close")).then_some(())
    });
    assert_eq!(wire.next(), b"");

    // HTTP/2: GOAWAY, which is frame 7.
    let mut wire = dial_http2(&world, &strict, &alice);
    wire.send(PREFACE);
    let goaway = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff";
    let said = wire.until(goaway);
    assert!(said.windows(goaway.len()).any(|part| part == goaway));

    // An answer that began before goes on.
    let mut wire = dial(&world, &strict, Some(&alice));
    let head = format!("GET /sse?n=2 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    wire.send(head.as_bytes());
    wire.until(b"data: 1");
    linger(Duration::from_secs(4));
    backend.proceed();
    let rest = wire.until(b"0\r\n\r\n");
    assert!(rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
}

fn live<'a>(world: &'a World, server: &Server) -> Builder<'a> {
    let entry = toml::toml! { protocol = "http1" };
    Gateway::builder(world).backend_like("live", server.address(), entry)
}

fn access(gateway: &Gateway, closed: &str) {
    let closed = format!(r#""closed":"{closed}""#);
    wait_for("the access line", || {
        let log = gateway.log();
        let found = log.lines().any(|line| line.contains(&closed));
        found.then_some(())
    });
}

/// K8: on an open WebSocket; the client is one that is not ours, and hears the reason.
#[test]
fn k8_a_websocket_of_a_revoked_key_is_closed_with_the_reason() {
    let (world, store) = (World::new(), SharedStore::start());
    let server = Server::start("websocket_server.py");
    let [gateway, other_gateway] = [(); 2].map(|()| {
        let builder = live(&world, &server).redis(&store.url());
        builder.route("/", "live", "either").start()
    });
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let keys = [&alice, &bob].map(|client| gateway.claim_key(client));
    let open = |key: &str| {
        let credential = format!("Authorization: Bearer {key}\r\n");
        websocket(dial(&world, &gateway, None), &credential)
    };
    let mut other = open(&keys[1]);
    let told = std::thread::scope(|scope| {
        let given = json!({
            "address": gateway.address(),
            "host": HOST,
            "path": "/live",
            "authority": world.authority,
            "headers": [["Authorization", format!("Bearer {}", keys[0])]],
            "messages": ["one"],
            "until_closed": true,
        });
        let client = scope.spawn(move || run("websocket_client.py", &given));
        let answered = r#"keyferry_upstream_duration_seconds_count{backend="live"}"#;
        wait_for("both to be open", || {
            (gateway.metric(answered) >= 2.0).then_some(())
        });
        // From a second on it is watched over.
        linger(Duration::from_secs(1));
        let id = keys[0].split('_').nth(2).unwrap();
        other_gateway.cli(&["key", "revoke", id]).expect_success();
        let revoked = clock::monotonic();
        let told = client.join().unwrap();
        eprintln!("closed {:?} after it was revoked", revoked.elapsed());
        told
    });
    assert_eq!(told["closed"], json!([1008, "key_invalid"]), "{told:#}");
    assert_eq!(told["messages"], json!(["one"]));
    wait_until_closed(&gateway, "key_invalid");
    access(&gateway, "key_invalid");
    // The attack: nobody closes those whose key is good. Only its own is.
    assert!(other.is_quiet_for(Duration::from_secs(3)) || !other.next().is_empty());
    assert!(closed(&gateway, "key_invalid") < 2.0);
}

/// R16, K9: what ends by itself ends what it opened.
#[test]
fn r16_a_websocket_ends_with_its_certificate() {
    let world = World::new();
    let server = Server::start("websocket_server.py");
    let gateway = live(&world, &server).route("/", "live", "either").start();
    let lasting = world.client("lasting");
    let brief = world.client_like(leaf("brief").dates(-60, 6));
    let [mut lasting, mut brief] =
        [&lasting, &brief].map(|client| websocket(dial(&world, &gateway, Some(client)), ""));
    assert_eq!(
        goodbye(&mut brief),
        (1008, "certificate_expired".to_owned())
    );
    // The attack: what has not ended goes on.
    assert!(echoes(&mut lasting));
}

/// Disabled, browned out, retired: each by the command of the operator.
#[test]
fn whoever_loses_access_is_cut_off_with_the_code_that_the_next_request_gets() {
    let world = World::new();
    let server = Server::start("websocket_server.py");
    let gateway = live(&world, &server).route("/", "live", "either").start();
    let alice = world.client("alice");
    websocket(dial(&world, &gateway, Some(&alice)), "");
    let who = gateway.curl("/.well-known/keyferry/whoami");
    let who = who.certificate(&alice).send().expect_status(200).json();
    let client = who["client_id"].as_str().unwrap().to_owned();
    let forced = ["--force", "--reason", "a drill"];
    let at_once = [&["--from", "now"], &forced[..]].concat();
    let brownout = ["phase", "brownout", "--all", "--percent", "100"];
    let undo = vec!["phase", "undo"];
    // When all are retired, nobody is asked for a certificate any more, soon after.
    let silent = "credential_missing";
    for (command, undo, code, next) in [
        (
            vec!["client", "disable", &client],
            vec!["client", "enable", &client],
            "client_disabled",
            "client_disabled",
        ),
        (
            [&brownout[..], &at_once[..]].concat(),
            undo.clone(),
            "brownout",
            "brownout",
        ),
        (
            [&["phase", "retire", "--all"], &forced[..]].concat(),
            undo,
            "certificate_retired",
            silent,
        ),
    ] {
        let mut wire = wait_for("access", || {
            let answer = gateway.curl("/").certificate(&alice).send();
            (answer.status != 403 && answer.status != 401)
                .then(|| websocket(dial(&world, &gateway, Some(&alice)), ""))
        });
        gateway.cli(&command).expect_success();
        assert_eq!(goodbye(&mut wire), (1008, code.to_owned()));
        let answer = gateway.curl("/").certificate(&alice).send();
        let reason = answer.json()["reason"].clone();
        assert!(reason == code || reason == next, "{reason}");
        access(&gateway, code);
        gateway.cli(&undo).expect_success();
    }
}

/// O1: whoever is connected stays so while the store is away, however long: nobody becomes worse by
/// that.
#[test]
fn o1_a_lost_store_cuts_nobody_off() {
    let world = World::new();
    let mut store = SharedStore::start();
    let server = Server::start("websocket_server.py");
    let gateway = live(&world, &server)
        .redis(&store.url())
        .set("store.max_stale", "5s")
        .route("/", "live", "either")
        .start();
    let alice = world.client("alice");
    let mut wire = websocket(dial(&world, &gateway, Some(&alice)), "");
    store.stop();
    // The attack: a new request is refused by then.
    wait_for("max_stale", || {
        let answer = gateway.curl("/").certificate(&alice).send();
        (answer.status == 503 && answer.json()["reason"] == "store_unavailable").then_some(())
    });
    linger(Duration::from_secs(3));
    wire.send(b"\x81\x81\0\0\0\0x");
    assert!(wire.until(b"\x81\x01x").ends_with(b"\x81\x01x"));
}

/// Events over HTTP/1.1 are cut off, and nobody takes them for whole; of HTTP/2, the one stream is
/// reset, and the others go on.
#[test]
fn k8_streams_of_a_revoked_key_are_cut_off_and_others_on_the_connection_go_on() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let keys = [&alice, &bob].map(|client| gateway.claim_key(client));
    let bearer = |key: &str| format!("Bearer {key}");
    let mut events = dial(&world, &gateway, None);
    let head = format!(
        "GET /sse?n=9 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {}\r\n\r\n",
        bearer(&keys[0])
    );
    events.send(head.as_bytes());
    events.until(b"data: 1");
    let given = json!({
        "address": gateway.address(),
        "host": HOST,
        "authority": world.authority,
        "streams": keys.each_ref().map(|key| json!({
            "path": "/sse?n=9",
            "authorization": bearer(key),
        })),
    });
    let before = backend.requests().len();
    let told = std::thread::scope(|scope| {
        let client = scope.spawn(move || run("h2_streams.py", &given));
        backend.wait_for_requests(before + 2);
        let id = keys[0].split('_').nth(2).unwrap();
        gateway.cli(&["key", "revoke", id]).expect_success();
        let (rest, whole) = events.rest();
        assert!(!whole && !rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
        wait_for("the stream to be reset", || {
            (closed(&gateway, "key_invalid") >= 2.0).then_some(())
        });
        for _ in 0..27 {
            backend.proceed();
        }
        client.join().unwrap()
    });
    assert_eq!(told["reset"], json!([1]), "{told:#}");
    assert_eq!(told["ended"], json!([3]), "{told:#}");
    assert_eq!(
        told["bodies"]["3"]
            .as_str()
            .unwrap()
            .matches("data:")
            .count(),
        9
    );
    wait_for("the access line of the stream", || {
        let log = gateway.log();
        let line = |line: &&str| line.contains(r#""closed":"key_invalid""#);
        (log.lines().filter(line).count() == 2).then_some(())
    });
}
