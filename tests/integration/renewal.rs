//! Certificates that take over from others, and those that were taken over from.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use keyferry::certificate::{AliasState, Fingerprint};
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::gateway::Gateway;
use crate::support::pki::{Issued, Spec, leaf, root};
use crate::support::store::SharedStore;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

fn fingerprint(of: &Identity) -> String {
    Fingerprint::of(&of.issued.x509.to_der().unwrap()).to_string()
}

/// A gateway before a recording backend, with two authorities of the same name, and a client,
/// acme, that called once.
struct Scene {
    world: World,
    backend: Backend,
    gateway: Gateway,
    /// A second trusted authority, which bears the name of the first.
    others: Issued,
    acme: Identity,
    /// As the backend sees it.
    client: String,
    key: String,
}

impl Scene {
    /// With this policy of both authorities.
    fn new(policy: &str) -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let others = root("Clients Root").self_signed();
        let policy: toml::Table = policy.parse().unwrap();
        let ca = |name: &str| {
            let mut ca = toml::toml! { renewal = {} };
            ca.insert("name".to_owned(), name.into());
            ca.insert("file".to_owned(), format!("{name}-root.pem").into());
            ca.insert("renewal".to_owned(), policy.clone().into());
            ca
        };
        let gateway = Gateway::builder(&world)
            .file("others-root.pem", others.pem())
            .set("ca", vec![ca("clients"), ca("others")])
            .echo(&backend)
            .start();
        let acme = world.client("acme");
        gateway
            .curl("/")
            .certificate(&acme)
            .send()
            .expect_status(200);
        let seen = backend.last();
        let of = |name| seen.header(name).to_owned();
        let (client, key) = (of("x-client-id"), of("x-key-id"));
        Self {
            world,
            backend,
            gateway,
            others,
            acme,
            client,
            key,
        }
    }

    fn same_key(&self) -> Identity {
        let spec = leaf("acme, renewed").key(&self.acme.issued.key);
        self.world.client_like(spec)
    }

    fn same_name(&self) -> Identity {
        self.world.client("acme")
    }

    /// It is let in; gives the client id and the key id that the backend saw.
    #[track_caller]
    fn accepts(&self, who: &Identity) -> (String, String) {
        let answer = self.gateway.curl("/").certificate(who).send();
        answer.expect_status(200);
        let seen = self.backend.last();
        let of = |name| seen.header(name).to_owned();
        (of("x-client-id"), of("x-key-id"))
    }

    #[track_caller]
    fn refuses(&self, who: &Identity, reason: &str) {
        let answer = self.gateway.curl("/").certificate(who).send();
        answer.expect_refusal(403, reason);
    }

    /// It is taken for acme.
    #[track_caller]
    fn follows(&self, who: &Identity) {
        assert_eq!(self.accepts(who), (self.client.clone(), self.key.clone()));
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        ask(&self.gateway, arguments)
    }

    /// What is known of a certificate.
    #[track_caller]
    fn listed(&self, of: &Identity) -> Value {
        let list = self.ask(&["certificate", "list"]);
        let mut all = list["certificates"].as_array().unwrap().iter();
        let found = all.find(|one| one["fingerprint"] == fingerprint(of));
        found.expect("a record").clone()
    }

    fn renewals(&self, rung: &str, outcome: &str) -> f64 {
        let series = format!(r#"keyferry_renewals_total{{outcome="{outcome}",rung="{rung}"}}"#);
        self.gateway.metric(&series)
    }
}

/// What a command says as JSON, when it succeeds.
#[track_caller]
fn ask(gateway: &Gateway, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    gateway.cli(&arguments).expect_success().json()
}

/// One connection with a certificate, for one request after the other.
struct Open(BufReader<SslStream<TcpStream>>);

