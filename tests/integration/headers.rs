//! Forged identities, smuggled names and heads with two readings (ATTACKS H, R13).
//!
//! Every test first proves that its attack would bite: the same bytes, sent to the backend without
//! the gateway, or under a name that is not reserved, do arrive. Forged values are looked for in
//! the whole head that the backend got, so that no spelling of a name can hide one.

use keyferry::sign::header::{self, Names};
use serde_json::{Value, json};

use crate::support::backend::{Backend, Recorded};
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::{Builder, Gateway, secret};
use crate::support::python::run;
use crate::support::signature::verify;
use crate::support::world::{HOST, Identity, World};

/// What a forged header says, and nothing else.
const FORGED: &str = "forged-value";
/// What a header of the application says.
const KEPT: &str = "kept-value";
/// Every character that may stand in a header's name and is neither letter nor digit
/// (RFC 9110 section 5.6.2).
const PUNCTUATION: &str = "-_.!#$%&'*+^`|~";

/// Whole names that somebody takes for an identity: those of the program, and those that the
/// requirement H1 names, spelled as the proxies that send them do.
fn forged_names() -> Vec<String> {
    let own = Names::default();
    let own = [&own.key_id, &own.client_id, &own.key_scopes];
    let tails = header::RESERVED_PREFIXES.map(|prefix| format!("{prefix}verify"));
    let known = [
        "Signature",
        "Signature-Input",
        "Client-Cert",
        "Client-Cert-Chain",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Tls-Client-Cert",
        "X-Forwarded-Tls-Client-Cert-Info",
        "X-SSL-CLIENT-CERT",
        "X-SSL-CLIENT-S-DN",
        "ssl-client-cert",
        "ssl-client-verify",
        "ssl-client-subject-dn",
        "X-Client-Cert",
        "X-Amzn-Mtls-Clientcert",
        "X-Amzn-Mtls-Clientcert-Leaf",
        "X-Amzn-Mtls-Clientcert-Subject",
        "Cf-Client-Cert-Sha256",
        "Cf-Client-Cert-Der-Base64",
        "X-ARR-ClientCert",
        "l5d-client-id",
        "X-Consumer-ID",
        "X-Consumer-Username",
    ];
    let mut names: Vec<String> = header::RESERVED.map(str::to_owned).to_vec();
    // Whoever presents this one presents a key; it has tests of its own.
    names.retain(|name| name != "x-api-key");
    names.extend(header::MISLEADING.map(str::to_owned));
    names.extend(own.map(ToString::to_string));
    names.extend(tails);
    names.extend(known.map(str::to_owned));
    names
}

/// The same name, but of the application: `x-key-id` becomes `app-x-key-id`.
fn unreserved(name: &str) -> String {
    format!("app-{name}")
}

/// A gateway before one backend, a client, and its key id as the backend sees it.
struct Setting {
    backend: Backend,
    gateway: Gateway,
    alice: Identity,
    key_id: String,
    world: World,
}

impl Setting {
    fn new() -> Self {
        Self::with(|gateway| gateway)
    }

    fn with(configured: impl FnOnce(Builder<'_>) -> Builder<'_>) -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let gateway = configured(Gateway::builder(&world).echo(&backend)).start();
        let alice = world.client("alice");
        let answer = gateway.curl("/").certificate(&alice).send();
        answer.expect_status(200);
        let key_id = backend.last().header("x-key-id").to_owned();
        Self {
            backend,
            gateway,
            alice,
            key_id,
            world,
        }
    }

    fn curl(&self, path: &str) -> Curl {
        self.gateway.curl(path).certificate(&self.alice)
    }

    fn directly(&self, path: &str) -> Curl {
        Curl::get(&format!("http://{}{path}", self.backend.address()))
    }

    /// Sends bytes over TLS with the client's certificate; the status of the answer.
    fn raw(&self, bytes: &str) -> Option<u16> {
        let client = self.gateway.s_client().certificate(&self.alice);
        let answer = client.send_quietly(bytes.as_bytes());
        assert!(!answer.output.contains(FORGED) || answer.status() == Some(200));
        answer.status()
    }

