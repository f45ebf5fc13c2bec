//! The endpoint of `keyferry verify --answer`, behind real proxies that ask it, with the configurations
//! of `conf/verify`, before a backend that believes everything.

use crate::support::asking::{Asking, Setup};
use crate::support::backend::{Backend, Recorded};
use crate::support::gateway::{Gateway, secret};
use crate::support::verify::{Verify, bytes, send};
use crate::support::world::{Identity, World};

/// A proxy that asks, between a gateway and a backend. What the gateway sends to `/tapped` never
/// reaches the proxy, and is in the hands of whoever listens there.
struct Scene {
    kind: &'static str,
    backend: Backend,
    tap: Backend,
    verify: Verify,
    proxy: Asking,
    gateway: Gateway,
    alice: Identity,
    // With the files of her certificate.
    _world: World,
}

impl Scene {
    fn start(kind: &'static str, form: &str) -> Self {
        let (world, backend, tap) = (World::new(), Backend::start(), Backend::start());
        let secrets = [("echo", &*secret("echo")), ("tap", &*secret("tap"))];
        let verify = Verify::answering(form, &secrets);
        let proxy = Asking::start(kind, verify.address(), backend.address());
        let gateway = Gateway::builder(&world)
            .backend("tap", tap.address())
            .backend("echo", proxy.address)
            .route("/", "echo", "either")
            .route("/tapped", "tap", "either")
            .start();
        Self {
            alice: world.client("alice"),
            kind,
            backend,
            tap,
            verify,
            proxy,
            gateway,
            _world: world,
        }
    }

    /// A request that the gateway has just signed, changed in this way.
    fn tapped(&self, change: impl FnOnce(&mut Recorded)) -> Recorded {
        let curl = self.gateway.curl("/tapped/a?b=c").certificate(&self.alice);
        curl.send().expect_status(200);
        let mut request = self.tap.last();
        change(&mut request);
        request
    }

    fn status(&self, request: &[u8]) -> u16 {
        let before = self.backend.requests().len();
        let status = send(self.proxy.address, request).status;
        let arrived = self.backend.requests().len() > before;
        assert_eq!(arrived, status == 200, "{}: {status}", self.kind);
        status
    }

    /// It is refused, and the backend alone would have believed it.
    fn is_refused(&self, what: &str, request: &[u8]) {
        let control = send(self.backend.address(), request).status;
        assert_eq!(control, 200, "{what}: the control");
        let status = self.status(request);
        assert!(
            (400..=403).contains(&status),
            "{}, {what}: {status}",
            self.kind
        );
    }
}

/// By certificate and by key, with a body that the verifier never sees.
fn what_is_good_passes(scene: &Scene) {
    let path = "/v1/orders?limit=10&a=%20b";
    let by_certificate = scene.gateway.curl(path).certificate(&scene.alice);
    by_certificate.send().expect_status(200);
    let first = scene.backend.last();
    let key = scene.gateway.claim_key(&scene.alice);
    let by_key = scene.gateway.curl("/v1/orders").key(&key);
    by_key.method("PUT").body("hello").send().expect_status(200);
    let second = scene.backend.last();
    assert_eq!(
        (first.target.as_str(), second.body.as_str()),
        (path, "hello")
    );
    for name in ["x-key-id", "x-client-id"] {
        assert_eq!(first.header(name), second.header(name));
    }
    for name in ["signature", "signature-input"] {
        assert!(first.all(name).is_empty());
    }
}

fn what_is_changed_is_refused(scene: &Scene) {
    let good = bytes(&scene.tapped(|_| ()), "");
    assert_eq!(scene.status(&good), 200, "{}", scene.kind);
    scene.is_refused("replayed", &good);
    let forged = "GET / HTTP/1.1\r\nHost: x\r\nX-Client-Id: admin\r\nX-Key-Id: admin\r\nConnection: close\r\n\r\n";
    scene.is_refused("forged", forged.as_bytes());
    let path = scene.tapped(|it| "/tapped/b?b=c".clone_into(&mut it.target));
    scene.is_refused("another path", &bytes(&path, ""));
    let query = scene.tapped(|it| "/tapped/a?b=d".clone_into(&mut it.target));
    scene.is_refused("another query", &bytes(&query, ""));
    let method = scene.tapped(|it| "DELETE".clone_into(&mut it.method));
    scene.is_refused("another method", &bytes(&method, ""));
    let client = bytes(&scene.tapped(|_| ()), "X-Client-Id: admin\r\n");
    scene.is_refused("a second client", &client);
    // What the proxy tells of the request, told by whoever sent it.
    for name in ["X-Original-URI", "X-Forwarded-Uri", "X-Rewrite-URL"] {
        let elsewhere = scene.tapped(|it| "/admin".clone_into(&mut it.target));
        let told = format!("{name}: /tapped/a?b=c\r\n");
        scene.is_refused(name, &bytes(&elsewhere, &told));
    }
}

