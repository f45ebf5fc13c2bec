//! What the clock brings about: certificates that end soon, each told once for each threshold.
//!
//! Nothing of it is noted for each client. A threshold is crossed at a certain moment, and so it is enough
//! to know up to which moment all of that was told.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Kind, Message};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::foresight::Cliff;

const DAY: Duration = Duration::from_hours(24);

/// Up to where it was told: a moment, and of those that cross a threshold at that moment the last client
/// that was told of; all of them, where none is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The moment.
    pub at: Timestamp,
    /// The client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
}

impl Place {
    fn is_before(&self, at: Timestamp, client: &ClientId) -> bool {
        let later = self.client.as_ref().is_some_and(|last| last < client);
        self.at < at || (self.at == at && later)
    }
}

/// A threshold that a client crosses: in the order in which it is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crossed {
    at: Timestamp,
    client: ClientId,
    days: u32,
    ends: Timestamp,
}

/// The thresholds that were crossed between a place and a moment: the first `most` of them.
#[derive(Debug)]
pub struct Crossing {
    after: Place,
    until: Timestamp,
    most: usize,
    found: BTreeSet<Crossed>,
    /// Whether there were more.
    is_cut: bool,
}

impl Crossing {
    /// Of what is crossed after `after`, until `until`. A place that is yet to come was noted by a clock that
    /// was ahead: then it goes on from `until`, and what is crossed again comes by the same id. Else nothing
    /// would be told for as long as that clock had jumped.
    #[must_use]
    pub fn new(after: Place, until: Timestamp, most: usize) -> Self {
        let is_ahead = after.at > until;
        let now = Place {
            at: until,
            client: None,
        };
        Self {
            after: if is_ahead { now } else { after },
            until,
            most,
            found: BTreeSet::new(),
            is_cut: false,
        }
    }

    /// Looks at a client that has not moved, whose last certificate `ends` then. Of thresholds that were
    /// crossed at once, since nobody looked for long, the nearest end counts.
    pub fn look(&mut self, client: &ClientId, ends: Timestamp) {
        let crossed = Cliff::DAYS.into_iter().find_map(|days| {
            let at = before(ends, days);
            let is_new = at <= self.until && self.after.is_before(at, client);
            is_new.then_some((at, days))
        });
        let Some((at, days)) = crossed else {
            return;
        };
        self.found.insert(Crossed {
            at,
            client: client.clone(),
            days,
            ends,
        });
        if self.found.len() > self.most {
            self.found.pop_last();
            self.is_cut = true;
        }
    }

    /// The messages, and the place up to which that is all.
    #[must_use]
    pub fn told(self) -> (Vec<Message>, Place) {
        let end = match self.found.last() {
            Some(last) if self.is_cut => Place {
                at: last.at,
                client: Some(last.client.clone()),
            },
            // Not even the first has room.
            None if self.is_cut => self.after,
            _ => Place {
                at: self.until,
                client: None,
            },
        };
        let messages = self.found.iter();
        let messages = messages
            .map(|crossed| message(&crossed.client, crossed.ends, crossed.days, crossed.at));
        (messages.collect(), end)
    }
}

/// The message about a client that was given a certificate which ends within a threshold already: nothing
/// is crossed then that would tell.
#[must_use]
pub fn threshold(client: &ClientId, ends: Timestamp, now: Timestamp) -> Option<Message> {
    let days = Cliff::DAYS
        .into_iter()
        .find(|days| before(ends, *days) <= now);
    days.filter(|_| ends > now)
        .map(|days| message(client, ends, days, now))
}

fn message(client: &ClientId, ends: Timestamp, days: u32, at: Timestamp) -> Message {
    let about = [client.as_str(), &ends.to_string(), &days.to_string()];
    let data = json!({ "client": client, "ends": ends.to_string(), "within_days": days });
    Message::new(Kind::CertificateExpiring, at, &about, data)
}

