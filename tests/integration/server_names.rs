//! Cases R9 to R12, and what becomes of a certificate at each server name: a connection is made for
//! one name, and requests on it name hosts.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVersion};
use serde_json::{Value, json};

use super::failures::journal;
use super::tls::Fragmenting;
use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway};
use crate::support::pki::{Issued, Kind, Spec, intermediate, leaf, root};
use crate::support::process::with_boringssl;
use crate::support::python::run;
use crate::support::s_client::{SClient, Transcript};
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

const VERSIONS: [&str; 2] = ["1.2", "1.3"];
const TERSE: &str = "terse.example.com";
const STRICT: &str = "strict.example.com";
const SILENT: &str = "silent.example.com";
const EXPLAIN: &str = "/.well-known/keyferry/explain";
const WHOAMI: &str = "/.well-known/keyferry/whoami";

/// A gateway that has a name for each policy; elsewhere it explains.
fn of_all_policies<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    let table_of = |names: &[&str], policy: &str| {
        let names: Vec<_> = names.iter().map(|&name| toml::Value::from(name)).collect();
        let mut table = toml::Table::new();
        table.insert("names".to_owned(), names.into());
        table.insert("client_certificates".to_owned(), policy.into());
        table
    };
    let names = vec![
        table_of(&[TERSE, "also-terse.example.com"], "terse"),
        table_of(&[STRICT, "*.strict.example"], "reject-connection"),
        table_of(&[SILENT], "never-ask"),
        table_of(&["open.strict.example"], "explain"),
    ];
    Gateway::builder(world)
        .set("listener.server_name", names)
        .echo(backend)
}

/// A certificate of an authority that nobody here knows.
fn of_a_stranger() -> Issued {
    let stranger = root("Stranger").self_signed();
    leaf("stranger")
        .signed_by(&stranger)
        .with(&[&stranger.x509])
}

fn get(host: &str, path: &str, key: Option<&str>) -> Vec<u8> {
    let key = key.map(|key| format!("X-API-Key: {key}\r\n"));
    let key = key.unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{key}Connection: close\r\n\r\n").into_bytes()
}

/// Asks `host` on a connection that was made for the server `name`.
fn ask(
    gateway: &Gateway,
    name: &str,
    host: &str,
    who: Option<&Identity>,
    key: Option<&str>,
) -> Transcript {
    let connect = SClient::to(gateway.address(), name);
    let connect = match who {
        Some(who) => connect.certificate(who),
        None => connect,
    };
    connect.send(&get(host, "/", key))
}

fn outcome(transcript: &Transcript) -> (u16, String) {
    let (_, body) = transcript.output.split_once("\r\n\r\n").unwrap_or_default();
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<Value>();
    let body = values.next().and_then(Result::ok).unwrap_or_default();
    let reason = body["reason"].as_str().unwrap_or_default();
    (transcript.status().unwrap_or_default(), reason.to_owned())
}

