//! Spares everybody the wait for a Redis that does not answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// From so many questions in a row without an answer on, further ones are not asked.
const ENOUGH: u32 = 5;
/// How long until one of them is asked all the same, to see whether Redis is back.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts what is not answered.
///
/// It is open while [`ENOUGH`] questions or more in a row had no answer: then one question at a time
/// goes through as a probe, and any answer closes it.
pub(super) struct Breaker {
    state: Mutex<State>,
    /// A probe takes no longer; one that was given up midway must not be waited for.
    longest: Duration,
}

#[derive(Default)]
struct State {
    /// Questions in a row without an answer.
    unanswered: u32,
    /// When the next probe may go, while it is open.
    next: Option<Instant>,
    why: String,
}

impl Breaker {
    pub(super) const fn new(longest: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                unanswered: 0,
                next: None,
                why: String::new(),
            }),
            longest,
        }
    }

    /// Whether to ask now. If not: why the last question was not answered.
    pub(super) fn admit(&self, now: Instant) -> Result<(), String> {
        let mut state = self.state();
        if state.unanswered < ENOUGH {
            return Ok(());
        }
        if state.next.is_some_and(|next| now < next) {
            return Err(format!(
                "Redis does not answer and is asked once a second; last: {}",
                state.why
            ));
        }
        state.next = now.checked_add(self.longest);
        Ok(())
    }

    /// The question was answered, in whatever way.
    pub(super) fn answered(&self) {
        self.state().unanswered = 0;
    }

    /// The question was not answered.
    pub(super) fn unanswered(&self, now: Instant, why: &str) {
        let mut state = self.state();
        state.unanswered = state.unanswered.saturating_add(1);
        state.next = now.checked_add(clock::jittered(PAUSE));
        why.clone_into(&mut state.why);
        if state.unanswered == ENOUGH {
            tracing::warn!(
                why,
                "Redis does not answer; from now on it is asked once a second"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(3);

    /// One that has just opened.
    fn open(now: Instant) -> Breaker {
        let breaker = Breaker::new(LONGEST);
        for _ in 0..ENOUGH {
            breaker.admit(now).unwrap();
            breaker.unanswered(now, "no answer");
        }
        breaker
    }

    #[test]
    fn it_opens_after_enough_silence_in_a_row_and_says_why() {
        let now = clock::monotonic();
        let breaker = Breaker::new(LONGEST);
        for _ in 0..10 {
            for _ in 1..ENOUGH {
                breaker.unanswered(now, "no answer");
                breaker.admit(now).unwrap();
            }
            breaker.answered();
        }
        assert!(open(now).admit(now).unwrap_err().ends_with("no answer"));
    }

    #[test]
    fn one_probe_goes_through_at_a_time_and_an_answer_closes_it() {
        let now = clock::monotonic();
        let breaker = open(now);
        assert!(breaker.admit(now + PAUSE / 3).is_err());
        let later = now + PAUSE;
        breaker.admit(later).unwrap();
        assert!(breaker.admit(later).is_err(), "the probe is under way");

        breaker.unanswered(later, "still none");
        assert!(breaker.admit(later).unwrap_err().ends_with("still none"));
        breaker.admit(later + PAUSE).unwrap();
        breaker.answered();
        for _ in 0..10 {
            breaker.admit(later + PAUSE).unwrap();
        }
    }

    #[test]
    fn a_probe_that_was_given_up_is_not_waited_for() {
        let now = clock::monotonic();
        let breaker = open(now);
        let later = now + PAUSE;
        breaker.admit(later).unwrap();
        assert!(breaker.admit(later + LONGEST / 2).is_err());
        breaker.admit(later + LONGEST).unwrap();
    }
}