impl Open {
    fn to(gateway: &Gateway, client: &Identity) -> Self {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_certificate(&client.issued.x509).unwrap();
        connector.set_private_key(&client.issued.key).unwrap();
        let tcp = TcpStream::connect(gateway.address()).unwrap();
        let stream = connector.build().connect(HOST, tcp).unwrap();
        Self(BufReader::new(stream))
    }

    /// The status of the answer to the next request.
    fn ask(&mut self) -> u16 {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(self.0.read_until(b'\n', &mut head).unwrap(), 0, "closed");
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let (_, length) = head.split_once("content-length: ").expect("a length");
        let length = length.lines().next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn a_superseded_certificate_is_refused_on_its_open_connection_until_that_is_undone() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let old = fingerprint(&alice);
    let mut open = Open::to(&gateway, &alice);
    assert_eq!(open.ask(), 200);
    let did = ask(
        &gateway,
        &["certificate", "supersede", &old, "--reason", "lost"],
    );
    assert_eq!(did["certificate"]["status"], "superseded", "{did:#}");
    wait_for("the event", || (open.ask() == 401).then_some(()));
    let refused = gateway.curl("/").certificate(&alice).send();
    refused.expect_refusal(401, "certificate_superseded");
    let claim = gateway.curl("/.well-known/keyferry/key").method("POST");
    let claim = claim.certificate(&alice).send();
    claim.expect_refusal(401, "certificate_superseded");
    let again = ask(&gateway, &["certificate", "supersede", &old]);
    assert_eq!(again["changed"], false, "{again:#}");

    ask(&gateway, &["certificate", "supersede", "--undo", &old]);
    wait_for("the event", || (open.ask() == 200).then_some(()));
}

#[test]
fn a_certificate_with_the_key_of_a_known_one_is_the_same_client_at_once() {
    let scene = Scene::new("");
    let (old, renewed) = (&scene.acme, scene.same_key());
    scene.follows(&renewed);
    scene.follows(old);
    let (old, new) = (scene.listed(old), scene.listed(&renewed));
    assert_eq!(old["renewed_by"], new["fingerprint"]);
    assert_eq!(new["renews"], old["fingerprint"]);
    assert_eq!(
        (&new["client_id"], &new["ca"]),
        (&scene.client.clone().into(), &"clients".into())
    );
    assert!((scene.renewals("same_key", "followed") - 1.0).abs() < 0.1);
    // Its client has one key, whichever certificate fetches it.
    let key = scene.gateway.claim_key(&renewed);
    scene.gateway.curl("/").key(&key).send().expect_status(200);
    let again = scene
        .gateway
        .curl("/.well-known/keyferry/key")
        .method("POST");
    again
        .certificate(&scene.acme)
        .send()
        .expect_refusal(409, "key_already_issued");
    // Nor does the next one fetch a second.
    let next = scene.same_key();
    scene.follows(&next);
    let again = scene
        .gateway
        .curl("/.well-known/keyferry/key")
        .method("POST");
    again
        .certificate(&next)
        .send()
        .expect_refusal(409, "key_already_issued");
}

#[test]
fn v24_a_certificate_with_the_names_of_a_known_one_waits_with_its_client() {
    let scene = Scene::new("");
    let renewed = scene.same_name();
    for _ in 0..2 {
        scene.refuses(&renewed, "approval_pending");
    }
    let pending = scene.ask(&["certificate", "list", "--pending"]);
    let pending = &pending["certificates"][0];
    assert_eq!(pending["fingerprint"], fingerprint(&renewed));
    assert_eq!(pending["proposed_client_id"], scene.client);
    assert_eq!(pending["renews"], fingerprint(&scene.acme));
    assert!((scene.renewals("same_name", "pending") - 1.0).abs() < 0.1);
    scene.ask(&["certificate", "approve", &fingerprint(&renewed)]);
    scene.follows(&renewed);
    let new = scene.listed(&renewed);
    assert_eq!(scene.listed(&scene.acme)["renewed_by"], new["fingerprint"]);
    assert_eq!(new["proposed_client_id"], Value::Null);

    // It may be somebody else all the same.
    let other = scene.same_name();
    scene.refuses(&other, "approval_pending");
    scene.ask(&["certificate", "approve", "--new", &fingerprint(&other)]);
    assert_ne!(scene.accepts(&other).0, scene.client);
    assert_eq!(scene.listed(&other)["renews"], Value::Null);
    // Now there are two of that name, and neither is proposed.
    let third = scene.same_name();
    scene.refuses(&third, "approval_pending");
    assert_eq!(scene.listed(&third)["proposed_client_id"], Value::Null);
}

#[test]
fn each_policy_does_as_it_says() {
    let all = |policy| format!("same_key = {policy:?}\nsame_name = {policy:?}");
    let scene = Scene::new(&all("auto"));
    scene.follows(&scene.same_name());
    scene.follows(&scene.same_key());

    let scene = Scene::new(&all("approve"));
    for renewed in [scene.same_key(), scene.same_name()] {
        scene.refuses(&renewed, "approval_pending");
        assert_eq!(scene.listed(&renewed)["proposed_client_id"], scene.client);
    }

    let scene = Scene::new(&all("deny"));
    for renewed in [scene.same_key(), scene.same_name()] {
        scene.refuses(&renewed, "client_unregistered");
    }
    assert!((scene.renewals("same_key", "refused") - 1.0).abs() < 0.1);
    let clients = scene.ask(&["client", "list"]);
    assert_eq!(
        clients["clients"].as_array().unwrap().len(),
        1,
        "{clients:#}"
    );
    assert!(scene.gateway.log().contains("the configuration denies it"));

    let scene = Scene::new(&all("ignore"));
    for renewed in [scene.same_key(), scene.same_name()] {
        assert_ne!(scene.accepts(&renewed).0, scene.client);
    }
}

#[test]
fn c9_a_certificate_with_the_clients_name_from_a_second_trusted_authority_is_not_followed() {
    let scene = Scene::new("same_name = 'auto'");
    let of_others = |spec| scene.world.files(Spec::signed_by(spec, &scene.others));
    let stranger = of_others(leaf("acme"));
    assert_ne!(scene.accepts(&stranger).0, scene.client);
    // Not even with the client's key, unless the operator says so.
    let with_key = of_others(leaf("acme, too").key(&scene.acme.issued.key));
    scene.refuses(&with_key, "approval_pending");
    // The control: the same names are followed when the client's own authority gives them.
    scene.follows(&scene.same_name());
}

#[test]
fn v23_a_self_signed_certificate_with_the_clients_key_is_not_followed() {
    let scene = Scene::new("same_name = 'auto'");
    let spec = || leaf("acme").key(&scene.acme.issued.key);
    let forged = scene.world.files(spec().self_signed());
    let answer = scene.gateway.curl("/").certificate(&forged).send();
    answer.expect_refusal(401, "certificate_untrusted");
    let list = scene.ask(&["certificate", "list"]);
    assert_eq!(
        list["certificates"].as_array().unwrap().len(),
        1,
        "{list:#}"
    );
    // The control: signed by the authority it is.
    scene.follows(&scene.world.client_like(spec()));
}

#[test]
fn nothing_follows_a_client_that_was_shut_out() {
    let scene = Scene::new("same_name = 'auto'");
    let renewals = || [scene.same_key(), scene.same_name()];
    scene.ask(&["client", "disable", &scene.client]);
    let waiting = renewals();
    for renewed in &waiting {
        scene.refuses(renewed, "client_unregistered");
    }
    scene.ask(&["client", "enable", &scene.client]);
    for renewed in &waiting {
        scene.follows(renewed);
        scene.ask(&["certificate", "remove", &fingerprint(renewed)]);
    }
    let of_acme = fingerprint(&scene.acme);
    scene.ask(&["certificate", "supersede", &of_acme]);
    for renewed in renewals() {
        scene.refuses(&renewed, "client_unregistered");
    }
    scene.ask(&["certificate", "supersede", "--undo", &of_acme]);
    scene.follows(&scene.same_key());
    scene.ask(&["certificate", "remove", &of_acme]);
    let clients = scene.ask(&["client", "list"]);
    assert_eq!(
        clients["clients"].as_array().unwrap().len(),
        1,
        "{clients:#}"
    );
}

#[test]
fn one_renewed_certificate_at_two_gateways_is_followed_once() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateways = [(); 2].map(|()| {
        Gateway::builder(&world)
            .redis(&store.url())
            .echo(&backend)
            .start()
    });
    let acme = world.client("acme");
    let first = gateways[0].curl("/").certificate(&acme).send();
    first.expect_status(200);
    let client = backend.last().header("x-client-id").to_owned();
    for round in 0..3 {
        let spec = leaf(&format!("acme {round}")).key(&acme.issued.key);
        let renewed = world.client_like(spec);
        std::thread::scope(|scope| {
            for gateway in gateways.iter().cycle().take(8) {
                let ask = || {
                    gateway
                        .curl("/")
                        .certificate(&renewed)
                        .send()
                        .expect_status(200)
                };
                scope.spawn(ask);
            }
        });
        assert_eq!(backend.last().header("x-client-id"), client);
    }
    let followed = |gateway: &Gateway| {
        let series = r#"keyferry_renewals_total{outcome="followed",rung="same_key"}"#;
        // A series that was never counted is not there.
        if gateway.metrics().contains(series) {
            gateway.metric(series)
        } else {
            0.0
        }
    };
    let followed: f64 = gateways.iter().map(followed).sum();
    assert!((followed - 3.0).abs() < 0.1, "{followed}");
    let list = ask(&gateways[0], &["certificate", "list", "--client", &client]);
    let all = list["certificates"].as_array().unwrap();
    let renewed = all.iter().filter(|one| !one["renewed_by"].is_null());
    assert_eq!((all.len(), renewed.count()), (4, 3), "{list:#}");
}

