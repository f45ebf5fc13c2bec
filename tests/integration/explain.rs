//! `keyferry explain` and `GET explain`: one engine, the verdict of a live handshake (ATTACKS C8).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::pki::{Issued, intermediate, leaf, root};
use crate::support::process::program;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

/// Runs `keyferry explain` with the authority of `world`.
fn explain(world: &World, arguments: &[&str]) -> Told {
    let ca = file(world, "ca.pem", &world.clients.pem());
    let arguments = [&["explain", "--ca", text(&ca)], arguments].concat();
    let mut command = program();
    let output = command.args(arguments).output().expect("the program");
    Told {
        status: output.status,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn file(world: &World, name: &str, contents: &[u8]) -> PathBuf {
    let path = world.path(name);
    fs::write(&path, contents).expect("a writable folder");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

#[track_caller]
fn data(told: &Told, status: i32) -> Json {
    assert_eq!(told.status.code(), Some(status), "{told:#?}");
    serde_json::from_str(&told.output).expect("JSON")
}

fn outcome<'a>(data: &'a Json, check: &str) -> &'a Json {
    let checks = data["checks"].as_array().expect("checks");
    let found = checks.iter().find(|checked| checked["check"] == check);
    &found.expect("the check")["outcome"]
}

#[test]
fn a_certificate_is_explained_in_a_stable_form() {
    let world = World::new();
    let good = world.client("alice");
    let der = file(&world, "good.der", &good.issued.x509.to_der().unwrap());
    for path in [good.chain.as_path(), der.as_path()] {
        let report = data(&explain(&world, &[text(path), "--output", "json"]), 0);
        assert_eq!(report["verdict"], "verified");
        assert_eq!(report["reasons"], json!([]));
        assert_eq!(report["chain"][0]["subject"], "CN=alice");
        assert_eq!(report["chain"][1]["origin"], "trusted");
        assert_eq!(report["checks"].as_array().unwrap().len(), 9);
        assert_eq!(outcome(&report, "trust"), "ok");
        assert!(report["next_step"].is_string());
    }
    let told = explain(&world, &[text(&good.chain)]);
    assert_eq!(told.status.code(), Some(0));
    assert!(told.output.starts_with("verified\n"), "{told:#?}");
}

#[test]
fn a_chain_is_put_together_from_several_files_and_forms() {
    let world = World::new();
    let issuing = intermediate("Issuing").signed_by(&world.clients);
    let client = leaf("alice").signed_by(&issuing);
    let alone = file(&world, "alone.pem", &client.pem());
    let between = file(&world, "between.der", &issuing.x509.to_der().unwrap());
    let report = explain(&world, &[text(&alone), "--output", "json"]);
    let report = data(&report, 1);
    assert_eq!(report["verdict"], "rejected");
    assert_eq!(report["reasons"], json!(["certificate_chain_incomplete"]));
    assert_eq!(outcome(&report, "completeness"), "failed");
    assert_eq!(outcome(&report, "trust"), "not_checked");
    let report = explain(&world, &[text(&alone), text(&between), "--output", "json"]);
    assert_eq!(data(&report, 0)["chain"].as_array().unwrap().len(), 3);
}

#[test]
fn it_is_judged_by_the_moment_that_is_named() {
    let world = World::new();
    let client = world.client("alice");
    let at = |moment: &str| explain(&world, &[text(&client.chain), "--at", moment]);
    assert!(
        at("2020-01-01")
            .output
            .starts_with("rejected: certificate_not_yet_valid")
    );
    let late = at("2100-01-01T00:00:00Z");
    assert!(late.output.starts_with("rejected: certificate_expired"));
    assert!(
        late.output
            .contains("days ago; this server's clock says 2100-01-01T00:00:00Z")
    );
    assert_eq!(at("tomorrow").status.code(), Some(64));
    let told = explain(&world, &["--purpose", "server", text(&client.chain)]);
    assert_eq!(told.status.code(), Some(64));
}

/// A revocation list by OpenSSL's own hand.
fn revocation_list(world: &World, revoked: Option<&Identity>) -> PathBuf {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let serial = revoked.map(|client| {
        let serial = client.issued.x509.serial_number().to_bn().unwrap();
        format!(
            "R\t300101000000Z\t250101000000Z,keyCompromise\t{}\tunknown\t/CN=x\n",
            serial.to_hex_str().unwrap()
        )
    });
    fs::write(at("index"), serial.unwrap_or_default()).unwrap();
    fs::write(at("number"), "01\n").unwrap();
    let settings = format!(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = {}\ncrlnumber = {}\ndefault_md = sha256\n",
        text(&at("index")),
        text(&at("number"))
    );
    fs::write(at("settings"), settings).unwrap();
    let (authority, key) = world.clients.write(folder.path(), "authority");
    let path = world.path(if revoked.is_some() {
        "revoked.crl"
    } else {
        "clear.crl"
    });
    let mut command = Command::new("openssl");
    command.args([
        "ca",
        "-gencrl",
        "-crldays",
        "30",
        "-config",
        text(&at("settings")),
    ]);
    command.args([
        "-cert",
        text(&authority),
        "-keyfile",
        text(&key),
        "-out",
        text(&path),
    ]);
    let output = command.output().expect("openssl");
    assert!(output.status.success(), "{output:?}");
    path
}

#[test]
fn v12_revocation_lists_are_asked_when_they_are_given() {
    let world = World::new();
    let client = world.client("alice");
    let clear = revocation_list(&world, None);
    let revoked = revocation_list(&world, Some(&client));
    let ask = |list: &Path, at: &[&str]| {
        let arguments = ["--crl", text(list), text(&client.chain), "--output", "json"];
        explain(&world, &[&arguments[..], at].concat())
    };
    let report = data(&ask(&clear, &[]), 0);
    assert_eq!(outcome(&report, "revocation"), "ok");
    let report = data(&ask(&revoked, &[]), 1);
    assert_eq!(report["reasons"], json!(["certificate_revoked"]));
    // Later its list has ended, and nobody knows.
    let report = data(&ask(&clear, &["--at", "2100-01-01"]), 1);
    let reasons = json!(["certificate_revocation_unknown", "certificate_expired"]);
    assert_eq!(report["reasons"], reasons);
    let told = ask(&client.chain, &[]);
    assert_eq!(told.status.code(), Some(65), "{told:#?}");
    assert!(
        told.errors.contains("only revocation lists can be read"),
        "{told:#?}"
    );
}

#[test]
fn what_is_no_certificate_is_refused_and_a_private_key_never_repeated() {
    let world = World::new();
    let client = world.client("alice");
    let key = fs::read_to_string(&client.key).unwrap();
    let inside = key.lines().nth(1).unwrap();
    let both = [client.issued.pem(), key.clone().into_bytes()].concat();
    let both = file(&world, "both.pem", &both);
    for path in [&client.key, &both] {
        for arguments in [&[text(path)][..], &[text(path), "--output", "json"]] {
            let told = explain(&world, arguments);
            assert_eq!(told.status.code(), Some(65), "{told:#?}");
            assert!(told.errors.contains("it holds a private key"), "{told:#?}");
            assert!(!format!("{told:?}").contains(inside));
        }
    }
    let request = String::from_utf8(client.issued.pem()).unwrap();
    let request = request.replace("CERTIFICATE", "CERTIFICATE REQUEST");
    let request = file(&world, "request.pem", request.as_bytes());
    let nothing = file(&world, "nothing.pem", b"nothing");
    for (path, words) in [
        (&request, "it holds a 'CERTIFICATE REQUEST'"),
        (&nothing, "it holds no certificates"),
    ] {
        let told = explain(&world, &[text(path)]);
        assert_eq!(told.status.code(), Some(65), "{told:#?}");
        assert!(told.errors.contains(words), "{told:#?}");
    }
    let told = explain(&world, &[text(&world.path("absent.pem"))]);
    assert_eq!(told.status.code(), Some(64), "{told:#?}");
    let told = explain(&world, &[]);
    assert_eq!(told.status.code(), Some(64), "{told:#?}");
}

#[test]
fn without_authorities_of_its_own_it_takes_those_of_the_configuration_with_their_exceptions() {
    let (world, backend) = (World::new(), Backend::start());
    let lax = root("Lax").self_signed();
    let gateway = Gateway::builder(&world)
        .file("lax.pem", lax.pem())
        .push(
            "ca",
            toml::toml! { name = "lax" file = "lax.pem" allow = ["missing-client-auth"] },
        )
        .echo(&backend)
        .start();
    let told =
        |client: &Identity| gateway.cli(&["explain", text(&client.chain), "--output", "json"]);
    let silent = world.client_like(leaf("alice").no_purposes());
    let report = data(&told(&silent), 1);
    assert_eq!(report["reasons"], json!(["certificate_wrong_purpose"]));
    let silent = world.files(leaf("alice").no_purposes().signed_by(&lax));
    assert_eq!(data(&told(&silent), 0)["ca"], "lax");
    // A bundle of its own has no exceptions.
    let bundle = file(&world, "bundle.pem", &lax.pem());
    let strict = gateway.cli(&["explain", "--ca", text(&bundle), text(&silent.chain)]);
    assert_eq!(strict.status.code(), Some(1), "{strict:#?}");
}

/// The certificates that the commands and the endpoint must agree on with the gateway.
fn assorted(world: &World) -> Vec<Issued> {
    let issuing = intermediate("Issuing").signed_by(&world.clients);
    let stranger = root("Stranger").self_signed();
    vec![
        leaf("good").signed_by(&world.clients),
        leaf("deep").signed_by(&issuing),
        leaf("alone")
            .signed_by(&intermediate("Unseen").signed_by(&world.clients))
            .with(&[]),
        leaf("old").dates(-200, -100).signed_by(&world.clients),
        leaf("server")
            .purposes(&["serverAuth"])
            .signed_by(&world.clients),
        leaf("strange").signed_by(&stranger).with(&[&stranger.x509]),
        leaf("own").self_signed(),
        leaf("bare").no_key_ids().signed_by(&world.clients),
    ]
}

#[test]
fn the_verdict_is_that_of_a_live_request() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    for issued in assorted(&world) {
        let client = world.files(issued);
        let answer = gateway.curl("/").certificate(&client).send();
        let live = match answer.status {
            200 => json!([]),
            _ => answer.json()["problems"].clone(),
        };
        let told = gateway.cli(&["explain", text(&client.chain), "--output", "json"]);
        let report = data(&told, i32::from(answer.status != 200));
        let reasons = |problems: &Json| -> Vec<Json> {
            let problems = problems.as_array().expect("a list");
            problems
                .iter()
                .map(|problem| problem["reason"].clone())
                .collect()
        };
        assert_eq!(reasons(&report["problems"]), reasons(&live), "{report:#}");
    }
}

