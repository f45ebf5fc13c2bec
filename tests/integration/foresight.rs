//! What the operator is told of the past and of what is ahead, from a store that has seen weeks.

use keyferry::certificate::{CertificateRecord, Facts, Fingerprint, Mapping, Source};
use keyferry::client::{ClientId, ClientRecord, Counts, LastRefusal, RefusalCode, Seen, Sighting};
use keyferry::clock::{self, Day, Timestamp};
use keyferry::key::{ApiKey, Format, KeyId, KeyRecord, Pepper, Peppers};
use keyferry::secret::SecretBytes;
use keyferry::store::embedded::Embedded;
use keyferry::store::{Action, Actor, Batch, BatchId, Change, DayCounts, Store as _, Write};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::backend::Backend;
use crate::support::gateway::{Gateway, PEPPER};
use crate::support::world::World;

/// How many clients there are; one of them moves a day.
const CLIENTS: u32 = 60;
/// How long ago everything began, in days.
const BEGUN: u32 = 60;

/// A client's past: by certificate every day, until the day on which it begins to use its key.
struct Past {
    id: ClientId,
    /// How many days ago it moves; negative when it has not.
    moved: Option<u32>,
    certificate_ends_in: i64,
    tagged: bool,
}

/// The client `n` moved `36 - n` days ago, or not yet.
fn past(n: u32) -> Past {
    Past {
        id: format!("c{n:06}").parse().unwrap(),
        moved: (n <= 36).then(|| 36 - n),
        certificate_ends_in: if n + 1 == CLIENTS { 2 } else { 200 },
        tagged: n.is_multiple_of(2),
    }
}

fn today() -> Day {
    clock::now().day()
}

fn days_ago(days: u32) -> Timestamp {
    today().minus(days).start()
}

fn peppers() -> Peppers {
    let secret = SecretBytes::new(PEPPER.as_bytes().to_vec());
    Peppers::new(Pepper::new(1, &secret), [])
}

/// The records of a client, its calls, and when it was seen last.
fn records(past: &Past, peppers: &Peppers) -> Vec<Write> {
    let (begun, id) = (days_ago(BEGUN), KeyId::generate());
    let format = Format::new("kf", "live").unwrap();
    let key = KeyRecord {
        digest: Some(ApiKey::generate(id, &format).unwrap().digest(peppers)),
        issued_at: Some(days_ago(50)),
        ..KeyRecord::reserved(id, past.id.clone(), begun)
    };
    let mut client = ClientRecord::new(past.id.clone(), None, begun);
    if past.tagged {
        client.tags.insert("even".parse().unwrap());
    }
    let mapping = Mapping::Mapped {
        client: past.id.clone(),
        key: id,
    };
    let fingerprint = Fingerprint::of(past.id.as_str().as_bytes());
    let end = clock::now().as_unix() + past.certificate_ends_in * 86_400;
    let facts = Facts {
        subject: format!("CN={}", past.id),
        issuer: "CN=Clients".to_owned(),
        serial: "01".to_owned(),
        alternative_names: Vec::new(),
        spki: fingerprint.to_string(),
        not_before: begun,
        not_after: Timestamp::from_unix(end),
    };
    let certificate = CertificateRecord::new(fingerprint, mapping, Source::FirstSight, begun);
    vec![
        Write::create(client),
        Write::create(key),
        Write::create(certificate.with_facts(Some(facts))),
    ]
}

/// What it sent: ten requests a day by certificate since 45 days ago, then ten by key; on the day
/// of its move both.
fn calls(past: &Past) -> Vec<DayCounts> {
    (0..=45)
        .map(|ago| DayCounts {
            client: past.id.clone(),
            day: today().minus(ago),
            counts: Counts {
                by_certificate: if past.moved.is_none_or(|moved| ago >= moved) {
                    10
                } else {
                    0
                },
                by_key: if past.moved.is_some_and(|moved| ago <= moved) {
                    10
                } else {
                    0
                },
                refused: 0,
            },
        })
        .collect()
}

