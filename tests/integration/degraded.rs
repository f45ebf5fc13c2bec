//! Gateways whose Redis is gone: for how long they go on, and how they start.

use keyferry::key::KeyId;

use crate::support::gateway::Gateway;
use crate::support::key::forged;
use crate::support::scene::Scene;
use crate::support::wait_for;

const BASE: &str = "/.well-known/keyferry";

impl Scene {
    fn gateway_with(&self, set: &[(&str, &str)]) -> Gateway {
        let set = set.iter().fold(self.builder(), |builder, (path, value)| {
            builder.set(path, *value)
        });
        set.start()
    }
}

fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.curl("/").key(key).send().status
}

#[test]
fn known_clients_are_served_for_max_stale_and_then_told_to_come_again() {
    let mut scene = Scene::new();
    let gateway = scene.gateway_with(&[("store.max_stale", "5s")]);
    let alice = scene.world.client("alice");
    let key = gateway.claim_key(&alice);
    scene.store.stop();
    assert_eq!(status(&gateway, &key), 200);
    assert_eq!(gateway.health("/readyz"), 200);
    wait_for("what is known to be too old", || {
        (status(&gateway, &key) == 503).then_some(())
    });
    for ask in [
        gateway.curl("/").key(&key),
        gateway.curl("/").certificate(&alice),
    ] {
        let answer = ask.send().expect_refusal(503, "store_unavailable");
        assert!(answer.header("retry-after").parse::<u64>().is_ok());
    }
    assert_eq!(gateway.health("/readyz"), 503);
    assert!(gateway.metric("keyferry_directory_age_seconds") >= 5.0);

    scene.store.start_again();
    wait_for("the store to be back", || {
        (status(&gateway, &key) == 200).then_some(())
    });
    assert_eq!(gateway.health("/readyz"), 200);
}

#[test]
fn a_gateway_starts_from_its_snapshot_while_redis_is_gone() {
    let mut scene = Scene::new();
    let mut gateway = scene.gateway_with(&[("store.snapshot", "keyferry.snapshot")]);
    let (alice, bob) = (scene.world.client("alice"), scene.world.client("bob"));
    let [key, revoked] = [&alice, &bob].map(|client| gateway.claim_key(client));
    let id = revoked.split('_').nth(2).unwrap();
    let delete = gateway.curl(&format!("{BASE}/keys/{id}")).method("DELETE");
    delete.key(&revoked).send().expect_status(204);
    let stranger = forged(&KeyId::generate().to_string());
    assert!(gateway.stop().success());
    scene.store.stop();

    gateway.start_again();
    assert_eq!(gateway.health("/readyz"), 200);
    assert_eq!(status(&gateway, &key), 200);
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    let by_revoked = gateway.curl("/").key(&revoked).send();
    by_revoked.expect_refusal(401, "key_invalid");
    let carol = scene.world.client("carol");
    for ask in [
        gateway.curl("/").key(&stranger),
        gateway.curl("/").certificate(&carol),
        gateway
            .curl(&format!("{BASE}/key"))
            .method("POST")
            .certificate(&bob),
        gateway
            .curl(&format!("{BASE}/key/rotate"))
            .method("POST")
            .key(&key),
    ] {
        ask.send().expect_refusal(503, "store_unavailable");
    }

    scene.store.start_again();
    wait_for("the store to be back", || {
        (status(&gateway, &stranger) == 401).then_some(())
    });
    assert_eq!(status(&gateway, &key), 200);
    // While everything is loaded she may have to wait once more.
    wait_for("somebody new to be let in", || {
        let told = gateway.curl("/").certificate(&carol).send().status;
        assert!([200, 503].contains(&told), "{told}");
        (told == 200).then_some(())
    });
}

