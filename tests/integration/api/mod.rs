//! The admin API of the real program: who may do what, what it does, and that it is done once.

mod doctor;
mod letters;
mod replicas;
mod through;
mod tls;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use toml::{Table, Value};

use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::{Builder, Gateway};
use crate::support::process::program;
use crate::support::scene::Scene;
use crate::support::store::SharedStore;
use crate::support::world::World;

/// A token for each role, called like it, as `keyferry token` makes them.
struct Tokens {
    folder: TempDir,
    lines: Vec<Value>,
}

impl Tokens {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut lines = Vec::new();
        for role in ["viewer", "operator", "admin"] {
            let mut command = program();
            command.args(["token", role, "--role", role, "--output", "json"]);
            let made = command.output().expect("the program").stdout;
            let made: Json = serde_json::from_slice(&made).expect("a token");
            let file = folder.path().join(role);
            fs::write(&file, made["token"].as_str().unwrap()).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let text = |name: &str| made[name].as_str().unwrap().to_owned();
            let line = ["name", "role", "sha256"].map(|name| (name.to_owned(), text(name).into()));
            lines.push(Value::Table(line.into_iter().collect::<Table>()));
        }
        Self { folder, lines }
    }

    /// Lets them into a gateway.
    fn of<'a>(&self, builder: Builder<'a>) -> Builder<'a> {
        builder.set("admin.tokens", self.lines.clone())
    }

    fn file(&self, role: &str) -> PathBuf {
        self.folder.path().join(role)
    }

    fn text(&self, role: &str) -> String {
        fs::read_to_string(self.file(role)).unwrap()
    }

    fn get(&self, gateway: &Gateway, role: &str, path: &str) -> Curl {
        gateway.admin(path).key(&self.text(role))
    }

    fn post(&self, gateway: &Gateway, role: &str, path: &str, body: &Json) -> Curl {
        let json = "Content-Type: application/json";
        let ask = self.get(gateway, role, path).header(json);
        ask.body(body.to_string())
    }
}

/// The cookie of a session at the console.
fn log_in(gateway: &Gateway, token: &str) -> String {
    let login = gateway.admin("/login").method("POST");
    let seated = login.body(format!("token={token}&next=/")).send();
    let seated = seated.expect_status(303);
    let cookie = seated.header("set-cookie").split(';').next().unwrap();
    cookie.to_owned()
}

fn key_id(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

fn embedded(world: &World, backend: &Backend, tokens: &Tokens) -> Gateway {
    tokens.of(Gateway::builder(world).echo(backend)).start()
}

/// Whoever asks takes the answer for the end of it: what he revoked is refused from there on.
#[track_caller]
fn what_is_revoked_is_refused_at_once(gateway: &Gateway, tokens: &Tokens) {
    for number in 0..5 {
        let client = format!("client-{number}");
        let add = json!({ "ids": [client] });
        tokens
            .post(gateway, "operator", "/v1/client/add", &add)
            .send()
            .expect_status(200);
        let issue = json!({ "client": client });
        let issued = tokens.post(gateway, "operator", "/v1/key/issue", &issue);
        let issued = issued.send().expect_status(200).json();
        let key = issued["key"].as_str().unwrap();
        gateway.curl("/").key(key).send().expect_status(200);
        let revoke = json!({ "id": key_id(key), "reason": "lost" });
        let revoked = tokens.post(gateway, "operator", "/v1/key/revoke", &revoke);
        assert_eq!(revoked.send().expect_status(200).json()["changed"], true);
        let refused = gateway.curl("/").key(key).send();
        refused.expect_refusal(401, "key_invalid");
    }
}

#[test]
fn a_revocation_through_the_api_is_heeded_when_its_answer_comes() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    what_is_revoked_is_refused_at_once(&embedded(&world, &backend, &tokens), &tokens);
}

#[test]
fn a_revocation_through_the_api_is_heeded_when_its_answer_comes_with_redis_too() {
    let (scene, tokens) = (Scene::new(), Tokens::new());
    let gateway = tokens.of(scene.builder()).start();
    what_is_revoked_is_refused_at_once(&gateway, &tokens);
}

