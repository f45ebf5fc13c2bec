//! Gateways that share a store, and gateways that come back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::backend::Backend;
use crate::support::dice::Dice;
use crate::support::gateway::Gateway;
use crate::support::redis::{Deployment, RedisServer};
use crate::support::store::SharedStore;
use crate::support::wire::Tls;
use crate::support::world::World;
use crate::support::{Over, linger, wait_for};

#[tokio::test]
async fn a_key_fetched_at_one_replica_works_at_once_at_the_other() {
    let (world, backend) = (World::new(), Backend::start());
    let redis = RedisServer::start(&[]).await;
    let replica = || {
        Gateway::builder(&world)
            .echo(&backend)
            .redis(&redis.url())
            .start()
    };
    let (one, other) = (replica(), replica());
    let alice = world.client("alice");
    let key = one.claim_key(&alice);
    other.curl("/").key(&key).send().expect_status(200);
    let by_key = backend.last();
    other
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    let by_certificate = backend.last();
    assert_eq!(by_key.header("x-key-id"), by_certificate.header("x-key-id"));
}

#[test]
fn clients_and_keys_outlive_the_gateway_with_the_embedded_store() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    gateway.curl("/").key(&key).send().expect_status(200);
    let before = backend.last();

    assert!(gateway.stop().success(), "{}", gateway.log());
    gateway.start_again();
    gateway.curl("/").key(&key).send().expect_status(200);
    assert_eq!(backend.last().header("x-key-id"), before.header("x-key-id"));

    gateway.kill();
    gateway.start_again();
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    assert_eq!(backend.last().header("x-key-id"), before.header("x-key-id"));
}

#[tokio::test]
async fn gateways_share_a_redis_of_every_shape() {
    let (world, backend) = (World::new(), Backend::start());
    for redis in [
        Deployment::tls(&[]).await,
        Deployment::sentinel(&[], 0, 1).await,
        Deployment::cluster(&[], 0).await,
    ] {
        let replica = || {
            let builder = Gateway::builder(&world).echo(&backend);
            builder.in_redis(&redis).start()
        };
        let (one, other) = (replica(), replica());
        let key = one.claim_key(&world.client("alice"));
        other.curl("/").key(&key).send().expect_status(200);
        let listed = other.cli(&["client", "list"]).expect_success();
        assert!(listed.output.contains("alice"), "{listed:#?}");
    }
}

/// Exit status 3: it is done, and a failover could undo it.
#[tokio::test]
async fn the_operator_is_told_whether_replicas_have_what_was_taken_away() {
    let (world, backend) = (World::new(), Backend::start());
    let redis = Deployment::replicated(&[], 1).await;
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .redis(&redis.first().url())
        .start();
    for client in ["bob", "carol"] {
        let given = gateway.cli(&["client", "add", client]).expect_success();
        assert!(!given.errors.contains("replicas"), "{given:#?}");
    }
    let disable = |client| gateway.cli(&["client", "disable", client]);
    let taken = disable("bob").expect_success();
    assert_eq!(taken.errors, "acknowledged by 1 of 1 replicas\n");
    gateway.cli(&["client", "enable", "bob"]).expect_success();
    let taken = gateway.cli(&["client", "disable", "bob", "--output", "json"]);
    let taken = taken.expect_success();
    assert_eq!(taken.errors, "");
    assert_eq!(taken.json()["replicas"]["by"], 1);
    assert_eq!(taken.json()["replicas"]["of"], 1);

    redis.servers[1].freeze();
    let taken = disable("carol");
    assert_eq!(taken.status.code(), Some(3), "{taken:#?}");
    assert!(taken.output.contains("carol"), "{taken:#?}");
    for told in ["acknowledged by 0 of 1 replicas", "the change stands"] {
        assert!(taken.errors.contains(told), "{taken:#?}");
    }
    // Nothing is left to do, so nobody has to acknowledge it.
    disable("carol").expect_success();
}

/// Whoever cuts the connections on which gateways hear of changes delays no revocation for long, and
/// undoes none. `make bench-revocation` measures how long.
#[test]
fn every_replica_heeds_revocations_while_the_connections_for_events_are_cut() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateways = [(); 3].map(|()| {
        Gateway::builder(&world)
            .echo(&backend)
            .redis(&store.url())
            .start()
    });
    let keys = [0, 1, 2].map(|n| gateways[n].claim_key(&world.client(&format!("client-{n}"))));
    let tls = Tls::trusting(&world.servers.x509);
    let connect = |gateway: &Gateway| tls.connect(gateway.address(), None).unwrap();
    let mut wires = gateways.each_ref().map(connect);
    let mut statuses = |key| {
        let key = [format!("Authorization: Bearer {key}")];
        wires
            .each_mut()
            .map(|wire| wire.call("GET", "/", &key).unwrap().status)
    };
    let (over, cuts, mut dice) = (AtomicBool::new(false), AtomicUsize::new(0), Dice::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let Some(number) = dice.pick(&store.server().followers()) {
                    store.server().cut(number);
                    cuts.fetch_add(1, Ordering::Relaxed);
                }
                linger(dice.within_ms(100));
            }
        });
        let _over = Over(&over);
        for key in &keys {
            wait_for("the key everywhere", || {
                (statuses(key) == [200; 3]).then_some(())
            });
            let before = cuts.load(Ordering::Relaxed);
            wait_for("further cuts", || {
                (cuts.load(Ordering::Relaxed) > before + 3).then_some(())
            });
            let id = key.split('_').nth(2).unwrap();
            gateways[0].cli(&["key", "revoke", id]).expect_success();
            wait_for("the revocation everywhere", || {
                (statuses(key) == [401; 3]).then_some(())
            });
        }
        for key in &keys {
            assert_eq!(statuses(key), [401; 3], "what was revoked stays so");
        }
    });
}