/// The client was shut out while this gateway did not run, and the store lost that. Without the
/// snapshot it would be let in again.
#[test]
fn a_revocation_in_the_snapshot_outlives_a_store_that_lost_it() {
    let scene = Scene::new();
    let dump = |key: &str| -> Vec<u8> {
        let mut dump = redis::cmd("DUMP");
        dump.arg(key).query(&mut scene.store.connection()).unwrap()
    };
    let mut gateway = scene.gateway_with(&[("store.snapshot", "keyferry.snapshot")]);
    let alice = scene.world.client("alice");
    let key = gateway.claim_key(&alice);
    let id = key.split('_').nth(2).unwrap().to_owned();
    let names = ["epoch", "events", "key"].map(|name| format!("kf:{{kf}}:{name}"));
    let saved = names.each_ref().map(|name| dump(name));
    let told = gateway.cli(&["key", "revoke", &id]).expect_success();
    assert!(told.errors.is_empty() || !told.output.is_empty());
    wait_for("the revocation", || {
        (status(&gateway, &key) == 401).then_some(())
    });
    assert!(gateway.stop().success());

    for (name, dumped) in names.iter().zip(&saved) {
        let mut restore = redis::cmd("RESTORE");
        restore.arg(name).arg(0).arg(dumped).arg("REPLACE");
        let () = restore.query(&mut scene.store.connection()).unwrap();
    }
    // The control: a gateway that has no snapshot.
    let naive = scene.gateway_with(&[]);
    assert_eq!(status(&naive, &key), 200);
    drop(naive);

    gateway.start_again();
    assert_eq!(status(&gateway, &key), 401);
    wait_for("the alarm", || {
        (gateway.metric("keyferry_store_epoch_regressions_total") > 0.5).then_some(())
    });
    wait_for("the store to have it again", || {
        (gateway.metric("keyferry_tombstones") < 0.5).then_some(())
    });
    assert_eq!(status(&gateway, &key), 401);
    let naive = scene.gateway_with(&[]);
    assert_eq!(status(&naive, &key), 401);
}

/// An older copy takes the store's place. Until the gateway has noticed, changes of the copy have
/// numbers that it takes for known.
#[test]
fn a_revocation_is_acknowledged_when_it_holds_here_and_not_before() {
    let scene = Scene::new();
    let mut redis = scene.store.connection();
    let gateway = scene.gateway_with(&[]);
    let [by_client, by_operator] =
        ["alice", "bob"].map(|name| gateway.claim_key(&scene.world.client(name)));
    let all: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    let mut older = redis::pipe();
    older.atomic().cmd("FLUSHALL").ignore();
    for key in all {
        let dumped: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut redis).unwrap();
        older.cmd("RESTORE").arg(key).arg(0).arg(dumped).ignore();
    }
    // And so much that is lost. The last of it begins another wait for events.
    for name in ["carol", "dave"] {
        gateway.claim_key(&scene.world.client(name));
    }
    older.exec(&mut redis).unwrap();

    let id = |key: &str| key.split('_').nth(2).unwrap().to_owned();
    gateway
        .cli(&["key", "revoke", &id(&by_operator)])
        .expect_success();
    for key in [&by_client, &by_operator] {
        let delete = gateway.curl(&format!("{BASE}/keys/{}", id(key)));
        let answer = delete.method("DELETE").key(key).send().status;
        match answer {
            204 => assert_eq!(status(&gateway, key), 401, "it was acknowledged"),
            401 | 503 => {}
            other => panic!("{other}"),
        }
    }
    for key in [&by_client, &by_operator] {
        wait_for("the revocation", || {
            (status(&gateway, key) == 401).then_some(())
        });
    }
}

#[test]
fn a_damaged_snapshot_is_refused_and_the_gateway_starts_without_it() {
    let scene = Scene::new();
    let path = scene.world.path("keyferry.snapshot");
    let set = [("store.snapshot", path.to_str().unwrap())];
    let mut gateway = scene.gateway_with(&set);
    let key = gateway.claim_key(&scene.world.client("alice"));
    assert!(gateway.stop().success());
    let whole = std::fs::read(&path).unwrap();
    for (damaged, told) in [
        (&whole[..whole.len() - 1], "does not open"),
        (b"something else".as_slice(), "is no snapshot"),
    ] {
        std::fs::write(&path, damaged).unwrap();
        gateway.start_again();
        assert_eq!(status(&gateway, &key), 200, "from the store");
        assert!(gateway.log().contains(told), "{}", gateway.log());
        assert!(gateway.stop().success());
    }
    let again = std::fs::read(&path).unwrap();
    assert_eq!(again[..21], whole[..21], "it was written anew");
}
