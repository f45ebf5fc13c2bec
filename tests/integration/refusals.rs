//! Every refusal that a client can cause, in full form (PROTOCOL 4, RFC 9457).

use std::collections::BTreeSet;

use keyferry::certificate::Fingerprint;
use keyferry::clock;
use keyferry::gateway::Code;
use keyferry::key::KeyId;
use openssl::hash::MessageDigest;

use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::free_addresses;
use crate::support::gateway::{Gateway, secret};
use crate::support::key::forged;
use crate::support::pki::{Issued, Kind, Spec, intermediate, leaf, root};
use crate::support::process::with_boringssl;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

const BASE: &str = "/.well-known/keyferry";

/// A request that is refused, made anew each time it is sent.
struct Case<'a> {
    status: u16,
    reason: &'static str,
    /// What the detail names.
    words: Words,
    ask: Box<dyn Fn() -> Curl + 'a>,
}

fn case<'a>(status: u16, reason: &'static str, ask: impl Fn() -> Curl + 'a) -> Case<'a> {
    Case {
        status,
        reason,
        words: &[],
        ask: Box::new(ask),
    }
}

/// The answer in JSON, with everything that is promised of every refusal.
#[track_caller]
fn expect_problem(gateway: &Gateway, case: &Case<'_>, answer: Answer) -> Answer {
    let answer = answer.expect_refusal(case.status, case.reason);
    let problem = answer.json();
    let text = |member: &str| problem[member].as_str().unwrap().to_owned();
    assert_eq!(answer.header("x-request-id"), text("request_id"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let line = gateway.access_line(&text("request_id"));
    assert_eq!(line["reason"], case.reason, "{line:#}");
    assert_eq!(line["status"], case.status, "{line:#}");
    assert!(text("detail").ends_with('.'), "a sentence: {problem:#}");
    for words in case.words {
        assert!(text("detail").contains(words), "{words}: {problem:#}");
    }
    let comes_again = [429, 503].contains(&case.status) || case.reason == "brownout";
    assert_eq!(!answer.all("retry-after").is_empty(), comes_again);
    assert!(answer.all("server").is_empty(), "{answer:#?}");
    answer
}

/// The page that `type` names says what the reason means.
#[track_caller]
fn expect_documentation(gateway: &Gateway, case: &Case<'_>, answer: &Answer) {
    let url = answer.json()["type"].as_str().unwrap().to_owned();
    let here = format!("https://{HOST}:{}", gateway.address().port());
    // Of a request that cannot be read it is not known for whom it is.
    let path = match url.strip_prefix(&here) {
        None if case.reason == "request_malformed" => &url,
        path => path.expect("an absolute URL"),
    };
    assert!(path.starts_with('/'), "{url}");
    let page = gateway.curl(path).send().expect_status(200);
    assert!(page.header("content-type").starts_with("text/markdown"));
    assert!(page.text().len() > 40, "{}: {}", case.reason, page.text());
}

/// For who prefers text there is text, with the same facts.
#[track_caller]
fn expect_text(gateway: &Gateway, case: &Case<'_>) {
    let answer = (case.ask)().header("Accept: text/plain").send();
    let answer = answer.expect_status(case.status);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.all("www-authenticate").is_empty(),
        case.status != 401
    );
    let text = answer.text();
    assert!(text.contains(case.reason), "{text}");
    assert!(text.contains(answer.header("x-request-id")), "{text}");
    assert!(text.contains("Next step: "), "{text}");
    gateway.access_line(answer.header("x-request-id"));
}

#[track_caller]
fn check(gateway: &Gateway, cases: &[Case<'_>]) {
    for case in cases {
        let answer = (case.ask)().send();
        let answer = expect_problem(gateway, case, answer);
        expect_documentation(gateway, case, &answer);
        expect_text(gateway, case);
    }
}

/// A gateway with a route for each rule, and clients that it knows.
struct Scene {
    world: World,
    backend: Backend,
    store: SharedStore,
    gateway: Gateway,
    alice: Identity,
    key: String,
}

impl Scene {
    fn new() -> Self {
        let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
        let [nobody] = free_addresses();
        let mut gone = toml::toml! {
            name = "gone"
            signing = { key_id = "test-2", secret_file = "gone.secret" }
        };
        gone.insert("addresses".to_owned(), vec![nobody.to_string()].into());
        let scoped = toml::toml! {
            name = "scoped" path = "/scoped" backend = "echo" accept = "either"
            scopes = ["orders:read"]
        };
        let gateway = Gateway::builder(&world)
            .redis(&store.url())
            .backend("echo", backend.address())
            .file("gone.secret", secret("gone"))
            .push("backend", gone)
            .route("/", "echo", "either")
            .route("/gone", "gone", "either")
            .route("/keys", "echo", "key")
            .route("/certificates", "echo", "certificate")
            .push("route", scoped)
            .start();
        let alice = world.client("alice");
        let key = gateway.claim_key(&alice);
        gateway.curl("/").key(&key).send().expect_status(200);
        Self {
            world,
            backend,
            store,
            gateway,
            alice,
            key,
        }
    }

    fn get(&self, path: &str) -> Curl {
        self.gateway.curl(path)
    }

    fn by_key(&self, path: &str) -> Curl {
        self.get(path).key(&self.key)
    }

    fn by_certificate(&self, path: &str) -> Curl {
        self.get(path).certificate(&self.alice)
    }

    fn claim(&self) -> Curl {
        self.by_certificate(&format!("{BASE}/key")).method("POST")
    }

    /// Another client that has its key.
    fn client(&self, name: &str) -> Identity {
        let client = self.world.client(name);
        self.gateway.claim_key(&client);
        client
    }

    /// A client that is disabled.
    fn disabled(&self) -> Identity {
        let off = self.client("off");
        let ask = || self.get("/").certificate(&off).send();
        ask().expect_status(200);
        let id = self.backend.last().header("x-client-id").to_owned();
        self.store.edit_client(&id, |client| {
            client.status = keyferry::client::ClientStatus::Disabled { at: clock::now() };
        });
        wait_for("the gateway to follow", || {
            (ask().status == 403).then_some(())
        });
        off
    }

    /// All of them have their full form, and none gets through.
    #[track_caller]
    fn check(&self, cases: &[Case<'_>]) {
        let before = self.backend.requests().len();
        check(&self.gateway, cases);
        assert_eq!(self.backend.requests().len(), before, "it got through");
    }
}

#[test]
fn every_refusal_of_a_request_has_its_full_form() {
    let scene = Scene::new();
    let in_url = format!("/?key={}", scene.key);
    scene.check(&[
        case(400, "request_malformed", || scene.by_key("/x/../keys")),
        case(400, "request_malformed", || scene.by_key("/%2e%2e/keys")),
        case(400, "request_malformed", || scene.by_key("//keys")),
        case(400, "request_malformed", || scene.get(&in_url)),
        case(405, "method_not_allowed", || {
            scene.by_key("/").method("TRACE")
        }),
        case(503, "backend_unavailable", || scene.by_key("/gone")),
    ]);
}

#[test]
fn every_refusal_of_a_key_has_its_full_form() {
    let scene = Scene::new();
    let (bob, off) = (scene.client("bob"), scene.disabled());
    let twice = format!("X-API-Key: {}", scene.key);
    let unknown = forged(&KeyId::generate().to_string());
    scene.check(&[
        case(400, "credential_ambiguous", || {
            scene.by_key("/").header(&twice)
        }),
        case(401, "credential_missing", || scene.get("/")),
        case(401, "credential_missing", || scene.by_key("/certificates")),
        case(401, "key_malformed", || scene.get("/").key("kf_live_x")),
        case(401, "key_invalid", || scene.get("/").key(&unknown)),
        case(401, "certificate_retired", || scene.by_certificate("/keys")),
        case(403, "credential_conflict", || {
            scene.by_key("/").certificate(&bob)
        }),
        case(403, "client_disabled", || scene.get("/").certificate(&off)),
        case(403, "scope_missing", || scene.by_key("/scoped")),
    ]);
}

#[test]
fn every_refusal_of_self_service_has_its_full_form() {
    let scene = Scene::new();
    let base = |path: &str| format!("{BASE}/{path}");
    let own = base(&format!("keys/{}", scene.key.split('_').nth(2).unwrap()));
    scene.check(&[
        case(400, "request_malformed", || {
            scene.claim().header("Idempotency-Key: x")
        }),
        case(403, "certificate_required", || {
            scene.by_key(&base("key")).method("POST")
        }),
        case(403, "key_required", || {
            scene.by_certificate(&own).method("DELETE")
        }),
        case(403, "cross_site_request", || {
            scene.claim().header("Origin: https://evil.example")
        }),
        case(404, "resource_not_found", || scene.by_key(&base("nothing"))),
        case(404, "resource_not_found", || {
            scene.get(&base("problems/nothing"))
        }),
        case(405, "method_not_allowed", || scene.claim().method("GET")),
        case(409, "key_already_issued", || scene.claim()),
    ]);
}

/// How a detail gives the gateway's clock.
const CLOCK: &str = "; this server's clock says 20";

/// A certificate that is refused: why, and what its holder is told.
type Bad = (&'static str, Issued, Words);

/// What a detail names.
type Words = &'static [&'static str];

/// Certificates of the trusted authority that are bad by what they say themselves.
fn bad_by_themselves(world: &World) -> Vec<Bad> {
    let below = |spec: Spec| spec.signed_by(&world.clients);
    let mut bad: Vec<Bad> = vec![
        (
            "certificate_expired",
            below(leaf("x").dates(-7_200, -3_600)),
            &["Your certificate ended at 20", "60 minutes ago", CLOCK],
        ),
        (
            "certificate_not_yet_valid",
            below(leaf("x").dates(3_600, 7_200)),
            &["Your certificate begins at 20", " minutes", CLOCK],
        ),
        (
            "certificate_wrong_purpose",
            below(leaf("x").purposes(&["serverAuth"])),
            &["for other purposes only", "clientAuth"],
        ),
        (
            "certificate_wrong_purpose",
            below(leaf("x").no_purposes()),
            &["does not say what it may be used for", "clientAuth"],
        ),
        (
            "certificate_wrong_purpose",
            below(leaf("x").key_usage(&["keyEncipherment"])),
            &["digitalSignature"],
        ),
        (
            "certificate_wrong_purpose",
            below(leaf("x").ca(true)),
            &["CA:TRUE"],
        ),
        (
            "certificate_weak",
            below(leaf("x").kind(Kind::Rsa(1024))),
            &["1024 bits", "2048"],
        ),
        (
            "certificate_weak",
            below(leaf("x").digest(MessageDigest::sha1())),
            &["signed with SHA-1", "SHA-256"],
        ),
        (
            "certificate_invalid",
            below(leaf("x").extension("1.2.3.4", true, &[5, 0])),
            &["critical extension"],
        ),
        (
            "certificate_invalid",
            below(leaf("x").empty_subject()),
            &["Subject name empty"],
        ),
    ];
    if with_boringssl() {
        // It ends the handshake of a certificate that may not sign.
        bad.retain(|(_, _, words)| *words != ["digitalSignature"]);
    }
    bad
}

/// Certificates that are bad by whom they come from.
fn bad_by_their_chain(world: &World, alice: &Identity, issuing: &Issued) -> Vec<Bad> {
    let stranger = root("Stranger").self_signed();
    let double = root("Clients Root").self_signed();
    let between = |spec: Spec| spec.signed_by(&world.clients);
    let second = intermediate("Second").signed_by(issuing);
    let unseen = between(intermediate("Unseen"));
    let third = intermediate("Third").signed_by(&unseen);
    let ended = between(intermediate("Ended").dates(-7_200, -3_600));
    let weak = between(intermediate("Weak").kind(Kind::Rsa(1024)));
    let of = |issuer: &Issued| leaf("x").signed_by(issuer);
    // BoringSSL does not even take a client for an issuer.
    let not_an_issuer = if with_boringssl() {
        "certificate_untrusted"
    } else {
        "certificate_invalid"
    };
    vec![
        (
            "certificate_untrusted",
            of(&stranger).with(&[&stranger.x509]),
            &["'Stranger', which signed itself", "'Clients Root'"],
        ),
        (
            "certificate_untrusted",
            leaf("x").self_signed(),
            &["'x', which signed itself", "'Clients Root'"],
        ),
        (
            "certificate_untrusted",
            of(&double),
            &["'Clients Root'", "another key"],
        ),
        (
            "certificate_chain_incomplete",
            of(issuing).with(&[]),
            &[
                "You sent 1 certificate, issued by 'Issuing'",
                "'Clients Root'",
            ],
        ),
        (
            "certificate_chain_incomplete",
            of(&second).with(&[&second.x509]),
            &["You sent 2 certificates", "'Issuing'", "'Clients Root'"],
        ),
        (
            "certificate_untrusted",
            of(&third).with(&[&third.x509]),
            &[
                "ends at 'Unseen'",
                "append its certificate",
                "'Clients Root'",
            ],
        ),
        (
            "certificate_expired",
            of(&ended),
            &["The certificate 'CN=Ended'", CLOCK],
        ),
        (
            "certificate_weak",
            of(&weak),
            &["The certificate 'CN=Weak'", "1024 bits"],
        ),
        (
            not_an_issuer,
            of(&alice.issued),
            &["'CN=alice'", "not allowed to issue certificates"],
        ),
    ]
}

/// A gateway at which good certificates are refused as well: by their route, by their phase, and
/// by what the operator did to them.
struct Strict<'a> {
    world: &'a World,
    gateway: &'a Gateway,
    backend: &'a Backend,
}

impl Strict<'_> {
    fn ask(&self, path: &str, who: &Identity) -> Curl {
        self.gateway.curl(path).certificate(who).weak()
    }

    /// A client that was served, and its id.
    fn served(&self, issued: Issued) -> (Identity, String) {
        let client = self.world.files(issued);
        self.ask("/", &client).send().expect_status(200);
        let id = self.backend.last().header("x-client-id").to_owned();
        (client, id)
    }

    /// A client that is refused after this command, which ends with its id or its fingerprint.
    fn after(&self, name: &str, command: &[&str]) -> Identity {
        let (client, id) = self.served(leaf(name).signed_by(&self.world.clients));
        let fingerprint = Fingerprint::of(&client.issued.x509.to_der().unwrap()).to_string();
        let of = match command.first() {
            Some(&"certificate") => fingerprint,
            _ => id,
        };
        let told = self.gateway.cli(&[command, &[&of]].concat());
        told.expect_success();
        wait_for("the gateway to follow", || {
            (self.ask("/", &client).send().status != 200).then_some(())
        });
        client
    }

    /// Every way to refuse a certificate, of those that are bad and those that are good.
    fn refused(&self) -> Vec<(u16, &'static str, &'static str, Identity, Words)> {
        // So that the gateway has seen this intermediate.
        let issuing = intermediate("Issuing").signed_by(&self.world.clients);
        self.served(leaf("below").signed_by(&issuing));
        let (alice, _) = self.served(leaf("alice").signed_by(&self.world.clients));
        let mut bad = bad_by_themselves(self.world);
        bad.extend(bad_by_their_chain(self.world, &alice, &issuing));
        let bad = bad.into_iter();
        let bad =
            bad.map(|(reason, issued, words)| (401, "/", reason, self.world.files(issued), words));
        let moved = [
            "phase", "retire", "--force", "--reason", "it moved", "--client",
        ];
        let now = [
            "--from", "now", "--reason", "a trial", "--force", "--client",
        ];
        let brownout = [&["phase", "brownout", "--percent", "100"], &now[..]].concat();
        let newer: Words = &["a newer one of the same client"];
        let until: Words = &["refused for a while, until 20", "Fetch your key"];
        let old = self.after("old", &["certificate", "supersede"]);
        let (moved, off) = (self.after("moved", &moved), self.after("off", &brownout));
        let keys: Words = &["this route accepts API keys only", "Fetch your key"];
        let partners: Words = &["another issuer only", "'Partners Root'"];
        let gone: Words = &["by API key only", "Fetch your key"];
        let (again, other) = (self.world.files(alice.issued.clone()), alice);
        bad.chain([
            (401, "/", "certificate_superseded", old, newer),
            (401, "/", "certificate_retired", moved, gone),
            (401, "/keys", "certificate_retired", again, keys),
            (401, "/partners", "certificate_untrusted", other, partners),
            (403, "/", "brownout", off, until),
        ])
        .collect()
    }
}

#[test]
fn every_refusal_of_a_certificate_has_its_full_form() {
    let (world, backend) = (World::new(), Backend::start());
    let partners = root("Partners Root").self_signed();
    let gateway = Gateway::builder(&world)
        .file("partners.pem", partners.pem())
        .push(
            "ca",
            toml::toml! { name = "partners" file = "partners.pem" },
        )
        .echo(&backend)
        .route("/keys", "echo", "key")
        .push(
            "route",
            toml::toml! {
                name = "partners" path = "/partners" backend = "echo" accept = "either"
                cas = ["partners"]
            },
        )
        .start();
    let scene = Strict {
        world: &world,
        gateway: &gateway,
        backend: &backend,
    };
    let refused = scene.refused();
    let cases: Vec<_> = refused
        .iter()
        .map(|(status, path, reason, who, words)| Case {
            words,
            ..case(*status, reason, || scene.ask(path, who))
        })
        .collect();
    let before = backend.requests().len();
    check(&gateway, &cases);
    assert_eq!(backend.requests().len(), before, "one of them got through");

    // The gateway has no revocation lists yet; `keyferry explain --crl` has a test of its own.
    let missing: Vec<_> = Code::ALL
        .into_iter()
        .filter(|code| code.as_str().starts_with("certificate_") && code.status() == 401)
        .map(Code::as_str)
        .filter(|code| !cases.iter().any(|case| case.reason == *code))
        .collect();
    assert_eq!(missing, ["certificate_revoked"]);
}

#[test]
fn every_refusal_of_an_enrolment_has_its_full_form() {
    let (world, backend) = (World::new(), Backend::start());
    let alice = world.client("alice");
    for (mode, reason) in [
        ("approve", "approval_pending"),
        ("registered", "client_unregistered"),
    ] {
        let gateway = Gateway::builder(&world)
            .set("enrolment.mode", mode)
            .backend("echo", backend.address())
            .push(
                "route",
                toml::toml! { name = "one" host = "api.example.com" backend = "echo" accept = "either" },
            )
            .start();
        let cases = [case(403, reason, || gateway.curl("/").certificate(&alice))];
        check(&gateway, &cases);
        // A host that no route serves has the documentation of its refusals as well.
        let stray = gateway
            .curl_at("other.example.com", "/")
            .certificate(&alice);
        let stray = stray.option("--insecure").send();
        let stray = stray.expect_refusal(404, "route_not_found").json();
        let prefix = format!("https://other.example.com:{}/", gateway.address().port());
        assert!(
            stray["type"].as_str().unwrap().starts_with(&prefix),
            "{stray:#}"
        );
    }
}

/// A client's own request id is passed on when it is harmless, and replaced when it is not.
#[test]
fn a_request_id_of_the_client_is_kept_when_it_is_well_formed() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let ask = |id: &str| {
        let ask = gateway.curl("/").certificate(&alice);
        ask.header(&format!("X-Request-Id: {id}")).send()
    };
    let kept = ask("trace-1.2_3").expect_status(200);
    assert_eq!(kept.header("x-request-id"), "trace-1.2_3");
    assert_eq!(backend.last().header("x-request-id"), "trace-1.2_3");
    let mut made = BTreeSet::new();
    let long = "a".repeat(129);
    for bad in ["a b", "a\"b", "a{b}", "<b>", "\u{e9}", &long] {
        let answer = ask(bad).expect_status(200);
        let id = answer.header("x-request-id").to_owned();
        assert_ne!(id, bad);
        assert_eq!(backend.last().header("x-request-id"), id);
        assert!(made.insert(id), "another for every request");
    }
}

/// Here or in the file of what it belongs to.
#[test]
fn every_code_has_a_test_that_names_it() {
    // A fault of ours cannot be caused, and being busy is a matter of milliseconds.
    let without = [Code::InternalError, Code::Overloaded];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration");
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let texts: Vec<_> = paths
        .filter(|path| path.is_file())
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    for code in Code::ALL.into_iter().filter(|code| !without.contains(code)) {
        let quoted = format!("\"{}\"", code.as_str());
        assert!(texts.iter().any(|text| text.contains(&quoted)), "{quoted}");
    }
}
