//! What happens in the story: everything that the panels show, one after the other.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::Value;

use super::scene::{FRONT, FRONT_SECRET, Scene, Way, copy};
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::key::forged;
use crate::support::linger;
use crate::support::pki::{leaf, root};
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::wire::Tls;

const STRANGER: &str = "127.0.0.66";
const NOBODYS_KEY: &str = "01a21c0e9bbd70299cfd06c98ad75725";
const OBSERVED: &str = "127.0.0.70";
const AT_ONCE: [&str; 5] = ["--from", "now", "--force", "--reason", "to be seen"];

/// A gateway that is named on its own, and the other.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) one: &'a Gateway,
    pub(crate) other: &'a Gateway,
}

fn from(ask: Curl, address: &str) -> Curl {
    ask.option("--interface").option(address)
}

fn key_id(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

/// The metric is something else than 0 at both.
fn wait_until(gateways: Pair<'_>, metric: &str) {
    wait_for(metric, || {
        [gateways.one, gateways.other]
            .iter()
            .all(|gateway| gateway.metric(metric) > 0.0)
            .then_some(())
    });
}

/// Wrong keys, bad certificates, and what cannot be read.
pub(crate) fn refusals(scene: &Scene, Pair { one, other }: Pair<'_>) {
    let world = &scene.world;
    for number in 0..12 {
        let key = forged(&format!("{number:032x}"));
        from(one.curl("/").key(&key), STRANGER).send();
    }
    let late = world.client_like(leaf("late").dates(-1000, -500));
    let mallory = world.files(leaf("mallory").signed_by(&root("Mallory").self_signed()));
    for gateway in [one, other] {
        for bad in [&late, &mallory, &scene.revoked] {
            gateway.curl("/").certificate(bad).send();
        }
        gateway.curl("/").send();
        gateway.curl("/").key("kf_live_short").send();
        gateway.curl("/").header("Content-Length: x").send();
    }
}

/// The front itself, and somebody at its address.
pub(crate) fn fronts(scene: &Scene, one: &Gateway) {
    let der = scene.fleet[0].identity.issued.x509.to_der().unwrap();
    let whole = format!("Client-Cert: :{}:", STANDARD.encode(der));
    let secret = format!("X-Front-Secret: {FRONT_SECRET}");
    let sent: [&[&str]; 4] = [
        &[&whole, &secret],
        &[&secret],
        &["Client-Cert: none", &secret],
        &[&whole],
    ];
    for lines in sent.into_iter().cycle().take(20) {
        let ask = from(one.curl("/"), FRONT);
        lines.iter().fold(ask, |ask, line| ask.header(line)).send();
    }
}

/// Handshakes that fail, heads that never end, and HTTP/2 that is none.
pub(crate) fn connections(scene: &Scene, one: &Gateway) {
    let open = |bytes: &[u8]| {
        let mut tcp = TcpStream::connect(one.address()).unwrap();
        tcp.write_all(bytes).unwrap();
        tcp
    };
    for _ in 0..5 {
        open(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        open(b"\0\0\0\0\0\0\0\0");
        open(b"");
        open(&[0x16, 3, 1, 2, 0, 1, 0]);
        one.curl("/")
            .option("--ciphers")
            .option("ECDHE-RSA-AES256-SHA")
            .tls("1.2")
            .send();
    }
    let authority = &scene.world.servers.x509;
    let mut slow = Tls::trusting(authority)
        .connect(one.address(), None)
        .unwrap();
    slow.send(b"GET / HTTP/1.1\r\nHost: ");
    let mut broken = Tls::http2(authority).connect(one.address(), None).unwrap();
    // SETTINGS, and DATA of the connection itself, which is none.
    broken.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    linger(Duration::from_secs(2));
}

/// A backend that answers badly, and one that is not there.
pub(crate) fn backends(scene: &Scene, gateways: Pair<'_>) {
    let member = &scene.fleet[1];
    for gateway in [gateways.one, gateways.other] {
        for path in ["/status/500", "/payments", "/payments", "/refunds"] {
            member.asks(gateway.curl(path)).send();
        }
    }
}

/// More than `other` takes: requests at once, connections, handshakes; and more than a client may.
pub(crate) fn too_many(scene: &Scene, other: &Gateway) {
    const AT_ONCE: usize = 14;
    let asked = |scene: &Scene| {
        scene
            .backend
            .requests()
            .iter()
            .filter(|request| request.target == "/slow")
            .count()
    };
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                scope.spawn(move || scene.fleet[number].asks(other.curl("/slow")).send().status)
            })
            .collect();
        wait_for("some to be turned away", || {
            calls
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
                .then_some(())
        });
        scene.rest(2);
        (0..asked(scene)).for_each(|_| scene.backend.proceed());
    });
    let tls = Tls::trusting(&scene.world.servers.x509);
    let held: Vec<_> = std::thread::scope(|scope| {
        let open = || {
            (0..25)
                .map(|_| tls.connect(other.address(), None))
                .collect::<Vec<_>>()
        };
        let opening: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        opening
            .into_iter()
            .flat_map(|open| open.join().unwrap())
            .collect()
    });
    let half: Vec<_> = (0..40)
        .map(|_| TcpStream::connect(other.address()))
        .collect();
    scene.rest(2);
    drop((held, half));
    let many = (0..60).map(|_| scene.fleet[2].asks(other.curl("/")));
    Curl::send_on_one_connection(many);
}

