//! Gateways that share a store: whoever asks one hears of all.

use serde_json::Value as Json;

use super::{Tokens, embedded};
use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::scene::Scene;
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::World;

/// What `gateway` says of them, in the order in which they started.
fn replicas(gateway: &Gateway, tokens: &Tokens) -> Vec<Json> {
    let asked = tokens.get(gateway, "viewer", "/v1/replica/list").send();
    let told = asked.expect_status(200).json();
    let mut replicas = told["replicas"].as_array().unwrap().clone();
    replicas.sort_by_key(|one| one["id"].as_str().unwrap().to_owned());
    replicas
}

fn each<'a>(replicas: &'a [Json], what: &str) -> Vec<&'a str> {
    let text = |one: &'a Json| one[what].as_str().unwrap();
    replicas.iter().map(text).collect()
}

/// The page of `gateway` at `path`, for a viewer.
fn page(gateway: &Gateway, tokens: &Tokens, path: &str) -> String {
    let login = gateway.admin("/login").method("POST");
    let form = format!("token={}&next=/", tokens.text("viewer"));
    let seated = login.body(form).send().expect_status(303);
    let cookie = seated.header("set-cookie").split(';').next().unwrap();
    let page = gateway.admin(path).header(&format!("Cookie: {cookie}"));
    page.send().expect_status(200).text()
}

/// Makes what the gateway `id` told older by so many seconds.
fn age(store: &SharedStore, id: &str, seconds: u64) {
    let mut redis = store.connection();
    let hour = keyferry::clock::now().as_unix() / 3600;
    for hour in [hour, hour - 1] {
        let key = format!("kf:{{kf}}:replicas:{hour}");
        let told: Option<String> = redis::cmd("HGET")
            .arg(&key)
            .arg(id)
            .query(&mut redis)
            .unwrap();
        let Some(told) = told else { continue };
        let (at, told) = told.split_once(' ').unwrap();
        let older = format!("{} {told}", at.parse::<u64>().unwrap() - seconds);
        let mut put = redis::cmd("HSET");
        put.arg(&key)
            .arg(id)
            .arg(older)
            .query::<()>(&mut redis)
            .unwrap();
    }
}

#[test]
fn every_gateway_of_a_store_is_shown_until_it_is_gone_and_then_for_a_while() {
    let (scene, tokens) = (Scene::new(), Tokens::new());
    let start = || tokens.of(scene.builder()).start();
    let (one, mut two, mut three) = (start(), start(), start());
    let told = wait_for("three that are ready", || {
        let told = replicas(&one, &tokens);
        (each(&told, "state") == ["ready"; 3]).then_some(told)
    });
    assert_eq!(each(&told, "version"), [env!("CARGO_PKG_VERSION"); 3]);
    for replica in &told {
        assert_eq!(
            replica["differs_in"].as_array().unwrap().len(),
            0,
            "{told:#?}"
        );
        assert_eq!(replica["configuration_taken_over"], true);
    }
    // A command needs no gateway for it.
    let listed = one.cli(&["replica", "list", "--output", "json"]);
    let listed = listed.expect_success().json();
    assert_eq!(listed["replicas"].as_array().unwrap().len(), 3);
    let shown = one.cli(&["replica", "list"]).expect_success().output;
    assert_eq!(
        shown
            .lines()
            .filter(|line| line.contains(" ready "))
            .count(),
        3,
        "{shown}"
    );

    // One of them is told something else.
    let other = toml::toml! { per_client = 9 };
    two.deploy(
        |config| {
            let keys = config["key"].as_table_mut().unwrap();
            keys.extend(other);
        },
        &[],
    );
    let id = each(&told, "id")[1].to_owned();
    wait_for("the one that differs", || {
        let told = replicas(&one, &tokens);
        let differs = told
            .iter()
            .filter(|one| one["differs_in"][0] == "configuration");
        let differs: Vec<_> = differs.map(|one| one["id"].as_str().unwrap()).collect();
        (differs == [id.as_str()]).then_some(())
    });
    let health = page(&one, &tokens, "/health");
    assert!(health.contains("not that of the others"), "{health}");

    // Who ends says so, and who dies is missed.
    two.stop();
    three.kill();
    let gone = each(&told, "id")[2].to_owned();
    let state = |id: &str| {
        let told = replicas(&one, &tokens);
        let found = told.iter().find(|one| one["id"] == id);
        found.map(|one| one["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(state(&id).as_deref(), Some("stopped"));
    age(&scene.store, &gone, 100);
    assert_eq!(state(&gone).as_deref(), Some("gone"));
    let health = page(&one, &tokens, "/health");
    assert!(
        health.contains(">stopped<") && health.contains(">gone<"),
        "{health}"
    );
    age(&scene.store, &gone, 3_600);
    assert_eq!(state(&gone), None);
}

#[test]
fn what_is_no_word_of_a_gateway_hides_no_other_and_a_store_that_is_away_is_told() {
    let (mut scene, tokens) = (Scene::new(), Tokens::new());
    let gateway = tokens.of(scene.builder()).start();
    wait_for("a gateway that is ready", || {
        let told = replicas(&gateway, &tokens);
        (each(&told, "state") == ["ready"]).then_some(())
    });
    let hour = keyferry::clock::now().as_unix() / 3600;
    let mut damage = redis::cmd("HSET");
    let hostile = "<script>harm()</script>";
    damage.arg(format!("kf:{{kf}}:replicas:{hour}"));
    damage.arg(hostile).arg("garbage");
    damage.query::<()>(&mut scene.store.connection()).unwrap();
    assert_eq!(replicas(&gateway, &tokens).len(), 1);
    let listed = gateway.cli(&["replica", "list"]).expect_success();
    assert!(listed.errors.contains("1 gateway"), "{listed:#?}");
    let health = page(&gateway, &tokens, "/health");
    assert!(
        !health.contains(hostile) && health.contains(">ready<"),
        "{health}"
    );

    scene.store.stop();
    let health = page(&gateway, &tokens, "/health");
    assert!(health.contains("cannot be told now"), "{health}");
    scene.store.start_again();
    wait_for("the store again", || {
        let asked = tokens.get(&gateway, "viewer", "/v1/replica/list").send();
        (asked.status == 200).then_some(())
    });
}

#[test]
fn the_only_gateway_of_an_embedded_store_shows_itself() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let told = wait_for("a gateway that is ready", || {
        let told = replicas(&gateway, &tokens);
        (each(&told, "state") == ["ready"]).then_some(told)
    });
    // A command asks it through the socket.
    let listed = gateway.cli(&["replica", "list", "--output", "json"]);
    let listed = listed.expect_success().json();
    assert_eq!(listed["replicas"][0]["id"], told[0]["id"]);
}
