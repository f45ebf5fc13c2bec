//! docs/TROUBLESHOOTING.md, held against what real clients print: every row of its tables is made
//! to happen.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;

use crate::support::backend::Backend;
use crate::support::clients::Call;
use crate::support::gateway::{Builder, Gateway};
use crate::support::pki::{Issued, intermediate, leaf, root, server};
use crate::support::process::{Process, with_boringssl};
use crate::support::world::{Identity, World};
use crate::support::{free_addresses, wait_for};

const DAY: i64 = 86_400;
const DOCUMENT: &str = include_str!("../../docs/TROUBLESHOOTING.md");

/// A row: who prints what, and what the journal tells of it.
struct Row {
    client: String,
    /// One of these, and all that it has.
    prints: Vec<Vec<String>>,
    reason: Option<String>,
}

/// The parts of the document that have a table of clients, by their headings.
fn sections() -> BTreeMap<&'static str, Vec<Row>> {
    let parts = DOCUMENT.split("\n## ").skip(1);
    let tables = parts.map(|part| {
        let (title, text) = part.split_once('\n').expect("a text");
        let lines = text.lines();
        let lines = lines.skip_while(|line| !line.starts_with("| client |"));
        let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
        (title, rows.map(row).collect::<Vec<_>>())
    });
    tables.filter(|(_, rows)| !rows.is_empty()).collect()
}

fn row(line: &str) -> Row {
    let [_, client, prints, reason, _] = line.split('|').collect::<Vec<_>>()[..] else {
        panic!("not three cells: {line}");
    };
    let quoted = |cell: &str| -> Vec<_> {
        let parts = cell.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let row = Row {
        client: client.trim().to_owned(),
        prints: prints.split(" or ").map(quoted).collect(),
        reason: quoted(reason).pop(),
    };
    let is_empty = |words: &Vec<_>| words.is_empty();
    assert!(!row.prints.iter().any(is_empty), "nothing printed: {line}");
    row
}

/// How often which reason was noted.
fn noted(gateway: &Gateway) -> BTreeMap<String, u64> {
    let report = gateway.admin("/handshakes").send().expect_status(200);
    let report = report.json();
    let reasons = report["reasons"].as_array().unwrap().iter();
    let count = |reason: &serde_json::Value| {
        let name = reason["reason"].as_str().unwrap();
        (name.to_owned(), reason["count"].as_u64().unwrap())
    };
    reasons.map(count).collect()
}

/// Every row of the part `title` comes true.
#[track_caller]
fn check(title: &str, gateway: &Gateway, call: impl Fn() -> Call) {
    let sections = sections();
    let rows = sections.get(title).expect("a part of the document");
    let mut wrong = Vec::new();
    for row in rows {
        let before = noted(gateway);
        let printed = call().print_by(&row.client);
        let is_printed = |words: &Vec<String>| words.iter().all(|word| printed.contains(word));
        if !row.prints.iter().any(is_printed) {
            wrong.push(format!("---- {} prints:\n{printed}", row.client));
            continue;
        }
        if let Some(reason) = &row.reason {
            // With TLS 1.3 some clients say in the clear whom they distrust, which BoringSSL does not
            // read.
            let is_unread = with_boringssl() && reason.starts_with("server_certificate_");
            let also = is_unread.then_some("client_alert");
            let count = |noted: &BTreeMap<String, u64>| -> u64 {
                let reasons = [Some(reason.as_str()), also].into_iter().flatten();
                reasons.filter_map(|reason| noted.get(reason)).sum()
            };
            wait_for(&format!("{reason} by {}", row.client), || {
                (count(&noted(gateway)) > count(&before)).then_some(())
            });
        } else {
            let new = noted(gateway);
            assert_eq!(new, before, "{title}: {}", row.client);
        }
    }
    let told = wrong.join("\n");
    assert!(wrong.is_empty(), "{title}:\n{told}\n{:#?}", noted(gateway));
}

/// A world whose gateway has this certificate.
fn gateway_with<'a>(world: &'a World, backend: &Backend, own: &Issued) -> Builder<'a> {
    Gateway::builder(world)
        .file("gateway.pem", own.chain_pem())
        .file("gateway.key", own.key_pem())
        .echo(backend)
}

/// A gateway for `localhost`, as it should be.
fn usual<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    gateway_with(
        world,
        backend,
        &server("localhost").signed_by(&world.servers),
    )
}

fn https(address: SocketAddr) -> String {
    format!("https://localhost:{}/", address.port())
}

/// A part about a client with this certificate, which can do everything else right.
#[track_caller]
fn check_client(title: &str, make: impl FnOnce(&World) -> Option<Identity>) {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend).start();
    let client = make(&world);
    check(title, &gateway, || {
        let call = Call::to(https(gateway.address())).trusting(&world.authority);
        match &client {
            Some(client) => call.showing(&world, client),
            None => call,
        }
    });
}

