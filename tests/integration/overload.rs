//! Cases O13, K14, P6 and R18: what is too much is refused, and costs those who are served nothing.

#![expect(clippy::float_cmp, reason = "these metrics are whole numbers")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use keyferry::clock;
use openssl::ssl::SslVersion;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::tls::client_hello;
use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::{Builder, Gateway};
use crate::support::key::forged;
use crate::support::python::run;
use crate::support::scene::Scene;
use crate::support::wire::{Shown, Tls, Wire};
use crate::support::world::{HOST, Identity, World};
use crate::support::{Over, wait_for};

const BASE: &str = "/.well-known/keyferry";
/// The beginning of a record with a `ClientHello` that never comes.
const HALF_A_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0];

fn from(ask: Curl, address: &str) -> Curl {
    ask.option("--interface").option(address)
}

/// A gateway whose limits by address apply to everybody.
fn for_all<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    let nobody = toml::Value::Array(Vec::new());
    Gateway::builder(world)
        .set("limits.exempt", nobody)
        .echo(backend)
}

fn rejected(gateway: &Gateway, limit: &str) -> f64 {
    gateway.metric(&format!(
        "keyferry_connections_rejected_total{{reason=\"{limit}\"}}"
    ))
}

fn connections(gateway: &Gateway, state: &str) -> f64 {
    gateway.metric(&format!("keyferry_connections{{state=\"{state}\"}}"))
}

fn open_wire(world: &World, gateway: &Gateway) -> Result<Wire, String> {
    let tls = Tls::trusting(&world.servers.x509);
    let mut wire = tls.connect(gateway.address(), None)?;
    // What is refused may have been accepted by the system.
    wire.call("GET", &format!("{BASE}/problems/overloaded"), &[])?;
    Ok(wire)
}

/// So many connections that begin a handshake and do not go on.
fn half_open(to: SocketAddr, number: usize) -> Vec<TcpStream> {
    connect(to, HALF_A_HELLO, number)
}

/// So many connections that send this and no more.
fn connect(to: SocketAddr, bytes: &[u8], number: usize) -> Vec<TcpStream> {
    let begin = |_| {
        let mut tcp = TcpStream::connect(to).ok()?;
        tcp.write_all(bytes).ok()?;
        Some(tcp)
    };
    (0..number).filter_map(begin).collect()
}

/// Lets this process have so many files open, or tells how many fewer it may have.
fn with_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(wanted).min(wanted);
    if limit.current.is_some_and(|current| current < most) {
        let raised = Rlimit {
            current: Some(most),
            ..limit
        };
        setrlimit(Resource::Nofile, raised).expect("no more than is allowed");
    }
    most
}

