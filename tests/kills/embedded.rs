//! The embedded store, killed while it is opened and while it is written to.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use keyferry::client::{self, ClientId, Counts, Holdings, Tags};
use keyferry::clock::{self, Day};
use keyferry::key::{self, Format, Pepper, Peppers, Wish};
use keyferry::secret::Secret;
use keyferry::store::embedded::{Embedded, Settings};
use keyferry::store::{Actor, Batch, BatchId, Change, DayCounts, Epoch, Record, Store, Versioned};
use serde_json::Value;
use tokio::io::{BufReader, Lines};
use tokio::process::ChildStdout;
use uuid::Uuid;

use super::rounds;
use super::support::again;
use super::support::dice::Dice;
use super::support::redis::record_keys;
use super::whole::{Whole, json};

const STORE: &str = "KEYFERRY_TEST_STORE";
const SEED: &str = "KEYFERRY_SEED";
/// Said before the store is opened.
const OPENING: &str = "opening";
/// Said once it is open.
const OPEN: &str = "open";
const TODAY: Day = Day::from_number(20_780);
/// A new file after so many rounds: making one is the most delicate moment.
const ROUNDS_A_FILE: u64 = 5;

fn settings(path: &Path) -> Settings {
    Settings {
        record_keys: record_keys(),
        ..Settings::new(path)
    }
}

/// The program that is killed: changes clients and keys, and tells what it saw, and says of each
/// only once it is acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "only run by the test below, in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "the test is told by its parent where the store is"
)]
async fn writes_until_it_is_killed() {
    let path = std::env::var(STORE).unwrap();
    let mut dice = Dice::of(std::env::var(SEED).unwrap().parse().unwrap());
    println!("\n{OPENING}");
    let store = Embedded::open_with(&settings(path.as_ref())).unwrap();
    println!("\n{OPEN}");
    let changing = async {
        let mut office = Office::open(&store).await;
        loop {
            let change = office.decide(&mut dice);
            let epoch = store.commit(&change).await.unwrap().epoch;
            let records: Vec<_> = change.writes.iter().map(|one| json(&one.record)).collect();
            println!("\nchanged {epoch} {}", Value::from(records));
            office.done(change, epoch);
        }
    };
    let seeing = async {
        let writer = Uuid::now_v7();
        for number in 1.. {
            store.saw(&one_request(writer, number)).await.unwrap();
            println!("\nsaw");
        }
    };
    tokio::join!(changing, seeing);
}

/// What a gateway saw that had one request.
fn one_request(writer: Uuid, number: u64) -> Batch {
    let mut batch = Batch::empty(BatchId { writer, number }, TODAY);
    batch.counts.push(DayCounts {
        client: "somebody".parse().unwrap(),
        day: TODAY,
        counts: Counts {
            by_key: 1,
            ..Counts::default()
        },
    });
    batch
}

/// Who decides on changes, and knows all clients and keys.
struct Office {
    clients: BTreeMap<ClientId, Holdings>,
    format: Format,
    peppers: Peppers,
}

impl Office {
    async fn open(store: &dyn Store) -> Self {
        let secret = Secret::new(vec![0; 32]);
        let mut this = Self {
            clients: BTreeMap::new(),
            format: Format::new("kf", "live").unwrap(),
            peppers: Peppers::new(Pepper::new(1, &secret), []),
        };
        let loading = store.load(&mut |one| this.learn(one.unwrap())).await;
        loading.unwrap();
        this
    }

    /// Another change, of one of the kinds that the operator and clients make.
    fn decide(&self, dice: &mut Dice) -> Change {
        let (now, by) = (clock::now(), || Actor::Gateway);
        let clients: Vec<_> = self.clients.values().collect();
        let of = dice.pick(&clients);
        let change = of.and_then(|of| match dice.below(4) {
            0 => None,
            1 => {
                let both = (&self.format, &self.peppers);
                let issued = key::issue(of, Wish::default(), 10, both, by(), now);
                issued.ok().map(|(_, change)| change)
            }
            2 => {
                let usable = of.keys.iter().find(|(_, key)| key.usable(now).is_ok());
                usable.map(|key| key::revoke(key.clone(), by(), now))
            }
            _ => {
                let tags = Tags::from([format!("t{}", dice.number()).parse().unwrap()]);
                client::tag(of.client.clone(), tags, by(), now).unwrap()
            }
        });
        change.unwrap_or_else(|| {
            let id = format!("c{}", dice.number()).parse().unwrap();
            client::add(id, None, Tags::new(), by(), now)
        })
    }

