//! Cases R about session tickets: who takes whose, for how long, and for what they are worth
//! nothing. `make sessions` has the gateway keep the sessions instead; the rest of what is special of
//! that is in `sessions`.

mod chain;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::thread::scope;
use std::time::Duration;

use openssl::ssl::{Ssl, SslAcceptor, SslMethod, SslStream};

use crate::support::backend::Backend;
use crate::support::clients::Call;
use crate::support::gateway::{Builder, Gateway};
use crate::support::pki::{Kind, intermediate, leaf, root, server};
use crate::support::process::{in_memory, with_boringssl};
use crate::support::proxy::{Mode, Proxy};
use crate::support::s_client::{SClient, Transcript, VERSIONS, altered, closing};
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

const KEY: &str = "the secret of tickets, of at least thirty-two bytes";

/// A gateway that shares this secret of tickets.
fn sharing<'a>(world: &'a World, backend: &Backend, key: &str) -> Builder<'a> {
    Gateway::builder(world)
        .file("ticket.key", key)
        .set("listener.ticket_key_file", "ticket.key")
        .echo(backend)
}

fn with_partners<'a>(builder: Builder<'a>, partners: &[u8]) -> Builder<'a> {
    let ca = toml::toml! { name = "partners" file = "partners.pem" };
    builder.file("partners.pem", partners).push("ca", ca)
}

/// Connects with this certificate, and keeps the session.
#[track_caller]
fn begin(gateway: &Gateway, client: &Identity, version: &str, session: &Path) -> Transcript {
    let connect = gateway.s_client().certificate(client).tls(version);
    let begun = connect.keep_session(session).send(&closing());
    assert_eq!(state(&begun), (Some(200), false), "{begun:#?}");
    begun
}

fn resume(gateway: &Gateway, client: &Identity, version: &str, session: &Path) -> Transcript {
    let connect = gateway.s_client().certificate(client).tls(version);
    connect.resume_session(session).send(&closing())
}

fn state(transcript: &Transcript) -> (Option<u16>, bool) {
    (transcript.status(), transcript.was_resumed())
}

#[test]
fn r1_clients_in_other_languages_resume_their_sessions_three_times() {
    let (world, backend) = (World::new(), Backend::start());
    // These clients go by the name in the URL.
    let local = server("localhost").signed_by(&world.servers);
    let gateway = Gateway::builder(&world)
        .file("gateway.pem", local.chain_pem())
        .file("gateway.key", local.key_pem())
        .echo(&backend)
        .start();
    let client = world.client("client");
    let call = Call::to(format!("https://localhost:{}/", gateway.address().port()));
    let call = call.trusting(&world.authority).showing(&world, &client);
    let resumed = || {
        let lines = gateway.lines().into_iter();
        lines.filter(|line| line["resumed"] == true).count()
    };
    for who in ["Python again", "Node again", "Java again"] {
        for version in VERSIONS {
            let before = resumed();
            let printed = call.clone().limited(version, "").print_by(who);
            assert_eq!(printed, "200\n".repeat(4), "{who} with TLS {version}");
            assert_eq!(resumed(), before + 3, "{who} with TLS {version}");
        }
    }
    let requests = backend.requests();
    let first = requests[0].header("x-key-id");
    assert_eq!(requests.len(), 24);
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-key-id") == first)
    );
}

/// A gateway keeps no sessions, unless it is told to: whoever takes no ticket begins anew.
#[test]
fn r1_nothing_is_resumed_without_a_ticket() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let client = world.client("client");
    for (option, is_resumed) in [("-no_ticket", in_memory()), ("-no_comp", true)] {
        let connect = gateway.s_client().certificate(&client).tls("1.2");
        let done = connect.option(option).option("-reconnect").send(&closing());
        let resumed = done.output.matches("\nReused, ").count();
        assert_eq!(resumed, if is_resumed { 5 } else { 0 }, "{done:#?}");
    }
}