#[test]
fn o13_ten_thousand_half_open_handshakes_keep_nobody_out() {
    let (world, backend) = (World::new(), Backend::start());
    let flood = usize::try_from(with_files(10_500)).unwrap() - 500;
    let start = |pending: usize| {
        Gateway::builder(&world)
            .set("limits.pending", i64::try_from(pending).unwrap())
            .set("limits.handshakes_per_second", 1_000_000)
            .set("listener.handshake_timeout", "1m")
            .echo(&backend)
            .start()
    };
    let client = world.client("client");
    // The control: without a bound each of them stays, and costs memory.
    let control = start(20_000);
    control.curl("/").certificate(&client).send();
    let before = control.resident_bytes();
    let held = half_open(control.address(), 3000);
    wait_for("the flood", || {
        (connections(&control, "pending") >= 3000.0).then_some(())
    });
    let each = control.resident_bytes().saturating_sub(before) / 3000;
    assert_eq!(rejected(&control, "pending"), 0.0);
    drop((held, control));

    let gateway = start(2000);
    let mut own = Tls::trusting(&world.servers.x509)
        .connect(gateway.address(), None)
        .unwrap();
    gateway.curl("/").certificate(&client).send();
    let before = gateway.resident_bytes();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let _over = Over(&over);
            half_open(gateway.address(), flood)
        });
        // Others come through meanwhile, also those who come anew, unless they are so slow that two
        // thousand come after them.
        let (mut calls, mut served) = (0, 0);
        while !over.load(Ordering::Relaxed) || calls == 0 {
            let answer = gateway.curl("/").certificate(&client).send();
            (calls, served) = (calls + 1, served + u32::from(answer.status == 200));
        }
        assert!(served > 0, "none of {calls} came through");
        let held = flooding.join().unwrap();
        wait_for("all of the flood but the newest to be closed", || {
            let pending = connections(&gateway, "pending");
            let closed = rejected(&gateway, "pending");
            let most = f64::from(u32::try_from(held.len()).unwrap());
            (pending <= 2000.0 && closed >= most - 2000.0).then_some(())
        });
        let more = gateway.resident_bytes().saturating_sub(before) / 1024;
        println!(
            "{} half-open handshakes: {more} KiB more, {served} of {calls} calls served meanwhile; \
             without a bound {each} bytes each",
            held.len()
        );
        // The allocator gives back little, but what it has is used again: after four times as many, the
        // gateway has no more than it had.
        drop(held);
        for _ in 0..3 {
            half_open(gateway.address(), flood);
        }
        let after = gateway.resident_bytes().saturating_sub(before) / 1024;
        println!("after 4 times as many: {after} KiB more");
        let unbounded = 4 * u64::try_from(flood).unwrap() * each / 1024;
        assert!(after < unbounded / 2, "{after} KiB");
        gateway
            .curl("/")
            .certificate(&client)
            .send()
            .expect_status(200);
    });
    // Who was there before still is.
    let answer = own.call("GET", &format!("{BASE}/problems/overloaded"), &[]);
    assert_eq!(answer.unwrap().status, 200);
    assert!(gateway.log().contains("connections are refused"));
}

#[test]
fn o13_the_connections_of_one_address_are_bounded_and_those_of_others_are_not() {
    let (world, backend) = (World::new(), Backend::start());
    let client = world.client("client");
    let ask = |gateway: &Gateway, address| {
        from(gateway.curl("/").certificate(&client), address)
            .send()
            .status
    };
    // The control: an address that is exempt.
    let control = Gateway::builder(&world)
        .set("limits.connections_per_address", 3)
        .echo(&backend)
        .start();
    let _held = [(); 4].map(|()| open_wire(&world, &control).unwrap());

    let gateway = for_all(&world, &backend)
        .set("limits.connections_per_address", 3)
        .start();
    let mut held = [(); 3].map(|()| Some(open_wire(&world, &gateway).unwrap()));
    assert!(open_wire(&world, &gateway).is_err());
    assert_eq!(
        (ask(&gateway, "127.0.0.1"), ask(&gateway, "127.0.0.2")),
        (0, 200)
    );
    assert_eq!(rejected(&gateway, "connections_per_address"), 2.0);
    held[0].take();
    wait_for("one to be closed", || {
        (connections(&gateway, "open") == 2.0).then_some(())
    });
    assert_eq!(ask(&gateway, "127.0.0.1"), 200);
}

#[test]
fn o13_beyond_all_connections_new_ones_are_refused_and_those_that_are_there_served() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = |connections: i64| {
        Gateway::builder(&world)
            .set("limits.connections", connections)
            .echo(&backend)
            .start()
    };
    // The control: where there may be more, one more is let in.
    let control = gateway(1000);
    let _held = [(); 4].map(|()| open_wire(&world, &control).unwrap());
    assert_eq!(connections(&control, "open"), 4.0);

    let gateway = gateway(3);
    let mut held = [(); 3].map(|()| open_wire(&world, &gateway).unwrap());
    assert!(open_wire(&world, &gateway).is_err());
    assert_eq!(rejected(&gateway, "connections"), 1.0);
    for wire in &mut held {
        let answer = wire.call("GET", &format!("{BASE}/problems/overloaded"), &[]);
        assert_eq!(answer.unwrap().status, 200);
    }
    drop(held);
    wait_for("room", || open_wire(&world, &gateway).ok());
    assert_eq!(
        gateway.metric(r#"keyferry_limit{limit="connections"}"#),
        3.0
    );
}

