//! Letters by the admin API and in the console: the same as by the command.

use std::fs;

use serde_json::Value as Json;

use super::through::Scene;

const URL: [&str; 2] = ["--url", "https://api.example.com"];

/// With two clients, of which one is disabled.
fn scene() -> Scene {
    let scene = Scene::new();
    let add = ["client", "add", "acme", "globex", "--tag", "mobile"];
    scene.gateway.cli(&add).expect_success();
    let disable = ["client", "disable", "globex"];
    scene.gateway.cli(&disable).expect_success();
    scene
}

/// `text` without the moment at which it was written.
fn timeless(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.contains("\"now\": "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_gateway_elsewhere_tells_what_letters_say_and_they_are_made_here() {
    let scene = scene();
    let (good, wrong) = (scene.world.path("good.txt"), scene.world.path("wrong.txt"));
    fs::write(&good, "Dear {{ client_id }}, of {{ url }}\n").unwrap();
    fs::write(&wrong, "{{ nobody }}").unwrap();
    let [good, wrong] = [&good, &wrong].map(|path| path.to_str().unwrap());
    for arguments in [
        &[][..],
        &["acme"],
        &["acme", "globex"],
        &["nobody"],
        &["--stage", "retired"],
        &["--cohort", "nothing"],
        &["--csv"],
        &["--template", good],
        &["--csv", "--template", good],
        &["--template", wrong],
    ] {
        for output in ["text", "json"] {
            let words = [&["letter"], &URL[..], arguments, &["--output", output]].concat();
            let (here, there) = (scene.gateway.cli(&words), scene.through("viewer", &words));
            assert_eq!(here.status, there.status, "{words:?}: {here:#?} {there:#?}");
            assert_eq!(timeless(&here.output), timeless(&there.output), "{words:?}");
            assert_eq!(here.errors, there.errors, "{words:?}");
        }
    }
    let folders = ["here", "there"].map(|name| scene.world.path(name));
    let [here, there] = folders.each_ref().map(|path| path.to_str().unwrap());
    let write = |folder| [&["letter"], &URL[..], &["--directory", folder]].concat();
    scene.gateway.cli(&write(here)).expect_success();
    scene.through("viewer", &write(there)).expect_success();
    for name in ["acme.txt", "globex.txt"] {
        let [here, there] = folders
            .each_ref()
            .map(|folder| fs::read_to_string(folder.join(name)));
        assert_eq!(here.unwrap(), there.unwrap());
    }
    // The gateway's routes name no host.
    let told = scene.through("viewer", &["letter"]);
    assert_eq!(told.status.code(), Some(64), "{told:#?}");
    assert!(told.errors.contains("name it with --url"), "{told:#?}");
}

/// Adds clients with the longest ids that there are.
fn add_many(scene: &Scene, count: usize) -> Vec<String> {
    let ids: Vec<_> = (0..count).map(|n| format!("{n:0>64}")).collect();
    for some in ids.chunks(100) {
        let add = ["client", "add"].into_iter();
        let add: Vec<_> = add.chain(some.iter().map(String::as_str)).collect();
        scene.gateway.cli(&add).expect_success();
    }
    ids
}

/// Whoever may look has no gateway write letters to a million clients at once, and misses none.
#[test]
fn a_gateway_writes_a_thousand_letters_at_once_and_the_table_has_all() {
    let scene = scene();
    add_many(&scene, 1001);
    let url = "url=https%3A%2F%2Fapi.example.com";
    let get = |path: &str| scene.tokens.get(&scene.gateway, "viewer", path).send();
    for limit in ["", "&limit=2000"] {
        let part = get(&format!("/v1/letter?{url}{limit}"));
        let part = part.expect_status(200).json();
        assert_eq!(part["letters"].as_array().unwrap().len(), 1000);
        assert_eq!(part["next"], format!("{:0>64}", 999));
    }
    let words = [&["letter", "--csv"], &URL[..]].concat();
    let here = scene.gateway.cli(&words).expect_success().output;
    let there = scene.through("viewer", &words).expect_success().output;
    assert!(here == there, "by the API, another table");
    let some = [&words[..], &["--limit", "1002"]].concat();
    let here_some = scene.gateway.cli(&some).expect_success().output;
    let there_some = scene.through("viewer", &some).expect_success().output;
    assert!(here_some == there_some, "by the API, other letters");
    let cookie = super::log_in(&scene.gateway, &scene.tokens.text("viewer"));
    let table = scene.gateway.admin(&format!("/letters.csv?{url}"));
    let table = table.header(&format!("Cookie: {cookie}")).send();
    assert!(table.expect_status(200).text() == here, "another table");
    assert_eq!(here.matches("Hello,").count(), 1003, "a row for each");
}

#[test]
fn whoever_may_look_may_read_letters_and_nobody_has_templates_run_at_the_gateway() {
    let scene = scene();
    let path = "/v1/letter?ids=acme&url=https://api.example.com";
    let get = |path: &str| scene.tokens.get(&scene.gateway, "viewer", path).send();
    let told = get(path).expect_status(200).json();
    assert_eq!(told["letters"][0]["client_id"], "acme");
    assert_eq!(told["without_contact"][0], "acme");
    let text = told["letters"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("Hello,\n"), "{text}");
    for beyond in ["template=x", "directory=/tmp/x", "csv=true", "replace=true"] {
        let refused = get(&format!("{path}&{beyond}")).expect_status(400).json();
        let detail = refused["detail"].as_str().unwrap();
        assert!(
            detail.contains("there is no parameter"),
            "{beyond}: {detail}"
        );
    }
    scene.gateway.admin(path).send().expect_status(401);
    // Many ids are one request.
    let ids = add_many(&scene, 500);
    let words: Vec<_> = { ["letter"].into_iter() }
        .chain(ids.iter().map(String::as_str))
        .chain(URL)
        .chain(["--output", "json"])
        .collect();
    let told: Json = scene.through("viewer", &words).expect_success().json();
    assert_eq!(told["letters"].as_array().unwrap().len(), 500);
}

#[test]
fn the_console_has_letters_for_what_is_filtered_and_for_a_client() {
    let scene = scene();
    let cookie = super::log_in(&scene.gateway, &scene.tokens.text("viewer"));
    let page = |path: &str| {
        scene
            .gateway
            .admin(path)
            .header(&format!("Cookie: {cookie}"))
            .send()
    };
    let url = "url=https%3A%2F%2Fapi.example.com";
    let table = page(&format!("/letters.csv?stage=retired&sort=expiry&{url}")).expect_status(200);
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8");
    let here = ["letter", "--stage", "retired", "--csv", URL[0], URL[1]];
    assert_eq!(
        table.text(),
        scene.gateway.cli(&here).expect_success().output
    );
    let letter = page(&format!("/clients/acme/letter?{url}")).expect_status(200);
    assert_eq!(letter.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(letter.header("cache-control"), "no-store");
    let here = ["letter", "acme", URL[0], URL[1]];
    assert_eq!(
        letter.text(),
        scene.gateway.cli(&here).expect_success().output
    );
    let without = page("/clients/acme/letter?url=").expect_status(400);
    assert!(without.text().contains("--url https://api.example.com"));
    let shown = page("/clients/acme").expect_status(200).text();
    assert!(
        shown.contains("No e-mail address in its certificates."),
        "{shown}"
    );
}