/// Without a shared secret each session begins with a full handshake, and fails nowhere
/// (`r8_a_ticket_of_another_gateway_is_not_taken`).
#[test]
fn r2_replicas_that_share_a_secret_take_each_others_tickets() {
    let (world, backend) = (World::new(), Backend::start());
    let [one, other] = [(); 2].map(|()| sharing(&world, &backend, KEY).start());
    let issuing = intermediate("Issuing").signed_by(&world.clients);
    let direct = world.client("direct");
    let below = |name: &str| world.files(leaf(name).signed_by(&issuing));
    for version in VERSIONS {
        let session = world.path(version);
        begin(&one, &direct, version, &session);
        for gateway in [&other, &one, &other] {
            let again = resume(gateway, &direct, version, &session);
            assert_eq!(state(&again), (Some(200), true), "{again:#?}");
        }
    }
    // A ticket of OpenSSL keeps the client's own certificate only. A replica that knows no way from it
    // to an authority has the client send the rest, once. One of BoringSSL keeps all of it.
    for (version, is_known) in [("1.2", with_boringssl()), ("1.3", true)] {
        let (client, session) = (below(version), world.path("below"));
        begin(&one, &client, version, &session);
        for is_known in [is_known, true] {
            let again = resume(&other, &client, version, &session);
            assert_eq!(state(&again), (Some(200), is_known), "{again:#?}");
        }
    }
}

/// R3 and R5: the second of two authorities is trusted no longer, or somewhere else only.
#[test]
fn r5_a_ticket_is_worth_nothing_where_others_are_trusted() {
    let (world, backend) = (World::new(), Backend::start());
    let partners = root("Partners Root").self_signed();
    let both = || with_partners(sharing(&world, &backend, KEY), &partners.pem()).start();
    let (one, same) = (both(), both());
    let fewer = sharing(&world, &backend, KEY).start();
    let partner = leaf("partner").signed_by(&partners);
    let partner = world.files(partner.with(&[&partners.x509]));
    let client = world.client("client");
    for version in VERSIONS {
        for (who, status) in [(&client, 200), (&partner, 401)] {
            let session = world.path(version);
            begin(&one, who, version, &session);
            let control = resume(&same, who, version, &session);
            assert_eq!(state(&control), (Some(200), true), "{control:#?}");
            let elsewhere = resume(&fewer, who, version, &session);
            assert_eq!(state(&elsewhere), (Some(status), false), "{elsewhere:#?}");
            let untrusted = elsewhere.output.contains("certificate_untrusted");
            assert_eq!(untrusted, status == 401, "{elsewhere:#?}");
        }
    }
}

/// R3 and R6: the authorities change while the gateway runs, of which one is the second in its file.
#[test]
fn r6_a_ticket_from_before_other_authorities_were_trusted_is_worth_nothing() {
    let (world, backend) = (World::new(), Backend::start());
    let partners = root("Partners Root").self_signed();
    let clients = String::from_utf8(world.clients.pem()).unwrap();
    let both = clients.clone() + &String::from_utf8(partners.pem()).unwrap();
    let gateway = Gateway::builder(&world)
        .file("clients-root.pem", &both)
        .echo(&backend)
        .start();
    let client = world.client("client");
    let partner = leaf("partner").signed_by(&partners);
    let partner = world.files(partner.with(&[&partners.x509]));
    let sessions = [(&client, 200), (&partner, 401)].map(|(who, status)| {
        let sessions = VERSIONS.map(|version| {
            let session = world.path(&format!("{version}-{status}"));
            begin(&gateway, who, version, &session);
            let control = resume(&gateway, who, version, &session);
            assert_eq!(state(&control), (Some(200), true), "{control:#?}");
            (version, session)
        });
        (who, status, sessions)
    });
    gateway.put("clients-root.pem", &clients);
    gateway.signal("HUP");
    wait_for("the authority to be gone", || {
        let ask = gateway.curl("/").certificate(&partner).send();
        (ask.status == 401).then_some(())
    });
    for (who, status, sessions) in &sessions {
        for (version, session) in sessions {
            let again = wait_for("terms without it", || {
                let again = resume(&gateway, who, version, session);
                (!again.was_resumed()).then_some(again)
            });
            assert_eq!(again.status(), Some(*status), "{again:#?}");
            let untrusted = again.output.contains("certificate_untrusted");
            assert_eq!(untrusted, *status == 401, "{again:#?}");
        }
    }
}