/// So many of the fleet fetch their key, and those who have one call by it alone.
pub(crate) fn moves(scene: &Scene, one: &Gateway, number: usize) {
    let mut fetching = number;
    for member in &scene.fleet {
        let way = member.way.lock().unwrap().clone();
        let next = match way {
            Way::Certificate if fetching > 0 => {
                fetching -= 1;
                Way::Both(one.claim_key(&member.identity))
            }
            Way::Both(key) => Way::Key(key),
            other => other,
        };
        *member.way.lock().unwrap() = next;
    }
}

/// Clients that the operator makes, and certificates that clients renew.
pub(crate) fn clients(scene: &Scene, one: &Gateway) {
    let cli = |arguments: &[&str]| one.cli(arguments).expect_success();
    cli(&["client", "add", "by-hand", "never-seen", "shut-out"]);
    cli(&["client", "disable", "shut-out"]);
    cli(&["failures"]);
    let soon = cli(&["key", "issue", "--client", "by-hand", "--expires", "5d"]);
    one.curl("/")
        .key(soon.output.trim())
        .send()
        .expect_status(200);
    let [same_key, same_name] = [14, 15].map(|number| &scene.fleet[number].identity);
    // Who is renewed must be known.
    for known in [same_key, same_name] {
        let answer = one.curl("/").certificate(known).send();
        answer.expect_status(200);
    }
    let renewed = scene
        .world
        .client_like(leaf("device-14, renewed").key(&same_key.issued.key));
    let waiting = scene.world.client("device-15");
    assert!(!waiting.issued.key.public_eq(&same_name.issued.key));
    for new in [renewed, waiting] {
        one.curl("/").certificate(&new).send();
    }
}

/// Certificates are refused on purpose for a while.
pub(crate) fn brownout(scene: &Scene, one: &Gateway) {
    let brownout = ["phase", "brownout", "--all", "--percent", "100"];
    one.cli(&[&brownout[..], &AT_ONCE].concat())
        .expect_success();
    scene.rest(4);
    one.cli(&["phase", "undo"]).expect_success();
}

/// Lists that have ended, and then new ones.
pub(crate) fn lists(scene: &Scene, gateways: Pair<'_>) {
    let put = |ends: i64| {
        for gateway in [gateways.one, gateways.other] {
            for (name, list) in scene.lists(ends) {
                let (new, path) = (gateway.path("new.crl"), gateway.path(name));
                fs::write(&new, list).unwrap();
                fs::rename(&new, path).unwrap();
            }
        }
    };
    put(-10);
    let usable = |expected: f64| {
        wait_for("the lists to be looked at", || {
            let both =
                [gateways.one, gateways.other].map(|gateway| gateway.metric("keyferry_crl_usable"));
            both.iter()
                .all(|usable| (usable - expected).abs() < 0.5)
                .then_some(())
        });
    };
    usable(0.0);
    let partner = scene
        .world
        .files(leaf("partner").signed_by(&scene.partners));
    for _ in 0..3 {
        gateways
            .one
            .curl("/")
            .certificate(&partner)
            .send()
            .expect_status(200);
        scene.rest(1);
    }
    put(7 * 24 * 3600);
    usable(2.0);
}