fn is(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[test]
fn r9_a_certificate_counts_only_at_hosts_of_the_policy_that_it_was_shown_to() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = of_all_policies(&world, &backend).start();
    let client = world.client("client");
    let key = gateway.claim_key(&client);
    let misdirected = is(421, "authority_mismatch");
    for (name, host, expected) in [
        // The controls: each under its own name, and another name of the same policy.
        (HOST, HOST, is(200, "")),
        (TERSE, TERSE, is(200, "")),
        (STRICT, STRICT, is(200, "")),
        (HOST, "other.example.com", is(200, "")),
        (TERSE, "also-terse.example.com", is(200, "")),
        (STRICT, "a.strict.example", is(200, "")),
        // However the host is written, it is the same.
        (HOST, "API.Example.com", is(200, "")),
        (HOST, "api.example.com.", is(200, "")),
        (HOST, "api.example.com:8443", is(200, "")),
        (HOST, "127.0.0.1:8443", is(200, "")),
        (HOST, "[::1]", is(200, "")),
        ("STRICT.example.COM", "strict.example.com.:443", is(200, "")),
        ("A.Strict.example", "b.STRICT.example:443", is(200, "")),
        (HOST, TERSE, misdirected.clone()),
        (HOST, "Terse.EXAMPLE.com", misdirected.clone()),
        (HOST, "terse.example.com.", misdirected.clone()),
        (HOST, "terse.example.com:8443", misdirected.clone()),
        (HOST, "a.strict.example", misdirected.clone()),
        (HOST, STRICT, misdirected.clone()),
        (STRICT, HOST, misdirected.clone()),
        (STRICT, "127.0.0.1", misdirected.clone()),
        (STRICT, "open.strict.example", misdirected.clone()),
        (
            "a.b.strict.example",
            "a.strict.example",
            misdirected.clone(),
        ),
        (TERSE, SILENT, misdirected.clone()),
    ] {
        let answer = ask(&gateway, name, host, Some(&client), None);
        assert_eq!(outcome(&answer), expected, "{name} {host}: {answer:#?}");
        // A key needs no certificate, and so no name.
        let by_key = ask(&gateway, name, host, None, Some(&key));
        assert_eq!(outcome(&by_key), is(200, ""), "{name} {host}: {by_key:#?}");
        let both = ask(&gateway, name, host, Some(&client), Some(&key));
        assert_eq!(outcome(&both), expected, "{name} {host}: {both:#?}");
    }
    let whoami = SClient::to(gateway.address(), HOST).certificate(&client);
    let whoami = whoami.send(&get(STRICT, WHOAMI, None));
    assert_eq!(outcome(&whoami), misdirected);
}

#[test]
fn r10_without_a_name_the_default_holds_and_nothing_looser() {
    let (world, backend) = (World::new(), Backend::start());
    let loose = toml::toml! { names = ["loose.example.com"] client_certificates = "explain" };
    let gateway = Gateway::builder(&world)
        .set("listener.client_certificates", "reject-connection")
        .set("listener.server_name", vec![loose])
        .echo(&backend)
        .start();
    let stranger = world.files(of_a_stranger());
    let good = world.client("good");
    let explained = ask(
        &gateway,
        "loose.example.com",
        "loose.example.com",
        Some(&stranger),
        None,
    );
    assert_eq!(
        outcome(&explained),
        is(401, "certificate_untrusted"),
        "the control"
    );
    let nameless = || SClient::nameless(gateway.address());
    let unknown = || SClient::to(gateway.address(), "unknown.example.org");
    for connect in [&nameless as &dyn Fn() -> SClient, &unknown] {
        let refused = connect()
            .certificate(&stranger)
            .send(&get("loose.example.com", "/", None));
        assert_eq!(refused.status(), None, "{refused:#?}");
        assert!(refused.errors.contains("alert unknown ca"), "{refused:#?}");
        let served = connect()
            .certificate(&good)
            .send(&get("api.example.com", "/", None));
        assert_eq!(outcome(&served), is(200, ""));
        let misdirected = connect()
            .certificate(&good)
            .send(&get("loose.example.com", "/", None));
        assert_eq!(outcome(&misdirected), is(421, "authority_mismatch"));
    }
    // Nor is a stricter host served under a looser default.
    let gateway = of_all_policies(&world, &backend).start();
    let nameless = SClient::nameless(gateway.address()).certificate(&good);
    let refused = nameless.send(&get(STRICT, "/", None));
    assert_eq!(
        outcome(&refused),
        is(421, "authority_mismatch"),
        "{refused:#?}"
    );
}

