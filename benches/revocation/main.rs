//! How soon a revocation is heeded by three gateways that share a Redis: real processes, asked over
//! kept connections until they refuse the key.
//!
//! `make bench-revocation`; docs/RELIABILITY.md says what the figures mean.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "a tool that measures, prints, and fails loudly"
)]

#[path = "../compare/identities.rs"]
mod identities;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyferry::certificate::Fingerprint;
use keyferry::clock::{self, monotonic};
use keyferry::key::{self, ApiKey, Format, KeyId, Pepper, Peppers};
use keyferry::secret::Secret;
use keyferry::store::redis::Redis;
use keyferry::store::{Actor, Record, RecordId, Store, Versioned};

use support::backend::Backend;
use support::dice::Dice;
use support::gateway::{Gateway, PEPPER};
use support::redis::RedisServer;
use support::wire::{Tls, Wire};
use support::world::World;
use support::{Over, linger};
use tokio::runtime::Runtime;

const GATEWAYS: usize = 3;
/// How many revocations in each setting, unless told otherwise.
const REVOCATIONS: usize = 300;
/// How often each gateway is asked: nothing is told apart that is closer together.
const PERIOD: Duration = Duration::from_millis(2);
/// How often it is asked again once it refused.
const AGAIN: usize = 5;
/// How long nobody asks before the next revocation at most, in milliseconds.
const PAUSE: u64 = 200;
/// The time between requests of the load, at each gateway.
const LOAD: Duration = Duration::from_millis(10);
/// How long until the next connection for events is cut at most, in milliseconds.
const CUT: u64 = 250;
/// After so long a revocation counts as not heeded.
const PATIENCE: Duration = Duration::from_mins(1);

/// Under what circumstances is measured.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    has_load: bool,
    has_cuts: bool,
}

const SETTINGS: [Setting; 4] = [
    Setting::new("idle", false, false),
    Setting::new("idle, connections cut", false, true),
    Setting::new("load", true, false),
    Setting::new("load, connections cut", true, true),
];

/// From the revocation to its being heeded by each gateway.
#[derive(Default)]
struct Latencies {
    from_call: Vec<Duration>,
    from_acknowledgement: Vec<Duration>,
}

/// Three gateways, and who asks them.
struct Scene {
    gateways: [Gateway; GATEWAYS],
    backend: Backend,
    tls: Tls,
    store: Redis,
    redis: RedisServer,
    runtime: Runtime,
}

fn main() {
    // Cargo adds words of its own.
    let told = std::env::args().find_map(|text| text.parse().ok());
    let revocations = told.unwrap_or(REVOCATIONS);
    let (scene, mut dice) = (Scene::set(), Dice::new());
    let mut keys = scene.keys(SETTINGS.len() * revocations + 1);
    let kept = keys.pop().unwrap();
    println!(
        "| | revocations | cuts | from the call p50 | p99 | max | from the acknowledgement p50 | p99 | max |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (setting, keys) in SETTINGS.iter().zip(keys.chunks(revocations)) {
        let (latencies, cuts) = scene.measure(*setting, keys, &kept, &mut dice);
        let row = [latencies.from_call, latencies.from_acknowledgement].map(quantiles);
        println!(
            "| {} | {revocations} | {cuts} | {} |",
            setting.name,
            row.join(" | ")
        );
        scene.expect_refused(keys);
    }
}

fn quantiles(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let at = |per_cent: usize| all[(all.len() * per_cent).div_ceil(100) - 1];
    let ms = |latency: Duration| format!("{:.1} ms", latency.as_secs_f64() * 1e3);
    [50, 99, 100].map(|per_cent| ms(at(per_cent))).join(" | ")
}

impl Setting {
    const fn new(name: &'static str, has_load: bool, has_cuts: bool) -> Self {
        Self {
            name,
            has_load,
            has_cuts,
        }
    }
}

