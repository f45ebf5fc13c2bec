//! A running gateway takes over other routes, backends and settings (O8): three times in a row under
//! load, and no request fails for it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle, scope};

use serde_json::json;
use toml::{Table, Value};

use crate::support::backend::{Backend, BackendTls};
use crate::support::gateway::{Builder, Gateway, secret};
use crate::support::pki::{Issued, leaf, root, server};
use crate::support::python::run;
use crate::support::wait_for;
use crate::support::wire::{Shown, Tls};
use crate::support::world::{HOST, Identity, World};

/// A backend of this name in the configuration, with the file of its secret.
pub(crate) fn backend(name: &str, at: &Backend) -> (Value, (String, String)) {
    let file = format!("{name}.secret");
    let signing = toml::toml! { key_id = "" secret_file = "" };
    let mut entry = toml::toml! { name = "" addresses = [] protocol = "http1" };
    entry["name"] = name.into();
    entry["addresses"] = vec![at.address().to_string()].into();
    entry.insert("signing".to_owned(), signing.into());
    entry["signing"]["key_id"] = name.into();
    entry["signing"]["secret_file"] = file.clone().into();
    let secret = String::from_utf8(secret(name)).unwrap();
    (entry.into(), (file, secret))
}

pub(crate) fn route(name: &str, path: &str, backend: &str) -> Value {
    let mut entry = toml::toml! { host = "*" accept = "either" };
    for (setting, value) in [("name", name), ("path", path), ("backend", backend)] {
        entry.insert(setting.to_owned(), value.into());
    }
    entry.into()
}

pub(crate) fn texts(files: &[(String, String)]) -> Vec<(&str, &str)> {
    let texts = files.iter().map(|(name, text)| (&**name, &**text));
    texts.collect()
}

/// What keyferry reload says of it, in JSON.
#[track_caller]
pub(crate) fn reload(gateway: &Gateway) -> serde_json::Value {
    let told = gateway.cli(&["reload", "--output", "json"]);
    told.expect_success().json()
}

/// How many errors the gateway itself told. (Pingora tells one when a connection to a backend that it
/// would go on with is just being put back, and makes another.)
pub(crate) fn errors(gateway: &Gateway) -> usize {
    let lines = gateway.lines();
    let is_ours = |line: &&serde_json::Value| {
        let target = line["target"].as_str().unwrap_or_default();
        line["level"] == "ERROR" && target.starts_with("keyferry")
    };
    lines.iter().filter(is_ours).count()
}

fn has_series(gateway: &Gateway, label: &str) -> bool {
    gateway.metrics().contains(label)
}

/// Calls that go on until the story is over: each caller on one connection, from the first request to
/// the last, of which none may fail.
struct Load<'a> {
    gateway: &'a Gateway,
    world: &'a World,
    over: AtomicBool,
}

impl<'a> Load<'a> {
    fn http1<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        key: Option<&'scope str>,
        client: Option<&'scope Identity>,
    ) -> ScopedJoinHandle<'scope, usize> {
        scope.spawn(move || {
            let tls = Tls::trusting(&self.world.servers.x509);
            let shown = client.map(|client| Shown {
                issued: client.issued.clone(),
                whole: true,
            });
            let mut wire = tls.connect(self.gateway.address(), shown.as_ref()).unwrap();
            let fields: Vec<_> = key
                .map(|key| format!("X-API-Key: {key}"))
                .into_iter()
                .collect();
            let mut calls = 0;
            while !self.over.load(Ordering::Relaxed) {
                let answer = wire.call("GET", "/", &fields).unwrap();
                assert_eq!(answer.status, 200, "{answer:?}");
                calls += 1;
            }
            calls
        })
    }

    fn http2<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        key: &'scope str,
    ) -> ScopedJoinHandle<'scope, usize> {
        scope.spawn(move || {
            let headers = [
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", HOST),
                (":path", "/"),
                ("x-api-key", key),
            ];
            let told = run(
                "h2_client.py",
                &json!({
                    "address": self.gateway.address().to_string(),
                    "host": HOST,
                    "authority": self.world.authority,
                    "requests": [{ "headers": headers }],
                    "until": self.end(),
                }),
            );
            assert_eq!(
                (&told["error"], &told["goaway"]),
                (&json!(null), &json!(null))
            );
            let answers = told["answers"].as_array().unwrap();
            for answer in answers {
                assert_eq!(answer["status"], 200, "{answer}");
            }
            answers.len()
        })
    }

    fn end(&self) -> std::path::PathBuf {
        self.world.path("the-end")
    }

    fn start(gateway: &'a Gateway, world: &'a World) -> Self {
        Self {
            gateway,
            world,
            over: AtomicBool::new(false),
        }
    }
}

