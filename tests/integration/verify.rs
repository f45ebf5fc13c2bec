//! `keyferry verify` between a real gateway and a backend that believes everything: what came through
//! the gateway reaches the backend, and nothing else does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use keyferry::verify::Refusal;
use serde_json::json;

use crate::support::backend::{Backend, Recorded};
use crate::support::curl::Curl;
use crate::support::gateway::{Gateway, secret};
use crate::support::process::program;
use crate::support::python::{Server, run};
use crate::support::verify::{Verify, send};
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

/// A backend, a verifier before it, and a gateway that signs for both: what it sends to `/tapped/`
/// never reaches the verifier, and is in the hands of whoever listens there.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) backend: Backend,
    pub(super) tap: Backend,
    pub(super) verify: Verify,
    pub(super) gateway: Gateway,
    pub(super) alice: Identity,
}

impl Scene {
    pub(super) fn new(options: &[&str]) -> Self {
        Self::with(&[("echo", &secret("echo"))], options)
    }

    /// The tap has a secret of its own. This verifier knows it, too, and takes what was tapped.
    pub(super) fn of_the_tap(options: &[&str]) -> Self {
        let secrets = [("echo", &*secret("echo")), ("tap", &*secret("tap"))];
        Self::with(&secrets, options)
    }

    fn with(secrets: &[(&str, &[u8])], options: &[&str]) -> Self {
        let (world, backend, tap) = (World::new(), Backend::start(), Backend::start());
        let verify = Verify::before(backend.address(), secrets, options);
        let gateway = gateway(&world, &verify, &tap);
        Self {
            alice: world.client("alice"),
            world,
            backend,
            tap,
            verify,
            gateway,
        }
    }

    /// A request that the gateway has just signed, and nobody has verified yet.
    pub(super) fn tapped(&self, path: &str, body: &str, more: &[&str]) -> Recorded {
        let mut curl = self.gateway.curl(path).certificate(&self.alice);
        for line in more {
            curl = curl.header(line);
        }
        if !body.is_empty() {
            curl = curl.method("POST").body(body);
        }
        curl.send().expect_status(200);
        self.tap.last()
    }

    /// What the verifier says to it; whether the backend got it.
    pub(super) fn verified(&self, bytes: &[u8]) -> (u16, String, bool) {
        let before = self.backend.requests().len();
        let said = send(self.verify.address(), bytes);
        let arrived = self.backend.requests().len() > before;
        (said.status, said.reason(), arrived)
    }
}

/// `/tapped` goes to the tap, everything else to the verifier, and each has a secret of its own.
fn gateway(world: &World, verify: &Verify, tap: &Backend) -> Gateway {
    Gateway::builder(world)
        .backend("tap", tap.address())
        .backend("echo", verify.address())
        .route("/", "echo", "either")
        .route("/tapped", "tap", "either")
        .start()
}

#[test]
fn what_comes_through_the_gateway_reaches_the_backend_without_its_signature() {
    let scene = Scene::new(&[]);
    let by_certificate = scene.gateway.curl("/v1/orders?limit=10&a=%20b");
    let id = "X-Request-Id: order-66";
    by_certificate
        .certificate(&scene.alice)
        .header(id)
        .send()
        .expect_status(200);
    let first = scene.backend.last();
    assert_eq!(first.target, "/v1/orders?limit=10&a=%20b");
    assert!(first.header("host").starts_with(HOST));
    assert_eq!(first.header("x-request-id"), "order-66");
    assert_eq!(first.header("x-forwarded-proto"), "https");

    let key = scene.gateway.claim_key(&scene.alice);
    let by_key = scene.gateway.curl("/v1/orders").key(&key);
    by_key.method("PUT").body("hello").send().expect_status(200);
    let second = scene.backend.last();
    assert_eq!(
        (second.method.as_str(), second.body.as_str()),
        ("PUT", "hello")
    );
    for name in ["x-key-id", "x-client-id"] {
        assert_eq!(first.header(name), second.header(name));
    }
    for request in [first, second] {
        assert!(request.all("signature").is_empty() && request.all("signature-input").is_empty());
    }
    let passed = r#"keyferry_verify_passed_total{secret="echo"}"#;
    assert!((scene.verify.metric(passed) - 2.0).abs() < 0.5);
}

/// What is remembered has a bound; what cannot be remembered is refused.
#[test]
fn what_is_remembered_is_bounded() {
    let scene = Scene::new(&["--remember", "5"]);
    let ask = || {
        scene
            .gateway
            .curl("/")
            .certificate(&scene.alice)
            .send()
            .status
    };
    assert_eq!([(); 7].map(|()| ask()), [200, 200, 200, 200, 200, 503, 503]);
    let remembered = scene.verify.metric("keyferry_verify_signatures_remembered");
    assert!((remembered - 5.0).abs() < 0.5, "{remembered}");
}

