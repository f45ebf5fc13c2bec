//! Phases: what clients are told and refused, when, and that everything is taken back (PROTOCOL 4
//! and 6, O7, O12).

use serde_json::{Value as Json, json};

use crate::support::backend::Backend;
use crate::support::curl::Answer;
use crate::support::gateway::{Gateway, Told};
use crate::support::pki::{Issued, leaf, root, server};
use crate::support::redis::RedisServer;
use crate::support::s_client::{SClient, Transcript};
use crate::support::wait_for;
use crate::support::world::{HOST, Identity, World};

const BASE: &str = "/.well-known/keyferry";
const KEYS: &str = "</.well-known/keyferry/key>; rel=\"deprecation\"; \
    title=\"POST here with your certificate to fetch an API key\"";
const NOTHING: [Vec<String>; 3] = [const { Vec::new() }; 3];
/// What a brownout takes that begins at once.
const AT_ONCE: [&str; 5] = ["--from", "now", "--force", "--reason", "a drill"];

fn ask(gateway: &Gateway, arguments: &[&str]) -> Json {
    let arguments = [arguments, &["--output", "json"]].concat();
    gateway.cli(&arguments).expect_success().json()
}

/// Sets a phase: `phase(&gateway, &["announce", "--all"])`.
fn phase(gateway: &Gateway, arguments: &[&str]) -> Json {
    ask(gateway, &[&["phase"], arguments].concat())
}

/// A refusal in words.
#[track_caller]
fn expect_refusal(told: &Told, words: &[&str]) {
    assert_eq!(told.status.code(), Some(1), "{told:#?}");
    for words in words {
        assert!(told.errors.contains(words), "{words}: {told:#?}");
    }
    assert_eq!(told.output, "");
}

fn get(gateway: &Gateway, client: &Identity) -> Answer {
    gateway.curl("/").certificate(client).send()
}

fn by_key(gateway: &Gateway, key: &str) -> Answer {
    gateway.curl("/").key(key).send().expect_status(200)
}

/// Waits until `client` gets this status by certificate, and gives that answer.
#[track_caller]
fn wait_status(gateway: &Gateway, client: &Identity, status: u16) -> Answer {
    wait_for("the phase to hold", || {
        Some(get(gateway, client)).filter(|answer| answer.status == status)
    })
}

/// Waits until an answer to `client` has a `Deprecation`, or has none.
#[track_caller]
fn wait_told(gateway: &Gateway, client: &Identity, told: bool) -> Answer {
    wait_for("clients to be told", || {
        Some(get(gateway, client)).filter(|answer| answer.all("deprecation").is_empty() != told)
    })
}

fn client_id(gateway: &Gateway, client: &Identity) -> String {
    let answer = gateway
        .curl(&format!("{BASE}/whoami"))
        .certificate(client)
        .send();
    let who = answer.expect_status(200).json();
    who["client_id"].as_str().unwrap().to_owned()
}

fn whoami(gateway: &Gateway, client: &Identity) -> Json {
    let answer = gateway
        .curl(&format!("{BASE}/whoami"))
        .certificate(client)
        .send();
    answer.expect_status(200).json()
}

/// The headers of an answer that a phase makes.
fn notice(answer: &Answer) -> [Vec<String>; 3] {
    ["deprecation", "sunset", "link"].map(|name| {
        let values = answer.all(name).into_iter();
        values.map(ToOwned::to_owned).collect()
    })
}

fn unix(moment: &str) -> i64 {
    moment.parse::<jiff::Timestamp>().unwrap().as_second()
}

