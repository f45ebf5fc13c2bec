//! `keyferry import`, with files as other gateways have them.

mod files;
mod samples;

use std::collections::BTreeMap;
use std::fs;

use keyferry::import::Format;
use serde_json::{Value as Json, json};

use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway, Setup, Told};
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{Identity, World};
use files::Files;
use samples::{DESCRIBED, MALFORMED, SAMPLES};

/// Stands in files, and nowhere else.
const SECRET: &str = "s3cr3t";

/// A gateway that knows whom the operator registered, and nobody else.
fn registered<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    Gateway::builder(world)
        .echo(backend)
        .set("enrolment.mode", "registered")
}

fn import(gateway: &Gateway, arguments: &[&str]) -> Told {
    gateway.cli(&[&["import"], arguments, &["--output", "json"]].concat())
}

/// How much of what there was beside lines, without what there was none of.
fn counts(report: &Json) -> BTreeMap<&str, u64> {
    let report = report.as_object().unwrap().iter();
    let counts = report.filter_map(|(name, value)| Some((name.as_str(), value.as_u64()?)));
    let is_told = |(name, number): &(&str, u64)| *name != "lines" && *number > 0;
    counts.filter(is_told).collect()
}

/// Who a backend saw.
#[track_caller]
fn seen(gateway: &Gateway, backend: &Backend, who: &Identity) -> String {
    gateway.curl("/").certificate(who).send().expect_status(200);
    backend.last().header("x-client-id").to_owned()
}

/// What `keyferry client list` lists.
fn clients(gateway: &Gateway, further: &[&str]) -> Vec<Json> {
    let command = ["client", "list", "--output", "json"];
    let told = gateway.cli(&[&command[..], further].concat());
    let told = told.expect_success().json();
    told["clients"].as_array().unwrap().clone()
}

/// Takes every sample over, and lets its clients call.
fn take_over(gateway: &Gateway, backend: &Backend, world: &World) {
    let mut files = Files::new(world);
    let issued = files.folder("issued", &DESCRIBED);
    for (format, file, looks_up, expected, whose) in SAMPLES {
        let path = files.fill(file);
        let mut arguments = vec![format, path.as_str()];
        if looks_up {
            arguments.extend(["--issued", &issued]);
        }
        // The control: whoever is not imported is nobody.
        for (name, _) in whose {
            let who = files.identity(name);
            let answer = gateway.curl("/").certificate(who).send();
            answer.expect_refusal(403, "client_unregistered");
        }
        let dry = [&arguments[..], &["--dry-run"]].concat();
        for (arguments, dry_run) in [(&dry, true), (&arguments, false)] {
            let told = import(gateway, arguments).expect_success();
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            let report = told.json();
            assert_eq!(report["lines"], lines, "{file}");
            let expected = expected.iter().copied().collect();
            assert_eq!(counts(&report), expected, "{file}");
            assert_eq!(report["changed"], true, "{file}");
            assert_eq!(report["dry_run"], dry_run, "{file}");
            assert!(!told.output.contains(SECRET) && !told.errors.contains(SECRET));
        }
        for (name, id) in whose {
            let id_seen = seen(gateway, backend, files.identity(name));
            assert!(id_seen.starts_with(id), "{file}: {name} is {id_seen}");
        }
        let again = import(gateway, &arguments).expect_success();
        assert_eq!(again.json()["changed"], false, "{file}: {again:?}");
    }
}

#[test]
fn every_format_is_taken_over_and_its_clients_call_with_redis() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateway = registered(&world, &backend).redis(&store.url()).start();
    take_over(&gateway, &backend, &world);
    // A client whose key stayed behind gets one of its own.
    let issued = gateway.cli(&["key", "issue", "--client", "envoy-acme", "--output", "json"]);
    let key = issued.expect_success().json()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    gateway.curl("/").key(&key).send().expect_status(200);
    let listed = clients(&gateway, &["--cohort", "mobile"]);
    let ids = listed.iter().map(|client| &client["client_id"]);
    assert!(ids.eq(["csv-acme", "kong-acme"]));
    let audit = gateway
        .cli(&["audit", "list", "--output", "json"])
        .expect_success();
    assert!(audit.output.contains("import of nginx"), "{}", audit.output);
}

