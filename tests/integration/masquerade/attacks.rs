//! What could go wrong with headers that backends believe and nobody signs.

use super::{gateway, masquerading, tell, told};
use crate::support::backend::{Backend, Recorded};
use crate::support::gateway::Gateway;
use crate::support::pki::leaf;
use crate::support::wait_for;
use crate::support::world::{Identity, World};

/// A name that means nothing to a gateway of itself.
const NAME: &str = "X-Caller-DN";
const DN: &[(&str, &str)] = &[(NAME, "$ssl_client_s_dn")];

/// What the backend was told of the caller, once.
#[track_caller]
fn caller(request: &Recorded) -> String {
    let told = told(request, NAME);
    assert_eq!(told.len(), 1, "{:?}", request.headers);
    String::from_utf8(told[0].clone()).unwrap()
}

fn by_key(gateway: &Gateway, key: &str) {
    gateway.curl("/").key(key).send().expect_status(200);
}

#[test]
fn h1_a_forged_header_of_the_old_proxy_reaches_no_backend_in_any_spelling() {
    let (world, legacy, other) = (World::new(), Backend::start(), Backend::start());
    let alice = world.client("alice");
    let spellings = [
        "X-Caller-DN",
        "x-caller-dn",
        "X_Caller_DN",
        "X-CALLER_DN",
        "X.Caller.DN",
        "X-Caller_DN",
    ];
    // Never told of, told of, and no more; then the name is reserved still.
    for (is_reserved, is_told) in [(false, false), (true, true), (true, false)] {
        let gateway = gateway(&world, legacy.address(), if is_reserved { DN } else { &[] })
            .backend("other", other.address())
            .route("/other", "other", "either")
            .backend_like("open", other.address(), masquerading(&[]))
            .route("/open", "open", "none")
            .set("headers.keep_ambiguous", true)
            .start();
        let key = gateway.claim_key(&alice);
        if is_reserved && !is_told {
            tell(&gateway, &[]);
        }
        let all = [("/", &legacy), ("/other", &other), ("/open", &other)];
        for (spelled, (path, backend), is_named) in spellings.iter().flat_map(|spelled| {
            let all = all.into_iter().flat_map(|to| [(to, false), (to, true)]);
            all.map(move |(to, is_named)| (*spelled, to, is_named))
        }) {
            let mut ask = gateway.curl(path).key(&key).http1();
            ask = ask.header(&format!("{spelled}: CN=admin"));
            if is_named {
                ask = ask.header("Connection: X-Caller-DN");
            }
            ask.send().expect_status(200);
            let request = backend.last();
            let arrived = request.head.windows(8).any(|part| part == b"CN=admin");
            // Hop by hop, the very name goes no further; the others would be believed.
            let is_hop = is_named && spelled.eq_ignore_ascii_case(NAME);
            assert_eq!(arrived, !is_reserved && !is_hop, "{spelled} at {path}");
            if is_told && path == "/" {
                assert_eq!(caller(&request), "CN=alice");
            } else if is_reserved {
                assert!(told(&request, NAME).is_empty(), "{spelled} at {path}");
            }
        }
    }
}

#[test]
fn v20_a_hostile_subject_adds_no_header() {
    let (world, backend) = (World::new(), Backend::start());
    let subject = b"a\r\nX-Key-Id: forged\r\nX-Client-Id: admin\r\n\r\nGET /admin HTTP/1.1\0";
    let mallory = world.client_like(leaf("m").empty_subject().entry("2.5.4.3", 0x0c, subject));
    let der = mallory.issued.x509.to_der().unwrap();
    assert!(
        der.windows(4).any(|part| part == b"\r\nX-"),
        "it is signed so"
    );
    let all = [
        ("X-Plain", "%[ssl_c_s_dn]"),
        ("X-Part", "%[ssl_c_s_dn(CN)]"),
        ("X-Name", "$ssl_client_s_dn"),
        ("X-Line", "$ssl_client_s_dn_legacy"),
        ("X-Apache", "%{SSL_CLIENT_S_DN}s"),
        ("X-Forwarded-Client-Cert", "Hash;Subject"),
    ];
    let gateway = gateway(&world, backend.address(), &all).start();
    let key = gateway.claim_key(&mallory);
    by_key(&gateway, &key);
    assert_eq!(backend.requests().len(), 1);
    let request = backend.last();
    assert!(!request.header("x-key-id").contains("forged"));
    assert_ne!(request.header("x-client-id"), "admin");
    for (name, _) in all {
        let told = told(&request, name);
        assert_eq!(told.len(), 1, "{name}");
        assert!(!told[0].iter().any(u8::is_ascii_control), "{name}");
    }
}

