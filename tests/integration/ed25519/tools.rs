//! `keyferry verify`, `probe` and `doctor` with public keys, and whether a private one is shown anywhere.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::process::Command;

use keyferry::clock;
use keyferry::sign::header::Names;
use keyferry::sign::{Confused, Message, Verifier, confused, jwks, tried};
use openssl::pkey::PKey;
use serde_json::Value as Json;

use super::{Pair, Scene, sign_with, signing};
use crate::signature::verdict_of;
use crate::support::backend::{Backend, Belief, Recorded};
use crate::support::gateway::Gateway;
use crate::support::verify::{Verify, bytes, send};
use crate::support::wait_for;
use crate::support::world::{HOST, World};

fn file(world: &World, name: &str, text: &str, mode: u32) -> String {
    let path = world.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.display().to_string()
}

/// S6: `keyferry verify` by the published set, before a backend that believes everything.
#[test]
fn s6_behind_the_verifier_only_what_the_private_key_signed_arrives() {
    let scene = Scene::new();
    let set = file(
        &scene.world,
        "jwks.json",
        &scene.set_of("echo").to_string(),
        0o644,
    );
    let inner = Backend::start();
    let verify = Verify::before(inner.address(), &[], &["--jwks", &set]);
    let said = |request: &Recorded| {
        let said = send(verify.address(), &bytes(request, ""));
        (said.status, said.reason())
    };
    let good = scene.recorded();
    assert_eq!(said(&good), (200, String::new()));
    assert_eq!(said(&good), (401, "signature_replayed".to_owned()));
    assert_eq!(
        inner.last().header("x-client-id"),
        good.header("x-client-id")
    );

    // By HMAC with what everybody knows, as the probe does it; the same backend believes it alone.
    for how in Confused::ALL {
        let public = scene.key.verifying("echo");
        let (key, secret) = (confused(&public, how).unwrap(), how.of(&public).unwrap());
        let naive = Verifier::new([key.clone()], Names::default());
        let mut forged = good.clone();
        let message = Message {
            method: "POST",
            authority: good.header("host"),
            path: "/v1/orders",
            query: Some("limit=10&a=b"),
            content_digest: Some(good.header("content-digest")),
        };
        let made = tried(&key, &Names::default(), &message, clock::now());
        for (name, value) in made.unwrap().into_headers() {
            let fields = forged.headers.iter_mut();
            let mut fields = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name.as_str()));
            value
                .to_str()
                .unwrap()
                .clone_into(&mut fields.next().unwrap().1);
        }
        assert_eq!(verdict_of(&naive, &forged, clock::now()), Ok(()), "{how:?}");
        let believing = Backend::believing(Belief::SignedWith(secret));
        assert_eq!(
            send(believing.address(), &bytes(&forged, "")).status,
            200,
            "{how:?}"
        );
        assert_eq!(
            said(&forged),
            (401, "signature_malformed".to_owned()),
            "{how:?}"
        );
    }
    assert_eq!(inner.requests().len(), 1);
}

