//! What is damaged of what was seen: it costs itself, and nothing beside it.

use keyferry::store::{Epoch, Legible, StoreError};

use super::activity::{DAYS, TODAY, batch, counts, day, seen};
use super::adapter::{Kind, Rig};
use super::records::client_id;

pub(crate) async fn what_is_damaged_of_what_was_seen_holds_up_nothing_else(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let store = rig.handle().await;
    assert_eq!(store.saw(&batch(1)).await.unwrap(), 0);
    drop(store);
    let (a, b) = (client_id("a"), client_id("b"));
    let garbage = [
        "garbage",
        "",
        "nan",
        "inf",
        "0x10",
        "1 2 3",
        "1 ",
        "99999999999999999999999",
    ];
    for (told, garbage) in (1..).zip(garbage) {
        let mut next = batch(2);
        next.sightings.push(seen("b", Some(told), None));
        next.counts.push(day("b", TODAY, counts(0, 1, 0)));
        let credential = next.uses[0].credential.to_string();
        let damaged = ("a", credential.as_str(), TODAY.number() / 32);
        rig.damage(damaged, &next.id.writer.to_string(), garbage)
            .await;
        let store = rig.handle().await;
        let sightings = store.sightings().await.unwrap();
        assert_eq!(sightings.damaged, [Some(a.clone())], "{garbage:?}");
        let alone = store.sighting(&a).await.unwrap();
        assert_eq!(
            (alone.entries, alone.damaged),
            (vec![], vec![Some(a.clone())])
        );
        let others: Vec<_> = sightings.entries.into_iter().map(|it| it.client).collect();
        let expected = Some(b.clone()).filter(|_| told > 1);
        assert_eq!(others, expected.into_iter().collect::<Vec<_>>());
        let uses = store.uses().await.unwrap();
        assert_eq!(uses.damaged, [Some(next.uses[0].credential)], "{garbage:?}");
        // Not as if it had never been used.
        let last = store.last_use(&next.uses[0].credential).await;
        assert!(is_unreadable(&last), "{garbage:?}");
        assert!(is_unreadable(&store.counts(&a, DAYS).await), "{garbage:?}");

        // The counters of the embedded store are numbers by their type.
        let found = if kind.is_redis() { 4 } else { 3 };
        assert_eq!(store.saw(&next).await.unwrap(), found, "{garbage:?}");
        assert_eq!(
            store.saw(&next).await.unwrap(),
            0,
            "it was taken: {garbage:?}"
        );
        // Times are those that were told.
        assert_eq!(store.sightings().await.unwrap(), whole(next.sightings));
        assert_eq!(store.uses().await.unwrap(), whole(next.uses));
        // Counts are left as they are, and all others are added to.
        assert!(is_unreadable(&store.counts(&a, DAYS).await), "{garbage:?}");
        let rounds = u64::try_from(told).unwrap();
        assert_eq!(
            store.counts(&b, DAYS).await.unwrap()[&TODAY],
            counts(0, rounds, 0)
        );
        assert_eq!(
            store.totals(DAYS).await.unwrap()[&TODAY],
            counts(rounds + 1, rounds, 0)
        );
        let spent = store.spent(Epoch(1)).await;
        if kind.is_redis() {
            assert!(is_unreadable(&spent), "{garbage:?}");
        } else {
            assert_eq!(spent.unwrap(), rounds + 1);
        }
    }
}

pub(crate) async fn damage_that_names_nobody_is_told_of(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let told = batch(1);
    rig.handle().await.saw(&told).await.unwrap();
    rig.damage(("no client", "no credential", 0), "nobody", "1")
        .await;
    let store = rig.handle().await;
    let sightings = store.sightings().await.unwrap();
    assert_eq!(sightings.entries, told.sightings);
    assert_eq!(sightings.damaged, [None]);
    let uses = store.uses().await.unwrap();
    assert_eq!(uses.entries, told.uses);
    assert_eq!(uses.damaged, [None]);
}

fn whole<T, Of>(entries: Vec<T>) -> Legible<T, Of> {
    Legible {
        entries,
        ..Legible::default()
    }
}

fn is_unreadable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unreadable(_)))
}