#[test]
fn k6_nobody_is_told_of_in_the_name_of_another() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = gateway(&world, backend.address(), DN).start();
    let [alice, bob] = ["alice", "bob"].map(|name| world.client(name));
    let [_, bobs] = [&alice, &bob].map(|who| gateway.claim_key(who));
    let ask = gateway.curl("/").certificate(&alice).key(&bobs);
    ask.send().expect_refusal(403, "credential_conflict");
    assert!(backend.requests().is_empty());

    // One that is not accepted says nothing, whatever its subject is.
    let ended = world.client_like(leaf("alice").dates(-7200, -3600));
    let ask = gateway.curl("/").certificate(&ended).key(&bobs);
    ask.send().expect_status(200);
    assert_eq!(caller(&backend.last()), "CN=bob");
}

#[test]
fn who_is_disabled_or_comes_to_an_open_route_is_told_nothing_of() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = gateway(&world, backend.address(), DN)
        .route("/open", "legacy", "none")
        .start();
    let alice = world.client("alice");
    let key = gateway.claim_key(&alice);
    by_key(&gateway, &key);
    let told_of = backend.last();
    assert_eq!(caller(&told_of), "CN=alice");
    // Never without a signed identity beside.
    assert_eq!(told_of.all("signature").len(), 1);
    let ask = gateway.curl("/open").key(&key).certificate(&alice);
    ask.send().expect_status(200);
    let open = backend.last();
    assert!(told(&open, NAME).is_empty() && open.all("signature").is_empty());

    let client = told_of.header("x-client-id").to_owned();
    gateway
        .cli(&["client", "disable", &client])
        .expect_success();
    let before = backend.requests().len();
    let refused =
        |ask: crate::support::curl::Curl| ask.send().expect_refusal(403, "client_disabled");
    refused(gateway.curl("/").key(&key));
    refused(gateway.curl("/").certificate(&alice));
    assert_eq!(backend.requests().len(), before);
}

fn fingerprint(of: &Identity) -> String {
    let der = of.issued.x509.to_der().unwrap();
    keyferry::certificate::Fingerprint::of(&der).to_string()
}

#[test]
fn what_was_superseded_or_removed_tells_of_nobody() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = gateway(&world, backend.address(), DN).start();
    let old = world.client_like(leaf("old").dates(-7200, 3600));
    let new = world.client_like(leaf("new"));
    let key = gateway.claim_key(&old);
    by_key(&gateway, &key);
    assert_eq!(caller(&backend.last()), "CN=old");
    let client = backend.last().header("x-client-id").to_owned();
    // Handed in, it need not be shown first.
    let file = new.chain.to_str().unwrap();
    let add = ["certificate", "add", file, "--client", &client];
    gateway.cli(&add).expect_success();
    by_key(&gateway, &key);
    assert_eq!(caller(&backend.last()), "CN=new");
    // Whoever shows one is known by that.
    let ask = gateway.curl("/").certificate(&old).key(&key);
    ask.send().expect_status(200);
    assert_eq!(caller(&backend.last()), "CN=old");

    let supersede = ["certificate", "supersede", &fingerprint(&new)];
    gateway.cli(&supersede).expect_success();
    by_key(&gateway, &key);
    assert_eq!(caller(&backend.last()), "CN=old");
    let shown = gateway.cli(&["client", "show", &client, "--output", "json"]);
    let shown = shown.expect_success().json();
    assert_eq!(shown["masquerade"]["backends"][0], "legacy");
    assert_eq!(shown["masquerade"]["certificate"], fingerprint(&old));

    // The same after a restart, of what is recorded.
    assert!(gateway.stop().success());
    gateway.start_again();
    by_key(&gateway, &key);
    assert_eq!(caller(&backend.last()), "CN=old");

    gateway
        .cli(&["certificate", "remove", &fingerprint(&old)])
        .expect_success();
    by_key(&gateway, &key);
    assert!(told(&backend.last(), NAME).is_empty());
    let page = gateway.metrics();
    for (certificate, count) in [
        ("shown", 0),
        ("recorded", 1),
        ("incomplete", 0),
        ("unknown", 1),
    ] {
        let labels = format!("{{backend=\"legacy\",certificate=\"{certificate}\"}}");
        let line = format!("keyferry_masqueraded_requests_total{labels} {count}\n");
        assert!(page.contains(&line), "no {line}");
    }
}

#[test]
fn a_certificate_that_has_ended_still_says_who_its_client_is() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = gateway(&world, backend.address(), DN).start();
    let brief = world.client_like(leaf("brief").dates(-3600, 4));
    let key = gateway.claim_key(&brief);
    wait_for("the certificate to end", || {
        let answer = gateway.curl("/").certificate(&brief).send();
        (answer.status == 401).then_some(())
    });
    by_key(&gateway, &key);
    assert_eq!(caller(&backend.last()), "CN=brief");
}
