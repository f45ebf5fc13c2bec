//! What is noted, told and told again.

use std::time::Duration;

use super::*;
use crate::client::{Counts, RefusalCode};
use crate::key::KeyId;
use crate::store::embedded::Embedded;

const TODAY: Day = Day::from_number(20_000);

fn seen(by_certificate: Option<i64>, by_key: Option<i64>) -> Seen {
    Seen {
        by_certificate: by_certificate.map(Timestamp::from_unix),
        by_key: by_key.map(Timestamp::from_unix),
    }
}

fn client() -> ClientId {
    "a".parse().unwrap()
}

fn refusal(at: i64, code: &'static str) -> LastRefusal {
    LastRefusal {
        at: Timestamp::from_unix(at),
        code: RefusalCode::known(code),
    }
}

impl Sightings {
    /// The next batch, as if the store had been asked to take it.
    fn batch(&self) -> Option<Batch> {
        let mut outbox = self.outbox.try_lock().unwrap();
        self.collect(&mut outbox, TODAY);
        let (mut sightings, mut uses) = self.news();
        outbox.next(&mut sightings, &mut uses, TODAY).cloned()
    }

    /// The store took it.
    fn acknowledged(&self, batch: &Batch) {
        self.batch_is_told(batch);
        self.outbox.try_lock().unwrap().is_told();
    }
}

#[test]
fn each_kind_is_told_once_even_within_one_second() {
    let sightings = Sightings::default();
    sightings.note(&client(), seen(None, Some(100)));
    sightings.acknowledged(&sightings.batch().unwrap());
    assert_eq!(sightings.batch(), None);

    sightings.note(&client(), seen(Some(100), None));
    sightings.refused(&client(), refusal(100, "key_invalid"));
    sightings.conflicted(&client(), Timestamp::from_unix(100));
    let told = sightings.batch().unwrap().sightings;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].seen, seen(Some(100), Some(100)));
    assert_eq!(told[0].refused, Some(refusal(100, "key_invalid")));
    assert_eq!(told[0].conflict, Some(Timestamp::from_unix(100)));
}

#[test]
fn what_comes_from_the_store_is_not_told_back_to_it() {
    let sightings = Sightings::default();
    let known = Sighting {
        seen: seen(None, Some(100)),
        refused: Some(refusal(90, "key_invalid")),
        ..Sighting::nothing_of(client())
    };
    let used = Use {
        credential: CredentialId::Certificate(crate::certificate::Fingerprint::of(b"a")),
        last: LastUse {
            at: Timestamp::from_unix(80),
            from: [192, 0, 2, 1].into(),
        },
    };
    sightings.is_told(&known);
    sightings.use_is_told(&used);
    assert_eq!(sightings.batch(), None);
    assert_eq!(sightings.sighting(&client()), known);
    assert_eq!(sightings.credential(&used.credential), Some(used.last));

    sightings.note(&client(), seen(None, Some(99)));
    sightings.refused(&client(), refusal(90, "certificate_expired"));
    sightings.used(used.credential, used.last);
    assert_eq!(sightings.batch(), None);
}

#[test]
fn a_credential_that_is_over_is_forgotten_once_the_store_knows_of_its_use() {
    let sightings = Sightings::default();
    let [over, good] = [(); 2].map(|()| CredentialId::Key(KeyId::generate()));
    let last = LastUse {
        at: Timestamp::from_unix(80),
        from: [192, 0, 2, 1].into(),
    };
    for credential in [over, good] {
        sightings.used(credential, last);
    }
    let is_over = |credential: &CredentialId| *credential == over;
    sightings.forget(is_over);
    assert_eq!(sightings.credential(&over), Some(last));
    sightings.acknowledged(&sightings.batch().unwrap());
    sightings.forget(is_over);
    assert_eq!(sightings.credential(&over), None);
    assert_eq!(sightings.credential(&good), Some(last));
}

#[test]
fn what_the_store_may_have_taken_is_told_again_under_its_number() {
    let sightings = Sightings::default();
    let now = TODAY.start();
    sightings.served(&client(), seen(None, Some(100)), now);
    sightings.spent(Epoch(7), &client(), now);
    let lost = sightings.batch().unwrap();
    let counted = Counts {
        by_key: 1,
        ..Counts::default()
    };
    assert_eq!(lost.counts[0].counts, counted);
    assert_eq!(lost.spent[0].refusals, 1);

    sightings.served(&client(), seen(None, Some(101)), now);
    assert_eq!(sightings.batch().unwrap(), lost, "the same batch");
    sightings.acknowledged(&lost);
    let next = sightings.batch().unwrap();
    assert!(next.id.writer == lost.id.writer && next.id.number > lost.id.number);
    assert_eq!(next.counts[0].counts, counted, "only what came since");
    assert!(next.spent.is_empty());
    sightings.acknowledged(&next);
    assert_eq!(sightings.batch(), None);
}

#[test]
fn a_batch_has_no_more_than_the_store_takes_at_a_time() {
    let sightings = Sightings::default();
    for number in 0..Batch::MOST {
        let client: ClientId = format!("c{number}").parse().unwrap();
        sightings.served(&client, seen(Some(100), None), TODAY.start());
    }
    let first = sightings.batch().unwrap();
    assert_eq!(first.len(), Batch::MOST);
    sightings.acknowledged(&first);
    let second = sightings.batch().unwrap();
    assert_eq!((second.len(), second.counts.len()), (Batch::MOST, 0));
    sightings.acknowledged(&second);
    assert_eq!(sightings.batch(), None);
}

