//! The way to the backends: which address, over what, and what becomes of failures (H11).

use std::net::{SocketAddr, TcpListener};

use keyferry::clock;
use serde_json::json;
use toml::{Table, Value};

use crate::support::backend::{Backend, BackendTls, Recorded};
use crate::support::curl::Curl;
use crate::support::gateway::{Builder, Gateway, secret};
use crate::support::pki::{leaf, root, server};
use crate::support::python::{Server, run};
use crate::support::signature::verify;
use crate::support::world::{HOST, World};
use crate::support::{free_addresses, wait_for};

/// A gateway with one backend at all of `addresses`.
fn gateway<'a>(world: &'a World, addresses: &[SocketAddr], mut settings: Table) -> Builder<'a> {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let signing = toml::toml! {
        key_id = "echo"
        secret_file = "echo.secret"
    };
    settings.entry("protocol").or_insert("http1".into());
    settings.insert("name".to_owned(), "echo".into());
    settings.insert("addresses".to_owned(), texts.into());
    settings.insert("signing".to_owned(), Value::Table(signing));
    Gateway::builder(world)
        .file("echo.secret", secret("echo"))
        .push("backend", settings)
        .route("/", "echo", "either")
}

fn nonce(request: &Recorded) -> &str {
    let input = request.header("signature-input");
    let (_, rest) = input.split_once("nonce=\"").unwrap();
    rest.split_once('"').unwrap().0
}

#[test]
fn the_addresses_of_a_backend_take_turns() {
    let world = World::new();
    let backends = [Backend::start(), Backend::start(), Backend::start()];
    let addresses = backends.each_ref().map(Backend::address);
    let gateway = gateway(&world, &addresses, Table::new()).start();
    let alice = world.client("alice");
    for _ in 0..9 {
        gateway
            .curl("/")
            .certificate(&alice)
            .send()
            .expect_status(200);
    }
    for backend in &backends {
        assert_eq!(backend.requests().len(), 3);
    }
}

/// H11: the address that does not answer costs a second attempt, not the request, also when it
/// must not be sent twice: nothing of it was sent.
#[test]
fn h11_the_second_address_is_used_when_the_first_is_down() {
    let (world, backend) = (World::new(), Backend::start());
    let [down] = free_addresses();
    let gateway = gateway(&world, &[down, backend.address()], Table::new()).start();
    let alice = world.client("alice");
    for _ in 0..3 {
        let get = gateway.curl("/").certificate(&alice);
        let post = gateway.curl("/").certificate(&alice).body("once");
        get.send().expect_status(200);
        post.send().expect_status(200);
    }
    let requests = backend.requests();
    assert_eq!(requests.len(), 6);
    for request in &requests {
        assert_eq!(verify(request, &secret("echo")), Ok(()));
    }
    // The control: it was tried.
    assert!(gateway.metric("keyferry_upstream_failures_total{backend=\"echo\"}") >= 1.0);
}

/// H11: what is sent again is signed again, with a nonce of its own, and never more than twice.
#[test]
fn h11_a_retry_is_signed_anew() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    // One after the other in one thread of the gateway: the connection is open from now on, and the
    // backend closes it in the face of the next request.
    let paths = ["/", "/drop?times=1"];
    let answers =
        Curl::send_on_one_connection(paths.map(|path| gateway.curl(path).certificate(&alice)));
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{answers:?}"
    );
    let [_, first, second] = &backend.requests()[..] else {
        panic!("{:#?}", backend.requests());
    };
    assert_ne!(first.connection, second.connection);
    assert_ne!(nonce(first), nonce(second));
    for request in [first, second] {
        assert_eq!(verify(request, &secret("echo")), Ok(()));
    }
    for name in ["x-request-id", "x-key-id", "x-client-id"] {
        assert_eq!(first.header(name), second.header(name));
    }
}

/// H11: the second attempt goes to another address, where it is as good as the first.
#[test]
fn h11_a_retry_goes_to_the_second_address() {
    let world = World::new();
    let (one, other) = (Backend::start(), Backend::start());
    let addresses = [one.address(), other.address()];
    let gateway = gateway(&world, &addresses, Table::new()).start();
    let alice = world.client("alice");
    // Only the first backend drops a request of the gateway's; by then a connection to each is open.
    let direct = format!("http://{}/drop?times=1", other.address());
    assert_eq!(Curl::get(&direct).send().status, 0);
    let paths = ["/", "/", "/drop?times=1", "/drop?times=1"];
    let answers =
        Curl::send_on_one_connection(paths.map(|path| gateway.curl(path).certificate(&alice)));
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{answers:?}"
    );
    let (dropped, repeated) = (one.requests(), other.requests());
    let pairs: Vec<_> = dropped
        .iter()
        .flat_map(|first| repeated.iter().map(move |second| (first, second)))
        .filter(|(first, second)| first.all("x-request-id") == second.all("x-request-id"))
        .collect();
    let [(first, second)] = pairs[..] else {
        panic!("{pairs:#?}");
    };
    assert_ne!(nonce(first), nonce(second));
    assert_eq!(verify(first, &secret("echo")), Ok(()));
    assert_eq!(verify(second, &secret("echo")), Ok(()));
    assert_eq!(first.header("host"), second.header("host"));
}

