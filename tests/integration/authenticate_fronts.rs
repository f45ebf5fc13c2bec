//! The gateway as an authenticator behind real proxies that ask it, with the configurations of
//! `conf/authenticate`, before a backend that believes everything (ATTACKS H1, H2, H7).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use keyferry::sign::header::RESERVED_PREFIXES;

use crate::support::asker::Fronts;
use crate::support::asking::{Asking, Setup, files};
use crate::support::backend::{Backend, Recorded};
use crate::support::curl::Curl;
use crate::support::gateway::{Builder, Gateway, secret};
use crate::support::pki::leaf;
use crate::support::signature::{verify, verify_in_python};
use crate::support::world::{Identity, World};

/// A gateway, a backend that it never calls, and the certificates of the fronts between.
pub(super) struct Scene {
    kind: &'static str,
    pub(super) world: World,
    pub(super) fronts: Fronts,
    pub(super) backend: Backend,
    pub(super) gateway: Gateway,
    pub(super) alice: Identity,
}

impl Scene {
    pub(super) fn new(kind: &'static str) -> Self {
        Self::like(kind, |gateway| gateway)
    }

    /// One whose gateway is set up so.
    pub(super) fn like(
        kind: &'static str,
        set_up: impl FnOnce(Builder<'_>) -> Builder<'_>,
    ) -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let fronts = Fronts::new(&world);
        let (format, form) = match kind {
            "nginx" => ("nginx", "original"),
            "haproxy" => ("rfc9440", "original"),
            _ => ("xfcc", "request-line"),
        };
        let gateway = set_up(fronts.gateway(&world, format, form));
        let gateway = gateway.backend("echo", backend.address());
        let gateway = gateway
            .route("/v1", "echo", "either")
            .route("/v1/proven", "echo", "certificate")
            .route("/open", "echo", "none")
            .start();
        Self {
            alice: world.client("alice"),
            kind,
            world,
            fronts,
            backend,
            gateway,
        }
    }

    /// The proxy, but for lines that hold one of these.
    pub(super) fn proxy(&self, without: &[&str]) -> Asking {
        self.proxy_before(self.backend.address(), without, &[])
    }

    /// The same before `backend`, with this in place of that.
    pub(super) fn proxy_before(
        &self,
        backend: SocketAddr,
        without: &[&str],
        instead: &[(&str, &str)],
    ) -> Asking {
        let mut all = vec![
            ("clients-ca.pem".to_owned(), self.world.clients.pem()),
            ("keyferry-ca.pem".to_owned(), self.world.servers.pem()),
        ];
        for (name, identity) in [
            ("server", &self.world.gateway),
            ("ask", &self.fronts.ask),
            ("edge", &self.fronts.edge),
        ] {
            all.extend(files(self.kind, name, identity));
        }
        let gateway = self.gateway.address();
        Asking::run(&Setup {
            kind: self.kind,
            conf: "authenticate",
            places: &[(8080, backend), (8443, gateway)],
            files: all,
            without,
            instead,
        })
    }

    /// What the backend gets of it.
    #[track_caller]
    pub(super) fn arrives(&self, ask: Curl) -> Recorded {
        self.backend.forget();
        ask.send().expect_status(200);
        let mut requests = self.backend.requests();
        assert_eq!(requests.len(), 1, "{}", self.kind);
        requests.pop().expect("one request")
    }
}

/// By certificate and by key, with a body that the gateway never sees: one identity, which the backend can
/// check as if the gateway had forwarded.
fn the_same_client_arrives(scene: &Scene, proxy: &Asking, key: &str) {
    let path = "/v1/orders?limit=10&a=%20b";
    let curl = || proxy.curl(&scene.world, path);
    let by_certificate = scene.arrives(curl().certificate(&scene.alice));
    assert_eq!(by_certificate.target, path);
    assert_eq!(
        verify(&by_certificate, &secret("echo")),
        Ok(()),
        "{}",
        scene.kind
    );
    let bearer = format!("Authorization: Bearer {key}");
    let mut seen = vec![by_certificate];
    for (http, line) in [
        (Curl::http1 as fn(Curl) -> Curl, format!("X-API-Key: {key}")),
        (Curl::http2, bearer),
    ] {
        let ask = http(curl().header(&line)).method("PUT").body("hello");
        let by_key = scene.arrives(ask);
        assert_eq!(
            (by_key.method.as_str(), by_key.body.as_str()),
            ("PUT", "hello")
        );
        assert_eq!(verify(&by_key, &secret("echo")), Ok(()), "{}", scene.kind);
        assert!(!String::from_utf8_lossy(&by_key.head).contains("kf_live_"));
        seen.push(by_key);
    }
    let head = scene.arrives(curl().key(key).head());
    assert_eq!(verify(&head, &secret("echo")), Ok(()), "{}", scene.kind);
    assert_eq!(head.method, "HEAD");
    seen.push(head);
    let directly = scene.gateway.curl(path).certificate(&scene.alice);
    seen.push(scene.arrives(directly));
    for name in ["x-key-id", "x-client-id"] {
        assert!(
            seen.iter()
                .all(|it| it.header(name) == seen[0].header(name)),
            "{name}"
        );
    }
    verify_in_python(&seen[1], &secret("echo")).expect("another verifier");
    let application = curl()
        .certificate(&scene.alice)
        .header("Authorization: Bearer x.y");
    assert_eq!(
        scene.arrives(application).header("authorization"),
        "Bearer x.y"
    );
}

