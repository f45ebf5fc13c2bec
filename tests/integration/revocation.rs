//! Cases V12 to V17, C1 and R3 at the running gateway: revocation lists and authorities, as they are
//! when it starts, and as they change while it runs.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use keyferry::clock;
use toml::Table;

use crate::support::backend::Backend;
use crate::support::curl::{Answer, Curl};
use crate::support::gateway::{Builder, Gateway};
use crate::support::list::{List, list};
use crate::support::pki::{intermediate, leaf, root};
use crate::support::s_client::SClient;
use crate::support::wire::{Shown, Tls};
use crate::support::world::{HOST, Identity, World};
use crate::support::{Over, linger, wait_for};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";
const LIST: &str = "clients.crl";
const REVOKED: &str = "certificate_revoked";
const UNKNOWN: &str = "certificate_revocation_unknown";

struct Scene {
    world: World,
    backend: Backend,
}

impl Scene {
    fn new() -> Self {
        Self {
            world: World::new(),
            backend: Backend::start(),
        }
    }

    /// A gateway whose authority has this table.
    fn builder(&self, ca: Table) -> Builder<'_> {
        let gateway = Gateway::builder(&self.world).echo(&self.backend);
        let gateway = gateway.set("self_service.expired_grace", "1h");
        gateway.without("ca").push("ca", ca)
    }

    /// One that asks the list in [`LIST`].
    fn asking(&self, list: &List<'_>) -> Builder<'_> {
        self.builder(ca_with(r#"files = ["clients.crl"]"#))
            .file(LIST, list.der())
    }

    /// The list of the clients' authority, with these on it.
    fn list<'a>(&'a self, revoked: &[&Identity]) -> List<'a> {
        let revoked: Vec<_> = revoked.iter().map(|client| &client.issued).collect();
        list(&self.world.clients, &revoked)
    }

    fn folder(&self) -> PathBuf {
        let folder = self.world.path("lists");
        fs::create_dir(&folder).unwrap();
        folder
    }
}

/// The clients' authority with this table `crl`.
fn ca_with(crl: &str) -> Table {
    table(&format!(
        "name = \"clients\"\nfile = \"clients-root.pem\"\ncrl = {{ {crl} }}"
    ))
}

fn table(text: &str) -> Table {
    text.parse().unwrap()
}

fn in_folder(folder: &std::path::Path, mode: &str) -> Table {
    ca_with(&format!(
        "folders = [{:?}], when_unknown = {mode:?}",
        folder.display().to_string()
    ))
}

fn call(gateway: &Gateway, client: &Identity) -> Answer {
    gateway.curl("/").certificate(client).send()
}

fn claim(gateway: &Gateway, client: &Identity) -> Answer {
    let ask = gateway.curl("/.well-known/keyferry/key").method("POST");
    ask.certificate(client).send()
}

/// Puts a file in place of another at once.
fn put(gateway: &Gateway, name: &str, contents: &[u8]) {
    let new = gateway.path("new");
    fs::write(&new, contents).unwrap();
    fs::rename(new, gateway.path(name)).unwrap();
}

#[track_caller]
fn wait_until(gateway: &Gateway, client: &Identity, status: u16) {
    wait_for("another answer", || {
        (call(gateway, client).status == status).then_some(())
    });
}

fn is_in_order(gateway: &Gateway) -> bool {
    gateway.metric("keyferry_crl_usable{ca=\"clients\"}") > 0.5
}

/// How many of the lists are in this state.
fn lists(gateway: &Gateway, state: &str) -> i64 {
    let series = format!("crl_lists{{ca=\"clients\",state=\"{state}\"}}");
    count(gateway, &series)
}

fn count(gateway: &Gateway, series: &str) -> i64 {
    let counted = gateway.metric(&format!("keyferry_{series}"));
    counted.to_string().parse().expect("a whole number")
}