impl Scene {
    fn set() -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let runtime = Runtime::new().unwrap();
        let redis = runtime.block_on(RedisServer::start(&["--appendonly", "yes"]));
        let gateways = [(); GATEWAYS].map(|()| {
            Gateway::builder(&world)
                .backend("echo", backend.address())
                .route("/", "echo", "either")
                .redis(&redis.url())
                .set("telemetry.log", "warn")
                .start()
        });
        Self {
            gateways,
            backend,
            tls: Tls::trusting(&world.servers.x509),
            store: Redis::new(&redis.settings()),
            redis,
            runtime,
        }
    }

    /// So many keys, each of a client of its own.
    fn keys(&self, number: usize) -> Vec<ApiKey> {
        let format = Format::new("kf", "live").unwrap();
        let pepper = Secret::new(PEPPER.as_bytes().to_vec());
        let peppers = Peppers::new(Pepper::new(1, &pepper), []);
        let certificates = (0..number).map(|number| Fingerprint::of(&number.to_be_bytes()));
        let all = identities::make(certificates, &format).unwrap();
        let writing = identities::write(&all, &self.store, &peppers, clock::now());
        self.runtime.block_on(writing).unwrap();
        all.into_iter().map(|identity| identity.key).collect()
    }

    fn connect(&self, gateway: usize) -> Wire {
        let address = self.gateways[gateway].address();
        self.tls.connect(address, None).unwrap()
    }

    /// Revokes one key after the other; gives the latencies at all gateways, and how often a
    /// connection was cut.
    fn measure(
        &self,
        setting: Setting,
        keys: &[ApiKey],
        kept: &ApiKey,
        dice: &mut Dice,
    ) -> (Latencies, usize) {
        let (over, cuts) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut chance = Dice::of(dice.number());
        let mut latencies = Latencies::default();
        std::thread::scope(|scope| {
            for gateway in (0..GATEWAYS).filter(|_| setting.has_load) {
                let over = &over;
                scope.spawn(move || self.load(gateway, kept, over));
            }
            if setting.has_cuts {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        linger(chance.within_ms(CUT));
                        if let Some(number) = chance.pick(&self.redis.followers()) {
                            self.redis.cut(number);
                            cuts.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            let _over = Over(&over);
            let mut wires = [0, 1, 2].map(|gateway| self.connect(gateway));
            for key in keys {
                self.backend.forget();
                linger(dice.within_ms(PAUSE));
                let (called, acknowledged, heeded) = self.revoke(key, &mut wires);
                for at in heeded {
                    latencies
                        .from_call
                        .push(at.saturating_duration_since(called));
                    // Most gateways hear of it before whoever asked for it.
                    let later = at.saturating_duration_since(acknowledged);
                    latencies.from_acknowledgement.push(later);
                }
            }
        });
        (latencies, cuts.load(Ordering::Relaxed))
    }

    /// Revokes a key that every gateway takes; gives when, when that was acknowledged, and when each
    /// gateway had refused it.
    fn revoke(
        &self,
        key: &ApiKey,
        wires: &mut [Wire; GATEWAYS],
    ) -> (Instant, Instant, Vec<Instant>) {
        let change = self.change(key.id());
        let taken = Barrier::new(GATEWAYS + 1);
        std::thread::scope(|scope| {
            let askers: Vec<_> = wires
                .iter_mut()
                .map(|wire| scope.spawn(|| until_refused(wire, key, &taken)))
                .collect();
            taken.wait();
            let called = monotonic();
            self.runtime.block_on(self.store.commit(&change)).unwrap();
            let acknowledged = monotonic();
            let heeded = askers.into_iter().map(|asker| asker.join().unwrap());
            (called, acknowledged, heeded.collect())
        })
    }

    fn change(&self, id: KeyId) -> keyferry::store::Change {
        let found = self.runtime.block_on(self.store.get(&RecordId::Key(id)));
        let Some(Versioned {
            version,
            record: Record::Key(record),
        }) = found.unwrap()
        else {
            panic!("{id} is no key")
        };
        let by = Actor::Operator {
            name: "bench".to_owned(),
        };
        key::revoke((version, record), by, clock::now())
    }

    /// Steady requests with a key that stays.
    fn load(&self, gateway: usize, key: &ApiKey, over: &AtomicBool) {
        let mut wire = self.connect(gateway);
        while !over.load(Ordering::Relaxed) {
            let begun = monotonic();
            assert_eq!(ask(&mut wire, key), 200);
            linger(LOAD.saturating_sub(begun.elapsed()));
        }
    }

    /// What was revoked stays so, everywhere.
    fn expect_refused(&self, keys: &[ApiKey]) {
        for gateway in 0..GATEWAYS {
            let mut wire = self.connect(gateway);
            for key in keys {
                assert_eq!(ask(&mut wire, key), 401);
            }
        }
    }
}

/// Asks again and again; gives when the first refusal had come. None is followed by another answer.
fn until_refused(wire: &mut Wire, key: &ApiKey, taken: &Barrier) -> Instant {
    let is_taken = ask(wire, key) == 200;
    taken.wait();
    assert!(is_taken, "before it was revoked");
    let begun = monotonic();
    let mut ask_once = || {
        let asked = monotonic();
        let status = ask(wire, key);
        let answered = monotonic();
        linger(PERIOD.saturating_sub(asked.elapsed()));
        (status, answered)
    };
    let refused = loop {
        match ask_once() {
            (200, at) => assert!(at - begun < PATIENCE, "it is not heeded"),
            (401, at) => break at,
            (status, _) => panic!("{status}"),
        }
    };
    for _ in 0..AGAIN {
        assert_eq!(ask_once().0, 401, "after it was refused");
    }
    refused
}

fn ask(wire: &mut Wire, key: &ApiKey) -> u16 {
    let key = format!("Authorization: Bearer {}", key.reveal());
    wire.call("GET", "/", &[key]).unwrap().status
}