/// Also when the story ends badly.
impl Load<'_> {
    fn until_the_end_of(&self, key: &str, client: &Identity, story: impl FnOnce()) -> Vec<usize> {
        struct Ends<'a>(&'a Load<'a>);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.over.store(true, Ordering::Relaxed);
                fs::write(self.0.end(), "").unwrap();
            }
        }
        scope(|scope| {
            let callers = [
                self.http1(scope, Some(key), None),
                self.http1(scope, None, Some(client)),
                self.http2(scope, key),
            ];
            let ends = Ends(self);
            story();
            drop(ends);
            callers.map(|caller| caller.join().unwrap()).to_vec()
        })
    }
}

/// A backend that speaks TLS by a certificate of `authority`, and the file that names that.
fn secure(authority: &Issued) -> Backend {
    let issued = server("backend.example").signed_by(authority);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Backend::start_tls(&BackendTls {
        chain: text(issued.chain_pem()),
        key: text(issued.key_pem()),
        client_ca: None,
    })
}

/// Swaps the volume of the gateway: everything goes to this backend, and the route `extra` is new.
fn lead_to(gateway: &Gateway, name: &str, (at, authority): (&Backend, &Issued), extra: &str) {
    let (mut entry, secret) = backend(name, at);
    let tls = toml::toml! { ca_file = "backend-ca.pem" server_name = "backend.example" };
    let table = entry.as_table_mut().unwrap();
    table.insert("tls".to_owned(), tls.into());
    let authority = String::from_utf8(authority.pem()).unwrap();
    let files = [secret, ("backend-ca.pem".to_owned(), authority)];
    gateway.deploy(
        |config| {
            config["backend"] = vec![entry].into();
            let routes = [
                route("main", "/", name),
                route(extra, &format!("/{extra}"), name),
            ];
            config["route"] = routes.to_vec().into();
        },
        &texts(&files),
    );
}

/// Every time another backend behind TLS, of another authority whose file has the same name, and
/// another route; the ones before go.
#[test]
fn o8_three_swaps_of_routes_backends_and_authorities_under_load_fail_no_request() {
    let (world, first) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .set("http.requests_per_connection", 1_000_000)
        .echo(&first)
        .mounted()
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    let bob = world.client("bob");
    let load = Load::start(&gateway, &world);
    let others: Vec<_> = (0..3)
        .map(|number| {
            let authority = root(&format!("backends {number}")).self_signed();
            (secure(&authority), authority)
        })
        .collect();
    let mut before = "echo".to_owned();
    let calls = load.until_the_end_of(&key, &bob, || {
        for (number, (next, authority)) in others.iter().enumerate() {
            let (name, seen) = (format!("b{number}"), first.requests().len());
            let extra = format!("extra-{number}");
            lead_to(&gateway, &name, (next, authority), &extra);
            wait_for("the swap to be taken over", || {
                let is_there = has_series(&gateway, &format!("route=\"{extra}\""));
                let is_gone = !has_series(&gateway, &format!("backend=\"{before}\""));
                (is_there && is_gone).then_some(())
            });
            let path = format!("/{extra}");
            gateway.curl(&path).key(&key).send().expect_status(200);
            wait_for("the callers to be led there", || {
                (next.requests().len() > 30).then_some(())
            });
            let reached = first.requests().len();
            assert!(
                reached >= seen && (number == 0 || reached == seen),
                "{reached} {seen}"
            );
            before = name;
        }
    });
    assert!(calls.iter().all(|calls| *calls > 60), "{calls:?}");
    assert_eq!(errors(&gateway), 0, "{}", gateway.log());
    let gone = gateway.curl("/extra-0").key(&key).send();
    assert_eq!(
        gone.expect_status(200).json()["target"],
        "/extra-0",
        "the main route serves it"
    );
    for gone in [
        "route=\"extra-0\"",
        "route=\"echo-either\"",
        "backend=\"b1\"",
    ] {
        assert!(!has_series(&gateway, gone), "{gone}");
    }
    for there in [
        "route=\"extra-2\"",
        "route=\"main\"",
        "backend=\"b2\"",
        "route=\"keyferry\"",
    ] {
        assert!(has_series(&gateway, there), "{there}");
    }
}