#[test]
fn v12_c1_a_revoked_certificate_is_refused_and_claims_nothing() {
    let scene = Scene::new();
    let (good, bad) = (scene.world.client("good"), scene.world.client("bad"));
    // The control: where nobody asks, it is let in and gets its key.
    let plain = Gateway::start(&scene.world, &scene.backend);
    call(&plain, &bad).expect_status(200);
    claim(&plain, &bad).expect_status(201);

    let gateway = scene.asking(&scene.list(&[&bad])).start();
    call(&gateway, &good).expect_status(200);
    claim(&gateway, &good).expect_status(201);
    let before = scene.backend.requests().len();
    let refused = call(&gateway, &bad).expect_refusal(401, REVOKED);
    assert!(refused.text().contains("by 'Clients Root'"));
    claim(&gateway, &bad).expect_refusal(401, REVOKED);
    assert_eq!(scene.backend.requests().len(), before);
    assert!(is_in_order(&gateway));
    assert_eq!(count(&gateway, "crl_entries{ca=\"clients\"}"), 1);
}

#[test]
fn v12_v16_no_grace_for_one_that_was_revoked_before_it_ended() {
    let scene = Scene::new();
    let (good, bad) = (
        scene.world.client_like(leaf("good").dates(-60, 8)),
        scene.world.client_like(leaf("bad").dates(-60, 8)),
    );
    let gateway = scene.asking(&scene.list(&[])).start();
    for client in [&good, &bad] {
        call(&gateway, client).expect_status(200);
    }
    wait_until(&gateway, &good, 401);
    // The control: both have ended, and the one that is not revoked claims its key.
    call(&gateway, &bad).expect_refusal(401, "certificate_expired");
    claim(&gateway, &good).expect_status(201);
    put(&gateway, LIST, &scene.list(&[&bad]).der());
    let refused = wait_for("the revocation", || {
        let refused = call(&gateway, &bad);
        refused.text().contains(REVOKED).then_some(refused)
    });
    refused.expect_refusal(401, REVOKED);
    claim(&gateway, &bad).expect_refusal(401, REVOKED);
}

#[test]
fn v16_revoked_decides_and_all_is_told() {
    let scene = Scene::new();
    let spec = leaf("acme").purposes(&["serverAuth"]).dates(-200, -100);
    let client = scene.world.client_like(spec);
    let plain = Gateway::start(&scene.world, &scene.backend);
    call(&plain, &client).expect_refusal(401, "certificate_wrong_purpose");
    let gateway = scene.asking(&scene.list(&[&client])).start();
    let problem = call(&gateway, &client).expect_refusal(401, REVOKED).json();
    let told = problem["problems"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|one| one["reason"].as_str().unwrap()).collect();
    let all = [REVOKED, "certificate_wrong_purpose", "certificate_expired"];
    assert_eq!(told, all);
}

#[test]
fn v13_without_a_list_that_holds_the_mode_decides_and_it_is_told() {
    let scene = Scene::new();
    let (good, bad) = (scene.world.client("good"), scene.world.client("bad"));
    let folder = scene.folder();
    for stale in [None, Some(scene.list(&[&bad]).dates(-900, Some(-100)))] {
        if let Some(stale) = &stale {
            fs::write(folder.join("old.crl"), stale.der()).unwrap();
        }
        let hard = scene.builder(in_folder(&folder, "refuse")).start();
        let soft = scene.builder(in_folder(&folder, "accept")).start();
        call(&hard, &good).expect_refusal(503, UNKNOWN);
        call(&soft, &good).expect_status(200);
        // Who stands on a list of any age is refused in any mode.
        if stale.is_some() {
            call(&hard, &bad).expect_refusal(401, REVOKED);
            call(&soft, &bad).expect_refusal(401, REVOKED);
        }
        for gateway in [&hard, &soft] {
            assert!(!is_in_order(gateway));
            let told = "there is no revocation list that can be used";
            assert!(gateway.log().contains(told), "{}", gateway.log());
            assert_eq!(lists(gateway, "not_current"), i64::from(stale.is_some()));
        }
        let accepted = "revocation_unknown_accepted_total{ca=\"clients\"}";
        assert_eq!((count(&hard, accepted), count(&soft, accepted)), (0, 1));
        wait_for("the access line", || {
            soft.log().contains(UNKNOWN).then_some(())
        });
        // The newest list puts an end to that.
        let newest = scene.list(&[]).dates(-10, Some(900));
        fs::write(folder.join("new.pem"), newest.der()).unwrap();
        wait_until(&hard, &good, 200);
        wait_for("the lists", || is_in_order(&hard).then_some(()));
        fs::remove_file(folder.join("new.pem")).unwrap();
    }
}