/// A gateway that knows better begins no other history in a store that was emptied.
#[test]
fn a_store_that_lost_everything_takes_no_change_through_a_gateway_that_knows() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let tokens = Tokens::new();
    let gateway = tokens
        .of(Gateway::builder(&world).redis(&store.url()).echo(&backend))
        .start();
    let add = |id: &str| {
        let add = json!({ "ids": [id] });
        let added = tokens.post(&gateway, "operator", "/v1/client/add", &add);
        added.send()
    };
    add("acme").expect_status(200);
    let mut redis = store.connection();
    redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
    let refused = add("globex").expect_status(503).text();
    assert!(refused.contains("nothing was changed"), "{refused}");
    let mut is_there = || -> bool {
        let exists = redis::cmd("EXISTS").arg("kf:{kf}:epoch").query(&mut redis);
        exists.unwrap()
    };
    assert!(!is_there());
    // Whoever knows nothing of the store may begin anew.
    gateway.cli(&["client", "add", "globex"]).expect_success();
    assert!(is_there());
}

#[test]
fn a_change_through_the_api_names_who_made_it_and_from_where() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let add = json!({ "ids": ["acme"], "reason": "a new partner" });
    let added = tokens.post(&gateway, "operator", "/v1/client/add", &add);
    added.send().expect_status(200);
    let told = gateway.cli(&["audit", "list", "--output", "json"]);
    let change = &told.expect_success().json()["changes"][0];
    assert_eq!(
        change["actor"],
        json!({ "is": "operator", "name": "operator" })
    );
    assert_eq!(change["origin"]["is"], "request");
    assert_eq!(change["origin"]["address"], "127.0.0.1");
    assert_eq!(change["reason"], "a new partner");
    let verified = gateway.cli(&["audit", "verify"]);
    verified.expect_success();
}

/// A request whose answer was lost is sent again. Without a key of its own it is done again.
#[test]
fn a_request_with_an_idempotency_key_is_done_once() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let post = |path: &str, body: &Json, key: &str| {
        let ask = tokens.post(&gateway, "operator", path, body);
        ask.header(&format!("Idempotency-Key: {key}")).send()
    };
    let issue = json!({ "client": "acme" });
    let add = json!({ "ids": ["acme"] });
    tokens
        .post(&gateway, "operator", "/v1/client/add", &add)
        .send()
        .expect_status(200);
    let again = || {
        tokens
            .post(&gateway, "operator", "/v1/key/issue", &issue)
            .send()
    };
    assert_ne!(again().json()["key"], again().json()["key"]);

    let first = post("/v1/key/issue", &issue, "0123456789abcdef-1").expect_status(200);
    let second = post("/v1/key/issue", &issue, "0123456789abcdef-1").expect_status(200);
    assert_eq!(first.json(), second.json());
    assert_eq!(second.header("content-type"), "application/json");
    let keys = gateway.cli(&["key", "list", "--client", "acme", "--output", "json"]);
    assert_eq!(keys.json()["keys"].as_array().unwrap().len(), 3);
    let other = json!({ "client": "acme", "expires": "30d" });
    let other = post("/v1/key/issue", &other, "0123456789abcdef-1").expect_status(422);
    assert_eq!(other.json()["reason"], "idempotency_key_reused");
    assert_eq!(other.header("content-type"), "application/problem+json");
    post("/v1/key/issue", &issue, "short").expect_status(400);
    // What was refused is refused as before.
    let nobody = json!({ "client": "nobody" });
    for _ in 0..2 {
        post("/v1/key/issue", &nobody, "0123456789abcdef-2").expect_status(409);
    }
}

#[track_caller]
fn expect_locked_out(answer: Answer) {
    let answer = answer.expect_status(429);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&seconds), "{answer:#?}");
}

/// Without it, somebody tries tokens as fast as the gateway answers.
#[test]
fn whoever_shows_ten_wrong_tokens_is_not_listened_to_for_a_while() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let right = || tokens.get(&gateway, "viewer", "/v1/client/list").send();
    let wrong = || {
        gateway
            .admin("/v1/client/list")
            .key("kf_admin_guess")
            .send()
    };
    for _ in 0..10 {
        right().expect_status(200);
        wrong().expect_status(401);
    }
    expect_locked_out(wrong());
    // Not even whether one is right is told.
    expect_locked_out(right());
    // Who is on this machine and shows nothing is none who guesses.
    gateway.admin("/handshakes").send().expect_status(200);
    assert!(gateway.log().contains("wrong tokens"), "{}", gateway.log());
}

