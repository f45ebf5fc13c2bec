//! Cases C12: keys for clients that never call, as the `openssl` program opens them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyferry::certificate::Recipient;
use keyferry::client::Tag;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::support::backend::Backend;
use crate::support::gateway::{Builder, Gateway, Told};
use crate::support::pki::{Kind, Spec, leaf};
use crate::support::store::SharedStore;
use crate::support::world::{HOST, Identity, World};

/// `kf_live_`, the key id, `_`, and 49 digits.
const KEY_BYTES: usize = 8 + 32 + 1 + 49;

const KINDS: [Kind; 4] = [Kind::Rsa(2048), Kind::Rsa(3072), Kind::P256, Kind::P384];

fn decrypt(message: &Path, with: &[&Path]) -> Output {
    let mut openssl = Command::new("openssl");
    openssl.args(["cms", "-decrypt", "-inform", "PEM", "-in"]);
    openssl.arg(message);
    for (option, file) in ["-inkey", "-recip"].iter().zip(with) {
        openssl.arg(option).arg(file);
    }
    openssl.output().expect("the openssl program")
}

fn recipient(client: &Identity) -> Recipient {
    Recipient::read(&fs::read(&client.chain).unwrap()).unwrap()
}

#[test]
fn openssl_opens_what_is_sealed_to_every_kind_of_key() {
    let world = World::new();
    let message = world.path("message.cms");
    for kind in KINDS {
        let client = world.client_like(leaf("device").kind(kind));
        let other = world.client_like(leaf("device").kind(kind));
        let sealed = recipient(&client).seal(b"the message\n").unwrap();
        fs::write(&message, sealed).unwrap();
        for with in [&[&*client.key, &*client.chain][..], &[&*client.key]] {
            let opened = decrypt(&message, with);
            assert!(opened.status.success(), "{opened:?}");
            assert_eq!(opened.stdout, b"the message\n");
        }
        let refused = decrypt(&message, &[&*other.key]);
        assert!(
            !refused.status.success() && !refused.stdout.starts_with(b"the"),
            "{refused:?}"
        );
    }
}

#[test]
fn c12_openssl_refuses_what_was_altered() {
    let world = World::new();
    let (message, der) = (world.path("message.cms"), world.path("message.der"));
    for kind in KINDS {
        let client = world.client_like(leaf("device").kind(kind));
        let sealed = recipient(&client).seal(b"the message\n").unwrap();
        fs::write(&message, &sealed).unwrap();
        let convert = |to: &str, from: (&str, &Path), into: &Path| {
            let done = Command::new("openssl")
                .args(["cms", "-cmsout", "-inform", from.0, "-in"])
                .arg(from.1)
                .args(["-outform", to, "-out"])
                .arg(into)
                .status();
            assert!(done.unwrap().success());
        };
        convert("DER", ("PEM", &message), &der);
        let whole = fs::read(&der).unwrap();
        // A byte of the tag, of the content, and of the encrypted content key.
        let places = [whole.len() - 1, whole.len() - 19, whole.len() - 100];
        for at in places {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            fs::write(&der, &altered).unwrap();
            convert("PEM", ("DER", &der), &message);
            let refused = decrypt(&message, &[&*client.key]);
            assert!(!refused.status.success(), "byte {at}: {refused:?}");
        }
    }
}

/// A gateway on which only those are clients whom the operator named.
struct Scene {
    world: World,
    gateway: Gateway,
    _backend: Backend,
}

impl Scene {
    fn new() -> Self {
        Self::with(|gateway| gateway)
    }

    fn with(more: impl FnOnce(Builder<'_>) -> Builder<'_>) -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let gateway = Gateway::builder(&world)
            .echo(&backend)
            .set("enrolment.mode", "registered");
        let gateway = more(gateway).start();
        Self {
            world,
            gateway,
            _backend: backend,
        }
    }

    /// A client whose certificate is in its folder and known to the gateway.
    fn client(&self, id: &str, spec: Spec) -> Identity {
        let client = self.world.client_like(spec);
        self.gateway.cli(&["client", "add", id]).expect_success();
        self.give(id, &client);
        client
    }

    fn give(&self, id: &str, client: &Identity) {
        let file = text(&client.chain);
        let add = ["certificate", "add", "--client", id, file];
        self.gateway.cli(&add).expect_success();
    }

    /// A folder with these certificates, each under a name.
    fn folder(&self, clients: &[(&str, &Identity)]) -> PathBuf {
        let folder = self.world.path("certificates");
        fs::create_dir(&folder).unwrap();
        for (name, client) in clients {
            fs::copy(&client.chain, folder.join(name)).unwrap();
        }
        folder
    }

