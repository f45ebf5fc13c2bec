//! Commands that a gateway does for them, by its admin API: as if they were done beside its store.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use super::{Tokens, embedded, key_id};
use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::process::program;
use crate::support::wait_for;
use crate::support::world::World;

/// A command for the gateway at `url`. No configuration is there.
pub(super) fn command(folder: &Path, url: &str, token: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.current_dir(folder).args(arguments);
    command.args(["--server", url, "--token-file"]).arg(token);
    command
}

pub(super) fn told(mut command: Command) -> Told {
    let output = command.output().expect("the program");
    Told {
        status: output.status,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A gateway, and those who may ask it.
pub(super) struct Scene {
    pub(super) gateway: Gateway,
    pub(super) tokens: Tokens,
    pub(super) world: World,
    _backend: Backend,
}

impl Scene {
    pub(super) fn new() -> Self {
        let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
        Self {
            gateway: embedded(&world, &backend, &tokens),
            tokens,
            world,
            _backend: backend,
        }
    }

    /// The same command by the gateway, where no configuration is.
    pub(super) fn through(&self, role: &str, arguments: &[&str]) -> Told {
        let url = format!("http://{}", self.gateway.admin_address());
        let elsewhere = self.world.path("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        told(command(
            &elsewhere,
            &url,
            &self.tokens.file(role),
            arguments,
        ))
    }

    fn json(&self, role: &str, arguments: &[&str]) -> Json {
        let arguments = [arguments, &["--output", "json"]].concat();
        self.through(role, &arguments).expect_success().json()
    }
}

/// `text` without moments and how long ago things were, which change while one looks.
fn timeless(text: &str) -> String {
    let is_of_time = |c: char| c.is_ascii_digit() || "-:TZ".contains(c);
    let words = text.split_whitespace().map(|word| {
        let plain = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_of_time = !plain.is_empty() && plain.chars().all(is_of_time);
        if is_of_time { "0" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Command lines that do no harm, of which some are refused; a `~` is a blank within an argument.
fn harmless(client: &str, key: &str, file: &str) -> String {
    let unknown = "0".repeat(64);
    format!(
        "client list
        client list --stage registered
        client list --limit 1
        client list --cohort nothing
        client show {client}
        client show nobody
        client tag acme globex --add mobile beta --dry-run
        client disable acme --dry-run --reason two~words,~and~more
        client enable nobody
        explain {file}
        explain {file} --at 2020-01-01
        key list
        key list --client {client}
        key revoke {key} --dry-run
        key rotate {client} --overlap 24h --dry-run
        key issue --client acme --scope a --scope b --dry-run
        certificate list
        certificate add --client acme {file} --dry-run
        certificate remove {unknown}
        phase list
        phase retire --all
        audit list --most 2
        audit verify
        status
        webhook list
        what-if --certificates-off 2099-01-01 --list
        what-if --certificates-off 2020-01-01
        failures
        observe report"
    )
}

#[test]
fn a_command_through_the_api_prints_and_ends_as_it_does_beside_the_store() {
    let scene = Scene::new();
    let gateway = &scene.gateway;
    let key = gateway.claim_key(&scene.world.client("alice"));
    gateway
        .cli(&["client", "add", "acme", "globex"])
        .expect_success();
    gateway
        .cli(&["phase", "announce", "--all"])
        .expect_success();
    // Gateways tell what they saw some seconds later, and what only looks by the API may be some older.
    wait_for("what was seen of alice", || {
        let listed = gateway.cli(&["client", "list", "--output", "json"]);
        let listed = listed.expect_success().json();
        let clients = listed["clients"].as_array().unwrap();
        let mut seen = clients
            .iter()
            .map(|one| &one["last_seen"]["by_certificate"]);
        seen.any(|at| !at.is_null()).then_some(())
    });
    let client = &scene.json("viewer", &["client", "list"])["clients"][0]["client_id"];
    let file = scene.world.client("carol").chain;
    let lines = harmless(
        client.as_str().unwrap(),
        key_id(&key),
        file.to_str().unwrap(),
    );
    for line in lines.lines() {
        let words = line.split_whitespace().map(|word| word.replace('~', " "));
        let words: Vec<_> = words.collect();
        let words = words.iter().map(String::as_str);
        for output in ["text", "json"] {
            let arguments: Vec<_> = words.clone().chain(["--output", output]).collect();
            let (here, there) = (gateway.cli(&arguments), scene.through("admin", &arguments));
            assert_eq!(here.status, there.status, "{line}: {here:#?} {there:#?}");
            assert_eq!(timeless(&here.output), timeless(&there.output), "{line}");
            assert_eq!(timeless(&here.errors), timeless(&there.errors), "{line}");
        }
    }
}

#[test]
fn what_is_changed_through_the_api_is_changed() {
    let scene = Scene::new();
    let world = &scene.world;
    let add = ["client", "add", "acme", "--tag", "mobile"];
    scene.through("operator", &add).expect_success();
    // A file is sent as what is in it: in PEM, in DER, and several of them; a fingerprint stays one.
    let (pem, der) = (world.client("one"), world.client("two"));
    let raw = world.path("two.der");
    fs::write(&raw, der.issued.x509.to_der().unwrap()).unwrap();
    let fingerprint = "ab".repeat(32);
    let (pem, raw) = (pem.chain.to_str().unwrap(), raw.to_str().unwrap());
    let add = [
        "certificate",
        "add",
        "--client",
        "acme",
        pem,
        raw,
        &fingerprint,
    ];
    scene.through("operator", &add).expect_success();
    let listed = scene.json("viewer", &["certificate", "list", "--client", "acme"]);
    assert_eq!(
        listed["certificates"].as_array().unwrap().len(),
        3,
        "{listed}"
    );
    let issued = scene.through("operator", &["key", "issue", "--client", "acme"]);
    let issued = issued.expect_success();
    let key = issued.output.trim_end();
    assert!(issued.errors.contains("the only time"), "{issued:#?}");
    let by_key = || scene.gateway.curl("/").key(key).send();
    by_key().expect_status(200);
    let id = key_id(key);
    scene
        .through("operator", &["key", "revoke", id])
        .expect_success();
    by_key().expect_refusal(401, "key_invalid");
    let reloaded = scene.through("admin", &["reload"]).expect_success();
    assert!(
        reloaded.output.contains("nothing has changed"),
        "{reloaded:#?}"
    );
}

#[test]
fn a_role_that_is_not_enough_and_a_token_that_is_none_are_told() {
    let scene = Scene::new();
    let refused = |told: Told, words: &str| {
        assert_eq!(told.status.code(), Some(1), "{told:#?}");
        assert!(
            told.errors.contains(words) && told.output.is_empty(),
            "{told:#?}"
        );
    };
    refused(
        scene.through("viewer", &["client", "add", "acme"]),
        "not for the role",
    );
    refused(
        scene.through("operator", &["phase", "accept", "--all"]),
        "not for the role",
    );
    refused(scene.through("operator", &["reload"]), "not for the role");
    let file = scene.tokens.file("viewer");
    fs::write(&file, "kf_admin_guess").unwrap();
    refused(
        scene.through("viewer", &["client", "list"]),
        "does not know the token",
    );
    fs::write(&file, "two\nlines").unwrap();
    let told = scene.through("viewer", &["client", "list"]);
    assert_eq!(told.status.code(), Some(65), "{told:#?}");
    let url = format!("http://{}", scene.gateway.admin_address());
    let mut without = program();
    without.args(["client", "list", "--server", &url]);
    refused(self::told(without), "--token-file");
}

/// What is asked for elsewhere must not read or write files there, and files from here stay here but for
/// certificates.
#[test]
fn nothing_but_certificates_leaves_this_machine() {
    let scene = Scene::new();
    // Whoever is asked would notice.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let token = scene.tokens.file("admin");
    let run = |arguments: &[&str]| told(command(scene.gateway.folder(), &url, &token, arguments));
    let client = scene.world.client("alice");
    let (key, secret) = (
        client.key.to_str().unwrap(),
        scene.gateway.path("pepper.key"),
    );
    for (arguments, words) in [
        (
            &["certificate", "add", "--client", "acme", key][..],
            "private key",
        ),
        (
            &[
                "certificate",
                "add",
                "--client",
                "acme",
                secret.to_str().unwrap(),
            ],
            "no certificates",
        ),
        (
            &["audit", "export", "--file", "x"],
            "not done by the admin API",
        ),
        (&["audit", "verify", "--file", "x"], "of this machine"),
        (
            &[
                "key",
                "issue",
                "--seal",
                "--certificates",
                ".",
                "--out",
                ".",
            ],
            "of this machine",
        ),
        (&["store", "status"], "not done by the admin API"),
        (&["check"], "not done by the admin API"),
        (&["client", "list", "--config", "x"], "exclude each other"),
    ] {
        let told = run(arguments);
        assert_eq!(told.status.code(), Some(64), "{told:#?}");
        assert!(told.errors.contains(words), "{told:#?}");
    }
    let asked = listener.accept();
    assert!(asked.is_err(), "somebody was asked: {asked:?}");
    // The control: it is asked for what may be sent.
    let mut list = command(scene.gateway.folder(), &url, &token, &["client", "list"]);
    let mut child = list.spawn().unwrap();
    wait_for("a question", || listener.accept().ok());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_environment_names_the_gateway_and_a_configuration_counts_before_it() {
    let scene = Scene::new();
    let url = format!("http://{}", scene.gateway.admin_address());
    let run = |url: &str, arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).env("KEYFERRY_SERVER", url);
        command.env("KEYFERRY_TOKEN_FILE", scene.tokens.file("viewer"));
        told(command)
    };
    run(&url, &["client", "list"]).expect_success();
    let config = scene.gateway.config_file();
    let here = ["client", "list", "--config", config.to_str().unwrap()];
    run("http://127.0.0.1:9", &here).expect_success();
    let nobody = run("http://127.0.0.1:9", &["client", "list"]);
    assert_eq!(nobody.status.code(), Some(69), "{nobody:#?}");
    let clear = run("http://192.0.2.1:9443", &["client", "list"]);
    assert_eq!(clear.status.code(), Some(64), "{clear:#?}");
    assert!(clear.errors.contains("in the clear"), "{clear:#?}");
}
