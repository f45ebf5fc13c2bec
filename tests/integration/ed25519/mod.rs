//! Backends that check signatures by a public key: what they fetch, what they believe, and how the key
//! is changed under them.

mod tools;

use std::fs;

use http::Method;
use keyferry::clock;
use keyferry::sign::header::Names;
use keyferry::sign::{Invalid, Verifier, VerifyingKey, jwks};
use openssl::pkey::PKey;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::signature::{CHANGES, verdict_of};
use crate::support::backend::{Backend, Recorded};
use crate::support::gateway::{Builder, Gateway};
use crate::support::signature::{KeySet, verify_by_set_in_node, verify_by_set_in_python};
use crate::support::world::{HOST, Identity, World};

const SETS: &str = "/.well-known/keyferry/jwks";

/// A private key as `openssl genpkey` makes it, and the public one of it.
struct Pair {
    private: String,
    public: String,
}

impl Pair {
    fn new() -> Self {
        let key = PKey::generate_ed25519().unwrap();
        let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
        Self {
            private: text(key.private_key_to_pem_pkcs8().unwrap()),
            public: text(key.public_key_to_pem().unwrap()),
        }
    }

    fn verifying(&self, id: &str) -> VerifyingKey {
        VerifyingKey::ed25519(id, self.public.as_bytes()).unwrap()
    }
}

/// `signing` with the key that is called `id`, and those that are published beside it.
fn signing(id: &str, beside: &[&str]) -> Table {
    let mut signing = toml::toml! { algorithm = "ed25519" };
    signing.insert("key_id".to_owned(), id.into());
    signing.insert("private_key_file".to_owned(), format!("{id}.pem").into());
    let beside = beside.iter().map(|id| {
        let file = format!("{id}.public.pem");
        let names = [("key_id", (*id).to_owned()), ("public_key_file", file)];
        Value::Table(
            names
                .map(|(name, value)| (name.to_owned(), value.into()))
                .into_iter()
                .collect(),
        )
    });
    signing.insert("also_published".to_owned(), Value::Array(beside.collect()));
    signing
}

/// A gateway that signs for the backend `echo` with the key `echo`, and has the files of `others`.
fn builder<'a>(world: &'a World, backend: &Backend, keys: &[(&str, &Pair)]) -> Builder<'a> {
    let mut builder = Gateway::builder(world);
    for (id, pair) in keys {
        builder = builder
            .file(&format!("{id}.pem"), &pair.private)
            .file(&format!("{id}.public.pem"), &pair.public);
    }
    let mut entry = toml::toml! { protocol = "http1" };
    entry.insert("signing".to_owned(), signing("echo", &[]).into());
    builder
        .backend_like("echo", backend.address(), entry)
        .route("/", "echo", "either")
}

struct Scene {
    world: World,
    backend: Backend,
    key: Pair,
    gateway: Gateway,
    alice: Identity,
}

impl Scene {
    fn new() -> Self {
        let (world, backend, key) = (World::new(), Backend::start(), Pair::new());
        let gateway = builder(&world, &backend, &[("echo", &key)]).start();
        Self {
            alice: world.client("alice"),
            world,
            backend,
            key,
            gateway,
        }
    }

    /// A request as the gateway sent it, with a digest of its body.
    fn recorded(&self) -> Recorded {
        let digest = "Content-Digest: sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
        let request = self.gateway.curl("/v1/orders?limit=10&a=b").body("hello");
        let request = request.header(digest).certificate(&self.alice);
        request.send().expect_status(200);
        self.backend.last()
    }

    fn set_of(&self, backend: &str) -> Json {
        let answer = self.gateway.curl(&format!("{SETS}/{backend}")).send();
        answer.expect_status(200).json()
    }
}

/// S1, S2: one signature, three verifiers that know nothing but what the gateway publishes.
#[test]
fn verifiers_in_other_languages_take_the_signature_by_the_published_key() {
    let scene = Scene::new();
    let good = scene.recorded();
    assert!(
        good.header("signature-input")
            .contains(";alg=\"ed25519\";keyid=\"echo\";")
    );
    let url = format!("https://{HOST}{SETS}/echo");
    let set: KeySet<'_> = (&url, scene.gateway.address().port(), &scene.world.authority);
    let ours = Verifier::new([scene.key.verifying("echo")], Names::default());
    let now = clock::now();
    assert_eq!(verdict_of(&ours, &good, now), Ok(()));
    assert_eq!(verify_by_set_in_python(&good, set), Ok(()));
    assert_eq!(verify_by_set_in_node(&good, set), Ok(()));
    for (what, change) in CHANGES {
        let mut request = good.clone();
        change(&mut request);
        assert!(verdict_of(&ours, &request, now).is_err(), "{what}");
        if ["query", "client id", "signature"].contains(&what) {
            assert!(verify_by_set_in_python(&request, set).is_err(), "{what}");
            assert!(verify_by_set_in_node(&request, set).is_err(), "{what}");
        }
    }
}

