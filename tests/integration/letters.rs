//! What clients are told by mail, and to whom it goes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, Told};
use crate::support::pki::{leaf, tlv};
use crate::support::world::{HOST, Identity, World};

const URL: [&str; 2] = ["--url", "https://api.example.com"];
const EMAIL_ADDRESS: &str = "1.2.840.113549.1.9.1";
const ALTERNATIVE_NAMES: &str = "2.5.29.17";
const IA5_STRING: u8 = 0x16;
const RFC822_NAME: u8 = 0x81;

struct Scene {
    gateway: Gateway,
    world: World,
    _backend: Backend,
}

impl Scene {
    fn new() -> Self {
        let (world, backend) = (World::new(), Backend::start());
        Self {
            gateway: Gateway::start(&world, &backend),
            world,
            _backend: backend,
        }
    }

    fn with(clients: &[&str]) -> Self {
        let scene = Self::new();
        let add = [&["client", "add"], clients].concat();
        scene.gateway.cli(&add).expect_success();
        scene
    }

    /// A client whose certificate has these addresses, which calls once.
    fn enrol(&self, name: &str, alternative: &[&str], subject: &[&str]) -> Identity {
        let mut spec = leaf(name);
        for email in subject {
            spec = spec.entry(EMAIL_ADDRESS, IA5_STRING, email.as_bytes());
        }
        if !alternative.is_empty() {
            let names = alternative.iter();
            let names: Vec<_> = names
                .flat_map(|email| tlv(RFC822_NAME, email.as_bytes()))
                .collect();
            spec = spec.extension(ALTERNATIVE_NAMES, false, &tlv(0x30, &names));
        }
        let client = self.world.client_like(spec);
        let call = self.gateway.curl("/").certificate(&client).send();
        call.expect_status(200);
        client
    }