    /// Sends requests frame by frame over HTTP/2 with the client's certificate.
    fn http2(&self, requests: &Value) -> Value {
        run(
            "h2_client.py",
            &json!({
                "address": self.gateway.address(),
                "host": HOST,
                "authority": self.world.authority,
                "certificate": self.alice.chain,
                "key": self.alice.key,
                "requests": requests,
            }),
        )
    }

    /// Forgets nothing, but says which requests came after the first `count`.
    fn since(&self, count: usize) -> Vec<Recorded> {
        self.backend.requests().split_off(count)
    }

    /// The backend got exactly the client's own identity, signed, and nothing forged.
    #[track_caller]
    fn expect_own_identity(&self, request: &Recorded) {
        let head = String::from_utf8_lossy(&request.head);
        assert!(!head.contains(FORGED), "{head}");
        assert_eq!(request.header("x-key-id"), self.key_id, "{head}");
        assert_eq!(verify(request, &secret("echo")), Ok(()), "{head}");
        assert!(
            request.trailers.iter().all(|(_, value)| value != FORGED),
            "{request:#?}"
        );
    }
}

/// The requests that carry `fields`, few enough at a time for any server's limits.
fn with_fields(fields: &[(String, &str)], request: impl Fn() -> Curl) -> Vec<Answer> {
    let requests = fields.chunks(60).map(|part| {
        part.iter().fold(request(), |curl, (name, value)| {
            curl.header(&format!("{name}: {value}"))
        })
    });
    Curl::send_on_one_connection(requests)
}

/// How many headers of all these requests have that value.
fn count_of(value: &str, requests: &[Recorded]) -> usize {
    let headers = requests.iter().flat_map(|request| &request.headers);
    headers.filter(|(_, found)| found == value).count()
}

/// The same request over HTTP/2, or over HTTP/1.1.
fn over(http2: bool, curl: Curl) -> Curl {
    if http2 { curl.http2() } else { curl.http1() }
}

/// The name in mixed case, with each character that may stand in place of `-`.
fn spellings(name: &str) -> Vec<String> {
    let flip = |(at, c): (usize, char)| {
        if at % 2 == 0 {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        }
    };
    let mixed: String = name.chars().enumerate().map(flip).collect();
    let punctuation = PUNCTUATION.chars();
    punctuation
        .map(|c| mixed.replace('-', &c.to_string()))
        .collect()
}

fn pseudo(method: &str, path: &str) -> Vec<Value> {
    vec![
        json!([":method", method]),
        json!([":scheme", "https"]),
        json!([":authority", HOST]),
        json!([":path", path]),
    ]
}

fn with(mut headers: Vec<Value>, further: &[(&str, &str)]) -> Value {
    headers.extend(further.iter().map(|(name, value)| json!([name, value])));
    json!(headers)
}

/// H1: none of the names by which anybody tells an identity reaches the backend.
#[test]
fn h1_forged_identity_headers_never_arrive() {
    let setting = Setting::new();
    let forged: Vec<_> = forged_names().into_iter().map(|n| (n, FORGED)).collect();

    // The attack: without the gateway each of them arrives.
    let seen = setting.backend.requests().len();
    with_fields(&forged, || setting.directly("/"));
    assert_eq!(count_of(FORGED, &setting.since(seen)), forged.len());

    // The control: names of the application with the same ends do pass the gateway.
    let kept: Vec<_> = forged.iter().map(|(n, _)| (unreserved(n), KEPT)).collect();
    for http2 in [false, true] {
        let curl = || over(http2, setting.curl("/"));
        for fields in [&forged, &kept] {
            let seen = setting.backend.requests().len();
            for answer in with_fields(fields, curl) {
                answer.expect_status(200);
            }
            let requests = setting.since(seen);
            for request in &requests {
                setting.expect_own_identity(request);
            }
            let expected = if fields[0].1 == KEPT { kept.len() } else { 0 };
            assert_eq!(count_of(KEPT, &requests), expected, "HTTP/2: {http2}");
        }
    }
}

