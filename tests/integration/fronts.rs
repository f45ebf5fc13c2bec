//! Behind proxies that end the clients' TLS and forward their certificates (ATTACKS P1 to P7, C2):
//! nginx, HAProxy and Envoy as they are, and for what is forged, curl with the front's own
//! certificate. Fronts call from 127.0.0.1.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use serde_json::json;
use toml::{Table, Value, toml};

use super::connections::dial;
use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::front::{Front, Kind, signature};
use crate::support::gateway::{Builder, Gateway};
use crate::support::pki::{Issued, leaf, now, root, server};
use crate::support::python::{Server, run};
use crate::support::wait_for;
use crate::support::websocket::{echoes, goodbye, websocket};
use crate::support::wire::Wire;
use crate::support::world::{HOST, Identity, World};

const WHOAMI: &str = "/.well-known/keyferry/whoami";
const KEY: &str = "/.well-known/keyferry/key";
const NAME: &str = "edge.internal";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// How HAProxy signs with [`SECRET`].
const SIGNS: &str = r#"
 http-request set-var(txn.at) date
 http-request set-var-fmt(txn.text) front.v1\n%[var(txn.at)]\n%[method]\n%[req.hdr(host),lower]\n%[pathq]\n%[req.hdr(client-cert)]\n\n
 http-request set-header X-Front-Signature "%[var(txn.at)] %[var(txn.text),hmac(sha256,MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm),hex,lower]""#;

/// The authority of the fronts, the front's certificate by it, and a gateway that believes it.
struct Scene {
    world: World,
    backend: Backend,
    fronts: Issued,
    edge: Identity,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let fronts = root("Fronts Root").self_signed();
        let edge = world.files(leaf("edge").names(&[NAME]).signed_by(&fronts));
        Self {
            backend: Backend::start(),
            edge,
            fronts,
            world,
        }
    }

    /// A gateway with one front of this format that shows its certificate; `more` is added to it.
    fn behind(&self, format: &str, more: Table) -> Builder<'_> {
        let certificate = toml! { ca_file = "fronts.pem" names = [NAME] };
        let certificate = Value::Table(with(certificate, "names", vec![NAME]));
        self.front(format, with(more, "certificate", certificate))
    }

    fn front(&self, format: &str, more: Table) -> Builder<'_> {
        let front = with(with(more, "name", "edge"), "format", format);
        Gateway::builder(&self.world)
            .echo(&self.backend)
            .file("fronts.pem", self.fronts.pem())
            .push("front", with(front, "from", vec!["127.0.0.1"]))
    }

    /// A request as the front makes it, with these header lines.
    fn as_edge(
        &self,
        gateway: &Gateway,
        path: &str,
        lines: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Curl {
        let ask = gateway.curl(path).certificate(&self.edge);
        lines
            .into_iter()
            .fold(ask, |ask, line| ask.header(line.as_ref()))
    }

    /// The client id and key id with which the backend sees whoever sends this.
    #[track_caller]
    fn seen(&self, ask: Curl) -> (String, String) {
        ask.send().expect_status(200);
        let last = self.backend.last();
        let head = String::from_utf8_lossy(&last.head).to_lowercase();
        assert!(
            !head.contains("client-cert") && !head.contains("mtls"),
            "{head}"
        );
        (
            last.header("x-client-id").to_owned(),
            last.header("x-key-id").to_owned(),
        )
    }
}

fn with(mut table: Table, key: &str, value: impl Into<Value>) -> Table {
    // What a test says itself stays.
    table.entry(key).or_insert_with(|| value.into());
    table
}

fn client_cert(client: &Identity) -> String {
    let der = client.issued.x509.to_der().unwrap();
    format!("Client-Cert: :{}:", STANDARD.encode(der))
}

fn result(gateway: &Gateway, result: &str) -> usize {
    let series = format!("keyferry_front_requests_total{{front=\"edge\",result=\"{result}\"}} ");
    let page = gateway.metrics();
    let mut values = page.lines().filter_map(|line| line.strip_prefix(&series));
    values
        .next()
        .expect("counted from the beginning")
        .parse()
        .unwrap()
}

