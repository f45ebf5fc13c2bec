//! The numbered lines of the contract.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keyferry::certificate::Fingerprint;
use keyferry::client::ClientRecord;
use keyferry::clock::{self, Timestamp};
use keyferry::secret::Secret;
use keyferry::store::{
    CommitError, Epoch, Event, EventHash, Follow, Head, Loaded, Record, RecordId, RecordKey,
    RecordKeys, Store, StoreError, Versioned, Write,
};
use tokio::task::JoinSet;

use super::adapter::{Kind, Rig};
use super::records::{
    change, client, conflict, count_up, create, described, description, enrolment, id, replace,
};
use super::redis_server::record_keys;

const SOON: Duration = Duration::from_secs(5);
const AT_ONCE: Duration = Duration::ZERO;
/// How many replicas at once.
const MANY: usize = 32;

/// The next events, and the head after them.
async fn next(store: &dyn Store, after: Head) -> (Vec<Event>, Head) {
    match store.follow(after, AT_ONCE).await.unwrap() {
        Follow::Events { events, head } => (events, head),
        other => panic!("after {after:?}: {other:?}"),
    }
}

async fn events(store: &dyn Store, after: Head) -> Vec<Event> {
    next(store, after).await.0
}

async fn all(store: &dyn Store) -> (Head, BTreeMap<RecordId, Versioned>) {
    let mut records = BTreeMap::new();
    let head = store
        .load(&mut |loaded| {
            let record = loaded.unwrap();
            records.insert(record.record.id(), record);
        })
        .await
        .unwrap();
    (head, records)
}

pub(crate) async fn a_change_is_done_whole_or_not_at_all(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let first = store.commit(&create(client("a"))).await.unwrap().epoch;
    assert_eq!(first, Epoch(1));

    for (writes, loser) in [
        (
            vec![Write::create(client("b")), Write::create(client("a"))],
            "a",
        ),
        (
            vec![
                Write::create(client("b")),
                Write::replace(Epoch(9), client("a")),
            ],
            "a",
        ),
        (
            vec![
                Write::replace(first, client("a")),
                Write::replace(first, client("c")),
            ],
            "c",
        ),
    ] {
        let lost = conflict(store.commit(&change(writes)).await);
        assert_eq!(lost, Some(id(loser)));
    }
    assert!(store.get(&id("b")).await.unwrap().is_none());
    assert_eq!(store.head().await.unwrap().epoch, first);
    assert_eq!(events(&*store, Head::default()).await.len(), 1);

    let both = vec![
        Write::create(client("b")),
        Write::replace(first, client("a")),
    ];
    let second = store.commit(&change(both)).await.unwrap().epoch;
    for name in ["a", "b"] {
        let record = store.get(&id(name)).await.unwrap().unwrap();
        assert_eq!((record.version, second), (second, Epoch(2)));
    }
}

pub(crate) async fn a_store_that_lost_what_a_change_follows_is_not_changed(kind: Kind) {
    let rig = Rig::start(kind).await;
    let (store, other) = (rig.handle().await, rig.handle().await);
    let first = store.commit(&create(client("a"))).await.unwrap().epoch;
    // What this process believes of the head is behind by then, and not what the store has.
    let second = other.commit(&create(client("b"))).await.unwrap().epoch;
    for (n, known) in [second, first].into_iter().enumerate() {
        let change = create(client(&format!("known-{n}"))).following(known);
        store.commit(&change).await.unwrap();
    }
    let now = store.head().await.unwrap();
    let change = create(client("late")).following(now.epoch.next());
    for store in [&store, &other] {
        let lost = store.commit(&change).await;
        assert!(
            matches!(
                lost,
                Err(CommitError::Store(StoreError::Lost { known, has }))
                    if (known, has) == (now.epoch.next(), now.epoch)
            ),
            "{lost:?}"
        );
    }
    assert_eq!(store.head().await.unwrap(), now);
    assert!(store.get(&id("late")).await.unwrap().is_none());
    let change = create(client("late")).following(now.epoch);
    store.commit(&change).await.unwrap();
}