#[test]
fn announcing_tells_certificates_and_never_keys() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .route("/keys", "echo", "key")
        .start();
    let (alice, moved) = (world.client("alice"), world.client("moved"));
    let key = gateway.claim_key(&moved);
    // Nothing is told before.
    assert_eq!(notice(&get(&gateway, &alice).expect_status(200)), NOTHING);

    let set = phase(
        &gateway,
        &[
            "announce",
            "--all",
            "--sunset",
            "2027-06-30",
            "--guide",
            "https://docs.example.com/move",
        ],
    );
    let since = unix(set["setting"]["since"].as_str().unwrap());
    let deprecation = format!("@{since}");
    let guide = "<https://docs.example.com/move>; rel=\"deprecation\"; type=\"text/html\"";
    let expected = [
        vec![deprecation.clone()],
        vec!["Wed, 30 Jun 2027 00:00:00 GMT".to_owned()],
        vec![KEYS.to_owned(), guide.to_owned()],
    ];
    let good = wait_told(&gateway, &alice, true).expect_status(200);
    assert_eq!(notice(&good), expected);
    let refused = gateway.curl("/keys").certificate(&alice).send();
    assert_eq!(
        notice(&refused.expect_refusal(401, "certificate_retired")),
        expected
    );
    let own = gateway
        .curl(&format!("{BASE}/whoami"))
        .certificate(&alice)
        .send();
    assert_eq!(notice(&own.expect_status(200)), expected);

    // What a backend says of its own goes on, where there is room for both.
    let path = "/headers?Link=own&Deprecation=@1&Sunset=never";
    let beside = gateway.curl(path).certificate(&alice).send();
    let mut with_own = expected.clone();
    with_own[2].insert(0, "own".to_owned());
    assert_eq!(notice(&beside.expect_status(200)), with_own);
    let own = gateway.curl(path).key(&key).send().expect_status(200);
    assert_eq!(
        notice(&own),
        ["@1", "never", "own"].map(|own| vec![own.to_owned()])
    );

    // Keys are told nothing, alone or beside the certificate.
    let none = NOTHING;
    assert_eq!(notice(&by_key(&gateway, &key)), none);
    let both = gateway.curl("/").certificate(&moved).key(&key).send();
    assert_eq!(notice(&both.expect_status(200)), none);
    let who = whoami(&gateway, &alice);
    assert_eq!(
        (&who["phase"]["is"], &who["phase"]["sunset"]),
        (&json!("announce"), &json!("2027-06-30T00:00:00Z"))
    );

    phase(&gateway, &["undo"]);
    let after = wait_told(&gateway, &alice, false).expect_status(200);
    assert_eq!(notice(&after), none);
}

#[test]
fn a_brownout_refuses_certificates_for_the_hour_and_nothing_else() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let [alice, exempt, moved] = ["alice", "exempt", "moved"].map(|name| world.client(name));
    let key = gateway.claim_key(&moved);
    let exempt_id = client_id(&gateway, &exempt);
    phase(&gateway, &["accept", "--client", &exempt_id]);
    get(&gateway, &alice).expect_status(200);

    phase(
        &gateway,
        &[&["brownout", "--all", "--percent", "100"], &AT_ONCE[..]].concat(),
    );
    let refused = wait_status(&gateway, &alice, 403).expect_refusal(403, "brownout");
    let after: i64 = refused.header("retry-after").parse().unwrap();
    let now = keyferry::clock::now().as_unix();
    let to_the_hour = 3600 - now % 3600;
    assert!(
        (to_the_hour..=to_the_hour + 2).contains(&after) || to_the_hour > 3595,
        "{after}"
    );
    assert!(!refused.all("deprecation").is_empty() && refused.all("www-authenticate").is_empty());
    let line = gateway.access_line(refused.header("x-request-id"));
    assert_eq!(
        (&line["reason"], &line["auth"], &line["client"]),
        (
            &json!("brownout"),
            &json!("certificate"),
            &json!(client_id(&gateway, &alice))
        )
    );

    // Whoever was exempted, has a key, or shows one beside the certificate, goes on.
    get(&gateway, &exempt).expect_status(200);
    by_key(&gateway, &key);
    let both = gateway.curl("/").certificate(&moved).key(&key).send();
    both.expect_status(200);
    // Self-service is open, and is the way out.
    let who = whoami(&gateway, &alice);
    assert_eq!(who["phase"]["is"], "brownout");
    assert!(
        who["phase"]["brownout"]["refused_until"].is_string(),
        "{who:#}"
    );
    let own = gateway.claim_key(&alice);
    by_key(&gateway, &own);
    get(&gateway, &alice).expect_refusal(403, "brownout");

    phase(&gateway, &["undo"]);
    wait_status(&gateway, &alice, 200);
}

