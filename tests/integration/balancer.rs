//! Cases P5 and P6: behind a balancer that tells with the PROXY protocol who calls. The balancer is
//! HAProxy, which calls from 127.0.0.1; clients call from other addresses of this machine.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};

use super::failures::journal;
use super::tls::client_hello;
use crate::support::backend::Backend;
use crate::support::balancer::Balancer;
use crate::support::curl::Curl;
use crate::support::gateway::{Builder, Gateway};
use crate::support::wait_for;
use crate::support::world::{HOST, World};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn plain<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    Gateway::builder(world).echo(backend)
}

/// A gateway that takes PROXY headers from 127.0.0.1.
fn behind<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    plain(world, backend).set("listener.proxy_protocol_from", vec!["127.0.0.1"])
}

fn from(ask: Curl, address: &str) -> Curl {
    ask.option("--interface").option(address)
}

/// What a gateway sends back to these bytes.
fn send_raw(gateway: &Gateway, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    // It may have ended it before all is written.
    let _ended = tcp.write_all(bytes);
    let _nothing_more = tcp.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _reset = tcp.read_to_end(&mut answer);
    answer
}

/// Sends a request over TLS behind `header`; whether it was answered with 200.
fn is_answered(gateway: &Gateway, header: &[u8]) -> bool {
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    tcp.set_nodelay(true).unwrap();
    for byte in header {
        tcp.write_all(&[*byte]).unwrap();
    }
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let Ok(mut tls) = connector.build().connect(HOST, tcp) else {
        return false;
    };
    let request = format!("GET /open HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _end = tls.read_to_end(&mut answer);
    answer.starts_with(b"HTTP/1.1 200")
}

/// Version 2, with this command and family.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[command, family][..],
        &length,
        rest,
    ]
    .concat()
}

#[test]
fn p5_the_client_is_whom_the_balancer_names() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    // The control: nobody tells, so everybody is the balancer.
    let gateway = plain(&world, &backend).start();
    let balancer = Balancer::start(&world, HERE, &gateway, "");
    let ask = from(balancer.curl("/").certificate(&alice), "127.0.0.7");
    ask.send().expect_status(200);
    assert_eq!(backend.last().all("x-forwarded-for"), ["127.0.0.1"]);

    let gateway = behind(&world, &backend).start();
    for (number, words) in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c",
    ]
    .into_iter()
    .enumerate()
    {
        let balancer = Balancer::start(&world, HERE, &gateway, words);
        for version in [Curl::http1, Curl::http2] {
            let ask = version(balancer.curl("/").certificate(&alice));
            from(ask, "127.0.0.7").send().expect_status(200);
            assert_eq!(backend.last().all("x-forwarded-for"), ["127.0.0.7"]);
        }
        let id = format!("r{number}");
        let ask = balancer.curl("/").header(&format!("X-Request-Id: {id}"));
        from(ask, "127.0.0.7").send().expect_status(401);
        let line = gateway.access_line(&id);
        let peer = line["peer"].as_str().unwrap();
        assert!(peer.starts_with("127.0.0.7:"), "{line:#}");
        // Whose handshake fails is told by the client's address, too.
        let ask = balancer.curl("/").tls("1.2").option("--ciphers");
        let failed = from(ask.option("AES128-SHA"), "127.0.0.7").send();
        assert_eq!(failed.status, 0);
        let noted = journal(&gateway, "no_shared_cipher", number as u64 + 1);
        assert_eq!(noted["address"], "127.0.0.7");

        let balancer = Balancer::start(&world, Ipv6Addr::LOCALHOST.into(), &gateway, words);
        let ask = balancer.curl("/").certificate(&alice);
        ask.send().expect_status(200);
        assert_eq!(backend.last().all("x-forwarded-for"), ["::1"]);
    }
}