/// What must hold behind every proxy, whatever it is.
#[track_caller]
fn is_the_same_client_behind(kind: Kind, format: &str) {
    let scene = Scene::new();
    let gateway = scene.behind(format, toml! { may_claim = false }).start();
    let front = Front::start(&scene.world, kind, &scene.edge, &gateway);
    let (alice, bob) = (scene.world.client("alice"), scene.world.client("bob"));

    // The same client as when it calls directly, whichever way it comes first.
    let directly = scene.seen(gateway.curl("/").certificate(&alice));
    assert_eq!(scene.seen(front.curl("/").certificate(&alice)), directly);
    let behind = scene.seen(front.curl("/").certificate(&bob));
    assert_eq!(scene.seen(gateway.curl("/").certificate(&bob)), behind);
    assert_ne!(directly, behind);

    is_told(&front, &gateway, &alice);
    assert!(result(&gateway, "certificate") >= 4);

    // Its word is not enough for a key, and the client that proves its certificate gets one.
    let claim = |ask: Curl| ask.method("POST").certificate(&alice).send();
    let refused = claim(front.curl(KEY)).expect_refusal(403, "certificate_required");
    assert!(
        refused.text().contains("proxy in front"),
        "{}",
        refused.text()
    );
    let key = gateway.claim_key(&alice);

    // With a certificate beside it, a key is another client's or not, as everywhere.
    assert_eq!(
        scene.seen(front.curl("/").key(&key).certificate(&alice)).0,
        directly.0
    );
    assert_eq!(scene.seen(front.curl("/").key(&key)).0, directly.0);
    let both = front.curl("/").key(&key).certificate(&bob).send();
    both.expect_refusal(403, "credential_conflict");

    // Without a certificate there is none: the front's own is nobody's.
    front
        .curl("/")
        .send()
        .expect_refusal(401, "credential_missing");
    assert!(result(&gateway, "no_certificate") >= 2);

    // What the front lets in is judged here.
    let strangers = root("Clients Root").self_signed();
    let mallory = scene.world.files(leaf("alice").signed_by(&strangers));
    let refused = front.curl("/").certificate(&mallory).send();
    refused.expect_refusal(401, "certificate_untrusted");
    if !matches!(kind, Kind::Nginx(_)) {
        // nginx itself refuses these, whatever it is told.
        let late = scene.world.client_like(leaf("late").dates(-86_400, -60));
        let refused = front.curl("/").certificate(&late).send();
        refused.expect_refusal(401, "certificate_expired");
    }
}

/// How it is known who calls is told, to the client and to the operator.
#[track_caller]
fn is_told(front: &Front, gateway: &Gateway, alice: &Identity) {
    let told = front
        .curl(WHOAMI)
        .certificate(alice)
        .send()
        .expect_status(200)
        .json();
    assert_eq!(
        (&told["proven_by"], &told["assurance"]),
        (&json!("certificate"), &json!("asserted"))
    );
    let told = gateway
        .curl(WHOAMI)
        .certificate(alice)
        .send()
        .expect_status(200)
        .json();
    assert_eq!(told["assurance"], "proven");
    let explained = front
        .curl("/.well-known/keyferry/explain")
        .certificate(alice)
        .send();
    let explained = explained.expect_status(200).json();
    assert_eq!(
        (&explained["verdict"], &explained["connection"]["assurance"]),
        (&json!("verified"), &json!("asserted"))
    );
    let ask = front
        .curl("/")
        .certificate(alice)
        .header("X-Request-Id: logged");
    ask.send().expect_status(200);
    let line = gateway.access_line("logged");
    assert_eq!(
        (&line["front"], &line["assurance"]),
        (&json!("edge"), &json!("asserted"))
    );
}

#[test]
fn p2_c2_behind_nginx_a_client_is_the_same_and_judged_anew_and_claims_nothing() {
    is_the_same_client_behind(Kind::Nginx(""), "nginx");
}

#[test]
fn p2_c2_behind_haproxy_a_client_is_the_same_and_judged_anew_and_claims_nothing() {
    is_the_same_client_behind(Kind::HaProxy(""), "rfc9440");
}

#[cfg_attr(not(target_arch = "x86_64"), ignore = "Envoy is a program for x86-64")]
#[test]
fn p2_c2_behind_envoy_a_client_is_the_same_and_judged_anew_and_claims_nothing() {
    is_the_same_client_behind(Kind::Envoy("SANITIZE_SET"), "xfcc");
}

#[test]
fn c2_a_front_may_be_trusted_with_claims() {
    let scene = Scene::new();
    let gateway = scene.behind("nginx", toml! { may_claim = true }).start();
    let front = Front::start(&scene.world, Kind::Nginx(""), &scene.edge, &gateway);
    let alice = scene.world.client("alice");
    let ask = || front.curl(KEY).method("POST");
    ask().certificate(&alice).send().expect_status(201);
    ask()
        .certificate(&alice)
        .send()
        .expect_refusal(409, "key_already_issued");
    ask().send().expect_refusal(401, "credential_missing");
}

#[test]
fn p1_only_the_front_itself_is_believed_and_only_from_its_address() {
    let scene = Scene::new();
    let gateway = scene.behind("rfc9440", Table::new()).start();
    let alice = scene.world.client("alice");
    let own = scene.seen(gateway.curl("/").certificate(&alice));
    let forged = client_cert(&alice);
    let other = |spec: Issued| scene.world.files(spec);
    // The control: the same header, from the front itself, is a certificate.
    let believed = scene.as_edge(&gateway, "/", [&forged]);
    assert_eq!(scene.seen(believed), own);

    let elsewhere = scene.as_edge(&gateway, "/", [&forged]);
    let elsewhere = elsewhere.option("--interface").option("127.0.0.2").send();
    // It is a stranger's connection, with a certificate of no client's authority.
    elsewhere.expect_refusal(401, "certificate_chain_incomplete");
    gateway
        .curl("/")
        .header(&forged)
        .send()
        .expect_refusal(401, "credential_missing");
    assert!(result(&gateway, "not_authenticated") >= 1);
    let same_name = root("Fronts Root").self_signed();
    for impostor in [
        other(
            leaf("edge")
                .names(&["other.internal"])
                .signed_by(&scene.fronts),
        ),
        other(leaf(NAME).signed_by(&scene.fronts)),
        other(leaf("edge").names(&[NAME]).signed_by(&same_name)),
        other(
            leaf("edge")
                .names(&[NAME])
                .dates(-86_400, -60)
                .signed_by(&scene.fronts),
        ),
        other(server(NAME).signed_by(&scene.fronts)),
    ] {
        let ask = gateway.curl("/").certificate(&impostor).header(&forged);
        ask.send().expect_refusal(401, "credential_missing");
    }
    // A client's certificate makes no front, whatever name it has, and with such a header it is no
    // certificate at all: it could be a front's that is set up wrong.
    let bob = other(leaf("bob").names(&[NAME]).signed_by(&scene.world.clients));
    let ask = || gateway.curl("/").certificate(&bob);
    assert_ne!(scene.seen(ask()).0, own.0, "the control");
    let refused = ask().header(&forged).send();
    refused.expect_refusal(401, "credential_missing");
    // The secret of another kind of front opens nothing here.
    let ask = gateway
        .curl("/")
        .header(&forged)
        .header(&format!("X-Front-Secret: {SECRET}"));
    ask.send().expect_refusal(401, "credential_missing");
}

