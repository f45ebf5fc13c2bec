//! How often the log tells of what anybody can cause: a flood is no flood of lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;
use crate::limit::{Moment, Paces, Rate};

/// So many lines of each kind are written in a second.
const PER_SECOND: u32 = 10;
/// So many at once.
const AT_ONCE: u32 = 100;

/// The lines that may be written.
pub(super) struct Telling {
    begun: Instant,
    paces: Paces,
    untold: AtomicU64,
}

impl Telling {
    pub(super) fn new() -> Self {
        Self {
            begun: clock::monotonic(),
            paces: Paces::new(Rate::new(PER_SECOND, Duration::from_secs(1), AT_ONCE)),
            untold: AtomicU64::new(0),
        }
    }

    /// Whether one more is told of that has this `reason`: then, how many were not told of before,
    /// for whatever reason.
    pub(super) fn tell(&self, reason: &str) -> Option<u64> {
        let now = Moment::since(self.begun, clock::monotonic());
        if self.paces.take(reason, now).is_ok() {
            Some(self.untold.swap(0, Ordering::Relaxed))
        } else {
            self.untold.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_now_and_then_and_hides_nothing_else() {
        let telling = Telling::new();
        let told = (0..10_000).filter(|_| telling.tell("flood").is_some());
        assert!((100..1_000).contains(&told.count()));
        assert!(telling.tell("other").is_some_and(|untold| untold > 9_000));
        assert_eq!(telling.tell("other"), Some(0));
    }
}