/// The SHA-256 of the public key, as openssl prints it.
fn spki(of: &Identity) -> String {
    let key = of.issued.key.public_key_to_der().unwrap();
    Fingerprint::of(&key).to_string()
}

#[test]
fn an_announced_certificate_takes_over_at_once_and_only_one_does() {
    let scene = Scene::new("");
    let next = scene.same_name();
    let announce = |client: &str, options: &[&str]| {
        let spki = spki(&next);
        let arguments = ["certificate", "announce", client, "--spki", &spki];
        scene.gateway.cli(&[&arguments, options].concat())
    };
    // Taken back, it is as if it had never been; the names alone wait.
    announce(&scene.client, &[]).expect_success();
    announce(&scene.client, &["--undo"]).expect_success();
    let other = scene.world.client_like(leaf("acme").key(&next.issued.key));
    scene.refuses(&other, "approval_pending");
    scene.ask(&["certificate", "remove", &fingerprint(&other)]);

    let next = scene.same_name();
    let key = spki(&next);
    let announced = scene.ask(&["certificate", "announce", &scene.client, "--spki", &key]);
    assert_eq!(
        announced["announced"]["status"], "announced",
        "{announced:#}"
    );
    let list = scene.ask(&["certificate", "list"]);
    assert_eq!(list["announced"][0]["client_id"], scene.client, "{list:#}");
    scene.follows(&next);
    assert_eq!(scene.listed(&next)["renews"], fingerprint(&scene.acme));
    let list = scene.ask(&["certificate", "list"]);
    assert_eq!(list["announced"], serde_json::json!([]), "{list:#}");
    // It was used, also when that certificate is gone.
    scene.ask(&["certificate", "remove", &fingerprint(&next)]);
    let again = scene.world.client_like(leaf("acme").key(&next.issued.key));
    scene.refuses(&again, "client_unregistered");
    let told = scene
        .gateway
        .cli(&["certificate", "announce", &scene.client, "--spki", &key]);
    assert!(
        !told.status.success() && told.errors.contains("it was used"),
        "{}",
        told.errors
    );
}