#[test]
fn p1_a_front_that_shows_a_secret_is_believed_by_it_alone() {
    let scene = Scene::new();
    let newer = SECRET.replace('0', "f");
    let files = toml! { secret_files = ["new.secret", "old.secret"] };
    let gateway = scene.front("nginx", files);
    let gateway = gateway
        .file("old.secret", format!("{SECRET}\n"))
        .file("new.secret", &newer)
        .start();
    let alice = scene.world.client("alice");
    let own = scene.seen(gateway.curl("/").certificate(&alice));
    let line = "proxy_set_header X-Front-Secret 0123456789abcdef0123456789abcdef0123456789abcdef;";
    let front = Front::start(&scene.world, Kind::Nginx(line), &scene.edge, &gateway);
    assert_eq!(scene.seen(front.curl("/").certificate(&alice)), own);
    // A client's own word for it does not get through, and does not keep the front from being one.
    let ask = front
        .curl("/")
        .certificate(&alice)
        .header("X-Front-Secret: guess");
    assert_eq!(scene.seen(ask), own);
    let head = String::from_utf8_lossy(&scene.backend.last().head).to_lowercase();
    assert!(
        !head.contains("front-secret") && !head.contains(SECRET),
        "{head}"
    );
    let strange = Front::start(&scene.world, Kind::Nginx(""), &scene.edge, &gateway);
    strange
        .curl("/")
        .certificate(&alice)
        .send()
        .expect_refusal(401, "credential_missing");

    let pem = String::from_utf8(alice.issued.pem())
        .unwrap()
        .replace('\n', "%0A");
    let pem = format!("X-SSL-Client-Cert: {pem}");
    let ask = |lines: &[&str]| {
        let ask = gateway.curl("/").header(&pem);
        lines.iter().fold(ask, |ask, line| ask.header(line))
    };
    for secret in [SECRET, &newer] {
        assert_eq!(
            scene.seen(ask(&[&format!("X-Front-Secret: {secret}")])),
            own,
            "the control"
        );
    }
    for lines in [
        &[][..],
        &["X-Front-Secret;"],
        &["X-Front-Secret: 0123456789abcdef0123456789abcdef0123456789abcdee"],
        &["X-Front-Secret: 0123456789abcdef0123456789abcdef0123456789abcdef0"],
        &["X-Front-Secret: 0123456789abcdef"],
        &["X_Front_Secret: 0123456789abcdef0123456789abcdef0123456789abcdef"],
        &[
            "X-Front-Secret: guess",
            "X-Front-Secret: 0123456789abcdef0123456789abcdef0123456789abcdef",
        ],
    ] {
        ask(lines).send().expect_refusal(401, "credential_missing");
    }
    assert!(!gateway.log().contains(SECRET));
}