/// S9: a new secret, then the old one away, three times, and no request of the gateway's fails.
#[test]
fn s9_secrets_are_swapped_without_a_restart() {
    let scene = Scene::new(&[]);
    let ask = || {
        scene
            .gateway
            .curl("/")
            .certificate(&scene.alice)
            .send()
            .status
    };
    let mut before = ("echo".to_owned(), secret("echo"));
    for turn in 0..3 {
        let name = format!("echo-{turn}");
        let new = format!("the secret of turn {turn}, of at least 32 bytes").into_bytes();
        scene.verify.swap(&[(&before.0, &before.1), (&name, &new)]);
        wait_for("the verifier to know the new one", || {
            scene
                .verify
                .log()
                .contains(&format!(", {name}\""))
                .then_some(())
        });
        let file = format!("{name}.secret");
        let text = String::from_utf8(new.clone()).unwrap();
        scene.gateway.deploy(
            |config| {
                let backends = config["backend"].as_array_mut().unwrap();
                let echo = backends
                    .iter_mut()
                    .find(|it| it["name"].as_str() == Some("echo"));
                let signing = echo.unwrap()["signing"].as_table_mut().unwrap();
                signing.insert("key_id".to_owned(), name.clone().into());
                signing.insert("secret_file".to_owned(), file.clone().into());
            },
            &[(&file, &text)],
        );
        let with_it = format!("keyferry_verify_passed_total{{secret=\"{name}\"}}");
        wait_for("the gateway to use it", || {
            assert_eq!(ask(), 200);
            scene.verify.metrics().contains(&with_it).then_some(())
        });
        scene.verify.swap(&[(&name, &new)]);
        wait_for("the verifier to forget the old one", || {
            scene
                .verify
                .log()
                .contains(&format!("\"keys\":\"{name}\""))
                .then_some(())
        });
        assert_eq!(ask(), 200);
        before = (name, new);
    }
    // What cannot be used changes nothing, and is told.
    scene.verify.swap(&[("short", b"short")]);
    wait_for("the verifier to tell", || {
        (scene.verify.metric("keyferry_verify_secrets_current") < 0.5).then_some(())
    });
    assert_eq!(ask(), 200);
}

/// S11: the upgrade is verified; then the frames pass.
#[test]
fn s11_a_websocket_goes_through() {
    let (world, tap) = (World::new(), Backend::start());
    let server = Server::start("websocket_server.py");
    let verify = Verify::before(server.address(), &[("echo", &secret("echo"))], &[]);
    let gateway = gateway(&world, &verify, &tap);
    let alice = world.client("alice");
    let messages = json!(["one", "two", "x".repeat(100_000)]);
    let answer = run(
        "websocket_client.py",
        &json!({
            "address": gateway.address(), "host": HOST, "path": "/live?from=1",
            "authority": world.authority, "certificate": alice.chain, "key": alice.key,
            "headers": [], "messages": messages,
        }),
    );
    assert_eq!(answer["messages"], messages, "{answer:#}");
    let greeting = answer["greeting"].to_string().to_lowercase();
    assert!(
        greeting.contains("x-client-id") && !greeting.contains("signature"),
        "{greeting}"
    );
    let unsigned = format!(
        "GET /live HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut stream = TcpStream::connect(verify.address()).unwrap();
    stream.write_all(unsigned.as_bytes()).unwrap();
    let mut said = [0; 12];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 401");
}

/// A health check needs no signature, and brings no identity.
#[test]
fn an_open_path_is_open_to_whoever_claims_nothing() {
    let scene = Scene::new(&["--open", "/healthz"]);
    let plain = |path: &str, more: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}Connection: close\r\n\r\n");
        scene.verified(head.as_bytes())
    };
    assert_eq!(plain("/healthz", ""), (200, String::new(), true));
    assert_eq!(
        plain("/healthz", "X-Client-Cert: admin\r\n"),
        (200, String::new(), true)
    );
    assert!(scene.backend.last().all("x-client-cert").is_empty());
    for (path, more) in [
        ("/healthz", "X-Client-Id: admin\r\n"),
        ("/healthz", "X_Client_Id: admin\r\n"),
        ("/healthz/../v1", ""),
        ("/healthz%2f..%2fv1", ""),
        ("/v1", ""),
    ] {
        let (status, reason, arrived) = plain(path, more);
        assert!(
            status >= 400 && !reason.is_empty() && !arrived,
            "{path} {more}"
        );
    }
}

/// What is under way when it is told to end ends well, and nothing new is taken.
#[test]
fn a_request_under_way_at_the_end_ends_well() {
    let mut scene = Scene::new(&[]);
    let slow = scene.gateway.curl("/slow").certificate(&scene.alice);
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| slow.send());
        scene.backend.wait_for_requests(1);
        scene.verify.ask_to_end();
        wait_for("it to take no more", || {
            TcpStream::connect(scene.verify.address())
                .is_err()
                .then_some(())
        });
        scene.backend.proceed();
        answer.join().unwrap()
    });
    assert_eq!((answer.status, answer.error.as_str()), (200, ""));
    assert!(wait_for("its end", || scene.verify.ended()).success());
}

