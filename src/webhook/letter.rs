//! A message that waits, and what became of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Kind, Message};
use crate::clock::Timestamp;
use crate::text;

const fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

/// How long is waited before a message is sent again, less up to a half by chance; after the last time it
/// is dead. Together a day, less a quarter of that on average.
const PAUSES: [Duration; 12] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    minutes(2),
    minutes(10),
    minutes(30),
    minutes(60),
    minutes(120),
    minutes(240),
    minutes(360),
    minutes(360),
    minutes(360),
    minutes(360),
];
/// A receiver is left alone for so long at most, whatever it asks for.
const LONGEST_ASKED: Duration = Duration::from_hours(24);
/// What is to be sent later than so was noted by a clock that was ahead. The hour more is for clocks that
/// differ a little.
const LATEST: Duration = Duration::from_hours(25);
/// How much is kept of why it was not taken.
const LONGEST_WHY: usize = 200;

/// A message that waits or is dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The id of the message.
    pub id: String,
    /// Its type.
    pub kind: Kind,
    /// When it happened.
    pub at: Timestamp,
    /// What is sent.
    pub body: String,
    /// How often it was sent.
    #[serde(default)]
    pub attempts: u32,
    /// When it is sent next, while it waits.
    pub next: Timestamp,
    /// Since when it is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<Timestamp>,
    /// Why it was not taken the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What came of sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Taken,
    /// It was not taken.
    Failed {
        /// Why.
        why: String,
        /// For how long the receiver asks to be left alone.
        asked: Option<Duration>,
    },
    /// The receiver wants nothing any more.
    Gone,
}

impl Letter {
    /// A message that is to be sent now.
    #[must_use]
    pub fn of(message: &Message, now: Timestamp) -> Self {
        Self {
            id: message.id.clone(),
            kind: message.kind,
            at: message.at,
            body: message.body(),
            attempts: 0,
            next: now,
            dead: None,
            why: None,
        }
    }

    /// Whether it waits to be sent.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.dead.is_none()
    }

    /// When it is to be sent: at once, where no pause is as long as what was noted. Else one jump of the
    /// clock would silence it for as long as that was.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Timestamp {
        if self.next > now.plus(LATEST) {
            now
        } else {
            self.next
        }
    }

    /// It was sent, and not taken: it waits again, or is dead. `by_chance` shortens a pause.
    pub fn failed(
        &mut self,
        why: &str,
        asked: Option<Duration>,
        now: Timestamp,
        by_chance: impl Fn(Duration) -> Duration,
    ) {
        let pause = usize::try_from(self.attempts).ok();
        let pause = pause.and_then(|before| PAUSES.get(before));
        self.attempts = self.attempts.saturating_add(1);
        self.why = Some(text::escaped(why, LONGEST_WHY));
        match pause {
            Some(pause) => {
                let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
                self.next = now.plus(by_chance(*pause).max(asked).max(Duration::from_secs(1)));
            }
            None => self.dead = Some(now),
        }
    }

    /// It will not be sent, unless the operator says so.
    pub fn die(&mut self, why: &str, now: Timestamp) {
        self.why = Some(why.to_owned());
        self.dead = Some(now);
    }

    /// It is sent as if it were new.
    pub fn revive(&mut self, now: Timestamp) {
        self.dead = None;
        self.attempts = 0;
        self.next = now;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn letter() -> Letter {
        let message = Message::new(Kind::Test, NOW, &["a"], json!({}));
        Letter::of(&message, NOW)
    }

    #[test]
    fn it_is_sent_for_about_a_day_with_growing_pauses() {
        for (share, hours) in [(1.0, 31), (0.5, 15)] {
            let mut letter = letter();
            let (mut now, mut last) = (NOW, 0);
            while letter.waits() {
                letter.failed("no", None, now, |pause| pause.mul_f64(share));
                let pause = letter.next.seconds_since(now);
                assert!(!letter.waits() || pause >= last, "{letter:?}");
                last = if letter.waits() { pause } else { last };
                now = letter.next;
            }
            assert_eq!((letter.attempts, letter.dead), (13, Some(now)));
            assert_eq!(now.seconds_since(NOW) / 3600, hours);
        }
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it_within_reason() {
        let paused = |asked| {
            let mut letter = letter();
            letter.failed("429", Some(asked), NOW, |pause| pause);
            letter.next.seconds_since(NOW)
        };
        assert_eq!(paused(Duration::from_secs(90)), 90);
        assert_eq!(paused(Duration::ZERO), 5);
        assert_eq!(paused(Duration::MAX), 86_400);
    }

    #[test]
    fn what_a_clock_noted_that_was_ahead_holds_nothing_up() {
        let mut letter = letter();
        letter.failed("no", Some(Duration::MAX), NOW, |pause| pause);
        assert_eq!(letter.due(NOW), letter.next);
        let ahead = NOW.plus(Duration::from_hours(24 * 365));
        letter.failed("no", None, ahead, |pause| pause);
        assert_eq!(letter.due(NOW), NOW);
        assert_eq!(letter.due(ahead), letter.next);
    }

    #[test]
    fn what_a_receiver_says_is_kept_short_and_harmless() {
        let mut letter = letter();
        letter.failed(&"\u{1b}[2J".repeat(1000), None, NOW, |pause| pause);
        let why = letter.why.unwrap();
        assert!(why.len() < 2500 && !why.contains('\u{1b}'));
    }
}