/// A configuration that is wrong, and then one by which strangers are only observed.
pub(crate) fn reloads(scene: &Scene, other: &Gateway) {
    let set = |config: &mut toml::Table, version: &str| {
        let listener = config["listener"].as_table_mut().unwrap();
        listener.insert("minimum_tls".to_owned(), version.into());
    };
    other.deploy(|config| set(config, "9"), &[]);
    wait_for("the mistake to be found", || {
        (other.metric("keyferry_reload_success") < 0.5).then_some(())
    });
    scene.rest(3);
    other.deploy(
        |config| {
            set(config, "1.2");
            let from = Value::Array(vec![OBSERVED.into()]);
            config.insert(
                "observe".to_owned(),
                Value::Table([("from".to_owned(), from)].into_iter().collect()),
            );
        },
        &[],
    );
    wait_for("it to be mended", || {
        (other.metric("keyferry_observing") > 0.5).then_some(())
    });
    for _ in 0..10 {
        // It has room for a few handshakes a second only.
        wait_for("an answer", || {
            (from(other.curl("/"), OBSERVED).send().status == 200).then_some(())
        });
    }
}

/// Redis is gone for a while, in the midst of a brownout with a small budget.
pub(crate) fn outage(scene: &Scene, gateways: Pair<'_>, store: &mut SharedStore) {
    // It begins when the store is away: nobody can be told to stop it.
    let soon = jiff::Timestamp::from_second(keyferry::clock::now().as_unix() + 4).unwrap();
    let brownout = format!("phase brownout --all --percent 100 --budget 4 --from {soon} --force");
    let words: Vec<_> = brownout.split(' ').collect();
    let reason = ["--reason", "to be seen"];
    gateways
        .one
        .cli(&[&words[..], &reason].concat())
        .expect_success();
    // A client counts once a minute, and the fleet was counted in the brownout before.
    let guests = [1, 2, 3, 4].map(|number| scene.world.client(&format!("guest-{number}")));
    for guest in &guests {
        gateways
            .one
            .curl("/")
            .certificate(guest)
            .send()
            .expect_status(200);
    }
    store.stop();
    let stranger = scene.world.client("stranger");
    wait_for("the budget to be spent", || {
        for client in guests.iter().chain([&stranger]) {
            gateways.one.curl("/").certificate(client).send();
        }
        (gateways.one.metric("keyferry_brownouts_spent") > 0.0).then_some(())
    });
    scene.rest(4);
    store.start_again();
    wait_until(gateways, "keyferry_store_up");
    // Then the gateways stop the brownout for all; what was announced by it stays.
    wait_for("the brownout to be stopped", || {
        (gateways.one.metric("keyferry_brownouts_spent") < 0.5).then_some(())
    });
}

/// Redis loses everything, and then has what it had before its last changes, and a record that nobody
/// made; and it is full, so that the revocation that it lost cannot be made again at once.
pub(crate) fn loss(scene: &Scene, gateways: Pair<'_>, store: &SharedStore) {
    let redis = store.server();
    let key = gateways.one.claim_key(&scene.world.client("victim"));
    let mut older = copy(store);
    gateways
        .one
        .cli(&["key", "revoke", key_id(&key)])
        .expect_success();
    scene.rest(1);
    redis.tell("FLUSHALL");
    wait_until(gateways, "keyferry_store_lost");
    scene.rest(2);
    older
        .cmd("HSET")
        .arg("kf:{kf}:key")
        .arg(NOBODYS_KEY)
        .arg("{}")
        .ignore();
    older
        .cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory")
        .arg(1)
        .ignore();
    older.exec(&mut store.connection()).unwrap();
    wait_until(gateways, "keyferry_tombstones");
    scene.rest(3);
    redis.tell("CONFIG SET maxmemory 0");
    wait_for("the revocation to be made again", || {
        (gateways.one.metric("keyferry_tombstones") < 0.5).then_some(())
    });
}