/// The lists end while nobody touches them, and while a connection is open.
#[test]
fn v13_a_list_ends_by_itself_on_open_connections() {
    let scene = Scene::new();
    let client = scene.world.client("acme");
    let gateway = scene.asking(&scene.list(&[]).dates(-60, Some(6))).start();
    assert!(is_in_order(&gateway));
    let statuses = around(&scene, &gateway, &client, Curl::http1, || {
        wait_until(&gateway, &client, 503);
    });
    assert_eq!(statuses, [200, 200, 503]);
    wait_for("the alarm", || (!is_in_order(&gateway)).then_some(()));
}

#[test]
fn v14_a_list_of_another_signer_or_issuer_is_ignored_with_an_alarm() {
    let scene = Scene::new();
    let client = scene.world.client("acme");
    let (twin, stranger) = (
        root("Clients Root").self_signed(),
        root("Stranger").self_signed(),
    );
    let folder = scene.folder();
    let ca = in_folder(&folder, "refuse");
    fs::write(folder.join("own.crl"), scene.list(&[]).der()).unwrap();
    let gateway = scene.builder(ca.clone()).start();
    call(&gateway, &client).expect_status(200);
    assert!(is_in_order(&gateway));
    // The control: what the authority itself signs counts.
    fs::write(folder.join("more.crl"), scene.list(&[&client]).der()).unwrap();
    wait_until(&gateway, &client, 401);
    fs::remove_file(folder.join("more.crl")).unwrap();
    wait_until(&gateway, &client, 200);

    let forged = scene.list(&[&client]).signed_by(&twin);
    fs::write(folder.join("forged.crl"), forged.der()).unwrap();
    let foreign = list(&stranger, &[&client.issued]);
    fs::write(folder.join("foreign.crl"), foreign.der()).unwrap();
    wait_for("the alarm", || {
        (lists(&gateway, "not_signed") == 2).then_some(())
    });
    assert!(!is_in_order(&gateway));
    call(&gateway, &client).expect_status(200);
    assert!(gateway.log().contains("forged.crl") && gateway.log().contains("foreign.crl"));
    let told = gateway.cli(&["check"]).expect_success();
    assert!(told.output.contains("forged.crl: the list of"), "{told:#?}");
    let told = gateway.cli(&["doctor"]);
    assert!(told.output.contains("forged.crl"), "{told:#?}");
    // Nor does it clear anybody.
    fs::remove_file(folder.join("own.crl")).unwrap();
    wait_until(&gateway, &client, 503);
}

/// The statuses of three requests on one connection: before, during and after `change`.
fn around(
    scene: &Scene,
    gateway: &Gateway,
    client: &Identity,
    version: fn(Curl) -> Curl,
    change: impl FnOnce(),
) -> Vec<u16> {
    let count = scene.backend.requests().len();
    let ask = |path: &str| version(gateway.curl(path)).certificate(client);
    let open = [ask("/"), ask("/slow"), ask("/")];
    let answers = scope(|scope| {
        let open = scope.spawn(move || Curl::send_on_one_connection(open));
        wait_for("the request that waits", || {
            (scene.backend.requests().len() > count + 1).then_some(())
        });
        change();
        scene.backend.proceed();
        open.join().unwrap()
    });
    assert_eq!(answers[2].connects, 0, "it was the same connection");
    answers.iter().map(|answer| answer.status).collect()
}

