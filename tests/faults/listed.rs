//! Clients that come to be on a revocation list while they have a `WebSocket` open.

use std::fs;

use super::people::{DAY, certificate};
use crate::support::gateway::{Builder, Gateway};
use crate::support::list::list;
use crate::support::pki::Issued;
use crate::support::python::Server;
use crate::support::wait_for;
use crate::support::websocket::{goodbye, websocket};
use crate::support::wire::{Shown, Tls, Wire};
use crate::support::world::World;

const LIST: &str = "clients.crl";

/// Everybody who is on the list, which two gateways have.
pub(crate) struct Listed<'a> {
    world: &'a World,
    tls: &'a Tls,
    gateways: [&'a Gateway; 2],
    all: Vec<Issued>,
}

/// A gateway that asks a list on which nobody is yet, and leads `/live` to `server`.
pub(crate) fn asking<'a>(gateway: Builder<'a>, world: &World, server: &Server) -> Builder<'a> {
    let authority = toml::toml! {
        name = "clients"
        file = "clients-root.pem"
        crl = { files = ["clients.crl"] }
    };
    gateway
        .without("ca")
        .push("ca", authority)
        .file(LIST, written(world, &[]))
        .backend_like("live", server.address(), toml::toml! { protocol = "http1" })
        .route("/live", "live", "either")
}

fn written(world: &World, all: &[Issued]) -> Vec<u8> {
    let all: Vec<_> = all.iter().collect();
    list(&world.clients, &all).dates(-DAY, Some(10 * DAY)).der()
}

impl<'a> Listed<'a> {
    pub(crate) fn new(world: &'a World, tls: &'a Tls, gateways: [&'a Gateway; 2]) -> Self {
        Self {
            world,
            tls,
            gateways,
            all: Vec::new(),
        }
    }

    /// The WebSocket of a client of that name, which nobody has heard of before.
    pub(crate) fn open(&self, name: &str) -> (Shown, Wire) {
        let shown = certificate(self.world, name);
        let wire = websocket(self.dial(self.gateways[0], &shown), "");
        (shown, wire)
    }

    fn dial(&self, gateway: &Gateway, shown: &Shown) -> Wire {
        let wire = self.tls.connect(gateway.address(), Some(shown));
        wire.expect("a handshake")
    }

    /// A new client comes, is put on the list, loses its WebSocket and is refused from then on.
    pub(crate) fn one_more(&mut self) {
        let (shown, mut wire) = self.open(&format!("listed-{}", self.all.len()));
        self.all.push(shown.issued.clone());
        for gateway in self.gateways {
            let new = gateway.path("clients.new");
            fs::write(&new, written(self.world, &self.all)).expect("a file in our own folder");
            fs::rename(new, gateway.path(LIST)).expect("our own file");
        }
        assert_eq!(goodbye(&mut wire), (1008, "certificate_revoked".to_owned()));
        for gateway in self.gateways {
            wait_for("the list to hold", || {
                let answer = self.dial(gateway, &shown).call("GET", "/", &[]);
                let answer = answer.expect("an answer");
                (answer.reason() == "certificate_revoked").then_some(())
            });
        }
    }
}
