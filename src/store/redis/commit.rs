//! Carrying out changes.
//!
//! What is stored of a change depends on the change before it. So it is made here for the head that
//! Redis should have by then, and made again when it has another one.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Mutex, RwLock};

use super::link::{Link, Script};
use super::{EPOCH, EVENTS, HEAD, OWNED, RECORDS, read};
use crate::clock;
use crate::store::authentic::{SCHEMA, damaged};
use crate::store::{
    Acknowledged, Change, CommitError, Committed, Event, EventHash, Head, RecordId, RecordKeys,
    StoreError, Versioned,
};

/// How often a change is made again for another head.
const TRIES: u32 = 200;
/// After how many of them others are given way to.
const PATIENT_FROM: u32 = 4;
const PAUSE: Duration = Duration::from_millis(4);
/// How many changes are sent before the answers to all of them are waited for. While one process
/// sends without a pause, no other ever knows the head.
const IN_A_ROW: u32 = 32;

/// Sends the changes of this process one after the other, each made for the head that the one
/// before it leaves, without waiting for its answer. So only other processes come between.
pub(super) struct Committer {
    script: Script,
    record_keys: RecordKeys,
    events_kept: u64,
    expected: Mutex<Expected>,
    /// Held for reading while an answer is waited for.
    under_way: RwLock<()>,
}

/// The head that Redis should have once it has done what it was sent.
#[derive(Default)]
struct Expected {
    head: Option<Head>,
    /// How many changes were sent since no answer was waited for.
    in_a_row: u32,
    /// How often that turned out wrong. What was sent for a head that is given up tells nothing of
    /// the next one.
    corrections: u64,
}

impl Expected {
    /// What was sent after `corrections` was not done; Redis has `head`, if that is known.
    fn correct(&mut self, corrections: u64, head: Option<Head>) {
        if self.corrections == corrections {
            self.head = head;
            self.corrections = corrections.wrapping_add(1);
        }
    }
}

/// What Redis says of a change, which number that is about, and a hash.
type Outcome = (String, String, String);
/// That, and which replicas have it.
type Answer = Result<(Outcome, Option<Acknowledged>), StoreError>;

impl Committer {
    pub(super) fn new(record_keys: &RecordKeys, events_kept: u64) -> Self {
        Self {
            script: Script::new(include_str!("commit.lua")),
            record_keys: record_keys.clone(),
            events_kept,
            expected: Mutex::default(),
            under_way: RwLock::default(),
        }
    }

    pub(super) async fn commit(
        &self,
        link: &Link,
        change: &Change,
    ) -> Result<Committed, CommitError> {
        for attempt in 0..TRIES {
            let (corrections, answer) = self.send(link, change).await?;
            let known = match &answer {
                Ok(((outcome, epoch, _), replicas)) if outcome == "done" => {
                    let Head { epoch, .. } = read::head((Some(epoch.clone()), None))?;
                    let replicas = *replicas;
                    return Ok(Committed { epoch, replicas });
                }
                Ok(((outcome, epoch, hash), _)) if outcome == "behind" => {
                    Some(read::head((Some(epoch.clone()), Some(hash.clone())))?)
                }
                Ok(_) | Err(_) => None,
            };
            self.expected.lock().await.correct(corrections, known);
            match (known, answer) {
                (Some(_), Ok(_)) => give_way(attempt).await,
                (None, Ok(((outcome, number, _), _))) => {
                    return Err(refusal(change, &outcome, &number));
                }
                (_, Err(error)) => return Err(error.into()),
            }
        }
        Err(StoreError::Unavailable("others change it all the time".to_owned()).into())
    }

    /// Sends the change as the next one, and waits for the answer. Gives also how often the
    /// expected head had been corrected by then.
    async fn send(&self, link: &Link, change: &Change) -> Result<(u64, Answer), StoreError> {
        let keys = [EPOCH, HEAD, EVENTS].into_iter();
        let keys = keys.chain(RECORDS.map(|(_, key)| key));
        let keys: Vec<_> = keys.chain([OWNED]).collect();
        let mut expected = self.expected.lock().await;
        if expected.in_a_row == IN_A_ROW {
            drop(self.under_way.write().await);
            expected.in_a_row = 0;
        }
        let _under_way = self.under_way.read().await;
        let head = match expected.head {
            Some(head) if change.expect_kept(head).is_ok() => head,
            // Others may have gone on. Redis carries the change out on this head alone.
            _ => read::head(link.ask(&read::head_question()).await?)?,
        };
        change.expect_kept(head)?;
        let (next, arguments) = self.arguments(change, head);
        if change.action.takes_away() {
            // On its own connection, so that it is not known what comes before it and what after.
            let corrections = expected.corrections;
            expected.correct(corrections, None);
            drop(expected);
            let ran = link.run_and_replicate(&self.script, &keys, &arguments);
            return Ok((corrections, ran.await));
        }
        let mut answer = pin!(link.run(&self.script, &keys, &arguments));
        // Sent before the next one is made; the answer is not waited for.
        let sent = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        expected.head = Some(next);
        expected.in_a_row = expected.in_a_row.saturating_add(1);
        let corrections = expected.corrections;
        drop(expected);
        let answer = match sent {
            Poll::Ready(answer) => answer,
            Poll::Pending => answer.await,
        };
        Ok((corrections, answer.map(|outcome| (outcome, None))))
    }

    /// What the script is told of a change that follows on `head`, and the head that it leaves.
    fn arguments(&self, change: &Change, head: Head) -> (Head, Vec<String>) {
        let event = Event::of(change, head);
        let (epoch, event) = (event.epoch, event.encode(&self.record_keys));
        let hash = EventHash::of(event.as_bytes());
        let mut arguments = vec![
            SCHEMA.to_string(),
            self.events_kept.to_string(),
            head.epoch.to_string(),
            read::hash_as_stored(head.hash),
            epoch.to_string(),
            hash.to_string(),
            event,
        ];
        for write in &change.writes {
            let id = write.record.id();
            let owner = write.record.owner().map(ToString::to_string);
            arguments.extend([
                key_number(&id).to_string(),
                id.name(),
                write.expected.to_string(),
                Versioned::encode(epoch, &write.record, &self.record_keys),
                owner.unwrap_or_default(),
                id.to_string(),
            ]);
        }
        (Head { epoch, hash }, arguments)
    }
}

/// Why Redis did not carry out the change.
fn refusal(change: &Change, outcome: &str, number: &str) -> CommitError {
    let write = number
        .parse()
        .ok()
        .and_then(|at: usize| change.writes.get(at));
    match (outcome, write.map(|write| write.record.id())) {
        ("conflict", Some(id)) => CommitError::Conflict(id),
        ("unreadable", Some(id)) => {
            let why = damaged(&"or another version wrote it").of(&id);
            StoreError::from(why).into()
        }
        _ => {
            StoreError::Unavailable(format!("the script answers {outcome:?} and {number:?}")).into()
        }
    }
}

/// Pauses once others were often quicker.
async fn give_way(attempt: u32) {
    if attempt >= PATIENT_FROM {
        tokio::time::sleep(clock::jittered(PAUSE)).await;
    }
}

/// Which of the script's keys holds the record, counted from one as Lua does.
const fn key_number(id: &RecordId) -> u8 {
    match id {
        RecordId::Client(_) => 4,
        RecordId::Certificate(_) => 5,
        RecordId::Key(_) => 6,
        RecordId::Phase(_) => 7,
        RecordId::Alias(_) => 8,
    }
}
