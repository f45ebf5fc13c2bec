//! The signatures that were believed, for as long as they would be believed again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use foldhash::HashSet;
use prometheus::IntGauge;

use super::Refusal;
use crate::clock::Timestamp;
use crate::sign::{Invalid, Vouched};

/// Remembers signatures until they end. Only those that were verified come here, so nobody without a
/// secret can fill it.
pub struct Seen {
    most: usize,
    remembered: IntGauge,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the second in which they end: about 70 of them, since none lasts longer.
    ending: BTreeMap<i64, HashSet<u64>>,
    count: usize,
    /// What ended before it is forgotten, also when the clock is set back.
    forgotten: i64,
}

impl Seen {
    /// Remembers so many at `most`, and shows how many they are.
    #[must_use]
    pub fn new(most: usize, remembered: IntGauge) -> Self {
        Self {
            most,
            remembered,
            state: Mutex::default(),
        }
    }

    /// Takes note of a signature that was believed at `now`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Replayed`] when it was before; [`Refusal::Full`] when there is no room: what cannot
    /// be remembered could come twice.
    pub fn once(&self, vouched: &Vouched, now: Timestamp) -> Result<(), Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let done = state.once(vouched, now.as_unix(), self.most);
        let remembered = i64::try_from(state.count).unwrap_or(i64::MAX);
        self.remembered.set(remembered);
        done
    }
}

impl State {
    fn once(&mut self, vouched: &Vouched, now: i64, most: usize) -> Result<(), Refusal> {
        self.forget(now);
        if vouched.until < self.forgotten {
            return Err(Invalid::Time.into());
        }
        self.remember(vouched.mark.as_u64(), vouched.until, most)
    }

    fn remember(&mut self, mark: u64, until: i64, most: usize) -> Result<(), Refusal> {
        let ending = self.ending.get(&until);
        if ending.is_some_and(|marks| marks.contains(&mark)) {
            return Err(Refusal::Replayed);
        }
        if self.count >= most {
            return Err(Refusal::Full);
        }
        let ending = self.ending.entry(until);
        ending.or_default().insert(mark);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn forget(&mut self, now: i64) {
        if now <= self.forgotten {
            return;
        }
        self.forgotten = now;
        let left = self.ending.split_off(&now);
        let gone = std::mem::replace(&mut self.ending, left);
        for marks in gone.values() {
            self.count = self.count.saturating_sub(marks.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/VERIFY.md says how much that is for a million.
    #[test]
    fn a_signature_takes_little_memory() {
        const A_SECOND: u64 = 2_000;
        let mut state = State::default();
        for number in 0..70 * A_SECOND {
            let until = i64::try_from(number / A_SECOND).unwrap();
            // Spread over all numbers, as MACs are.
            let mark = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert!(state.remember(mark, until, usize::MAX).is_ok());
        }
        // The table of a set has a byte beside each place, and more places than it tells of.
        let places = state.ending.values().map(|marks| marks.capacity() * 8 / 7);
        let bytes = places.sum::<usize>() * 9;
        let each = bytes / state.count;
        assert!((9..=21).contains(&each), "{each} bytes each");
    }
}