#[test]
fn a_window_refuses_until_it_ends_in_its_own_zone() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    get(&gateway, &alice).expect_status(200);
    // A zone in which it is about noon, wherever this runs.
    let now = keyferry::clock::now().as_unix();
    let hour = now % 86_400 / 3600;
    let zone = match hour - 12 {
        0 => "UTC".to_owned(),
        // The signs of these zones are the other way round.
        behind @ 1.. => format!("Etc/GMT+{behind}"),
        ahead => format!("Etc/GMT{ahead}"),
    };
    let window = ["--windows", "Mon-Sun 11:00-14:00", "--zone", &zone];
    phase(
        &gateway,
        &[&["brownout", "--all"], &window[..], &AT_ONCE[..]].concat(),
    );
    let refused = wait_status(&gateway, &alice, 403).expect_refusal(403, "brownout");
    let after: i64 = refused.header("retry-after").parse().unwrap();
    let local = now % 3600 + 12 * 3600;
    let expected = 14 * 3600 - local;
    assert!(
        (expected - 30..=expected).contains(&after),
        "{after}, not {expected}"
    );

    phase(&gateway, &["undo"]);
    wait_status(&gateway, &alice, 200);
    // At another time of the day, nobody is refused.
    let window = ["--windows", "Mon-Sun 20:00-21:00", "--zone", &zone];
    phase(
        &gateway,
        &[&["brownout", "--all"], &window[..], &AT_ONCE[..]].concat(),
    );
    wait_told(&gateway, &alice, true).expect_status(200);
}

#[test]
fn o7_a_brownout_that_would_surprise_is_refused() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    get(&gateway, &alice).expect_status(200);
    let brownout = |arguments: &[&str]| {
        let command = [&["phase", "brownout", "--all"], arguments].concat();
        gateway.cli(&command)
    };
    let percent = ["--percent", "100"];
    let never = brownout(&percent);
    expect_refusal(&never, &["never announced", "--force"]);
    phase(&gateway, &["announce", "--all"]);

    let past = brownout(&["--percent", "100", "--from", "2026-01-01"]);
    expect_refusal(
        &past,
        &["begins in the past, at 2026-01-01T00:00:00Z", "at once"],
    );
    let running = brownout(&["--windows", "Mon-Sun 00:00-24:00"]);
    expect_refusal(&running, &["a window of it runs right now"]);
    let short = brownout(&["--percent", "100", "--from", "now", "--notice", "48h"]);
    expect_refusal(&short, &["at once"]);
    let soon = keyferry::clock::now().plus(std::time::Duration::from_hours(2));
    let short = brownout(&["--percent", "100", "--from", &soon.to_string()]);
    expect_refusal(&short, &["24 hours of notice"]);
    // Insisting takes a reason.
    let mute = brownout(&["--percent", "100", "--from", "now", "--force"]);
    assert_eq!(mute.status.code(), Some(64), "{mute:#?}");
    assert!(mute.errors.contains("--reason"), "{mute:#?}");
    get(&gateway, &alice).expect_status(200);

    // With notice, it is set and refuses nobody yet.
    let set = phase(&gateway, &["brownout", "--all", "--percent", "100"]);
    let first = set["setting"]["brownout"]["next_refusal"].as_str().unwrap();
    let since = set["setting"]["since"].as_str().unwrap();
    assert_eq!(unix(first) - unix(since), 24 * 3600);
    wait_told(&gateway, &alice, true).expect_status(200);
    // Insisted on, it refuses.
    phase(
        &gateway,
        &[&["brownout", "--all"], &percent[..], &AT_ONCE[..]].concat(),
    );
    wait_status(&gateway, &alice, 403);
}