fn sighting(past: &Past) -> Sighting {
    let seen = Seen {
        by_certificate: Some(days_ago(past.moved.unwrap_or(0))),
        by_key: past.moved.map(|_| days_ago(0)),
    };
    Sighting {
        seen,
        ..Sighting::nothing_of(past.id.clone())
    }
}

/// Puts `clients` with their past into the store of a gateway that does not run.
async fn fill(gateway: &Gateway, clients: u32) {
    let store = Embedded::open(&gateway.store_file()).unwrap();
    let peppers = peppers();
    let pasts: Vec<_> = (0..clients).map(past).collect();
    for some in pasts.chunks(1000) {
        let writes = some
            .iter()
            .flat_map(|past| records(past, &peppers))
            .collect();
        let change = Change::new(Action::ClientAdded, Actor::Gateway, days_ago(BEGUN), writes);
        store.commit(&change).await.unwrap();
    }
    let silent = ClientRecord::new("silent".parse().unwrap(), None, days_ago(BEGUN));
    let lost = ClientRecord::new("lost".parse().unwrap(), None, days_ago(BEGUN));
    let two = vec![Write::create(silent), Write::create(lost)];
    let change = Change::new(Action::ClientAdded, Actor::Gateway, days_ago(BEGUN), two);
    store.commit(&change).await.unwrap();

    let refused = Sighting {
        refused: Some(LastRefusal {
            at: clock::now(),
            code: RefusalCode::known("certificate_expired"),
        }),
        ..Sighting::nothing_of("lost".parse().unwrap())
    };
    let (writer, mut number) = (Uuid::now_v7(), 0);
    let mut next = || {
        number += 1;
        Batch::empty(BatchId { writer, number }, today())
    };
    let sightings: Vec<_> = pasts.iter().map(sighting).chain([refused]).collect();
    for sightings in sightings.chunks(50_000) {
        let batch = Batch {
            sightings: sightings.to_vec(),
            ..next()
        };
        store.saw(&batch).await.unwrap();
    }
    let counts: Vec<_> = pasts.iter().flat_map(calls).collect();
    for counts in counts.chunks(100_000) {
        let batch = Batch {
            counts: counts.to_vec(),
            ..next()
        };
        store.saw(&batch).await.unwrap();
    }
}

/// A gateway whose store has seen weeks; it is stopped.
async fn with_a_past(world: &World, clients: u32) -> (Gateway, Backend) {
    let backend = Backend::start();
    let mut gateway = Gateway::start(world, &backend);
    gateway.stop();
    fill(&gateway, clients).await;
    (gateway, backend)
}

fn ask(gateway: &Gateway, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    gateway.cli(&arguments).expect_success().json()
}

