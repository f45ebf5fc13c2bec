//! Requests and answers that two readers would take for different ones (ATTACKS H8, H10), and how
//! large requests may be.
//!
//! Every test first shows that its attack would bite: the same bytes, sent to a lenient backend
//! without the gateway, are read as something else or as more than one request.

use std::net::{Shutdown, SocketAddr, TcpStream};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::s_client::Transcript;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

/// A gateway, a backend and a client, without anything of its own.
pub(crate) struct Setting {
    pub(crate) backend: Backend,
    pub(crate) gateway: Gateway,
    pub(crate) alice: Identity,
    pub(crate) world: World,
}

impl Setting {
    pub(crate) fn new() -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let gateway = Gateway::start(&world, &backend);
        let alice = world.client("alice");
        Self {
            backend,
            gateway,
            alice,
            world,
        }
    }

    fn send(&self, bytes: &str) -> Transcript {
        let client = self.gateway.s_client().certificate(&self.alice);
        client.send_quietly(bytes.as_bytes())
    }

    /// Sends what must be refused: nothing of it arrives, one answer comes, and the connection ends.
    #[track_caller]
    fn expect_refusal(&self, bytes: &str, status: u16, reason: &str) {
        let seen = self.backend.requests().len();
        let answer = self.send(bytes);
        let output = &answer.output;
        assert_eq!(answer.status(), Some(status), "{bytes:?}: {output}");
        let named = format!("\"reason\":\"{reason}\"");
        assert!(output.contains(&named), "{bytes:?}: {output}");
        assert_eq!(output.matches("HTTP/1.1 ").count(), 1, "{output}");
        assert!(
            output.to_ascii_lowercase().contains("connection: close"),
            "{bytes:?}: {output}"
        );
        assert_eq!(self.backend.requests().len(), seen, "{bytes:?}");
    }

    /// What a lenient server reads of the same bytes.
    fn read_leniently(&self, bytes: &str) -> Vec<String> {
        use std::io::{Read as _, Write as _};
        let seen = self.backend.requests().len();
        let mut stream = TcpStream::connect(self.backend.address()).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // It resets the connection when it does not understand the rest.
        let _reset = stream.read_to_end(&mut Vec::new());
        let requests = self.backend.requests().split_off(seen);
        requests.into_iter().map(|r| r.target).collect()
    }

    fn refused(&self, reason: &str) -> f64 {
        let labels = format!("decision=\"deny\",method=\"none\",reason=\"{reason}\"");
        let series = format!("keyferry_auth_decisions_total{{{labels}}}");
        self.gateway.metric(&series)
    }
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n";

fn post(fields: &str, body: &str) -> String {
    format!("POST /first HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n\r\n{body}")
}

fn get(fields: &str) -> String {
    format!("GET /first HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{fields}\r\n")
}