#[test]
fn a_dry_run_names_who_would_be_hit_and_changes_nothing() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let [alice, bob, other] = ["alice", "bob", "other"].map(|name| world.client(name));
    let [alice_id, bob_id, _] = [&alice, &bob, &other].map(|client| client_id(&gateway, client));
    gateway.claim_key(&bob);
    for id in [&alice_id, &bob_id] {
        ask(
            &gateway,
            &["client", "tag", id, "--add", "mobile", "region=eu"],
        );
    }
    ask(
        &gateway,
        &["client", "tag", &bob_id, "--remove", "region=eu"],
    );
    ask(&gateway, &["client", "add", "silent", "--tag", "mobile"]);
    phase(&gateway, &["announce", "--all"]);

    let dry = [
        "brownout",
        "--cohort",
        "mobile",
        "--windows",
        "Tue 10:00-11:00",
        "Thu 10:00-11:00",
    ];
    let dry = [
        &dry[..],
        &["--zone", "Europe/Berlin", "--dry-run", "--notice", "1d"],
    ]
    .concat();
    // What was seen is written every few seconds.
    let report = wait_for("the sightings to be written", || {
        let command = [&["phase"], &dry[..], &["--output", "json"]].concat();
        let told = gateway.cli(&command);
        // It may be the very day and hour on which a window runs.
        let told = if told.status.success() {
            told
        } else {
            gateway.cli(&[&command[..], &["--force", "--reason", "a window runs"]].concat())
        };
        let report = told.expect_success().json();
        let hit = report["clients"]["by_certificate"]
            .as_array()
            .unwrap()
            .len();
        (hit == 2).then_some(report)
    });
    assert_eq!(
        (&report["dry_run"], &report["clients"]["total"]),
        (&json!(true), &json!(3))
    );
    let mut expected = [alice_id.as_str(), bob_id.as_str()];
    expected.sort_unstable();
    assert_eq!(report["clients"]["by_certificate"], json!(expected));
    assert_eq!(report["clients"]["without_key"], json!([alice_id]));
    let listed = phase(&gateway, &["list"]);
    assert_eq!(listed["phases"].as_array().unwrap().len(), 1, "{listed:#}");

    let cohort = ask(
        &gateway,
        &["client", "list", "--cohort", "mobile,!region=eu"],
    );
    let ids = cohort["clients"].as_array().unwrap().iter();
    let ids: Vec<_> = ids
        .map(|client| client["client_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [bob_id.as_str(), "silent"]);
}

#[test]
fn o12_retiring_is_guarded_and_undoing_it_restores_exactly() {
    let (world, backend) = (World::new(), Backend::start());
    let mut gateway = Gateway::start(&world, &backend);
    let [alice, moved] = ["alice", "moved"].map(|name| world.client(name));
    let key = gateway.claim_key(&moved);
    let (alice_id, moved_id) = (client_id(&gateway, &alice), client_id(&gateway, &moved));
    ask(&gateway, &["client", "tag", &alice_id, "--add", "servers"]);
    phase(
        &gateway,
        &[
            "announce",
            "--cohort",
            "servers",
            "--sunset",
            "2027-06-30",
            "--reason",
            "the plan",
        ],
    );
    let told = notice(&wait_told(&gateway, &alice, true));
    let set = phase(&gateway, &["list"]);

    let refused = wait_for("the sightings to be written", || {
        let dry = ["phase", "retire", "--cohort", "servers", "--dry-run"];
        Some(gateway.cli(&dry)).filter(|told| !told.status.success())
    });
    expect_refusal(
        &refused,
        &["1 client(s)", "still called by certificate", &alice_id],
    );
    assert!(!refused.errors.contains(&moved_id), "{refused:#?}");
    get(&gateway, &alice).expect_status(200);

    let forced = ["--force", "--reason", "the contract ended"];
    phase(
        &gateway,
        &[&["retire", "--cohort", "servers"], &forced[..]].concat(),
    );
    let refused = wait_status(&gateway, &alice, 401).expect_refusal(401, "certificate_retired");
    assert_eq!(notice(&refused), told);
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("API key")
    );
    get(&gateway, &moved).expect_status(200);
    by_key(&gateway, &key);
    // Still asked for, so still good for fetching a key.
    assert_eq!(whoami(&gateway, &alice)["phase"]["is"], "retired");
    let own = gateway.claim_key(&alice);
    by_key(&gateway, &own);
    get(&gateway, &alice).expect_refusal(401, "certificate_retired");

    gateway.stop();
    gateway.start_again();
    get(&gateway, &alice).expect_refusal(401, "certificate_retired");
    phase(&gateway, &["undo"]);
    let restored = wait_status(&gateway, &alice, 200);
    assert_eq!(notice(&restored), told);
    let without_traffic = |list: &Json| {
        let mut list = list.clone();
        list["phases"][0]["by_certificate"] = Json::Null;
        list
    };
    assert_eq!(
        without_traffic(&phase(&gateway, &["list"])),
        without_traffic(&set)
    );
    gateway.stop();
    gateway.start_again();
    assert_eq!(notice(&get(&gateway, &alice).expect_status(200)), told);
}

#[test]
fn undoing_goes_back_to_where_nothing_was_set() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let alice_id = client_id(&gateway, &alice);
    ask(&gateway, &["client", "tag", &alice_id, "--add", "servers"]);
    phase(&gateway, &["announce", "--all", "--sunset", "2027-06-30"]);
    phase(
        &gateway,
        &["announce", "--cohort", "servers", "--sunset", "2027-01-31"],
    );
    let own = wait_told(&gateway, &alice, true);
    assert_eq!(own.header("sunset"), "Sun, 31 Jan 2027 00:00:00 GMT");

    // Without a target, the most recent change first.
    phase(&gateway, &["undo"]);
    wait_for("the phase of all to hold", || {
        let answer = get(&gateway, &alice).expect_status(200);
        (answer.header("sunset") == "Wed, 30 Jun 2027 00:00:00 GMT").then_some(())
    });
    let undone = phase(&gateway, &["undo", "--reason", "not yet"]);
    assert_eq!(
        (&undone["target"], &undone["setting"]),
        (&json!("all"), &Json::Null)
    );
    wait_told(&gateway, &alice, false).expect_status(200);
    expect_refusal(&gateway.cli(&["phase", "undo"]), &["set a phase instead"]);
    let shown = ask(&gateway, &["client", "show", &alice_id]);
    assert_eq!(
        (&shown["phase"], &shown["tags"]),
        (&json!("accept"), &json!(["servers"]))
    );
}

