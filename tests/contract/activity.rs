//! What was seen: times that merge, and counts that are added once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use keyferry::certificate::Fingerprint;
use keyferry::client::{
    ClientId, Counts, CredentialId, History, LastRefusal, LastUse, RefusalCode, Seen, Sighting, Use,
};
use keyferry::clock::{self, Day, Timestamp};
use keyferry::limit::Demand;
use keyferry::store::{Batch, BatchId, DayCounts, Epoch, Legible, Spent, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::adapter::{Kind, Rig};
use super::records::client_id;

pub(crate) const TODAY: Day = Day::from_number(20_780);
/// All days that are kept.
pub(crate) const DAYS: RangeInclusive<Day> = TODAY.minus(399)..=TODAY;

/// The batch `number` of a new writer, with one entry in each list.
pub(crate) fn batch(number: u64) -> Batch {
    let at = Timestamp::from_unix(1);
    Batch {
        sightings: vec![seen("a", Some(1), None)],
        uses: vec![Use {
            credential: credential(),
            last: LastUse {
                at,
                from: [192, 0, 2, 1].into(),
            },
        }],
        counts: vec![day("a", TODAY, counts(1, 0, 0))],
        spent: vec![Spent {
            phase: Epoch(1),
            refusals: 1,
        }],
        ..empty(Uuid::now_v7(), number)
    }
}

/// The credential of [`batch`].
pub(crate) fn credential() -> CredentialId {
    CredentialId::Certificate(Fingerprint::of(b"a"))
}

fn empty(writer: Uuid, number: u64) -> Batch {
    Batch::empty(BatchId { writer, number }, TODAY)
}

fn of_sightings(sightings: Vec<Sighting>) -> Batch {
    Batch {
        sightings,
        ..empty(Uuid::now_v7(), 1)
    }
}

fn of_uses(uses: Vec<Use>) -> Batch {
    Batch {
        uses,
        ..empty(Uuid::now_v7(), 1)
    }
}

pub(crate) fn seen(name: &str, certificate: Option<i64>, key: Option<i64>) -> Sighting {
    Sighting {
        seen: Seen {
            by_certificate: certificate.map(Timestamp::from_unix),
            by_key: key.map(Timestamp::from_unix),
        },
        ..Sighting::nothing_of(client_id(name))
    }
}

fn refused(name: &str, at: i64, code: &str) -> Sighting {
    Sighting {
        conflict: Some(Timestamp::from_unix(at)),
        refused: Some(LastRefusal {
            at: Timestamp::from_unix(at),
            code: code.parse().unwrap(),
        }),
        ..Sighting::nothing_of(client_id(name))
    }
}

pub(crate) fn day(name: &str, day: Day, counts: Counts) -> DayCounts {
    DayCounts {
        client: client_id(name),
        day,
        counts,
    }
}

pub(crate) const fn counts(by_certificate: u64, by_key: u64, refused: u64) -> Counts {
    Counts {
        by_certificate,
        by_key,
        refused,
    }
}

async fn all(store: &dyn Store, days: RangeInclusive<Day>) -> BTreeMap<ClientId, History> {
    let mut all = BTreeMap::<_, History>::new();
    store
        .all_counts(days, &mut |client, history| {
            all.entry(client).or_default().extend(history);
        })
        .await
        .unwrap();
    all
}

pub(crate) async fn sightings_keep_the_latest_and_make_no_event(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    for sightings in [
        vec![],
        vec![
            seen("a", Some(50), None),
            refused("a", 9, "certificate_expired"),
        ],
        vec![seen("a", Some(40), Some(7)), seen("c", None, Some(-1))],
        vec![
            seen("a", Some(60), Some(6)),
            refused("a", 8, "key_invalid"),
            seen("a", Some(59), None),
        ],
    ] {
        let batch = of_sightings(sightings);
        store.saw(&batch).await.unwrap();
        // As another writer's: merging needs no numbers.
        store.saw(&of_sightings(batch.sightings)).await.unwrap();
    }
    let known = rig.handle().await.sightings().await.unwrap().entries;
    let latest = refused("a", 9, "certificate_expired").merge(seen("a", Some(60), Some(7)));
    assert_eq!(known, [latest, seen("c", None, Some(-1))]);
    for one in &known {
        let alone = store.sighting(&one.client).await.unwrap();
        assert_eq!(alone.entries, std::slice::from_ref(one));
        assert_eq!(alone.damaged, []);
    }
    let nobody = store.sighting(&client_id("b")).await.unwrap();
    assert_eq!(nobody, Legible::default());
    assert_eq!(store.head().await.unwrap().epoch, Epoch::NONE);
    let code = RefusalCode::known("certificate_expired");
    assert_eq!(known[0].refused.as_ref().map(|it| &it.code), Some(&code));
}

pub(crate) async fn a_credential_keeps_its_last_use_and_where_it_came_from(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let certificate = credential();
    let key: CredentialId = format!("key:{}", Uuid::now_v7().simple()).parse().unwrap();
    let last_used = |credential, at, from: &str| Use {
        credential,
        last: LastUse {
            at: Timestamp::from_unix(at),
            from: from.parse().unwrap(),
        },
    };
    for uses in [
        vec![
            last_used(certificate, 99, "192.0.2.1"),
            last_used(key, 7, "::1"),
        ],
        vec![last_used(certificate, 100, "2001:db8::1")],
        vec![
            last_used(certificate, 9, "192.0.2.9"),
            last_used(key, 7, "::1"),
        ],
    ] {
        store.saw(&of_uses(uses)).await.unwrap();
    }
    let other = rig.handle().await;
    let mut uses = other.uses().await.unwrap().entries;
    uses.sort_by_key(|used| used.credential);
    let latest = [
        last_used(certificate, 100, "2001:db8::1"),
        last_used(key, 7, "::1"),
    ];
    assert_eq!(uses, latest);
    // Of one alone, and of one that was never used.
    for Use { credential, last } in latest {
        assert_eq!(other.last_use(&credential).await.unwrap(), Some(last));
    }
    let never = CredentialId::Certificate(Fingerprint::of(b"b"));
    assert_eq!(other.last_use(&never).await.unwrap(), None);
}

pub(crate) async fn a_batch_that_is_told_again_counts_once(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let writer = Uuid::now_v7();
    let number = |number| Batch {
        id: BatchId { writer, number },
        ..batch(number)
    };
    let count = async || {
        let day = store.counts(&client_id("a"), DAYS).await.unwrap();
        let total = store.totals(DAYS).await.unwrap();
        assert_eq!(day, total);
        let spent = store.spent(Epoch(1)).await.unwrap();
        assert_eq!(day[&TODAY].by_certificate, spent);
        spent
    };
    store.saw(&number(1)).await.unwrap();
    store.saw(&number(1)).await.unwrap();
    assert_eq!(count().await, 1);
    store.saw(&number(2)).await.unwrap();
    // One that comes late counts no more either.
    store.saw(&number(1)).await.unwrap();
    rig.handle().await.saw(&number(2)).await.unwrap();
    assert_eq!(count().await, 2);
    // The numbers of another writer are its own.
    store.saw(&batch(1)).await.unwrap();
    assert_eq!(count().await, 3);
}

pub(crate) async fn counts_add_up_over_clients_days_and_writers(kind: Kind) {
    const WRITERS: u64 = 8;
    let rig = Rig::start(kind).await;
    let before = TODAY.minus(40);
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let store = rig.handle().await;
        tasks.spawn(async move {
            let writer = Uuid::now_v7();
            for (number, today) in [(1, before), (2, TODAY)] {
                let batch = Batch {
                    today,
                    counts: vec![
                        day("a", today, counts(1, 200, 0)),
                        day("a", today.minus(1), counts(0, 0, 70_000)),
                        day("b", today, counts(0, 0, 1)),
                        day("b", today, counts(0, 3, 0)),
                    ],
                    ..empty(writer, number)
                };
                store.saw(&batch).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let store = rig.handle().await;
    let of = |today: Day, yesterday, now| [(today.minus(1), yesterday), (today, now)];
    let expected = |yesterday, now| {
        let days = of(before, yesterday, now).into_iter();
        let days: History = days.chain(of(TODAY, yesterday, now)).collect();
        days.into_iter()
            .filter(|(_, counts)| !counts.is_none())
            .collect::<History>()
    };
    let a = expected(
        counts(0, 0, 70_000 * WRITERS),
        counts(WRITERS, 200 * WRITERS, 0),
    );
    let b = expected(Counts::default(), counts(0, 3 * WRITERS, WRITERS));
    let totals = expected(
        counts(0, 0, 70_000 * WRITERS),
        counts(WRITERS, 203 * WRITERS, WRITERS),
    );
    assert_eq!(store.counts(&client_id("a"), DAYS).await.unwrap(), a);
    assert_eq!(store.totals(DAYS).await.unwrap(), totals);
    let both = [(client_id("a"), a), (client_id("b"), b)];
    assert_eq!(all(&*store, DAYS).await, BTreeMap::from(both.clone()));

    // Only the days that are asked for, and nothing of whoever was not there.
    let one = before..=before;
    let of_one = store.counts(&client_id("a"), one.clone()).await.unwrap();
    assert_eq!(of_one.keys().collect::<Vec<_>>(), [&before]);
    assert_eq!(store.totals(one.clone()).await.unwrap().len(), 1);
    assert_eq!(all(&*store, one).await[&client_id("b")].len(), 1);
    let nobody = store.counts(&client_id("nobody"), DAYS).await.unwrap();
    assert!(nobody.is_empty());
    assert!(
        all(&*store, TODAY.minus(20)..=TODAY.minus(10))
            .await
            .is_empty()
    );
}

pub(crate) async fn only_the_days_that_are_kept_are_counted(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let (oldest, too_old) = (TODAY.minus(399), TODAY.minus(440));
    let told = Batch {
        counts: vec![
            day("a", oldest, counts(1, 0, 0)),
            day("a", too_old, counts(1, 0, 0)),
        ],
        ..empty(Uuid::now_v7(), 1)
    };
    store.saw(&told).await.unwrap();
    let a = client_id("a");
    let known = |until| store.counts(&a, Day::from_number(0)..=until);
    assert_eq!(known(TODAY).await.unwrap().len(), 1);
    assert!(known(too_old).await.unwrap().is_empty());
    assert_eq!(store.totals(DAYS).await.unwrap().len(), 1);

    // Time goes on; the next batch of anybody finds that it is too old.
    let today = Day::from_number(TODAY.number() + 64);
    let later = Batch {
        today,
        counts: vec![day("b", today, counts(1, 0, 0))],
        ..empty(Uuid::now_v7(), 1)
    };
    store.saw(&later).await.unwrap();
    if kind.is_redis() {
        // Redis counts the time itself.
        let left = rig.seconds_left(&format!("kf:{{kf}}:counts:{}", oldest.number() / 32));
        let days = oldest.number() / 32 * 32 + 32 + 400 - TODAY.number();
        assert!(
            (0..=60).contains(&(i64::from(days) * 86_400 - left)),
            "{left}"
        );
    } else {
        assert!(known(TODAY).await.unwrap().is_empty());
    }
}

pub(crate) async fn what_a_brownout_spent_is_counted_by_version(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    for (phase, refusals) in [(3, 40), (4, 1), (3, 2)] {
        let batch = Batch {
            spent: vec![Spent {
                phase: Epoch(phase),
                refusals,
            }],
            ..empty(Uuid::now_v7(), 1)
        };
        store.saw(&batch).await.unwrap();
    }
    let other = rig.handle().await;
    let spent = async |phase| other.spent(Epoch(phase)).await.unwrap();
    assert_eq!([spent(3).await, spent(4).await, spent(5).await], [42, 1, 0]);
}

pub(crate) async fn a_large_batch_is_taken(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let names = (0..Batch::MOST).map(|number| format!("client-{number:05}"));
    // Every day of a piece, so that the last batch finds it full.
    let first = Day::from_number(TODAY.number() / 32 * 32);
    for place in 0..32 {
        let today = Day::from_number(first.number() + place);
        let counts = names
            .clone()
            .map(|name| day(&name, today, counts(1000, 1000, 1)));
        let batch = Batch {
            today,
            counts: counts.collect(),
            ..empty(Uuid::now_v7(), 1)
        };
        // Nothing else is answered by Redis meanwhile, so this must be short: it has a deadline.
        store.saw(&batch).await.unwrap();
    }
    let last = Day::from_number(first.number() + 31);
    let known = all(&*store, first..=last).await;
    assert_eq!(known.len(), Batch::MOST);
    assert!(known.values().all(|days| days.len() == 32));
    let total = store.totals(last..=last).await.unwrap();
    let clients = u64::try_from(Batch::MOST).unwrap();
    assert_eq!(
        total[&last],
        counts(1000 * clients, 1000 * clients, clients)
    );
}

/// Each hour has a hash of its own; else every gateway would give each client its whole rate then.
pub(crate) async fn what_is_asked_for_outlasts_the_hour(kind: Kind) {
    const NUMBER: u64 = 1_000_000;
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let hour = clock::now().as_unix() / 3600;
    let tell = async |requests: u64| {
        let told = [Demand {
            client: client_id("a"),
            requests,
        }];
        store.demands(&told).await.unwrap().unwrap()[0]
    };
    let first = tell(NUMBER).await;
    // The control: within the hour they add up.
    assert!(first >= 1e6 && tell(NUMBER).await > first);
    let key = |hour: i64| format!("kf:{{kf}}:demand:{hour}");
    // Should the hour have turned meanwhile, that is what it is about.
    if clock::now().as_unix() / 3600 == hour {
        rig.rename(&key(hour), &key(hour - 1));
    }
    let after = tell(1).await;
    assert!(after > 2.0, "{after}");
}