/// H1, H2: of what a client says of itself, nothing arrives, with and without an identity.
fn what_is_forged_is_gone(scene: &Scene, proxy: &Asking) {
    let forge = |ask: Curl| {
        [
            "X-Key-Id: admin",
            "X-Client-Id: admin",
            "X-Key-Scopes: admin",
            "Signature: gw=:AAAA:",
            "Signature-Input: gw=()",
            "x_client_id: admin",
            "Client-Cert: :AAAA:",
            "Remote-User: admin",
            "X-SSL-Client-Cert: admin",
            "X-Forwarded-Client-Cert: Hash=admin",
            "X-Real-IP: admin",
            "X-HTTP-Method-Override: DELETE",
            "X-Forwarded-Host: admin",
        ]
        .iter()
        .fold(ask, |ask, line| ask.header(line))
    };
    // The control: without the lines that set or remove it.
    for (kind, line) in [
        ("nginx", "proxy_set_header X-Client-Id"),
        ("haproxy", "req_del_header"),
    ] {
        if kind == scene.kind {
            let careless = scene.proxy(&[line]);
            let arrived = scene.arrives(forge(careless.curl(&scene.world, "/open")));
            assert_eq!(arrived.header("x-client-id"), "admin");
        }
    }
    for (path, client) in [("/v1/a", Some(&scene.alice)), ("/open", None)] {
        let ask = proxy.curl(&scene.world, path);
        let ask = client.into_iter().fold(ask, Curl::certificate);
        let arrived = scene.arrives(forge(ask));
        let head = String::from_utf8_lossy(&arrived.head).to_lowercase();
        for word in ["admin", "x_client_id", "client-cert", "method-override"] {
            assert!(!head.contains(word), "{}, {word}: {head}", scene.kind);
        }
        let identified = usize::from(client.is_some());
        for name in ["x-key-id", "x-client-id", "signature", "signature-input"] {
            assert_eq!(
                arrived.all(name).len(),
                identified,
                "{}, {name}",
                scene.kind
            );
        }
    }
}

/// What no list of whole names has, of an identity and of keys.
pub(super) fn unlisted(key: &str) -> Vec<String> {
    let beginnings = RESERVED_PREFIXES.iter();
    let identities = beginnings.map(|beginning| format!("{beginning}verify: admin"));
    let keys = ["Cookie: a=b; s=", "X-Token: ", "Referer: /?key="];
    identities
        .chain(keys.map(|name| format!("{name}{key}")))
        .collect()
}

/// H1, H7: none of these arrives. nginx cannot take them away, and refuses.
pub(super) fn goes_no_further(scene: &Scene, proxy: &Asking, lines: &[String]) {
    for line in lines {
        scene.backend.forget();
        let ask = proxy.curl(&scene.world, "/open").header(line);
        let status = ask.send().status;
        let arrived = scene.backend.requests();
        let heads: String = arrived
            .iter()
            .map(|it| String::from_utf8_lossy(&it.head))
            .collect();
        assert!(
            !heads.contains("admin") && !heads.contains("kf_live_"),
            "{}, {line}: {heads}",
            scene.kind
        );
        let expected = if scene.kind == "nginx" {
            (400, 0)
        } else {
            (200, 1)
        };
        assert_eq!((status, arrived.len()), expected, "{}, {line}", scene.kind);
    }
}