#[test]
fn r5_a_ticket_is_worth_nothing_under_another_policy() {
    let (world, backend) = (World::new(), Backend::start());
    let names = toml::toml! {
        names = ["terse.example.com"]
        client_certificates = "terse"
    };
    let gateway = Gateway::builder(&world)
        .set("listener.server_name", vec![names])
        .echo(&backend)
        .start();
    let client = world.client("client");
    for version in VERSIONS {
        let session = world.path(version);
        begin(&gateway, &client, version, &session);
        for (name, is_resumed) in [("same.example.com", true), ("terse.example.com", false)] {
            let connect = SClient::to(gateway.address(), name).certificate(&client);
            let connect = connect.tls(version).resume_session(&session);
            let ask = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
            let answer = connect.send(ask.as_bytes());
            assert_eq!(state(&answer), (Some(200), is_resumed), "{answer:#?}");
        }
    }
}

#[test]
fn r3_a_certificate_that_ended_is_proven_and_refused_anew() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    for version in VERSIONS {
        let session = world.path(version);
        let brief = world.client_like(leaf(version).dates(-60, 5));
        begin(&gateway, &brief, version, &session);
        let again = || resume(&gateway, &brief, version, &session);
        let control = again();
        assert_eq!(state(&control), (Some(200), true), "{control:#?}");
        let refused = wait_for("its end", || {
            let answer = again();
            // It may end between a handshake and its request.
            let is_over = answer.status() != Some(200) && !answer.was_resumed();
            is_over.then_some(answer)
        });
        assert_eq!(state(&refused), (Some(401), false), "{refused:#?}");
        assert!(
            refused.output.contains("certificate_expired"),
            "{refused:#?}"
        );
    }
}

/// The session with one bit of its ticket changed.
fn damaged(session: &Path) -> String {
    altered(session, |der| {
        // `[10] EXPLICIT OCTET STRING`: OpenSSL's own form of a session (d2i_SSL_SESSION(3)).
        let is_ticket = |four: &[u8]| matches!(four, [0xaa, 0x81, _, 0x04] | [0xaa, 0x82, _, _]);
        der.windows(4).position(is_ticket).expect("a ticket") + 60
    })
}

#[test]
fn r8_what_was_sealed_with_another_key_or_altered_is_not_taken() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = sharing(&world, &backend, KEY).start();
    let thief = sharing(
        &world,
        &backend,
        "a guess at the secret, of thirty-two bytes",
    )
    .start();
    let client = world.client("client");
    for version in VERSIONS {
        let session = world.path(version);
        begin(&thief, &client, version, &session);
        let foreign = resume(&gateway, &client, version, &session);
        assert_eq!(state(&foreign), (Some(200), false), "{foreign:#?}");

        begin(&gateway, &client, version, &session);
        let control = resume(&gateway, &client, version, &session);
        assert_eq!(state(&control), (Some(200), true), "{control:#?}");
        let altered = world.path("altered");
        std::fs::write(&altered, damaged(&session)).unwrap();
        let altered = resume(&gateway, &client, version, &altered);
        assert_eq!(state(&altered), (Some(200), false), "{altered:#?}");
    }
}

#[test]
fn r8_the_shared_secret_is_rotated_while_the_gateway_runs() {
    let (world, backend) = (World::new(), Backend::start());
    let gateways = [(); 2].map(|()| sharing(&world, &backend, KEY).start());
    let client = world.client("client");
    let (old, new) = (world.path("old"), world.path("new"));
    begin(&gateways[0], &client, "1.3", &old);
    for gateway in &gateways {
        let control = resume(gateway, &client, "1.3", &old);
        assert_eq!(state(&control), (Some(200), true), "{control:#?}");
    }
    for gateway in &gateways {
        gateway.put(
            "ticket.key",
            "another secret of tickets, of thirty-two bytes",
        );
        gateway.signal("HUP");
        wait_for("the old ticket to be worth nothing", || {
            let again = resume(gateway, &client, "1.3", &old);
            assert_eq!(again.status(), Some(200), "{again:#?}");
            (!again.was_resumed()).then_some(())
        });
    }
    begin(&gateways[0], &client, "1.3", &new);
    for gateway in &gateways {
        let again = resume(gateway, &client, "1.3", &new);
        assert_eq!(state(&again), (Some(200), true), "{again:#?}");
    }
}