#[test]
fn o13_handshakes_are_bounded_by_the_second_for_each_address_and_for_all() {
    let (world, backend) = (World::new(), Backend::start());
    let hello = client_hello(SslVersion::TLS1_3);
    let flood = |gateway: &Gateway| drop(connect(gateway.address(), &hello, 2000));
    // The control.
    let control = Gateway::builder(&world)
        .set("limits.handshakes_per_address", 20)
        .set("limits.handshakes_per_second", 1_000_000)
        .echo(&backend)
        .start();
    flood(&control);
    assert_eq!(control.metric("keyferry_connections_rejected_total"), 0.0);

    let client = world.client("client");
    let gateway = for_all(&world, &backend)
        .set("limits.handshakes_per_address", 20)
        .start();
    flood(&gateway);
    let ask = from(gateway.curl("/").certificate(&client), "127.0.0.2");
    ask.send().expect_status(200);
    wait_for("the flood to be refused", || {
        (rejected(&gateway, "handshakes_per_address") > 0.0).then_some(())
    });
    // What one has too much of took nothing from all.
    assert_eq!(rejected(&gateway, "handshakes_per_second"), 0.0);

    let gateway = Gateway::builder(&world)
        .set("limits.handshakes_per_second", 20)
        .echo(&backend)
        .start();
    flood(&gateway);
    wait_for("the flood to be refused", || {
        (rejected(&gateway, "handshakes_per_second") > 0.0).then_some(())
    });
    wait_for("the next second", || {
        let answer = gateway.curl("/").certificate(&client).send();
        (answer.status == 200).then_some(())
    });
}

/// Through a balancer, each connection counts for whom it names, and none for the balancer.
#[test]
fn p6_connections_count_for_the_address_that_the_balancer_names() {
    let (world, backend) = (World::new(), Backend::start());
    // The control: by its own address, the balancer itself is limited.
    let control = for_all(&world, &backend)
        .set("limits.connections_per_address", 2)
        .set("listener.handshake_timeout", "1m")
        .start();
    let _held = half_open(control.address(), 3);
    wait_for("the third to be refused", || {
        (rejected(&control, "connections_per_address") > 0.0).then_some(())
    });
    let balancers = toml::Value::Array(vec!["127.0.0.1".into()]);
    let gateway = for_all(&world, &backend)
        .set("listener.proxy_protocol_from", balancers)
        .set("limits.connections_per_address", 2)
        .set("listener.handshake_timeout", "1m")
        .start();
    let begin = |line: &str| {
        let mut tcp = TcpStream::connect(gateway.address()).unwrap();
        tcp.write_all(format!("PROXY {line} 4711 443\r\n").as_bytes())
            .unwrap();
        tcp.write_all(HALF_A_HELLO).unwrap();
        tcp
    };
    let refused = || rejected(&gateway, "connections_per_address");
    // Twenty callers, one connection each; then two of a /64 and its third.
    let mut held: Vec<_> = (0..20)
        .map(|n| begin(&format!("TCP4 203.0.113.{n} 192.0.2.2")))
        .collect();
    held.extend((1..3).map(|n| begin(&format!("TCP6 2001:db8::{n} 2001:db8:1::1"))));
    wait_for("all to be there", || {
        (connections(&gateway, "pending") == 22.0).then_some(())
    });
    assert_eq!(refused(), 0.0);
    let mut third = begin("TCP6 2001:db8::ffff:0:3 2001:db8:1::1");
    let _ended = third.read_to_end(&mut Vec::new());
    assert_eq!(refused(), 1.0);
    let _held = begin("TCP6 2001:db8:0:1::3 2001:db8:1::1");
    wait_for("the next network", || {
        (connections(&gateway, "pending") == 23.0).then_some(())
    });
    assert_eq!(refused(), 1.0);
}