/// As the gateway says it, whatever the proxy makes of a no by itself.
fn a_refusal_is_passed_on(scene: &Scene, proxy: &Asking, key: &str) {
    let curl = |path: &str| proxy.curl(&scene.world, path);
    let bob = scene.world.client("bob");
    scene.arrives(curl("/v1/a").certificate(&bob));
    scene.backend.forget();
    let none = curl("/v1/a")
        .send()
        .expect_refusal(401, "credential_missing");
    assert!(none.all("x-refusal-document").is_empty(), "{}", scene.kind);
    let bad = format!("kf_live_{}", "a".repeat(20));
    curl("/v1/a")
        .key(&bad)
        .send()
        .expect_refusal(401, "key_malformed");
    let proven = curl("/v1/proven/a").key(key).send();
    proven.expect_refusal(401, "credential_missing");
    let both = curl("/v1/a").key(key).certificate(&bob).send();
    both.expect_refusal(403, "credential_conflict");
    // nginx and others know no such answer to a question.
    curl("/v3")
        .key(key)
        .send()
        .expect_refusal(404, "route_not_found");
    if scene.kind != "nginx" {
        // nginx itself refuses these, whatever it is told.
        let late = scene.world.client_like(leaf("late").dates(-86_400, -60));
        let refused = curl("/v1/a").certificate(&late).send();
        refused.expect_refusal(401, "certificate_expired");
    }
    let id = scene
        .gateway
        .curl("/.well-known/keyferry/whoami")
        .key(key)
        .send();
    let id = id.json()["key_id"].as_str().expect("a key id").to_owned();
    scene.gateway.cli(&["key", "revoke", &id]).expect_success();
    curl("/v1/a")
        .key(key)
        .send()
        .expect_refusal(401, "key_invalid");
    assert_eq!(scene.backend.requests().len(), 0, "{}", scene.kind);
}

/// After refusals, too: each connection costs a whole handshake.
fn questions_share_a_connection(scene: &Scene) {
    let lines = scene.gateway.lines().into_iter();
    let questions = lines.filter(|line| line["question"] == true && line["front"] == "ask");
    let from: Vec<_> = questions.map(|line| line["peer"].to_string()).collect();
    let different: BTreeSet<_> = from.iter().collect();
    // Envoy may open another while one is busy.
    assert!(
        from.len() >= 3 && different.len() <= 2,
        "{}: {from:?}",
        scene.kind
    );
}

/// The clients' own calls come by the other front, and nobody asks through it.
fn own_calls_reach_the_gateway(scene: &Scene, proxy: &Asking) {
    let curl = |path: &str| proxy.curl(&scene.world, path).certificate(&scene.alice);
    let told = curl("/.well-known/keyferry/whoami")
        .send()
        .expect_status(200);
    assert_eq!(told.json()["assurance"], "asserted");
    let ask = curl("/.well-known/keyferry/authenticate")
        .header("X-Original-Method: GET")
        .header("X-Original-URI: /v1/a");
    ask.send().expect_refusal(403, "front_required");
    let disguised = curl("/.well-known/%6beyferry/whoami")
        .option("--path-as-is")
        .send();
    assert_eq!(
        disguised.status,
        400,
        "{}: {}",
        scene.kind,
        disguised.text()
    );
}

/// Certificates are announced to end, and clients behind the proxy hear of it.
fn notices_reach_the_client(scene: &Scene, proxy: &Asking) {
    let announce = ["phase", "announce", "--all", "--sunset", "2037-06-30"];
    scene.gateway.cli(&announce).expect_success();
    let carol = scene.world.client("carol");
    let answer = proxy.curl(&scene.world, "/v1/a").certificate(&carol).send();
    assert!(answer.status == 200 && !answer.header("sunset").is_empty());
    assert!(
        answer
            .all("link")
            .concat()
            .contains("/.well-known/keyferry/key")
    );
    assert_eq!(answer.all("deprecation").len(), 1);
    assert!(answer.all("signature").is_empty() && answer.all("x-key-id").is_empty());
}

fn try_out(kind: &'static str) {
    let mut scene = Scene::new(kind);
    let proxy = scene.proxy(&[]);
    let key = scene.gateway.claim_key(&scene.alice);
    the_same_client_arrives(&scene, &proxy, &key);
    questions_share_a_connection(&scene);
    own_calls_reach_the_gateway(&scene, &proxy);
    a_refusal_is_passed_on(&scene, &proxy, &key);
    questions_share_a_connection(&scene);
    what_is_forged_is_gone(&scene, &proxy);
    let mut lines = unlisted(&key);
    lines.push("X-Forwarded-User: admin".to_owned());
    goes_no_further(&scene, &proxy, &lines);
    notices_reach_the_client(&scene, &proxy);
    scene.gateway.kill();
    scene.backend.forget();
    let answer = proxy
        .curl(&scene.world, "/v1/a")
        .certificate(&scene.alice)
        .send();
    assert_eq!(answer.status, 503, "{kind}: {}", answer.text());
    assert_eq!(scene.backend.requests().len(), 0, "{kind}");
}

#[test]
fn nginx_lets_through_whom_the_gateway_knows() {
    try_out("nginx");
}

#[test]
fn haproxy_lets_through_whom_the_gateway_knows() {
    try_out("haproxy");
}

#[cfg_attr(not(target_arch = "x86_64"), ignore = "Envoy is a program for x86-64")]
#[test]
fn envoy_lets_through_whom_the_gateway_knows() {
    try_out("envoy");
}