const PATH: &str = "/.well-known/keyferry/explain";

#[test]
fn a_connection_is_explained_to_whoever_asks() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let answer = gateway.curl(PATH).send().expect_status(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let nobody = answer.json();
    assert_eq!(nobody["verdict"], "none");
    assert_eq!(nobody["checks"], json!([]));
    let next = nobody["next_step"].as_str().unwrap();
    let url = format!("https://{HOST}:{}{PATH}", gateway.address().port());
    assert!(
        next.contains("curl --cert") && next.contains(&url),
        "{next}"
    );

    let alice = world.client("alice");
    let report = gateway
        .curl(PATH)
        .certificate(&alice)
        .send()
        .expect_status(200)
        .json();
    assert_eq!(report["verdict"], "verified");
    assert_eq!(report["sent"][0]["subject"], "CN=alice");
    for fact in [
        "issuer",
        "serial",
        "not_before",
        "not_after",
        "sha256",
        "spki_sha256",
    ] {
        assert!(report["sent"][0][fact].is_string(), "{fact}: {report:#}");
    }
    let connection = &report["connection"];
    assert_eq!(connection["tls_version"], "TLSv1.3");
    assert!(connection["cipher"].as_str().unwrap().starts_with("TLS_"));
    assert_eq!(connection["resumed"], false);
    assert!(report["server_time"].as_str().unwrap().ends_with('Z'));
    assert!(report["next_step"].as_str().unwrap().contains("-X POST"));
    let head = gateway.curl(PATH).head().certificate(&alice).send();
    let head = head.expect_status(200);
    assert_eq!(head.header("content-type"), "application/json");
    assert!(head.text().ends_with("\r\n\r\n"), "{}", head.text());
    assert_eq!(gateway.curl(PATH).method("POST").send().status, 405);
    // It is nobody's first sight.
    let clients = gateway.cli(&["client", "list", "--output", "json"]);
    assert_eq!(data(&clients, 0)["clients"], json!([]));
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn a_rejected_certificate_is_explained_as_a_request_would_meet_it() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    for issued in assorted(&world) {
        let client = world.files(issued);
        let live = gateway.curl("/").certificate(&client).send();
        let report = gateway
            .curl(PATH)
            .certificate(&client)
            .send()
            .expect_status(200);
        let report = report.json();
        if live.status == 200 {
            assert_eq!(report["verdict"], "verified", "{report:#}");
        } else {
            assert_eq!(report["verdict"], "rejected", "{report:#}");
            assert_eq!(report["reasons"][0], live.json()["reason"]);
            // Without the sentences: the clock may have gone on between the two.
            let told = |problems: &Json| -> Vec<(Json, Json)> {
                let problems = problems.as_array().expect("a list").iter();
                problems
                    .map(|one| (one["reason"].clone(), one["depth"].clone()))
                    .collect()
            };
            assert_eq!(told(&report["problems"]), told(&live.json()["problems"]));
        }
    }
}

