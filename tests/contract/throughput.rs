//! How many changes a second Redis takes, and what their events cost: measurements, run by hand.

use std::sync::Arc;
use std::time::Duration;

use keyferry::certificate::Fingerprint;
use keyferry::clock;
use keyferry::store::{Epoch, Store};
use tokio::task::JoinSet;

use super::adapter::{Kind, Rig};
use super::records::{described, enrolment, replace};

/// How many change records at once, in each process.
const AT_ONCE: usize = 32;
const FOR: Duration = Duration::from_secs(5);

/// Each committer changes a record of its own, again and again.
async fn changes_a_second(stores: &[Arc<dyn Store>], round: &str) -> (u128, Duration) {
    let mut committers = JoinSet::new();
    let begun = clock::monotonic();
    for (process, store) in stores.iter().enumerate() {
        for n in 0..AT_ONCE {
            let (store, name) = (Arc::clone(store), format!("{round}-{process}-{n}"));
            committers.spawn(async move {
                let (mut version, mut done, mut longest) = (Epoch::NONE, 0, Duration::ZERO);
                while begun.elapsed() < FOR {
                    let one = clock::monotonic();
                    let change = replace(version, described(&name, "changed again and again"));
                    version = store.commit(&change).await.unwrap().epoch;
                    longest = longest.max(one.elapsed());
                    done += 1;
                }
                (done, longest)
            });
        }
    }
    let done = committers.join_all().await;
    let changes: u128 = done.iter().map(|(done, _)| done).sum();
    let longest = done.iter().map(|(_, longest)| *longest).max().unwrap();
    (changes * 1000 / begun.elapsed().as_millis(), longest)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test --test contract throughput -- --ignored --nocapture"]
async fn changes_from_one_process_and_from_three() {
    let rig = Rig::start(Kind::Redis).await;
    for processes in [1, 3] {
        let mut stores = Vec::new();
        for _ in 0..processes {
            stores.push(rig.handle().await);
        }
        let (rate, longest) = changes_a_second(&stores, &format!("p{processes}")).await;
        println!("{processes} × {AT_ONCE}: {rate} changes a second, the longest took {longest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test --test contract throughput -- --ignored --nocapture"]
async fn what_events_cost() {
    const EVENTS: u64 = 10_000;
    let rig = Rig::start(Kind::Redis).await;
    let store = rig.handle().await;
    let mut before = 0;
    for kind in ["first sights", "changes of one client"] {
        let mut committers = JoinSet::new();
        for n in 0..EVENTS {
            let change = match kind {
                "first sights" => enrolment(Fingerprint::of(&n.to_be_bytes())),
                _ => replace(
                    Epoch::NONE,
                    described(&format!("one-{n}"), "described in a few words"),
                ),
            };
            let store = Arc::clone(&store);
            committers.spawn(async move { store.commit(&change).await.unwrap() });
            if committers.len() == AT_ONCE {
                committers.join_next().await;
            }
        }
        committers.join_all().await;
        let bytes = rig.bytes_of("kf:{kf}:events");
        println!("{kind}: {} bytes an event", (bytes - before) / EVENTS);
        before = bytes;
    }
}