/// What a verifier is not to be started with.
#[test]
fn s6_a_verifier_takes_no_published_key_for_a_secret_and_no_private_one_for_public() {
    let (world, key) = (World::new(), Pair::new());
    let set = jwks::write([&key.verifying("echo")]);
    let with_d = set.replace("\"kid\"", "\"d\":\"AAAA\",\"kid\"");
    let hex = String::from_utf8(Confused::Hex.of(&key.verifying("echo")).unwrap()).unwrap();
    let public = file(&world, "public.pem", &key.public, 0o644);
    let open = file(&world, "open.pem", &key.public, 0o666);
    let private = file(&world, "private.pem", &key.private, 0o600);
    let secrets = [("a", &*key.public), ("b", &set), ("c", &hex)];
    let [as_secret, set_as_secret, hex_as_secret] =
        secrets.map(|(name, text)| format!("echo={}", file(&world, name, text, 0o600)));
    let private_set = file(&world, "private.json", &with_d, 0o644);
    let [set, empty] = [("set.json", &*set), ("empty.json", r#"{"keys":[]}"#)]
        .map(|(name, text)| file(&world, name, text, 0o644));
    let named = |file: &str| format!("echo={file}");
    let public_named = named(&public);
    let no_secret = "no secret that only two know";
    let both = ["--public-key", &public_named, "--secret", &hex_as_secret];
    let twice = ["--jwks", &set, "--public-key", &public_named];
    for (options, why) in [
        (&["--secret", &as_secret][..], no_secret),
        (&["--secret", &set_as_secret], no_secret),
        (&both, "a public key is a secret, too"),
        (
            &["--public-key", &named(&private)],
            "no public key for Ed25519",
        ),
        (
            &["--public-key", &named(&open)],
            "can be changed by others (mode 0666)",
        ),
        (
            &["--jwks", &private_set],
            "is a private one, which only the gateway may have",
        ),
        (&["--jwks", &public], "no JWK set"),
        (&["--jwks", &empty], "there is no key"),
        (&twice, "two keys have the key id \"echo\""),
        (&[], "--secret"),
    ] {
        is_refused(options, why, &["PRIVATE KEY", &hex]);
    }
}

/// K17: nor does it show what was given to it in the wrong place.
#[test]
fn k17_a_verifier_shows_no_secret_that_is_given_in_the_place_of_something_else() {
    let (world, key) = (World::new(), Pair::new());
    let secret = file(
        &world,
        "orders.key",
        "\"canary and 32 bytes of a secret\"",
        0o600,
    );
    let large = file(&world, "large.json", &" ".repeat((1 << 20) + 1), 0o644);
    let pasted = format!("echo={}", key.private);
    for (options, why) in [
        (["--jwks", &*secret], "it has no list"),
        (["--jwks", &large], "it is larger than 1 MiB"),
        (
            ["--secret", &pasted],
            "looks like a secret and not like the path",
        ),
    ] {
        is_refused(&options, why, &["PRIVATE KEY", "canary"]);
    }
}

fn is_refused(options: &[&str], why: &str, hidden: &[&str]) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_keyferry"));
    let [listen, backend] = ["127.0.0.1:0", "127.0.0.1:9"];
    program.args(["verify", "--listen", listen, "--backend", backend]);
    let output = program.args(options).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let is_as_said = !output.status.success() && said.contains(why);
    assert!(is_as_said, "{options:?}: {said}");
    let is_shown = hidden.iter().any(|text| said.contains(text));
    assert!(!is_shown, "{said}");
}

/// Sets change beside a running verifier, as its secrets do.
#[test]
fn s9_a_verifier_takes_another_set_over_and_keeps_the_last_good_one() {
    let scene = Scene::new();
    let path = file(
        &scene.world,
        "jwks.json",
        &scene.set_of("echo").to_string(),
        0o644,
    );
    let other = jwks::write([&Pair::new().verifying("other")]);
    let inner = Backend::start();
    let verify = Verify::before(inner.address(), &[], &["--jwks", &path]);
    let status = || send(verify.address(), &bytes(&scene.recorded(), "")).status;
    let current = || verify.metric("keyferry_verify_secrets_current ") > 0.5;
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        wait_for(what, || is_so().then_some(()));
    };
    assert_eq!(status(), 200);
    fs::write(&path, "{").unwrap();
    wait("the broken file to be noticed", &|| !current());
    assert_eq!(status(), 200);
    fs::write(&path, other).unwrap();
    wait("the other set to be taken over", &|| {
        current() && status() == 401
    });
}

/// What `keyferry probe` finds of a check that takes the public key for a secret, in any form, and of one that
/// does not. Whoever knows the public key alone finds that as well.
#[test]
fn a_probe_finds_a_check_that_takes_the_public_key_for_a_secret_in_any_form() {
    let (world, key, inner) = (World::new(), Pair::new(), Backend::start());
    let private = format!("echo={}", file(&world, "private.pem", &key.private, 0o600));
    let public = format!("echo={}", file(&world, "public.pem", &key.public, 0o644));
    let verify = Verify::before(inner.address(), &[], &["--public-key", &public]);
    let probe = |at: std::net::SocketAddr, with: [&str; 2]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_keyferry"));
        let url = format!("http://{at}/v1/orders?a=b");
        program.args(["probe", &url, "--output", "json", "--host", HOST]);
        let output = program.args(with).output().unwrap();
        let all: Json = serde_json::from_slice(&output.stdout).expect("JSON");
        let all = all.as_array().unwrap();
        let believed = all.iter().filter(|one| one["verdict"] == "believed");
        let believed = believed.map(|one| one["attack"].as_str().unwrap().to_owned());
        (
            output.status.code(),
            all.len(),
            believed.collect::<Vec<_>>(),
        )
    };
    let as_private = ["--private-key", &*private];
    let as_public = ["--public-key", &*public];
    assert_eq!(
        probe(verify.address(), as_private),
        (Some(0), 27, vec!["good".to_owned()])
    );
    assert_eq!(probe(verify.address(), as_public), (Some(0), 16, vec![]));
    let mut found = std::collections::HashSet::new();
    for how in Confused::ALL {
        let secret = how.of(&key.verifying("echo")).unwrap();
        let naive = Backend::believing(Belief::SignedWith(secret));
        let (status, _, believed) = probe(naive.address(), as_public);
        assert_eq!((status, believed.len()), (Some(1), 1), "{how:?}");
        found.extend(believed);
    }
    assert_eq!(found.len(), Confused::ALL.len(), "{found:?}");
    let naive = Backend::believing(Belief::SignedWith(key.public.clone().into_bytes()));
    assert_eq!(
        probe(naive.address(), as_private).2,
        ["public-key-as-secret"]
    );
}

