//! `X-API-Key-Check`: a client tries its key while its certificate still carries it.

use keyferry::clock;
use keyferry::key::{KeyId, KeyStatus, RevokedBy};

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::key::forged;
use crate::support::pki::leaf;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

const BASE: &str = "/.well-known/keyferry";

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
        let gateway = Gateway::builder(&world)
            .redis(&store.url())
            .echo(&backend)
            .route("/keys-only", "echo", "key")
            .route("/open", "echo", "none")
            .start();
        let alice = world.client("alice");
        let key = gateway.claim_key(&alice);
        Self {
            world,
            backend,
            store,
            gateway,
            alice,
            key,
        }
    }

    /// What alice, by certificate, is told of `key`; the request itself must succeed.
    #[track_caller]
    fn told(&self, key: &str) -> String {
        let ask = self.gateway.curl("/").certificate(&self.alice);
        let answer = with_check(ask, key).send().expect_status(200);
        let seen = self.backend.last();
        let sent: Vec<_> = seen.headers.iter().map(|(_, value)| value).collect();
        assert!(
            !sent
                .iter()
                .any(|value| !key.is_empty() && value.contains(key))
        );
        answer.header("x-api-key-check").to_owned()
    }
}

fn id(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

fn with_check(ask: Curl, key: &str) -> Curl {
    if key.is_empty() {
        return ask.header("X-API-Key-Check;");
    }
    ask.header(&format!("X-API-Key-Check: {key}"))
}

#[test]
fn a_client_tries_its_key_beside_its_certificate() {
    let scene = Scene::new();
    assert_eq!(scene.told(&scene.key), "ok");
    let whoami = scene.gateway.curl(&format!("{BASE}/whoami"));
    let whoami = with_check(whoami.certificate(&scene.alice), &scene.key).send();
    assert_eq!(whoami.header("x-api-key-check"), "ok");
    // Two credentials of one client: the key that is checked is looked at, not believed.
    let both = scene.gateway.curl("/").certificate(&scene.alice);
    let both = with_check(both.key(&scene.key), &scene.key).send();
    assert_eq!(both.expect_status(200).header("x-api-key-check"), "ok");
    // Nothing is told to who did not ask.
    let plain = scene.gateway.curl("/").certificate(&scene.alice).send();
    assert!(plain.all("x-api-key-check").is_empty());

    let bobs = scene.gateway.claim_key(&scene.world.client("bob"));
    assert_eq!(scene.told(&bobs), "other-client");
    // Only when it is wholly right: a guess at bob's tells nothing, nor does one at nobody's.
    let mut typo = scene.key.clone();
    typo.pop();
    for bad in [
        forged(id(&bobs)),
        forged(id(&scene.key)),
        forged(&KeyId::generate().to_string()),
        format!("{typo}!"),
        scene.key.to_uppercase(),
        format!("{} {}", scene.key, scene.key),
        "Bearer x".to_owned(),
        "x".repeat(4000),
        String::new(),
    ] {
        assert_eq!(scene.told(&bad), "unknown", "{bad}");
    }
    let two = scene.gateway.curl("/").certificate(&scene.alice);
    let two = with_check(with_check(two, &scene.key), &scene.key).send();
    assert_eq!(two.header("x-api-key-check"), "unknown");

    scene.store.edit_key(id(&scene.key), |key| {
        key.expires_at = Some(clock::now());
    });
    wait_for("the end", || {
        (scene.told(&scene.key) == "expired").then_some(())
    });
    // Of others it is not told.
    scene.store.edit_key(id(&bobs), |key| {
        key.expires_at = Some(clock::now());
    });
    wait_for("the end", || (scene.told(&bobs) == "unknown").then_some(()));
    scene.store.edit_key(id(&scene.key), |key| {
        key.status = KeyStatus::Revoked {
            at: clock::now(),
            by: RevokedBy::Client,
        };
    });
    wait_for("the revocation", || {
        (scene.told(&scene.key) == "unknown").then_some(())
    });
}

#[test]
fn k14_a_key_to_be_checked_opens_nothing_and_tells_strangers_nothing() {
    let scene = Scene::new();
    let at = |path: &str| scene.gateway.curl(path);
    let before = scene.backend.requests().len();
    let nobody = with_check(at("/"), &scene.key).send();
    assert!(nobody.all("x-api-key-check").is_empty());
    nobody.expect_refusal(401, "credential_missing");
    let by_certificate = with_check(at("/keys-only").certificate(&scene.alice), &scene.key);
    let by_certificate = by_certificate.send();
    assert_eq!(by_certificate.header("x-api-key-check"), "ok");
    by_certificate.expect_refusal(401, "certificate_retired");
    let expired = scene.world.client_like(leaf("alice").dates(-3600, -1));
    let refused = with_check(at("/").certificate(&expired), &scene.key).send();
    assert!(refused.all("x-api-key-check").is_empty());
    refused.expect_refusal(401, "certificate_expired");
    assert_eq!(scene.backend.requests().len(), before);

    // By key alone, and where nobody is asked for, nothing is told either.
    let bobs = scene.gateway.claim_key(&scene.world.client("bob"));
    for ask in [
        at("/").key(&bobs),
        at("/").key(&bobs).certificate(&expired),
        at("/open").certificate(&scene.alice),
    ] {
        let answer = with_check(ask, &scene.key).send().expect_status(200);
        assert!(answer.all("x-api-key-check").is_empty());
        let arrived = scene.backend.last();
        assert!(arrived.all("x-api-key-check").is_empty());
    }
    let secret = scene.key.rsplit('_').next().unwrap();
    assert!(!scene.gateway.log().contains(secret), "it is in the log");

    // And not for ever: the request goes on, the answer says nothing more.
    let ask = || with_check(at("/").certificate(&scene.alice), &forged(id(&bobs)));
    let answers = Curl::send_on_one_connection((0..130).map(|_| ask()));
    assert!(answers.iter().all(|answer| answer.status == 200));
    let told = answers
        .iter()
        .filter(|answer| !answer.all("x-api-key-check").is_empty());
    assert!((55..=120).contains(&told.count()));
}