#[test]
fn p1_a_front_that_signs_is_believed_for_what_it_signed_and_for_a_minute() {
    let scene = Scene::new();
    let files = toml! { secret_files = ["front.secret"] signed = true };
    let gateway = scene.front("rfc9440", files).file("front.secret", SECRET);
    let gateway = gateway.start();
    let (alice, bob) = (scene.world.client("alice"), scene.world.client("bob"));
    let own = scene.seen(gateway.curl("/").certificate(&alice));
    let front = Front::start(&scene.world, Kind::HaProxy(SIGNS), &scene.edge, &gateway);
    for ask in [Curl::http1, Curl::http2] {
        assert_eq!(
            scene.seen(ask(front.curl("/a?b=c").certificate(&alice))),
            own
        );
    }
    front
        .curl("/")
        .send()
        .expect_refusal(401, "credential_missing");
    let strange = Front::start(&scene.world, Kind::HaProxy(""), &scene.edge, &gateway);
    let refused = strange.curl("/").certificate(&alice).send();
    refused.expect_refusal(401, "credential_missing");

    let header = client_cert(&alice);
    let value = header.trim_start_matches("Client-Cert: ");
    let host = format!("{HOST}:{}", gateway.address().port());
    let sign = |secret: &str, at: i64, method: &str, host: &str, target: &str, value: &str| {
        signature(secret, &[&at.to_string(), method, host, target, value])
    };
    let ask = |signature: &str| gateway.curl("/x?y=1").header(&header).header(signature);
    let good = sign(SECRET, now(), "GET", &host, "/x?y=1", value);
    assert_eq!(scene.seen(ask(&good)), own, "the control");
    let other = &SECRET.replace('0', "1");
    for signature in [
        sign(other, now(), "GET", &host, "/x?y=1", value),
        sign(SECRET, now() - 90, "GET", &host, "/x?y=1", value),
        sign(SECRET, now() + 90, "GET", &host, "/x?y=1", value),
        sign(SECRET, now(), "POST", &host, "/x?y=1", value),
        sign(SECRET, now(), "GET", "other.example.com", "/x?y=1", value),
        sign(SECRET, now(), "GET", &host, "/x?y=2", value),
        sign(SECRET, now(), "GET", &host, "/x", value),
        sign(SECRET, now(), "GET", &host, "/x?y=1", ""),
        good.replace("X-Front-Signature: ", "X-Front-Signature: +"),
        good.rsplit_once(' ').unwrap().0.to_owned(),
        format!("X-Front-Secret: {SECRET}"),
    ] {
        ask(&signature)
            .send()
            .expect_refusal(401, "credential_missing");
    }
    // What was signed for one certificate is nothing for another.
    let swapped = gateway
        .curl("/x?y=1")
        .header(&client_cert(&bob))
        .header(&good);
    swapped.send().expect_refusal(401, "credential_missing");
    let twice = ask(&good).header(&good).send();
    twice.expect_refusal(401, "credential_missing");
}

#[test]
fn a_secret_is_replaced_while_clients_call_through_the_front() {
    let scene = Scene::new();
    let newer = SECRET.replace('0', "f");
    let files = toml! { secret_files = ["a.secret", "b.secret"] };
    let gateway = scene.front("rfc9440", files).file("a.secret", SECRET);
    let spare = SECRET.replace('0', "e");
    let gateway = gateway.file("b.secret", spare).start();
    let header = client_cert(&scene.world.client("alice"));
    let status = |secret: &str| {
        let ask = gateway.curl("/").header(&header);
        ask.header(&format!("X-Front-Secret: {secret}"))
            .send()
            .status
    };
    assert_eq!((status(SECRET), status(&newer)), (200, 401));
    std::fs::write(gateway.path("b.secret"), &newer).unwrap();
    wait_for("the new secret", || (status(&newer) == 200).then_some(()));
    assert_eq!(status(SECRET), 200);
    std::fs::write(gateway.path("a.secret"), SECRET.replace('0', "d")).unwrap();
    wait_for("the old secret to go", || {
        (status(SECRET) == 401).then_some(())
    });
    assert_eq!(status(&newer), 200);
}

/// Also where nobody but fronts is asked for a certificate.
#[test]
fn a_front_comes_and_goes_while_the_gateway_runs() {
    let scene = Scene::new();
    let gateway = scene.behind("rfc9440", Table::new());
    let gateway = gateway
        .set("listener.client_certificates", "never-ask")
        .start();
    let header = client_cert(&scene.world.client("alice"));
    let becomes = |status: u16| {
        wait_for("another answer", || {
            let answer = scene.as_edge(&gateway, "/", [&header]).send();
            (answer.status == status).then_some(())
        });
    };
    becomes(200);
    let mut front = None;
    gateway.deploy(|config| front = config.remove("front"), &[]);
    becomes(401);
    gateway.deploy(
        |config| {
            config.insert("front".to_owned(), front.unwrap());
        },
        &[],
    );
    becomes(200);
}

#[test]
fn what_is_counted_of_a_front_comes_and_goes_with_it() {
    let scene = Scene::new();
    let gateway = scene.behind("rfc9440", Table::new()).start();
    let alice = client_cert(&scene.world.client("alice"));
    let status = || scene.as_edge(&gateway, "/", [&alice]).send().status;
    assert_eq!(
        (status(), gateway.metrics().contains("front=\"edge\"")),
        (200, true)
    );
    let file = gateway.config_file();
    let with_it = std::fs::read_to_string(&file).unwrap();
    let mut without = with_it.parse::<Table>().unwrap();
    without.remove("front");
    std::fs::write(&file, without.to_string()).unwrap();
    wait_for("it to go", || (status() == 401).then_some(()));
    assert!(!gateway.metrics().contains("front=\"edge\""));
    std::fs::write(&file, with_it).unwrap();
    wait_for("it to come", || (status() == 200).then_some(()));
    assert!(result(&gateway, "certificate") >= 1);
}

