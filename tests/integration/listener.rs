//! The listener's certificates, keys and settings are replaced while the gateway runs: from the next
//! connection on, and without dropping one.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use toml::{Table, Value};

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::pki::{Issued, Kind, now, server};
use crate::support::s_client::SClient;
use crate::support::wait_for;
use crate::support::world::{HOST, World};

const ENDS: &str = "keyferry_tls_certificate_not_after_timestamp_seconds";

/// The certificate that the gateway shows now.
fn shown(gateway: &Gateway) -> X509 {
    let seen = gateway
        .s_client()
        .send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    let (_, pem) = seen
        .output
        .split_once("Server certificate\n")
        .expect("a certificate");
    X509::from_pem(pem.as_bytes()).unwrap()
}

fn text(pem: Vec<u8>) -> String {
    String::from_utf8(pem).unwrap()
}

/// A certificate for the gateway that ends in so many days.
fn another(world: &World, days: i64) -> Issued {
    server(HOST)
        .dates(-3600, days * 86_400)
        .signed_by(&world.servers)
}

#[test]
fn certificates_are_rotated_three_times_in_a_row_under_load_and_nothing_is_dropped() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world).echo(&backend).mounted().start();
    let client = world.client("client");
    let key = gateway.claim_key(&client);
    let over = AtomicBool::new(false);
    let load = |fresh: bool, request: &(dyn Fn() -> Curl + Sync)| {
        let mut answered = 0;
        while !over.load(Ordering::Relaxed) {
            if fresh {
                request().send().expect_status(200);
            } else {
                let several = [(); 20].map(|()| request());
                for answer in Curl::send_on_one_connection(several) {
                    answer.expect_status(200);
                }
            }
            answered += 1;
        }
        answered
    };
    let answered: Vec<usize> = scope(|scope| {
        let by_certificate = || gateway.curl("/").certificate(&client);
        let by_key = || gateway.curl("/").key(&key);
        let load = &load;
        let callers = [
            scope.spawn(move || load(true, &by_certificate)),
            scope.spawn(move || load(true, &by_key)),
            scope.spawn(move || load(false, &by_certificate)),
        ];
        for days in [10, 20, 30] {
            let next = another(&world, days);
            let (pem, secret) = (text(next.chain_pem()), text(next.key_pem()));
            gateway.deploy(|_| {}, &[("gateway.pem", &pem), ("gateway.key", &secret)]);
            wait_for("the new certificate", || {
                let is_shown = shown(&gateway).to_der().unwrap() == next.x509.to_der().unwrap();
                is_shown.then_some(())
            });
        }
        over.store(true, Ordering::Relaxed);
        callers.map(|caller| caller.join().unwrap()).into()
    });
    assert!(
        answered.iter().all(|answered| *answered > 5),
        "{answered:?}"
    );
    assert!(gateway.metric("keyferry_tls_handshake_failures_total") < 0.1);
    let series = format!("{ENDS}{{server_name=\"{HOST}\"}} ");
    let page = gateway.metrics();
    let mut ends = page.lines().filter_map(|line| line.strip_prefix(&series));
    let left = ends.next().unwrap().parse::<i64>().unwrap() - now();
    assert_eq!(left.div_euclid(86_400), 29, "{left} seconds");
    assert_eq!(
        page.matches(ENDS).count(),
        3,
        "its help, its type, and one series"
    );
}

#[test]
fn a_certificate_whose_key_is_not_there_yet_is_not_used() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let before = shown(&gateway).to_der().unwrap();
    let is_in_step = || gateway.metric("keyferry_reload_success") > 0.5;
    let next = another(&world, 10);
    for (file, contents) in [
        ("gateway.pem", text(next.chain_pem())),
        ("gateway.pem", "-----BEGIN CERTIFICATE-----\n".to_owned()),
        ("gateway.pem", String::new()),
    ] {
        gateway.put(file, &contents);
        gateway.signal("HUP");
        wait_for("the refusal", || (!is_in_step()).then_some(()));
        assert_eq!(shown(&gateway).to_der().unwrap(), before);
    }
    gateway.put("gateway.pem", &text(next.chain_pem()));
    gateway.put("gateway.key", &text(next.key_pem()));
    gateway.signal("HUP");
    wait_for("the new pair", || {
        (is_in_step() && shown(&gateway).to_der().unwrap() != before).then_some(())
    });
    let served = gateway.curl("/").certificate(&world.client("client"));
    served.send().expect_status(200);
}