/// A refusal is found in the log by the id that the client was told.
#[test]
fn a_refusal_says_what_to_do_and_is_found_in_the_log() {
    let scene = Scene::new(&[]);
    let head = "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: here-i-am\r\nConnection: close\r\n\r\n";
    let said = send(scene.verify.address(), head.as_bytes());
    let (head, body) = said.text.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("www-authenticate: signature"));
    let document: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(document["status"], 401);
    assert_eq!(document["request_id"], "here-i-am");
    assert!(
        document["next_step"]
            .as_str()
            .unwrap()
            .contains("through the gateway")
    );
    let line = wait_for("the line", || scene.verify.refusals().pop());
    assert_eq!(
        (&line["request_id"], &line["reason"]),
        (&json!("here-i-am"), &json!("signature_missing"))
    );
    let refused = r#"keyferry_verify_refused_total{reason="signature_missing"}"#;
    assert!((scene.verify.metric(refused) - 1.0).abs() < 0.5);
    assert!(scene.world.authority.exists() && scene.verify.health("/livez") == 200);
}

/// A health check of the gateway's and its doctor, from the other side.
#[test]
fn the_gateways_doctor_sees_that_strangers_are_refused() {
    let scene = Scene::new(&["--open", "/healthz"]);
    let told = scene.gateway.cli(&["doctor", "--output", "json"]).json();
    let findings = told["findings"].as_array().unwrap();
    for check in ["backend_unsigned", "backend_forged"] {
        let of_it = |one: &&serde_json::Value| {
            let subject = one["subject"].as_str().unwrap_or_default();
            one["check"] == check && subject.starts_with("echo at")
        };
        let found = findings.iter().find(of_it).expect(check);
        assert_eq!(found["outcome"], "ok", "{found:#}");
    }
}

#[test]
fn a_unix_socket_serves_as_well() {
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("verify.sock");
    let place = format!("unix:{}", socket.display());
    let _scene = Scene::new(&["--listen", &place, "--open", "/healthz"]);
    let ask = |path: &str| {
        let curl = Curl::get(&format!("http://backend{path}")).option("--unix-socket");
        curl.option(&socket.to_string_lossy()).send().status
    };
    assert_eq!((ask("/healthz"), ask("/v1")), (200, 401));
}

/// Who takes his time is cut off, and there is room for so many and no more.
#[test]
fn nobody_holds_connections_for_ever_or_all_of_them() {
    let scene = Scene::new(&["--connections", "3"]);
    let open = || {
        let mut stream = TcpStream::connect(scene.verify.address()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
        stream
    };
    let mut held = [open(), open(), open()];
    wait_for("three", || {
        (scene.verify.metric("keyferry_verify_connections ") > 2.5).then_some(())
    });
    let mut fourth = open();
    assert!(!matches!(fourth.read(&mut [0]), Ok(1..)));
    let rejected = scene
        .verify
        .metric("keyferry_verify_connections_rejected_total ");
    assert!((rejected - 1.0).abs() < 0.5);
    for stream in &mut held {
        assert!(
            !matches!(stream.read(&mut [0]), Ok(1..)),
            "the rest of the head never came"
        );
    }
    wait_for("room", || {
        (scene.verify.metric("keyferry_verify_connections ") < 0.5).then_some(())
    });
}

/// Command lines behind `--listen`, in a folder with these files; the status, and what is told.
const CANNOT_START: [(&str, i32, &str); 10] = [
    ("127.0.0.1:0 --backend a:1", 64, "--secret"),
    ("127.0.0.1:0 --secret a=good", 64, "--backend"),
    (
        "127.0.0.1:0 --secret a=good --backend http://a:1/",
        64,
        "HOST:PORT",
    ),
    (
        "127.0.0.1:0 --secret a=good --backend a:1 --answer original",
        64,
        "cannot be used with",
    ),
    ("8081 --secret a=good --backend a:1", 64, "IP:PORT"),
    (
        "127.0.0.1:0 --secrets empty --backend a:1",
        65,
        "there is no key",
    ),
    (
        "127.0.0.1:0 --secret a=short --backend a:1",
        65,
        "openssl rand",
    ),
    ("127.0.0.1:0 --secret a=open --backend a:1", 65, "chmod 600"),
    (
        "127.0.0.1:0 --secret a=gone --backend a:1",
        65,
        "gone cannot be read",
    ),
    (
        "127.0.0.1:0 --secret a=good --secret a=good --backend a:1",
        65,
        "two keys",
    ),
];

#[test]
fn what_cannot_be_started_says_why() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let whole = "0".repeat(64);
    for (name, contents, mode) in [
        ("good", whole.as_str(), 0o600),
        ("short", "short", 0o600),
        ("open", &whole, 0o644),
    ] {
        fs::write(path(name), contents).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(path("empty")).unwrap();
    for (line, status, told) in CANNOT_START {
        let mut program = program();
        program
            .current_dir(folder.path())
            .args(["verify", "--listen"]);
        let output = program.args(line.split(' ')).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{line}: {errors}");
        assert!(errors.contains(told), "{line}: {errors}");
    }
}

#[test]
fn every_reason_is_documented() {
    let page = fs::read_to_string("docs/VERIFY.md").unwrap();
    for reason in Refusal::REASONS {
        assert!(
            page.contains(&format!("\n| `{reason}` | ")),
            "docs/VERIFY.md lacks {reason}"
        );
    }
}