#[test]
fn every_format_is_taken_over_and_its_clients_call_with_the_embedded_store() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = registered(&world, &backend).start();
    take_over(&gateway, &backend, &world);
}

#[test]
fn a_folder_of_certificates_is_taken_over_by_the_names_of_its_files() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = registered(&world, &backend).start();
    let mut files = Files::new(&world);
    let folder = files.folder("clients", &["acme", "bravo"]);
    fs::write(
        world.path("clients").join("README"),
        "these are our clients",
    )
    .unwrap();
    let told = import(&gateway, &["pem", &folder, "--reason", "moving"]).expect_success();
    assert_eq!(told.json()["new_clients"], 2);
    assert_eq!(seen(&gateway, &backend, files.identity("acme")), "acme");
    fs::write(world.path("clients").join("broken.pem"), "x").unwrap();
    let carol = files.folder("clients", &["carol"]);
    let told = import(&gateway, &["pem", &carol]);
    assert_eq!(told.status.code(), Some(65));
    assert_eq!(told.json()["left_out"][0]["code"], "not_a_certificate");
    let text = gateway
        .cli(&["import", "pem", &carol, "--skip-refused"])
        .expect_success();
    assert!(
        text.output.ends_with("added 1 client, 1 certificate\n"),
        "{text:?}"
    );
    assert_eq!(seen(&gateway, &backend, files.identity("carol")), "carol");
    let told = gateway.cli(&["import", "csv", &folder]);
    assert_eq!(told.status.code(), Some(64), "{told:?}");
}