/// H11: what may have had an effect is not sent again (RFC 9110 section 9.2.2).
#[test]
fn h11_a_request_that_may_have_had_an_effect_is_not_sent_again() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    for (times, body) in [(1, "once"), (2, "")] {
        let post = gateway
            .curl(&format!("/drop?times={times}"))
            .certificate(&alice);
        let post = post.method("POST").body(body);
        post.send().expect_refusal(503, "backend_unavailable");
    }
    assert_eq!(backend.requests().len(), 3);
}

/// H11: nor is anything sent a third time, and the client is told.
#[test]
fn h11_a_backend_that_drops_everything_is_unavailable() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    let answer = gateway.curl("/drop?times=9").certificate(&alice).send();
    let answer = answer.expect_refusal(503, "backend_unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert!(backend.requests().len() <= 3);
}

/// An address that fails its check is not asked any more; its requests cost no second attempt.
#[test]
fn an_address_that_is_down_is_passed_over() {
    let (world, backend) = (World::new(), Backend::start());
    let [down] = free_addresses();
    let settings = toml::toml! { health_check = { interval = "100ms" } };
    let gateway = gateway(&world, &[down, backend.address()], settings).start();
    let alice = world.client("alice");
    let failures = || gateway.metric("keyferry_upstream_failures_total{backend=\"echo\"}");
    let send = || {
        gateway
            .curl("/")
            .certificate(&alice)
            .send()
            .expect_status(200)
    };
    wait_for("the check to find it down", || {
        let before = failures();
        for _ in 0..4 {
            send();
        }
        (failures() <= before).then_some(())
    });
}

/// An address that answers its check with anything but 200 is not asked, and where none is left
/// the client is told at once.
#[test]
fn a_backend_without_a_healthy_address_is_unavailable() {
    let (world, backend) = (World::new(), Backend::start());
    let settings = toml::toml! { health_check = { path = "/status/503", interval = "100ms" } };
    let gateway = gateway(&world, &[backend.address()], settings).start();
    let alice = world.client("alice");
    let refused = wait_for("the check to fail", || {
        let answer = gateway.curl("/").certificate(&alice).send();
        (answer.status != 200).then_some(answer)
    });
    refused.expect_refusal(503, "backend_unavailable");
    let check = backend
        .requests()
        .into_iter()
        .find(|r| r.target == "/status/503");
    let check = check.expect("the check itself");
    assert!(check.all("x-key-id").is_empty());
}

/// Connections to backends are used again, and each request on one carries its own identity. So it is
/// by the plain exchange, and for what asks for another protocol than WebSocket.
#[test]
fn connections_to_a_backend_are_used_again() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let clients = ["alice", "bob"].map(|name| world.client(name));
    let keys = clients.map(|client| gateway.claim_key(&client));
    let plain: &[&str] = &[];
    for headers in [plain, &["Connection: Upgrade", "Upgrade: foo"]] {
        let before = backend.requests().len();
        let asks = (0..16).map(|turn| {
            let ask = gateway.curl("/").http1().key(&keys[turn % 2]);
            headers.iter().fold(ask, |ask, line| ask.header(line))
        });
        // On one connection, and so in one thread of the gateway, each of which has its own.
        let answers = Curl::send_on_one_connection(asks);
        assert!(answers.iter().all(|answer| answer.status == 200));
        let requests = backend.requests().split_off(before);
        let connections: std::collections::HashSet<_> =
            requests.iter().map(|request| request.connection).collect();
        assert_eq!((requests.len(), connections.len()), (16, 1), "{headers:?}");
        for (turn, request) in requests.iter().enumerate() {
            let whose = ["alice", "bob"][turn % 2];
            assert!(request.header("x-client-id").starts_with(whose));
        }
    }
}

