//! Certificates that take over from others, and those that were taken over from.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use keyferry::certificate::Fingerprint;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

fn fingerprint(of: &Identity) -> String {
    Fingerprint::of(&of.issued.x509.to_der().unwrap()).to_string()
}

/// What a command says as JSON, when it succeeds.
#[track_caller]
fn ask(gateway: &Gateway, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    gateway.cli(&arguments).expect_success().json()
}

/// One connection with a certificate, for one request after the other.
struct Open(BufReader<SslStream<TcpStream>>);

impl Open {
    fn to(gateway: &Gateway, client: &Identity) -> Self {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_certificate(&client.issued.x509).unwrap();
        connector.set_private_key(&client.issued.key).unwrap();
        let tcp = TcpStream::connect(gateway.address()).unwrap();
        let stream = connector.build().connect(HOST, tcp).unwrap();
        Self(BufReader::new(stream))
    }

    /// The status of the answer to the next request.
    fn ask(&mut self) -> u16 {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(self.0.read_until(b'\n', &mut head).unwrap(), 0, "closed");
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let (_, length) = head.split_once("content-length: ").expect("a length");
        let length = length.lines().next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn a_superseded_certificate_is_refused_on_its_open_connection_until_that_is_undone() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let old = fingerprint(&alice);
    let mut open = Open::to(&gateway, &alice);
    assert_eq!(open.ask(), 200);
    let did = ask(
        &gateway,
        &["certificate", "supersede", &old, "--reason", "lost"],
    );
    assert_eq!(did["certificate"]["status"], "superseded", "{did:#}");
    wait_for("the event", || (open.ask() == 401).then_some(()));
    let refused = gateway.curl("/").certificate(&alice).send();
    refused.expect_refusal(401, "certificate_superseded");
    let claim = gateway.curl("/.well-known/keyferry/key").method("POST");
    let claim = claim.certificate(&alice).send();
    claim.expect_refusal(401, "certificate_superseded");
    let again = ask(&gateway, &["certificate", "supersede", &old]);
    assert_eq!(again["changed"], false, "{again:#}");

    ask(&gateway, &["certificate", "supersede", "--undo", &old]);
    wait_for("the event", || (open.ask() == 200).then_some(()));
}