#[test]
fn p3_what_has_two_readings_or_none_is_refused_with_a_sentence() {
    let scene = Scene::new();
    let gateway = scene.behind("rfc9440", Table::new()).start();
    let alice = scene.world.client("alice");
    let good = client_cert(&alice);
    scene.seen(scene.as_edge(&gateway, "/", [&good]));
    let base64 = good
        .trim_start_matches("Client-Cert: ")
        .trim_matches(':')
        .to_owned();
    let der = alice.issued.x509.to_der().unwrap();
    let trailing = STANDARD.encode([&der[..], &der].concat());
    let cases = [
        (vec![good.clone(), good.clone()], "twice"),
        (vec![format!("Client-Cert: {base64}")], "byte sequence"),
        (
            vec!["Client-Cert: :*not base64*:".to_owned()],
            "byte sequence",
        ),
        (vec![format!("{good}, :{base64}:")], "byte sequence"),
        (
            vec![format!("Client-Cert: :{trailing}:")],
            "nothing behind it",
        ),
        (
            vec![format!("Client-Cert-Chain: :{base64}:")],
            "chain without",
        ),
    ];
    let count = cases.len();
    for (number, (lines, sentence)) in cases.into_iter().enumerate() {
        let ask = scene
            .as_edge(&gateway, "/", &lines)
            .header(&format!("X-Request-Id: p3-{number}"));
        let refused = ask.send().expect_refusal(400, "request_malformed");
        assert!(refused.text().contains(sentence), "{}", refused.text());
        let line = gateway.access_line(&format!("p3-{number}"));
        assert!(
            line["detail"].as_str().unwrap().contains(sentence),
            "{line:#}"
        );
    }
    assert_eq!(result(&gateway, "malformed"), count);

    let pem = scene.behind("nginx", Table::new()).start();
    let both = [alice.issued.pem(), alice.issued.key_pem()].concat();
    let escaped = String::from_utf8(both).unwrap().replace('\n', "%0A");
    let ask = scene.as_edge(&pem, "/", [format!("X-SSL-Client-Cert: {escaped}")]);
    let refused = ask.send().expect_refusal(400, "request_malformed");
    assert!(refused.text().contains("private key"), "{}", refused.text());
    assert!(!pem.log().contains(escaped.get(60..120).unwrap()));
}

#[cfg_attr(not(target_arch = "x86_64"), ignore = "Envoy is a program for x86-64")]
#[test]
fn p4_an_element_that_the_client_sent_is_not_taken_for_the_fronts() {
    let scene = Scene::new();
    let gateway = scene.behind("xfcc", Table::new()).start();
    // As it should not be: it appends to what its clients send.
    let kind = Kind::Envoy("APPEND_FORWARD");
    let front = Front::start(&scene.world, kind, &scene.edge, &gateway);
    let (alice, mallory) = (scene.world.client("alice"), scene.world.client("mallory"));
    let own = scene.seen(front.curl("/").certificate(&mallory));
    let victim = scene.seen(front.curl("/").certificate(&alice));
    let pem = String::from_utf8(alice.issued.pem()).unwrap();
    let pem = pem
        .replace('\n', "%0A")
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let forged = format!("X-Forwarded-Client-Cert: By=spiffe://x;Cert=\"{pem}\";Subject=\"a,b;c\"");
    // The control: alone, it is alice's.
    assert_eq!(scene.seen(scene.as_edge(&gateway, "/", [&forged])), victim);
    let ask = front.curl("/").certificate(&mallory).header(&forged);
    assert_eq!(scene.seen(ask), own);
    // Nor does one that does not end swallow the front's.
    let open = format!("{forged};X=\"");
    let ask = front.curl("/").certificate(&mallory).header(&open);
    ask.send().expect_refusal(400, "request_malformed");
    // Without a certificate of his own, Envoy takes away what he sent.
    front
        .curl("/")
        .header(&forged)
        .send()
        .expect_refusal(401, "credential_missing");
}

#[test]
fn p6_an_address_counts_only_where_the_front_is_to_tell_it() {
    let scene = Scene::new();
    let alice = scene.world.client("alice");
    let add = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
    let seen = |builder: Builder<'_>| {
        let gateway = builder.start();
        let front = Front::start(&scene.world, Kind::Nginx(add), &scene.edge, &gateway);
        let ask = front
            .curl("/")
            .certificate(&alice)
            .header("X-Forwarded-For: 203.0.113.9");
        let ask = ask
            .header("X-Request-Id: p6")
            .option("--interface")
            .option("127.0.0.7");
        scene.seen(ask);
        let at_backend = scene.backend.last().header("x-forwarded-for").to_owned();
        (
            at_backend,
            gateway.access_line("p6")["client_address"].clone(),
        )
    };
    let silent = seen(scene.behind("nginx", Table::new()));
    assert_eq!(silent, ("127.0.0.1".to_owned(), json!("127.0.0.1")));
    let telling = toml! { client_address_header = "X-Forwarded-For" };
    let told = seen(scene.behind("nginx", telling.clone()));
    assert_eq!(told, ("127.0.0.7".to_owned(), json!("127.0.0.7")));
    // From anybody else it is the client's own word.
    let gateway = scene.behind("nginx", telling).start();
    let ask = gateway
        .curl("/")
        .certificate(&alice)
        .header("X-Forwarded-For: 203.0.113.9");
    scene.seen(ask);
    assert_eq!(scene.backend.last().header("x-forwarded-for"), "127.0.0.1");
}