fn guess(gateway: &Gateway, key: &str) -> Curl {
    gateway.curl("/").key(key)
}

fn unknown_key() -> String {
    forged(&uuid::Uuid::now_v7().simple().to_string())
}

/// Asks until it is too much; a few come back while the test goes on.
#[track_caller]
fn until_limited(most: usize, ask: impl FnMut() -> Curl) -> Answer {
    let mut answers = std::iter::repeat_with(ask).take(most).map(Curl::send);
    let limited = answers.find(|answer| answer.status == 429);
    limited
        .expect("a limit")
        .expect_refusal(429, "rate_limited")
}

#[test]
fn k14_whoever_guesses_keys_is_told_to_wait_and_locks_nobody_out() {
    let (world, backend) = (World::new(), Backend::start());
    let (victim, other) = (world.client("victim"), world.client("other"));
    // The control: guesses without end.
    let control = Gateway::builder(&world)
        .set("limits.wrong_keys_per_address", 3)
        .echo(&backend)
        .start();
    for _ in 0..20 {
        let answer = guess(&control, &unknown_key()).send();
        answer.expect_refusal(401, "key_invalid");
    }

    let gateway = for_all(&world, &backend)
        .set("limits.wrong_keys_per_address", 3)
        .start();
    let key = gateway.claim_key(&victim);
    let id = key.split('_').nth(2).unwrap();
    // Of somebody's id, of nobody's, and of one that is none: one answer, and none says which.
    let cut = key.strip_suffix(|_: char| true).unwrap().to_owned();
    for wrong in [&|| forged(id), &unknown_key, &|| cut.clone()] as [&dyn Fn() -> String; 3] {
        let limited = until_limited(20, || guess(&gateway, &wrong()));
        let after: u64 = limited.header("retry-after").parse().unwrap();
        assert!((1..=20).contains(&after), "{after}");
    }
    // The key whose id was named is good, from there and from elsewhere; so is any other.
    guess(&gateway, &key).send().expect_status(200);
    from(guess(&gateway, &key), "127.0.0.2")
        .send()
        .expect_status(200);
    gateway
        .curl("/")
        .certificate(&other)
        .send()
        .expect_status(200);
    guess(&gateway, &gateway.claim_key(&other))
        .send()
        .expect_status(200);
    // Who guesses elsewhere is not yet told to wait.
    let elsewhere = from(guess(&gateway, &unknown_key()), "127.0.0.3");
    elsewhere.send().expect_refusal(401, "key_invalid");
    let counted = r#"keyferry_requests_limited_total{limit="wrong_keys_per_address"}"#;
    assert!(gateway.metric(counted) >= 3.0);
}

/// Before the limit, an unknown key is asked for at the store, which does not answer; beyond it, it
/// is not.
#[test]
fn k14_beyond_the_limit_the_store_is_not_asked_about_unknown_keys() {
    let mut scene = Scene::new();
    let nobody = toml::Value::Array(Vec::new());
    let gateway = scene
        .builder()
        .set("limits.exempt", nobody)
        .set("limits.wrong_keys_per_address", 3)
        .start();
    let client = scene.world.client("client");
    let key = gateway.claim_key(&client);
    scene.store.stop();
    let ask = || guess(&gateway, &unknown_key());
    ask().send().expect_refusal(503, "store_unavailable");
    let id = key.split('_').nth(2).unwrap();
    until_limited(20, || guess(&gateway, &forged(id)));
    ask().send().expect_refusal(429, "rate_limited");
    guess(&gateway, &key).send().expect_status(200);
}