/// What a client of few words is told; nothing when the handshake fails. Its first record comes in
/// pieces of `size`, and it offers these protocols.
fn in_pieces(
    gateway: &Gateway,
    name: &str,
    who: &Identity,
    size: usize,
    alpn: &[u8],
) -> Option<u16> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(openssl::ssl::SslVerifyMode::NONE);
    // In TLS 1.2 the client learns within the handshake what is thought of its certificate.
    connector
        .set_max_proto_version(Some(SslVersion::TLS1_2))
        .unwrap();
    connector.set_certificate_chain_file(&who.chain).unwrap();
    connector
        .set_private_key_file(&who.key, SslFiletype::PEM)
        .unwrap();
    if !alpn.is_empty() {
        connector.set_alpn_protos(alpn).unwrap();
    }
    let tcp = TcpStream::connect(gateway.address()).unwrap();
    tcp.set_nodelay(true).unwrap();
    let stream = Fragmenting::new(tcp, size);
    let mut tls = connector.build().connect(name, stream).ok()?;
    tls.write_all(&get(name, "/", None)).unwrap();
    let mut answer = Vec::new();
    let _farewell = tls.read_to_end(&mut answer);
    String::from_utf8_lossy(answer.get(9..12)?).parse().ok()
}

#[test]
fn r11_the_policy_is_the_same_however_large_the_hello_is_and_in_however_many_records() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = of_all_policies(&world, &backend).start();
    let (good, stranger) = (world.client("good"), world.files(of_a_stranger()));
    // As many protocols as fit: 64 KB.
    let mut many = b"\x08http/1.1".to_vec();
    for number in 0..250u8 {
        many.push(255);
        many.extend([number; 255]);
    }
    assert!(many.len() > 64_000);
    for alpn in [&[][..], &many] {
        for size in [7, 100, 16_000] {
            // Whoever sends 64 KB in records of 7 bytes sends more than is ever looked at.
            let is_read = alpn.is_empty() || size > 7;
            for (name, who, status) in [
                (HOST, &good, Some(200)),
                (HOST, &stranger, Some(401)),
                (STRICT, &good, Some(200)),
                (STRICT, &stranger, None),
                (SILENT, &good, Some(401)),
            ] {
                // BoringSSL reads 16 KiB where it asks for no certificate.
                let is_read = is_read && (alpn.is_empty() || name != SILENT || !with_boringssl());
                let told = in_pieces(&gateway, name, who, size, alpn);
                assert_eq!(
                    told,
                    status.filter(|_| is_read),
                    "{name} {size} {}",
                    alpn.len()
                );
            }
        }
    }
    let count = |reason: &str| {
        let series = format!(r#"keyferry_tls_handshake_failures_total{{reason="{reason}"}} "#);
        let page = gateway.metrics();
        let mut values = page.lines().filter_map(|line| line.strip_prefix(&series));
        values.next().and_then(|value| value.parse::<u32>().ok())
    };
    let unclear = if with_boringssl() { 7 } else { 5 };
    assert_eq!(count("hello_unclear"), Some(unclear));
    assert_eq!(count("client_certificate_rejected"), Some(5));
    // An empty record before the rest: OpenSSL would read on.
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    let hello = super::tls::client_hello(SslVersion::TLS1_3);
    tcp.write_all(&[&b"\x16\x03\x01\x00\x00"[..], &hello].concat())
        .unwrap();
    let _ended = tcp.read_to_end(&mut Vec::new());
    wait_for("it to be counted", || {
        (count("hello_unclear") == Some(unclear + 1)).then_some(())
    });
}