/// A part about the gateway's own certificate.
#[track_caller]
fn check_server(title: &str, make: impl FnOnce(&World) -> Issued) {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = gateway_with(&world, &backend, &make(&world)).start();
    let client = world.client("client");
    check(title, &gateway, || {
        let call = Call::to(https(gateway.address())).trusting(&world.authority);
        call.showing(&world, &client)
    });
}

/// The control: when nothing is wrong, every client gets its answer.
#[test]
fn the_clients_themselves_work() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend).start();
    let client = world.client("client");
    for name in ["curl", "openssl", "Python", "Node", "Java"] {
        let call = Call::to(https(gateway.address())).trusting(&world.authority);
        let printed = call.showing(&world, &client).print_by(name);
        assert!(printed.contains("x-client-id"), "{name}: {printed}");
    }
    assert!(noted(&gateway).is_empty());
}

#[test]
fn a_server_of_an_unknown_authority() {
    let title = "The client does not know the authority of the gateway's certificate";
    check_server(title, |_| {
        let other = root("Other Root").self_signed();
        server("localhost").signed_by(&other)
    });
}

#[test]
fn a_server_that_sends_no_intermediate() {
    let title = "The gateway does not send its intermediate certificate";
    check_server(title, |world| {
        let issuing = intermediate("Issuing").signed_by(&world.servers);
        let mut own = server("localhost").signed_by(&issuing);
        own.intermediates.clear();
        own
    });
}

#[test]
fn a_self_signed_server() {
    let title = "The gateway's certificate is self-signed";
    check_server(title, |_| server("localhost").self_signed());
}

#[test]
fn an_expired_server() {
    let title = "The gateway's certificate has expired";
    check_server(title, |world| {
        let spec = server("localhost").dates(-20 * DAY, -DAY);
        spec.signed_by(&world.servers)
    });
}

#[test]
fn a_server_of_another_name() {
    let title = "The gateway's certificate is for another name";
    check_server(title, |world| {
        server("api.example.com").signed_by(&world.servers)
    });
}

#[test]
fn a_client_of_an_old_version() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend).start();
    let title = "The client speaks only TLS 1.0 or 1.1";
    check(title, &gateway, || {
        let call = Call::to(https(gateway.address())).trusting(&world.authority);
        call.limited("1.1", "DEFAULT@SECLEVEL=0")
    });
}

#[test]
fn a_client_of_old_ciphers() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend).start();
    let title = "Client and gateway have no cipher suite in common";
    check(title, &gateway, || {
        let call = Call::to(https(gateway.address())).trusting(&world.authority);
        call.limited("1.2", "AES128-SHA")
    });
}

#[test]
fn http_to_the_https_port() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend).start();
    check("The client speaks HTTP to the HTTPS port", &gateway, || {
        Call::to(format!("http://localhost:{}/", gateway.address().port()))
    });
}

#[test]
fn https_to_an_http_port() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend).start();
    let title = "The client speaks HTTPS to a port that speaks HTTP";
    check(title, &gateway, || {
        Call::to(https(gateway.telemetry())).trusting(&world.authority)
    });
}

#[test]
fn files_that_do_not_belong_together() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend).start();
    let (one, other) = (world.client("one"), world.client("other"));
    let title = "The client's certificate and key do not belong together";
    check(title, &gateway, || {
        let call = Call::to(https(gateway.address())).trusting(&world.authority);
        call.with_files(&one.chain, &other.key)
    });
}

#[test]
fn a_proof_that_is_wrong() {
    let title = "The client does not hold the key of its certificate";
    check_client(title, |world| {
        let alice = world.client("alice");
        // Its public half is alice's and its private half is not: tools believe that it fits.
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let public = alice.issued.key.ec_key().unwrap();
        let guess = BigNum::from_u32(4711).unwrap();
        let forged = EcKey::from_private_components(&group, &guess, public.public_key());
        let mut thief = alice.issued.clone();
        thief.key = PKey::from_ec_key(forged.unwrap()).unwrap();
        Some(world.files(thief))
    });
}

#[test]
fn a_certificate_that_expired() {
    check_client("The client's certificate has expired", |world| {
        Some(world.client_like(leaf("old").dates(-20 * DAY, -DAY)))
    });
}

#[test]
fn a_certificate_of_an_unknown_authority() {
    let title = "The client's certificate is of an authority that the gateway does not know";
    check_client(title, |world| {
        let other = root("Other Root").self_signed();
        let mut stranger = leaf("stranger").signed_by(&other);
        stranger.intermediates.push(other.x509);
        Some(world.files(stranger))
    });
}

