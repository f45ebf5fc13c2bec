//! Certificates that another gateway knew by their SHA-1, and that were named before they came.

use serde_json::Value;

use super::hostile::twin;
use crate::support::backend::Backend;
use crate::support::curl::Answer;
use crate::support::gateway::Gateway;
use crate::support::store::SharedStore;
use crate::support::world::{Identity, World};

const KEY: &str = "/.well-known/keyferry/key";

/// A gateway that enrols by itself, before a recording backend.
struct Scene {
    world: World,
    backend: Backend,
    store: SharedStore,
    gateway: Gateway,
}

impl Scene {
    fn new() -> Self {
        let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
        let gateway = Gateway::builder(&world)
            .redis(&store.url())
            .echo(&backend)
            .start();
        Self {
            world,
            backend,
            store,
            gateway,
        }
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        self.gateway.cli(&arguments).expect_success().json()
    }

    /// A client with `N` certificates that were imported.
    fn import<const N: usize>(&self, client: &str) -> [Identity; N] {
        self.ask(&["client", "add", client]);
        [(); N].map(|()| {
            let identity = self.world.client(client);
            let sha1 = hex::encode(openssl::sha::sha1(&identity.issued.x509.to_der().unwrap()));
            self.ask(&["certificate", "add", "--client", client, "--sha1", &sha1]);
            identity
        })
    }

    fn twin(&self, of: &Identity) -> Identity {
        self.world.files(twin(&of.issued, &self.world.clients))
    }

    fn call(&self, who: &Identity) -> Answer {
        self.gateway.curl("/").certificate(who).send()
    }

    /// It is let in; gives the client id and the key id that the backend saw.
    #[track_caller]
    fn accepts(&self, who: &Identity) -> (String, String) {
        self.call(who).expect_status(200);
        let seen = self.backend.last();
        let of = |name| seen.header(name).to_owned();
        (of("x-client-id"), of("x-key-id"))
    }

    fn claim(&self, who: &Identity) -> Answer {
        let claim = self.gateway.curl(KEY).method("POST");
        claim.certificate(who).send()
    }

    /// The client revokes its key.
    fn give_up(&self, key: &str, id: &str) {
        let one = format!("/.well-known/keyferry/keys/{id}");
        let revoke = self.gateway.curl(&one).key(key).method("DELETE");
        revoke.send().expect_status(204);
    }

    fn clients(&self) -> usize {
        let list = self.ask(&["client", "list"]);
        list["clients"].as_array().unwrap().len()
    }
}

/// What a certificate's signature is changed to makes it another by SHA-1 as well. It must neither
/// bring back whom the operator shut out nor make a second client.
#[test]
fn k11_the_twin_of_an_imported_certificate_does_not_enrol_as_somebody_new() {
    let scene = Scene::new();
    // The attack: when the certificate was not imported, its other form is somebody new.
    let unknown = scene.world.client("unknown");
    assert!(
        scene
            .accepts(&scene.twin(&unknown))
            .0
            .starts_with("unknown-")
    );

    let [first, second] = scene.import("acme");
    scene.ask(&["client", "disable", "acme"]);
    for shut_out in [&first, &scene.twin(&first)] {
        scene
            .call(shut_out)
            .expect_refusal(403, "client_unregistered");
    }
    scene.ask(&["client", "enable", "acme"]);
    assert_eq!(scene.accepts(&scene.twin(&first)).0, "acme");
    assert_eq!(scene.accepts(&second).0, "acme");
    // The form that came first is the one that counts.
    for other in [&first, &scene.twin(&second)] {
        scene.call(other).expect_refusal(403, "client_unregistered");
    }
    assert_eq!(scene.clients(), 2);
}

/// A certificate that was named long before, and comes when its client has moved and its key has
/// ended, could be an old one in the wrong hands.
#[test]
fn c6_an_imported_certificate_that_comes_late_gets_no_second_key() {
    let scene = Scene::new();
    let now = keyferry::clock::now();
    for client in ["by-operator", "by-client", "by-itself"] {
        let [first, late] = scene.import(client);
        let seen = scene.accepts(&first);
        let key = scene.gateway.claim_key(&first);
        match client {
            "by-operator" => _ = scene.ask(&["key", "revoke", &seen.1]),
            "by-client" => scene.give_up(&key, &seen.1),
            _ => scene
                .store
                .edit_key(&seen.1, |key| key.expires_at = Some(now)),
        }
        assert_eq!(scene.accepts(&late), seen);
        // The control: after the operator revoked a key, there is another.
        if client == "by-operator" {
            scene.gateway.claim_key(&late);
        } else {
            scene.claim(&late).expect_refusal(409, "key_already_issued");
        }
    }
}

/// Nor does one that was announced, when all the others of its client are gone.
#[test]
fn c6_an_announced_certificate_gets_no_second_key_after_one_that_its_client_gave_up() {
    let scene = Scene::new();
    let [first] = scene.import("acme");
    let seen = scene.accepts(&first);
    let key = scene.gateway.claim_key(&first);
    scene.give_up(&key, &seen.1);
    let next = scene.world.client("next");
    let file = next.chain.to_str().unwrap();
    scene.ask(&["certificate", "announce", "acme", "--certificate", file]);
    let list = scene.ask(&["certificate", "list", "--client", "acme"]);
    let first = list["certificates"][0]["fingerprint"].as_str().unwrap();
    scene.ask(&["certificate", "supersede", first]);
    assert_eq!(scene.accepts(&next), seen);
    scene.claim(&next).expect_refusal(409, "key_already_issued");
}
