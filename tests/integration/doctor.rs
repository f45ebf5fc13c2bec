//! `keyferry doctor` finds what is wrong around the gateway, and says what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::support::backend::{Backend, BackendTls, Belief};
use crate::support::gateway::{Builder, Gateway, Setup, Told, secret};
use crate::support::pki::{root, server};
use crate::support::process::with_boringssl;
use crate::support::redis::{Deployment, Program, RedisServer, until};
use crate::support::signature::verify;
use crate::support::wait_for;
use crate::support::world::{HOST, World};

const DAY: i64 = 86_400;

/// A gateway's configuration about which nothing is to be said.
fn sound<'a>(world: &'a World, backend: &Backend) -> Builder<'a> {
    let own = server(HOST).dates(-60, 90 * DAY).signed_by(&world.servers);
    let clients = root("Clients Root").dates(-60, 900 * DAY).self_signed();
    Gateway::builder(world)
        .file("gateway.pem", own.chain_pem())
        .file("gateway.key", own.key_pem())
        .file("clients-root.pem", clients.pem())
        .backend("echo", backend.address())
        .route("/v1/orders", "echo", "either")
}

fn verifying() -> Backend {
    Backend::believing(Belief::SignedWith(secret("echo")))
}

/// What doctor finds.
struct Findings {
    told: Told,
    all: Vec<Json>,
}