#[test]
fn v22_another_certificate_with_the_sha_1_of_one_that_was_seen_is_refused_with_an_alarm() {
    let (world, backend, store) = (World::new(), Backend::start(), SharedStore::start());
    let gateway = Gateway::builder(&world)
        .redis(&store.url())
        .set("enrolment.mode", "registered")
        .echo(&backend)
        .start();
    gateway.cli(&["client", "add", "acme"]).expect_success();
    let sha1 = |of: &Identity| hex::encode(openssl::sha::sha1(&of.issued.x509.to_der().unwrap()));
    let add = |of: &Identity| {
        let sha1 = sha1(of);
        let did = ask(
            &gateway,
            &["certificate", "add", "--client", "acme", "--sha1", &sha1],
        );
        assert_eq!(did["changed"], true, "{did:#}");
    };
    let call = |who: &Identity| gateway.curl("/").certificate(who).send();

    // The control: the first verified certificate with that SHA-1 is the client's, for ever.
    let (imported, forged) = (world.client("imported"), world.client("forged"));
    add(&imported);
    add(&forged);
    call(&forged_by_nobody(&imported, &world)).expect_refusal(401, "certificate_untrusted");
    call(&imported).expect_status(200);
    assert_eq!(backend.last().header("x-client-id"), "acme");
    call(&imported).expect_status(200);

    // Nobody here can make two certificates of one SHA-1, so the store is brought to where that
    // would lead: `forged` has the SHA-1 of a certificate that was seen.
    store.edit_alias(&format!("sha1-{}", sha1(&forged)), |alias| {
        alias.state = AliasState::Bound {
            to: Fingerprint::of(b"the one that was seen"),
        };
    });
    call(&forged).expect_refusal(403, "client_unregistered");
    assert!(gateway.log().contains("ALARM"), "{}", gateway.log());
    let series = r#"keyferry_renewals_total{outcome="refused",rung="sha1"}"#;
    assert!((gateway.metric(series) - 1.0).abs() < 0.1);
}