#[test]
fn v15_r3_a_new_list_holds_on_open_connections_and_resumed_sessions() {
    let scene = Scene::new();
    let gateway = scene.asking(&scene.list(&[])).start();
    let mut revoked = Vec::new();
    let versions: [fn(Curl) -> Curl; 2] = [Curl::http1, Curl::http2];
    for (number, version) in versions.into_iter().enumerate() {
        let client = scene.world.client(&format!("acme-{number}"));
        let sessions = ["1_2", "1_3"].map(|tls| {
            let session = scene.world.path(&format!("session-{tls}"));
            let first = gateway.s_client().certificate(&client).tls(tls);
            let first = first.keep_session(&session).send(REQUEST);
            assert_eq!(first.status(), Some(200), "{first:#?}");
            (tls, session)
        });
        revoked.push(client);
        let all: Vec<_> = revoked.iter().collect();
        let client = all[all.len() - 1];
        let statuses = around(&scene, &gateway, client, version, || {
            put(&gateway, LIST, &scene.list(&all).der());
            let begun = clock::monotonic();
            wait_until(&gateway, client, 401);
            println!("a list that was replaced holds after {:?}", begun.elapsed());
        });
        assert_eq!(statuses, [200, 200, 401]);
        for (tls, session) in sessions {
            let resumed = gateway.s_client().certificate(client).tls(tls);
            let resumed = resumed.resume_session(&session).send(REQUEST);
            assert_eq!(resumed.status(), Some(401), "{resumed:#?}");
            assert!(resumed.output.contains(REVOKED), "{resumed:#?}");
        }
    }
}

/// On what goes on: of two streams of events, the one is cut off.
#[test]
fn v15_a_new_list_cuts_off_the_stream_of_whoever_stands_on_it() {
    let scene = Scene::new();
    let gateway = scene.asking(&scene.list(&[])).start();
    let clients = ["revoked", "other"].map(|name| scene.world.client(name));
    let tls = Tls::trusting(&scene.world.servers.x509);
    let [mut revoked, mut other] = clients.each_ref().map(|client| {
        let issued = client.issued.clone();
        let shown = Shown {
            issued,
            whole: true,
        };
        let mut wire = tls.connect(gateway.address(), Some(&shown)).unwrap();
        wire.send(format!("GET /sse?n=2 HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes());
        let head = wire.until(b"data: 1");
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{head:?}");
        wire
    });
    put(&gateway, LIST, &scene.list(&[&clients[0]]).der());
    let begun = clock::monotonic();
    let (rest, whole) = revoked.rest();
    println!("its stream is cut off after {:?}", begun.elapsed());
    assert!(!whole && !rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    wait_for("the access line", || {
        let told = format!(r#""closed":"{REVOKED}""#);
        gateway.log().contains(&told).then_some(())
    });
    // The attack: nobody cuts off whoever does not stand on it.
    scene.backend.proceed();
    scene.backend.proceed();
    assert!(other.until(b"0\r\n\r\n").ends_with(b"0\r\n\r\n"));
}

/// As Kubernetes swaps files, and by a delta that comes to a complete list.
#[test]
fn v15_lists_behind_a_link_and_deltas_are_noticed() {
    let scene = Scene::new();
    let (first, second) = (scene.world.client("first"), scene.world.client("second"));
    let folder = scene.folder();
    fs::create_dir(folder.join("..1")).unwrap();
    fs::create_dir(folder.join("..2")).unwrap();
    let complete = |revoked: &[&Identity]| scene.list(revoked).number(1, None).der();
    fs::write(folder.join("..1/a.crl"), complete(&[])).unwrap();
    fs::write(folder.join("..2/a.crl"), complete(&[&first])).unwrap();
    std::os::unix::fs::symlink("..1", folder.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.crl", folder.join("a.crl")).unwrap();
    let gateway = scene.builder(in_folder(&folder, "refuse")).start();
    for client in [&first, &second] {
        call(&gateway, client).expect_status(200);
    }
    std::os::unix::fs::symlink("..2", folder.join("..tmp")).unwrap();
    fs::rename(folder.join("..tmp"), folder.join("..data")).unwrap();
    wait_until(&gateway, &first, 401);
    call(&gateway, &second).expect_status(200);

    let delta = scene.list(&[&second]).number(2, Some(1));
    fs::write(folder.join("delta.crl"), delta.der()).unwrap();
    wait_until(&gateway, &second, 401);
    call(&gateway, &first).expect_refusal(401, REVOKED);
    assert!(is_in_order(&gateway));
}

/// As when a job fetches one of them again and again, or writes a log where lists are.
#[test]
fn v15_a_file_that_never_stays_as_it_is_holds_up_no_other() {
    let scene = Scene::new();
    let bad = scene.world.client("bad");
    let folder = scene.folder();
    let (none, one) = (scene.list(&[]).der(), scene.list(&[&bad]).der());
    for name in ["clients.crl", "busy.crl"] {
        fs::write(folder.join(name), &none).unwrap();
    }
    let gateway = scene.builder(in_folder(&folder, "refuse")).start();
    call(&gateway, &bad).expect_status(200);
    let over = AtomicBool::new(false);
    scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                fs::write(folder.join(".new"), &none).unwrap();
                fs::rename(folder.join(".new"), folder.join("busy.crl")).unwrap();
                linger(Duration::from_millis(20));
            }
        });
        put(
            &gateway,
            &folder.join("clients.crl").display().to_string(),
            &one,
        );
        wait_until(&gateway, &bad, 401);
    });
    assert!(is_in_order(&gateway));
}