/// An existing gateway is known by the address that it connects from, and by nothing that a front
/// tells: whose requests are passed on as they came, the backend believes.
#[test]
fn p6_an_address_that_a_front_tells_makes_nobody_the_existing_gateway() {
    let scene = Scene::new();
    let alice = scene.world.client("alice");
    let observed = |existing: &str, told: &str| {
        let front = scene.behind(
            "rfc9440",
            toml! { client_address_header = "X-Forwarded-For" },
        );
        let gateway = front.set("observe.from", vec![existing]).start();
        let lines = [
            client_cert(&alice),
            format!("X-Forwarded-For: {told}"),
            format!("X-Front-Secret: {SECRET}"),
            "X-Front-Signature: 1 00".to_owned(),
            "X-Client-Id: of-the-existing".to_owned(),
            "X-Request-Id: p6".to_owned(),
        ];
        let answer = scene.as_edge(&gateway, "/", lines).send();
        answer.expect_status(200);
        let last = scene.backend.last();
        assert_eq!(last.all("x-front-secret"), [""; 0]);
        assert_eq!(last.all("x-front-signature"), [""; 0]);
        let is_passed = last.header("x-client-id") == "of-the-existing";
        (is_passed, gateway.access_line("p6")["observe"].clone())
    };
    // The control, and the same of a client elsewhere.
    assert_eq!(observed("127.0.0.1", "127.0.0.1"), (true, json!("passed")));
    assert_eq!(observed("127.0.0.1", "192.0.2.1"), (true, json!("passed")));
    // The attack: a client of a front that is not the existing gateway.
    let other = observed("192.0.2.1", "192.0.2.1");
    assert_eq!(other, (false, json!("enforced")));
}

/// What stands for the name that a front calls by is not what stands for its client's host.
#[test]
fn p2_what_is_told_of_a_forwarded_certificate_the_requests_host_says() {
    let scene = Scene::new();
    let host_of = |name: &str, policy: &str| {
        let names = with(Table::new(), "names", vec![name]);
        with(names, "client_certificates", policy)
    };
    let hosts = vec![
        host_of("terse.example.com", "terse"),
        host_of("strict.example.com", "reject-connection"),
    ];
    let gateway = scene.behind("rfc9440", Table::new());
    let gateway = gateway.set("listener.server_name", hosts).start();
    let stranger = scene.world.files(root("Stranger").self_signed());
    for (name, host, is_told) in [
        (HOST, HOST, true),
        (HOST, "terse.example.com", false),
        (HOST, "strict.example.com", false),
        ("terse.example.com", HOST, true),
        ("strict.example.com", HOST, true),
        ("terse.example.com", "terse.example.com", false),
    ] {
        let ask = |path: &str| {
            let ask = gateway.curl_at(name, path).certificate(&scene.edge);
            let ask = ask.header(&client_cert(&stranger));
            let ask = ask.header(&format!("Host: {host}"));
            // Our own certificate is for HOST alone.
            ask.option("--insecure").send()
        };
        let refused = ask("/").expect_refusal(401, "certificate_untrusted");
        let problems = refused.json()["problems"].is_array();
        assert_eq!(problems, is_told, "{name} {host}: {}", refused.text());
        let status = if is_told { 200 } else { 404 };
        ask("/.well-known/keyferry/explain").expect_status(status);
    }
}

/// A front has to be asked whatever the name is; others at its address are then asked, too.
#[test]
fn p1_at_a_name_that_asks_nobody_only_a_front_shows_a_certificate() {
    let scene = Scene::new();
    let gateway = scene.behind("rfc9440", Table::new());
    let gateway = gateway.set("listener.client_certificates", "never-ask");
    let gateway = gateway.start();
    let alice = scene.world.client("alice");
    scene.seen(scene.as_edge(&gateway, "/", [client_cert(&alice)]));
    let answer = gateway.curl("/").certificate(&alice).send();
    answer.expect_refusal(401, "credential_missing");
    let elsewhere = gateway.curl("/").certificate(&alice);
    let elsewhere = elsewhere.option("--interface").option("127.0.0.2").send();
    elsewhere.expect_refusal(401, "credential_missing");
}

/// R16, K8: by what the front forwarded with it, and by the front that did; never by the front's own
/// certificate, which is no client's.
#[test]
fn r16_a_websocket_behind_a_front_ends_with_its_client_and_with_its_front() {
    let scene = Scene::new();
    let server = Server::start("websocket_server.py");
    let front = scene.front("rfc9440", toml! { secret_files = ["a.secret", "b.secret"] });
    let gateway = front
        .file("a.secret", SECRET)
        .file("b.secret", SECRET.replace('0', "e"))
        .backend_like("live", server.address(), toml! { protocol = "http1" })
        .route("/live", "live", "either")
        .start();
    let (alice, bob, carol) = (
        scene.world.client("alice"),
        scene.world.client("bob"),
        scene.world.client("carol"),
    );
    let open = |client: &Identity, secret: &str| {
        let lines = format!("{}\r\nX-Front-Secret: {secret}\r\n", client_cert(client));
        websocket(dial(&scene.world, &gateway, None), &lines)
    };
    let mut alices = open(&alice, SECRET);
    let mut bobs = open(&bob, SECRET);
    let mut carols = open(&carol, &SECRET.replace('0', "e"));
    let who = gateway.curl(WHOAMI).certificate(&alice).send().json();
    let id = who["client_id"].as_str().unwrap();
    gateway.cli(&["client", "disable", id]).expect_success();
    assert_eq!(goodbye(&mut alices), (1008, "client_disabled".to_owned()));
    let goes_on = |wire: &mut Wire| assert!(echoes(wire));
    goes_on(&mut bobs);
    std::fs::write(gateway.path("a.secret"), SECRET.replace('0', "d")).unwrap();
    assert_eq!(goodbye(&mut bobs), (1008, "credential_missing".to_owned()));
    goes_on(&mut carols);
}