/// The backend over TLS: the gateway shows its certificate, and takes only the one server that it
/// was told of.
#[test]
fn a_backend_over_tls_is_the_one_it_was_told_of() {
    let world = World::new();
    let own = leaf("gateway-itself").signed_by(&world.clients);
    let stranger = root("Somebody Else's Root").self_signed();
    let behind = server("orders.internal").signed_by(&world.servers);
    let pem = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let backend = Backend::start_tls(&BackendTls {
        chain: pem(behind.chain_pem()),
        key: pem(behind.key_pem()),
        client_ca: Some(pem(world.clients.pem())),
    });
    let start = |ca: &str, name: &str, shows: bool| {
        let mut tls = Table::new();
        tls.insert("ca_file".to_owned(), ca.into());
        tls.insert("server_name".to_owned(), name.into());
        if shows {
            tls.insert("certificate_file".to_owned(), "own.pem".into());
            tls.insert("key_file".to_owned(), "own.key".into());
        }
        let mut settings = Table::new();
        settings.insert("tls".to_owned(), Value::Table(tls));
        gateway(&world, &[backend.address()], settings)
            .file("servers.pem", world.servers.pem())
            .file("stranger.pem", stranger.pem())
            .file("own.pem", own.chain_pem())
            .file("own.key", own.key_pem())
            .start()
    };
    let alice = world.client("alice");

    let good = start("servers.pem", "orders.internal", true);
    good.curl("/").certificate(&alice).send().expect_status(200);
    let request = backend.last();
    assert_eq!(request.peer.as_deref(), Some("gateway-itself"));
    // The client's host and its identity stay; the TLS name is between the two servers.
    assert!(request.header("host").starts_with(HOST));
    assert_eq!(verify(&request, &secret("echo")), Ok(()));

    for (ca, name, shows) in [
        ("servers.pem", "other.internal", true),
        ("servers.pem", "internal", true),
        ("stranger.pem", "orders.internal", true),
        ("servers.pem", "orders.internal", false),
    ] {
        let bad = start(ca, name, shows);
        let answer = bad.curl("/").certificate(&alice).send();
        answer.expect_refusal(503, "backend_unavailable");
        assert_eq!(backend.requests().len(), 1, "{ca} {name} {shows}");
    }
}

/// A backend that is silent for too long is given up, and the request is not repeated.
#[test]
fn a_silent_backend_is_given_up() {
    let (world, backend) = (World::new(), Backend::start());
    let settings = toml::toml! { read_timeout = "300ms" };
    let gateway = gateway(&world, &[backend.address()], settings).start();
    let alice = world.client("alice");
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    let started = clock::monotonic();
    let answer = gateway.curl("/slow").certificate(&alice).send();
    answer.expect_refusal(503, "backend_unavailable");
    assert!(started.elapsed().as_millis() >= 300);
    assert_eq!(backend.requests().len(), 2);
    // The control: in time it is answered.
    backend.proceed();
    backend.proceed();
    gateway
        .curl("/slow")
        .certificate(&alice)
        .send()
        .expect_status(200);
}

/// A backend that takes the connection and no more is given up too.
#[test]
fn a_backend_that_never_finishes_its_handshake_is_given_up() {
    let world = World::new();
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = toml::toml! {
        connect_timeout = "300ms"
        tls = { ca_file = "servers.pem", server_name = "orders.internal" }
    };
    let gateway = gateway(&world, &[deaf.local_addr().unwrap()], settings)
        .file("servers.pem", world.servers.pem())
        .start();
    let answer = gateway.curl("/").certificate(&world.client("alice")).send();
    answer.expect_refusal(503, "backend_unavailable");
}

/// What a backend answers is passed on, also when it is an error of its own.
#[test]
fn the_answers_of_a_backend_stay_as_they_are() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    for status in [201, 204, 302, 304, 400, 401, 404, 418, 500, 503] {
        let answer = gateway
            .curl(&format!("/status/{status}"))
            .certificate(&alice)
            .send();
        let answer = answer.expect_status(status);
        assert!(answer.all("www-authenticate").is_empty());
    }
}

/// H11: a backend over HTTP/2 sees the client's authority, signed.
#[test]
fn h11_over_http2_the_authority_is_the_one_that_was_signed() {
    let world = World::new();
    let server = Server::start("grpc_server.py");
    let settings = toml::toml! { protocol = "http2" };
    let gateway = gateway(&world, &[server.address()], settings).start();
    let alice = world.client("alice");
    let answer = run(
        "grpc_client.py",
        &json!({
            "address": gateway.address(), "host": HOST, "authority": world.authority,
            "certificate": alice.chain, "key": alice.key,
            "metadata": [["x-key-id", "forged-value"], ["app-key-id", "kept-value"]],
            "method": "Unary", "messages": ["one"],
        }),
    );
    assert_eq!(answer["code"], "OK", "{answer:#}");
    let seen = answer["initial"].to_string();
    assert!(
        seen.contains("kept-value") && !seen.contains("forged-value"),
        "{seen}"
    );
}