#[test]
fn who_waits_for_approval_is_approved_by_the_list_of_the_old_gateway() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .set("enrolment.mode", "approve")
        .start();
    let mut files = Files::new(&world);
    let path = files.write("map.conf", "\"CN=alice\" acme;\n\"CN=bob\" bravo;\n");
    let call = |who: &Identity| gateway.curl("/").certificate(who).send();
    call(files.identity("alice")).expect_refusal(403, "approval_pending");
    let import = |more: &[&str]| import(&gateway, &[&["nginx", path.as_str()], more].concat());
    // The control: without the list of certificates nobody is meant.
    let told = import(&["--skip-refused"]).expect_success().json();
    assert_eq!(
        (&told["refused"], &told["changed"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(import(&["--known", "others"]).status.code(), Some(64));
    let told = import(&["--known", "clients"]);
    assert_eq!(told.status.code(), Some(65));
    assert_eq!(told.json()["left_out"][0]["code"], "not_issued");
    import(&["--known", "clients", "--skip-refused"]).expect_success();
    assert_eq!(seen(&gateway, &backend, files.identity("alice")), "acme");
    call(files.identity("bob")).expect_refusal(403, "approval_pending");
    let told = import(&["--known", "clients"]).expect_success().json();
    assert_eq!(
        (&told["known"], &told["new_clients"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(seen(&gateway, &backend, files.identity("bob")), "bravo");
}

#[test]
fn c11_nothing_of_a_file_that_lets_in_too_many_is_applied_unless_it_is_left_out() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateway = registered(&world, &backend).redis(&store.url()).start();
    let formats = Format::ALL.iter().map(|format| format.as_str());
    assert!(
        formats
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .eq(MALFORMED
                .iter()
                .map(|(format, ..)| *format)
                .collect::<std::collections::BTreeSet<_>>())
    );
    let mut files = Files::new(&world);
    for (format, file, expected) in MALFORMED {
        let path = files.fill(&format!("malformed/{file}"));
        let told = import(&gateway, &[format, &path]);
        assert_eq!(told.status.code(), Some(65), "{file}: {told:?}");
        let report = told.json();
        let left_out = report["left_out"].as_array().unwrap().iter();
        let codes: Vec<_> = left_out
            .clone()
            .map(|one| one["code"].as_str().unwrap())
            .collect();
        assert_eq!(codes, expected, "{file}: {report:#}");
        assert!(
            left_out.clone().all(|one| one["file"] == path.as_str()),
            "{report:#}"
        );
        let text = gateway.cli(&["import", format, &path]);
        assert_eq!(text.status.code(), Some(65), "{file}: {text:?}");
        assert!(
            text.output
                .contains("nothing was written: put these lines right"),
            "{text:?}"
        );
        for told in [&told, &text] {
            let all = format!("{}{}", told.output, told.errors);
            assert!(
                !all.contains(SECRET) && !all.contains('\u{202e}'),
                "{file}: {all}"
            );
        }
    }
    let clients = || clients(&gateway, &[]).len();
    assert_eq!(clients(), 0);

    // One good line beside all those, and the operator's word.
    let good = format!("{} good\n", "ab".repeat(32));
    let path = files.fill("malformed/haproxy-map.map");
    let text = fs::read_to_string(&path).unwrap();
    let path = files.write("mixed.map", &[good.as_str(), &text].concat());
    let told = import(&gateway, &["haproxy-map", &path]);
    assert_eq!((told.status.code(), clients()), (Some(65), 0));
    let told = import(&gateway, &["haproxy-map", &path, "--skip-refused"]).expect_success();
    assert_eq!(
        (told.json()["new_clients"].as_u64(), clients()),
        (Some(1), 1)
    );
}

/// Who is whose in the store: of every certificate and every announcement.
fn whose(setup: &Setup) -> BTreeMap<String, String> {
    let listed = setup
        .cli(&["certificate", "list", "--output", "json"])
        .expect_success()
        .json();
    let mut whose = BTreeMap::new();
    for (list, name) in [("certificates", "fingerprint"), ("announced", "alias")] {
        for one in listed[list].as_array().unwrap() {
            let text = |field: &str| one[field].as_str().unwrap().to_owned();
            whose.insert(text(name), text("client_id"));
        }
    }
    whose
}

/// A map of so many lines, of which a tenth is by SHA-1, with two certificates for each client.
fn many(world: &World) -> String {
    let lines = (0..LINES).map(|n| {
        let digits = if n % 10 == 0 { 40 } else { 64 };
        format!("{n:0digits$x} client-{}\n", n / 2)
    });
    Files::new(world).write("many.map", &lines.collect::<Vec<_>>().concat())
}

const LINES: usize = 6_000;

/// Waits until some of an import is written.
fn wait_for_some(store: &SharedStore) {
    wait_for("some of it to be written", || {
        let mut ask = redis::cmd("HLEN");
        let clients: u64 = ask
            .arg("kf:{kf}:client")
            .query(&mut store.connection())
            .ok()?;
        (clients > 200).then_some(())
    });
}

#[test]
fn an_import_goes_on_when_redis_was_away_for_a_moment() {
    let (world, backend, mut store) = (World::new(), Backend::start(), SharedStore::start());
    let builder = Gateway::builder(&world).redis(&store.url());
    let setup = builder.echo(&backend).write();
    let path = many(&world);
    let mut child = setup.start_cli(&["import", "haproxy-map", &path]);
    wait_for_some(&store);
    store.stop();
    let is_under_way = child.try_wait().unwrap().is_none();
    assert!(is_under_way, "it was done before Redis went");
    store.start_again();
    assert!(child.wait().unwrap().success());
    assert_eq!(whose(&setup).len(), LINES);
}

#[test]
fn an_import_that_was_killed_is_done_again_and_ends_with_the_same() {
    let world = World::new();
    let (broken, whole) = (SharedStore::start(), SharedStore::start());
    let backend = Backend::start();
    let setup = |store: &SharedStore| {
        let builder = Gateway::builder(&world).redis(&store.url());
        builder.echo(&backend).write()
    };
    let (broken_off, at_once) = (setup(&broken), setup(&whole));
    let path = many(&world);
    let arguments = ["import", "haproxy-map", path.as_str()];
    at_once.cli(&arguments).expect_success();

    let mut child = broken_off.start_cli(&arguments);
    wait_for_some(&broken);
    child.kill().unwrap();
    child.wait().unwrap();
    let part = whose(&broken_off);
    assert!(part.len() < LINES, "it was done before it was killed");
    let told = broken_off.cli(&[&arguments[..], &["--output", "json"]].concat());
    let told = told.expect_success().json();
    assert_eq!(told["known"].as_u64(), Some(part.len() as u64));
    assert_eq!(whose(&broken_off), whose(&at_once));
    let again = broken_off.cli(&arguments).expect_success();
    assert!(
        again.output.ends_with("there is nothing to add\n"),
        "{again:?}"
    );
}