#[test]
fn o7_no_refusal_comes_back_by_undo_unless_insisted_on() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let alice_id = client_id(&gateway, &alice);
    let undo = |arguments: &[&str]| gateway.cli(&[&["phase", "undo"], arguments].concat());
    let insist = ["--force", "--reason", "a drill"];
    phase(&gateway, &["announce", "--all"]);
    phase(
        &gateway,
        &[&["brownout", "--all", "--percent", "100"], &AT_ONCE[..]].concat(),
    );
    wait_status(&gateway, &alice, 403).expect_refusal(403, "brownout");
    let browned = phase(&gateway, &["list"]);
    phase(&gateway, &["announce", "--all"]);
    wait_status(&gateway, &alice, 200);

    for arguments in [&[][..], &["--all"], &["--dry-run"]] {
        let words = ["'all' would go back to brownout", "at once", "--force"];
        expect_refusal(&undo(arguments), &words);
    }
    let mute = undo(&["--force"]);
    assert!(mute.errors.contains("--reason"), "{mute:#?}");
    get(&gateway, &alice).expect_status(200);
    let dry = phase(&gateway, &[&["undo", "--dry-run"], &insist[..]].concat());
    assert_eq!(dry["setting"]["phase"], "brownout", "{dry:#}");
    undo(&insist).expect_success();
    wait_status(&gateway, &alice, 403);
    assert_eq!(
        phase(&gateway, &["list"])["phases"][0]["since"],
        browned["phases"][0]["since"]
    );

    // The way out of a refusal asks for nothing, also when it leads into a smaller one.
    phase(&gateway, &[&["retire", "--all"], &insist[..]].concat());
    wait_status(&gateway, &alice, 401);
    undo(&[]).expect_success();
    wait_status(&gateway, &alice, 403);
    undo(&[]).expect_success();
    wait_status(&gateway, &alice, 200);

    // Whoever was exempted comes under what was set for the others.
    phase(&gateway, &["accept", "--client", &alice_id]);
    phase(&gateway, &[&["retire", "--all"], &insist[..]].concat());
    let client = ["--client", &alice_id];
    let words = [
        "would go back to retired: 1 client(s)",
        "still called by certificate",
        &alice_id,
    ];
    // What was seen is written every few seconds.
    let refused = wait_for("the sightings to be written", || {
        let dry = undo(&[&client[..], &["--dry-run"]].concat());
        Some(dry).filter(|told| !told.status.success())
    });
    expect_refusal(&refused, &words);
    get(&gateway, &alice).expect_status(200);
    undo(&[&client[..], &insist[..]].concat()).expect_success();
    wait_status(&gateway, &alice, 401);
}

