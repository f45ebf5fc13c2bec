//! Two gateways on one Redis, and a fleet of clients that call them all the time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use toml::Table;

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::free_addresses;
use crate::support::gateway::{Builder, Gateway};
use crate::support::linger;
use crate::support::list::list;
use crate::support::pki::{Issued, leaf, root};
use crate::support::store::SharedStore;
use crate::support::webhook::{OTHER, Receiver};
use crate::support::world::{Identity, World};

pub(crate) const FRONT: &str = "127.0.0.50";
pub(crate) const FRONT_SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
/// How many clients call all the time.
const FLEET: usize = 18;
const CALLERS: usize = 3;

/// A client that calls by what it has.
pub(crate) struct Member {
    pub(crate) identity: Identity,
    pub(crate) way: Mutex<Way>,
}

#[derive(Clone)]
pub(crate) enum Way {
    Certificate,
    Both(String),
    Key(String),
}

pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) backend: Backend,
    /// Who is told what happens, and who wants nothing any more.
    told: [Receiver; 2],
    /// Whose lists may be unknown without harm.
    pub(crate) partners: Issued,
    /// Who is on the list of the clients' authority.
    pub(crate) revoked: Identity,
    pub(crate) fleet: Vec<Member>,
    /// How long one step of the story is.
    pub(crate) beat: Duration,
}

impl Scene {
    pub(crate) fn new(beat: Duration) -> Self {
        let world = World::new();
        let gone = Receiver::knowing(&[OTHER]);
        gone.set(&serde_json::json!({ "answer": 410, "times": 1000 }));
        let day = 24 * 3600;
        let member = |number: usize| {
            let spec = leaf(&format!("device-{number}"));
            // Certificates of a third of them end within a month.
            let days = if number.is_multiple_of(3) { 20 } else { 200 };
            Member {
                identity: world.client_like(spec.dates(-day, days * day)),
                way: Mutex::new(Way::Certificate),
            }
        };
        Self {
            backend: Backend::start(),
            told: [Receiver::start(), gone],
            partners: root("Partners Root").self_signed(),
            revoked: world.client("revoked"),
            fleet: (0..FLEET).map(member).collect(),
            world,
            beat,
        }
    }

    /// Lets so many steps go by.
    pub(crate) fn rest(&self, beats: u32) {
        linger(self.beat * beats);
    }

    /// The revocation lists, which end in so many seconds.
    pub(crate) fn lists(&self, ends: i64) -> [(&'static str, Vec<u8>); 2] {
        let dates = (-1000, Some(ends));
        let of =
            |authority, revoked: &[&Issued]| list(authority, revoked).dates(dates.0, dates.1).der();
        [
            (
                "clients.crl",
                of(&self.world.clients, &[&self.revoked.issued]),
            ),
            ("partners.crl", of(&self.partners, &[])),
        ]
    }

    pub(crate) fn builder(&self, store: &SharedStore) -> Builder<'_> {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let [nobody] = free_addresses();
        let mut builder = Gateway::builder(&self.world)
            .without("ca")
            .push("ca", table(r#"name = "clients"
                file = "clients-root.pem"
                crl = { files = ["clients.crl"] }"#))
            .push("ca", table(r#"name = "partners"
                file = "partners-root.pem"
                crl = { files = ["partners.crl"], when_unknown = "accept" }"#))
            .push("front", table(&format!(r#"name = "edge"
                from = ["{FRONT}"]
                format = "rfc9440"
                secret_files = ["front.secret"]"#)))
            .file("partners-root.pem", self.partners.pem())
            .file("front.secret", FRONT_SECRET)
            .redis(&store.url())
            .file("next.key", "another secret for records, of 32 bytes and more")
            .set("store.record_keys", table(r#"all = [{ version = 1, file = "record.key" }, { version = 2, file = "next.key" }]"#)["all"].clone())
            .set("store.max_stale", "1m")
            // On a busy machine Redis may be slow, and no outage is wanted but the one of the story.
            .set("store.response_timeout", "5s")
            .set("migration.window", "15s")
            .set("connections.head_timeout", "1s")
            .set("limits.exempt", vec!["127.0.0.1"])
            .set("limits.wrong_keys_per_address", 5)
            .set("limits.requests_per_second", 30)
            .set("self_service.per_credential", 100)
            .backend_like("orders", self.backend.address(), table(r#"masquerade = [{ header = "X-SSL-Client-S-DN", value = "$ssl_client_s_dn" }]"#))
            .backend("payments", nobody)
            .route("/", "orders", "either")
            .route("/refunds", "orders", "key")
            .route("/payments", "payments", "either");
        let [told, gone] = &self.told;
        builder = builder
            .telling_like("operations", told.address(), Table::new())
            .file("gone.whsec", OTHER)
            .telling_like(
                "gone",
                gone.address(),
                table(r#"secret_file = "gone.whsec""#),
            );
        for (name, list) in self.lists(7 * 24 * 3600) {
            builder = builder.file(name, list);
        }
        builder
    }

    /// The fleet calls both gateways until it is over. Whatever becomes of it: that is what is shown.
    pub(crate) fn calls(&self, gateways: [&Gateway; 2], over: &AtomicBool) {
        std::thread::scope(|scope| {
            for caller in 0..CALLERS {
                scope.spawn(move || {
                    let mut turn = caller;
                    while !over.load(Ordering::Relaxed) {
                        let member = &self.fleet[turn % FLEET];
                        let path = if turn.is_multiple_of(7) {
                            "/refunds"
                        } else {
                            "/"
                        };
                        let gateway = gateways[(turn / FLEET) % 2];
                        member.asks(gateway.curl(path)).send();
                        turn += CALLERS;
                        linger(Duration::from_millis(30));
                    }
                });
            }
        });
    }
}

impl Member {
    /// The request, with what it has.
    pub(crate) fn asks(&self, ask: Curl) -> Curl {
        let way = self.way.lock().unwrap().clone();
        match way {
            Way::Certificate => ask.certificate(&self.identity),
            Way::Both(key) => ask.certificate(&self.identity).key(&key),
            Way::Key(key) => ask.key(&key),
        }
    }
}

/// A copy of all that a Redis has, to be put in its place later.
pub(crate) fn copy(store: &SharedStore) -> redis::Pipeline {
    let mut connection = store.connection();
    let all: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let mut copy = redis::pipe();
    copy.atomic().cmd("FLUSHALL").ignore();
    for key in all {
        let dumped: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
        copy.cmd("RESTORE").arg(key).arg(0).arg(dumped).ignore();
    }
    copy
}