/// H8 (RFC 9112 section 11.2): what some server reads as two requests is none here.
#[test]
fn h8_no_request_is_smuggled_behind_another() {
    let setting = Setting::new();
    let behind_chunks = format!("0\r\n\r\n{SMUGGLED}");
    let all = behind_chunks.len();
    let attacks = [
        post(
            &format!("Content-Length: {all}\r\nTransfer-Encoding: chunked"),
            &behind_chunks,
        ),
        post(
            &format!("Transfer-Encoding: chunked\r\nContent-Length: {all}"),
            &behind_chunks,
        ),
        post("Content-Length: 0\r\nTransfer-Encoding : chunked", SMUGGLED),
        post("Content-Length: 0\r\nTransfer-Encoding: xchunked", SMUGGLED),
        post("Transfer-Encoding: \x0bchunked", &behind_chunks),
        post("Transfer-Encoding:\x0c chunked", &behind_chunks),
        post(
            "Content-Length: 0\r\nTransfer-Encoding: chunked, identity",
            SMUGGLED,
        ),
        post(
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            &behind_chunks,
        ),
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            &behind_chunks,
        ),
        post(
            "Transfer-Encoding:\r\n chunked\r\nContent-Length: 0",
            SMUGGLED,
        ),
        post(
            "Transfer-Encoding: gzip, chunked\r\nContent-Length: 0",
            SMUGGLED,
        ),
        post(
            &format!("Content-Length: 0\r\nContent-Length: {}", SMUGGLED.len()),
            SMUGGLED,
        ),
        post("Content-Length: 0\r\nContent-Length: 0", SMUGGLED),
        post("Content-Length: +0", SMUGGLED),
        post("App: a\nTransfer-Encoding: chunked", &behind_chunks),
        post("Transfer-Encoding: chunked", &behind_chunks)
            .replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost"),
    ];
    for attack in &attacks {
        let read = setting.read_leniently(attack);
        assert!(
            read.contains(&"/smuggled".to_owned()),
            "{attack:?}: {read:?}"
        );
        let seen = setting.backend.requests().len();
        let answer = setting.send(attack);
        assert!(
            matches!(answer.status(), Some(400 | 501)),
            "{attack:?}: {answer:#?}"
        );
        assert_eq!(answer.output.matches("HTTP/1.1 ").count(), 1, "{answer:#?}");
        assert_eq!(setting.backend.requests().len(), seen, "{attack:?}");
    }
    let counted = setting.refused("request_malformed") + setting.refused("transfer_coding_unknown");
    assert!((counted - 16.0).abs() < 0.5, "{counted}");
    let log = setting.gateway.log();
    assert!(
        log.contains("\"reason\":\"request_malformed\"")
            || log.contains("reason=\"request_malformed\"")
    );
}

/// H8: how a body is framed is said once, in the one way that everybody reads alike.
#[test]
fn h8_a_body_is_framed_in_one_way_or_the_request_is_refused() {
    let setting = Setting::new();
    for (fields, status, reason) in [
        (
            "Transfer-Encoding: xchunked",
            501,
            "transfer_coding_unknown",
        ),
        (
            "Transfer-Encoding: gzip, chunked",
            501,
            "transfer_coding_unknown",
        ),
        (
            "Transfer-Encoding: chunked, chunked",
            400,
            "request_malformed",
        ),
        ("Transfer-Encoding: , chunked", 400, "request_malformed"),
        ("Transfer-Encoding: \"chunked\"", 400, "request_malformed"),
        ("Transfer-Encoding: chunked;q=1", 400, "request_malformed"),
        ("Transfer-Encoding:", 400, "request_malformed"),
        (
            "Content-Length: 1\r\nContent-Length: 1",
            400,
            "request_malformed",
        ),
        ("Content-Length: 1, 1", 400, "request_malformed"),
        ("Content-Length: -1", 400, "request_malformed"),
        ("Content-Length: 0x1", 400, "request_malformed"),
        ("Content-Length: 1_0", 400, "request_malformed"),
        ("Content-Length: 1 0", 400, "request_malformed"),
        ("Content-Length:", 400, "request_malformed"),
        (
            "Content-Length: 99999999999999999999",
            400,
            "request_malformed",
        ),
        (
            "Content-Length: 18446744073709551617",
            400,
            "request_malformed",
        ),
    ] {
        setting.expect_refusal(&post(fields, "0\r\n\r\n"), status, reason);
    }
    // The control: one way, in any case of letters.
    for (fields, body) in [
        ("Transfer-Encoding:  Chunked ", "1\r\nx\r\n0\r\n\r\n"),
        ("content-length: 01", "x"),
    ] {
        let fields = format!("{fields}\r\nConnection: close");
        assert_eq!(setting.send(&post(&fields, body)).status(), Some(200));
        assert_eq!(setting.backend.last().body, "x");
    }
    // A body is a body, with whatever method: it is forwarded as what it is.
    assert_eq!(
        setting
            .send(&format!("{}x", get("Content-Length: 1\r\n")))
            .status(),
        Some(200)
    );
    assert_eq!(setting.backend.last().body, "x");
}

/// H8: names that some backends fold into the ones that frame a body do not arrive.
#[test]
fn h8_no_header_in_disguise_frames_a_body() {
    let setting = Setting::new();
    let fields = "Content!Length: 5\r\nTransfer~Encoding: chunked\r\nContent_Length: 6\r\nApp!Length: 7\r\nConnection: close\r\nContent-Length: 1";
    assert_eq!(setting.send(&post(fields, "x")).status(), Some(200));
    let request = setting.backend.last();
    let head = String::from_utf8_lossy(&request.head).to_ascii_lowercase();
    assert!(head.contains("app!length: 7"), "{head}");
    assert_eq!(head.matches("content").count(), 1, "{head}");
    assert!(!head.contains("transfer"), "{head}");
}