#[test]
fn a_backend_that_is_gone_finishes_what_is_under_way() {
    let (world, old, new) = (World::new(), Backend::start(), Backend::start());
    let gateway = Gateway::start(&world, &old);
    let key = gateway.claim_key(&world.client("alice"));
    let (entry, secret) = backend("new", &new);
    scope(|scope| {
        let under_way = scope.spawn(|| gateway.curl("/slow").key(&key).send());
        old.wait_for_requests(1);
        let replace = |config: &mut Table| {
            config["backend"] = vec![entry].into();
            config["route"] = vec![route("main", "/", "new")].into();
        };
        gateway.deploy(replace, &texts(&[secret]));
        let changed = [
            "backend[echo] (gone)",
            "backend[new] (new)",
            "route[echo-either] (gone)",
            "route[main] (new)",
        ];
        assert_eq!(reload(&gateway)["changed"], json!(changed));
        gateway.curl("/").key(&key).send().expect_status(200);
        assert_eq!((old.requests().len(), new.requests().len()), (1, 1));
        old.proceed();
        under_way.join().unwrap().expect_status(200);
    });
}

/// What changed in place is another backend: no connection of before is used for it.
#[test]
fn a_backend_that_moved_is_called_where_it_is_and_by_what_it_asks_for_now() {
    let (world, old, new) = (World::new(), Backend::start(), Backend::start());
    let gateway = Gateway::start(&world, &old);
    let alice = world.client("alice");
    let call = || {
        gateway
            .curl("/")
            .certificate(&alice)
            .send()
            .expect_status(200)
    };
    call();
    gateway.deploy(
        |config| config["backend"][0]["addresses"] = vec![new.address().to_string()].into(),
        &[],
    );
    assert_eq!(
        reload(&gateway)["changed"],
        json!(["backend[echo].addresses[0]"])
    );
    call();
    assert_eq!((old.requests().len(), new.requests().len()), (1, 1));
    // At one address, with TLS and another authority than it has: nobody is believed for having been
    // believed before.
    let authority = root("backends").self_signed();
    let behind_tls = secure(&authority);
    let believe = |authority: &Issued| {
        let pem = String::from_utf8(authority.pem()).unwrap();
        gateway.deploy(
            |config| {
                let tls =
                    toml::toml! { ca_file = "backend-ca.pem" server_name = "backend.example" };
                let backend = config["backend"][0].as_table_mut().unwrap();
                backend.insert("tls".to_owned(), tls.into());
                backend["addresses"] = vec![behind_tls.address().to_string()].into();
            },
            &[("backend-ca.pem", &pem)],
        );
        assert_eq!(reload(&gateway)["outcome"], "taken_over");
    };
    believe(&authority);
    call();
    believe(&root("somebody else").self_signed());
    let refused = gateway.curl("/").certificate(&alice).send();
    refused.expect_refusal(503, "backend_unavailable");
    believe(&authority);
    call();
}

#[test]
fn health_checks_begin_and_end_with_their_backends() {
    let world = World::new();
    let backends = [(); 3].map(|()| Backend::start());
    let [main, coming, going] = &backends;
    let checked = |name: &str, at: &Backend| {
        let (mut entry, secret) = backend(name, at);
        let check = toml::toml! { path = "/status/200" interval = "1s" };
        entry
            .as_table_mut()
            .unwrap()
            .insert("health_check".to_owned(), check.into());
        (entry, secret)
    };
    let checks = |backend: &Backend| {
        let requests = backend.requests();
        requests
            .iter()
            .filter(|request| request.target == "/status/200")
            .count()
    };
    let gateway = Gateway::start(&world, main);
    let put = |name: &str, at: &Backend| {
        let (entry, secret) = checked(name, at);
        gateway.deploy(
            |config| {
                let backends = config["backend"].as_array_mut().unwrap();
                backends.truncate(1);
                backends.push(entry);
            },
            &texts(&[secret]),
        );
        reload(&gateway);
    };
    put("going", going);
    wait_for("a check", || (checks(going) > 0).then_some(()));
    put("coming", coming);
    let before = checks(going);
    wait_for("checks", || (checks(coming) > 2).then_some(()));
    // One may have been on its way.
    assert!(checks(going) <= before + 1, "{} {before}", checks(going));

    // What is not well is not called, and what is as it was stays so.
    let (mut entry, secret) = checked("going", going);
    let dead = crate::support::free_addresses::<1>()[0];
    entry["addresses"] = vec![dead.to_string()].into();
    gateway.deploy(
        |config| {
            config["backend"].as_array_mut().unwrap().push(entry);
            config["route"]
                .as_array_mut()
                .unwrap()
                .push(route("dead", "/dead", "going"));
        },
        &texts(&[secret]),
    );
    reload(&gateway);
    let key = gateway.claim_key(&world.client("alice"));
    let call = |path: &str| gateway.curl(path).key(&key).send();
    wait_for("it to be known", || {
        let log = gateway.log();
        call("/dead").expect_refusal(503, "backend_unavailable");
        log.contains("no address of the backend is healthy")
            .then_some(())
    });
    call("/").expect_status(200);
}