/// Whether the gateway asks this connection for a client certificate.
fn is_asked(transcript: &Transcript) -> bool {
    let says = |words| transcript.output.contains(words);
    let asked = says("Acceptable client certificate CA names");
    assert_ne!(
        asked,
        says("No client certificate CA names sent"),
        "{transcript:#?}"
    );
    asked
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n";

#[test]
fn o12_once_all_are_retired_certificates_are_not_asked_for_until_that_is_undone() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let [alice, moved] = ["alice", "moved"].map(|name| world.client(name));
    let key = gateway.claim_key(&moved);
    let exempt = client_id(&gateway, &alice);
    let look = |version: &str| gateway.s_client().tls(version).send(REQUEST);
    assert!(is_asked(&look("1.2")) && is_asked(&look("1.3")));

    let forced = ["--all", "--force", "--reason", "the end"];
    phase(&gateway, &["accept", "--client", &exempt]);
    phase(&gateway, &[&["retire"], &forced[..]].concat());
    wait_status(&gateway, &moved, 401).expect_refusal(401, "certificate_retired");
    // Somebody still comes by certificate, so all are asked.
    get(&gateway, &alice).expect_status(200);
    assert!(is_asked(&look("1.3")));

    let undo = ["undo", "--client", &exempt];
    phase(&gateway, &[&undo[..], &forced[1..]].concat());
    wait_for("the gateway to ask no more", || {
        (!is_asked(&look("1.3"))).then_some(())
    });
    let (silent, kept) = (look("1.2"), world.path("without"));
    assert!(
        !is_asked(&silent) && silent.status() == Some(401),
        "{silent:#?}"
    );
    let missing = get(&gateway, &alice).expect_refusal(401, "credential_missing");
    let detail = missing.json()["detail"].to_string();
    assert!(
        detail.contains("API key") && !detail.contains("certificate"),
        "{detail}"
    );
    by_key(&gateway, &key);
    let session = gateway
        .s_client()
        .certificate(&alice)
        .keep_session(&kept)
        .send(REQUEST);
    assert_eq!(session.status(), Some(401));
    let again = gateway.s_client().resume_session(&kept).send(REQUEST);
    assert!(
        again.was_resumed(),
        "a session without certificates goes on: {again:#?}"
    );

    phase(&gateway, &["undo", "--all"]);
    wait_for("the gateway to ask again", || {
        is_asked(&look("1.3")).then_some(())
    });
    assert!(is_asked(&look("1.2")));
    get(&gateway, &alice).expect_status(200);
    // A session of the time in between does not keep its client from showing its certificate.
    let back = gateway
        .s_client()
        .certificate(&alice)
        .resume_session(&kept)
        .send(REQUEST);
    assert!(!back.was_resumed(), "{back:#?}");
    assert_eq!(back.status(), Some(200), "{back:#?}");
    by_key(&gateway, &key);
}

/// A gateway with a host for the clients of each of two authorities, the second one's name, and an
/// authority for it.
fn with_partners(world: &World, backend: &Backend) -> (Gateway, &'static str, Issued) {
    let (host, partners) = ("partners.example.com", root("Partners Root").self_signed());
    let server = server(host).signed_by(&world.servers);
    let certificate = |name: &str| {
        let files = [("certificate_file", "pem"), ("key_file", "key")];
        let files =
            files.map(|(setting, end)| (setting.to_owned(), format!("{name}.{end}").into()));
        files.into_iter().collect::<toml::Table>()
    };
    let route = |name: &str, host: &str, ca: &str| {
        let mut route = toml::toml! { path = "/" backend = "echo" accept = "either" };
        route.insert("name".to_owned(), name.into());
        route.insert("host".to_owned(), host.into());
        route.insert("cas".to_owned(), vec![ca].into());
        route
    };
    let gateway = Gateway::builder(world)
        .file("partners-root.pem", partners.pem())
        .file("partners.pem", server.chain_pem())
        .file("partners.key", server.key_pem())
        .set(
            "listener.certificate",
            ["gateway", "partners"].map(certificate).to_vec(),
        )
        .push(
            "ca",
            toml::toml! { name = "partners" file = "partners-root.pem" },
        )
        .backend("echo", backend.address())
        .push("route", route("api", HOST, "clients"))
        .push("route", route("partners", host, "partners"))
        .start();
    (gateway, host, partners)
}

