//! Cases V: who is let in by certificate, over the wire, and what everybody else is told.

use openssl::hash::MessageDigest;
use serde_json::Value;

use crate::support::backend::Backend;
use crate::support::curl::Curl;
use crate::support::gateway::Gateway;
use crate::support::pki::{Issued, Kind, Spec, intermediate, leaf, root, server, tlv};
use crate::support::process::with_boringssl;
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;

/// A gateway before a recording backend, and two clients that try it: curl and `s_client`.
struct Scene {
    world: World,
    backend: Backend,
    gateway: Gateway,
}

impl Scene {
    fn new() -> Self {
        let (world, backend) = (World::new(), Backend::start());
        let gateway = Gateway::start(&world, &backend);
        Self {
            world,
            backend,
            gateway,
        }
    }

    /// It is let in; gives the client id and the key id that the backend saw.
    #[track_caller]
    fn accepts(&self, client: &Identity) -> (String, String) {
        let by_curl = self.gateway.curl("/").certificate(client).send();
        by_curl.expect_status(200);
        let seen = self.backend.last();
        let by_s_client = self.gateway.s_client().certificate(client).send(REQUEST);
        assert_eq!(by_s_client.status(), Some(200), "{by_s_client:#?}");
        let again = self.backend.last();
        let of = |name| seen.header(name).to_owned();
        assert_eq!(of("x-key-id"), again.header("x-key-id"));
        (of("x-client-id"), of("x-key-id"))
    }