#[test]
fn r12_requests_on_one_h2_connection_meet_the_policy_of_their_own_hosts() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = of_all_policies(&world, &backend).start();
    let client = world.client("client");
    let key = gateway.claim_key(&client);
    let hosts = [
        HOST,
        STRICT,
        "other.example.com",
        TERSE,
        "STRICT.example.com:443",
        HOST,
    ];
    let statuses = |who: Option<&Identity>, key: Option<&str>| -> Vec<u64> {
        let requests: Vec<Value> = hosts
            .iter()
            .map(|host| {
                let mut headers = json!([
                    [":method", "GET"],
                    [":scheme", "https"],
                    [":path", "/"],
                    [":authority", host],
                ]);
                let fields = headers.as_array_mut().unwrap();
                fields.extend(key.map(|key| json!(["x-api-key", key])));
                json!({ "headers": headers })
            })
            .collect();
        let given = json!({
            "address": gateway.address(),
            "host": HOST,
            "authority": world.authority,
            "certificate": who.map(|who| &who.chain),
            "key": who.map(|who| &who.key),
            "requests": requests,
        });
        let told = run("h2_client.py", &given);
        let answers = told["answers"].as_array().unwrap().iter();
        answers
            .map(|answer| answer["status"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(
        statuses(Some(&client), None),
        [200, 421, 200, 421, 421, 200]
    );
    assert_eq!(statuses(None, Some(&key)), [200; 6]);
    assert_eq!(statuses(None, None), [401; 6]);
}

#[test]
fn at_a_terse_name_a_bad_certificate_is_told_its_code_and_no_more() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = of_all_policies(&world, &backend).start();
    let secret = root("Secret Partner Root").self_signed();
    let bad = leaf("bad").dates(-3600, -1).signed_by(&secret);
    let bad = world.files(bad.with(&[&secret.x509]));
    for (name, is_terse) in [(HOST, false), (TERSE, true)] {
        let answer = ask(&gateway, name, name, Some(&bad), None);
        assert_eq!(
            outcome(&answer),
            is(401, "certificate_untrusted"),
            "{answer:#?}"
        );
        let (_, told) = answer.output.split_once("\r\n\r\n").unwrap();
        for word in ["Clients Root", "certificate_expired", "\"problems\":"] {
            assert_eq!(told.contains(word), !is_terse, "{word}: {answer:#?}");
        }
        let explain = SClient::to(gateway.address(), name).certificate(&bad);
        let explain = explain.send(&get(name, EXPLAIN, None));
        let status = if is_terse { 404 } else { 200 };
        assert_eq!(explain.status(), Some(status), "{explain:#?}");
    }
    let served = ask(&gateway, TERSE, TERSE, Some(&world.client("good")), None);
    assert_eq!(outcome(&served), is(200, ""));
}

#[test]
fn where_a_bad_certificate_ends_the_handshake_the_alert_and_the_journal_say_why() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = of_all_policies(&world, &backend).start();
    let issuing = intermediate("Issuing").signed_by(&world.clients);
    let partial = leaf("lone").signed_by(&issuing).with(&[]);
    let signed = |spec: Spec| spec.signed_by(&world.clients);
    for version in VERSIONS {
        for (issued, code, alert) in [
            (of_a_stranger(), "certificate_untrusted", "unknown ca"),
            (
                partial.clone(),
                "certificate_chain_incomplete",
                "unknown ca",
            ),
            (
                signed(leaf("late").dates(-3600, -1)),
                "certificate_expired",
                "certificate expired",
            ),
            (
                signed(leaf("early").dates(3600, 7200)),
                "certificate_not_yet_valid",
                "bad certificate",
            ),
            (
                signed(leaf("web").purposes(&["serverAuth"])),
                "certificate_wrong_purpose",
                "unsupported certificate",
            ),
            (
                signed(leaf("odd").extension("1.2.3.4", true, b"\x05\x00")),
                "certificate_invalid",
                "bad certificate",
            ),
        ] {
            let who = world.files(issued);
            let connect = |name| {
                SClient::to(gateway.address(), name)
                    .certificate(&who)
                    .tls(version)
            };
            let control = connect(HOST).send(&get(HOST, "/", None));
            let told = outcome(&control);
            assert_eq!(told, is(401, code), "{control:#?}");
            let refused = connect(STRICT).send(&get(STRICT, "/", None));
            assert_eq!(refused.status(), None, "{code}: {refused:#?}");
            assert!(
                refused.errors.contains(&format!("alert {alert}")),
                "{code}: {refused:#?}"
            );
            let line = wait_for("its line", || {
                let mut lines = gateway.lines();
                lines.retain(|line| line["reason"] == "client_certificate_rejected");
                let last = lines.pop()?;
                last["certificate"]
                    .as_str()?
                    .starts_with(code)
                    .then_some(last)
            });
            assert_eq!(line["server_name"], STRICT);
        }
    }
    let line = journal(&gateway, "client_certificate_rejected", 12);
    assert!(
        line["openssl"]
            .as_str()
            .unwrap_or_default()
            .contains("certificate_"),
        "{line:#}"
    );
    assert!(backend.requests().is_empty());
}