pub(crate) async fn of_many_changes_to_one_version_one_wins(kind: Kind) {
    let rig = Rig::start(kind).await;
    let version = rig
        .handle()
        .await
        .commit(&create(client("a")))
        .await
        .unwrap()
        .epoch;
    let mut tasks = JoinSet::new();
    for n in 0..MANY {
        let store = rig.handle().await;
        let change = replace(version, described("a", &n.to_string()));
        tasks.spawn(async move { (n, store.commit(&change).await) });
    }
    let (won, lost): (Vec<_>, Vec<_>) = tasks
        .join_all()
        .await
        .into_iter()
        .partition(|(_, result)| result.is_ok());
    assert_eq!(won.len(), 1);
    assert!(
        lost.into_iter()
            .all(|(_, result)| conflict(result) == Some(id("a")))
    );
    let now = rig.handle().await.get(&id("a")).await.unwrap().unwrap();
    assert_eq!(
        description(&now.record),
        Some(won[0].0.to_string().as_str())
    );
}

pub(crate) async fn first_sight_on_many_replicas_makes_one_client(kind: Kind) {
    let rig = Rig::start(kind).await;
    let fingerprint = Fingerprint::of(b"a certificate");
    let mut tasks = JoinSet::new();
    for _ in 0..MANY {
        let store = rig.handle().await;
        tasks.spawn(async move { store.commit(&enrolment(fingerprint)).await });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);

    let (head, records) = all(&*rig.handle().await).await;
    assert_eq!(head.epoch, Epoch(1));
    let of_kind = |kind: &str| records.keys().filter(|id| id.kind() == kind).count();
    assert_eq!(["client", "key", "certificate"].map(of_kind), [1, 1, 1]);
}

pub(crate) async fn epochs_have_no_gaps_and_each_has_one_event(kind: Kind) {
    let rig = Rig::start(kind).await;
    let mut tasks = JoinSet::new();
    for n in 0..MANY {
        let store = rig.handle().await;
        tasks.spawn(async move {
            let done = store.commit(&create(client(&n.to_string()))).await;
            (done.unwrap().epoch, n.to_string())
        });
    }
    let mut committed = tasks.join_all().await;
    committed.sort();
    let seen: Vec<_> = events(&*rig.handle().await, Head::default())
        .await
        .into_iter()
        .map(|event| (event.epoch, event.records[0].id().name()))
        .collect();
    assert_eq!(seen, committed);
    let numbers: Vec<_> = committed.iter().map(|(epoch, _)| epoch.0).collect();
    assert_eq!(numbers, (1..=32).collect::<Vec<_>>());
}

pub(crate) async fn an_absent_record_is_none(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    assert!(store.get(&id("nobody")).await.unwrap().is_none());
    assert_eq!(store.head().await.unwrap().epoch, Epoch::NONE);
    assert!(store.sightings().await.unwrap().entries.is_empty());
    assert!(store.uses().await.unwrap().entries.is_empty());
    let (head, records) = all(&*store).await;
    assert_eq!((head, records.len()), (Head::default(), 0));
}

/// O4. And to a load it costs only itself.
pub(crate) async fn a_refused_record_is_an_error_and_holds_up_no_other(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let store = rig.handle().await;
    for name in ["a", "b"] {
        store.commit(&create(client(name))).await.unwrap();
    }
    drop(store);
    let good = Versioned::encode(Epoch(1), &client("a").into(), &record_keys());
    for bad in [
        String::new(),
        "{".to_owned(),
        "7".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        good.replace("\"schema\":2", "\"schema\":3"),
        good.replace("\"version\":1", "\"version\":null"),
    ] {
        rig.overwrite(&id("a"), &bad).await;
        let store = rig.handle().await;
        refused_alone(&*store, &bad).await;
        for expected in [Epoch::NONE, Epoch(1)] {
            let committed = store.commit(&replace(expected, client("a"))).await;
            assert!(
                matches!(committed, Err(CommitError::Store(StoreError::Refused(_)))),
                "{bad}: {committed:?}"
            );
        }
    }
    assert_eq!(rig.handle().await.head().await.unwrap().epoch, Epoch(2));
}

