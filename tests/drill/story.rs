//! The months of a migration, in a minute.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use super::acts::Act;
use super::backend::Legacy;
use super::fleet::Fleet;
use super::member::{Field, Uses};
use super::report::Report;
use crate::support::gateway::Gateway;
use crate::support::store::SharedStore;
use crate::support::wire::Tls;
use crate::support::world::World;

/// How many clients, unless told otherwise.
const CLIENTS: usize = 300;

/// Everything that takes part.
struct Drill {
    gateways: [Gateway; 2],
    legacy: Legacy,
    fleet: Fleet,
    field: Field,
    report: Report,
    world: World,
    // Outlives the gateways.
    _store: SharedStore,
}

#[test]
fn a_fleet_moves_from_certificates_to_keys() {
    let mut drill = Drill::prepare(size());
    drill.play();
    drill.judge();
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's only way to be told how large it shall be"
)]
fn size() -> usize {
    let given = std::env::var("KEYFERRY_DRILL_CLIENTS").ok();
    given.map_or(CLIENTS, |count| count.parse().expect("a number of clients"))
}

impl Drill {
    /// Everything is in place, and nobody has called.
    fn prepare(size: usize) -> Self {
        let (world, store) = (World::new(), SharedStore::start());
        let legacy = Legacy::start("legacy");
        let window = format!("{}s", 10 + size / 100);
        let gateway = || {
            Gateway::builder(&world)
                .backend("legacy", legacy.address)
                .route("/", "legacy", "either")
                .redis(&store.url())
                .set("telemetry.log", "warn")
                .set("self_service.expired_grace", "1h")
                .set("self_service.per_address", 1_000_000)
                .set("migration.window", window.as_str())
                .start()
        };
        let gateways = [gateway(), gateway()];
        let fleet = Fleet::new(size, &world.clients);
        let field = Field {
            tls: Tls::trusting(&world.servers.x509),
            gateways: [gateways[0].address(), gateways[1].address()],
            renew: AtomicBool::new(false),
        };
        Self {
            gateways,
            legacy,
            fleet,
            field,
            report: Report::default(),
            world,
            _store: store,
        }
    }

    /// The whole story; the fleet calls from its beginning to its end.
    fn play(&mut self) {
        let Self {
            fleet,
            field,
            gateways,
            legacy,
            report,
            world,
            ..
        } = self;
        let mut act = Act {
            fleet,
            gateways,
            legacy,
            report,
            world,
        };
        act.register();
        fleet.call_while(field, || {
            act.everybody_calls_by_certificate();
            act.the_short_lived_come(field);
            act.mishaps(field);
            act.certificates_lapse();
            act.the_operator_helps();
            act.announce();
            act.brown_out();
            act.retire_too_early(field);
            act.the_last_ones_move();
            act.retire();
        });
    }

    /// What must be true of every member at the end.
    fn judge(&self) {
        println!("{}", Report::text(&self.fleet));
        let seen = self.legacy.clients();
        assert_eq!(self.legacy.disbelieved(), Vec::<String>::new());
        let (mut ids, mut failures) = (BTreeSet::new(), Vec::new());
        self.fleet.each(|member| {
            let of = |why: &String| format!("{}: {why}", member.name);
            failures.extend(member.failures.iter().map(of));
        });
        assert_eq!(failures, Vec::<String>::new());
        self.fleet.each(|member| {
            assert_eq!(member.uses, Uses::Key, "{} has moved", member.name);
            let own = &seen[&member.name];
            assert_eq!(
                own.len(),
                1,
                "{} was one client throughout: {own:?}",
                member.name
            );
            assert!(
                ids.insert(own.clone()),
                "{} shares its client id {own:?}",
                member.name
            );
        });
    }
}