#[test]
fn where_a_bad_certificate_ends_the_handshake_good_ones_and_keys_are_served() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = of_all_policies(&world, &backend).start();
    let issuing = intermediate("Issuing")
        .kind(Kind::Rsa(2048))
        .signed_by(&world.clients);
    let below = world.files(leaf("below").signed_by(&issuing));
    let brief = world.client_like(leaf("brief").dates(-60, 8));
    for version in VERSIONS {
        for who in [&below, &world.client(version), &brief] {
            let session = world.path("session");
            let connect = || {
                SClient::to(gateway.address(), STRICT)
                    .certificate(who)
                    .tls(version)
            };
            let first = connect()
                .keep_session(&session)
                .send(&get(STRICT, "/", None));
            assert_eq!(outcome(&first), is(200, ""), "{first:#?}");
            let again = connect()
                .resume_session(&session)
                .send(&get(STRICT, "/", None));
            assert_eq!(outcome(&again), is(200, ""), "{again:#?}");
            assert!(again.was_resumed());
        }
    }
    let key = gateway.claim_key(&world.client("client"));
    let by_key = ask(&gateway, STRICT, STRICT, None, Some(&key));
    assert_eq!(outcome(&by_key), is(200, ""));
    // A session is no way around it.
    let session = world.path("session");
    let ended = wait_for("the end of a certificate", || {
        let connect = SClient::to(gateway.address(), STRICT)
            .certificate(&brief)
            .tls("1.3");
        let answer = connect
            .resume_session(&session)
            .send(&get(STRICT, "/", None));
        // It may end between a handshake and its request.
        answer.status().is_none().then_some(answer)
    });
    assert!(
        ended.errors.contains("alert certificate expired"),
        "{ended:#?}"
    );
    assert_eq!(ended.status(), None);
}

#[test]
fn at_a_silent_name_nobody_is_asked_and_keys_are_served() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = of_all_policies(&world, &backend).start();
    let client = world.client("client");
    let key = gateway.claim_key(&client);
    for version in VERSIONS {
        for (name, status, is_asked) in [(HOST, 200, true), (SILENT, 401, false)] {
            let connect = SClient::to(gateway.address(), name)
                .certificate(&client)
                .tls(version);
            let answer = connect.send(&get(name, "/", None));
            assert_eq!(answer.status(), Some(status), "{answer:#?}");
            let shown = answer
                .output
                .contains("Acceptable client certificate CA names");
            assert_eq!(shown, is_asked, "{answer:#?}");
            let by_key = ask(&gateway, name, name, None, Some(&key));
            assert_eq!(outcome(&by_key), is(200, ""));
        }
    }
}

#[test]
fn the_names_of_authorities_are_shown_or_not() {
    let (world, backend) = (World::new(), Backend::start());
    let client = world.client("client");
    for names in [true, false] {
        let gateway = Gateway::builder(&world)
            .set("listener.ca_names", names)
            .echo(&backend)
            .start();
        for version in VERSIONS {
            let connect = gateway.s_client().certificate(&client).tls(version);
            let answer = connect.send(&get(HOST, "/", None));
            assert_eq!(outcome(&answer), is(200, ""), "{answer:#?}");
            assert_eq!(
                answer.output.contains("CN = Clients Root"),
                names,
                "{answer:#?}"
            );
        }
    }
}