/// Serves two connections as a server that takes early data, to show that this client really sends
/// it.
fn serve_eagerly(world: &World, listener: &TcpListener) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    let gateway = &world.gateway.issued;
    acceptor.set_certificate(&gateway.x509).unwrap();
    acceptor.set_private_key(&gateway.key).unwrap();
    acceptor.set_session_id_context(b"eager").unwrap();
    acceptor.set_max_early_data(16_384).unwrap();
    let acceptor = acceptor.build();
    for _ in 0..2 {
        let (tcp, _) = listener.accept().unwrap();
        let mut tls = SslStream::new(Ssl::new(acceptor.context()).unwrap(), tcp).unwrap();
        while tls.read_early_data(&mut [0; 1024]).unwrap() > 0 {}
        tls.accept().unwrap();
        tls.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        tls.shutdown().unwrap();
    }
}

#[test]
fn r15_early_data_is_not_taken() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let client = world.client("client");
    let (early, session) = (world.path("early"), world.path("session"));
    let ask = format!("GET /early HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    std::fs::write(&early, ask).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let to = |address| SClient::to(address, HOST).tls("1.3").certificate(&client);
    let send = |address| {
        let resumed = to(address).resume_session(&session);
        let early = resumed
            .option("-early_data")
            .option(early.to_str().unwrap());
        early.send(&closing())
    };
    let [told, control] = scope(|scope| {
        scope.spawn(|| serve_eagerly(&world, &listener));
        let told = to(address).keep_session(&session).send(&closing());
        [told, send(address)]
    });
    assert!(told.output.contains("Max Early Data: 16384"), "{told:#?}");
    let accepted = control.output.contains("Early data was accepted");
    assert!(accepted, "{control:#?}");

    let refused = send(gateway.address());
    assert!(
        refused.output.contains("Early data was rejected"),
        "{refused:#?}"
    );
    assert_eq!(refused.status(), Some(200), "{refused:#?}");
    let paths: Vec<_> = backend
        .requests()
        .iter()
        .map(|seen| seen.target.clone())
        .collect();
    assert_eq!(paths, ["/"]);
    // Of its own tickets none allows it.
    begin(&gateway, &client, "1.3", &session);
    let own = to(gateway.address())
        .resume_session(&session)
        .send(&closing());
    assert!(!own.output.contains("Max Early Data: 16384"), "{own:#?}");
}

/// R17: a handshake of many packets. (The size of packets cannot be set here, so a proxy lets no
/// more than 536 bytes through at once, and the client's records are as small.)
#[test]
fn r17_a_huge_certificate_and_its_ticket_come_through_in_small_pieces() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let issuer = |name, above| intermediate(name).kind(Kind::Rsa(4096)).signed_by(above);
    let policy = issuer("Policy", &world.clients);
    let issuing = issuer("Issuing", &policy);
    let client = world.files(leaf("huge").kind(Kind::Rsa(8192)).signed_by(&issuing));
    assert_eq!(client.issued.intermediates.len(), 2);
    let proxy = Proxy::to(gateway.address().port());
    proxy.set(Mode::Trickle(536, Duration::from_millis(1)));
    for version in VERSIONS {
        let session = world.path(version);
        let connect = || {
            let address = proxy.address();
            let connect = SClient::to(address, HOST).certificate(&client).tls(version);
            connect.option("-max_send_frag").option("536")
        };
        let first = connect().keep_session(&session).send(&closing());
        assert_eq!(state(&first), (Some(200), false), "{first:#?}");
        let size = std::fs::metadata(&session).unwrap().len();
        let is_long = size > 3000 || in_memory();
        assert!(is_long, "the ticket holds the certificate: {size}");
        for _ in 0..3 {
            let again = connect().resume_session(&session).send(&closing());
            assert_eq!(state(&again), (Some(200), true), "{again:#?}");
        }
    }
}
