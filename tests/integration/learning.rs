//! What is learned, at its first use, of a certificate that the operator only named.

use keyferry::certificate::Fingerprint;
use serde_json::Value;

use super::hostile::twin;
use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::pki::leaf;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

fn fingerprint(of: &Identity) -> String {
    Fingerprint::of(&of.issued.x509.to_der().unwrap()).to_string()
}

/// A gateway that enrols by itself, before a recording backend.
struct Scene {
    world: World,
    backend: Backend,
    gateway: Gateway,
}

impl Scene {
    fn new() -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let gateway = Gateway::start(&world, &backend);
        Self {
            world,
            backend,
            gateway,
        }
    }

    /// A client whose certificate the operator took over, by its fingerprint alone.
    fn named(&self, client: &str) -> Identity {
        let identity = self.world.client(client);
        self.add(client, &fingerprint(&identity));
        identity
    }

    fn add(&self, client: &str, certificate: &str) {
        self.gateway
            .cli(&["client", "add", client])
            .expect_success();
        let add = ["certificate", "add", certificate, "--client", client];
        self.gateway.cli(&add).expect_success();
    }

    /// A certificate with another name for the key of an old one.
    fn renewed(&self, old: &Identity, name: &str) -> Identity {
        let spec = leaf(name).key(&old.issued.key);
        self.world.client_like(spec)
    }

    /// It is let in; gives the client id that the backend saw.
    #[track_caller]
    fn accepts(&self, who: &Identity) -> String {
        let answer = self.gateway.curl("/").certificate(who).send();
        answer.expect_status(200);
        self.backend.last().header("x-client-id").to_owned()
    }

    /// What is known of a certificate.
    #[track_caller]
    fn listed(&self, of: &Identity) -> Value {
        let list = self
            .gateway
            .cli(&["certificate", "list", "--output", "json"]);
        let list = list.expect_success().json();
        let mut all = list["certificates"].as_array().unwrap().iter();
        let found = all.find(|one| one["fingerprint"] == fingerprint(of));
        found.expect("a record").clone()
    }

    #[track_caller]
    fn wait_until_learned(&self, of: &Identity) -> Value {
        wait_for("the certificate to be learned", || {
            let listed = self.listed(of);
            (!listed["subject"].is_null() && !listed["ca"].is_null()).then_some(listed)
        })
    }
}

#[test]
fn the_renewal_of_a_certificate_that_was_named_by_its_fingerprint_is_followed_once_it_called() {
    let scene = Scene::new();
    let [acme, silent] = ["acme", "silent"].map(|name| scene.named(name));
    let before = scene.listed(&acme);
    assert!(
        before["subject"].is_null() && before["ca"].is_null(),
        "{before:#}"
    );
    assert_eq!(scene.accepts(&acme), "acme");
    let learned = scene.wait_until_learned(&acme);
    assert_eq!(learned["subject"], "CN=acme", "{learned:#}");
    for same in ["client_id", "key_id", "status", "source"] {
        assert_eq!(learned[same], before[same], "{same}: {learned:#}");
    }

    assert_eq!(
        scene.accepts(&scene.renewed(&acme, "acme, renewed")),
        "acme"
    );
    // Without a first call there is nothing to compare with: it is somebody new.
    let new = scene.accepts(&scene.renewed(&silent, "silent, renewed"));
    assert_ne!(new, "silent");
    assert!(scene.listed(&silent)["subject"].is_null());
}

#[test]
fn the_renewal_of_a_certificate_that_was_named_by_its_file_waits_until_it_called() {
    let scene = Scene::new();
    let [acme, silent] = ["acme", "silent"].map(|name| {
        let identity = scene.world.client(name);
        scene.add(name, identity.chain.to_str().unwrap());
        identity
    });
    assert_eq!(scene.listed(&acme)["subject"], "CN=acme");
    scene.accepts(&acme);
    scene.wait_until_learned(&acme);
    assert_eq!(
        scene.accepts(&scene.renewed(&acme, "acme, renewed")),
        "acme"
    );
    let waits = scene.renewed(&silent, "silent, renewed");
    let answer = scene.gateway.curl("/").certificate(&waits).send();
    answer.expect_refusal(403, "approval_pending");
}

/// Also before, its twin does not enrol, since that would need the place of the certificate itself.
/// Then it is known as the twin, and nobody has to try.
#[test]
fn k11_the_twin_of_a_certificate_that_was_named_is_known_once_it_called() {
    let scene = Scene::new();
    let acme = scene.named("acme");
    let twin = twin(&acme.issued, &scene.world.clients);
    let twin = scene.world.files(twin);
    let refused = || {
        let answer = scene.gateway.curl("/").certificate(&twin).send();
        answer.expect_refusal(403, "client_unregistered");
        let approve = ["certificate", "approve", &fingerprint(&twin)];
        scene.gateway.cli(&approve).errors
    };
    let of_acme = fingerprint(&acme);
    assert!(!refused().contains(&of_acme));
    scene.accepts(&acme);
    scene.wait_until_learned(&acme);
    let told = refused();
    assert!(told.contains(&of_acme), "{told}");
}

#[test]
fn what_the_store_could_not_take_is_learned_at_the_next_use() {
    let mut store = SharedStore::start();
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .redis(&store.url())
        .echo(&backend)
        .start();
    let scene = Scene {
        world,
        backend,
        gateway,
    };
    let acme = scene.named("acme");
    scene.accepts(&scene.world.client("other"));
    store.stop();
    assert_eq!(scene.accepts(&acme), "acme", "memory knows it");
    wait_for("the failure", || {
        let log = scene.gateway.log();
        log.contains("once the store takes it").then_some(())
    });
    store.start_again();
    wait_for("the gateway to be told again", || {
        assert_eq!(scene.accepts(&acme), "acme");
        let subject = &scene.listed(&acme)["subject"];
        (subject == "CN=acme").then_some(())
    });
}

#[test]
fn many_that_call_at_once_are_all_learned() {
    let scene = Scene::new();
    let all: Vec<_> = (0..40).map(|n| scene.named(&format!("c{n}"))).collect();
    std::thread::scope(|scope| {
        for some in all.chunks(10) {
            let gateway = &scene.gateway;
            scope.spawn(move || {
                for one in some {
                    gateway.curl("/").certificate(one).send().expect_status(200);
                }
            });
        }
    });
    // Each called once.
    for one in &all {
        scene.wait_until_learned(one);
    }
}
