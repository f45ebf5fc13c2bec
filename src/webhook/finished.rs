//! Migrations that are finished: that of all clients, and that of each cohort.
//!
//! What is finished is noted on the page, and held against what is now: so each is told of once, and again
//! only when somebody was left meanwhile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Kind, Message};
use crate::client::{Stage, Tag, Tags};
use crate::clock::Timestamp;

/// How many cohorts are noted at most: of further ones nothing is told.
const MOST_COHORTS: usize = 1000;

/// Since when migrations are finished. What is not finished is not noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// That of all clients.
    #[serde(rename = "finished", default)]
    pub all: Option<Timestamp>,
    /// Those of cohorts, by their tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cohorts: BTreeMap<Tag, Timestamp>,
}

/// How far the clients are: all of them, and those of each cohort.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    all: Count,
    cohorts: BTreeMap<Tag, Count>,
}

/// How many clients have moved, how many are disabled, and how many neither.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    moved: u64,
    disabled: u64,
    left: u64,
}

impl Tally {
    /// Counts a client with these tags.
    pub fn count(&mut self, stage: Stage, tags: Option<&Tags>) {
        self.all.add(stage);
        for tag in tags.into_iter().flatten() {
            if let Some(cohort) = self.cohorts.get_mut(tag) {
                cohort.add(stage);
            } else {
                self.cohorts.entry(tag.clone()).or_default().add(stage);
            }
        }
    }

    /// What is finished now, and the messages about what was not when that was `noted`: as many as have
    /// `room`. What has none is not noted, and so is found again.
    #[must_use]
    pub fn finished(
        &self,
        noted: &Finished,
        room: usize,
        now: Timestamp,
    ) -> (Vec<Message>, Finished) {
        let (mut messages, mut finished) = (Vec::new(), Finished::default());
        if self.all.is_finished() {
            finished.all = noted.all;
            if noted.all.is_none() && room > 0 {
                finished.all = Some(now);
                messages.push(self.all.told(now));
            }
        }
        let is_finished = |tag: &Tag| {
            self.cohorts
                .get(tag)
                .is_some_and(|count| count.is_finished())
        };
        finished.cohorts.clone_from(&noted.cohorts);
        finished.cohorts.retain(|tag, _| is_finished(tag));
        let room = room.saturating_sub(messages.len());
        let room = room.min(MOST_COHORTS.saturating_sub(finished.cohorts.len()));
        let is_new = |tag: &Tag| is_finished(tag) && !noted.cohorts.contains_key(tag);
        let new = self.cohorts.iter().filter(|(tag, _)| is_new(tag));
        for (tag, count) in new.take(room) {
            finished.cohorts.insert(tag.clone(), now);
            messages.push(count.told_of(tag, now));
        }
        (messages, finished)
    }
}

impl Count {
    fn add(&mut self, stage: Stage) {
        let number = match stage {
            Stage::KeyOnly => &mut self.moved,
            Stage::Retired => &mut self.disabled,
            Stage::Registered | Stage::CertOnly | Stage::KeyIssued | Stage::Dual => &mut self.left,
        };
        *number = number.saturating_add(1);
    }

    const fn is_finished(self) -> bool {
        self.left == 0 && self.moved > 0
    }

    fn told(self, now: Timestamp) -> Message {
        let data = json!({ "moved": self.moved, "disabled": self.disabled });
        Message::new(Kind::MigrationFinished, now, &[&now.to_string()], data)
    }