#[test]
fn p5_a_connection_without_its_header_is_closed_and_told() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = behind(&world, &backend).start();
    let alice = world.client("alice");
    let ask = || gateway.curl("/").certificate(&alice);
    // The control: curl sends one of version 1.
    let sent = ask().option("--haproxy-protocol").send();
    sent.expect_status(200);
    assert_eq!(ask().send().status, 0);
    assert_eq!(send_raw(&gateway, b"GET / HTTP/1.1\r\n\r\n"), b"");
    let noted = journal(&gateway, "proxy_header_missing", 2);
    assert_eq!(noted["address"], "127.0.0.1");
    let told = gateway.cli(&["failures"]).expect_success();
    assert!(told.output.contains("proxy_header_missing"), "{told:#?}");
    assert!(
        told.output.contains("turn the PROXY protocol on"),
        "{told:#?}"
    );
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn p5_only_listed_balancers_may_connect() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = behind(&world, &backend).start();
    let alice = world.client("alice");
    let sent = |address: &str| {
        let ask = gateway.curl("/").certificate(&alice);
        from(ask.option("--haproxy-protocol"), address)
            .send()
            .status
    };
    assert_eq!((sent("127.0.0.1"), sent("127.0.0.2")), (200, 0));
    let noted = journal(&gateway, "proxy_unlisted", 1);
    assert_eq!(noted["address"], "127.0.0.2");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn p5_a_broken_header_is_closed_and_told() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = behind(&world, &backend).start();
    let v4 = [203, 0, 113, 9, 192, 0, 2, 2, 0x12, 0x67, 0x01, 0xbb];
    let with = |values: &[u8]| binary(0x21, 0x11, &[&v4, values].concat());
    let good = with(&[0x04, 0, 1, 0]);
    let line = b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 443\r\n".to_vec();
    let hello = client_hello(SslVersion::TLS1_3);
    let answer = |header: &[u8]| send_raw(&gateway, &[header, &hello].concat());
    for header in [&good, &line] {
        assert_eq!(answer(header).first(), Some(&0x16), "the control");
    }
    let broken = [
        with(&[0x04, 0, 2, 0]),
        with(&[0x03, 0, 4, 0, 0, 0, 0]),
        with(&vec![0x04; 0xff00]),
        binary(0x31, 0x11, &v4),
        binary(0x2f, 0x11, &v4),
        binary(0x21, 0x12, &v4),
        b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 443 \r\n".to_vec(),
        b"PROXY TCP6 203.0.113.9 192.0.2.2 4711 443\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 100][..], b"\r\n"].concat(),
        [&line[..], &good].concat(),
        [&good[..], &line].concat(),
    ];
    for header in &broken {
        let shown = String::from_utf8_lossy(&header[..header.len().min(64)]);
        assert_eq!(answer(header), b"", "{shown}");
    }
    // The last two came behind a good one, so the client is told.
    let named = |address: &str| {
        let target = format!("/handshakes?reason=proxy_header_malformed&address={address}");
        let report = gateway.admin(&target).send().expect_status(200).json();
        report["failures"][0]["count"].as_u64().unwrap_or_default()
    };
    wait_for("the journal", || {
        let all = (named("127.0.0.1"), named("203.0.113.9"));
        (all == (broken.len() as u64 - 2, 2)).then_some(())
    });
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn p5_a_header_that_does_not_end_meets_the_deadline() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = behind(&world, &backend)
        .set("listener.handshake_timeout", "1s")
        .start();
    let parts = [
        &b"P"[..],
        b"PROXY TCP4 203.0",
        &binary(0x21, 0x11, &[0; 99])[..40],
    ];
    for (number, part) in parts.iter().enumerate() {
        let mut tcp = TcpStream::connect(gateway.address()).unwrap();
        tcp.write_all(part).unwrap();
        let _ended = tcp.read_to_end(&mut Vec::new());
        journal(&gateway, "timeout_before_hello", number as u64 + 1);
    }
}

