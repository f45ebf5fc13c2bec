//! How often a brownout has refused, as far as that is known here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The refusals of one brownout.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// Those here.
    here: AtomicU64,
    /// How many of them went into the outbox.
    collected: AtomicU64,
    /// How many of them the store took.
    told: AtomicU64,
    /// All that the store knew of when it last answered, without those that it took from here.
    elsewhere: AtomicU64,
}

impl Spending {
    pub(super) fn count(&self) {
        self.here.fetch_add(1, Relaxed);
    }

    /// As far as is known here: what the store knew of last, and what came here since. Where an
    /// answer of the store was lost, rather some too many.
    pub(super) fn known(&self) -> u64 {
        let elsewhere = self.elsewhere.load(Relaxed);
        elsewhere.saturating_add(self.here.load(Relaxed))
    }

    /// Those since the last time.
    pub(super) fn collect(&self) -> u64 {
        let here = self.here.load(Relaxed);
        here.saturating_sub(self.collected.swap(here, Relaxed))
    }

    /// The store took so many.
    pub(super) fn is_told(&self, refusals: u64) {
        self.told.fetch_add(refusals, Relaxed);
    }

    /// How many the store took.
    pub(super) fn told(&self) -> u64 {
        self.told.load(Relaxed)
    }

    /// The store knows of so many beside those that it took from here.
    pub(super) fn learn(&self, elsewhere: u64) {
        self.elsewhere.store(elsewhere, Relaxed);
    }
}