    /// Types what the letter says, with the files that it names; gives the key that is printed.
    fn do_as_told(&self, client: &Identity, letter: &str) -> String {
        let folder = self.world.path("home");
        fs::create_dir_all(&folder).unwrap();
        fs::copy(&client.chain, folder.join("client.pem")).unwrap();
        fs::copy(&client.key, folder.join("client.key")).unwrap();
        // The name leads to the gateway, whose authority is trusted.
        let curlrc = format!(
            "silent\nconnect-to = \"{HOST}:443:{}\"\ncacert = \"{}\"\n",
            self.gateway.address(),
            self.world.authority.display()
        );
        fs::write(folder.join(".curlrc"), curlrc).unwrap();
        let commands = letter.split("\n\n");
        let mut commands = commands.filter(|part| part.starts_with("  curl --cert"));
        let command = commands.next().expect("a command");
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&folder);
        let told = shell.env("CURL_HOME", &folder).output().unwrap();
        let told: Json = serde_json::from_slice(&told.stdout).unwrap_or_else(|_| {
            panic!("{command}: {told:#?}");
        });
        told["key"]
            .as_str()
            .unwrap_or_else(|| panic!("{told:#}"))
            .to_owned()
    }

    fn letter(&self, arguments: &[&str]) -> Told {
        self.gateway
            .cli(&[&["letter"], &URL[..], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Json {
        let told = self.letter(&[arguments, &["--output", "json"]].concat());
        told.expect_success().json()
    }
}

/// The id of the client that calls itself so.
fn id(letters: &Json, name: &str) -> String {
    let letters = letters["letters"].as_array().unwrap().iter();
    let mut ids = letters.filter_map(|letter| letter["client_id"].as_str());
    let found = ids.find(|id| id.starts_with(name));
    found.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

fn of<'a>(letters: &'a Json, name: &str) -> &'a Json {
    let mut all = letters["letters"].as_array().unwrap().iter();
    let is_it = |letter: &&Json| letter["client_id"].as_str().unwrap().starts_with(name);
    all.find(is_it).unwrap_or_else(|| panic!("no {name}"))
}

/// The rows of a table, as Python reads them.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let script = "import csv, io, json, sys\n\
                  text = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8', newline='')\n\
                  json.dump(list(csv.reader(text, strict=True)), sys.stdout)";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    { child.stdin.take().unwrap() }
        .write_all(csv.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{csv}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn letters_go_to_the_addresses_in_certificates_and_to_no_other_text() {
    let scene = Scene::new();
    scene.enrol(
        "alice",
        &["ops@alice.example", "it@alice.example"],
        &["OPS@alice.example", "boss@alice.example"],
    );
    scene.enrol("bob", &[], &["bob@bob.example"]);
    scene.enrol(
        "mallory",
        &["a,b@m.example", "x@y@z", "-oQ@m.example", "=1+1@m.example"],
        &["eve@m.example\r\nBcc: all@alice.example", "eve @m.example"],
    );
    let letters = scene.json(&[]);
    let alice = [
        "it@alice.example",
        "ops@alice.example",
        "boss@alice.example",
    ];
    assert_eq!(of(&letters, "alice")["to"], json!(alice));
    assert_eq!(of(&letters, "bob")["to"], json!(["bob@bob.example"]));
    assert_eq!(of(&letters, "mallory")["to"], json!([]));
    assert_eq!(letters["without_contact"], json!([id(&letters, "mallory")]));

    let (alice, mallory) = (id(&letters, "alice"), id(&letters, "mallory"));
    let shown = scene.gateway.cli(&["client", "show", &alice]);
    let contacts = "it@alice.example, ops@alice.example, boss@alice.example";
    let shown = shown.expect_success().output;
    assert!(shown.contains(contacts), "{shown}");
    for (text, found) in [
        ("boss@Alice.example", &alice),
        ("bob@bob.example", &id(&letters, "bob")),
    ] {
        let list = ["client", "list", "--search", text, "--output", "json"];
        let listed = scene.gateway.cli(&list).expect_success().json();
        let clients = listed["clients"].as_array().unwrap();
        assert_eq!(clients.len(), 1, "{listed}");
        assert_eq!(clients[0]["client_id"], json!(found));
    }

    let told = scene.letter(&[]).expect_success();
    assert!(
        told.errors.contains("1 client(s) name no e-mail address"),
        "{told:#?}"
    );
    assert!(told.errors.contains(&mallory), "{told:#?}");
    assert!(
        told.output
            .contains(&format!("===== {alice} <{contacts}> =====\n\nHello,\n"))
    );
    assert!(
        told.output
            .contains(&format!("===== {mallory} <> =====\n\nHello,\n"))
    );
    assert!(!told.output.contains("\nBcc"), "{}", told.output);
}

/// A client that does as its letter says has its key, and gets another letter.
#[test]
fn whoever_does_as_the_letter_says_has_a_key() {
    let scene = Scene::new();
    let client = scene.enrol("acme", &["ops@acme.example"], &[]);
    let letters = scene.json(&[]);
    let id = id(&letters, "acme");
    let letter = scene.letter(&[&id]).expect_success();
    assert!(letter.errors.is_empty(), "{letter:#?}");
    let key = scene.do_as_told(&client, &letter.output);
    let announce = ["phase", "announce", "--all", "--sunset", "2099-06-30"];
    scene.gateway.cli(&announce).expect_success();
    let told = scene.letter(&[&id]).expect_success().output;
    for words in [
        "has not used yet",
        "Its API keys:",
        "On 30 June 2099 certificates",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("--cert client.pem"), "{told}");
    // No key stands in a letter, in whatever form.
    let secret = key.rsplit('_').next().unwrap();
    let all = scene.letter(&["--output", "json"]).expect_success().output;
    assert!(!all.contains(secret) && !told.contains(secret));
    assert!(all.contains(key.split('_').nth(2).unwrap()));
    let only = |arguments: &[&str]| scene.json(arguments)["letters"].as_array().unwrap().len();
    assert_eq!(only(&["--stage", "key-issued"]), 1);
    assert_eq!(only(&["--stage", "cert-only"]), 0);
    let nobody = scene.letter(&["--stage", "cert-only"]).expect_success();
    assert_eq!(
        (nobody.output.as_str(), nobody.errors.as_str()),
        ("", "no such client\n")
    );
    let nobody = scene.letter(&["--stage", "cert-only", "--csv"]);
    let nobody = nobody.expect_success().output;
    assert!(
        nobody.starts_with("client_id,to,") && nobody.lines().count() == 1,
        "{nobody}"
    );
}

#[test]
fn the_table_reads_back_as_it_was_meant_and_no_cell_is_a_formula() {
    let scene = Scene::new();
    let hostile = "=cmd|' /C calc'!A0 \", \"x\"";
    let add = [
        "client",
        "add",
        "acme",
        "--description",
        hostile,
        "--tag",
        "mobile",
        "beta",
    ];
    scene.gateway.cli(&add).expect_success();
    scene.enrol("bob", &["bob@bob.example", "it@bob.example"], &[]);
    let told = scene.letter(&["--csv"]).expect_success();
    assert!(told.output.ends_with("\"\r\n") && told.output.starts_with("client_id,to,"));
    let (rows, letters) = (rows(&told.output), scene.json(&[]));
    let width = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == width), "{rows:?}");
    let letters = letters["letters"].as_array().unwrap();
    assert_eq!(rows.len(), letters.len() + 1);
    for (row, letter) in rows.iter().skip(1).zip(letters) {
        assert_eq!(row[0], letter["client_id"].as_str().unwrap());
        assert_eq!(row[width - 1], letter["text"].as_str().unwrap());
        for cell in row {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
        }
    }
    let acme = rows.iter().find(|row| row[0] == "acme").unwrap();
    assert_eq!(acme[1..4], ["", &format!("'{hostile}"), "beta mobile"]);
    let bob = rows.iter().find(|row| row[0].starts_with("bob")).unwrap();
    assert_eq!(bob[1], "bob@bob.example, it@bob.example");
    let both = scene.letter(&["--csv", "--output", "json"]);
    assert_eq!(both.status.code(), Some(64), "{both:#?}");
}