#[tokio::test]
async fn status_tells_how_the_move_went_and_what_is_ahead() {
    let world = World::new();
    let (gateway, _backend) = with_a_past(&world, CLIENTS).await;
    let status = ask(&gateway, &["status"]);
    // 23 have not moved; of the 37 that have, those of the last 7 days still count as dual.
    let stages = &status["clients"]["by_stage"];
    assert_eq!(
        (
            &stages["key-issued"],
            &stages["dual"],
            &stages["key-only"],
            &stages["registered"]
        ),
        (&json!(23), &json!(7), &json!(30), &json!(2)),
        "{stages}"
    );
    let burndown = status["burndown"].as_array().unwrap();
    assert_eq!(burndown.len(), 46);
    let remaining: Vec<_> = burndown
        .iter()
        .map(|day| day["remaining"].as_u64().unwrap())
        .collect();
    assert_eq!((remaining[0], remaining[45]), (60, 30));
    assert!(
        remaining.is_sorted_by(|before, after| before >= after),
        "{remaining:?}"
    );
    for day in burndown {
        let stages = day["by_stage"].as_object().unwrap().values();
        assert_eq!(
            stages.map(|count| count.as_u64().unwrap()).sum::<u64>(),
            62,
            "{day}"
        );
    }
    // One client a day, so the 30 that remain take 30 days; before, it was the same pace.
    assert_eq!(status["forecast"]["is"], "between");
    let ahead = |field: &str| {
        let day: Day = status["forecast"][field].as_str().unwrap().parse().unwrap();
        day.number() - today().number()
    };
    assert_eq!((ahead("earliest"), ahead("latest")), (30, 30));
    let cliff = &status["expiry_cliff"];
    assert_eq!(
        (&cliff["within_3_days"], &cliff["within_90_days"]),
        (&json!(1), &json!(1))
    );
    let week = &status["traffic"]["last_7_days"];
    assert_eq!(week["by_certificate"], json!(23 * 70 + 280));
    assert_eq!(status["flags"]["unclaimed"], 23);
    assert_eq!(
        (&status["flags"]["silent"], &status["flags"]["expiring"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        status["refused_today"],
        json!({ "clients": 1, "by_reason": { "certificate_expired": 1 } })
    );

    let text = gateway.cli(&["status"]).expect_success().output;
    for part in [
        "key-issued 23",
        "refused today        1   certificate_expired 1",
        "within 3 days 1",
        "silent 1 · unclaimed 23",
        "forecast: none remains about ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let silent = ask(&gateway, &["client", "list", "--flag", "silent"]);
    assert_eq!(silent["clients"][0]["client_id"], "silent");
    assert_eq!(silent["clients"].as_array().map(Vec::len), Some(1));
    let shown = ask(&gateway, &["client", "show", "c000059"]);
    assert_eq!(shown["flags"], json!(["expiring", "unclaimed"]));
}

#[tokio::test]
async fn what_if_names_who_would_break_from_what_was_seen() {
    let world = World::new();
    let (gateway, _backend) = with_a_past(&world, CLIENTS).await;
    let off = Day::from_number(today().number() + 30).to_string();
    let what_if = ["what-if", "--certificates-off", &off];
    let told = ask(&gateway, &what_if);
    let clients = |told: &Value, outcome: &str| told["outcomes"][outcome]["clients"].clone();
    assert_eq!(clients(&told, "would_break"), 22);
    assert_eq!(clients(&told, "ends_before"), 1);
    assert_eq!(clients(&told, "dual"), 30);
    assert_eq!(clients(&told, "moved"), 7);
    assert_eq!(clients(&told, "silent"), 2);
    assert_eq!(
        (&told["clients"], &told["list"]),
        (&json!(62), &Value::Null)
    );
    let breaking = &told["outcomes"]["would_break"];
    assert_eq!(breaking["requests_by_certificate"], 22 * 300);
    let share = breaking["traffic_share"].as_f64().unwrap();
    assert!((0.3..0.4).contains(&share), "{share}");
    assert_eq!(told["outcomes"]["silent"]["without_key"], 2);

    let even = ask(
        &gateway,
        &[&what_if[..], &["--cohort", "even", "--list"]].concat(),
    );
    assert_eq!(clients(&even, "would_break"), 11);
    let list = even["list"].as_array().unwrap();
    assert_eq!(list[0]["outcome"], "would_break");
    assert!(list.iter().all(|line| line["outcome"] != "moved"));

    let text = gateway.cli(&[&what_if[..], &["--list"]].concat());
    let text = text.expect_success().output;
    assert!(
        text.starts_with("62 clients, if certificates were refused from"),
        "{text}"
    );
    assert!(
        text.contains("c000059") && !text.contains("c000001"),
        "{text}"
    );

    let yesterday = today().minus(1).to_string();
    let told = gateway.cli(&["what-if", "--certificates-off", &yesterday]);
    assert_eq!(told.status.code(), Some(64), "{told:#?}");
}