/// A list that an intermediate issued is checked by its certificate beside it; and so is one of an
/// issuer of lists alone, which no client ever sends.
#[test]
fn lists_of_others_are_checked_by_certificates_beside_them() {
    let scene = Scene::new();
    let issuing = intermediate("Issuing").signed_by(&scene.world.clients);
    let client = scene.world.files(leaf("acme").signed_by(&issuing));
    let folder = scene.folder();
    fs::write(folder.join("root.crl"), scene.list(&[]).der()).unwrap();
    fs::write(folder.join("issuing.crl"), list(&issuing, &[]).der()).unwrap();
    let gateway = scene.builder(in_folder(&folder, "refuse")).start();
    // It counts for whoever sends that certificate, and the operator is told.
    call(&gateway, &client).expect_status(200);
    assert!(!is_in_order(&gateway) && lists(&gateway, "not_signed") == 1);
    let pem = |list: List<'_>| {
        let list = openssl::x509::X509Crl::from_der(&list.der()).unwrap();
        [list.to_pem().unwrap(), issuing.pem()].concat()
    };
    fs::write(folder.join("issuing.pem"), pem(list(&issuing, &[]))).unwrap();
    wait_for("the lists", || is_in_order(&gateway).then_some(()));
    let revoked = pem(list(&issuing, &[&client.issued]));
    fs::write(folder.join("issuing.pem"), revoked).unwrap();
    wait_until(&gateway, &client, 401);
}

#[test]
fn v17_what_cannot_be_read_keeps_the_gateway_from_starting() {
    let scene = Scene::new();
    let whole = scene.list(&[]).der();
    // The control.
    let setup = scene.asking(&scene.list(&[])).write();
    setup.cli(&["check"]).expect_success();
    let half = whole.get(..whole.len() / 2).unwrap();
    for (file, contents) in [
        (LIST, None),
        (LIST, Some(&b""[..])),
        (LIST, Some(half)),
        ("clients-root.pem", None),
        ("clients-root.pem", Some(b"")),
        ("clients-root.pem", Some(&scene.world.clients.pem()[..200])),
    ] {
        let setup = scene.asking(&scene.list(&[])).write();
        match contents {
            Some(contents) => fs::write(setup.path(file), contents).unwrap(),
            None => fs::remove_file(setup.path(file)).unwrap(),
        }
        for command in ["check", "run"] {
            let told = setup.cli(&[command]);
            assert_eq!(told.status.code(), Some(78), "{file}: {told:#?}");
            let text = [told.output.as_str(), told.errors.as_str()].concat();
            assert!(text.contains(file), "{told:#?}");
        }
    }
}

