//! K17: a key is shown to its client once, and to nobody else, in no form, anywhere.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::{Builder, Gateway, PEPPER, secret};
use crate::support::store::SharedStore;
use crate::support::world::World;

const BASE: &str = "/.well-known/keyferry";
const TOKEN: &str = "a-token-of-the-clients-own-4711";

/// The forms in which `text` could stand somewhere: as it is, in hex, percent-encoded, in base64
/// wherever it begins in what is encoded, in either case of letters.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let percent: Vec<_> = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let percent = percent.concat();
    let mut forms = vec![
        text.to_owned(),
        text.to_lowercase(),
        hex::encode(bytes),
        hex::encode_upper(bytes),
        percent.to_lowercase(),
        percent,
    ];
    for shift in 0..3 {
        // Whatever stands before and after changes only the digits at the ends.
        let padded = [&vec![b'x'; shift][..], bytes].concat();
        for encoded in [
            STANDARD_NO_PAD.encode(&padded),
            URL_SAFE_NO_PAD.encode(&padded),
        ] {
            let whole = encoded.len() - 2;
            forms.push(encoded.get(4..whole).unwrap().to_owned());
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// Where one of the secrets stands in `haystack`.
fn found(haystack: &[u8], secrets: &[String]) -> Option<String> {
    secrets
        .iter()
        .flat_map(|secret| forms(secret))
        .find(|form| haystack.windows(form.len()).any(|part| part == *form))
        .map(|form| String::from_utf8_lossy(&form).into_owned())
}

#[track_caller]
fn assert_free(place: &str, haystack: impl AsRef<[u8]>, secrets: &[String]) {
    let haystack = haystack.as_ref();
    assert!(!haystack.is_empty(), "nothing to search in {place}");
    let lines = haystack.split(|&byte| byte == b'\n');
    let held: Vec<_> = lines
        .filter(|line| found(line, secrets).is_some())
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    assert!(held.is_empty(), "{place} holds a secret: {held:#?}");
}

#[test]
fn the_search_finds_what_it_searches_for() {
    let secret = "kf_live_0197f3c2a1b27c3d8e4f5a6b7c8d9e0f_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg4XL7FQ";
    let secrets = [secret.to_owned()];
    let base64 = STANDARD_NO_PAD.encode(format!("user:{secret}:more"));
    for text in [format!("a{secret}b"), hex::encode(secret), base64] {
        assert!(found(text.as_bytes(), &secrets).is_some(), "{text}");
    }
    assert!(found(b"kf_live_0197f3c2a1b27c3d8e4f5a6b7c8d9e0f", &secrets).is_none());
}

/// Puts a key into every place where clients put keys by mistake, and gives all that comes back.
fn misplace(gateway: &Gateway, key: &str) -> Vec<u8> {
    let base64 = STANDARD_NO_PAD.encode(format!("user:{key}"));
    let cut: String = key.chars().take(key.len() - 1).collect();
    let get = |path: &str| gateway.curl(path);
    let header = |line: String| gateway.curl("/").header(&line);
    let asks = vec![
        get(&format!("/?api_key={key}")),
        get(&format!("/v1/{key}/x")),
        get(&format!("/{}", key.replace('_', "%5F"))),
        get(&format!("/{}", key.replace('_', "%255F"))),
        get(&format!("{BASE}/keys/{key}")).method("DELETE").key(key),
        get(&format!("{BASE}/problems/{key}")),
        get(&format!("{BASE}/{key}")),
        get("/").method(key),
        get("/").key(&cut),
        get("/").key(&format!("{key}0")),
        header(format!("Authorization: Basic {base64}")),
        header(format!("Authorization: {key}")),
        header(format!("X-Request-Id: {key}")),
        header(format!("X-Request-Id: a-{key}")),
        header(format!("Host: {key}")),
        header(format!("Origin: https://{key}")),
        header(format!("Referer: https://example.com/?k={key}")),
        header(format!("User-Agent: {key}")),
        header(format!("Cookie: key={key}")),
        header(format!("Accept: {key}")),
        header(format!("{key}: x")),
        header(format!("X-API-Key: {key},{key}")),
        header(format!("X-API-Key: {key}")).key(key),
        header(format!("Idempotency-Key: {key}")),
        get(&format!("{BASE}/key")).method("POST").key(key),
        gateway.curl_at(key, "/").option("--insecure"),
    ];
    let mut answers = Vec::new();
    for ask in asks {
        let answer = ask.send();
        assert!(!matches!(answer.status, 200..=299), "{answer:#?}");
        answers.extend_from_slice(&answer.body);
        for (name, value) in answer.headers.iter().chain(&answer.trailers) {
            answers.extend_from_slice(format!("\n{name}: {value}\n").as_bytes());
        }
    }
    for raw in [
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\u{1}\r\n\r\n"),
        format!("GET /{key} HTTP/9.9\r\nHost: a\r\n\r\n"),
        format!("{key}\r\n\r\n"),
        format!("GET http://{key}@a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ] {
        let answer = gateway.s_client().send_quietly(raw.as_bytes());
        assert!(!matches!(answer.status(), Some(200..=299)), "{answer:#?}");
        answers.extend_from_slice(answer.output.as_bytes());
    }
    answers
}

/// Uses keys rightly and wrongly, then searches everything that came out. `stored` gives what the
/// store holds.
fn search_everywhere(
    world: &World,
    backend: &Backend,
    builder: Builder<'_>,
    stored: impl FnOnce() -> Vec<u8>,
) {
    let mut gateway = builder.set("telemetry.log", "trace").echo(backend).start();
    let (alice, bob) = (world.client("alice"), world.client("bob"));
    let claim = |who| {
        let ask = gateway.curl(&format!("{BASE}/key")).method("POST");
        let ask = ask.header(&format!("Idempotency-Key: {TOKEN}"));
        ask.certificate(who).send().expect_status(201).json()
    };
    let text = |answer: &serde_json::Value| answer["key"].as_str().unwrap().to_owned();
    let (key, bobs) = (text(&claim(&alice)), text(&claim(&bob)));
    assert_eq!(text(&claim(&alice)), key);
    let mut secrets = vec![TOKEN.to_owned()];
    for key in [&key, &bobs] {
        secrets.push(key.rsplit('_').next().unwrap().to_owned());
    }
    secrets.push(String::from_utf8(secret("echo")).unwrap());
    secrets.push(PEPPER.to_owned());

    for ask in [
        gateway.curl("/v1?x=y").key(&key),
        gateway.curl("/").header(&format!("X-API-Key: {key}")),
        gateway.curl("/").key(&key).certificate(&alice),
        gateway.curl("/").key(&key).body("hello"),
    ] {
        ask.send().expect_status(200);
    }
    let mut answers = Vec::new();
    for ask in [
        gateway.curl(&format!("{BASE}/whoami")).key(&key),
        gateway.curl(&format!("{BASE}/keys")).key(&key),
        gateway.curl("/").key(&bobs).certificate(&alice),
    ] {
        answers.extend_from_slice(&ask.send().body);
    }
    assert_free("what reached the backend", heads(backend), &secrets);
    let before = backend.requests().len();
    answers.extend(misplace(&gateway, &key));
    assert_eq!(backend.requests().len(), before);
    assert_free("an answer", answers, &secrets);

    let client = backend.last().header("x-client-id").to_owned();
    for command in [
        &["check"][..],
        &["status"],
        &["client", "list"],
        &["client", "show", &client],
        &["certificate", "list"],
        &["key", "list"],
    ] {
        for output in ["text", "json"] {
            let told = gateway.cli(&[command, &["--output", output]].concat());
            let told = told.expect_success();
            assert_free("a command", told.output + &told.errors, &secrets);
        }
    }
    assert_free("the metrics", gateway.metrics(), &secrets);
    gateway.stop();
    assert_free("the log", gateway.log(), &secrets);
    assert_free("the store", stored(), &secrets);
}

fn heads(backend: &Backend) -> Vec<u8> {
    let requests = backend.requests();
    requests
        .into_iter()
        .flat_map(|request| request.head)
        .collect()
}

#[test]
fn k17_no_key_is_found_in_any_output_with_the_embedded_store() {
    let (world, backend) = (World::new(), Backend::start());
    let file = world.path("keyferry.redb");
    let builder = Gateway::builder(&world).set("store.path", file.to_str().unwrap());
    search_everywhere(&world, &backend, builder, || fs::read(&file).unwrap());
}

#[test]
fn k17_no_key_is_found_in_any_output_with_redis() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let builder = Gateway::builder(&world).redis(&store.url());
    search_everywhere(&world, &backend, builder, || dump(&store));
}

/// Every key of Redis with all that it holds.
fn dump(store: &SharedStore) -> Vec<u8> {
    let mut redis = store.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    assert!(keys.len() > 3, "{keys:?}");
    let mut all = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis).unwrap();
        let mut command = match kind.as_str() {
            "string" => redis::cmd("GET"),
            "hash" => redis::cmd("HGETALL"),
            "stream" => redis::cmd("XRANGE"),
            "zset" => redis::cmd("ZRANGE"),
            other => panic!("{key} is a {other}: look into it"),
        };
        command.arg(&key);
        match kind.as_str() {
            "stream" => drop(command.arg("-").arg("+")),
            "zset" => drop(command.arg(0).arg(-1)),
            _ => {}
        }
        let value: redis::Value = command.query(&mut redis).unwrap();
        all.extend(key.into_bytes());
        flatten(&value, &mut all);
    }
    all
}

