//! Some of the records, whatever else there is.

use std::collections::BTreeSet;

use keyferry::certificate::{Alias, AliasRecord, CertificateRecord, Fingerprint, Mapping, Source};
use keyferry::key::{KeyId, KeyRecord};
use keyferry::phase::Target;
use keyferry::store::{Epoch, RecordId, Selection, Store, StoreError, Write};
use tokio::task::JoinSet;

use super::adapter::{Kind, Rig};
use super::phases;
use super::records::{NOW, change, client, client_id, create, replace};

/// Names that are close together, also in the order of the alphabet.
const NAMES: [&str; 4] = ["a", "a-", "a.a", "aa"];

fn certificate(name: &str, mapping: Mapping) -> CertificateRecord {
    let fingerprint = Fingerprint::of(name.as_bytes());
    CertificateRecord::new(fingerprint, mapping, Source::Operator, NOW)
}

fn mapped(client: &str) -> Mapping {
    Mapping::Mapped {
        client: client_id(client),
        key: KeyId::generate(),
    }
}

async fn select(store: &dyn Store, which: Selection) -> Result<Vec<RecordId>, StoreError> {
    let found = store.select(&which).await?;
    let ids: Vec<_> = found.iter().map(|found| found.record.id()).collect();
    let once: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(once.len(), ids.len(), "{ids:?}");
    for found in found {
        let alone = store.get(&found.record.id()).await?.unwrap();
        assert_eq!(alone.version, found.version);
    }
    Ok(once.into_iter().collect())
}

async fn owned(store: &dyn Store, client: &str) -> Vec<RecordId> {
    let which = Selection::OwnedBy(client_id(client));
    select(store, which).await.unwrap()
}

pub(crate) async fn everything_of_one_client_is_selected_and_nothing_else(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let mut expected = Vec::new();
    for name in NAMES {
        let key = KeyRecord::reserved(KeyId::generate(), client_id(name), NOW);
        let certificate = certificate(name, mapped(name));
        let hex = Fingerprint::of(format!("next {name}").as_bytes()).to_string();
        let alias = AliasRecord::new(Alias::spki(&hex).unwrap(), client_id(name), NOW);
        expected.push([
            RecordId::Certificate(certificate.fingerprint),
            RecordId::Alias(alias.alias),
            RecordId::Key(key.id),
        ]);
        let writes = vec![
            Write::create(client(name)),
            Write::create(key),
            Write::create(certificate),
            Write::create(alias),
        ];
        store.commit(&change(writes)).await.unwrap();
    }
    let pending = certificate("pending", Mapping::Pending);
    store.commit(&create(pending)).await.unwrap();
    for (name, expected) in NAMES.iter().zip(&expected) {
        assert_eq!(owned(&*rig.handle().await, name).await, expected);
    }
    assert_eq!(owned(&*store, "nobody").await, []);

    // Whose it is can change, and back.
    let [of_a, of_aa] = [&expected[0], &expected[3]];
    let moved = of_a[0].clone();
    for (mapping, has_a, has_aa) in [
        (Mapping::Removed { at: NOW }, false, false),
        (mapped("aa"), false, true),
        (mapped("a"), true, false),
        (Mapping::Pending, false, false),
    ] {
        let version = store.get(&moved).await.unwrap().unwrap().version;
        let next = certificate("a", mapping);
        store.commit(&replace(version, next)).await.unwrap();
        for (name, ids, has) in [("a", of_a, has_a), ("aa", of_aa, has_aa)] {
            let found: BTreeSet<_> = owned(&*store, name).await.into_iter().collect();
            let own = ids.iter().filter(|id| **id != moved).cloned();
            let expected: BTreeSet<_> = own.chain(has.then(|| moved.clone())).collect();
            assert_eq!(found, expected, "{name}");
        }
    }
    let version = store.get(&of_aa[0]).await.unwrap().unwrap().version;
    let superseded = Mapping::Superseded {
        client: client_id("aa"),
        key: KeyId::generate(),
        at: NOW,
    };
    let next = certificate("aa", superseded);
    store.commit(&replace(version, next)).await.unwrap();
    assert_eq!(owned(&*store, "aa").await, *of_aa);
}

pub(crate) async fn what_is_given_to_a_client_meanwhile_is_selected(kind: Kind) {
    let rig = Rig::start(kind).await;
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let store = rig.handle().await;
        tasks.spawn(async move {
            let given = certificate(&format!("{n}"), mapped("a"));
            let id = RecordId::Certificate(given.fingerprint);
            store.commit(&create(given)).await.unwrap();
            assert!(owned(&*store, "a").await.contains(&id));
        });
    }
    tasks.join_all().await;
    assert_eq!(owned(&*rig.handle().await, "a").await.len(), 32);
}

pub(crate) async fn phases_are_selected(kind: Kind) {
    let rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let some = ["all", "client:a", "cohort:mobile,!beta"];
    let targets = some.map(|target| target.parse::<Target>().unwrap());
    store.commit(&create(client("z"))).await.unwrap();
    for target in &targets {
        phases::set(&*store, target, phases::brownout()).await;
    }
    let found = select(&*store, Selection::Phases).await.unwrap();
    let found: BTreeSet<_> = found.into_iter().collect();
    assert_eq!(found, targets.map(RecordId::Phase).into());
}

pub(crate) async fn what_is_damaged_of_others_hinders_no_selection(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let store = rig.handle().await;
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        let given = certificate(name, mapped(name));
        ids.push(RecordId::Certificate(given.fingerprint));
        store.commit(&create(given)).await.unwrap();
    }
    drop(store);
    rig.overwrite(&ids[0], "{").await;
    let store = rig.handle().await;
    assert_eq!(owned(&*store, "b").await, ids[1..]);
    let of_a = Selection::OwnedBy(client_id("a"));
    let refused = select(&*store, of_a).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(store.head().await.unwrap().epoch, Epoch(2));
}