#[test]
fn p7_other_spellings_of_the_header_are_no_certificate() {
    let scene = Scene::new();
    let gateway = scene.behind("nginx", toml! { header = "X-SSL-Client-Cert" });
    let gateway = gateway.set("headers.keep_ambiguous", true).start();
    let front = Front::start(&scene.world, Kind::Nginx(""), &scene.edge, &gateway);
    let (alice, bob) = (scene.world.client("alice"), scene.world.client("bob"));
    let pem = String::from_utf8(alice.issued.pem())
        .unwrap()
        .replace('\n', "%0A")
        .replace('+', "%2B");
    let as_edge = |name: &str| scene.as_edge(&gateway, "/", [format!("{name}: {pem}")]);
    let own = scene.seen(as_edge("X-SSL-Client-Cert"));
    assert_eq!(scene.seen(as_edge("x-ssl-client-CERT")), own);
    for name in [
        "X_SSL_Client_Cert",
        "X.SSL.Client.Cert",
        "X-SSL_Client-Cert",
        "SSL-Client-Cert",
    ] {
        as_edge(name)
            .send()
            .expect_refusal(401, "credential_missing");
        // nginx passes them on, when it is told to.
        let through = front.curl("/").header(&format!("{name}: {pem}")).send();
        through.expect_refusal(401, "credential_missing");
        let ask = front
            .curl("/")
            .certificate(&bob)
            .header(&format!("{name}: {pem}"));
        assert_ne!(scene.seen(ask).0, own.0);
    }
}

#[test]
fn a_fronts_certificate_is_never_a_clients() {
    let scene = Scene::new();
    // One of the clients' authority, which the operator named by its fingerprint.
    let edge = scene.world.client("edge");
    let print = edge.issued.x509.digest(MessageDigest::sha256()).unwrap();
    let print: Vec<_> = print.iter().map(|byte| format!("{byte:02X}")).collect();
    let certificate = toml! { sha256 = [] };
    let certificate = {
        let mut c = certificate;
        c.insert("sha256".into(), vec![print.join(":")].into());
        c
    };
    let gateway = scene
        .front("rfc9440", with(Table::new(), "certificate", certificate))
        .start();
    let control = Gateway::start(&scene.world, &scene.backend);
    scene.seen(control.curl("/").certificate(&edge));
    let refused = gateway.curl("/").certificate(&edge).send();
    refused.expect_refusal(401, "credential_missing");
    let alice = scene.world.client("alice");
    let own = scene.seen(gateway.curl("/").certificate(&alice));
    let ask = gateway
        .curl("/")
        .certificate(&edge)
        .header(&client_cert(&alice));
    assert_eq!(scene.seen(ask), own);
    let ask = gateway.curl(KEY).method("POST").certificate(&edge).send();
    ask.expect_refusal(401, "credential_missing");
}

#[test]
fn many_clients_on_one_connection_are_each_judged_by_their_own_header() {
    let scene = Scene::new();
    let gateway = scene.behind("rfc9440", Table::new()).start();
    let clients = ["alice", "bob", "carol"].map(|name| scene.world.client(name));
    let own = [0, 1, 2].map(|n| scene.seen(gateway.curl("/").certificate(&clients[n])));
    let late = scene.world.client_like(leaf("late").dates(-86_400, -60));
    let malformed = "Client-Cert: nothing".to_owned();
    // Whose certificate, and what it is answered with.
    let turns: Vec<(Option<String>, u16, Option<&str>)> = (0..40)
        .map(|n| match n % 8 {
            3 => (None, 401, None),
            5 => (Some(client_cert(&late)), 401, None),
            6 => (Some(malformed.clone()), 400, None),
            n => (
                Some(client_cert(&clients[n % 3])),
                200,
                Some(own[n % 3].0.as_str()),
            ),
        })
        .collect();
    scene.backend.forget();
    let asks = turns.iter().enumerate().map(|(n, (line, ..))| {
        let ask = scene.as_edge(&gateway, &format!("/?turn={n}"), line);
        ask.http1()
    });
    let answers = Curl::send_on_one_connection(asks);
    assert_eq!(answers.iter().map(|answer| answer.connects).sum::<u64>(), 1);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    let expected: Vec<_> = turns.iter().map(|(_, status, _)| *status).collect();
    assert_eq!(statuses, expected);
    let expect_own = |from: usize| {
        let requests = scene.backend.requests();
        assert_eq!(requests.len() - from, 25);
        for request in &requests[from..] {
            let turn = request
                .target
                .rsplit('=')
                .next()
                .unwrap()
                .parse::<usize>()
                .unwrap();
            assert_eq!(Some(request.header("x-client-id")), turns[turn].2, "{turn}");
        }
        requests.len()
    };
    let count = expect_own(0);

    // All at once on one connection of HTTP/2.
    let lines = turns.iter().map(|(line, ..)| line.as_deref());
    assert_eq!(at_once(&scene, &gateway, lines), json!(expected));
    expect_own(count);
}