/// H8 (RFC 9112 sections 2.2, 3 and 5): the head has one reading, to the byte.
#[test]
fn h8_a_head_that_others_read_otherwise_is_refused() {
    let setting = Setting::new();
    let ok = get("");
    let refused = [
        ok.replace("\r\n", "\n"),
        ok.replacen("\r\n", "\n", 1),
        ok.replace("Connection", "\nConnection"),
        ok.replace("\r\nConnection", "\rConnection"),
        ok.replace("close", "cl\0ose"),
        ok.replace("close", "cl\rose"),
        ok.replace("close", "cl\x1bose"),
        ok.replace("Connection:", "Connection :"),
        ok.replace("Connection:", "Connec tion:"),
        ok.replace("Connection:", ":"),
        ok.replace("Connection: close", "Connection"),
        ok.replace("Connection: close", "Connection:\r\n close"),
        format!("\n{ok}"),
        format!("\r\n\r\n{ok}"),
        format!(" {ok}"),
        ok.replace("GET /", "GET  /"),
        ok.replace("GET /", "GET\t/"),
        ok.replace("/first ", "/first  "),
        ok.replace("/first", "/fi rst"),
        ok.replace("/first", "/fi\x7frst"),
        ok.replace("/first", "/fi\u{e9}rst"),
        ok.replace("/first HTTP/1.1", "/first HTTP/1.1 HTTP/1.1"),
        ok.replace("HTTP/1.1\r", "HTTP/1.1 \r"),
        ok.replace("HTTP/1.1\r", "http/1.1\r"),
        ok.replace("HTTP/1.1\r", "HTTP/1.10\r"),
        ok.replace(" HTTP/1.1\r", "\r"),
        ok.replace("GET", "G@T"),
        "GET /\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\r\n\r\n".to_owned(),
    ];
    for bytes in &refused {
        setting.expect_refusal(bytes, 400, "request_malformed");
    }
    for version in ["0.9", "1.2", "2.0", "3.0"] {
        let bytes = ok.replace("HTTP/1.1", &format!("HTTP/{version}"));
        setting.expect_refusal(&bytes, 505, "http_version_unknown");
    }
    setting.expect_refusal(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        505,
        "http_version_unknown",
    );
    // The control: what differs from these by one byte is good.
    for bytes in [
        ok.clone(),
        format!("\r\n{ok}"),
        ok.replace("close", "\t close \t"),
        ok.replace("HTTP/1.1", "HTTP/1.0"),
        ok.replace("/first", &format!("https://{HOST}/first")),
        get("App: \u{e9}\r\n"),
    ] {
        assert_eq!(setting.send(&bytes).status(), Some(200), "{bytes:?}");
    }
    // The attack: a lenient server takes most of the others too.
    let taken = refused
        .iter()
        .filter(|bytes| setting.read_leniently(bytes).contains(&"/first".to_owned()));
    assert!(taken.count() > 10);
}