#[test]
fn a_superseded_certificate_is_told_so() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let told = || gateway.curl(PATH).certificate(&alice).send().json();
    assert_eq!(outcome(&told(), "lineage"), "not_checked");
    assert_eq!(gateway.curl("/").certificate(&alice).send().status, 200);
    let report = told();
    assert_eq!(outcome(&report, "lineage"), "ok");
    let print = report["sent"][0]["sha256"].as_str().unwrap();
    gateway
        .cli(&["certificate", "supersede", print])
        .expect_success();
    let rejected = wait_for("the change to arrive", || {
        Some(told()).filter(|report| report["verdict"] == "rejected")
    });
    assert_eq!(rejected["reasons"], json!(["certificate_superseded"]));
    assert_eq!(outcome(&rejected, "lineage"), "failed");
}

#[test]
fn people_get_text() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let old = world.client_like(leaf("alice").dates(-9000, -7200));
    let asked = gateway.curl(PATH).header("Accept: text/plain");
    let answer = asked.certificate(&old).send().expect_status(200);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let text = answer.text();
    assert!(
        text.starts_with("rejected: certificate_expired\n"),
        "{text}"
    );
    for part in [
        "CN=alice",
        "2 hours ago",
        "TLSv1.3",
        "next step: ",
        "curl --cert",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let asked = gateway.curl(PATH).header("Accept: text/plain").send();
    assert!(
        asked.text().starts_with("no certificate\n"),
        "{}",
        asked.text()
    );
}