#[test]
fn each_letter_has_its_file_and_none_is_written_over() {
    let long = "a".repeat(64);
    let scene = Scene::with(&["..", ".hidden", "acme", &long]);
    let folder = scene.world.path("new/letters");
    let at = folder.to_str().unwrap();
    let told = scene.letter(&["--directory", at]).expect_success();
    assert_eq!(told.output, format!("wrote 4 letter(s) into {at}\n"));
    let names = || {
        let entries = fs::read_dir(&folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    };
    let long = format!("{long}.txt");
    let files = ["%2E..txt", "%2Ehidden.txt", &long, "acme.txt"];
    assert_eq!(names(), files);
    let acme = folder.join("acme.txt");
    let letter = scene.letter(&["acme"]).expect_success().output;
    assert_eq!(fs::read_to_string(&acme).unwrap(), letter);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&acme), mode(&folder)), (0o600, 0o700));

    fs::write(&acme, "mine").unwrap();
    fs::remove_file(folder.join("%2E..txt")).unwrap();
    let refused = scene.letter(&["--directory", at]);
    assert_eq!(refused.status.code(), Some(1), "{refused:#?}");
    assert!(refused.errors.contains("is there already") && refused.errors.contains("--replace"));
    assert_eq!(fs::read_to_string(&acme).unwrap(), "mine");
    assert!(!names().contains(&"%2E..txt".to_owned()));
    // A link is replaced, not followed.
    let elsewhere = scene.world.path("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    fs::remove_file(&acme).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &acme).unwrap();
    let replaced = scene.json(&["--directory", at, "--replace"]);
    assert_eq!(of(&replaced, "acme")["file"], json!(acme));
    assert_eq!(fs::read_to_string(&acme).unwrap(), letter);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    assert_eq!(names(), files);
}

#[test]
fn a_template_that_is_wrong_writes_nothing() {
    let scene = Scene::with(&["acme"]);
    let (template, folder) = (scene.world.path("move.txt"), scene.world.path("letters"));
    let paths = [&template, &folder].map(|path| path.to_str().unwrap());
    let arguments = ["--template", paths[0], "--directory", paths[1]];
    fs::write(
        &template,
        "To: {{ to }}\n\n{% if keys %}{{ cleint_id }}{% endif %}\n",
    )
    .unwrap();
    let told = scene.letter(&arguments);
    assert_eq!(told.status.code(), Some(65), "{told:#?}");
    let words = format!(
        "{}: line 3: there is no cleint_id; the names there are: ",
        paths[0]
    );
    assert!(told.errors.contains(&words), "{told:#?}");
    assert!(!folder.exists());
    fs::write(&template, "Dear {{ client_id }}\n").unwrap();
    scene.letter(&arguments).expect_success();
    let written = fs::read_to_string(folder.join("acme.txt")).unwrap();
    assert_eq!(written, "Dear acme\n");
}

#[test]
fn what_makes_no_sense_is_told() {
    let scene = Scene::with(&["acme"]);
    for (arguments, status, words) in [
        (&["letter"][..], 64, "--url https://api.example.com"),
        (
            &["letter", "--url", "http://api.example.com"],
            64,
            "write https:// and the host",
        ),
        (
            &["letter", "nobody", "--url", URL[1]],
            1,
            "there is no client nobody",
        ),
        (
            &["letter", "acme", "--stage", "dual", "--url", URL[1]],
            64,
            "cannot be used with",
        ),
        (&["letter", "--replace", "--url", URL[1]], 64, "--directory"),
        (
            &["letter", "--csv", "--directory", "x", "--url", URL[1]],
            64,
            "cannot be used with",
        ),
        (
            &["letter", "--template", "/nowhere", "--url", URL[1]],
            64,
            "/nowhere cannot be read",
        ),
    ] {
        let told = scene.gateway.cli(arguments);
        assert_eq!(told.status.code(), Some(status), "{told:#?}");
        assert!(told.errors.contains(words), "{told:#?}");
    }
}

/// Where the routes name one host, that is where the API is.
#[test]
fn letters_say_the_host_of_the_routes() {
    let (world, backend) = (World::new(), Backend::start());
    let route = toml::toml! {
        name = "named"
        host = "api.acme.example"
        path = "/"
        backend = "echo"
        accept = "either"
    };
    let gateway = Gateway::builder(&world).echo(&backend);
    let gateway = gateway.push("route", route).start();
    gateway.cli(&["client", "add", "acme"]).expect_success();
    let told = gateway.cli(&["letter", "acme"]).expect_success().output;
    assert!(
        told.contains("https://api.acme.example/.well-known/keyferry/whoami"),
        "{told}"
    );
}
