//! Sentinels let a replica take the place of the primary.

use keyferry::clock;

use super::load::Load;
use super::network::{felt, too_old};
use super::people::Group;
use super::scene::{LONG, SHORT, Scene, informs, knows, told_at};
use crate::support::gateway::Gateway;
use crate::support::proxy::{Mode, Proxy};
use crate::support::redis::Deployment;
use crate::support::wait_for;

/// A primary, a replica and three sentinels; everybody reaches the two servers through proxies.
struct Watched {
    gateways: [Gateway; 2],
    proxies: Vec<Proxy>,
    redis: Deployment,
    scene: Scene,
    max_stale: &'static str,
}

impl Watched {
    fn start() -> Self {
        Self::with(LONG, |scene, redis| scene.two(redis, LONG))
    }

    fn with(
        max_stale: &'static str,
        gateways: impl FnOnce(&Scene, &Deployment) -> [Gateway; 2],
    ) -> Self {
        let scene = Scene::new();
        let mut proxies = Vec::new();
        let front = |port| {
            proxies.push(Proxy::to(port));
            proxies.last().expect("the one just made").port()
        };
        let redis = scene.wait(Deployment::sentinel_behind(&[], 1, 3, front));
        Self {
            gateways: gateways(&scene, &redis),
            proxies,
            redis,
            scene,
            max_stale,
        }
    }

    fn through(&self, fault: &'static str, story: impl FnOnce(&Load<'_>)) {
        let [one, other] = &self.gateways;
        // Redis replicates when it has answered: what came last may be lost.
        let new = self.redis.servers[1].url();
        let knows = |id: &str| knows(&new, id);
        let load = Load::new(&self.scene.world, [one, other], &knows).may_lose();
        let load = if self.max_stale == SHORT {
            load.known_may_wait()
        } else {
            load
        };
        load.through(fault, story);
    }

    /// Waits until the old primary is a replica.
    fn until_demoted(&self) {
        wait_for("the old primary to be told", || {
            informs(&self.redis.servers[0].url(), "role:slave").then_some(())
        });
    }

    /// Waits until the replica is the primary.
    fn until_promoted(&self) {
        wait_for("the failover", || {
            informs(&self.redis.servers[1].url(), "role:master").then_some(())
        });
    }
}

/// The operator asks for it. The old primary stays where it is and becomes a replica.
#[test]
fn a_failover_by_hand() {
    let watched = Watched::start();
    watched.through("a failover by hand", |load| {
        load.fault(|| watched.redis.sentinels[0].tell("SENTINEL FAILOVER keyferry"));
        watched.until_promoted();
        // Until they hear of it the gateways go on with the old one.
        felt(load, 1);
        load.lift("the sentinels named another primary", || ());
        watched.until_demoted();
    });
}

/// Nothing of it is left: no connection survives.
#[test]
fn a_failover_from_a_primary_that_died() {
    let mut watched = Watched::start();
    let mut old = watched.redis.servers.remove(0);
    let new = watched.redis.servers[0].url();
    let knows = |id: &str| knows(&new, id);
    let [one, other] = &watched.gateways;
    let load = Load::new(&watched.scene.world, [one, other], &knows).may_lose();
    load.through("a failover from a primary that died", |load| {
        load.fault(|| old.stop());
        told_at(&old.url(), "PING").unwrap_err();
        wait_for("the failover", || {
            informs(&watched.redis.servers[0].url(), "role:master").then_some(())
        });
        load.lift("the sentinels named another primary", || ());
    });
}

/// Connections to it are there, and nothing goes through. It comes back in the end, as a replica.
#[test]
fn a_failover_from_a_primary_that_cannot_be_reached() {
    let watched = Watched::start();
    watched.through("a failover from a primary that cannot be reached", |load| {
        load.fault(|| watched.proxies[0].set(Mode::Hold));
        let told = told_at(&watched.redis.servers[0].url(), "ROLE");
        assert!(told.unwrap().contains("master"), "it thinks so");
        watched.until_promoted();
        load.lift("the sentinels named another primary", || ());
        load.rounds();
        watched.proxies[0].set(Mode::Pass);
        watched.until_demoted();
    });
}

/// The old primary is alive and thinks that it is the primary, and the gateways' connections to it
/// go on; only the sentinels cannot speak with it.
#[test]
fn a_failover_from_a_primary_that_lives_on() {
    let watched = Watched::start();
    watched.through("a failover from a primary that lives on", |load| {
        let old = &watched.redis.servers[0];
        let connections = watched.proxies[0].live();
        load.fault(|| old.tell("ACL SETUSER watch -@all"));
        watched.until_promoted();
        assert!(informs(&old.url(), "role:master"), "it thinks so");
        assert!(watched.proxies[0].live() >= connections / 2, "they stay");
        felt(load, 1);
        load.lift("the sentinels named another primary", || ());
        load.until("keys to be issued", 3, |heard| {
            heard.group == Group::Asking && heard.status == 201
        });
        assert!(informs(&old.url(), "role:master"), "it thinks so still");
        old.tell("ACL SETUSER watch +@all");
        watched.until_demoted();
    });
}

/// The same, and one gateway hears no sentinel; but the old primary takes no writes without its
/// replica, which tells.
#[test]
fn a_gateway_cut_off_with_a_primary_that_lives_on() {
    let mut ways = Vec::new();
    let watched = Watched::with(SHORT, |scene, redis| {
        let sentinels = redis.sentinels.iter();
        ways.extend(sentinels.map(|sentinel| Proxy::to(sentinel.port())));
        let through: Vec<_> = ways
            .iter()
            .map(|way| format!("127.0.0.1:{}", way.port()))
            .collect();
        let gateway = || {
            let gateway = scene.gateway().in_redis(redis);
            gateway.set("store.max_stale", SHORT)
        };
        let cut_off = gateway().set("store.sentinel.addresses", through);
        [cut_off.start(), gateway().start()]
    });
    let old = &watched.redis.servers[0];
    old.tell("CONFIG SET min-replicas-to-write 1");
    let all = |mode| ways.iter().for_each(|way| way.set(mode));
    watched.through("a gateway cut off with a primary that lives on", |load| {
        load.fault(|| {
            all(Mode::Hold);
            old.tell("ACL SETUSER watch -@all");
        });
        watched.until_promoted();
        wait_for("the replica to leave", || {
            let told = told_at(&old.url(), "SET a b").err()?;
            told.contains("NOREPLICAS").then_some(())
        });
        let replaced = clock::monotonic();
        assert!(informs(&old.url(), "role:master"), "it thinks so");
        load.until("keys to be issued and revoked", 3, |heard| {
            heard.group == Group::Asking && matches!(heard.status, 201 | 204)
        });
        felt(load, 3);
        too_old(load);
        load.never("told that a good key is unknown", replaced, |heard| {
            heard.group == Group::Lost
        });
        assert!(informs(&old.url(), "role:master"), "it thinks so still");
        load.lift("the sentinels could be heard again", || all(Mode::Pass));
        old.tell("ACL SETUSER watch +@all");
        watched.until_demoted();
    });
}
