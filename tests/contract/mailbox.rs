//! Mailboxes: they change whole or not at all, for one of many, and make no event.

use std::time::Duration;

use keyferry::store::{Epoch, Letter, Posting, SLOTS, StoreError};
use tokio::task::JoinSet;

use super::adapter::{Kind, Rig};

const PAUSE: Duration = Duration::from_millis(50);

fn letter(slot: u16, text: Option<&str>) -> Letter {
    let text = text.map(|text| format!("{{\"says\":\"{text}\"}}"));
    Letter { slot, text }
}

fn posting(expected: u64, page: &str, letters: Vec<Letter>) -> Posting {
    Posting {
        mailbox: "hook.1".to_owned(),
        expected,
        page: format!("{{\"page\":\"{page}\"}}"),
        letters,
    }
}

pub(crate) async fn a_mailbox_changes_whole_or_not_at_all(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let store = rig.handle().await;
    assert_eq!(store.mailbox("hook.1").await.unwrap(), None);
    let first = vec![letter(0, Some("a\"é")), letter(SLOTS - 1, Some("b"))];
    assert!(store.post(&posting(0, "one", first.clone())).await.unwrap());
    // Nobody has seen that there is one by now.
    let late = posting(0, "late", vec![letter(0, None)]);
    assert!(!store.post(&late).await.unwrap());
    let page = store.mailbox("hook.1").await.unwrap().unwrap();
    assert_eq!(
        (page.version, page.text.as_deref()),
        (1, Some(r#"{"page":"one"}"#))
    );
    let sorted = async |store: &dyn keyferry::store::Store| {
        let mut read = store.letters("hook.1").await.unwrap();
        assert_eq!(read.damaged, []);
        read.entries.sort_by_key(|letter| letter.slot);
        read.entries
    };
    assert_eq!(sorted(store.as_ref()).await, first);
    assert_eq!(store.letters("hook.2").await.unwrap().entries, []);

    let second = vec![letter(0, None), letter(5, Some("c"))];
    assert!(store.post(&posting(1, "two", second)).await.unwrap());
    let left = [letter(5, Some("c")), letter(SLOTS - 1, Some("b"))];
    assert_eq!(sorted(store.as_ref()).await, left);
    assert_eq!(
        store.head().await.unwrap().epoch,
        Epoch::NONE,
        "it is no change"
    );
    drop(store);

    rig.close().await;
    rig.open().await;
    let store = rig.handle().await;
    // A cluster takes a moment to be one again.
    let page = loop {
        match store.mailbox("hook.1").await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            found => break found.unwrap().unwrap(),
        }
    };
    assert_eq!(
        (page.version, page.text.as_deref()),
        (2, Some(r#"{"page":"two"}"#))
    );
    assert_eq!(sorted(store.as_ref()).await, left);
}

pub(crate) async fn of_many_who_change_a_mailbox_one_does(kind: Kind) {
    let rig = Rig::start(kind).await;
    let mut tasks = JoinSet::new();
    for n in 0..20u16 {
        let store = rig.handle().await;
        tasks.spawn(async move {
            let letters = vec![letter(n, Some("mine"))];
            let done = store.post(&posting(0, &n.to_string(), letters)).await;
            done.unwrap().then_some(n)
        });
    }
    let winners: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let store = rig.handle().await;
    let page = store.mailbox("hook.1").await.unwrap().unwrap();
    let expected = format!("{{\"page\":\"{}\"}}", winners[0]);
    assert_eq!((page.version, page.text), (1, Some(expected)));
    let letters = store.letters("hook.1").await.unwrap().entries;
    assert_eq!(letters, [letter(winners[0], Some("mine"))]);
}