#[test]
fn p6_an_address_in_a_header_counts_for_nothing() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = for_all(&world, &backend)
        .set("limits.wrong_keys_per_address", 3)
        .start();
    // The control: whoever does have other addresses is not limited.
    for number in 10..30 {
        let ask = guess(&gateway, &unknown_key());
        let ask = from(ask, &format!("127.0.0.{number}"));
        ask.send().expect_refusal(401, "key_invalid");
    }
    let mut number = 0;
    // One that pretends to be others.
    until_limited(20, || {
        number += 1;
        let claims = [
            "X-Forwarded-For",
            "X-Real-IP",
            "True-Client-IP",
            "CF-Connecting-IP",
        ];
        let ask = guess(&gateway, &unknown_key());
        let ask = ask.header(&format!("Forwarded: for=198.51.100.{number}"));
        claims.into_iter().fold(ask, |ask, name| {
            ask.header(&format!("{name}: 198.51.100.{number}"))
        })
    });
    // And who it pretends to be is not refused for it.
    let named = guess(&gateway, &unknown_key()).header("X-Forwarded-For: 127.0.0.1");
    from(named, "127.0.0.9")
        .send()
        .expect_refusal(401, "key_invalid");
}

#[test]
fn a_client_over_its_rate_is_told_when_to_come_again_and_others_are_served() {
    let (world, backend) = (World::new(), Backend::start());
    let (busy, other) = (world.client("busy"), world.client("other"));
    let ask = |gateway: &Gateway, who: &Identity| gateway.curl("/").certificate(who).send();
    // The control.
    let control = Gateway::start(&world, &backend);
    for _ in 0..20 {
        ask(&control, &busy).expect_status(200);
    }

    let gateway = Gateway::builder(&world)
        .set("limits.requests_per_second", 1)
        .set("limits.burst", 3)
        .echo(&backend)
        .start();
    let key = gateway.claim_key(&busy);
    // By certificate and by key it is one client, with one rate.
    let mut asks = (0..40).map(|n| match n % 2 {
        0 => ask(&gateway, &busy),
        _ => guess(&gateway, &key).send(),
    });
    let limited = asks.find(|answer| answer.status != 200).expect("a limit");
    let limited = limited.expect_refusal(429, "rate_limited");
    assert_eq!(limited.header("retry-after"), "1");
    assert_eq!(limited.header("ratelimit-policy"), "\"client\";q=1;w=1");
    assert_eq!(limited.header("ratelimit"), "\"client\";r=0;t=1");
    ask(&gateway, &other).expect_status(200);
    assert!(gateway.metric("keyferry_requests_limited_total{limit=\"requests_per_second\"}") > 0.0);
    // Not for long.
    wait_for("room for one", || {
        (ask(&gateway, &busy).status == 200).then_some(())
    });
}

/// Calls both gateways as fast as they answer, for so long; how many requests a second passed.
fn passed(world: &World, gateways: &[&Gateway; 2], who: &Shown, time: Duration) -> f64 {
    let (passed, begun) = (AtomicU32::new(0), clock::monotonic());
    std::thread::scope(|scope| {
        for gateway in gateways {
            let passed = &passed;
            scope.spawn(move || {
                let tls = Tls::trusting(&world.servers.x509);
                let connect = || tls.connect(gateway.address(), Some(who)).unwrap();
                let mut wire = connect();
                while begun.elapsed() < time {
                    let answer = wire.call("GET", "/", &[]).unwrap();
                    assert!([200, 429].contains(&answer.status), "{answer:?}");
                    passed.fetch_add(u32::from(answer.status == 200), Ordering::Relaxed);
                    if answer.header("connection") == Some("close") {
                        wire = connect();
                    }
                }
            });
        }
    });
    f64::from(passed.into_inner()) / begun.elapsed().as_secs_f64()
}