/// H1: a route that takes anybody adds no identity, and lets no forged one through either.
#[test]
fn h1_an_open_route_passes_no_forged_identity() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .backend("echo", backend.address())
        .route("/", "echo", "none")
        .start();
    let fields: Vec<_> = forged_names().into_iter().map(|n| (n, FORGED)).collect();
    for answer in with_fields(&fields, || {
        gateway.curl("/").header("App-Key-Id: kept-value")
    }) {
        answer.expect_status(200);
    }
    for request in backend.requests() {
        let head = String::from_utf8_lossy(&request.head).into_owned();
        assert!(!head.contains(FORGED), "{head}");
        assert_eq!(request.header("app-key-id"), KEPT);
        for name in ["x-key-id", "x-client-id", "signature", "signature-input"] {
            assert!(request.all(name).is_empty(), "{head}");
        }
    }
}

/// H2: CGI, WSGI and PHP fold `X_Key_Id`, `X.Key.Id` and `X-Key-Id` into one name; so no character
/// in place of `-` and no case of letters helps a forged name through.
#[test]
fn h2_no_spelling_of_a_forged_name_arrives() {
    let setting = Setting::new();
    let names = [
        "x-key-id",
        "x-client-id",
        "x-key-scopes",
        "signature-input",
        "client-cert",
        "x-forwarded-client-cert",
        "x-ssl-client-s-dn",
    ];
    let forged: Vec<_> = names
        .into_iter()
        .flat_map(spellings)
        .map(|name| (name, FORGED))
        .collect();
    assert_eq!(forged.len(), 7 * PUNCTUATION.len());

    // The attack: every spelling arrives without the gateway.
    let seen = setting.backend.requests().len();
    with_fields(&forged, || setting.directly("/"));
    assert_eq!(count_of(FORGED, &setting.since(seen)), forged.len());

    for http2 in [false, true] {
        let curl = || over(http2, setting.curl("/"));
        let seen = setting.backend.requests().len();
        for answer in with_fields(&forged, curl) {
            answer.expect_status(200);
        }
        for request in setting.since(seen) {
            setting.expect_own_identity(&request);
        }

        // The control: the application's own names pass in every spelling that has one reading;
        // those with '_' and '.' are dropped, as the default has it.
        let seen = setting.backend.requests().len();
        let kept: Vec<_> = spellings("app-key-id")
            .into_iter()
            .map(|n| (n, KEPT))
            .collect();
        for answer in with_fields(&kept, curl) {
            answer.expect_status(200);
        }
        let request = &setting.since(seen)[0];
        let mut arrived: Vec<_> = request
            .headers
            .iter()
            .filter(|(_, value)| value == KEPT)
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        arrived.sort();
        let mut expected: Vec<_> = "-!#$%&'*+^`|~"
            .chars()
            .map(|c| format!("app{c}key{c}id"))
            .collect();
        expected.sort();
        assert_eq!(arrived, expected, "HTTP/2: {http2}");
    }
}

/// H2: doubled lines, empty values, white space before the colon and folded lines (RFC 9112
/// section 5) carry nothing through: the request is refused, or arrives without it.
#[test]
fn h2_no_trick_with_the_form_of_a_field_lets_it_through() {
    let setting = Setting::new();
    let tricks = [
        "{}: forged-value\r\n{}: forged-value",
        "{}:\r\n{}: forged-value",
        "{}:forged-value",
        "{}:\tforged-value \t",
        "{} : forged-value",
        "{}\t: forged-value",
        " {}: forged-value",
        "App: a\r\n {}: forged-value",
        "App: a\r\n\t{}: forged-value",
        "{}: a\r\n forged-value",
        "App: a\n{}: forged-value",
        "App: a\r{}: forged-value",
        "{}\0: forged-value",
        "\x0b{}: forged-value",
        "\"{}\": forged-value",
        "{}:: forged-value",
        "(x){}: forged-value",
    ];
    for trick in tricks {
        let seen = setting.backend.requests().len();
        let lines = trick.replace("{}", "X-Key-Id");
        let bytes =
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\nConnection: close\r\n\r\n");
        let status = setting.raw(&bytes);
        let requests = setting.since(seen);
        match status {
            Some(200) => {
                assert_eq!(requests.len(), 1, "{trick:?}");
                let request = &requests[0];
                // As a value of the application's own field it is harmless: it names nobody.
                let lines = request
                    .headers
                    .iter()
                    .filter(|(name, _)| !name.eq_ignore_ascii_case("app"));
                for (name, value) in lines {
                    assert!(!value.contains(FORGED), "{trick:?} gave {name}: {value}");
                }
                assert_eq!(request.header("x-key-id"), setting.key_id, "{trick:?}");
                assert_eq!(verify(request, &secret("echo")), Ok(()), "{trick:?}");
            }
            Some(400) | None => assert!(requests.is_empty(), "{trick:?}: {requests:#?}"),
            other => panic!("{trick:?} gave {other:?}"),
        }
    }

    // The control: the harmless ones of the tricks do work for a name of the application.
    for trick in [&tricks[0], &tricks[2], &tricks[3]] {
        let lines = trick.replace("{}", "App-Key-Id");
        let bytes =
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\nConnection: close\r\n\r\n");
        assert_eq!(setting.raw(&bytes), Some(200));
        assert_eq!(setting.backend.last().all("app-key-id")[0], FORGED);
    }
}

