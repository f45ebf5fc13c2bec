//! Token buckets as one number each: the generic cell rate algorithm.

use std::array;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A count is never too low; with so many cells it is too high for next to nobody.
const ROWS: usize = 4;
const CELLS: usize = 4096;
/// The bits of a hash that choose a cell.
const BITS: u32 = CELLS.trailing_zeros();

/// A moment as nanoseconds since another, which lasts for five hundred years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// `now`, seen from when it `begun`.
    #[must_use]
    pub fn since(begun: Instant, now: Instant) -> Self {
        Self(nanoseconds(now.saturating_duration_since(begun)))
    }
}

/// So many on average, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds between two.
    interval: u64,
    /// Nanoseconds that a whole burst takes to come back.
    burst: u64,
}

impl Rate {
    /// `number` within `period` on average, and `burst` at once. Of nothing, there is one.
    #[must_use]
    pub fn new(number: u32, period: Duration, burst: u32) -> Self {
        let period = nanoseconds(period);
        let interval = period.checked_div(number.into()).unwrap_or(period);
        Self {
            interval: interval.max(1),
            burst: interval.max(1).saturating_mul(u64::from(burst.max(1))),
        }
    }

    /// This part of it, between 0 and 1, and of its burst.
    #[must_use]
    pub fn share(self, part: f64) -> Self {
        let interval = Duration::from_nanos(self.interval);
        let interval = nanoseconds(interval.div_f64(part.clamp(LEAST, 1.0)));
        Self {
            interval,
            // As many fewer, each as much longer: the same time. One must always fit.
            burst: self.burst.max(interval),
        }
    }

    /// How many there are in a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        1.0 / Duration::from_nanos(self.interval).as_secs_f64()
    }
}

/// The smallest share that there is.
const LEAST: f64 = 0.001;

/// One bucket. It holds when it is full again; what lies in the past is full.
#[derive(Debug, Default)]
pub struct Pace(AtomicU64);

impl Pace {
    /// Takes one.
    ///
    /// # Errors
    ///
    /// When there is none: how long until there is.
    pub fn take(&self, rate: Rate, now: Moment) -> Result<(), Duration> {
        let next = |full: u64| {
            let next = full.max(now.0).saturating_add(rate.interval);
            (next.saturating_sub(now.0) <= rate.burst).then_some(next)
        };
        let taken = (self.0).fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(drop).map_err(|full| wait(full, rate, now))
    }

    /// How long until there is one; nothing when there is.
    #[must_use]
    pub fn wait(&self, rate: Rate, now: Moment) -> Duration {
        wait(self.0.load(Ordering::Relaxed), rate, now)
    }

    /// Whether nothing is lost with it.
    #[must_use]
    pub fn is_full(&self, now: Moment) -> bool {
        self.0.load(Ordering::Relaxed) <= now.0
    }
}

fn wait(full: u64, rate: Rate, now: Moment) -> Duration {
    let next = full.max(now.0).saturating_add(rate.interval);
    Duration::from_nanos(next.saturating_sub(now.0).saturating_sub(rate.burst))
}

/// A bucket for every key there may be, in a fixed number of cells: a count-min sketch.
///
/// Keys share cells, so a bucket can be too empty, never too full. How keys fall into cells is
/// another secret in every process, so nobody aims at somebody else's.
#[derive(Debug)]
pub struct Paces {
    cells: [Box<[Pace]>; ROWS],
    hasher: RandomState,
    rate: Rate,
}

impl Paces {
    /// Full buckets, each of this rate.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let row = |_| (0..CELLS).map(|_| Pace::default()).collect();
        Self {
            cells: array::from_fn(row),
            hasher: RandomState::new(),
            rate,
        }
    }

    /// Takes one from the bucket of `key`.
    ///
    /// # Errors
    ///
    /// When there is none: how long until there is.
    pub fn take(&self, key: impl Hash, now: Moment) -> Result<(), Duration> {
        let mut shortest = Err(Duration::MAX);
        for cell in self.cells_of(key) {
            let taken = cell.take(self.rate, now);
            shortest = match (shortest, taken) {
                (Err(known), Err(other)) => Err(known.min(other)),
                _ => Ok(()),
            };
        }
        shortest
    }

    /// How long until there is one in the bucket of `key`; nothing when there is.
    #[must_use]
    pub fn wait(&self, key: impl Hash, now: Moment) -> Duration {
        let waits = self.cells_of(key).map(|cell| cell.wait(self.rate, now));
        waits.min().unwrap_or_default()
    }

    fn cells_of(&self, key: impl Hash) -> impl Iterator<Item = &Pace> {
        let mut hash = self.hasher.hash_one(key);
        self.cells.iter().filter_map(move |row| {
            let cell = usize::try_from(hash).unwrap_or(usize::MAX) % CELLS;
            hash >>= BITS;
            row.get(cell)
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers of the tests' own"
)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(milliseconds: u64) -> Moment {
        Moment(SECOND + milliseconds * 1_000_000)
    }

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let (pace, rate) = (Pace::default(), Rate::new(10, Duration::from_secs(1), 3));
        assert!((0..3).all(|_| pace.take(rate, at(0)).is_ok()));
        assert_eq!(pace.take(rate, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(pace.wait(rate, at(40)), Duration::from_millis(60));
        assert!(pace.take(rate, at(100)).is_ok() && pace.take(rate, at(100)).is_err());
        assert!(!pace.is_full(at(399)) && pace.is_full(at(400)));
    }

    #[test]
    fn a_minute_at_the_rate_lets_the_rate_and_one_burst_pass() {
        let (pace, rate) = (Pace::default(), Rate::new(10, Duration::from_secs(1), 20));
        let passed = (0..60_000).filter(|ms| pace.take(rate, at(*ms)).is_ok());
        assert_eq!(passed.count(), 619);
    }

    #[test]
    fn shares_that_are_one_together_let_as_many_pass_as_the_whole() {
        let rate = Rate::new(10, Duration::from_secs(1), 20);
        let passed = |share: f64| {
            let pace = Pace::default();
            let rate = rate.share(share);
            (0..60_000)
                .filter(|ms| pace.take(rate, at(*ms)).is_ok())
                .count()
        };
        let whole = passed(1.0);
        let parts = passed(0.7) + passed(0.2) + passed(0.1);
        assert!(parts.abs_diff(whole) <= 3, "{parts} instead of {whole}");
        // However small the share, one comes through now and then.
        assert_eq!(passed(0.004), 3);
    }

    #[test]
    fn k14_a_flood_of_a_hundred_thousand_keys_costs_no_memory_and_hits_hardly_anybody() {
        let paces = Paces::new(Rate::new(100, Duration::from_secs(1), 100));
        for n in 0..100_000 {
            let _ = paces.take(n, at(0));
        }
        let hit = (200_000..201_000).filter(|n| paces.take(n, at(1)).is_err());
        assert_eq!(hit.count(), 0);
    }

    #[test]
    fn k14_whoever_floods_empties_its_own_bucket_and_no_other() {
        let paces = Paces::new(Rate::new(60, Duration::from_mins(1), 60));
        let passed = (0..10_000).filter(|_| paces.take("attacker", at(0)).is_ok());
        assert_eq!(passed.count(), 60);
        assert!(paces.wait("attacker", at(0)) > Duration::ZERO);
        assert_eq!(paces.wait("victim", at(0)), Duration::ZERO);
        assert!(paces.take("victim", at(0)).is_ok());
    }
}
