//! What is damaged of what was seen: it costs itself, and nothing beside it.

use keyferry::store::{Epoch, StoreError};

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
        assert!(is_unreadable(&store.sightings().await), "{garbage:?}");
        assert!(is_unreadable(&store.uses().await), "{garbage:?}");
        assert!(is_unreadable(&store.counts(&a, DAYS).await), "{garbage:?}");

        // The counters of the embedded store are numbers by their type.
        let found = if kind == Kind::Redis { 4 } else { 3 };
        assert_eq!(store.saw(&next).await.unwrap(), found, "{garbage:?}");
        assert_eq!(
            store.saw(&next).await.unwrap(),
            0,
            "it was taken: {garbage:?}"
        );
        // Times are those that were told.
        assert_eq!(store.sightings().await.unwrap(), next.sightings);
        assert_eq!(store.uses().await.unwrap(), next.uses);
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
        if kind == Kind::Redis {
            assert!(is_unreadable(&spent), "{garbage:?}");
        } else {
            assert_eq!(spent.unwrap(), rounds + 1);
        }
    }
}

fn is_unreadable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unreadable(_)))
}