/// Whether a handshake succeeds that offers only these groups or, in TLS 1.2, cipher suites.
fn shakes_hands(gateway: &Gateway, groups: &str, ciphers: Option<&str>) -> bool {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    connector.set_groups_list(groups).unwrap();
    if let Some(ciphers) = ciphers {
        connector
            .set_max_proto_version(Some(SslVersion::TLS1_2))
            .unwrap();
        connector.set_cipher_list(ciphers).unwrap();
    }
    let tcp = TcpStream::connect(gateway.address()).unwrap();
    connector.build().connect(HOST, tcp).is_ok()
}

#[test]
fn key_exchange_is_post_quantum_or_of_three_curves() {
    let (world, backend) = (World::new(), Backend::start());
    let rsa = server(HOST).kind(Kind::Rsa(2048)).signed_by(&world.servers);
    let gateway = Gateway::builder(&world)
        .file("gateway.pem", rsa.chain_pem())
        .file("gateway.key", rsa.key_pem())
        .echo(&backend)
        .start();
    let shakes = |groups, ciphers| shakes_hands(&gateway, groups, ciphers);
    for group in ["X25519MLKEM768", "X25519", "P-256", "P-384"] {
        assert!(shakes(group, None), "{group}");
    }
    for group in [
        "P-521",
        "X448",
        "ffdhe2048",
        "ffdhe3072",
        "brainpoolP256r1tls13",
        "SecP256r1MLKEM768",
    ] {
        assert!(!shakes(group, None), "{group}");
    }
    let ours = Some("ECDHE-RSA-AES128-GCM-SHA256");
    assert!(shakes("P-256", ours) && !shakes("P-521", ours));
    for cipher in [
        "DHE-RSA-AES128-GCM-SHA256",
        "AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-SHA256",
    ] {
        assert!(!shakes("P-256:ffdhe2048", Some(cipher)), "{cipher}");
    }
}

#[test]
fn what_the_listener_speaks_and_asks_for_changes_while_it_runs() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let client = world.client("client");
    let by_tls_1_2 = || {
        gateway
            .curl("/")
            .tls("1.2")
            .certificate(&client)
            .send()
            .status
    };
    assert_eq!(by_tls_1_2(), 200);
    let strict = |policy: &str| {
        let policy = policy.to_owned();
        move |config: &mut Table| {
            let mut name = Table::new();
            name.insert("names".to_owned(), vec!["strict.example.com"].into());
            name.insert("client_certificates".to_owned(), policy.into());
            let listener = config["listener"].as_table_mut().unwrap();
            listener.insert("server_name".to_owned(), vec![Value::from(name)].into());
            listener.insert("minimum_tls".to_owned(), "1.3".into());
            listener.insert("http2".to_owned(), false.into());
        }
    };
    let asked = || {
        let connect = SClient::to(gateway.address(), "strict.example.com").certificate(&client);
        connect.send(b"GET / HTTP/1.1\r\nHost: strict.example.com\r\nConnection: close\r\n\r\n")
    };
    let misdirected = || {
        let ask = gateway.curl("/").header("Host: strict.example.com");
        ask.certificate(&client).send().status
    };
    assert_eq!((asked().status(), misdirected()), (Some(200), 200));
    for (policy, status) in [("reject-connection", Some(200)), ("never-ask", Some(401))] {
        gateway.deploy(strict(policy), &[]);
        gateway.signal("HUP");
        wait_for(policy, || {
            (asked().status() == status && misdirected() == 421).then_some(())
        });
    }
    assert_eq!(by_tls_1_2(), 0);
    let over_http = gateway.curl("/").http2().certificate(&client).send();
    assert_eq!(over_http.expect_status(200).version, "1.1");
    assert!(!gateway.log().contains("needs a restart"));
}
