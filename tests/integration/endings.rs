//! Where the layers of a connection meet: what holds it for too long, and what ends it too early.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway};
use crate::support::python::{Server, run};
use crate::support::wait_for;
use crate::support::websocket;
use crate::support::wire::{Shown, Tls, Wire};
use crate::support::world::{HOST, Identity, World};

/// The preface of HTTP/2, and SETTINGS without any.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A message of WebSocket from a server, in one frame.
const FRAME: [u8; 102] = {
    let mut frame = [b'x'; 102];
    frame[0] = 0x82;
    frame[1] = 100;
    frame
};

fn dial(gateway: &Gateway, tls: &Tls, client: Option<&Identity>) -> Wire {
    let shown = client.map(|client| Shown {
        issued: client.issued.clone(),
        whole: true,
    });
    tls.connect(gateway.address(), shown.as_ref()).unwrap()
}

fn open(gateway: &Gateway) -> f64 {
    gateway.metric(r#"keyferry_connections{state="open"}"#)
}

fn wait_for_log(gateway: &Gateway, words: &str) {
    wait_for(words, || gateway.log().contains(words).then_some(()));
}

/// A backend that does this with each connection.
#[expect(
    clippy::disallowed_methods,
    reason = "a backend is no part of the gateway"
)]
fn backend(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

/// Whether there is a request; its head is read.
fn is_asked(stream: &mut TcpStream) -> bool {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
        head.push(byte[0]);
    }
    head.ends_with(b"\r\n\r\n")
}

/// Agrees to speak WebSocket.
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A WebSocket that sends back what it gets.
fn echoing(mut stream: TcpStream) {
    if is_asked(&mut stream) {
        stream.write_all(AGREED.as_bytes()).unwrap();
        echo(stream);
    }
}

/// The same, of one that agrees before it is asked.
fn hasty(mut stream: TcpStream) {
    stream.write_all(AGREED.as_bytes()).unwrap();
    if is_asked(&mut stream) {
        echo(stream);
    }
}

fn echo(mut stream: TcpStream) {
    let mut from = stream.try_clone().unwrap();
    let _ended = std::io::copy(&mut from, &mut stream);
}

/// A WebSocket that sends messages without end.
fn flooding(mut stream: TcpStream) {
    if is_asked(&mut stream) {
        stream.write_all(AGREED.as_bytes()).unwrap();
        let many = FRAME.repeat(100);
        while stream.write_all(&many).is_ok() {}
    }
}

/// Reads, and says nothing.
fn silent(mut stream: TcpStream) {
    let _ended = std::io::copy(&mut stream, &mut std::io::sink());
}

fn in_front(world: &World, address: SocketAddr) -> Builder<'_> {
    let entry = toml::toml! {
        protocol = "http1"
        read_timeout = "1h"
    };
    Gateway::builder(world)
        .backend_like("raw", address, entry)
        .route("/", "raw", "either")
}

/// Drips one byte after the other until the connection ends, or for some seconds; whether it ended.
fn drip(wire: &mut Wire) -> bool {
    (0..50).any(|_| !wire.is_quiet_for(Duration::from_millis(100)) || !wire.send(b"x"))
}

/// A client of its own hears why, before its connection is cut.
#[test]
fn a_websocket_hears_that_the_gateway_stops() {
    let world = World::new();
    let server = Server::start("websocket_server.py");
    let mut gateway = Gateway::builder(&world)
        .backend("live", server.address())
        .route("/", "live", "either")
        .set("shutdown.drain_timeout", "1s")
        .start();
    let alice = world.client("alice");
    let told = std::thread::scope(|scope| {
        let given = json!({
            "address": gateway.address(), "host": HOST, "path": "/live",
            "authority": world.authority, "certificate": alice.chain, "key": alice.key,
            "headers": [], "messages": ["one"], "until_closed": true,
        });
        let client = scope.spawn(move || run("websocket_client.py", &given));
        let answered = r#"keyferry_upstream_duration_seconds_count{backend="live"}"#;
        wait_for("it to be open", || {
            (gateway.metric(answered) >= 1.0).then_some(())
        });
        gateway.signal("TERM");
        client.join().unwrap()
    });
    assert_eq!(told["closed"], json!([1001, "stopping"]), "{told:#}");
    let status = wait_for("the end", || gateway.process().ended());
    assert!(status.success(), "{status}\n{}", gateway.log());
}

