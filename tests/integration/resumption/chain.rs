//! R3 where a client comes by an intermediate: its session is worth what the whole chain is worth, whose
//! certificates a ticket of BoringSSL holds, and a gateway with OpenSSL remembers.

use super::{begin, resume, sharing, state};
use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway};
use crate::support::list::list;
use crate::support::pki::{Issued, intermediate, leaf};
use crate::support::process::{in_memory, with_boringssl};
use crate::support::s_client::{Transcript, VERSIONS};
use crate::support::wait_for;
use crate::support::world::{Identity, World};

const REVOKED: &str = "certificate_revoked";

/// What the clients' authority and the one below it say of whom they issued to.
struct Scene {
    world: World,
    backend: Backend,
    issuing: Issued,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let issuing = intermediate("Issuing").signed_by(&world.clients);
        Self {
            backend: Backend::start(),
            issuing,
            world,
        }
    }

    fn client(&self, name: &str) -> Identity {
        self.world.files(leaf(name).signed_by(&self.issuing))
    }

    /// The root's list.
    fn list(&self, revoked: &[&Issued]) -> Vec<u8> {
        list(&self.world.clients, revoked).der()
    }

    /// A gateway that has this list of the root's, and shares its tickets with the others where there are some.
    fn gateway(&self, roots: &[u8]) -> Builder<'_> {
        let ca = toml::toml! {
            name = "clients"
            file = "clients-root.pem"
            crl = { files = ["root.crl", "issuing.crl"] }
        };
        let below = list(&self.issuing, &[]).der();
        let gateway = if in_memory() {
            Gateway::builder(&self.world).echo(&self.backend)
        } else {
            sharing(&self.world, &self.backend, super::KEY)
        };
        let gateway = gateway.file("root.crl", roots).file("issuing.crl", below);
        gateway.without("ca").push("ca", ca)
    }
}

fn expect_revoked(answer: &Transcript) {
    assert_eq!(state(answer), (Some(401), false), "{answer:#?}");
    assert!(answer.output.contains(REVOKED), "{answer:#?}");
}

/// Neither of the other gateways saw the client or its issuer before.
#[test]
fn r3_a_ticket_is_worth_nothing_where_the_issuer_is_revoked() {
    let scene = Scene::new();
    let stranger = leaf("stranger").signed_by(&scene.world.clients);
    let one = scene.gateway(&scene.list(&[])).start();
    let strict = scene.gateway(&scene.list(&[&scene.issuing])).start();
    for version in VERSIONS {
        let (client, session) = (scene.client(version), scene.world.path(version));
        begin(&one, &client, version, &session);
        expect_revoked(&resume(&strict, &client, version, &session));
        // The control: somebody else is revoked. With OpenSSL the issuer has to be sent again, once.
        let same = scene.gateway(&scene.list(&[&stranger])).start();
        for is_resumed in [with_boringssl(), true] {
            let control = resume(&same, &client, version, &session);
            assert_eq!(state(&control), (Some(200), is_resumed), "{control:#?}");
        }
    }
}

#[test]
fn r3_a_ticket_is_worth_nothing_once_the_issuer_is_revoked() {
    let scene = Scene::new();
    let gateway = scene.gateway(&scene.list(&[])).start();
    let sessions = VERSIONS.map(|version| {
        let (client, session) = (scene.client(version), scene.world.path(version));
        begin(&gateway, &client, version, &session);
        let control = resume(&gateway, &client, version, &session);
        assert_eq!(state(&control), (Some(200), true), "{control:#?}");
        (version, client, session)
    });
    gateway.put("root.crl", &scene.list(&[&scene.issuing]));
    for (version, client, session) in &sessions {
        let again = wait_for("the list", || {
            let again = resume(&gateway, client, version, session);
            // The list may come between a handshake and its request.
            (again.status() != Some(200) && !again.was_resumed()).then_some(again)
        });
        expect_revoked(&again);
    }
}

#[test]
fn r3_a_ticket_is_worth_nothing_once_the_issuer_has_ended() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    for version in VERSIONS {
        let session = world.path(version);
        let issuing = intermediate("Brief")
            .dates(-60, 5)
            .signed_by(&world.clients);
        let client = world.files(leaf(version).signed_by(&issuing));
        begin(&gateway, &client, version, &session);
        let again = || resume(&gateway, &client, version, &session);
        let control = again();
        assert_eq!(state(&control), (Some(200), true), "{control:#?}");
        let refused = wait_for("its end", || {
            let answer = again();
            (answer.status() != Some(200) && !answer.was_resumed()).then_some(answer)
        });
        assert_eq!(state(&refused), (Some(401), false), "{refused:#?}");
        assert!(refused.output.contains("expired"), "{refused:#?}");
    }
}