/// What somebody wrote who has no record key, in whatever other way it is right.
pub(crate) async fn a_record_that_is_not_authentic_is_refused(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let store = rig.handle().await;
    for name in ["a", "b"] {
        store.commit(&create(client(name))).await.unwrap();
    }
    drop(store);
    let b = rig.stored(&id("b")).await;
    let other_key = RecordKey::new(1, &Secret::new(vec![7; 32]));
    for forged in [
        Versioned::encode(Epoch(1), &client("a").into(), &RecordKeys::none()),
        Versioned::encode(
            Epoch(1),
            &client("a").into(),
            &RecordKeys::new(other_key, []),
        ),
        rig.stored(&id("a"))
            .await
            .replace("\"version\":1", "\"version\":3"),
        b.replace("\"b\"", "\"a\""),
        b,
    ] {
        rig.overwrite(&id("a"), &forged).await;
        refused_alone(&*rig.handle().await, &forged).await;
    }
}

/// Of the clients `a` and `b`, the first is refused, and not absent.
async fn refused_alone(store: &dyn Store, bad: &str) {
    let got = store.get(&id("a")).await;
    assert!(matches!(got, Err(StoreError::Refused(_))), "{bad}: {got:?}");
    let (mut good, mut refused) = (Vec::new(), 0);
    let mut each = |loaded: Loaded| match loaded {
        Ok(record) => good.push(record.record.id()),
        Err(_) => refused += 1,
    };
    let head = store.load(&mut each).await.unwrap();
    assert_eq!(head.epoch, Epoch(2));
    assert_eq!((good, refused), (vec![id("b")], 1), "{bad}");
}

pub(crate) async fn what_is_written_reads_back_to_the_letter(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    // What a store that takes JSON apart and puts it together again would get wrong: large
    // numbers, empty lists, the version's own spelling inside of text.
    let tricky = ClientRecord {
        created_at: Timestamp::from_unix(9_007_199_254_740_993),
        ..described(
            "a",
            "\"version\":0,\"epoch\":0 \\ \u{0} \u{2028} é 🔑 [] {} 1e400",
        )
    };
    let record = Record::from(tricky.clone());
    let epoch = rig
        .handle()
        .await
        .commit(&create(tricky.clone()))
        .await
        .unwrap()
        .epoch;
    assert_eq!(
        rig.stored(&id("a")).await,
        Versioned::encode(epoch, &record, &record_keys())
    );

    let store = rig.handle().await;
    let read = store.get(&id("a")).await.unwrap().unwrap();
    let told = events(&*store, Head::default()).await.remove(0);
    for found in [read.record, told.records[0].clone()] {
        let Record::Client(found) = found else {
            panic!("{found:?}");
        };
        assert_eq!(found, tricky);
    }
}

/// Takes over what a change wrote that is newer than what is known.
fn bring_forward(known: &mut BTreeMap<RecordId, Versioned>, event: Event) {
    let version = event.epoch;
    for record in event.records {
        let id = record.id();
        if known.get(&id).map(|known| known.version) < Some(version) {
            known.insert(id, Versioned { version, record });
        }
    }
}

pub(crate) async fn a_load_and_the_events_after_it_give_the_present(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let many = (0..3000).map(|n| Write::create(client(&format!("c{n}"))));
    store.commit(&change(many.collect())).await.unwrap();

    let writer = rig.handle().await;
    let writing = tokio::spawn(async move { count_up(&*writer, "busy", 200).await });
    let mut loads = 0;
    while !writing.is_finished() || loads == 0 {
        let (mut head, mut records) = all(&*store).await;
        let latest = records.values().map(|known| known.version).max();
        // Not more than a hundred changes are told at once; what was loaded may have seen more.
        let now = loop {
            let (behind, reached) = next(&*store, head).await;
            for event in behind {
                bring_forward(&mut records, event);
            }
            head = reached;
            if Some(head.epoch) >= latest {
                break head.epoch;
            }
        };
        loads += 1;
        // Every change since the first counts `busy` up by one.
        let busy = records.get(&id("busy"));
        let counted = busy.and_then(|busy| description(&busy.record));
        let expected = now.0.checked_sub(2).map(|n| n.to_string());
        assert!(records.len() >= 3000);
        assert_eq!(counted, expected.as_deref(), "after {now}");
    }
    writing.await.unwrap();
    let (head, records) = all(&*store).await;
    assert_eq!((head.epoch, records.len()), (Epoch(201), 3001));
}