/// A client that was behind with reading: the frames it gets are whole, and the last one is the close.
#[test]
fn a_websocket_that_is_full_gets_whole_frames_and_its_close() {
    let world = World::new();
    let mut gateway = in_front(&world, backend(flooding))
        .set("shutdown.drain_timeout", "1s")
        .start();
    let alice = world.client("alice");
    let tls = Tls::trusting(&world.servers.x509);
    let mut wire = dial(&gateway, &tls, Some(&alice));
    websocket::ask(&mut wire, "");
    wait_for("it to be open", || {
        gateway
            .metric("keyferry_requests_under_way")
            .ge(&1.0)
            .then_some(())
    });
    gateway.signal("TERM");
    wait_for_log(&gateway, "their connections are cut");
    let (all, _) = wire.rest();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let mut frames = &all[end + 4..];
    let mut count = 0_u64;
    while let Some(rest) = frames.strip_prefix(&FRAME) {
        (frames, count) = (rest, count + 1);
    }
    assert!(count > 0);
    assert_eq!(frames, b"\x88\x0a\x03\xe9stopping", "after {count} frames");
    wait_for("the end", || gateway.process().ended());
}

/// O13: whoever is refused in the middle of an upload hears why before he is closed on, and holds
/// nothing with the rest of it.
#[test]
fn o13_what_was_refused_is_heard_and_holds_no_connection_with_its_body() {
    let (world, backend) = (World::new(), Backend::start());
    let tls = Tls::trusting(&world.servers.x509);
    let gateway = Gateway::start(&world, &backend);
    let upload = vec![b'x'; 4_000_000];
    for field in ["A: b", "Content-Type: application/grpc"] {
        let mut wire = dial(&gateway, &tls, None);
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\nContent-Length: 9000000\r\n\r\n"
        );
        wire.send(head.as_bytes());
        assert!(wire.send(&upload), "{field}");
        let answer = wire.until(b"\"}");
        assert!(answer.starts_with(b"HTTP/1.1 401 "), "{answer:?}");
        assert!(drip(&mut wire), "{field}");
    }
    wait_for("them to be gone", || (open(&gateway) < 1.0).then_some(()));
    // A body that came is no request, and the next one is served on the same connection.
    let mut wire = dial(&gateway, &tls, None);
    for _ in 0..2 {
        let body = "GET / HTTP/1.1\r\n\r\n";
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}",
            body.len()
        );
        wire.send(format!("{head}\r\n\r\n{body}").as_bytes());
        assert!(wire.until(b"\"}").starts_with(b"HTTP/1.1 401 "));
        assert!(wire.is_quiet_for(Duration::from_millis(200)));
    }
    // Whoever was given no leave is closed on: what he sends next may be the body or not.
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    );
    wire.send(head.as_bytes());
    let (answer, _) = wire.rest();
    assert!(answer.starts_with(b"HTTP/1.1 401 "), "{answer:?}");
}

/// O13: who asks for leave to send a body, and sends it without, is measured like anybody.
#[test]
fn o13_a_body_that_nobody_asked_for_is_measured_too() {
    let (world, address) = (World::new(), backend(silent));
    let alice = world.client("alice");
    let tls = Tls::trusting(&world.servers.x509);
    let gateway = |rate: i64| {
        in_front(&world, address)
            .set("connections.head_timeout", "1s")
            .set("connections.body_minimum_rate", rate)
            .start()
    };
    let (patient, strict) = (gateway(0), gateway(500));
    let post = |gateway: &Gateway| {
        let mut wire = dial(gateway, &tls, Some(&alice));
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n"
        );
        wire.send(head.as_bytes());
        wire
    };
    // The attack: it is waited for.
    assert!(!drip(&mut post(&patient)));
    // Who waits for leave is not concerned.
    let mut waiting = post(&strict);
    assert!(drip(&mut post(&strict)));
    assert!(waiting.is_quiet_for(Duration::from_millis(100)));
}