#[test]
fn v17_what_cannot_be_read_while_it_runs_changes_nothing() {
    let scene = Scene::new();
    let (good, bad) = (scene.world.client("good"), scene.world.client("bad"));
    let stranger = root("Stranger").self_signed();
    let stranger = scene.world.files(leaf("evil").signed_by(&stranger));
    let gateway = scene.asking(&scene.list(&[&bad])).start();
    let as_before = || {
        call(&gateway, &good).expect_status(200);
        call(&gateway, &bad).expect_refusal(401, REVOKED);
        call(&gateway, &stranger).expect_status(401);
    };
    as_before();
    let whole = scene.list(&[&bad]).der();
    let half = whole.get(..whole.len() / 2).unwrap();
    for contents in [None, Some(&b""[..]), Some(half), Some(b"hello")] {
        match contents {
            Some(contents) => put(&gateway, LIST, contents),
            None => fs::remove_file(gateway.path(LIST)).unwrap(),
        }
        wait_for("the alarm", || {
            (lists(&gateway, "unreadable") == 1).then_some(())
        });
        assert!(!is_in_order(&gateway));
        as_before();
        put(&gateway, LIST, &whole);
        wait_for("the lists", || is_in_order(&gateway).then_some(()));
    }
    let root = scene.world.clients.pem();
    for contents in [None, Some(&b""[..]), root.get(..200)] {
        match contents {
            Some(contents) => put(&gateway, "clients-root.pem", contents),
            None => fs::remove_file(gateway.path("clients-root.pem")).unwrap(),
        }
        let in_step = || gateway.metric("keyferry_reload_success") > 0.5;
        wait_for("the alarm", || (!in_step()).then_some(()));
        as_before();
        put(&gateway, "clients-root.pem", &root);
        wait_for("the configuration", || in_step().then_some(()));
    }
    as_before();
}

#[test]
fn r3_the_second_authority_of_a_bundle_goes_and_resumed_sessions_are_refused() {
    let scene = Scene::new();
    let other = root("Second Root").self_signed();
    let first = scene.world.client("first");
    let second = scene.world.files(leaf("second").signed_by(&other));
    let bundle = [scene.world.clients.pem(), other.pem()].concat();
    let gateway = Gateway::builder(&scene.world).echo(&scene.backend);
    let gateway = gateway.file("clients-root.pem", &bundle).start();
    call(&gateway, &first).expect_status(200);
    let keep = |tls: &'static str| {
        let session = scene.world.path(tls);
        let kept = gateway.s_client().certificate(&second).tls(tls);
        let kept = kept.keep_session(&session).send(REQUEST);
        assert_eq!(kept.status(), Some(200), "{kept:#?}");
        (tls, session)
    };
    let resume = |(tls, session): &(&str, PathBuf)| {
        let resumed = gateway.s_client().certificate(&second).tls(tls);
        resumed.resume_session(session).send(REQUEST)
    };
    let sessions = ["1_2", "1_3"].map(keep);
    // The control.
    for session in &sessions {
        assert!(resume(session).was_resumed());
    }
    let statuses = around(&scene, &gateway, &second, Curl::http2, || {
        put(&gateway, "clients-root.pem", &scene.world.clients.pem());
        let begun = clock::monotonic();
        wait_until(&gateway, &second, 401);
        println!(
            "an authority that was taken away is gone after {:?}",
            begun.elapsed()
        );
    });
    assert_eq!(statuses, [200, 200, 401]);
    for session in &sessions {
        let resumed = resume(session);
        assert_eq!(resumed.status(), Some(401), "{resumed:#?}");
    }
    call(&gateway, &first).expect_status(200);
    put(&gateway, "clients-root.pem", &bundle);
    wait_until(&gateway, &second, 200);
}