#[track_caller]
fn doctor(setup: &Setup, arguments: &[&str]) -> Findings {
    let arguments: Vec<_> = ["doctor", "--output", "json"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let told = setup.cli(&arguments);
    let all = told.json()["findings"].as_array().unwrap().clone();
    for finding in &all {
        let has_advice = finding["advice"]
            .as_str()
            .is_some_and(|text| text.len() > 8);
        assert_eq!(has_advice, finding["outcome"] != "ok", "{finding:#}");
    }
    Findings { told, all }
}

impl Findings {
    /// The first with this name.
    #[track_caller]
    fn of(&self, check: &str) -> &Json {
        let found = self.all.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {:#?}", self.all))
    }

    #[track_caller]
    fn outcome(&self, check: &str) -> &str {
        self.of(check)["outcome"].as_str().unwrap()
    }

    #[track_caller]
    fn advice(&self, check: &str) -> &str {
        self.of(check)["advice"].as_str().unwrap()
    }

    /// All that are not as they should be.
    fn bad(&self) -> Vec<&Json> {
        let is_bad = |finding: &&Json| finding["outcome"] != "ok" && finding["outcome"] != "note";
        self.all.iter().filter(is_bad).collect()
    }

    fn status(&self) -> Option<i32> {
        self.told.status.code()
    }
}

#[tokio::test]
async fn every_bad_setting_of_redis_is_found_and_told_how_to_mend() {
    let (world, backend) = (World::new(), verifying());
    let bad = ["--maxmemory-policy", "allkeys-lru", "--maxmemory", "1mb"];
    let redis = RedisServer::start(&bad).await;
    let setup = sound(&world, &backend).redis(&redis.url()).write();
    let found = doctor(&setup, &[]);
    assert_eq!(found.status(), Some(1), "{:#?}", found.told);
    for check in ["redis_eviction_policy", "redis_memory", "redis_persistence"] {
        assert_eq!(found.outcome(check), "error", "{:#}", found.of(check));
    }
    assert_eq!(found.of("redis_eviction_policy")["found"], "allkeys-lru");
    assert_eq!(found.of("redis_eviction_policy")["expected"], "noeviction");
    assert_eq!(found.outcome("redis_unneeded_rights"), "warning");

    // What the advice says mends it.
    for told in [
        "CONFIG SET maxmemory-policy noeviction",
        "CONFIG SET maxmemory 1gb",
        "CONFIG SET appendonly yes",
        "CONFIG SET appendfsync always",
    ] {
        redis.tell(told);
    }
    until("the file is written", || {
        redis.informs("aof_rewrite_in_progress:0")
    })
    .await;
    let found = doctor(&setup, &[]);
    for check in ["redis_eviction_policy", "redis_memory", "redis_persistence"] {
        assert_eq!(found.outcome(check), "ok", "{:#}", found.of(check));
    }
    assert_eq!(found.status(), Some(0), "{:#?}", found.told);
    let strict = doctor(&setup, &["--strict"]);
    assert_eq!(strict.status(), Some(1), "{:#?}", strict.told);
    assert_eq!(strict.bad().len(), 1, "{:#?}", strict.bad());
    assert_eq!(
        redis.tell("DBSIZE"),
        redis::Value::Int(0),
        "it writes nothing"
    );
}

#[tokio::test]
async fn a_user_who_may_not_look_is_no_fault_and_another_one_may_look_for_him() {
    let (world, backend) = (World::new(), verifying());
    let redis = Deployment::replicated(&["--appendonly", "yes"], 1).await;
    let setup = sound(&world, &backend)
        .in_redis(&redis)
        .set(
            "store.url",
            format!("redis://keyferry@{}", redis.first().address()),
        )
        .file("doctor.password", "seen-by-nobody-7391\n")
        .write();
    let primary = redis.first();
    let found = doctor(&setup, &["--strict"]);
    assert_eq!(found.status(), Some(0), "{:#?}", found.bad());
    for hidden in ["redis_memory", "redis_min_replicas"] {
        assert_eq!(found.outcome(hidden), "note");
        assert!(found.advice(hidden).contains("--redis-user"));
    }
    for seen in [
        "redis_rights",
        "redis_version",
        "redis_clock",
        "redis_replicas",
    ] {
        assert_eq!(found.outcome(seen), "ok", "{:#}", found.of(seen));
    }

    // The user of the page, without more.
    let page = fs::read_to_string("docs/DOCTOR.md").unwrap();
    let user = page
        .lines()
        .find(|line| line.starts_with("ACL SETUSER doctor"));
    primary.tell(&user.unwrap().replace("PASSWORD", "seen-by-nobody-7391"));
    let password = setup.path("doctor.password");
    let password = password.to_str().unwrap();
    let looking = ["--redis-user", "doctor", "--redis-password-file", password];
    let found = doctor(&setup, &looking);
    assert_eq!(found.outcome("redis_memory"), "note");
    assert!(
        found.of("redis_memory")["found"]
            .to_string()
            .contains("MiB")
    );
    for seen in ["redis_clock", "redis_unneeded_rights", "redis_last_save"] {
        assert_eq!(found.outcome(seen), "ok", "{:#}", found.of(seen));
    }
    assert_eq!(found.outcome("redis_min_replicas"), "warning");
    primary.tell("CONFIG SET min-replicas-to-write 1");
    let found = doctor(&setup, &looking);
    assert_eq!(found.outcome("redis_min_replicas"), "ok");
    assert!(!found.told.output.contains("seen-by-nobody"));

    primary.tell("ACL SETUSER keyferry -xadd -wait +flushall");
    let found = doctor(&setup, &looking);
    assert_eq!(found.outcome("redis_rights"), "error");
    assert!(found.advice("redis_rights").contains("+xadd +wait"));
    assert_eq!(found.of("redis_unneeded_rights")["found"], "+flushall");
    assert_eq!(primary.tell("DBSIZE"), redis::Value::Int(0));
    fs::set_permissions(password, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = setup.cli(&["doctor", "--redis-password-file", password]);
    assert_eq!(refused.status.code(), Some(65), "{refused:#?}");
}

/// Redis 6.2 tells a user's rights in other words, and Valkey counts its own versions.
#[tokio::test]
async fn the_oldest_redis_and_valkey_are_understood() {
    let (world, backend) = (World::new(), verifying());
    for program in [Program::Oldest, Program::Valkey] {
        let redis = Deployment::of_program(program, &["--appendonly", "yes"]).await;
        redis.first().tell("ACL SETUSER doctor on >look +@all");
        let setup = sound(&world, &backend)
            .in_redis(&redis)
            .file("doctor.password", "look")
            .write();
        let password = setup.path("doctor.password");
        let password = password.to_str().unwrap();
        let looking = ["--redis-user", "doctor", "--redis-password-file", password];
        let found = doctor(&setup, &looking);
        assert!(found.bad().is_empty(), "{program:?}: {:#?}", found.bad());
        for check in ["redis_version", "redis_rights", "redis_unneeded_rights"] {
            assert_eq!(found.outcome(check), "ok", "{:#}", found.of(check));
        }
        redis.first().tell("ACL SETUSER keyferry -hscan +flushall");
        let found = doctor(&setup, &looking);
        assert!(found.advice("redis_rights").contains("+hscan"));
        assert_eq!(found.of("redis_unneeded_rights")["found"], "+flushall");
    }
}

#[tokio::test]
async fn a_redis_that_is_not_the_one_or_does_not_answer_hides_nothing_else() {
    let (world, backend) = (World::new(), verifying());
    let mut redis = Deployment::replicated(&[], 1).await;
    let configured = |at: &RedisServer| {
        sound(&world, &backend)
            .in_redis(&redis)
            .set("store.url", format!("redis://keyferry@{}", at.address()))
            .write()
    };
    let [to_primary, to_replica] = [0, 1].map(|at| configured(&redis.servers[at]));

    let found = doctor(&to_replica, &[]);
    assert_eq!(found.outcome("redis_primary"), "error");
    let primary = redis.first().address().to_string();
    assert!(found.advice("redis_primary").contains(&primary));
    assert_eq!(found.status(), Some(1));

    fs::write(to_primary.path("redis.password"), "wrong-7391").unwrap();
    let found = doctor(&to_primary, &[]);
    let refused = found.of("redis_primary")["found"].to_string();
    assert!(refused.contains("store.password_file"), "{refused}");
    assert!(!found.told.output.contains("wrong-7391"));
    fs::write(to_primary.path("redis.password"), "right").unwrap();
    assert_eq!(doctor(&to_primary, &[]).outcome("redis_primary"), "ok");

    redis.servers[0].stop();
    until("the replica lost its primary", || {
        redis.servers[1].informs("master_link_status:down")
    })
    .await;
    let found = doctor(&to_replica, &[]);
    let link = found.of("redis_primary")["found"].to_string();
    assert!(!link.contains("connected"), "{link}");
    let found = doctor(&to_primary, &[]);
    assert_eq!(found.status(), Some(1));
    for check in ["redis_primary", "store_reads"] {
        assert_eq!(found.outcome(check), "error");
    }
    for check in ["certificate_dates", "backend_forged", "gateway_runs"] {
        assert_ne!(found.outcome(check), "error");
    }
}

#[tokio::test]
async fn sentinels_and_nodes_are_asked_one_by_one() {
    let (world, backend) = (World::new(), verifying());
    let mut redis = Deployment::sentinel(&["--appendonly", "yes"], 1, 3).await;
    let setup = sound(&world, &backend).in_redis(&redis).write();
    let found = doctor(&setup, &[]);
    assert_eq!(found.outcome("redis_sentinels"), "ok");
    assert_eq!(found.outcome("redis_replicas"), "ok");
    redis.sentinels[0].stop();
    let found = doctor(&setup, &[]);
    assert_eq!(found.outcome("redis_sentinels"), "warning");
    assert_eq!(found.outcome("redis_primary"), "ok");
    redis.sentinels[1].stop();
    let found = doctor(&setup, &[]);
    assert_eq!(found.outcome("redis_sentinels"), "error");

    let redis = Deployment::cluster(&[], 0).await;
    let setup = sound(&world, &backend).in_redis(&redis).write();
    let found = doctor(&setup, &[]);
    assert_eq!(found.outcome("redis_rights"), "ok");
    assert_eq!(found.outcome("redis_primary"), "ok");
    assert_eq!(found.outcome("redis_replicas"), "error");
    let named = found.of("redis_cluster")["found"].to_string();
    assert!(named.contains("2 of 2"), "{named}");
}

/// The requirement: whoever reaches a backend past the gateway is nobody there.
#[test]
fn a_backend_that_believes_strangers_is_found() {
    let world = World::new();
    let look = |belief: Belief, arguments: &[&str]| {
        let backend = Backend::believing(belief);
        let found = doctor(&sound(&world, &backend).write(), arguments);
        (found, backend)
    };
    let (found, backend) = look(Belief::All, &[]);
    assert_eq!(found.outcome("backend_unsigned"), "warning");
    assert!(
        found
            .advice("backend_unsigned")
            .contains("docs/SIGNATURE.md")
    );
    let asked = backend.last();
    assert_eq!(backend.requests().len(), 1);
    assert_eq!(asked.target, "/v1/orders");
    assert_eq!(asked.header("x-client-id"), "keyferry-doctor");
    assert!(asked.all("signature").is_empty() && asked.all("signature-input").is_empty());

    let (found, backend) = look(Belief::Signed, &[]);
    assert_eq!(found.outcome("backend_unsigned"), "ok");
    assert_eq!(found.outcome("backend_forged"), "warning");
    // Nothing is wrong with it but the secret.
    let refused = verify(&backend.last(), &secret("echo")).unwrap_err();
    assert!(refused.contains("does not fit"), "{refused}");

    let (found, backend) = look(Belief::SignedWith(secret("echo")), &["--probe-path", "/x"]);
    assert_eq!(found.outcome("backend_unsigned"), "ok");
    assert_eq!(found.outcome("backend_forged"), "ok");
    assert_eq!(found.status(), Some(0), "{:#?}", found.bad());
    assert_eq!(backend.last().target, "/x");

    let (found, backend) = look(Belief::All, &["--no-backends"]);
    assert!(backend.requests().is_empty());
    assert_eq!(found.status(), Some(0));
}

/// The control of the backend that verifies: it believes the gateway.
#[test]
fn a_backend_that_refuses_the_doctor_serves_the_gateway() {
    let (world, backend) = (World::new(), verifying());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    gateway
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_status(200);
    assert_eq!(doctor(gateway.setup(), &[]).outcome("backend_forged"), "ok");
}

#[test]
fn a_backend_is_looked_at_over_tls_and_as_to_its_health() {
    let world = World::new();
    let pem = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let look = |days: i64, ca: &str, health: &str| {
        let behind = server("orders.internal").dates(-60, days * DAY + 60);
        let behind = behind.signed_by(&world.servers);
        let backend = Backend::start_tls(&BackendTls {
            chain: pem(behind.chain_pem()),
            key: pem(behind.key_pem()),
            client_ca: None,
        });
        let mut tls = Table::new();
        tls.insert("ca_file".to_owned(), ca.into());
        tls.insert("server_name".to_owned(), "orders.internal".into());
        let mut check = Table::new();
        check.insert("path".to_owned(), health.into());
        let mut entry = Table::new();
        entry.insert("tls".to_owned(), Value::Table(tls));
        entry.insert("health_check".to_owned(), Value::Table(check));
        let builder = Gateway::builder(&world)
            .file("servers.pem", world.servers.pem())
            .backend_like("orders", backend.address(), entry)
            .route("/", "orders", "either");
        doctor(&builder.write(), &[])
    };
    let good = look(90, "servers.pem", "/healthz");
    for check in ["backend_connects", "backend_certificate", "backend_health"] {
        assert_eq!(good.outcome(check), "ok", "{:#}", good.of(check));
    }
    let ending = look(10, "servers.pem", "/status/503");
    assert_eq!(ending.outcome("backend_certificate"), "warning");
    assert_eq!(ending.outcome("backend_health"), "error");
    let foreign = look(90, "clients-root.pem", "/healthz");
    assert_eq!(foreign.outcome("backend_connects"), "error");
    assert!(foreign.advice("backend_connects").contains("ca_file"));
    let ended = look(-1, "servers.pem", "/healthz");
    let why = ended.of("backend_connects")["found"].to_string();
    assert!(why.contains("expired"), "{why}");
}

#[test]
fn files_that_are_open_and_certificates_that_end_are_found() {
    let (world, backend) = (World::new(), verifying());
    let setup = sound(&world, &backend).write();
    let mode = |name: &str, mode| {
        fs::set_permissions(setup.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let found = doctor(&setup, &["--strict"]);
    assert_eq!(found.status(), Some(0), "{:#?}", found.bad());
    assert_eq!(found.outcome("file_secrets"), "ok");

    mode("keyferry.toml", 0o666);
    mode("pepper.key", 0o640);
    let found = doctor(&setup, &["--strict"]);
    assert_eq!(found.status(), Some(1));
    assert_eq!(found.outcome("file_configuration"), "warning");
    assert_eq!(found.outcome("file_secrets"), "note");
    assert_eq!(found.of("file_secrets")["subject"], "key.pepper[0].file");

    mode("pepper.key", 0o644);
    let found = doctor(&setup, &[]);
    assert_eq!(found.status(), Some(78));
    assert_eq!(found.outcome("configuration_reads"), "error");
    assert!(found.advice("configuration_reads").starts_with("chmod 600"));

    let ending = server("other.example.com").dates(-60, 10 * DAY);
    let ending = ending.signed_by(&world.servers);
    let mut route = toml::toml! { name = "named" path = "/" backend = "echo" accept = "key" };
    route.insert("host".to_owned(), HOST.into());
    let setup = sound(&world, &backend)
        .file("gateway.pem", ending.chain_pem())
        .file("gateway.key", ending.key_pem())
        .push("route", route)
        .write();
    let found = doctor(&setup, &[]);
    let date = "listener.certificate[0].certificate_file";
    let date = found.all.iter().find(|f| f["subject"] == date).unwrap();
    assert_eq!(date["outcome"], "warning", "{date:#}");
    assert_eq!(found.outcome("certificate_names"), "error");
    assert_eq!(
        found.of("certificate_names")["expected"],
        format!("DNS:{HOST}")
    );
}

#[test]
fn the_running_gateway_is_asked_and_what_it_shows_is_compared() {
    let (world, backend) = (World::new(), verifying());
    let gateway = sound(&world, &backend).start();
    let found = doctor(gateway.setup(), &[]);
    for check in [
        "gateway_runs",
        "gateway_version",
        "gateway_configuration",
        "gateway_store",
        "gateway_certificate",
    ] {
        assert_eq!(found.outcome(check), "ok", "{:#}", found.of(check));
    }
    assert_eq!(found.outcome("store_reads"), "ok");
    let renewed = server(HOST).dates(-60, 90 * DAY).signed_by(&world.servers);
    fs::write(gateway.setup().path("gateway.pem"), renewed.chain_pem()).unwrap();
    fs::write(gateway.setup().path("gateway.key"), renewed.key_pem()).unwrap();
    let found = doctor(gateway.setup(), &[]);
    assert_eq!(found.outcome("gateway_certificate"), "warning");
    assert!(
        found
            .advice("gateway_certificate")
            .contains("keyferry reload")
    );

    // A start would take it; a running gateway does not, and goes on with what it had.
    let pepper = "another secret in the place of the current one";
    fs::write(gateway.path("pepper.key"), pepper).unwrap();
    wait_for("it to be refused", || {
        (gateway.metric("keyferry_reload_success") < 0.5).then_some(())
    });
    let found = doctor(gateway.setup(), &[]);
    assert_eq!(found.outcome("gateway_configuration"), "error");
}

#[tokio::test]
async fn a_snapshot_is_opened_and_a_record_that_nobody_signed_is_counted() {
    let (world, backend) = (World::new(), verifying());
    let redis = RedisServer::start(&["--appendonly", "yes"]).await;
    let mut gateway = sound(&world, &backend)
        .redis(&redis.url())
        .set("store.snapshot", "keyferry.snapshot")
        .start();
    gateway.cli(&["client", "add", "alice"]).expect_success();
    let found = doctor(gateway.setup(), &[]);
    assert_eq!(found.outcome("store_records"), "ok");
    assert!(gateway.stop().success());
    let found = doctor(gateway.setup(), &[]);
    assert_eq!(
        found.outcome("file_snapshot"),
        "ok",
        "{:#}",
        found.of("file_snapshot")
    );

    redis.tell(r#"HSET kf:{kf}:client mallory {"schema":2,"version":9}"#);
    let file = gateway.setup().path("keyferry.snapshot");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let found = doctor(gateway.setup(), &[]);
    assert_eq!(found.outcome("store_records"), "error");
    assert_eq!(found.outcome("file_snapshot"), "error");
}

#[test]
fn sessions_in_the_memory_of_gateways_that_share_a_redis_are_noted() {
    if with_boringssl() {
        return;
    }
    let (world, backend) = (World::new(), verifying());
    for (sessions, shares, outcome) in [
        ("tickets", true, "ok"),
        ("memory", false, "ok"),
        ("memory", true, "note"),
    ] {
        let gateway = sound(&world, &backend).set("listener.sessions", sessions);
        let gateway = if shares {
            gateway.redis("redis://127.0.0.1:1")
        } else {
            gateway
        };
        let found = doctor(&gateway.write(), &["--no-backends"]);
        assert_eq!(
            found.outcome("configuration_sessions"),
            outcome,
            "{sessions}"
        );
    }
}

#[test]
fn people_read_it_by_group_with_what_to_do_below() {
    let (world, backend) = (World::new(), Backend::start());
    let told = sound(&world, &backend).write().cli(&["doctor"]);
    let told = told.expect_success();
    for line in [
        "configuration",
        "files",
        "certificates",
        "store",
        "backends",
        "gateway",
    ] {
        assert!(told.output.lines().any(|found| found == line), "{told:#?}");
    }
    assert!(
        told.output
            .contains("\n  warning without a signature: echo at ")
    );
    assert!(told.output.contains("[docs/SIGNATURE.md]\n"), "{told:#?}");
    assert!(told.output.contains("0 errors, 1 warning, "), "{told:#?}");
}