/// The answer is there before the gateway looks for it, as from a backend on the same machine.
#[test]
fn a_websocket_goes_on_however_soon_its_backend_agrees() {
    let (world, address) = (World::new(), backend(hasty));
    let gateway = in_front(&world, address).start();
    let alice = world.client("alice");
    let tls = Tls::trusting(&world.servers.x509);
    for _ in 0..40 {
        let mut wire = dial(&gateway, &tls, Some(&alice));
        websocket::ask(&mut wire, "");
        let answer = wire.until(b"\r\n\r\n");
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
        wire.send(b"\x81\x81\0\0\0\0x");
        assert_eq!(wire.until(b"x"), b"\x81\x81\0\0\0\0x");
    }
}

/// Longer than Pingora waits for what a client sends.
#[test]
fn a_websocket_whose_client_is_silent_goes_on() {
    let (world, address) = (World::new(), backend(echoing));
    let gateway = in_front(&world, address).start();
    let alice = world.client("alice");
    let tls = Tls::trusting(&world.servers.x509);
    let mut wire = dial(&gateway, &tls, Some(&alice));
    websocket::ask(&mut wire, "");
    wire.until(b"\r\n\r\n");
    assert!(wire.is_quiet_for(Duration::from_secs(62)));
    wire.send(b"\x81\x81\0\0\0\0x");
    assert_eq!(wire.until(b"x"), b"\x81\x81\0\0\0\0x");
}

/// A large body at a moderate rate takes longer than a backend may take for an answer.
#[test]
fn an_upload_may_take_longer_than_an_answer() {
    let (world, backend) = (World::new(), Backend::start());
    let entry = toml::toml! { read_timeout = "2s" };
    let gateway = Gateway::builder(&world)
        .backend_like("echo", backend.address(), entry)
        .route("/", "echo", "either")
        .start();
    let alice = world.client("alice");
    let tls = Tls::trusting(&world.servers.x509);
    let mut wire = dial(&gateway, &tls, Some(&alice));
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 40000\r\n\r\n");
    wire.send(head.as_bytes());
    for _ in 0..40 {
        assert!(wire.is_quiet_for(Duration::from_millis(100)));
        assert!(wire.send(&[b'x'; 1000]));
    }
    let answer = wire.until(b"\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
}

/// A request that was begun is taken, whenever the gateway stops.
#[test]
fn a_head_that_was_begun_is_taken_when_the_gateway_stops() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::builder(&world).echo(&backend).start();
    let alice = world.client("alice");
    let tls = Tls::trusting(&world.servers.x509);
    let mut begun = dial(&gateway, &tls, Some(&alice));
    let mut idle = dial(&gateway, &tls, Some(&alice));
    begun.send(b"GET / HTTP/1.1\r\n");
    gateway.signal("TERM");
    wait_for_log(&gateway, "closes idle connections");
    // The one that began nothing is closed, properly.
    assert_eq!(idle.rest(), (Vec::new(), true));
    begun.send(format!("Host: {HOST}\r\n\r\n").as_bytes());
    let answer = begun.until(b"\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
    wait_for("the end", || gateway.process().ended());
}

/// A client of HTTP/2 that is idle hears of the end, so that it sends nothing into the void.
#[test]
fn an_idle_connection_of_http2_ends_with_goaway() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("connections.idle_timeout", "1s")
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    let tls = Tls::http2(&world.servers.x509);
    let mut wire = dial(&gateway, &tls, Some(&alice));
    wire.send(PREFACE);
    let (told, _) = wire.rest();
    // Its last stream is any yet, and there is no error.
    let goaway = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";
    let found = told.windows(goaway.len()).any(|part| part == goaway);
    assert!(found, "{told:?}");
    wait_for("it to be gone", || (open(&gateway) < 1.0).then_some(()));
}

/// R16: nobody is closed on who does not know that he is to go, unless the gateway goes itself.
#[test]
fn r16_an_idle_connection_that_grew_old_is_told_so_with_its_next_answer() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::builder(&world)
        .set("connections.max_age", "1s")
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    let tls = Tls::trusting(&world.servers.x509);
    let mut old = dial(&gateway, &tls, Some(&alice));
    let mut idle = dial(&gateway, &tls, Some(&alice));
    assert!(old.is_quiet_for(Duration::from_secs(2)));
    let answer = old.call("GET", "/", &[]).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(old.rest(), (Vec::new(), true));
    gateway.signal("TERM");
    assert_eq!(idle.rest(), (Vec::new(), true));
    wait_for("the end", || gateway.process().ended());
    assert!(gateway.log().contains("no connection is left"));
}