#[test]
fn c8_a_hostile_subject_stays_inert_and_no_other_certificate_is_told_of() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let hostile = world.client_like(leaf("<script>alert(1)</script>\r\nX-Evil: 1"));
    let asked = gateway.curl(PATH).header("Accept: text/html");
    let answer = asked.certificate(&hostile).send().expect_status(200);
    // The control: it does arrive, and so a browser that took this for HTML would run it.
    assert!(answer.text().contains("script"));
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(!answer.text().contains('\r') && !answer.text().contains("\nX-Evil"));

    // Whether a certificate is somebody's makes no difference to what is told of it.
    let alice = world.client("alice");
    let told = || {
        let report = gateway
            .curl(PATH)
            .certificate(&alice)
            .send()
            .expect_status(200);
        let mut report = report.json();
        for varies in ["server_time", "checked_at", "checks", "request_id"] {
            report.as_object_mut().unwrap().remove(varies);
        }
        report
    };
    let before = told();
    assert_eq!(gateway.curl("/").certificate(&alice).send().status, 200);
    assert_eq!(told(), before);
    // Nor can one ask about another's: there is no such parameter.
    let query = format!(
        "{PATH}?sha256={}",
        before["sent"][0]["sha256"].as_str().unwrap()
    );
    let asked = gateway.curl(&query).send().expect_status(200).json();
    assert_eq!(asked["verdict"], "none");
    assert!(!asked.to_string().contains("alice"));
}

#[test]
fn a_resumed_connection_is_told_apart() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let session = world.path("session.pem");
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let first = gateway
        .s_client()
        .certificate(&alice)
        .keep_session(&session);
    let first = first.send(request.as_bytes()).output;
    assert!(first.contains("\"resumed\":false"), "{first}");
    let second = gateway
        .s_client()
        .certificate(&alice)
        .resume_session(&session);
    let second = second.send(request.as_bytes()).output;
    assert!(second.contains("\"resumed\":true"), "{second}");
    assert!(second.contains("\"verdict\":\"verified\""), "{second}");
}