fn before(end: Timestamp, days: u32) -> Timestamp {
    let days = i64::try_from(DAY.saturating_mul(days).as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_unix(end.as_unix().saturating_sub(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn after(days: u32) -> Timestamp {
        NOW.plus(DAY.saturating_mul(days))
    }

    fn client(name: &str) -> ClientId {
        name.parse().unwrap()
    }

    fn told(crossing: Crossing) -> (Vec<(String, u64)>, Place) {
        let (messages, place) = crossing.told();
        let told = messages.iter().map(|message| {
            let name = message.data["client"].as_str().unwrap().to_owned();
            (name, message.data["within_days"].as_u64().unwrap())
        });
        (told.collect(), place)
    }

    #[test]
    fn each_threshold_is_told_once_however_often_it_is_looked() {
        let mut place = Place {
            at: NOW,
            client: None,
        };
        let (ends, mut all) = (after(100), Vec::new());
        // Every six hours until it is over.
        for step in 1..=404u32 {
            let now = NOW.plus(Duration::from_hours(6).saturating_mul(step));
            let mut crossing = Crossing::new(place, now, 10);
            crossing.look(&client("a"), ends);
            let (messages, end) = told(crossing);
            all.extend(messages);
            place = end;
        }
        let days: Vec<_> = all.iter().map(|(_, days)| *days).collect();
        assert_eq!(days, [90, 30, 7, 3]);
    }

    #[test]
    fn a_clock_that_was_ahead_silences_nothing_once_it_is_right() {
        let place = Place {
            at: NOW,
            client: None,
        };
        let ends = after(100);
        let look = |place, now| {
            let mut crossing = Crossing::new(place, now, 10);
            crossing.look(&client("a"), ends);
            told(crossing)
        };
        let (messages, ahead) = look(place, after(3650));
        assert_eq!(messages, [("a".to_owned(), 3)]);
        let (messages, right) = look(ahead, after(1));
        assert_eq!((messages.len(), right.at), (0, after(1)));
        assert_eq!(look(right, after(11)).0, [("a".to_owned(), 90)]);
    }

    #[test]
    fn after_a_long_absence_the_nearest_end_is_told() {
        let place = Place {
            at: NOW,
            client: None,
        };
        let mut crossing = Crossing::new(place, after(98), 10);
        crossing.look(&client("a"), after(100));
        assert_eq!(told(crossing).0, [("a".to_owned(), 3)]);
    }

    #[test]
    fn what_has_no_room_is_told_the_next_time_and_nothing_twice() {
        let names: Vec<_> = (0..25).map(|n| client(&format!("c{n:02}"))).collect();
        let mut place = Place {
            at: NOW,
            client: None,
        };
        let mut all = Vec::new();
        for most in [10, 0, 10, 10, 10] {
            let mut crossing = Crossing::new(place, after(1), most);
            // In another order each time, and half of them at one moment.
            for (n, name) in names.iter().enumerate().rev() {
                let later = Duration::from_secs(if n < 12 { 5 } else { 10 });
                crossing.look(name, after(30).plus(later));
            }
            let (messages, end) = told(crossing);
            assert!(messages.len() <= most);
            all.extend(messages.into_iter().map(|(name, _)| name));
            place = end;
        }
        let expected: Vec<_> = names.iter().map(ToString::to_string).collect();
        assert_eq!(all, expected);
        assert_eq!(place.at, after(1));
    }

    #[test]
    fn a_certificate_that_comes_late_is_told_of_by_the_nearest_threshold() {
        let days = |ends| Some(threshold(&client("a"), ends, NOW)?.data["within_days"].clone());
        assert_eq!(days(after(5)), Some(7.into()));
        assert_eq!(days(after(91)), None);
        assert_eq!(days(NOW), None);
        // As it is when the clock tells.
        let mut crossing = Crossing::new(
            Place {
                at: NOW,
                client: None,
            },
            after(1),
            1,
        );
        crossing.look(&client("a"), after(8));
        let (messages, _) = crossing.told();
        let late = threshold(&client("a"), after(8), after(2)).unwrap();
        assert_eq!(messages[0].id, late.id);
    }
}