/// Doctor signs as the gateway would there, with a key that everybody knows.
#[test]
fn doctor_tries_a_strangers_signature_of_the_backends_algorithm() {
    let (world, key, inner) = (World::new(), Pair::new(), Backend::start());
    let public = format!("echo={}", file(&world, "public.pem", &key.public, 0o644));
    let verify = Verify::before(inner.address(), &[], &["--public-key", &public]);
    let signed = Backend::believing(Belief::Signed);
    for (address, outcome) in [(verify.address(), "ok"), (signed.address(), "warning")] {
        let mut entry = toml::toml! { protocol = "http1" };
        entry.insert("signing".to_owned(), signing("echo", &[]).into());
        let setup = Gateway::builder(&world)
            .file("echo.pem", &key.private)
            .backend_like("echo", address, entry)
            .route("/v1/orders", "echo", "either")
            .write();
        let told = setup.cli(&["doctor", "--output", "json"]).json();
        let findings = told["findings"].as_array().unwrap();
        let forged = findings.iter().find(|one| one["check"] == "backend_forged");
        assert_eq!(
            forged.expect("the check")["outcome"],
            outcome,
            "{findings:#?}"
        );
    }
    let asked = signed.requests();
    let inputs = asked
        .iter()
        .filter_map(|it| it.all("signature-input").first().copied());
    let inputs: Vec<_> = inputs.collect();
    assert!(!inputs.is_empty() && inputs.iter().all(|it| it.contains(";alg=\"ed25519\";")));
}

/// K17: nor is the private key found in any output.
#[test]
fn k17_no_private_key_is_found_in_any_output() {
    let scene = Scene::new();
    let body = scene.key.private.lines().nth(1).unwrap().to_owned();
    let der = PKey::private_key_from_pem(scene.key.private.as_bytes()).unwrap();
    let seed = hex::encode(der.raw_private_key().unwrap());
    let forms = [body.get(20..60).unwrap(), &*seed];
    let found = |text: &str| forms.iter().any(|form| text.contains(form));
    assert!(found(&scene.key.private));
    let gateway = &scene.gateway;
    let request = scene.recorded();
    sign_with(gateway, "echo", &[]);
    let commands = [&["check"][..], &["reload", "--output", "json"], &["doctor"]];
    let told = commands.map(|command| {
        let told = gateway.cli(command);
        told.output + &told.errors
    });
    for text in [
        gateway.log(),
        gateway.metrics(),
        scene.set_of("echo").to_string(),
        format!("{request:?}"),
        told.concat(),
    ] {
        assert!(!text.is_empty() && !found(&text), "{text}");
    }
}

/// K17: nor does it stay in memory wherever it was read. Before what reads it wiped, there were 7 copies in
/// a debug build at the start, and 29 after three reloads; now there are 1 and 4. Each thread that has read
/// it may have some on its stack.
#[test]
fn k17_a_private_key_that_is_read_again_leaves_no_copies_in_memory() {
    let (world, backend, key) = (World::new(), Backend::start(), Pair::new());
    let pair = PKey::private_key_from_pem(key.private.as_bytes()).unwrap();
    let seed = pair.raw_private_key().unwrap();
    let gateway = super::builder(&world, &backend, &[("echo", &key), ("same", &key)]).start();
    let at_start = in_memory(gateway.id(), &seed);
    for id in ["same", "echo", "same"] {
        sign_with(&gateway, id, &[]);
    }
    let then = in_memory(gateway.id(), &seed);
    assert!((1..=4).contains(&at_start), "{at_start}");
    assert!((1..=12).contains(&then), "{at_start}, then {then}");
}

/// How often `bytes` stand in the memory of the process `id`.
fn in_memory(id: u32, bytes: &[u8]) -> usize {
    let memory = fs::File::open(format!("/proc/{id}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let mut found = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut copy = vec![0; usize::try_from(to - from).unwrap()];
        // What was given back by now cannot be read.
        if memory.read_exact_at(&mut copy, from).is_ok() {
            found += memchr::memmem::find_iter(&copy, bytes).count();
        }
    }
    found
}