#[test]
fn two_gateways_on_one_redis_keep_a_client_to_its_rate_together() {
    const RATE: u32 = 20;
    let (scene, others) = (Scene::new(), Scene::new());
    let start = |scene: &Scene| {
        scene
            .builder()
            .set("limits.requests_per_second", i64::from(RATE))
            .start()
    };
    let client = scene.world.client("client");
    let who = Shown {
        issued: client.issued.clone(),
        whole: true,
    };
    let (one, two, alone) = (start(&scene), start(&scene), {
        let settings = others.store.url();
        let builder = Gateway::builder(&scene.world)
            .redis(&settings)
            .echo(&scene.backend);
        builder
            .set("limits.requests_per_second", i64::from(RATE))
            .start()
    });
    let time = Duration::from_secs(6);
    let measure = |gateways: [&Gateway; 2]| {
        // The first of it is the bursts, and what they find out of each other.
        passed(&scene.world, &gateways, &who, time);
        passed(&scene.world, &gateways, &who, time)
    };
    // The control: two that know nothing of each other.
    let apart = measure([&one, &alone]);
    assert!(apart > 1.5 * f64::from(RATE), "{apart} a second");
    let together = measure([&one, &two]);
    println!("of {RATE} a second: {together:.1} at two gateways together, {apart:.1} apart");
    assert!(together < 1.3 * f64::from(RATE), "{together} a second");
    assert!(together > 0.7 * f64::from(RATE), "{together} a second");
    for gateway in [&one, &two] {
        assert_eq!(gateway.metric("keyferry_budgets_shared"), 1.0);
    }
}