    fn done(&mut self, change: Change, version: Epoch) {
        for write in change.writes {
            let record = write.record;
            self.learn(Versioned { version, record });
        }
    }

    fn learn(&mut self, one: Versioned) {
        let version = one.version;
        match one.record {
            Record::Client(client) => {
                let id = client.id.clone();
                let new = (version, client);
                let known = self.clients.entry(id).or_insert_with(|| Holdings {
                    client: new.clone(),
                    certificates: Vec::new(),
                    keys: Vec::new(),
                });
                known.client = new;
            }
            Record::Key(key) => {
                // A client is loaded before its keys.
                let known = self.clients.get_mut(&key.client).unwrap();
                known.keys.retain(|(_, old)| old.id != key.id);
                known.keys.push((version, key));
            }
            other => panic!("{other:?} is not written here"),
        }
    }
}

/// What the killed ones said, of one file.
#[derive(Default)]
struct Told {
    changes: BTreeMap<u64, Value>,
    seen: u64,
}

impl Told {
    /// Takes in what is said until `end`, or until nobody is left to say anything.
    async fn hear(&mut self, lines: &mut Lines<BufReader<ChildStdout>>, end: Option<&str>) {
        while let Some(line) = lines.next_line().await.unwrap() {
            if Some(line.as_str()) == end {
                return;
            } else if line == "saw" {
                self.seen += 1;
            } else if let Some(change) = line.strip_prefix("changed ") {
                let (epoch, records) = change.split_once(' ').unwrap();
                let records = serde_json::from_str(records).unwrap();
                self.changes.insert(epoch.parse().unwrap(), records);
            }
        }
    }

    /// All of it is there, and of what was not acknowledged at most the one change and the one batch
    /// that were under way.
    async fn is_kept(&mut self, store: &dyn Store, before: Epoch) -> Epoch {
        let whole = Whole::read(store).await;
        for (epoch, told) in &self.changes {
            let event = usize::try_from(*epoch - 1).unwrap();
            let event = whole.events.get(event);
            let kept = event.map(|event| event.records.iter().map(json).collect());
            assert_eq!(kept.as_ref(), Some(told), "change {epoch}");
        }
        let last = self.changes.keys().next_back();
        let last = before.max(Epoch(last.copied().unwrap_or_default()));
        let now = whole.epoch();
        assert!(now == last || now == last.next(), "{now} after {last}");
        let counted = store.totals(TODAY..=TODAY).await.unwrap();
        let counted: u64 = counted.values().map(|counts| counts.by_key).sum();
        assert!(
            counted == self.seen || counted == self.seen + 1,
            "{counted} requests, of {} that were acknowledged",
            self.seen
        );
        self.seen = counted;
        now
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_embedded_store_is_killed() {
    let (rounds, mut dice) = (rounds(8), Dice::new());
    let folder = tempfile::tempdir().unwrap();
    let (mut told, mut epoch, mut opening, mut changes, mut batches) =
        (Told::default(), Epoch::NONE, 0, 0, 0);
    for round in 0..rounds {
        if round % ROUNDS_A_FILE == 0 {
            (told, epoch) = (Told::default(), Epoch::NONE);
        }
        let path = folder
            .path()
            .join(format!("{}.redb", round / ROUNDS_A_FILE));
        let before = (told.changes.len(), told.seen);
        let chance = dice.number().to_string();
        let (mut child, mut lines) = again::start(
            "embedded::writes_until_it_is_killed",
            &[(STORE, path.to_str().unwrap()), (SEED, &chance)],
        );
        let is_opening = dice.below(2) == 0;
        let (from, within) = if is_opening {
            (OPENING, 40)
        } else {
            (OPEN, 150)
        };
        told.hear(&mut lines, Some(from)).await;
        let hearing = told.hear(&mut lines, None);
        let ended = tokio::time::timeout(dice.within_ms(within), hearing).await;
        assert!(ended.is_err(), "it ended by itself");
        child.start_kill().unwrap();
        told.hear(&mut lines, None).await;
        let status = child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");

        opening += u64::from(is_opening);
        changes += told.changes.len() - before.0;
        batches += told.seen - before.1;
        let store = Embedded::open_with(&settings(&path));
        let store = store.unwrap_or_else(|error| panic!("round {round}: {error}"));
        epoch = told.is_kept(&store, epoch).await;
    }
    println!(
        "embedded store: {rounds} kills, {opening} of them while it was opened; \
         {changes} changes and {batches} batches of sightings acknowledged, 0 lost"
    );
}