/// H2: what stands behind the body (RFC 9110 section 6.5) adds no identity.
#[test]
fn h2_forged_trailers_never_arrive() {
    let setting = Setting::new();
    let lines = forged_names().into_iter();
    let trailers: String = lines
        .flat_map(|name| [name, format!(": {FORGED}\r\n")])
        .collect();
    let bytes = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTrailer: X-Key-Id\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\n{trailers}\r\n"
    );

    // The attack: without the gateway they arrive.
    send_in_the_clear(&setting.backend, &bytes);
    assert_eq!(setting.backend.last().trailers.len(), forged_names().len());

    assert_eq!(setting.raw(&bytes), Some(200));
    let request = setting.backend.last();
    assert_eq!(request.body, "body");
    setting.expect_own_identity(&request);

    let trailers: Vec<_> = forged_names()
        .iter()
        .map(|name| json!([name.to_ascii_lowercase(), FORGED]))
        .collect();
    let answer = setting.http2(&json!([
        { "headers": pseudo("POST", "/"), "body": "body", "trailers": trailers }
    ]));
    assert_eq!(answer["answers"][0]["status"], 200, "{answer:#}");
    let request = setting.backend.last();
    assert_eq!(request.body, "body");
    setting.expect_own_identity(&request);
}

fn send_in_the_clear(backend: &Backend, bytes: &str) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(backend.address()).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

/// H2: names that only look like those of HTTP/2 itself are refused, never forwarded.
#[test]
fn h2_pseudo_headers_carry_no_identity() {
    let setting = Setting::new();
    for name in [
        ":x-key-id",
        ":signature",
        "x-key-id:",
        "X-Key-Id",
        "x-key-id ",
        " x-key-id",
        "x-key\r\n-id",
        "",
    ] {
        let seen = setting.backend.requests().len();
        let answer =
            setting.http2(&json!([{ "headers": with(pseudo("GET", "/"), &[(name, FORGED)]) }]));
        assert_ne!(answer["answers"][0]["status"], 200, "{name:?}: {answer:#}");
        assert!(setting.since(seen).is_empty(), "{name:?}");
    }
    // The control: the same way, a name of the application arrives.
    let answer =
        setting.http2(&json!([{ "headers": with(pseudo("GET", "/"), &[("app-key-id", KEPT)]) }]));
    assert_eq!(answer["answers"][0]["status"], 200, "{answer:#}");
    assert_eq!(setting.backend.last().header("app-key-id"), KEPT);
}

/// H3: what `Connection` names is taken out before the identity is put in (CVE-2024-45410).
#[test]
fn h3_the_connection_header_cannot_remove_the_identity() {
    let setting = Setting::new();
    let key = setting.gateway.claim_key(&setting.alice);

    // The attack: what the header names is indeed removed.
    let answer = setting.curl("/").http1();
    let answer = answer
        .header("Connection: App-Key-Id")
        .header("App-Key-Id: kept-value");
    answer.send().expect_status(200);
    assert!(setting.backend.last().all("app-key-id").is_empty());

    for named in [
        "x-key-id, x-client-id, signature, signature-input, authorization",
        "X-Key-Id",
        "close, signature",
        "keep-alive, Signature-Input, x-request-id",
    ] {
        let request = setting.gateway.curl("/").http1().key(&key);
        let answer = request.header(&format!("Connection: {named}")).send();
        answer.expect_status(200);
        setting.expect_own_identity(&setting.backend.last());
    }

    // Names whose loss would leave the request without a meaning are refused.
    for named in ["host", "x-key-id,".repeat(20).as_str()] {
        let seen = setting.backend.requests().len();
        let answer = setting
            .curl("/")
            .http1()
            .header(&format!("Connection: {named}"))
            .send();
        answer.expect_refusal(400, "request_malformed");
        assert!(setting.since(seen).is_empty());
    }
}