    /// Issues sealed keys; the keys themselves are never shown.
    fn seal(&self, more: &[&str]) -> Told {
        let issue = [&["key", "issue", "--seal"], more].concat();
        let told = self.gateway.cli(&issue);
        assert!(!told.output.contains("kf_live") && !told.errors.contains("kf_live"));
        told
    }

    fn seal_one(&self, id: &str, certificate: &Path) -> Told {
        self.seal(&["--client", id, "--certificate", text(certificate)])
    }

    fn keys(&self) -> Json {
        let listed = self.gateway.cli(&["key", "list", "--output", "json"]);
        listed.expect_success().json()["keys"].clone()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries
        .map(|one| one.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The lines that docs/SEALED.md tells the client to run.
fn documented() -> Vec<String> {
    let page = include_str!("../../docs/SEALED.md");
    let (_, section) = page.split_once("## The client opens it").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// A client's machine: a folder with what the guide says that it has.
struct Machine<'a> {
    scene: &'a Scene,
    folder: PathBuf,
}

impl<'a> Machine<'a> {
    fn new(scene: &'a Scene, id: &str, client: &Identity) -> Self {
        let folder = scene.world.path(id);
        fs::create_dir(&folder).unwrap();
        fs::copy(&client.chain, folder.join("dev.pem")).unwrap();
        fs::copy(&client.key, folder.join("dev.key")).unwrap();
        let address = scene.gateway.address();
        let curlrc = format!(
            "silent\ncacert = {}\nresolve = {HOST}:{}:{}\n",
            text(&scene.world.authority),
            address.port(),
            address.ip()
        );
        fs::write(folder.join(".curlrc"), curlrc).unwrap();
        Self { scene, folder }
    }

    /// Runs lines of the guide, at the gateway of the test.
    fn run(&self, step: &str) -> Output {
        let here = format!("{HOST}:{}", self.scene.gateway.address().port());
        let mut shell = Command::new("sh");
        shell.args(["-c", &step.replace(HOST, &here)]);
        shell
            .current_dir(&self.folder)
            .env("CURL_HOME", &self.folder);
        shell.output().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

#[test]
fn what_the_guide_tells_the_client_to_do_works() {
    let (scene, steps) = (Scene::new(), documented());
    assert_eq!(steps.len(), 2);
    let mut machines = Vec::new();
    for (id, kind) in ["a", "b", "c", "d"].into_iter().zip(KINDS) {
        let client = scene.client(id, leaf(id).kind(kind));
        let machine = Machine::new(&scene, id, &client);
        let told = scene.seal_one(id, &client.chain).expect_success();
        assert!(
            told.output.starts_with("-----BEGIN CMS-----\n"),
            "{told:#?}"
        );
        fs::write(machine.file("key.cms"), told.output).unwrap();

        let opened = machine.run(&steps[0]);
        assert!(opened.status.success(), "{opened:?}");
        let key = fs::read_to_string(machine.file("api.key")).unwrap();
        let answer = scene.gateway.curl("/").key(key.trim_end()).send();
        answer.expect_status(200);
        let whoami = machine.run(&steps[1]);
        assert!(whoami.status.success(), "{whoami:?}");
        let who: Json = serde_json::from_slice(&whoami.stdout).unwrap();
        assert_eq!(who["client_id"], id);
        machines.push(machine);
    }
    // Anybody can seal, so somebody else's key may come: the second step tells.
    fs::copy(machines[1].file("api.key"), machines[0].file("api.key")).unwrap();
    let whoami = machines[0].run(&steps[1]);
    assert!(!whoami.status.success(), "{whoami:?}");
    assert!(String::from_utf8_lossy(&whoami.stdout).contains("credential_conflict"));
}

/// The guide says so: what was altered is written, and only the status tells.
#[test]
fn c12_an_altered_message_never_becomes_the_key() {
    let (scene, steps) = (Scene::new(), documented());
    let client = scene.client("a", leaf("a"));
    let machine = Machine::new(&scene, "a", &client);
    let sealed = scene.seal_one("a", &client.chain).expect_success().output;
    let lines = sealed.lines().filter(|line| !line.starts_with('-'));
    let mut der = STANDARD.decode(lines.collect::<String>()).unwrap();
    // The first letter of the key: two bytes of header and the tag come after the content.
    let at = der.len() - 18 - (KEY_BYTES + 1);
    der[at] ^= b'k' ^ b'X';
    let altered = format!(
        "-----BEGIN CMS-----\n{}\n-----END CMS-----\n",
        STANDARD.encode(der)
    );
    fs::write(machine.file("key.cms"), altered).unwrap();
    let refused = machine.run(&steps[0]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("Error decrypting CMS structure"), "{said}");
    assert!(!machine.file("api.key").exists());
    let written = fs::read_to_string(machine.file("api.key.new")).unwrap();
    assert!(written.starts_with("Xf_live_"), "{written}");
}

#[test]
fn c12_a_key_is_sealed_only_to_a_certificate_that_is_the_clients_own() {
    let scene = Scene::new();
    let acme = scene.client("acme", leaf("acme"));
    let other = scene.client("other", leaf("other"));
    let stranger = scene.world.client("acme");
    let signer = scene.client("signer", leaf("signer").kind(Kind::Ed25519));
    for (id, file, status, words) in [
        ("acme", &other.chain, 1, "is that of other, not of acme"),
        ("acme", &stranger.chain, 1, "no client has the certificate"),
        ("nobody", &acme.chain, 1, "there is no client nobody"),
        (
            "signer",
            &signer.chain,
            64,
            "Ed25519, which signs and cannot decrypt",
        ),
        ("acme", &acme.key, 64, "private key"),
    ] {
        let told = scene.seal_one(id, file);
        assert_eq!(told.status.code(), Some(status), "{told:#?}");
        assert!(
            told.errors.contains(words) && told.output.is_empty(),
            "{told:#?}"
        );
    }
    let keys = scene.keys();
    let mut keys = keys.as_array().unwrap().iter();
    assert!(keys.all(|key| key["status"] == "reserved"), "{keys:?}");
    scene.seal_one("acme", &acme.chain).expect_success();

    let fingerprint = hex::encode(Sha256::digest(acme.issued.x509.to_der().unwrap()));
    for (verb, words) in [("supersede", "is superseded"), ("remove", "is removed")] {
        let command = ["certificate", verb, &fingerprint];
        scene.gateway.cli(&command).expect_success();
        let told = scene.seal_one("acme", &acme.chain);
        assert_eq!(told.status.code(), Some(1), "{told:#?}");
        assert!(told.errors.contains(words), "{told:#?}");
    }
}

/// Clients of which some can get a sealed key, and a folder with their certificates.
struct Fleet {
    scene: Scene,
    certificates: PathBuf,
    sealed: PathBuf,
    /// Those who get one, each with the certificate that it is sealed to.
    willing: Vec<(&'static str, Identity)>,
}

impl Fleet {
    fn new() -> Self {
        let scene = Scene::new();
        let day = 86_400;
        let rsa = scene.client("rsa", leaf("rsa").kind(Kind::Rsa(2048)));
        let ended = scene.client("ended", leaf("ended").dates(-2 * day, -day));
        let older = scene.client("ec", leaf("ec").dates(-9 * day, 9 * day));
        let newer = scene.world.client_like(leaf("ec").dates(-day, day));
        scene.give("ec", &newer);
        let [off, moved, there] = ["off", "moved", "there"].map(|id| scene.client(id, leaf(id)));
        let cli = |arguments: &[&str]| drop(scene.gateway.cli(arguments).expect_success());
        cli(&["client", "disable", "off"]);
        cli(&["key", "issue", "--client", "moved"]);
        let signer = scene.client("signer", leaf("signer").kind(Kind::Ed25519));
        let certificates = scene.folder(&[
            ("1.pem", &rsa),
            ("2.pem", &newer),
            ("3.pem", &older),
            ("4.pem", &ended),
            ("off.pem", &off),
            ("moved.pem", &moved),
            ("there.pem", &there),
            ("signer.pem", &signer),
            ("stranger.pem", &scene.world.client("stranger")),
        ]);
        fs::write(certificates.join("README"), "certificates").unwrap();
        let sealed = scene.world.path("sealed");
        fs::create_dir(&sealed).unwrap();
        fs::write(sealed.join("there.cms"), "somebody else's").unwrap();
        let willing = vec![("ec", newer), ("ended", ended), ("rsa", rsa)];
        Self {
            scene,
            certificates,
            sealed,
            willing,
        }
    }

    fn seal(&self, more: &[&str]) -> Told {
        let folders = [
            "--certificates",
            text(&self.certificates),
            "--out",
            text(&self.sealed),
        ];
        self.scene.seal(&[&folders[..], more].concat())
    }
}

#[test]
fn a_folder_of_certificates_becomes_a_folder_of_sealed_keys() {
    let fleet = Fleet::new();
    let told = fleet.seal(&["--output", "json"]);
    let report: Json = serde_json::from_str(&told.output).unwrap();
    assert_eq!(
        names(&fleet.sealed),
        ["ec.cms", "ended.cms", "rsa.cms", "there.cms"]
    );
    assert_eq!(report["sealed"].as_array().unwrap().len(), 3, "{report:#}");
    let reported = report["sealed"].as_array().unwrap().iter();
    for ((name, client), one) in fleet.willing.iter().zip(reported) {
        let file = fleet.sealed.join(format!("{name}.cms"));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let opened = decrypt(&file, &[&*client.key, &*client.chain]);
        assert!(opened.status.success(), "{name}: {opened:?}");
        let key = String::from_utf8(opened.stdout).unwrap();
        let answer = fleet.scene.gateway.curl("/").key(key.trim_end()).send();
        answer.expect_status(200);
        assert_eq!(one["client_id"], *name);
        assert_eq!(one["key_id"], key.split('_').nth(2).unwrap());
        assert_eq!(one["file"], text(&file));
    }
}

#[test]
fn whoever_gets_no_sealed_key_is_named_with_the_reason_and_keeps_what_it_has() {
    let fleet = Fleet::new();
    let told = fleet.seal(&["--output", "json"]);
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    assert!(told.errors.contains("5 got no key, and 3 did"), "{told:#?}");
    let report: Json = serde_json::from_str(&told.output).unwrap();
    let refused = report["refused"].as_array().unwrap();
    for (name, words) in [
        ("README", "holds no certificate"),
        ("signer.pem", "Ed25519"),
        ("stranger.pem", "no client has"),
        ("off", "is disabled"),
        ("there", "is there already"),
    ] {
        let is_told = |one: &&Json| {
            let file = one["certificate_file"].as_str().unwrap_or_default();
            one["client_id"] == name || file.ends_with(name)
        };
        let why = refused.iter().find(is_told).unwrap()["why"].as_str();
        assert!(why.unwrap().contains(words), "{why:?}");
    }
    assert_eq!(report["had_keys"][0]["client_id"], "moved", "{report:#}");
    let there = fs::read_to_string(fleet.sealed.join("there.cms")).unwrap();
    assert_eq!(there, "somebody else's");

    // Again, once what was in the way is gone: whoever has a key is left alone.
    for name in ["README", "signer.pem", "stranger.pem", "off.pem"] {
        fs::remove_file(fleet.certificates.join(name)).unwrap();
    }
    fs::remove_file(fleet.sealed.join("there.cms")).unwrap();
    let before = fs::read(fleet.sealed.join("rsa.cms")).unwrap();
    for (had, issued) in [(4, 1), (5, 0)] {
        let again = fleet.seal(&["--output", "json"]).expect_success().json();
        let count = |list: &str| again[list].as_array().unwrap().len();
        assert_eq!(
            (count("had_keys"), count("sealed")),
            (had, issued),
            "{again:#}"
        );
    }
    assert_eq!(fs::read(fleet.sealed.join("rsa.cms")).unwrap(), before);
}

#[test]
fn a_dry_run_says_who_would_get_a_sealed_key_and_issues_none() {
    let fleet = Fleet::new();
    let before = fleet.scene.keys();
    let told = fleet.seal(&["--dry-run"]);
    assert!(
        told.errors.contains("these keys would be issued"),
        "{told:#?}"
    );
    for (name, _) in &fleet.willing {
        assert!(told.output.contains(&format!("{name}.cms")), "{told:#?}");
    }
    assert!(told.errors.contains("no key for off: "), "{told:#?}");
    assert_eq!(names(&fleet.sealed), ["there.cms"]);
    assert_eq!(fleet.scene.keys(), before);
}

#[test]
fn a_cohort_gets_its_sealed_keys_and_its_members_without_a_certificate_are_named() {
    let store = SharedStore::start();
    let scene = Scene::with(|gateway| gateway.redis(&store.url()));
    let [a, b, other] = ["a", "b", "other"].map(|id| (id, scene.client(id, leaf(id))));
    scene.client("absent", leaf("absent"));
    for (id, tags) in [
        ("a", &["mobile"][..]),
        ("b", &["mobile", "beta"]),
        ("absent", &["mobile"]),
    ] {
        store.edit_client(id, |client| {
            client
                .tags
                .extend(tags.iter().map(|tag| tag.parse::<Tag>().unwrap()));
        });
    }
    let certificates = scene.folder(&[("a", &a.1), ("b", &b.1), ("other", &other.1)]);
    let sealed = scene.world.path("sealed");
    let folders = [
        "--certificates",
        text(&certificates),
        "--out",
        text(&sealed),
    ];
    let told = scene.seal(&[&folders[..], &["--cohort", "mobile,!beta"]].concat());
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    let said = "no key for absent: no certificate of it is in the folder";
    assert!(told.errors.contains(said), "{told:#?}");
    assert_eq!(names(&sealed), ["a.cms"]);
}