#[test]
fn whoever_guesses_at_the_console_is_not_listened_to_either() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let log_in = |token: &str| {
        let form = gateway.admin("/login").method("POST");
        form.body(format!("token={token}&next=/")).send().status
    };
    assert_eq!(log_in(&tokens.text("viewer")), 303);
    for _ in 0..10 {
        assert_eq!(log_in("kf_admin_guess"), 401);
    }
    assert_eq!(log_in(&tokens.text("viewer")), 429);
    let by_token = tokens.get(&gateway, "viewer", "/v1/client/list");
    by_token.send().expect_status(429);
}

#[test]
fn a_long_list_comes_in_parts() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let names: Vec<_> = (0..25)
        .map(|number| format!("client-{number:02}"))
        .collect();
    let add = json!({ "ids": names });
    let added = tokens.post(&gateway, "operator", "/v1/client/add", &add);
    added.send().expect_status(200);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/client/list?limit=10{after}");
        let part = tokens
            .get(&gateway, "viewer", &path)
            .send()
            .expect_status(200);
        let part = part.json();
        let clients = part["clients"].as_array().unwrap();
        seen.extend(
            clients
                .iter()
                .map(|one| one["client_id"].as_str().unwrap().to_owned()),
        );
        match part["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, names);
    let changes = tokens.get(&gateway, "viewer", "/v1/audit/list?after=0&limit=1");
    assert_eq!(
        changes.send().expect_status(200).json()["changes"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn the_document_tells_of_every_question_and_is_for_whoever_may_ask() {
    let (world, backend, tokens) = (World::new(), Backend::start(), Tokens::new());
    let gateway = embedded(&world, &backend, &tokens);
    let document = tokens
        .get(&gateway, "viewer", "/openapi.json")
        .send()
        .expect_status(200);
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.1");
    for (path, item) in document["paths"].as_object().unwrap() {
        let method = item.as_object().unwrap().keys().next().unwrap();
        // The other method is known as such, so the path is there.
        let other = if method == "get" { "POST" } else { "GET" };
        let asked = tokens.get(&gateway, "admin", path).method(other).send();
        assert_eq!(asked.status, 405, "{other} {path}");
        assert_eq!(asked.header("allow"), method.to_uppercase());
    }
    let wrong = gateway.admin("/openapi.json").key("kf_admin_guess");
    wrong.send().expect_status(401);
}

/// Nothing is lost when several replicas are asked at once: each change is decided anew.
#[test]
fn what_two_gateways_are_asked_at_once_is_done_by_both() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let tokens = Tokens::new();
    let builder = || tokens.of(Gateway::builder(&world).redis(&store.url()).echo(&backend));
    let gateways = [builder().start(), builder().start()];
    std::thread::scope(|scope| {
        for (number, gateway) in gateways.iter().enumerate() {
            let tokens = &tokens;
            scope.spawn(move || {
                for each in 0..5 {
                    let add = json!({ "ids": [format!("client-{number}-{each}")] });
                    let added = tokens.post(gateway, "operator", "/v1/client/add", &add);
                    added.send().expect_status(200);
                }
            });
        }
    });
    let listed = tokens.get(&gateways[0], "viewer", "/v1/client/list").send();
    assert_eq!(
        listed.expect_status(200).json()["clients"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
}

#[test]
fn the_console_says_where_it_does_not_know_of_everybody() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let tokens = Tokens::new();
    let gateway = tokens
        .of(Gateway::builder(&world).redis(&store.url()).echo(&backend))
        .start();
    let add = json!({ "ids": ["acme", "globex"] });
    let added = tokens.post(&gateway, "operator", "/v1/client/add", &add);
    added.send().expect_status(200);
    let cookie = log_in(&gateway, &tokens.text("viewer"));
    let page = |path: &str| {
        gateway
            .admin(path)
            .header(&format!("Cookie: {cookie}"))
            .send()
    };
    let mut redis = store.connection();
    let mut damage = redis::cmd("HSET");
    damage.arg("kf:{kf}:client").arg("acme").arg("garbage");
    damage.query::<()>(&mut redis).unwrap();
    for path in ["/", "/clients"] {
        let told = page(path).expect_status(200).text();
        assert!(
            told.contains("left out, since the store cannot be believed"),
            "{path}: {told}"
        );
    }
    let refused = page("/clients.csv").expect_status(409).text();
    assert!(refused.contains("Not all of it can be told"), "{refused}");
}
