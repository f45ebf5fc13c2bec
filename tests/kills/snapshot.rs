//! A gateway that is killed while it writes its snapshot.

use std::path::Path;
use std::time::{Duration, SystemTime};

use keyferry::certificate::Fingerprint;
use keyferry::clock;
use keyferry::key::{Format, Pepper, Peppers};
use keyferry::secret::Secret;
use keyferry::store::redis::Redis;

use super::gateway::SAFE;
use super::identities;
use super::rounds;
use super::support::backend::Backend;
use super::support::dice::Dice;
use super::support::gateway::{Gateway, PEPPER};
use super::support::redis::RedisServer;
use super::support::world::World;
use super::support::{PATIENCE, linger, wait_for};

/// So many that writing them takes a while.
const IDENTITIES: u32 = 5000;
/// How long after its beginning the writing is broken off at most, in milliseconds.
const WRITING: u64 = 30;

#[test]
fn a_gateway_that_is_killed_while_it_writes_its_snapshot_starts_from_the_one_before() {
    let (world, backend, mut dice) = (World::new(), Backend::start(), Dice::new());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut redis = runtime.block_on(RedisServer::start(&SAFE));
    let key = runtime.block_on(seed(&redis));
    let mut gateway = Gateway::builder(&world)
        .echo(&backend)
        .redis(&redis.url())
        .set("telemetry.log", "warn")
        .set("store.max_stale", "8s")
        .set("store.snapshot", "keyferry.snapshot")
        .start();
    let [whole, new] =
        ["keyferry.snapshot", "keyferry.snapshot.new"].map(|name| gateway.path(name));

    let (rounds, mut kills, mut broken_off) = (rounds(10).div_ceil(10), 0, 0);
    while broken_off < rounds {
        // The first may be of what the gateway began with, and so be of no use soon.
        for _ in 0..2 {
            let known = written_at(&whole);
            wait_for("another snapshot", || {
                (written_at(&whole) != known).then_some(())
            });
        }
        wait_closely("the next to be begun", || new.exists());
        linger(dice.within_ms(WRITING));
        gateway.kill();
        kills += 1;
        broken_off += u64::from(new.exists());
        assert!(kills <= 10 * rounds, "the writing is never met");

        redis.stop();
        gateway.start_again();
        gateway.curl("/").key(&key).send().expect_status(200);
        assert!(
            !gateway.log().contains("does not open"),
            "{}",
            gateway.log()
        );
        assert!(runtime.block_on(redis.start_again()));
        wait_for("the store to be back", || {
            (gateway.metric("keyferry_store_up ") > 0.5).then_some(())
        });
    }
    println!(
        "snapshot: {kills} kills, {broken_off} of them while it was written; each start without \
         Redis was from the one before"
    );
}

fn written_at(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).ok()?.modified().ok()
}

/// Waits for what is so for moments only.
fn wait_closely(what: &str, is_so: impl Fn() -> bool) {
    let begun = clock::monotonic();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        linger(Duration::from_micros(200));
    }
}

/// Fills the store; gives a key that is in it.
async fn seed(redis: &RedisServer) -> String {
    let store = Redis::new(&redis.settings());
    let format = Format::new("kf", "live").expect("a format");
    let peppers = Peppers::new(Pepper::new(1, &Secret::new(PEPPER.as_bytes().to_vec())), []);
    let certificates = (0..IDENTITIES).map(|number| Fingerprint::of(&number.to_be_bytes()));
    let all = identities::make(certificates, &format).expect("identities");
    let written = identities::write(&all, &store, &peppers, clock::now()).await;
    written.expect("a store");
    all[0].key.reveal().to_owned()
}
