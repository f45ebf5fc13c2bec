//! Chance that can be had again.

use std::time::Duration;

/// The variable that gives the seed.
const SEED: &str = "KEYFERRY_SEED";

/// Numbers as they come, from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    /// From the seed in `KEYFERRY_SEED`, or else from any. Prints it.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's only way to be told what to repeat"
    )]
    pub(crate) fn new() -> Self {
        let given = std::env::var(SEED).ok();
        let seed = match given {
            Some(seed) => seed.parse().expect("a seed is a number"),
            None => getrandom::u64().expect("randomness"),
        };
        println!("{SEED}={seed}");
        Self::of(seed)
    }

    pub(crate) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, as `SplitMix64` makes them.
    pub(crate) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the numbers below `end`.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Less than so many milliseconds, to the microsecond.
    pub(crate) const fn within_ms(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1000))
    }

    /// One of `all`; none when there is none.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(all.len()).expect("not that many");
        let at = self.below(count.max(1));
        all.get(usize::try_from(at).expect("one of them"))
    }
}