/// H4: the key is read before anything is removed.
#[test]
fn h4_the_connection_header_cannot_remove_the_key() {
    let setting = Setting::new();
    let key = setting.gateway.claim_key(&setting.alice);
    for (named, line) in [
        ("close, X-Api-Key", format!("X-API-Key: {key}")),
        (
            "close, Authorization",
            format!("Authorization: Bearer {key}"),
        ),
    ] {
        let bytes =
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: {named}\r\n{line}\r\n\r\n");
        let answer = setting.gateway.s_client().send_quietly(bytes.as_bytes());
        assert_eq!(answer.status(), Some(200), "{answer:#?}");
        setting.expect_own_identity(&setting.backend.last());
    }
}

/// H5: of two keys none is "the first".
#[test]
fn h5_two_keys_are_refused() {
    let setting = Setting::new();
    let key = setting.gateway.claim_key(&setting.alice);
    let other = setting.gateway.claim_key(&setting.world.client("bob"));
    let (bearer, other_bearer) = (
        format!("Authorization: Bearer {key}"),
        format!("Authorization: Bearer {other}"),
    );
    let (plain, other_plain) = (format!("X-API-Key: {key}"), format!("X-API-Key: {other}"));
    let seen = setting.backend.requests().len();
    for lines in [
        [&bearer, &bearer],
        [&bearer, &other_bearer],
        [&plain, &plain],
        [&plain, &other_plain],
        [&bearer, &plain],
        [&format!("{bearer}, Bearer {other}"), &"App: a".to_owned()],
        [&format!("{plain},{other}"), &"App: a".to_owned()],
    ] {
        for http2 in [false, true] {
            let request = setting.gateway.curl("/").header(lines[0]).header(lines[1]);
            let request = over(http2, request);
            let answer = request.send().expect_refusal(400, "credential_ambiguous");
            assert!(!answer.text().contains(&key) && !answer.text().contains(&other));
        }
    }
    assert!(setting.since(seen).is_empty());
    // The control: each key alone is good.
    for line in [bearer, other_bearer, plain, other_plain] {
        setting
            .gateway
            .curl("/")
            .header(&line)
            .send()
            .expect_status(200);
    }
}

/// H6: URLs end up in logs, so a key in one is refused, also beside a good credential, and is in
/// no log of ours.
#[test]
fn h6_a_key_in_the_url_is_refused_and_not_logged() {
    let setting = Setting::new();
    let key = setting.gateway.claim_key(&setting.alice);
    let (start, _) = key.split_at(20);
    let encoded = key.replace('_', "%5F");
    let seen = setting.backend.requests().len();
    for path in [
        format!("/?api_key={key}"),
        format!("/?a=b&key={encoded}"),
        format!("/{key}/x"),
        format!("/x;k={encoded}"),
    ] {
        let requests = [
            setting.gateway.curl(&path),
            setting.gateway.curl(&path).key(&key),
            setting.curl(&path),
        ];
        for request in requests {
            let answer = request.send().expect_refusal(400, "request_malformed");
            assert!(!answer.text().contains(start), "{}", answer.text());
        }
    }
    assert!(setting.since(seen).is_empty());
    let log = setting.gateway.log();
    assert!(!log.contains(&key) && !log.contains(&encoded), "{log}");
}