fn flatten(value: &redis::Value, all: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(bytes) => all.extend_from_slice(bytes),
        redis::Value::SimpleString(text) => all.extend_from_slice(text.as_bytes()),
        redis::Value::Array(values) => values.iter().for_each(|value| flatten(value, all)),
        other => all.extend_from_slice(format!("{other:?}").as_bytes()),
    }
    all.push(b'\n');
}

/// K15: what a thief of the store finds does not open the gate.
#[test]
fn k15_nothing_in_a_stolen_store_is_a_key() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateway = Gateway::builder(&world)
        .redis(&store.url())
        .echo(&backend)
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    let ask = |key: &str| -> Curl { gateway.curl("/").header(&format!("X-API-Key: {key}")) };
    ask(&key).send().expect_status(200);
    let id = key.split('_').nth(2).unwrap();
    let loot = String::from_utf8_lossy(&dump(&store)).into_owned();
    let words: std::collections::BTreeSet<_> = loot
        .split(|c: char| !c.is_ascii_alphanumeric() && !"+/=_-".contains(c))
        .filter(|word| (20..200).contains(&word.len()))
        .collect();
    assert!(words.len() > 3, "{loot}");
    for word in words {
        ask(word).send().expect_status(401);
        ask(&format!("kf_live_{id}_{word}"))
            .send()
            .expect_status(401);
    }
}