#[test]
fn o12_each_host_asks_for_as_long_as_somebody_is_left_to_come_there() {
    let (world, backend) = (World::new(), Backend::start());
    let (gateway, partners, authority) = with_partners(&world, &backend);
    let alice = world.client("alice");
    let pat = world.files(leaf("pat").signed_by(&authority));
    let key = gateway.claim_key(&alice);
    let pat_id = client_id(&gateway, &pat);
    let look = |name: &str, version: &str| {
        let client = SClient::to(gateway.address(), name).tls(version);
        client
            .send(format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n").as_bytes())
    };
    let asked = |name: &str| {
        let [old, new] = ["1.2", "1.3"].map(|version| is_asked(&look(name, version)));
        assert_eq!(old, new, "{name}");
        new
    };
    let at_partners = |client| gateway.curl_at(partners, "/").certificate(client).send();
    let session = world.path("session");
    let before = gateway
        .s_client()
        .certificate(&alice)
        .keep_session(&session);
    assert_eq!(before.send(REQUEST).status(), Some(200));
    at_partners(&pat).expect_status(200);
    assert!(asked(HOST) && asked(partners) && asked("unknown.example.com"));

    let insist = ["--force", "--reason", "the end"];
    phase(&gateway, &["accept", "--client", &pat_id]);
    phase(&gateway, &[&["retire", "--all"], &insist[..]].concat());
    wait_for("the host of the clients to ask no more", || {
        (!is_asked(&look(HOST, "1.3"))).then_some(())
    });
    assert!(!asked(HOST) && asked(partners) && asked("unknown.example.com"));
    at_partners(&pat).expect_status(200);
    // Whoever comes there is told of the key alone, and a session of before is not taken up.
    let missing = get(&gateway, &alice).expect_refusal(401, "credential_missing");
    let told = missing.json();
    for member in ["detail", "next_step"] {
        let text = told[member].to_string();
        assert!(text.contains("Bearer") && !text.contains("cert"), "{text}");
    }
    let resumed = gateway.s_client().resume_session(&session).send(REQUEST);
    assert!(
        !resumed.was_resumed() && resumed.status() == Some(401),
        "{resumed:#?}"
    );
    by_key(&gateway, &key);
    // A request for the other host on such a connection has proven nothing.
    let request = format!("GET / HTTP/1.1\r\nHost: {partners}\r\nConnection: close\r\n\r\n");
    let coalesced = gateway
        .s_client()
        .certificate(&pat)
        .send(request.as_bytes());
    assert!(
        coalesced.status() == Some(401) && coalesced.output.contains("credential_missing"),
        "{coalesced:#?}"
    );

    let client = ["undo", "--client", &pat_id];
    phase(&gateway, &[&client[..], &insist[..]].concat());
    wait_for("nobody to be asked", || {
        (!is_asked(&look(partners, "1.3"))).then_some(())
    });
    assert!(!asked(HOST) && !asked(partners) && !asked("unknown.example.com"));
    phase(&gateway, &["undo", "--all"]);
    wait_for("everybody to be asked again", || {
        is_asked(&look(HOST, "1.3")).then_some(())
    });
    assert!(asked(HOST) && asked(partners) && asked("unknown.example.com"));
    get(&gateway, &alice).expect_status(200);
    at_partners(&pat).expect_status(200);
}

#[test]
fn o12_whoever_has_a_certificate_announced_is_asked_for_it() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let acme = world.client("acme");
    ask(&gateway, &["client", "add", "acme"]);
    phase(&gateway, &["accept", "--client", "acme"]);
    phase(
        &gateway,
        &["retire", "--all", "--force", "--reason", "the end"],
    );
    // The control: he who is accepted has no certificate that is known, so nobody is asked.
    let worked_out = |times: usize| {
        wait_for("it to be worked out who is asked", || {
            let log = gateway.log();
            let found = log.matches("where clients are no longer asked").count();
            (found == times).then_some(())
        });
    };
    worked_out(1);
    get(&gateway, &acme).expect_refusal(401, "credential_missing");

    let sha1 = hex::encode(openssl::sha::sha1(&acme.issued.x509.to_der().unwrap()));
    ask(
        &gateway,
        &["certificate", "add", "--client", "acme", "--sha1", &sha1],
    );
    worked_out(2);
    assert!(is_asked(&gateway.s_client().send(REQUEST)));
    get(&gateway, &acme).expect_status(200);
    assert_eq!(backend.last().header("x-client-id"), "acme");
}