/// Routes name authorities by place; none gets another's place, whatever is written where.
#[test]
fn authorities_come_and_go_and_change_places_and_routes_go_on_meaning_the_same() {
    let scene = Scene::new();
    let other = root("Second Root").self_signed();
    let first = scene.world.client("first");
    let second = scene.world.files(leaf("second").signed_by(&other));
    let own = ca_with(r#"files = ["clients.crl"]"#);
    let added = table(
        r#"name = "others"
        file = "others.pem"
        max_depth = 0"#,
    );
    let gateway = scene.asking(&scene.list(&[]));
    let gateway = gateway.file("others.pem", other.pem());
    let only = table(
        r#"name = "only"
        host = "only.example.com"
        path = "/"
        backend = "echo"
        accept = "either"
        cas = ["clients"]"#,
    );
    let gateway = gateway.push("route", only).start();
    let at_only = |client: &Identity| {
        let url = format!("https://only.example.com:{}/", gateway.address().port());
        let ask = Curl::get(&url).resolve("only.example.com", gateway.address());
        ask.option("--insecure").certificate(client).send().status
    };
    call(&gateway, &second).expect_status(401);
    assert_eq!((at_only(&first), at_only(&second)), (200, 401));
    let set = |cas: &[&Table]| {
        gateway.deploy(
            |config| {
                let cas = cas.iter().map(|ca| (*ca).clone().into());
                config.insert("ca".to_owned(), toml::Value::Array(cas.collect()));
            },
            &[],
        );
    };
    // The new one stands first, where the other was.
    set(&[&added, &own]);
    wait_until(&gateway, &second, 200);
    call(&gateway, &first).expect_status(200);
    assert_eq!((at_only(&first), at_only(&second)), (200, 401));
    put(&gateway, LIST, &scene.list(&[&first]).der());
    wait_until(&gateway, &first, 401);
    assert_eq!(at_only(&second), 401);
    set(&[&own]);
    wait_until(&gateway, &second, 401);
    put(&gateway, LIST, &scene.list(&[]).der());
    wait_until(&gateway, &first, 200);
    assert_eq!((at_only(&first), at_only(&second)), (200, 401));
    // What an authority may do, and whether it is asked about.
    let between = intermediate("Between").signed_by(&other);
    let deep = scene.world.files(leaf("deep").signed_by(&between));
    set(&[&own, &added]);
    wait_until(&gateway, &second, 200);
    call(&gateway, &deep).expect_refusal(401, "certificate_invalid");
    let mut deeper = added.clone();
    deeper.insert("max_depth".to_owned(), 1.into());
    set(&[&own, &deeper]);
    wait_until(&gateway, &deep, 200);
    put(&gateway, LIST, &scene.list(&[&first]).der());
    wait_until(&gateway, &first, 401);
    let mut unasked = own.clone();
    unasked.remove("crl");
    set(&[&unasked, &deeper]);
    wait_until(&gateway, &first, 200);
    assert!(!gateway.metrics().contains("keyferry_crl_usable{"));
    assert!(
        !gateway.log().contains("needs a restart"),
        "{}",
        gateway.log()
    );
}

/// R3, V15: where a bad certificate ends the handshake, a session is no way around a list.
#[test]
fn r3_a_revoked_certificate_ends_the_handshake_and_its_session_too() {
    let scene = Scene::new();
    let [alice, bob] =
        ["alice", "bob"].map(|name| (scene.world.client(name), scene.world.path(name)));
    let gateway = scene.asking(&scene.list(&[]));
    let gateway = gateway.set("listener.client_certificates", "reject-connection");
    let gateway = gateway.start();
    for (version, is_resumed) in [("1.2", true), ("1.3", true), ("1.3", false)] {
        let connect = |(who, _): &(Identity, PathBuf)| {
            let connect = SClient::to(gateway.address(), HOST).certificate(who);
            connect.tls(version)
        };
        let shown = |who: &(Identity, PathBuf)| {
            let connect = connect(who);
            let connect = if is_resumed {
                connect.resume_session(&who.1)
            } else {
                connect
            };
            connect.send(REQUEST)
        };
        put(&gateway, LIST, &scene.list(&[]).der());
        wait_for("both to be served", || {
            let begun = [&alice, &bob].map(|who| connect(who).keep_session(&who.1).send(REQUEST));
            begun
                .iter()
                .all(|one| one.status() == Some(200))
                .then_some(())
        });
        for who in [&alice, &bob] {
            let control = shown(who);
            assert_eq!(
                (control.status(), control.was_resumed()),
                (Some(200), is_resumed),
                "{control:#?}"
            );
        }
        put(&gateway, LIST, &scene.list(&[&alice.0]).der());
        // Between handshake and request the list may come: then the request is refused.
        let refused = wait_for("the list", || {
            let answer = shown(&alice);
            assert!(matches!(answer.status(), None | Some(200 | 401)));
            answer.status().is_none().then_some(answer)
        });
        assert!(
            refused.errors.contains("alert certificate revoked"),
            "{version}: {refused:#?}"
        );
        let other = shown(&bob);
        assert_eq!(
            (other.status(), other.was_resumed()),
            (Some(200), is_resumed),
            "{other:#?}"
        );
    }
}