#[test]
fn two_requests_at_once_are_two() {
    let sightings = Sightings::default();
    let (client, threads, each) = (&client(), 4, 1000);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    sightings.served(client, seen(Some(1), None), TODAY.start());
                    sightings.count(client, Counted::Refused, TODAY.start());
                }
            });
        }
    });
    let counts = sightings.batch().unwrap().counts[0].counts;
    assert_eq!(
        (counts.by_certificate, counts.by_key, counts.refused),
        (threads * each, 0, threads * each)
    );
}

#[test]
fn one_client_in_a_retry_loop_spends_one_a_minute_and_several_spend_one_each() {
    let sightings = Sightings::default();
    let begin = TODAY.start().as_unix();
    let refuse = |name: &str, second: i64| {
        let client: ClientId = name.parse().unwrap();
        sightings.spent(Epoch(7), &client, Timestamp::from_unix(begin + second));
    };
    let spent = || {
        let batch = sightings.batch()?;
        sightings.acknowledged(&batch);
        batch.spent.first().map(|spent| spent.refusals)
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..60).for_each(|second| (0..20).for_each(|_| refuse("a", second))));
        }
    });
    assert_eq!(spent(), Some(1), "4800 requests within a minute");
    (60..120).for_each(|second| refuse("a", second));
    assert_eq!(spent(), Some(1), "the next minute");
    (0..80).for_each(|number| refuse(&format!("c{number}"), 119));
    assert_eq!(spent(), Some(80), "each that feels it");
    // The clock is set back by an hour.
    refuse("a", -3600);
    assert_eq!(spent(), Some(1));
}

#[tokio::test]
async fn first_uses_of_keys_and_refusals_of_brownouts_do_not_wait_for_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(&folder.path().join("keyferry.redb")).unwrap();
    let sightings = Sightings::default();
    let woken = async || {
        let first_use = sightings.first_use();
        tokio::time::timeout(Duration::ZERO, first_use)
            .await
            .is_ok()
    };
    let last = |second| LastUse {
        at: Timestamp::from_unix(second),
        from: [192, 0, 2, 1].into(),
    };
    let known = [(); 3].map(|()| CredentialId::Key(KeyId::generate()));
    let [one, other, told_elsewhere] = known;
    sightings.use_is_told(&Use {
        credential: told_elsewhere,
        last: last(1),
    });
    sightings.used(told_elsewhere, last(2));
    let certificate = CredentialId::Certificate(crate::certificate::Fingerprint::of(b"a"));
    sightings.used(certificate, last(2));
    sightings.served(&client(), seen(None, Some(2)), TODAY.start());
    sightings.spent(Epoch(7), &client(), TODAY.start());
    assert!(!woken().await);

    // However many they are, they wake once.
    for credential in [one, other, one] {
        sightings.used(credential, last(2));
    }
    assert!(woken().await && !woken().await);
    let told = sightings.flush_urgent(&store, TODAY).await;
    assert_eq!(told.unwrap(), 0);
    for credential in [one, other] {
        assert_eq!(store.last_use(&credential).await.unwrap(), Some(last(2)));
    }
    assert_eq!(store.last_use(&told_elsewhere).await.unwrap(), None);
    assert_eq!(sightings.refusals_told(Epoch(7)), 1);
    assert!(store.sightings().await.unwrap().entries.is_empty());
    sightings.used(one, last(3));
    assert!(!woken().await);

    sightings.flush(&store, TODAY).await.unwrap();
    assert_eq!(store.last_use(&one).await.unwrap(), Some(last(3)));
    assert_eq!(store.sightings().await.unwrap().entries.len(), 1);
    let counts = store.totals(TODAY..=TODAY).await.unwrap();
    assert_eq!(counts[&TODAY].by_key, 1);
}

#[test]
fn a_brownouts_refusals_are_those_that_the_store_knew_of_and_those_here_since() {
    let sightings = Sightings::default();
    let refuse = |name: &str| {
        let client: ClientId = name.parse().unwrap();
        sightings.spent(Epoch(7), &client, TODAY.start());
    };
    let learn = |total| {
        let told = sightings.refusals_told(Epoch(7));
        sightings.learn_refusals(Epoch(7), told, total);
    };
    refuse("a");
    assert_eq!(sightings.refusals(Epoch(7)), 1);
    sightings.acknowledged(&sightings.batch().unwrap());
    // Others refused four times.
    learn(5);
    assert_eq!(sightings.refusals(Epoch(7)), 5);
    refuse("b");
    let told = sightings.batch().unwrap();
    assert_eq!(sightings.refusals(Epoch(7)), 6, "not told yet");
    sightings.acknowledged(&told);
    refuse("c");
    assert_eq!(sightings.refusals(Epoch(7)), 7, "told, and not learned");
    let lost = sightings.batch().unwrap();
    learn(7);
    assert_eq!(sightings.refusals(Epoch(7)), 8, "rather too many");
    sightings.acknowledged(&lost);
    learn(7);
    assert_eq!(sightings.refusals(Epoch(7)), 7);
    // A store that lost its memory.
    learn(0);
    assert_eq!(sightings.refusals(Epoch(7)), 3);
    assert_eq!(sightings.refusals(Epoch(8)), 0, "another brownout");
}