/// H7: the backend gets the identity, never the key; what belongs to the application stays.
#[test]
fn h7_the_key_itself_never_arrives() {
    let setting = Setting::new();
    let key = setting.gateway.claim_key(&setting.alice);
    let lines = [
        format!("Authorization: Bearer {key}"),
        format!("Authorization: bearer   {key}"),
        format!("X-API-Key: {key}"),
        format!("X-API-Key-Check: {key}"),
        format!("Cookie: app=1; session={key}"),
        format!("Sec-WebSocket-Protocol: chat, {key}"),
        format!("X-App-Token: {key}"),
        format!("Referer: https://{HOST}/?key={key}"),
        format!("Proxy-Authorization: Bearer {key}"),
    ];
    for line in &lines {
        // The attack: without the gateway it arrives.
        setting.directly("/").header(line).send().expect_status(200);
        let head = setting.backend.last().head;
        assert!(String::from_utf8_lossy(&head).contains(&key), "{line}");

        for http2 in [false, true] {
            let curl = setting.curl("/").header(line);
            let curl = if http2 { curl.http2() } else { curl.http1() };
            curl.header("Accept-Language: kept-value")
                .send()
                .expect_status(200);
            let request = setting.backend.last();
            let head = String::from_utf8_lossy(&request.head).into_owned();
            assert!(!head.contains("kf_live_"), "{head}");
            assert!(head.contains(KEPT), "{head}");
            setting.expect_own_identity(&request);
        }
    }

    // What belongs to the application arrives, beside either credential of ours.
    let token = "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x";
    for request in [
        setting.curl("/"),
        setting
            .gateway
            .curl("/")
            .header(&format!("X-API-Key: {key}")),
    ] {
        let request = request.header(&format!("Authorization: {token}"));
        let request = request
            .header("Cookie: app=1")
            .header("Sec-WebSocket-Protocol: chat");
        request.send().expect_status(200);
        let request = setting.backend.last();
        assert_eq!(request.header("authorization"), token);
        assert_eq!(request.header("cookie"), "app=1");
        assert_eq!(request.header("sec-websocket-protocol"), "chat");
        setting.expect_own_identity(&request);
    }
}

/// H7: nor does it arrive where nobody looks at it: on a route for everybody.
#[test]
fn h7_a_key_is_removed_on_an_open_route_too() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .backend("echo", backend.address())
        .route("/", "echo", "none")
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    gateway
        .curl("/")
        .key(&key)
        .header("App: kept-value")
        .send()
        .expect_status(200);
    let head = String::from_utf8(backend.last().head).unwrap();
    assert!(head.contains(KEPT) && !head.contains(&key), "{head}");
}

/// H10 (haproxy #598): a header block is either forwarded whole, with the identity, or refused.
#[test]
fn h10_a_large_header_block_never_arrives_without_the_identity() {
    let setting = Setting::with(|gateway| {
        // As much as may be configured.
        let gateway = gateway.set("http.head_bytes", 262_144);
        gateway.set("http.head_lines", 200)
    });
    let fields = |count: usize, bytes: usize| -> Vec<(String, String)> {
        let value = "f".repeat(bytes);
        (0..count)
            .map(|n| (format!("app-{n}"), value.clone()))
            .collect()
    };
    let (mut passed, mut refused) = (0, 0);
    for (count, bytes) in [
        (1, 60 << 10),
        (1, 250 << 10),
        (14, 64 << 10),
        (20, 64 << 10),
        (100, 1),
        (190, 1),
        (240, 1),
        (250, 1),
        (256, 1),
        (300, 1),
        (2000, 1),
        (40_000, 1),
    ] {
        for http2 in [false, true] {
            let seen = setting.backend.requests().len();
            let fields = fields(count, bytes);
            let status = if http2 {
                let fields: Vec<_> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
                let request = json!([{ "headers": with(pseudo("GET", "/"), &fields) }]);
                setting.http2(&request)["answers"][0]["status"] == 200
            } else {
                let lines = fields
                    .into_iter()
                    .flat_map(|(n, v)| [n, ": ".to_owned(), v, "\r\n".to_owned()]);
                let lines: String = lines.collect();
                let bytes =
                    format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{lines}Connection: close\r\n\r\n");
                setting.raw(&bytes) == Some(200)
            };
            let requests = setting.since(seen);
            if status {
                setting.expect_own_identity(&requests[0]);
                let own = requests[0].headers.iter();
                let own = own.filter(|(name, _)| name.starts_with("app-"));
                assert_eq!((requests.len(), own.count()), (1, count));
                passed += 1;
            } else {
                assert!(
                    requests.is_empty(),
                    "{count} × {bytes}: refused, but forwarded"
                );
                refused += 1;
            }
            // Whatever it was, the gateway goes on.
            setting.curl("/").send().expect_status(200);
        }
    }
    assert!(
        passed > 6 && refused > 4,
        "{passed} passed, {refused} refused"
    );
}