/// H8: a chunked body that ends otherwise than it should ends nothing: no answer counts as one to it.
#[test]
fn h8_a_bad_chunk_ends_the_request() {
    let setting = Setting::new();
    for body in [
        "1\nx\n0\n\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "+1\r\nx\r\n0\r\n\r\n",
        "1\r\nxyz0\r\n\r\n",
        "1\r\nx\r0\r\n\r\n",
        "00000000000000000001\r\nx\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nx\r\n0\r\n\r\n",
        "1\r\nx\r\n0\r\nA: b\n\r\n",
        "1 1\r\nx\r\n0\r\n\r\n",
        "1 \r\nx\r\n0\r\n\r\n",
        "\r\n\r\n",
        ";a\r\n\r\n",
        "1;a\nb\r\nx\r\n0\r\n\r\n",
        "1\r\nx\r\n0\r\nno trailer\r\n\r\n",
    ] {
        let bytes = post("Transfer-Encoding: chunked", &format!("{body}{SMUGGLED}"));
        let answer = setting.send(&bytes);
        assert_eq!(answer.status(), Some(400), "{body:?}: {answer:#?}");
        assert_eq!(answer.output.matches("HTTP/1.1 ").count(), 1, "{answer:#?}");
        let smuggled = setting
            .backend
            .requests()
            .into_iter()
            .any(|r| r.target == "/smuggled");
        assert!(!smuggled, "{body:?}");
    }
    // Also when it comes after much that was good, and the backend has begun to read.
    let begun = format!("{:x}\r\n{}\r\n", 70_000, "x".repeat(70_000));
    let late = post(
        "Transfer-Encoding: chunked",
        &format!("{begun};a\r\n\r\n{SMUGGLED}"),
    );
    let answer = setting.send(&late);
    assert_eq!(answer.status(), Some(400), "{answer:#?}");
    assert!(answer.output.contains("the chunked coding"), "{answer:#?}");

    // The control: good ones, and the connection goes on after them.
    let fields = "Transfer-Encoding: chunked\r\nConnection: close";
    let good = setting.send(&post(fields, "1;a=b\r\nx\r\n0\r\nA: b\r\n\r\n"));
    assert_eq!(good.status(), Some(200));
    let upload = || {
        let curl = setting
            .gateway
            .curl("/")
            .certificate(&setting.alice)
            .http1();
        curl.header("Transfer-Encoding: chunked")
            .body("x".repeat(100_000))
    };
    let seen = setting.backend.requests().len();
    for answer in Curl::send_on_one_connection([upload(), upload(), upload()]) {
        let answer = answer.expect_status(200);
        assert_eq!(answer.header("connection"), "keep-alive");
    }
    let requests = setting.backend.requests().split_off(seen);
    assert!(
        requests.iter().all(|r| r.body_bytes == 100_000),
        "{requests:#?}"
    );
}

/// H8 (CVE-2026-2833, CVE-2026-2835, CVE-2026-2836): whatever comes behind a request before it was
/// answered is dropped with the connection; it gets no identity, and reaches no backend.
#[test]
fn h8_an_upgrade_that_nobody_takes_smuggles_nothing() {
    let setting = Setting::new();
    let smuggled = |bytes: &str| {
        let seen = setting.backend.requests().len();
        let answer = setting.send(bytes);
        let requests = setting.backend.requests().split_off(seen);
        assert_eq!(answer.output.matches("HTTP/1.1 ").count(), 1, "{answer:#?}");
        assert_eq!(answer.status(), Some(200), "{answer:#?}");
        assert_eq!(requests.len(), 1, "{requests:#?}");
        assert_eq!(requests[0].target, "/first");
        requests[0].header("x-key-id").to_owned()
    };
    let request = |fields: &str| format!("GET /first HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n");
    for fields in [
        "",
        "Upgrade: foo\r\nConnection: upgrade\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: upgrade, http2-settings\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
        "Upgrade: websocket, foo\r\nConnection: Upgrade\r\n",
        "Upgrade: TLS/1.2\r\nConnection: Upgrade\r\n",
        "Upgrade: foo\r\n",
        "Content-Length: 0\r\nUpgrade: foo\r\nConnection: upgrade\r\n",
    ] {
        // The attack: who takes pipelined requests reads two.
        let bytes = format!("{}{SMUGGLED}", request(fields));
        assert_eq!(setting.read_leniently(&bytes), ["/first", "/smuggled"]);
        smuggled(&bytes);
        let head = setting.backend.last().head;
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        assert!(
            !head.contains("foo") && !head.contains("h2c") && !head.contains("http2-settings"),
            "{head}"
        );
    }
}

/// H13: what a client sends into a tunnel that it does not get is no request.
#[test]
fn h13_nothing_passes_through_a_tunnel_that_was_refused() {
    let setting = Setting::new();
    for method in ["CONNECT", "TRACE"] {
        let target = if method == "CONNECT" {
            "api.example.com:443"
        } else {
            "/first"
        };
        let bytes = format!("{method} {target} HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n{SMUGGLED}");
        assert_eq!(setting.read_leniently(&bytes), [target, "/smuggled"]);
        setting.expect_refusal(&bytes, 405, "method_not_allowed");
    }
}

