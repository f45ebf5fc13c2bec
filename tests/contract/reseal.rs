//! Changing the record key of a store that is in use.

use std::collections::BTreeMap;

use keyferry::secret::Secret;
use keyferry::store::{Epoch, RecordKey, RecordKeys, Reseal, Resealed, Store, Versioned, Write};

use super::adapter::{Kind, Rig};
use super::records::{change, client, create, described, description, id, replace};

/// More than one step, so that there is something to go on with.
const MANY: u64 = 2500;

fn key(version: u32) -> RecordKey {
    let byte = u8::try_from(version).unwrap();
    RecordKey::new(version, &Secret::new(vec![byte; 32]))
}

async fn through(store: &dyn Store, reseal: Reseal) -> Resealed {
    let mut found = store.reseal(reseal, None).await.unwrap();
    while let Some(next) = found.next.take() {
        found = found.and(store.reseal(reseal, Some(&next)).await.unwrap());
    }
    found
}

fn found(by_key: &[(u32, u64)], unsigned: u64, written: u64) -> Resealed {
    Resealed {
        by_key: by_key.iter().copied().collect::<BTreeMap<_, _>>(),
        unsigned,
        written,
        ..Resealed::default()
    }
}

/// From a store as earlier versions wrote it to one key, and from that to another.
pub(crate) async fn every_record_is_signed_anew_while_others_change_them(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    rig.believe(RecordKeys::none()).await;
    let many = (0..MANY).map(|n| Write::create(client(&format!("c{n}"))));
    let store = rig.handle().await;
    store.commit(&change(many.collect())).await.unwrap();
    let earlier = Versioned::encode(Epoch(1), &client("c0").into(), &RecordKeys::none());
    assert!(earlier.starts_with("{\"schema\":1,"));
    drop(store);
    assert_eq!(rig.stored(&id("c0")).await, earlier);

    rig.believe(RecordKeys::new(key(1), []).accepting_unsigned())
        .await;
    let store = rig.handle().await;
    let mut version = store.commit(&create(client("busy"))).await.unwrap().epoch;
    assert_eq!(
        through(&*store, Reseal::Count).await,
        found(&[(1, 1)], MANY, 0)
    );
    let head = store.head().await.unwrap();
    let first = store.reseal(Reseal::Write, None).await.unwrap();
    assert!(first.written > 0 && first.next.is_some(), "{first:?}");
    // Broken off here, and begun again, while somebody changes a record.
    let writer = rig.handle().await;
    let writing = tokio::spawn(async move {
        for n in 0..50 {
            let next = replace(version, described("busy", &n.to_string()));
            version = writer.commit(&next).await.unwrap().epoch;
        }
    });
    let rest = through(&*store, Reseal::Write).await;
    writing.await.unwrap();
    assert_eq!(first.written + rest.written, MANY);
    assert_eq!(store.head().await.unwrap().epoch, Epoch(head.epoch.0 + 50));
    assert_eq!(
        through(&*store, Reseal::Write).await,
        found(&[(1, MANY + 1)], 0, 0)
    );
    drop(store);

    rig.believe(RecordKeys::new(key(2), [key(1)])).await;
    let store = rig.handle().await;
    assert_eq!(through(&*store, Reseal::Write).await.written, MANY + 1);
    drop(store);
    // The old key can go; versions and records are as they were.
    rig.believe(RecordKeys::new(key(2), [])).await;
    let store = rig.handle().await;
    assert_eq!(
        through(&*store, Reseal::Count).await,
        found(&[(2, MANY + 1)], 0, 0)
    );
    let one = store.get(&id("c7")).await.unwrap().unwrap();
    assert_eq!(one.version, Epoch(1));
    let busy = store.get(&id("busy")).await.unwrap().unwrap();
    assert_eq!(description(&busy.record), Some("49"));
    // Without it, nothing is counted as anybody's.
    drop(store);
    rig.believe(RecordKeys::new(key(3), [])).await;
    let lost = through(&*rig.handle().await, Reseal::Write).await;
    assert_eq!((lost.refused, lost.written), (MANY + 1, 0));
}
