//! Gateways that share a store, and gateways that come back.

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::redis::RedisServer;
use crate::support::world::World;

#[tokio::test]
async fn a_key_fetched_at_one_replica_works_at_once_at_the_other() {
    let (world, backend) = (World::new(), Backend::start());
    let redis = RedisServer::start(&[]).await;
    let replica = || {
        Gateway::builder(&world)
            .backend("echo", backend.address())
            .route("/", "echo", "either")
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