    fn told_of(self, cohort: &Tag, now: Timestamp) -> Message {
        let data = json!({ "cohort": cohort, "moved": self.moved, "disabled": self.disabled });
        let about = [cohort.as_str(), &now.to_string()];
        Message::new(Kind::CohortFinished, now, &about, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);
    const LATER: Timestamp = Timestamp::from_unix(1_795_419_999);
    const MUCH: usize = 9;

    fn tag(name: &str) -> Tag {
        name.parse().unwrap()
    }

    /// Clients by their stages, each with its tags.
    fn tally(clients: &[(Stage, &str)]) -> Tally {
        let mut tally = Tally::default();
        for (stage, tags) in clients {
            let tags: Tags = tags.split_whitespace().map(tag).collect();
            tally.count(*stage, Some(&tags));
        }
        tally
    }

    /// What is told: the cohort, or `all`.
    fn told(messages: &[Message]) -> Vec<String> {
        let cohort = |message: &Message| match message.kind {
            Kind::CohortFinished => message.data["cohort"].as_str().unwrap().to_owned(),
            _ => "all".to_owned(),
        };
        messages.iter().map(cohort).collect()
    }

    #[test]
    fn a_migration_is_finished_when_nobody_is_left_and_somebody_has_moved() {
        use Stage::{CertOnly, Dual, KeyIssued, KeyOnly, Registered, Retired};
        let nothing = Finished::default();
        let told = |clients: &[(Stage, &str)]| {
            let (messages, finished) = tally(clients).finished(&nothing, MUCH, NOW);
            assert_eq!(
                finished.all.is_some(),
                told(&messages).contains(&"all".to_owned())
            );
            told(&messages)
        };
        assert_eq!(told(&[(KeyOnly, "a"), (Retired, "a b")]), ["all", "a"]);
        assert_eq!(told(&[(Retired, "a")]), [""; 0], "nobody has moved");
        assert_eq!(told(&[]), [""; 0]);
        for left in [Registered, CertOnly, KeyIssued, Dual] {
            let clients = [(KeyOnly, "a b"), (left, "b")];
            assert_eq!(told(&clients), ["a"], "{left:?}");
        }
        let (messages, _) = tally(&[(KeyOnly, "a"), (Retired, "a")]).finished(&nothing, MUCH, NOW);
        let data = json!({ "cohort": "a", "moved": 1, "disabled": 1 });
        assert_eq!((&messages[1].data, messages[1].at), (&data, NOW));
    }

    #[test]
    fn it_is_told_once_and_again_after_somebody_was_left() {
        let moved = tally(&[(Stage::KeyOnly, "a"), (Stage::KeyOnly, "b")]);
        let left = tally(&[(Stage::CertOnly, "a"), (Stage::KeyOnly, "b")]);
        let (first, noted) = moved.finished(&Finished::default(), MUCH, NOW);
        assert_eq!(told(&first), ["all", "a", "b"]);
        assert_eq!(
            moved.finished(&noted, MUCH, LATER),
            (Vec::new(), noted.clone())
        );
        let (messages, noted) = left.finished(&noted, MUCH, LATER);
        assert_eq!(messages, []);
        assert_eq!((noted.all, noted.cohorts.len()), (None, 1));
        let (again, noted) = moved.finished(&noted, MUCH, LATER);
        assert_eq!(told(&again), ["all", "a"]);
        assert_eq!(noted.cohorts[&tag("b")], NOW);
        // It is not the same end, and the receiver must not take it for a repeat.
        assert!(
            first[..2]
                .iter()
                .zip(&again)
                .all(|(one, other)| one.id != other.id)
        );
        // A cohort that is no more is forgotten.
        let (messages, noted) = tally(&[(Stage::KeyOnly, "b")]).finished(&noted, MUCH, LATER);
        assert_eq!((messages, noted.cohorts.len()), (Vec::new(), 1));
    }

    #[test]
    fn what_has_no_room_is_told_the_next_time() {
        let moved = tally(&[(Stage::KeyOnly, "a b c")]);
        let (mut noted, mut all) = (Finished::default(), Vec::new());
        for room in [0, 2, 0, 1, MUCH, MUCH] {
            let (messages, next) = moved.finished(&noted, room, NOW);
            assert!(messages.len() <= room);
            all.extend(told(&messages));
            noted = next;
        }
        assert_eq!(all, ["all", "a", "b", "c"]);
    }

    #[test]
    fn so_many_cohorts_are_noted_and_those_that_are_stay() {
        let mut many = tally(&[(Stage::KeyOnly, "last")]);
        let (_, noted) = many.finished(&Finished::default(), MUCH, NOW);
        for n in 0..MOST_COHORTS {
            many.count(Stage::KeyOnly, Some(&Tags::from([tag(&format!("c{n}"))])));
        }
        let (messages, noted) = many.finished(&noted, usize::MAX, LATER);
        assert_eq!(
            (messages.len(), noted.cohorts.len()),
            (MOST_COHORTS - 1, MOST_COHORTS)
        );
        assert_eq!(noted.cohorts[&tag("last")], NOW);
        assert_eq!(many.finished(&noted, usize::MAX, LATER).0, []);
    }
}