type Edit = fn(&mut Table);

/// V17, O8: what would refuse everybody, or is wrong in any other way, changes nothing.
#[test]
fn o8_what_is_wrong_with_routes_and_backends_changes_nothing() {
    let (world, echo) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&echo)
        .file("backend-ca.pem", world.servers.pem())
        .start();
    let key = gateway.claim_key(&world.client("alice"));
    let good = gateway.contents("keyferry.toml");
    let wrong: [(&str, Edit); 6] = [
        ("route: missing", |config| drop(config.remove("route"))),
        ("there is no backend \"nobody\"", |config| {
            config["route"][0]["backend"] = "nobody".into();
        }),
        ("backend: missing", |config| drop(config.remove("backend"))),
        ("is not a host and a port", |config| {
            config["backend"][0]["addresses"] = vec!["here"].into();
        }),
        ("ca: missing", |config| drop(config.remove("ca"))),
        ("does not exist", |config| {
            let tls = toml::toml! { ca_file = "missing.pem" server_name = "b" };
            let backend = config["backend"][0].as_table_mut().unwrap();
            backend.insert("tls".to_owned(), tls.into());
        }),
    ];
    for (why, edit) in wrong {
        gateway.deploy(edit, &[]);
        let told = gateway.cli(&["reload"]);
        assert_eq!(told.status.code(), Some(78), "{told:?}");
        assert!(told.errors.contains(why), "{why}: {told:?}");
        wait_for("the mistake to be told", || {
            let is_told = gateway
                .log()
                .lines()
                .any(|line| line.contains("ERROR") && line.contains(&why.replace('"', "\\\"")));
            (is_told && gateway.metric("keyferry_reload_success") < 0.5).then_some(())
        });
        gateway.curl("/").key(&key).send().expect_status(200);
        gateway.put("keyferry.toml", &good);
        let report = reload(&gateway);
        assert_eq!(
            (&report["outcome"], &report["changed"]),
            (&json!("taken_over"), &json!([]))
        );
        assert!(gateway.metric("keyferry_reload_success") > 0.5);
    }
    // The control: what is right is taken over.
    gateway.deploy(|config| config["route"][0]["path"] = "/v1".into(), &[]);
    assert_eq!(
        reload(&gateway)["changed"],
        json!(["route[echo-either].path"])
    );
    gateway
        .curl("/")
        .key(&key)
        .send()
        .expect_refusal(404, "route_not_found");
    gateway.curl("/v1").key(&key).send().expect_status(200);
}

fn two_authorities<'a>(world: &'a World, other: &Issued, echo: &Backend) -> Builder<'a> {
    let mut second = toml::toml! { name = "second" file = "second.pem" };
    second.insert(
        "renewal".to_owned(),
        toml::toml! { same_key = "deny" }.into(),
    );
    let mut only = route("only-second", "/second", "echo");
    let cas = vec!["second"];
    only.as_table_mut()
        .unwrap()
        .insert("cas".to_owned(), cas.into());
    Gateway::builder(world)
        .echo(echo)
        .file("second.pem", other.pem())
        .push("ca", second)
        .push("route", only.as_table().unwrap().clone())
}

/// A route names an authority, not its place: wherever that stands, nobody else's certificate passes.
#[test]
fn a_route_means_the_same_authority_however_they_are_ordered() {
    let (world, echo) = (World::new(), Backend::start());
    let other = root("Second Root").self_signed();
    let gateway = two_authorities(&world, &other, &echo).start();
    let first = world.client("first");
    let second = world.files(leaf("second").signed_by(&other));
    let decided = || {
        let call = |client: &Identity| gateway.curl("/second").certificate(client).send();
        call(&second).expect_status(200);
        call(&first).expect_refusal(401, "certificate_untrusted");
    };
    decided();
    gateway.deploy(
        |config| {
            config["ca"].as_array_mut().unwrap().reverse();
            let marker = route("marker", "/marker", "echo");
            config["route"].as_array_mut().unwrap().push(marker);
        },
        &[],
    );
    let report = reload(&gateway);
    assert_eq!(report["changed"], json!(["route[marker] (new)"]));
    assert_eq!(report["needs_restart"], json!([]));
    decided();
}