#[test]
fn each_backend_has_a_set_of_its_own_and_nothing_secret_is_in_it() {
    let (world, backend, key, other) = (World::new(), Backend::start(), Pair::new(), Pair::new());
    let mut entry = toml::toml! { protocol = "http1" };
    entry.insert("signing".to_owned(), signing("other", &[]).into());
    let gateway = builder(&world, &backend, &[("echo", &key), ("other", &other)])
        .backend_like("other", backend.address(), entry)
        .backend("shared", backend.address())
        .start();
    let answer = gateway
        .curl(&format!("{SETS}/echo"))
        .send()
        .expect_status(200);
    assert_eq!(answer.header("content-type"), jwks::MEDIA_TYPE);
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    let [one] = &keys[..] else {
        panic!("{keys:?}");
    };
    let members: Vec<_> = one
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    let read = jwks::read(answer.text().as_bytes()).unwrap();
    assert!(read[0].is_same(&key.verifying("echo")) && read[0].id() == "echo");
    let head = gateway.curl(&format!("{SETS}/other")).head().send();
    let (_, body) = head
        .text()
        .split_once("\r\n\r\n")
        .map(|(a, b)| (a.len(), b.len()))
        .unwrap();
    assert_eq!((head.status, body), (200, 0));
    let elsewhere = gateway
        .curl(&format!("{SETS}/echo"))
        .header("Host: other.example.com");
    assert_eq!(elsewhere.send().expect_status(200).text(), answer.text());
    for missing in ["shared", "nobody", "", "echo/", "ECHO"] {
        let answer = gateway.curl(&format!("{SETS}/{missing}")).send();
        let answer = answer.expect_refusal(404, "resource_not_found");
        assert_eq!(answer.header("cache-control"), "no-store", "{missing}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let call = gateway
            .curl(&format!("{SETS}/echo"))
            .method(method.as_str());
        call.send().expect_refusal(405, "method_not_allowed");
    }
    assert!(backend.requests().is_empty());
}

/// S5: a backend that believed the keys of all could be told what was meant for another.
#[test]
fn s5_what_is_signed_for_one_backend_is_worth_nothing_at_another() {
    let scene = Scene::new();
    let (request, now) = (scene.recorded(), clock::now());
    let other = Pair::new();
    let echo = scene.key.verifying("echo");
    let of_all = Verifier::new([echo, other.verifying("other")], Names::default());
    assert_eq!(verdict_of(&of_all, &request, now), Ok(()));
    let own = Verifier::new([other.verifying("other")], Names::default());
    assert_eq!(verdict_of(&own, &request, now), Err(Invalid::UnknownKey));
    let own = Verifier::new([other.verifying("echo")], Names::default());
    assert_eq!(verdict_of(&own, &request, now), Err(Invalid::Mismatch));
}

/// What the gateway does with a key: 1 uses it, 0 publishes it.
fn use_of(gateway: &Gateway, key_id: &str) -> Option<i64> {
    let series = format!("keyferry_secret_current{{kind=\"signing\",name=\"{key_id}\"}} ");
    let page = gateway.metrics();
    let mut values = page.lines().filter_map(|line| line.strip_prefix(&series));
    values.next().map(|value| value.parse().unwrap())
}

fn sign_with(gateway: &Gateway, id: &str, beside: &[&str]) {
    let mut config: Table = fs::read_to_string(gateway.config_file())
        .unwrap()
        .parse()
        .unwrap();
    config["backend"][0]["signing"] = signing(id, beside).into();
    fs::write(gateway.config_file(), config.to_string()).unwrap();
    gateway.cli(&["reload"]).expect_success();
}

fn key_ids(set: &Json) -> Vec<&str> {
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap()).collect()
}

/// S9: at every step, whoever has the set of the step before believes what is signed.
#[test]
fn s9_a_key_is_published_before_it_is_used_and_after() {
    let (world, backend) = (World::new(), Backend::start());
    let (one, two) = (Pair::new(), Pair::new());
    let gateway = builder(&world, &backend, &[("echo", &one), ("next", &two)]).start();
    let scene = Scene {
        alice: world.client("alice"),
        world,
        backend,
        key: one,
        gateway,
    };
    let gateway = &scene.gateway;
    let mut believed = jwks::read(scene.set_of("echo").to_string().as_bytes()).unwrap();
    for (id, beside, published, uses) in [
        (
            "echo",
            &["next"][..],
            &["echo", "next"][..],
            [Some(1), Some(0)],
        ),
        ("next", &["echo"], &["next", "echo"], [Some(0), Some(1)]),
        ("next", &[], &["next"], [None, Some(1)]),
    ] {
        sign_with(gateway, id, beside);
        let request = scene.recorded();
        assert!(
            request
                .header("signature-input")
                .contains(&format!("keyid=\"{id}\""))
        );
        let verifier = Verifier::new(believed, Names::default());
        assert_eq!(
            verdict_of(&verifier, &request, clock::now()),
            Ok(()),
            "{id}"
        );
        let set = scene.set_of("echo");
        assert_eq!(key_ids(&set), published);
        assert_eq!([use_of(gateway, "echo"), use_of(gateway, "next")], uses);
        believed = jwks::read(set.to_string().as_bytes()).unwrap();
    }
    assert!(!gateway.log().contains("under the same key_id"));
    // The same name for another key is told, as with secrets; also when it was only published before.
    let told = || gateway.log().matches("under the same key_id").count();
    fs::write(gateway.path("next.pem"), &Pair::new().private).unwrap();
    gateway.cli(&["reload"]).expect_success();
    assert_eq!(told(), 1);
    sign_with(gateway, "next", &["echo"]);
    fs::write(gateway.path("echo.public.pem"), &Pair::new().public).unwrap();
    gateway.cli(&["reload"]).expect_success();
    assert_eq!(told(), 2);
    sign_with(gateway, "echo", &[]);
    assert_eq!(told(), 3);
}