#[test]
fn a_session_of_before_is_judged_by_the_phase_of_now() {
    let (world, backend) = (World::new(), Backend::start());
    let gateway = Gateway::start(&world, &backend);
    let alice = world.client("alice");
    let kept = world.path("session");
    let before = gateway
        .s_client()
        .certificate(&alice)
        .keep_session(&kept)
        .send(REQUEST);
    assert_eq!(before.status(), Some(200));
    let id = client_id(&gateway, &alice);
    phase(
        &gateway,
        &["retire", "--client", &id, "--force", "--reason", "x"],
    );
    wait_status(&gateway, &alice, 401);
    let resumed = gateway.s_client().resume_session(&kept).send(REQUEST);
    assert!(
        resumed.was_resumed() && resumed.status() == Some(401),
        "{resumed:#?}"
    );
    assert!(
        resumed.output.contains("certificate_retired"),
        "{resumed:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn o7_a_brownout_stops_itself_at_its_budget_over_all_gateways() {
    let (world, backend) = (World::new(), Backend::start());
    let redis = RedisServer::start(&[]).await;
    let replica = || {
        Gateway::builder(&world)
            .echo(&backend)
            .redis(&redis.url())
            .start()
    };
    let (one, other) = (replica(), replica());
    let names = ["alice", "bob", "carol", "moved"];
    let [alice, bob, carol, moved] = names.map(|name| world.client(name));
    let key = one.claim_key(&moved);
    for client in [&alice, &bob, &carol] {
        get(&one, client).expect_status(200);
    }
    phase(&one, &["announce", "--all"]);
    let told = notice(&wait_told(&one, &alice, true));

    let budget = ["brownout", "--all", "--percent", "100", "--budget", "6"];
    phase(&one, &[&budget[..], &AT_ONCE[..]].concat());
    for gateway in [&one, &other] {
        wait_status(gateway, &alice, 403);
        // However often one tries again, it counts once a minute.
        for _ in 0..6 {
            get(gateway, &alice).expect_refusal(403, "brownout");
        }
        by_key(gateway, &key);
    }
    for gateway in [&one, &other] {
        for client in [&bob, &carol] {
            get(gateway, client).expect_refusal(403, "brownout");
        }
    }
    // Three here and three there: neither has reached the budget alone.
    for gateway in [&one, &other] {
        let answer = wait_status(gateway, &alice, 200);
        assert_eq!(notice(&answer), told);
    }
    let listed = phase(&one, &["list"]);
    let now = &listed["phases"][0];
    assert_eq!(
        (&now["phase"], &now["by"]),
        (&json!("announce"), &json!("the gateway"))
    );
    assert!(
        now["reason"]
            .as_str()
            .unwrap()
            .contains("the budget of the brownout was 6")
    );
    // One event, and not one of each gateway: below it is the brownout, and the announcement.
    let former = now["former"].as_array().unwrap();
    assert_eq!(former.len(), 2, "{listed:#}");

    // What the gateway did is taken back by name only, and as the brownout would be set.
    let undo = one.cli(&["phase", "undo"]);
    expect_refusal(
        &undo,
        &["the gateway's own", "the budget", "phase undo --all"],
    );
    let undo = one.cli(&["phase", "undo", "--all"]);
    expect_refusal(&undo, &["at once", "--force"]);
    get(&one, &alice).expect_status(200);
    phase(&one, &["undo", "--all", "--force", "--reason", "once more"]);
    wait_status(&one, &alice, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn o7_while_the_store_is_away_a_brownout_ends_by_what_its_gateway_counts() {
    let (world, backend) = (World::new(), Backend::start());
    let mut redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let gateway = Gateway::builder(&world)
        .echo(&backend)
        .redis(&redis.url())
        .start();
    let [alice, bob, carol, dave] =
        ["alice", "bob", "carol", "dave"].map(|name| world.client(name));
    let ids = [&alice, &bob, &carol, &dave].map(|client| client_id(&gateway, client));
    let brownout = |target: &[&str], budget: &str| {
        let plan = ["--percent", "100", "--budget", budget];
        phase(
            &gateway,
            &[&["brownout"], target, &plan[..], &AT_ONCE[..]].concat(),
        );
    };
    brownout(&["--client", &ids[3]], "1000");
    wait_status(&gateway, &dave, 403);
    brownout(&["--all"], "3");
    wait_status(&gateway, &alice, 403);

    redis.stop();
    wait_for("the gateway to miss its store", || {
        (gateway.metric("keyferry_store_up") == 0.0).then_some(())
    });
    for client in [&alice, &bob, &carol] {
        get(&gateway, client).expect_refusal(403, "brownout");
    }
    // Three felt it, and that was the budget.
    for client in [&alice, &bob, &carol] {
        get(&gateway, client).expect_status(200);
    }
    // Where the budget is not spent, it goes on.
    get(&gateway, &dave).expect_refusal(403, "brownout");
    wait_for("the gateway to say so", || {
        (gateway.metric("keyferry_brownouts_spent") > 0.0).then_some(())
    });
    assert!(gateway.log().contains("refuses nobody at this gateway"));

    assert!(redis.start_again().await);
    let stopped = wait_for("the store to be told", || {
        get(&gateway, &alice).expect_status(200);
        let told = gateway.cli(&["phase", "list", "--output", "json"]);
        let listed = Some(told).filter(|told| told.status.success())?.json();
        let phases = listed["phases"].as_array().unwrap().clone();
        let all = phases.into_iter().find(|phase| phase["target"] == "all");
        all.filter(|all| all["phase"] == "announce")
    });
    assert_eq!(stopped["by"], "the gateway");
    wait_for("the gateway to have nothing to say", || {
        (gateway.metric("keyferry_brownouts_spent") == 0.0).then_some(())
    });
    get(&gateway, &dave).expect_refusal(403, "brownout");
}