/// The names and the key of a certificate, signed by nobody who is trusted.
fn forged_by_nobody(like: &Identity, world: &World) -> Identity {
    world.files(leaf("imported").key(&like.issued.key).self_signed())
}

#[test]
fn c10_two_live_certificates_of_one_client_used_from_two_addresses_raise_a_flag() {
    let scene = Scene::new("");
    let copy = scene.same_key();
    let call = |who: &Identity, from: &str| {
        let ask = scene.gateway.curl("/").certificate(who);
        let answer = ask.option("--interface").option(from).send();
        answer.expect_status(200);
    };
    let flagged = || {
        let list = scene.ask(&["client", "list", "--flag", "clone"]);
        list["clients"].as_array().unwrap().len()
    };
    let used_from = |who: &Identity, from: &str| {
        wait_for("the use to be kept", || {
            let shown = scene.ask(&["client", "show", &scene.client]);
            let all = shown["certificates"].as_array().unwrap();
            let one = all
                .iter()
                .find(|one| one["fingerprint"] == fingerprint(who))?;
            (one["last_used"]["from"] == from).then_some(())
        });
    };
    // The control: both at one place are a renewal.
    for who in [&scene.acme, &copy] {
        call(who, "127.0.0.1");
        used_from(who, "127.0.0.1");
    }
    assert_eq!(flagged(), 0);
    call(&copy, "127.0.0.2");
    used_from(&copy, "127.0.0.2");
    assert_eq!(flagged(), 1);
    let shown = scene.ask(&["client", "show", &scene.client]);
    assert!(
        shown["flags"].as_array().unwrap().contains(&"clone".into()),
        "{shown:#}"
    );
    // The older one is refused: what is left is one.
    scene.ask(&["certificate", "supersede", &fingerprint(&scene.acme)]);
    assert_eq!(flagged(), 0);
}