/// nginx drops such names by itself; the others do not let them pass.
fn what_is_disguised_does_not_arrive(scene: &Scene) {
    let disguised = bytes(&scene.tapped(|_| ()), "X_Client_Id: admin\r\n");
    let before = scene.backend.requests().len();
    let status = send(scene.proxy.address, &disguised).status;
    let arrived = scene.backend.requests().split_off(before);
    assert!(arrived.iter().all(|it| it.all("x_client_id").is_empty()));
    assert_eq!(
        status == 200,
        scene.kind == "nginx",
        "{}: {status}",
        scene.kind
    );
}

fn try_out(kind: &'static str, form: &str) {
    let mut scene = Scene::start(kind, form);
    what_is_good_passes(&scene);
    what_is_changed_is_refused(&scene);
    what_is_disguised_does_not_arrive(&scene);
    // Without the verifier nothing passes.
    let request = bytes(&scene.tapped(|_| ()), "");
    scene.verify.stop();
    let status = scene.status(&request);
    assert!((400..=503).contains(&status), "{kind}: {status}");
}

#[test]
fn nginx_lets_through_what_the_verifier_vouches_for() {
    try_out("nginx", "original");
}

#[test]
fn haproxy_lets_through_what_the_verifier_vouches_for() {
    try_out("haproxy", "original");
}

#[test]
fn envoy_lets_through_what_the_verifier_vouches_for() {
    try_out("envoy", "request-line");
}

/// Traefik cannot be had here: its question, as its documentation has it.
#[test]
fn a_question_in_the_form_of_traefik_is_answered_once() {
    let (world, tap) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .backend("tap", tap.address())
        .route("/", "tap", "either")
        .start();
    let verify = Verify::answering("forwarded", &[("tap", &secret("tap"))]);
    let alice = world.client("alice");
    gateway
        .curl("/v1/a?b=c")
        .certificate(&alice)
        .method("PUT")
        .send()
        .expect_status(200);
    let mut question = tap.last();
    let host = question.header("host").to_owned();
    question
        .headers
        .retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
    question
        .headers
        .push(("Host".to_owned(), verify.address().to_string()));
    "GET".clone_into(&mut question.method);
    "/".clone_into(&mut question.target);
    let told = format!(
        "X-Forwarded-Method: PUT\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Uri: /v1/a?b=c\r\n\
         X-Forwarded-Server: traefik\r\nX-Forwarded-Port: 443\r\n"
    );
    let said = send(verify.address(), &bytes(&question, &told));
    assert_eq!(said.status, 200, "{}", said.text);
    let client = question.header("x-client-id");
    assert!(
        said.text.contains(&format!("x-client-id: {client}\r\n")),
        "{}",
        said.text
    );
    let said = send(verify.address(), &bytes(&question, &told));
    assert_eq!(
        (said.status, said.reason().as_str()),
        (401, "signature_replayed")
    );
}

/// What was verified is what the backend gets, in one form.
#[test]
fn h9_haproxy_passes_on_the_target_that_was_verified() {
    let scene = Scene::start("haproxy", "original");
    let absolute = || {
        let request = scene.tapped(|it| {
            it.target = format!("http://{}{}", it.header("host"), it.target);
        });
        bytes(&request, "")
    };
    let careless = Asking::run(&Setup {
        kind: "haproxy",
        conf: "verify",
        places: &[
            (8080, scene.backend.address()),
            (8081, scene.verify.address()),
        ],
        files: Vec::new(),
        without: &["set-uri"],
        instead: &[],
    });
    assert_eq!(send(careless.address, &absolute()).status, 200);
    assert!(scene.backend.last().target.starts_with("http://"));
    assert_eq!(scene.status(&absolute()), 200);
    assert_eq!(scene.backend.last().target, "/tapped/a?b=c");
}