#[test]
fn a_certificate_without_its_intermediate() {
    let title = "The client does not send its intermediate certificate";
    check_client(title, |world| {
        let issuing = intermediate("Issuing").signed_by(&world.clients);
        let mut client = leaf("short").signed_by(&issuing);
        client.intermediates.clear();
        Some(world.files(client))
    });
}

#[test]
fn a_client_without_a_certificate() {
    check_client("The client sends no certificate", |_| None);
}

#[test]
fn a_client_that_is_not_asked() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend)
        .set("listener.client_certificates", "off")
        .start();
    let client = world.client("client");
    let title = "The gateway does not ask for a certificate";
    check(title, &gateway, || {
        let call = Call::to(https(gateway.address())).trusting(&world.authority);
        call.showing(&world, &client)
    });
}

/// Another server, which demands a certificate in the handshake.
#[test]
fn a_server_that_is_not_ours_demands_a_certificate() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend).start();
    let own = world.files(server("localhost").signed_by(&world.servers));
    let [address] = free_addresses();
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", &address.to_string(), "-www"])
        .args(["-Verify", "1", "-verify_return_error", "-cert"])
        .arg(&own.chain)
        .arg("-key")
        .arg(&own.key);
    let _server = Process::start(&mut command, &world.path("s_server.log"));
    wait_for("s_server", || TcpStream::connect(address).ok());
    let title = "Another server in front demands a certificate";
    check(title, &gateway, || {
        Call::to(https(address)).trusting(&world.authority)
    });
}

/// Passes on what the gateway sends, and of what a client sends only the first `most` bytes of its
/// first flight: a network that loses packets.
fn losing(gateway: SocketAddr, most: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let own = listener.local_addr().expect("an address");
    let serve = move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(gateway)) else {
                return;
            };
            beside(move || lose(client, server, most));
        }
    };
    beside(serve);
    own
}

fn lose(mut client: TcpStream, mut server: TcpStream, most: usize) {
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    beside(move || {
        // However it ends, it ends for the client too.
        let _ended = std::io::copy(&mut from, &mut to);
        let _gone = to.shutdown(Shutdown::Both);
    });
    let mut flight = [0; 16 * 1024];
    let length = client.read(&mut flight).unwrap_or(0).min(most);
    let _gone = server.write_all(&flight[..length]);
    let _ended = std::io::copy(&mut client, &mut std::io::sink());
}

fn beside(job: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().spawn(job);
    thread.expect("a thread");
}

#[test]
fn a_network_that_loses_the_first_message() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend)
        .set("listener.handshake_timeout", "1s")
        .start();
    let address = losing(gateway.address(), 100);
    let title = "The client's first message does not arrive";
    check(title, &gateway, || {
        Call::to(https(address)).trusting(&world.authority)
    });
}

#[test]
fn a_network_that_loses_the_certificate() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = usual(&world, &backend)
        .set("listener.handshake_timeout", "1s")
        .start();
    let address = losing(gateway.address(), usize::MAX);
    let client = world.client("client");
    let title = "What the client answers does not arrive";
    check(title, &gateway, || {
        let call = Call::to(https(address)).trusting(&world.authority);
        call.showing(&world, &client)
    });
}

/// The index leads to a part in which the words are.
#[test]
fn the_index_leads_to_the_words() {
    let anchor = |title: &str| -> String {
        let kept = title.to_lowercase().replace(' ', "-").into_bytes();
        let kept = kept
            .into_iter()
            .filter(|c| c.is_ascii_alphanumeric() || *c == b'-');
        kept.map(char::from).collect()
    };
    let sections = sections();
    let (_, index) = DOCUMENT.split_once("## Index").unwrap();
    let lines = index
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1);
    let mut seen = 0;
    for line in lines.take_while(|line| line.starts_with('|')) {
        let words = line.split('`').nth(1).expect("words");
        let link = line
            .split("(#")
            .nth(1)
            .and_then(|rest| rest.split(')').next());
        let link = link.expect("a link");
        let part = sections.iter().find(|(title, _)| anchor(title) == link);
        let (_, rows) = part.unwrap_or_else(|| panic!("no part {link}"));
        let all = rows.iter().flat_map(|row| row.prints.iter().flatten());
        let mut found = all.filter(|printed| printed.contains(words));
        assert!(found.next().is_some(), "{words} is not in {link}");
        seen += 1;
    }
    assert!(seen > 30, "the index was not read");
}

/// A part that nobody makes happen would be only words; and one that was renamed, too.
#[test]
fn every_part_of_the_document_is_made_to_happen() {
    let tests = fs::read_to_string(file!()).unwrap();
    for title in sections().keys() {
        assert!(tests.contains(&format!("\"{title}\"")), "{title}");
    }
    // And every reason of the journal is explained.
    for failure in keyferry::door::Failure::ALL {
        let reason = format!("`{}`", failure.as_str());
        assert!(DOCUMENT.contains(&reason), "{reason}");
    }
}