#[test]
fn p5_the_balancers_own_connections_have_its_address() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = behind(&world, &backend)
        .push(
            "route",
            toml::toml! { name = "open" host = "*" path = "/open" backend = "echo" accept = "none" },
        )
        .start();
    let v4 = [203, 0, 113, 9, 192, 0, 2, 2, 0x12, 0x67, 0x01, 0xbb];
    for (header, address) in [
        (binary(0x21, 0x11, &v4), "203.0.113.9"),
        (binary(0x20, 0x11, &v4), "127.0.0.1"),
        (binary(0x20, 0x00, b""), "127.0.0.1"),
        (b"PROXY UNKNOWN 203.0.113.9\r\n".to_vec(), "127.0.0.1"),
    ] {
        assert!(is_answered(&gateway, &header), "{header:?}");
        assert_eq!(backend.last().all("x-forwarded-for"), [address]);
    }
    // And so for the health checks of a real one.
    let shaken = || gateway.metric(r#"keyferry_tls_handshakes_total{result="ok""#);
    let before = shaken();
    let words = "send-proxy-v2 check check-send-proxy check-ssl verify none inter 100ms";
    let _balancer = Balancer::start(&world, HERE, &gateway, words);
    wait_for("a health check", || (shaken() > before).then_some(()));
}

#[test]
fn p6_a_forged_address_counts_for_nothing() {
    let (world, backend) = (World::new(), Backend::start());
    let start = |builder: Builder<'_>, words: &str| {
        let gateway = builder.set("self_service.per_address", 5).start();
        let balancer = Balancer::start(&world, HERE, &gateway, words);
        (gateway, balancer)
    };
    let (_one, named) = start(behind(&world, &backend), "send-proxy-v2");
    let (_other, nameless) = start(plain(&world, &backend), "");
    let mut number = 0;
    // Twice the limit, since a minute may end on the way.
    let mut is_limited = |balancer: &Balancer, moves: bool| {
        (0..=10).any(|last| {
            number += 1;
            let client = world.client(&format!("client-{number}"));
            let address = format!("127.0.1.{}", if moves { last + 1 } else { 100 });
            let ask = balancer.curl("/.well-known/keyferry/key").method("POST");
            let forged = format!("X-Forwarded-For: 203.0.113.{number}");
            let ask = ask.certificate(&client).header(&forged);
            from(ask, &address).send().status == 429
        })
    };
    assert!(
        is_limited(&named, false),
        "one address that claims to be many"
    );
    assert!(
        !is_limited(&named, true),
        "many addresses behind one balancer"
    );
    assert!(is_limited(&nameless, true), "the control");

    let ask = named.curl("/").certificate(&world.client("alice"));
    let ask = ask.header("X-Forwarded-For: 203.0.113.9");
    from(ask, "127.0.0.8").send().expect_status(200);
    assert_eq!(backend.last().all("x-forwarded-for"), ["127.0.0.8"]);
}

#[test]
fn p6_observing_goes_by_the_address_that_the_balancer_names() {
    let (world, backend) = (World::new(), Backend::start());
    let start = |builder: Builder<'_>, observed: &str, words: &str| {
        let gateway = builder.set("observe.from", vec![observed]).start();
        let balancer = Balancer::start(&world, HERE, &gateway, words);
        (gateway, balancer)
    };
    let status = |balancer: &Balancer, address: &str| {
        let ask = balancer.curl("/").header("X-Forwarded-For: 127.0.0.7");
        from(ask, address).send().status
    };
    let (_one, named) = start(behind(&world, &backend), "127.0.0.7", "send-proxy");
    assert_eq!(status(&named, "127.0.0.7"), 200);
    assert_eq!(status(&named, "127.0.0.8"), 401);
    // Nobody is the existing gateway for coming through the balancer; without the header, all are.
    let (_two, named) = start(behind(&world, &backend), "127.0.0.1", "send-proxy");
    assert_eq!(status(&named, "127.0.0.8"), 401);
    let (_three, nameless) = start(plain(&world, &backend), "127.0.0.1", "");
    assert_eq!(status(&nameless, "127.0.0.8"), 200, "the control");
}