/// RFC 9110 section 10.1.1: what is expected and not known is told; what is known works, and is kept
/// from clients that do not know it.
#[test]
fn h8_expectations_are_met_or_refused() {
    let setting = Setting::new();
    for expects in [
        "foo",
        "100-continue, foo",
        "100-continue\r\nExpect: foo",
        "",
    ] {
        let bytes = post(&format!("Expect: {expects}\r\nContent-Length: 1"), "x");
        setting.expect_refusal(&bytes, 417, "expectation_unknown");
    }
    let fields = "Expect: 100-Continue\r\nContent-Length: 1\r\nConnection: close";
    let bytes = post(fields, "x");
    let answer = setting.send(&bytes);
    assert!(answer.output.starts_with("HTTP/1.1 100 "), "{answer:#?}");
    assert!(answer.output.contains("HTTP/1.1 200 "), "{answer:#?}");
    let old = setting.send(&bytes.replace(" HTTP/1.1", " HTTP/1.0"));
    assert!(old.output.starts_with("HTTP/1.1 200 "), "{old:#?}");
    assert!(setting.backend.last().all("expect").is_empty());
}

/// H10: a head that is too large is refused as that, counted, and never forwarded in part.
#[test]
fn h10_a_head_that_is_too_large_is_told_so() {
    let setting = Setting::new();
    let lines = |count: usize| {
        let lines = (0..count).map(|n| format!("app-{n}: x\r\n"));
        lines.collect::<Vec<_>>().concat()
    };
    let line = |bytes: usize| format!("App: {}\r\n", "x".repeat(bytes));
    // Two more lines are there besides.
    assert_eq!(setting.send(&get(&lines(98))).status(), Some(200));
    setting.expect_refusal(&get(&lines(99)), 431, "head_too_large");
    assert_eq!(setting.send(&get(&line(32_000))).status(), Some(200));
    setting.expect_refusal(&get(&line(33_000)), 431, "head_too_large");
    setting.expect_refusal(&get(&line(500_000)), 431, "head_too_large");
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
        "x".repeat(40_000)
    );
    setting.expect_refusal(&long, 431, "head_too_large");
    assert!((setting.refused("head_too_large") - 4.0).abs() < 0.5);

    let large = |curl: Curl| curl.certificate(&setting.alice).http2();
    let header = format!("App: {}", "x".repeat(33_000));
    let answer = large(setting.gateway.curl("/").header(&header)).send();
    answer.expect_refusal(431, "head_too_large");
    let mut many = large(setting.gateway.curl("/"));
    for n in 0..101 {
        many = many.header(&format!("app-{n}: x"));
    }
    many.send().expect_refusal(431, "head_too_large");
    assert!((setting.refused("head_too_large") - 6.0).abs() < 0.5);
}

/// A connection makes so many requests and no more; the client is told in time to make another.
#[test]
fn a_connection_makes_as_many_requests_as_it_may() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("http.requests_per_connection", 3)
        .echo(&backend)
        .start();
    let alice = world.client("alice");
    for http2 in [false, true] {
        let curls = (0..7).map(|_| {
            let curl = gateway.curl("/").certificate(&alice);
            if http2 { curl.http2() } else { curl.http1() }
        });
        let answers = Curl::send_on_one_connection(curls);
        assert_eq!(answers.len(), 7);
        for (at, answer) in answers.into_iter().enumerate() {
            let answer = answer.expect_status(200);
            if !http2 {
                let last = at % 3 == 2;
                assert_eq!(
                    answer.header("connection"),
                    if last { "close" } else { "keep-alive" }
                );
            }
        }
    }
    let closed = "keyferry_http2_closed_total{reason=\"requests\"}";
    wait_for("the connections to be closed", || {
        (gateway.metric(closed) >= 2.0).then_some(())
    });
}