#[test]
fn o13_requests_beyond_what_may_be_under_way_are_told_to_come_again() {
    let world = World::new();
    // A backend that does not answer.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::builder(&world)
        .set("limits.requests_at_once", 2)
        .backend("echo", silent.local_addr().unwrap())
        .route("/", "echo", "either")
        .start();
    let client = world.client("client");
    let under_way = || gateway.metric("keyferry_requests_under_way");
    let whoami = || {
        let ask = gateway.curl(&format!("{BASE}/whoami")).certificate(&client);
        ask.send()
    };
    // The control.
    whoami().expect_status(200);
    let held = [(); 2].map(|()| gateway.curl("/").certificate(&client).stream());
    wait_for("both to be under way", || {
        (under_way() == 2.0).then_some(())
    });
    let answer = whoami().expect_refusal(503, "overloaded");
    assert!(!answer.all("retry-after").is_empty());
    assert_eq!(
        gateway.metric(r#"keyferry_requests_limited_total{limit="requests_at_once"}"#),
        1.0
    );
    drop(held);
    wait_for("them to be over", || (under_way() == 0.0).then_some(()));
    whoami().expect_status(200);
}

/// What becomes of these requests on a connection of HTTP/2 whose client takes no body.
fn without_a_window(world: &World, gateway: &Gateway, requests: &[Value]) -> Value {
    let given = json!({
        "address": gateway.address(),
        "host": HOST,
        "authority": world.authority,
        "requests": requests,
    });
    run("h2_unread.py", &given)
}

fn ask(method: &str, path: &str, is_open: bool) -> Value {
    json!({ "method": method, "path": path, "is_open": is_open })
}

/// Nobody who has no credential keeps others from being served: neither by answers that it does not take
/// nor by bodies that it does not send.
#[test]
fn o13_a_stranger_takes_no_turn_of_those_that_are_served() {
    let (world, backend) = (World::new(), Backend::start());
    let most = 3;
    let gateway = Gateway::builder(&world)
        .set("limits.requests_at_once", most)
        .echo(&backend)
        .route("/bytes", "echo", "none")
        .start();
    // The control: who is passed on has its turn for as long as that lasts.
    let slow = vec![ask("GET", "/bytes?n=10000000", false); 4];
    let told = without_a_window(&world, &gateway, &slow);
    assert_eq!(told["statuses"], json!([200, 200, 200, 503]), "{told}");
    wait_for("them to be over", || {
        (gateway.metric("keyferry_requests_under_way") == 0.0).then_some(())
    });
    for path in ["/", &format!("{BASE}/problems/overloaded")] {
        let unread = vec![ask("GET", path, false); 8];
        let told = without_a_window(&world, &gateway, &unread);
        let statuses: Vec<_> = told["statuses"].as_array().unwrap().clone();
        assert!(
            statuses.iter().all(|status| *status != 503),
            "{path}: {told}"
        );
        // All of them still waited.
        assert_eq!(told["ended"], 0, "{path}");
    }
    let slow = ask("POST", &format!("{BASE}/key/rotate"), true);
    let mut requests = vec![slow; 8];
    requests.extend(vec![ask("GET", "/", false); 8]);
    let told = without_a_window(&world, &gateway, &requests);
    assert_eq!(told["statuses"], json!(vec![401; 8]), "{told}");
}

/// Over HTTP/2 a few connections have as many requests as all others together.
#[test]
fn o13_one_address_has_no_more_requests_under_way_than_connections() {
    let (world, backend) = (World::new(), Backend::start());
    let start = |exempt: &[&str]| {
        let exempt: Vec<_> = exempt.iter().map(|one| (*one).into()).collect();
        Gateway::builder(&world)
            .set("limits.exempt", toml::Value::Array(exempt))
            .set("limits.connections_per_address", 2)
            .echo(&backend)
            .route("/bytes", "echo", "none")
            .start()
    };
    let slow = vec![ask("GET", "/bytes?n=10000000", false); 4];
    // The control: where it does not apply, all go on at once.
    let exempt = without_a_window(&world, &start(&["127.0.0.1"]), &slow);
    assert_eq!(exempt["statuses"], json!(vec![200; 4]), "{exempt}");
    let gateway = start(&[]);
    let told = without_a_window(&world, &gateway, &slow);
    assert_eq!(told["statuses"], json!([200, 200, 429, 429]), "{told}");
    let limited = r#"keyferry_requests_limited_total{limit="requests_per_address"}"#;
    assert_eq!(gateway.metric(limited), 2.0);
    // What is over makes room again.
    wait_for("them to be over", || {
        (gateway.metric("keyferry_requests_under_way") == 0.0).then_some(())
    });
    let told = without_a_window(&world, &gateway, &slow[..2]);
    assert_eq!(told["statuses"], json!([200, 200]), "{told}");
}

/// All clients of a front come from its address: whoever uses that up would lock the others out.
#[test]
fn o13_a_front_is_bounded_by_no_limit_of_one_address_and_each_of_its_clients_is() {
    let (world, backend) = (World::new(), Backend::start());
    let start = |from: &str| {
        let mut front = toml::toml! {
            name = "edge"
            format = "rfc9440"
            secret_files = ["front.secret"]
            client_address_header = "X-Forwarded-For"
        };
        front.insert("from".to_owned(), vec![from].into());
        for_all(&world, &backend)
            .set("limits.connections_per_address", 2)
            .file("front.secret", "0123456789".repeat(4))
            .push("front", front)
            .route("/bytes", "echo", "none")
            .start()
    };
    let several = |gateway: &Gateway| [(); 3].map(|()| open_wire(&world, gateway));
    // The control: from elsewhere.
    let elsewhere = several(&start("127.0.0.9"));
    assert!(elsewhere.iter().any(Result::is_err));
    let gateway = start("127.0.0.1");
    let held = several(&gateway);
    assert!(held.iter().all(Result::is_ok));
    let for_client = |address: &str| {
        let mut slow = ask("GET", "/bytes?n=10000000", false);
        slow["headers"] = json!({
            "x-front-secret": "0123456789".repeat(4),
            "x-forwarded-for": address,
        });
        slow
    };
    let one = for_client("192.0.2.1");
    let requests = [one.clone(), one.clone(), one, for_client("192.0.2.2")];
    let told = without_a_window(&world, &gateway, &requests);
    assert_eq!(told["statuses"], json!([200, 200, 429, 200]), "{told}");
}
