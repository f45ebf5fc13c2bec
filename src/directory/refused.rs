//! What the store holds and is not believed, and what it should hold and does not: counted, told,
//! and never taken for "there is no such record".

use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::RandomState;

use super::{Directory, Unavailable};
use crate::store::{RecordId, Refusal, Refused, StoreError, What};

/// How many are named in the log at a time.
const MOST_TOLD: usize = 10;
/// How many are remembered by name.
const MOST_NAMED: usize = 100_000;

/// The store holds no record of what was known, and nothing takes a record away.
pub(super) const MISSING: &str = "missing";
/// The store holds an older version of a record than was known.
pub(super) const OLDER: &str = "older";

/// Every reason for which something of the store is not believed.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    Refusal::NAMES.into_iter().chain([MISSING, OLDER])
}

/// What was not believed of the store, one after the other.
#[derive(Default)]
pub(super) struct Refusals {
    by_reason: BTreeMap<&'static str, usize>,
    /// The first ones, in the words of the log.
    told: Vec<(String, String)>,
    doubted: Doubted,
    last: Option<Refused>,
}

impl Refusals {
    /// What stands in the place of a record, or of an event, is refused.
    pub(super) fn add(&mut self, one: Refused) {
        self.count(one.why.as_str(), &one.what, &one.why);
        if let What::Record(id) = &one.what {
            self.doubted.add(id);
        }
        self.last = Some(one);
    }

    /// A record goes on as it was known, since the store holds an older one, or none.
    pub(super) fn add_kept(&mut self, id: &RecordId, is_older: bool) {
        if is_older {
            let why = "it is an older version than was known here; that one goes on";
            self.count(OLDER, id, &why);
        } else if !self.doubted.has(id) {
            let why = "it is missing, and nothing takes a record away; what was known goes on";
            self.count(MISSING, id, &why);
        }
    }

    fn count(
        &mut self,
        reason: &'static str,
        what: &impl std::fmt::Display,
        why: &impl std::fmt::Display,
    ) {
        let count = self.by_reason.entry(reason).or_default();
        *count = count.saturating_add(1);
        if self.told.len() < MOST_TOLD {
            self.told.push((what.to_string(), why.to_string()));
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_reason.values().sum()
    }

    /// The last one that was refused.
    pub(super) const fn take_last(&mut self) -> Option<Refused> {
        self.last.take()
    }

    /// The records of which nothing is known, so that nobody is told that there are none.
    pub(super) fn into_doubted(self) -> Doubted {
        self.doubted
    }
}

/// Records in whose places something stands that is not believed, or that may be still to come.
#[derive(Default)]
pub(super) struct Doubted {
    named: HashSet<RecordId, RandomState>,
    /// There are more than are named: it may be any.
    is_any: bool,
    /// The store is being restored.
    is_incomplete: AtomicBool,
}

impl Doubted {
    fn add(&mut self, id: &RecordId) {
        if self.named.len() < MOST_NAMED {
            self.named.insert(id.clone());
        } else {
            self.is_any |= !self.named.contains(id);
        }
    }

    pub(super) fn has(&self, id: &RecordId) -> bool {
        self.is_any || self.is_incomplete.load(Ordering::Acquire) || self.named.contains(id)
    }

    /// While the store is being restored, any record may still come.
    pub(super) fn while_incomplete(&self, is_incomplete: bool) {
        self.is_incomplete.store(is_incomplete, Ordering::Release);
    }
}

impl Directory {
    /// How much of the store was refused, by reason.
    pub fn refused(&self, mut each: impl FnMut(&'static str, u64)) {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, count) in &*refused {
            each(reason, *count);
        }
    }

    /// Counts what is not believed, and raises the alarm.
    pub(super) fn refuse(&self, refusals: &Refusals) {
        let mut counts = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, more) in &refusals.by_reason {
            let count = counts.entry(reason).or_default();
            *count = count.saturating_add(u64::try_from(*more).unwrap_or(u64::MAX));
        }
        for (what, why) in &refusals.told {
            tracing::error!(what, why, "the store holds what is not believed");
        }
        let more = refusals.len().saturating_sub(refusals.told.len());
        if more > 0 {
            tracing::error!(more, "the store holds more that is not believed");
        }
    }

    /// Counts what is not believed, if that is what `error` is about.
    pub fn note(&self, error: StoreError) -> Unavailable {
        if let StoreError::Refused(one) = error {
            let mut refusals = Refusals::default();
            refusals.add(one);
            self.refuse(&refusals);
        }
        Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever fills the store with what is not believed fills no memory.
    #[test]
    fn of_many_that_are_refused_each_is_doubted_and_some_are_named() {
        let mut refusals = Refusals::default();
        let id = |n: usize| RecordId::Client(n.to_string().parse().unwrap());
        let refused = |n| Refused {
            what: What::from(&id(n)),
            why: Refusal::Unsigned,
        };
        for n in 0..MOST_NAMED {
            refusals.add(refused(n));
        }
        assert!(refusals.doubted.has(&id(7)) && !refusals.doubted.has(&id(MOST_NAMED)));
        refusals.add(refused(MOST_NAMED));
        assert_eq!(refusals.len(), MOST_NAMED + 1);
        assert_eq!(refusals.told.len(), MOST_TOLD);
        let doubted = refusals.into_doubted();
        assert_eq!(doubted.named.len(), MOST_NAMED);
        assert!(doubted.has(&id(MOST_NAMED)) && doubted.has(&id(MOST_NAMED + 1)));
    }
}