/// What a hostile backend answers, by path.
const ANSWERS: &[(&str, &str)] = &[
    ("/good", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"),
    (
        "/behind",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ),
    (
        "/both",
        "HTTP/1.1 200 OK\r\nContent-Length: 49\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ),
    (
        "/lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ),
    (
        "/plus",
        "HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ),
    (
        "/none",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ),
    (
        "/same",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ),
    (
        "/switch",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ),
    (
        "/coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    ),
    (
        "/folded",
        "HTTP/1.1 200 OK\r\nApp: a\r\n Content-Length: 0\r\nContent-Length: 4\r\n\r\ngood",
    ),
    (
        "/line",
        "HTTP/1.1 200 OK\r\nApp: a\rSet-Cookie: forged\r\nContent-Length: 4\r\n\r\ngood",
    ),
];

/// Answers each request with the bytes that stand for its path.
async fn hostile_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

async fn answer(mut stream: tokio::net::TcpStream) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let count = stream.read_buf(&mut read).await.ok();
        count.filter(|count| *count > 0)?;
        if read.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read).into_owned();
            let path = head.split(' ').nth(1)?;
            let (_, answer) = ANSWERS.iter().find(|(name, _)| *name == path)?;
            stream.write_all(answer.as_bytes()).await.ok()?;
            read.clear();
        }
    }
}

/// H8: an answer that can be read as two is never passed on as two, and what stands behind one is
/// nobody's answer.
#[tokio::test(flavor = "multi_thread")]
async fn h8_no_answer_is_smuggled_behind_another() {
    let (world, address) = (World::new(), hostile_backend().await);
    let gateway = Gateway::builder(&world)
        .backend("echo", address)
        .route("/", "echo", "either")
        .start();
    let alice = world.client("alice");
    for (path, answer) in ANSWERS {
        // The attack: the bytes do hold two answers, or one that can be read in two ways.
        assert!(*path == "/good" || answer.contains("forged") || answer.contains("\r\n "));
        let request = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
        };
        let call = |path| {
            let client = gateway.s_client().certificate(&alice);
            let bytes = request(path);
            tokio::task::block_in_place(|| client.send_quietly(bytes.as_bytes()).output)
        };
        let first = call(path);
        let heads = first.matches("HTTP/1.1 ").count();
        let passed_whole = first.contains("\r\n\r\nHTTP/1.1");
        assert!(heads <= 1 && !passed_whole, "{path}: {first}");
        let carried = first.contains("forged") && first.contains("HTTP/1.1 200");
        assert!(!carried, "{path}: {first}");
        // The next one, on whatever connection to the backend, gets its own.
        let next = call("/good");
        assert!(
            next.ends_with("\r\n\r\ngood") && !next.contains("forged"),
            "{path}: {next}"
        );
    }
}

/// Strict-Transport-Security is on every answer once it is configured, of whomever, and nowhere before.
#[test]
fn every_answer_asks_browsers_to_come_by_tls_when_configured() {
    let (world, backend) = (World::new(), Backend::start());
    let hsts = toml::toml! { max_age = "365d"
    include_subdomains = true };
    let gateway = Gateway::builder(&world)
        .set("http.strict_transport_security", hsts)
        .echo(&backend)
        .start();
    let without = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let says = "max-age=31536000; includeSubDomains";
    for path in [
        "/",
        "/.well-known/keyferry/whoami",
        "/.well-known/keyferry/none",
    ] {
        for http2 in [false, true] {
            let curl = |gateway: &Gateway| {
                let curl = gateway.curl(path).certificate(&alice);
                if http2 {
                    curl.http2().send()
                } else {
                    curl.http1().send()
                }
            };
            assert_eq!(
                curl(&gateway).header("strict-transport-security"),
                says,
                "{path}"
            );
            assert!(curl(&without).all("strict-transport-security").is_empty());
        }
    }
    let refused = gateway.curl("/").send().expect_status(401);
    assert_eq!(refused.header("strict-transport-security"), says);
    let unread = gateway.s_client().send_quietly(b"GET /\r\n\r\n").output;
    assert!(
        unread.contains(&format!("Strict-Transport-Security: {says}\r\n")),
        "{unread}"
    );
    // What the backend says of itself stays.
    let own = gateway.curl("/headers?Strict-Transport-Security=max-age=1");
    let own = own.certificate(&alice).send().expect_status(200);
    assert_eq!(own.all("strict-transport-security"), ["max-age=1"]);
}