    /// It is refused for these reasons, gravest first, and the backend hears nothing; gives the
    /// details of the problems.
    #[track_caller]
    fn refuses(&self, client: &Identity, reasons: &[&str]) -> Vec<String> {
        let before = self.backend.requests().len();
        let answer = self.gateway.curl("/").certificate(client).send();
        let problem = answer.expect_refusal(401, reasons[0]).json();
        let listed = problem["problems"].as_array().expect("every problem");
        let found: Vec<_> = listed.iter().map(|one| &one["reason"]).collect();
        assert_eq!(found, reasons, "{problem:#}");

        let by_s_client = self.gateway.s_client().certificate(client).send(REQUEST);
        assert_eq!(by_s_client.status(), Some(401), "{by_s_client:#?}");
        let code = format!(r#""reason":"{}""#, reasons[0]);
        assert!(by_s_client.output.contains(&code), "{by_s_client:#?}");
        let head = by_s_client.output.to_lowercase();
        assert!(head.contains("\r\nwww-authenticate: bearer "), "{head}");

        assert_eq!(self.backend.requests().len(), before, "it got through");
        let line = self
            .gateway
            .access_line(problem["request_id"].as_str().unwrap());
        let detail = line["detail"].as_str().unwrap();
        for reason in reasons {
            assert!(detail.contains(reason), "the log says all: {line:#}");
        }
        listed.iter().map(detail_of).collect()
    }

    fn issue(&self, issued: Issued) -> Identity {
        self.world.files(issued)
    }
}

fn detail_of(problem: &Value) -> String {
    problem["detail"].as_str().expect("a sentence").to_owned()
}

#[test]
fn v1_a_verified_certificate_is_enough_in_every_version_of_tls_and_http() {
    let scene = Scene::new();
    let (_, key) = scene.accepts(&scene.world.client("alice"));
    assert_eq!(key.len(), 32);
    let bob = scene.world.client("bob");
    let mut seen = Vec::new();
    for tls in ["1.2", "1.3"] {
        for (http, version) in [(true, "2"), (false, "1.1")] {
            let ask = scene.gateway.curl("/").tls(tls);
            let ask = if http { ask.http2() } else { ask.http1() };
            let answer = ask.certificate(&bob).send().expect_status(200);
            assert_eq!(answer.version, version);
            seen.push(scene.backend.last().header("x-key-id").to_owned());
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "one client has one key id: {seen:?}");
}

#[test]
fn v2_no_credential_is_refused_in_every_version_of_tls_and_http() {
    let scene = Scene::new();
    scene.accepts(&scene.world.client("alice"));
    let before = scene.backend.requests().len();
    for tls in ["1.2", "1.3"] {
        for http2 in [true, false] {
            let ask = scene.gateway.curl("/").tls(tls);
            let ask = if http2 { ask.http2() } else { ask.http1() };
            let answer = ask.send().expect_refusal(401, "credential_missing");
            assert_eq!(
                answer.header("www-authenticate"),
                r#"Bearer realm="keyferry""#
            );
        }
    }
    for method in ["OPTIONS", "PUT", "PROPFIND"] {
        let answer = scene.gateway.curl("/").method(method).send();
        answer.expect_refusal(401, "credential_missing");
    }
    scene.gateway.curl("/").head().send().expect_status(401);
    let trace = scene.gateway.curl("/").method("TRACE").send();
    trace.expect_refusal(405, "method_not_allowed");
    assert_eq!(scene.backend.requests().len(), before);
}

#[test]
fn v3_same_subject_from_another_ca_is_untrusted() {
    let scene = Scene::new();
    let mapped = leaf("acme").serial(&[7]).signed_by(&scene.world.clients);
    let own = scene.issue(mapped.clone());
    let identity = scene.accepts(&own);

    // An issuer of the same name is V4; here everything in the leaf is the same.
    let stranger = root("Stranger").self_signed();
    let twin = leaf("acme").serial(&[7]).signed_by(&stranger);
    let details = scene.refuses(
        &scene.issue(twin.clone().with(&[&stranger.x509])),
        &["certificate_untrusted"],
    );
    assert!(details[0].contains("'Clients Root'"), "{details:?}");
    let details = scene.refuses(&scene.issue(twin), &["certificate_chain_incomplete"]);
    assert!(details[0].contains("'Stranger'"), "{details:?}");

    // With the issuer's name as well, signed by itself; and even with the mapped key (V23).
    for spec in [leaf("acme"), leaf("acme").key(&mapped.key)] {
        let forged = spec.serial(&[7]).issuer_of(&mapped.x509).self_signed();
        scene.refuses(&scene.issue(forged), &["certificate_untrusted"]);
    }
    let own_root = leaf("acme").serial(&[7]).key(&mapped.key).self_signed();
    scene.refuses(&scene.issue(own_root), &["certificate_untrusted"]);
    assert_eq!(scene.accepts(&own), identity, "the owner is still served");
}

#[test]
fn v4_a_ca_with_the_same_name_and_key_identifier_is_untrusted() {
    let scene = Scene::new();
    let real = &scene.world.clients;
    scene.accepts(&scene.world.client("acme"));
    let skid = real.x509.subject_key_id().unwrap().as_slice();
    let serial = real.x509.serial_number().to_bn().unwrap().to_vec();
    let attacker = root("Clients Root")
        .skid(skid)
        .serial(&serial)
        .self_signed();
    let forged = leaf("acme").signed_by(&attacker);
    for sent in [
        forged.clone(),
        forged.clone().with(&[&attacker.x509]),
        forged.clone().with(&[&real.x509, &attacker.x509]),
        forged.with(&[&attacker.x509, &real.x509]),
        leaf("acme").signed_by(&intermediate("Issuing").signed_by(&attacker)),
    ] {
        let answer = scene.gateway.curl("/").certificate(&scene.issue(sent));
        answer.send().expect_refusal(401, "certificate_untrusted");
    }
}

#[test]
fn v5_a_certificate_of_a_trusted_ca_does_not_open_the_route_of_another() {
    let (world, backend) = (World::new(), Backend::start());
    let partners = root("Partners Root").self_signed();
    let gateway = Gateway::builder(&world)
        .file("partners.pem", partners.pem())
        .push(
            "ca",
            toml::toml! { name = "partners" file = "partners.pem" },
        )
        .echo(&backend)
        .push(
            "route",
            toml::toml! {
                name = "partners" path = "/partners" backend = "echo" accept = "either"
                cas = ["partners"]
            },
        )
        .start();
    let (client, partner) = (
        world.client("client"),
        world.files(leaf("partner").signed_by(&partners)),
    );
    let ask = |path: &str, who| gateway.curl(path).certificate(who).send();
    ask("/", &client).expect_status(200);
    ask("/", &partner).expect_status(200);
    ask("/partners/x", &partner).expect_status(200);
    let before = backend.requests().len();
    for path in ["/partners/x", "/partners", "/partners?x=/"] {
        ask(path, &client).expect_refusal(401, "certificate_untrusted");
    }
    // Not with the other authority's certificate in its chain either.
    let disguised = world.files(
        leaf("disguised")
            .signed_by(&world.clients)
            .with(&[&partners.x509]),
    );
    ask("/partners", &disguised).expect_refusal(401, "certificate_untrusted");
    assert_eq!(backend.requests().len(), before);
}

#[test]
fn v6_a_certificate_that_is_not_for_clients_is_of_the_wrong_purpose() {
    let scene = Scene::new();
    let wrong = |spec: fn() -> Spec| scene.world.client_like(spec());
    scene.accepts(&wrong(|| {
        leaf("acme").purposes(&["serverAuth", "clientAuth"])
    }));
    for client in [
        wrong(|| leaf("acme").no_purposes()),
        wrong(|| leaf("acme").purposes(&["serverAuth"])),
        wrong(|| leaf("acme").purposes(&["anyExtendedKeyUsage"])),
        wrong(|| server(HOST)),
    ] {
        scene.refuses(&client, &["certificate_wrong_purpose"]);
    }

    let mute = wrong(|| leaf("acme").key_usage(&["keyEncipherment"]));
    if with_boringssl() {
        // It ends the handshake itself.
        let answer = scene.gateway.curl("/").certificate(&mute).send();
        assert_eq!(answer.status, 0, "{answer:#?}");
    } else {
        scene.refuses(&mute, &["certificate_wrong_purpose"]);
    }

    // The exception is for a purpose that is not named, never for another one.
    let ca = toml::toml! {
        name = "clients" file = "clients-root.pem" allow = ["missing-client-auth"]
    };
    let lax = Gateway::builder(&scene.world)
        .set("ca", vec![ca])
        .echo(&scene.backend)
        .start();
    let ask = |client| lax.curl("/").certificate(&client).send();
    ask(wrong(|| leaf("acme").no_purposes())).expect_status(200);
    ask(wrong(|| leaf("acme").purposes(&["serverAuth"])))
        .expect_refusal(401, "certificate_wrong_purpose");
}

#[test]
fn v7_an_authority_is_no_client_and_a_client_no_authority() {
    let scene = Scene::new();
    let clients = &scene.world.clients;
    let acme = leaf("acme").signed_by(clients);
    scene.accepts(&scene.issue(acme.clone()));
    let authority = leaf("acme")
        .ca(true)
        .key_usage(&["digitalSignature", "keyCertSign"]);
    let details = scene.refuses(
        &scene.world.client_like(authority),
        &["certificate_wrong_purpose"],
    );
    assert!(details[0].contains("CA:TRUE"), "{details:?}");
    // BoringSSL does not even take it for an issuer.
    let reason = if with_boringssl() {
        "certificate_untrusted"
    } else {
        "certificate_invalid"
    };
    for issuer in [acme, leaf("acme").no_basic_constraints().signed_by(clients)] {
        let forged = scene.issue(leaf("victim").signed_by(&issuer));
        let answer = scene.gateway.curl("/").certificate(&forged).send();
        let problem = answer.expect_refusal(401, reason).json().to_string();
        assert!(
            problem.contains("not allowed to issue certificates"),
            "{problem}"
        );
    }
}

#[test]
fn v8_a_chain_is_not_deeper_than_allowed() {
    let (world, backend) = (World::new(), Backend::start());
    let ca = toml::toml! { name = "clients" file = "clients-root.pem" max_depth = 1 };
    let gateway = Gateway::builder(&world)
        .set("ca", vec![ca])
        .echo(&backend)
        .start();
    let first = intermediate("First").signed_by(&world.clients);
    let second = intermediate("Second").signed_by(&first);
    let ask = |issued| gateway.curl("/").certificate(&world.files(issued)).send();
    ask(leaf("acme").signed_by(&first)).expect_status(200);
    ask(leaf("acme").signed_by(&second)).expect_refusal(401, "certificate_invalid");
}

#[test]
fn v9_the_intermediate_that_was_not_sent_is_named() {
    let scene = Scene::new();
    let issuing = intermediate("Acme Issuing CA 3").signed_by(&scene.world.clients);
    let whole = leaf("acme").signed_by(&issuing);
    scene.accepts(&scene.issue(whole));
    let other = leaf("other").signed_by(&issuing).with(&[]);
    let details = scene.refuses(&scene.issue(other), &["certificate_chain_incomplete"]);
    assert!(
        details[0].starts_with(
            "You sent 1 certificate, issued by 'Acme Issuing CA 3', and did not send that \
             intermediate."
        ),
        "{details:?}"
    );
    assert!(details[0].contains("'Clients Root'"), "{details:?}");
}

#[test]
fn v10_and_v11_dates_are_told_with_both_clocks() {
    let scene = Scene::new();
    let dated = |from, until| scene.world.client_like(leaf("acme").dates(from, until));
    scene.accepts(&dated(-3600, 3600));
    for (from, until, reason) in [
        (60, 3600, "certificate_not_yet_valid"),
        (-3600, -1, "certificate_expired"),
    ] {
        let client = dated(from, until);
        let details = scene.refuses(&client, &[reason]);
        let clock = keyferry::clock::now().to_string();
        let today = clock.split('T').next().unwrap();
        assert!(
            details[0].contains(" this server's clock says ")
                && details[0].matches(today).count() >= 1,
            "{details:?}"
        );
    }
    let metric = |reason| {
        let series = format!(r#"keyferry_certificate_problems_total{{reason="{reason}"}}"#);
        scene.gateway.metric(&series)
    };
    assert!(metric("certificate_expired") >= 2.0);
    assert!(metric("certificate_not_yet_valid") >= 2.0);
}

/// R16, R3: the connection is open when the certificate ends, and the session is resumed after.
#[test]
fn v11_a_certificate_that_ends_while_it_is_in_use_is_refused_at_the_next_request() {
    let scene = Scene::new();
    let brief = scene.world.client_like(leaf("brief").dates(-60, 5));
    let session = scene.world.path("session");
    let first = scene.gateway.s_client().certificate(&brief);
    let first = first.keep_session(&session).send(REQUEST);
    assert_eq!(first.status(), Some(200), "{first:#?}");
    let ask = |path: &str| scene.gateway.curl(path).certificate(&brief);
    let answers = std::thread::scope(|scope| {
        let open = [ask("/"), ask("/slow"), ask("/")];
        let open = scope.spawn(move || Curl::send_on_one_connection(open));
        wait_for("the certificate's end", || {
            (ask("/").send().status == 401).then_some(())
        });
        scene.backend.proceed();
        open.join().unwrap()
    });
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 401]);
    assert_eq!(answers[2].connects, 0, "it was the same connection");

    let resumed = scene.gateway.s_client().certificate(&brief);
    let resumed = resumed.resume_session(&session).send(REQUEST);
    assert!(
        !resumed.was_resumed(),
        "a certificate that is not good is proven anew: {resumed:#?}"
    );
    assert_eq!(resumed.status(), Some(401), "{resumed:#?}");
    assert!(resumed.output.contains("certificate_expired"));
}

#[test]
fn v16_of_several_problems_the_worst_decides_and_all_are_told() {
    let scene = Scene::new();
    scene.accepts(&scene.world.client("acme"));
    let expired_server = leaf("acme").purposes(&["serverAuth"]).dates(-3600, -1);
    scene.refuses(
        &scene.world.client_like(expired_server.clone()),
        &["certificate_wrong_purpose", "certificate_expired"],
    );
    let stranger = root("Stranger").self_signed();
    let worst = expired_server.signed_by(&stranger).with(&[&stranger.x509]);
    scene.refuses(
        &scene.issue(worst),
        &[
            "certificate_untrusted",
            "certificate_wrong_purpose",
            "certificate_expired",
        ],
    );
}

/// curl would not use such certificates; `s_client` can be told to.
#[test]
fn v18_a_weak_key_or_signature_is_refused_unless_it_is_a_named_exception() {
    let scene = Scene::new();
    let lax = toml::toml! { name = "clients" file = "clients-root.pem" allow = ["weak"] };
    let lax = Gateway::builder(&scene.world)
        .set("ca", vec![lax])
        .echo(&scene.backend)
        .start();
    let ask = |gateway: &Gateway, who: &Identity| {
        let connect = gateway.s_client().certificate(who);
        let connect = connect.option("-cipher").option("DEFAULT@SECLEVEL=0");
        connect.send(REQUEST)
    };
    let strong = ask(&scene.gateway, &scene.world.client("strong"));
    assert_eq!(strong.status(), Some(200), "{strong:#?}");
    for weak in [
        leaf("weak").kind(Kind::Rsa(1024)),
        leaf("signed weakly").digest(MessageDigest::sha1()),
    ] {
        let weak = scene.world.client_like(weak);
        let refused = ask(&scene.gateway, &weak);
        assert_eq!(refused.status(), Some(401), "{refused:#?}");
        let reason = r#""reason":"certificate_weak""#;
        assert!(refused.output.contains(reason), "{refused:#?}");
        assert_eq!(ask(&lax, &weak).status(), Some(200));
    }
}

/// The names that V20 is about.
fn hostile() -> Vec<Spec> {
    let name = |tag, value: &[u8]| leaf("x").empty_subject().entry(CN, tag, value);
    vec![
        name(UTF8, b"acme\0.example.com"),
        name(UTF8, b"a\r\nX-Client-Id: admin\r\n\r\n"),
        name(
            UTF8,
            b"a\"}\n{\"target\":\"access\",\"client\":\"admin\",\"x\":\"",
        ),
        name(UTF8, b"a,CN=admin"),
        name(UTF8, b"a+CN=admin"),
        name(UTF8, "abc\u{202e}fed\u{2066}\u{200b}\u{feff}".as_bytes()),
        name(UTF8, b"\x1b[31m<script>alert(1)</script>"),
        name(UTF8, b"x").joined(O, UTF8, b"y,CN=admin"),
        name(PRINTABLE, b"caf\xe9"),
        name(TELETEX, b"caf\xe9"),
        name(UTF8, b"").entry(O, UTF8, b"\"quoted\\\""),
        // As SPIFFE has it: the name is elsewhere, in an extension that must be understood.
        leaf("x").empty_subject().extension(
            "2.5.29.17",
            true,
            &tlv(0x30, &tlv(0x86, b"spiffe://acme/\r\nX-Client-Id: admin")),
        ),
    ]
}

/// Nothing in it ends a line, turns text around or steers a terminal.
#[track_caller]
fn assert_inert(text: &str) {
    let bad = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert!(!text.chars().any(bad), "{text:?}");
}

#[test]
fn v20_hostile_subjects_are_inert_in_answers_headers_and_logs() {
    let scene = Scene::new();
    scene.accepts(&scene.world.client("acme"));
    for spec in hostile() {
        let good = scene.world.client_like(spec.clone());
        let answer = scene.gateway.curl("/").certificate(&good).send();
        let answer = answer.expect_status(200);
        assert_eq!(answer.all("x-client-id").len(), 0);
        let seen = scene.backend.last();
        let client = seen.header("x-client-id");
        assert!(
            client.parse::<keyferry::client::ClientId>().is_ok() && client != "admin",
            "{client}"
        );
        assert_eq!(seen.header("x-key-id").len(), 32);
        let whoami = scene.gateway.curl("/.well-known/keyferry/whoami");
        let whoami = whoami.certificate(&good).send().expect_status(200);
        assert_inert(&whoami.text());
        assert_inert(whoami.json()["certificate"]["subject"].as_str().unwrap());

        let authority = spec.clone().ca(true).no_purposes();
        let stranger = authority.key_usage(&["keyCertSign"]).self_signed();
        for bad in [
            spec.clone().dates(-60, -1).signed_by(&scene.world.clients),
            spec.clone().signed_by(&stranger).with(&[&stranger.x509]),
            spec.signed_by(&stranger),
        ] {
            let bad = scene.issue(bad);
            let answer = scene.gateway.curl("/").certificate(&bad).send();
            let problem = answer.expect_status(401).json();
            assert_inert(problem["detail"].as_str().unwrap());
            for problem in problem["problems"].as_array().unwrap() {
                assert_inert(&detail_of(problem));
            }
            let text = scene.gateway.curl("/").certificate(&bad);
            let text = text.header("Accept: text/plain").send().expect_status(401);
            assert_inert(&text.text());
            assert_eq!(text.all("x-client-id").len(), 0);
        }
    }
    // RFC 5280 section 4.1.2.6: without any name it names nobody.
    let nameless = scene.world.client_like(leaf("x").empty_subject());
    scene.refuses(&nameless, &["certificate_invalid"]);
    // Each line is one JSON object, and no name got its say in another field.
    for line in scene.gateway.lines() {
        assert_ne!(line["client"], "admin", "{line:#}");
        assert_inert(&line.to_string());
    }
    assert_inert(&scene.gateway.log());
    assert_inert(&scene.gateway.metrics());
}