/// H12: what imitates the gateway is taken out of the backend's answer, and nothing else.
#[test]
fn h12_answers_that_imitate_the_gateway_are_cleaned() {
    let setting = Setting::new();
    let names = forged_names();
    let query: Vec<_> = names
        .iter()
        .filter(|name| header::is_reserved(name, &Names::default()))
        .filter(|name| !name.to_ascii_lowercase().starts_with("signature"))
        .map(|name| format!("{name}={FORGED}"))
        .collect();
    let target = format!(
        "/headers?{}&X_Key_Id={FORGED}&Signature-Input=gw=({FORGED})&Signature=gw=:{FORGED}:&X-Request-Id={FORGED}&App=kept-value",
        query.join("&")
    );
    // The attack: the backend does say so.
    let answer = setting.directly(&target).send().expect_status(200);
    assert_eq!(
        answer
            .headers
            .iter()
            .filter(|(_, v)| v.contains(FORGED))
            .count(),
        query.len() + 4
    );
    for http2 in [false, true] {
        let curl = setting.curl(&target).header("X-Request-Id: mine-1");
        let curl = if http2 { curl.http2() } else { curl.http1() };
        let answer = curl.send().expect_status(200);
        let forged: Vec<_> = answer
            .headers
            .iter()
            .filter(|(_, v)| v.contains(FORGED))
            .collect();
        assert!(forged.is_empty(), "{forged:?}");
        assert_eq!(answer.header("app"), KEPT);
        assert_eq!(answer.header("x-request-id"), "mine-1");
    }
    // A signature of the backend's own, under another label, is its own affair.
    let answer = setting
        .curl("/headers?Signature-Input=sig1=()&Signature=sig1=:YQ==:")
        .send();
    assert_eq!(answer.expect_status(200).header("signature"), "sig1=:YQ==:");
}

/// H12: no answer of ours repeats a secret, whatever it refuses.
#[test]
fn h12_refusals_repeat_no_secret() {
    let setting = Setting::new();
    let key = setting.gateway.claim_key(&setting.alice);
    let bob = setting.world.client("bob");
    let known = setting.gateway.curl("/").certificate(&bob).send();
    known.expect_status(200);
    let (almost, _) = key.split_at(key.len() - 8);
    let (_, secret_part) = almost.split_at(almost.len() - 41);
    let wrong = format!("{almost}AAAAAAAA");
    let requests = [
        setting.gateway.curl("/").key(&wrong),
        setting.gateway.curl("/").key(almost),
        setting
            .gateway
            .curl("/")
            .key(&key)
            .header(&format!("X-API-Key: {key}")),
        setting.gateway.curl("/").key(&key).certificate(&bob),
        setting.gateway.curl(&format!("/{key}")),
        setting
            .gateway
            .curl("/")
            .key(&key)
            .header("Host: a, b")
            .http1(),
        setting.gateway.curl("/.well-known/keyferry/none").key(&key),
        setting
            .gateway
            .curl("/.well-known/keyferry/key")
            .key(&key)
            .method("POST"),
        setting.gateway.curl("/drop?times=9").key(&key),
    ];
    let (signing, pepper) = (String::from_utf8(secret("echo")).unwrap(), "the pepper of");
    for request in requests {
        for answer in Curl::send_on_one_connection([request]) {
            assert!(answer.status >= 400, "{answer:#?}");
            let whole = format!("{:?}{}", answer.headers, answer.text());
            for hidden in [secret_part, "gw=", &signing, pepper] {
                assert!(!whole.contains(hidden), "{hidden}: {whole}");
            }
        }
    }
    let log = setting.gateway.log();
    for hidden in [secret_part, &signing, pepper] {
        assert!(!log.contains(hidden), "{hidden} in the log");
    }
}
