//! Everything at once for a long time: known and new clients, keys that are revoked, revocation lists
//! that change, a `WebSocket`, reloads, a Redis that restarts, connections that are cut or come to nothing.
//! `make soak` goes on for an hour.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use keyferry::clock;

use super::listed::{Listed, asking};
use super::load::Load;
use super::measure::Held;
use super::people::{Caller, Group, certificate, stranger};
use super::scene::{LONG, Single};
use crate::support::gateway::Gateway;
use crate::support::proxy::Mode;
use crate::support::python::Server;
use crate::support::wait_for;
use crate::support::websocket::echoes;
use crate::support::wire::Tls;
use crate::support::world::World;

/// What Redis acknowledged is on its disk.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
/// How long it goes on unless it is told.
const QUICK: u64 = 20;
/// How many connections come to nothing at a time, of each kind.
const IN_VAIN: usize = 25;
/// By how much a gateway may grow from the first quarter on, beside what it knows more.
const ROOM: u64 = 16 << 20;
/// What it may need for a client more, with its certificates, keys and what was seen of it.
const EACH: u64 = 4096;
/// How many more files may be open: connections of clients and of the store come and go, and those to a
/// backend as it was before a reload are kept for a minute.
const FILES: usize = 100;
/// How many more threads: those for files come and go.
const THREADS: u64 = 4;

#[expect(
    clippy::disallowed_methods,
    reason = "a test's only way to be told how long to go on"
)]
fn time() -> Duration {
    let told = std::env::var("KEYFERRY_SOAK").ok();
    let told = told.map(|seconds| seconds.parse().expect("a number of seconds"));
    Duration::from_secs(told.unwrap_or(QUICK))
}

/// One thing after the other, until the time is over. Who is known never has to wait, over HTTP/1.1 and
/// HTTP/2, on kept connections and new ones; whoever is refused was revoked or never known ([`Load`]
/// judges every answer).
#[test]
fn nothing_grows_and_nobody_good_is_refused_whatever_goes_on() {
    let server = Server::start("websocket_server.py");
    let Single {
        one,
        other,
        proxy,
        mut redis,
        scene,
    } = Single::start_with(&DURABLE, |gateway, world| {
        asking(gateway, world, &server)
            .set("store.max_stale", LONG)
            .set("telemetry.log", "warn,audit=off")
    });
    let tls = Tls::trusting(&scene.world.servers.x509);
    let (begun, time) = (clock::monotonic(), time());
    let mut held = Vec::new();
    let known = scene.world.client("known");
    one.curl("/").certificate(&known).send().expect_status(200);
    let mut listed = Listed::new(&scene.world, &tls, [&one, &other]);
    let (_, mut lasting) = listed.open("lasting");
    let calls = Load::new(&scene.world, [&one, &other], &|_| true);
    let story = |load: &Load<'_>| {
        load.fault(|| ());
        for turn in 0.. {
            match turn % 5 {
                0 => {
                    redis.stop();
                    let waits = |heard: &_| is(heard, Group::New, 503);
                    load.until("somebody new to wait", 1, waits);
                    assert!(scene.wait(redis.start_again()));
                }
                1 => proxy.set_live(Mode::Reset),
                2 => come_to_nothing(&tls, &scene.world, &one),
                3 => listed.one_more(),
                _ => [&one, &other].into_iter().for_each(|at| reload(at, turn)),
            }
            let comes = |heard: &_| is(heard, Group::New, 200);
            load.until("somebody new to be let in", 2, comes);
            load.rounds();
            assert!(echoes(&mut lasting), "a WebSocket goes on");
            held.push(Held::by(&one, begun.elapsed()));
            scene.backend.forget();
            if begun.elapsed() > time {
                break;
            }
        }
        load.lift("it was over", || ());
    };
    let here = (&known, &scene.backend);
    let outcomes = crate::support::load::load(&scene.world, one.address(), here, false, || {
        calls.run(story);
    });
    for (kind, outcome) in outcomes {
        println!("{kind}: {outcome:?}");
        assert!(
            outcome.failures.is_empty(),
            "{kind}: {:#?}",
            outcome.failures
        );
    }
    expect_no_growth(&held);
}

fn is(heard: &super::load::Heard, group: Group, status: u16) -> bool {
    heard.group == group && heard.status == status
}

/// Another setting, so that something changes; the gateway must take it over.
fn reload(gateway: &Gateway, turn: usize) {
    let now = f64::from(u32::try_from(clock::now().as_unix()).expect("a time of this century"));
    gateway.deploy(
        |config| {
            let backend = config["backend"].as_array_mut().expect("backends");
            let timeout = format!("{}s", 60 + turn % 60);
            backend[0]
                .as_table_mut()
                .expect("a backend")
                .insert("read_timeout".to_owned(), timeout.into());
        },
        &[],
    );
    gateway.signal("HUP");
    wait_for("the configuration to be taken over", || {
        let taken = gateway.metric("keyferry_reload_timestamp_seconds");
        (taken >= now).then_some(())
    });
    assert!(gateway.metric("keyferry_reload_success") > 0.0);
}

/// Connections that say nothing, that say nonsense, that end after the handshake, and that bring keys
/// that nobody was given.
fn come_to_nothing(tls: &Tls, world: &World, gateway: &Gateway) {
    let to = gateway.address();
    for number in 0..IN_VAIN {
        let silent = TcpStream::connect(to).expect("a connection");
        let mut nonsense = TcpStream::connect(to).expect("a connection");
        nonsense
            .write_all(b"\x16\x03\x01\xff\xff nonsense")
            .expect("room");
        let shown = certificate(world, &format!("leaves-{number}"));
        drop(tls.connect(to, Some(&shown)).expect("a handshake"));
        let mut caller = Caller::new(tls, to, None);
        let answer = caller
            .call("GET", "/", Some(&stranger()))
            .expect("an answer");
        assert!(matches!(answer.status, 401 | 503), "{}", answer.status);
        drop(silent);
    }
}

fn expect_no_growth(held: &[Held]) {
    held.iter().for_each(Held::print);
    let (warm, last) = (&held[held.len() / 4], &held[held.len() - 1]);
    let known = EACH * last.clients.saturating_sub(warm.clients);
    assert!(
        last.resident <= warm.resident + known + ROOM,
        "memory grows"
    );
    assert!(last.threads <= warm.threads + THREADS, "threads stay");
    assert!(last.files <= warm.files + FILES, "files stay open");
}