pub(crate) async fn following_wakes_with_the_change(kind: Kind) {
    let rig = Rig::start(kind).await;
    rig.handle()
        .await
        .commit(&create(client("a")))
        .await
        .unwrap();
    let follower = rig.handle().await;
    let head = follower.head().await.unwrap();
    let following = tokio::spawn(async move {
        let told = follower.follow(head, Duration::from_mins(1)).await.unwrap();
        (told, clock::monotonic())
    });
    // Whether the change comes before or during the wait, it must end it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.handle()
        .await
        .commit(&create(client("b")))
        .await
        .unwrap();
    let committed = clock::monotonic();
    let (told, at) = tokio::time::timeout(SOON, following)
        .await
        .unwrap()
        .unwrap();
    let Follow::Events { events: told, .. } = told else {
        panic!("{told:?}");
    };
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].epoch, told[0].records[0].id()),
        (Epoch(2), id("b"))
    );
    let late = at.saturating_duration_since(committed);
    assert!(late < Duration::from_millis(500), "{late:?}");
}

pub(crate) async fn following_waits_no_longer_than_told(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let begun: Instant = clock::monotonic();
    let wait = Duration::from_millis(300);
    let told = store.follow(Head::default(), wait).await.unwrap();
    assert!(
        matches!(&told, Follow::Events { events, .. } if events.is_empty()),
        "{told:?}"
    );
    let took = begun.elapsed();
    assert!(took >= wait && took < SOON, "{took:?}");
}

pub(crate) async fn events_that_are_no_longer_kept_are_a_gap(kind: Kind) {
    let rig = Rig::keeping(kind, 100).await;
    let store = rig.handle().await;
    let (mut heads, mut version) = (vec![Head::default()], Epoch::NONE);
    for _ in 0..350 {
        let next = replace(version, client("a"));
        version = store.commit(&next).await.unwrap().epoch;
        heads.push(store.head().await.unwrap());
    }
    for behind in [0, 1, 100] {
        let told = store.follow(heads[behind], SOON).await.unwrap();
        assert!(
            matches!(told, Follow::Gap { now } if now == heads[350]),
            "{behind}: {told:?}"
        );
    }
    assert_eq!(events(&*store, heads[250]).await.len(), 100);
}

/// The chain: every event holds the hash of the one before it, and no event is given to whoever
/// has come another way, with the number before it, the same or a later one.
pub(crate) async fn another_history_is_told_whatever_its_numbers(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let begun = clock::monotonic();
    let elsewhere = |epoch| Head {
        epoch: Epoch(epoch),
        hash: EventHash::of(b"elsewhere"),
    };
    let mut known = Head::default();
    for n in 1..=3 {
        store.commit(&create(client(&n.to_string()))).await.unwrap();
        let (told, head) = next(&*store, known).await;
        assert_eq!((told.len(), told[0].before), (1, Some(known.hash)));
        assert_eq!(head, store.head().await.unwrap());
        known = head;
    }
    for other in [1, 2, 3, 4, 9].map(elsewhere) {
        let told = store.follow(other, Duration::from_mins(1)).await.unwrap();
        assert!(
            matches!(told, Follow::Replaced { now } if now == known),
            "{other:?}: {told:?}"
        );
    }
    assert!(begun.elapsed() < SOON);
    assert_eq!(events(&*store, Head::default()).await.len(), 3);
}

pub(crate) async fn a_long_way_behind_is_caught_up_in_order(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    count_up(&*store, "a", 1500).await;
    let mut known = Head::default();
    while known.epoch < Epoch(1500) {
        let (events, head) = next(&*store, known).await;
        assert!(!events.is_empty());
        for (number, event) in (known.epoch.0 + 1..).zip(events) {
            assert_eq!(event.epoch, Epoch(number));
        }
        known = head;
    }
}