#[test]
fn what_the_operator_decides_holds_for_forwarded_certificates_at_once() {
    let scene = Scene::new();
    let gateway = scene.behind("rfc9440", Table::new()).start();
    let (alice, late) = (
        client_cert(&scene.world.client("alice")),
        client_cert(&scene.world.client_like(leaf("late").dates(-86_400, -60))),
    );
    let send = |header: &String| scene.as_edge(&gateway, "/", [header]).send();
    let (id, _) = scene.seen(scene.as_edge(&gateway, "/", [&alice]));
    send(&late).expect_refusal(401, "certificate_expired");

    // A phase, with its notice.
    let announce = ["phase", "announce", "--client", &id];
    gateway.cli(&announce).expect_success();
    wait_for("the notice", || {
        let answer = send(&alice).expect_status(200);
        let is_told = answer.headers.iter().any(|(name, _)| name == "deprecation");
        is_told.then_some(())
    });
    // And what ends a client, though its certificate is remembered as good.
    gateway.cli(&["client", "disable", &id]).expect_success();
    wait_for("the refusal", || (send(&alice).status == 403).then_some(()));
    send(&alice).expect_refusal(403, "client_disabled");
}

/// What requests with these header lines are answered, sent all at once on one connection of HTTP/2.
fn at_once<'a>(
    scene: &Scene,
    gateway: &Gateway,
    lines: impl Iterator<Item = Option<&'a str>>,
) -> serde_json::Value {
    let requests = lines.enumerate().map(|(n, line)| {
        let mut headers = vec![
            json!([":method", "GET"]),
            json!([":scheme", "https"]),
            json!([":authority", HOST]),
            json!([":path", format!("/?turn={n}")]),
        ];
        headers.extend(line.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            json!([name.to_lowercase(), value])
        }));
        json!({ "headers": headers })
    });
    let answered = run(
        "h2_client.py",
        &json!({
            "address": gateway.address(), "host": HOST, "authority": scene.world.authority,
            "certificate": scene.edge.chain, "key": scene.edge.key, "together": true,
            "requests": requests.collect::<Vec<_>>(),
        }),
    );
    let answers = answered["answers"].as_array().unwrap().iter();
    answers.map(|answer| answer["status"].clone()).collect()
}

/// A value of a PROXY header of version 2.
fn value(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// A header of version 2 that tells of the client's TLS.
fn proxied(client: u8, verify: u32, certificate: &Identity) -> Vec<u8> {
    let der = certificate.issued.x509.to_der().unwrap();
    let values = [value(0x22, b"whoever"), value(0x28, &der)].concat();
    let told = value(
        0x20,
        &[&[client], &verify.to_be_bytes()[..], &values].concat(),
    );
    let v4 = [203, 0, 113, 9, 192, 0, 2, 2, 0x12, 0x67, 0x01, 0xbb];
    let rest = [&v4[..], &told].concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length[..], &rest].concat()
}

/// What a request is answered over TLS behind `header`, by who shows this certificate.
fn behind_header(gateway: &Gateway, header: &[u8], own: Option<&Identity>) -> String {
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    tcp.write_all(header).unwrap();
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    if let Some(own) = own {
        connector.set_certificate(&own.issued.x509).unwrap();
        connector.set_private_key(&own.issued.key).unwrap();
    }
    let mut tls = connector.build().connect(HOST, tcp).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _end = tls.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn p5_a_certificate_in_the_proxy_header_counts_by_the_front_and_when_it_was_proven_just_now() {
    let scene = Scene::new();
    let alice = scene.world.client("alice");
    let listed = |builder: Builder<'_>| {
        builder
            .set("listener.proxy_protocol_from", vec!["127.0.0.1"])
            .start()
    };
    let gateway = listed(scene.behind("proxy-v2", Table::new()));
    let answer =
        |client, verify, own| behind_header(&gateway, &proxied(client, verify, &alice), own);
    for client in [0x03, 0x07] {
        let answer = answer(client, 0, Some(&scene.edge));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(
        scene.backend.last().header("x-forwarded-for"),
        "203.0.113.9"
    );
    assert!(
        scene
            .backend
            .last()
            .header("x-client-id")
            .starts_with("alice")
    );
    // Not verified; only in the session that is resumed; not TLS at all; and not by the front.
    for (client, verify, own) in [
        (0x07, 1, Some(&scene.edge)),
        (0x05, 0, Some(&scene.edge)),
        (0x02, 0, Some(&scene.edge)),
        (0x07, 0, None),
    ] {
        let answer = answer(client, verify, own);
        assert!(
            answer.contains("credential_missing"),
            "{client} {verify}: {answer}"
        );
    }
    // Where no front is expected, it is a balancer's word, which counts for addresses alone.
    let gateway = listed(Gateway::builder(&scene.world).echo(&scene.backend));
    let answer = behind_header(&gateway, &proxied(0x07, 0, &alice), None);
    assert!(answer.contains("credential_missing"), "{answer}");
}
