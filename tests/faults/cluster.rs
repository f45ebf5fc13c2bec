//! A cluster loses a node, and moves our keys to another one.

use super::load::Load;
use super::scene::{LONG, Scene, informs, knows, told_at};
use crate::support::redis::{Deployment, RedisServer};
use crate::support::wait_for;

/// The slot of all our keys.
const SLOT: &str = "7088";

/// The node that serves our keys dies; its replica takes its place.
#[test]
fn a_cluster_node_that_dies() {
    let scene = Scene::new();
    let mut redis = scene.wait(Deployment::cluster(&[], 1));
    let [one, other] = scene.two(&redis, LONG);
    let mut old = redis.servers.remove(0);
    let new = &redis.servers[0];
    let url = new.url();
    let knows = |id: &str| knows(&url, id);
    let load = Load::new(&scene.world, [&one, &other], &knows).may_lose();
    load.through("a cluster node that dies", |load| {
        load.fault(|| old.stop());
        told_at(&old.url(), "PING").unwrap_err();
        wait_for("the failover", || {
            informs(&url, "role:master").then_some(())
        });
        load.lift("the cluster, which let its replica take its place", || ());
    });
}

/// Key by key, as a cluster is made larger.
#[test]
fn a_slot_that_moves() {
    let scene = Scene::new();
    let redis = scene.wait(Deployment::cluster(&[], 0));
    let [from, to, third] = &redis.servers[..] else {
        panic!("three nodes");
    };
    let [one, other] = scene.two(&redis, LONG);
    let load = Load::new(&scene.world, [&one, &other], &|_| true);
    load.through("a slot that moves", |load| {
        let [from_id, to_id] = [from, to].map(RedisServer::node_id);
        load.fault(|| {
            to.tell(&format!("CLUSTER SETSLOT {SLOT} IMPORTING {from_id}"));
            from.tell(&format!("CLUSTER SETSLOT {SLOT} MIGRATING {to_id}"));
        });
        let port = to.port();
        let mut moved = 0;
        loop {
            let keys = from.tell(&format!("CLUSTER GETKEYSINSLOT {SLOT} 2"));
            let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
            if keys.is_empty() {
                break;
            }
            for key in keys {
                from.tell(&format!("MIGRATE 127.0.0.1 {port} {key} 0 1000"));
                moved += 1;
            }
            // Some keys are here and some are there.
            load.rounds();
        }
        assert!(moved > 5, "{moved} keys");
        let told = told_at(&from.url(), "GET kf:{kf}:epoch").unwrap_err();
        assert!(told.contains("ASK") || told.contains("MOVED"), "{told}");
        load.lift("the slot has arrived", || {
            for node in [to, from, third] {
                node.tell(&format!("CLUSTER SETSLOT {SLOT} NODE {to_id}"));
            }
        });
    });
}
