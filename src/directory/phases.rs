//! What was set for whom, as a request reads it: without a lock, and without allocating.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::client::{ClientId, Tags};
use crate::phase::{Cohorts, InForce, Phase, PhaseRecord, Target};
use crate::store::Epoch;

/// Every setting that holds.
#[derive(Default)]
pub(super) struct Phases {
    cohorts: ArcSwap<Cohorts>,
    clients: HashMap<ClientId, Arc<InForce>, RandomState>,
    /// The versions of all records, also of those whose settings were taken back.
    versions: HashMap<Target, Epoch, RandomState>,
    everybody_retired: AtomicBool,
}

impl Phases {
    /// The setting that holds for `client`, which has these `tags` when it is known.
    pub(super) fn of(&self, client: &ClientId, tags: Option<&Tags>) -> Option<Arc<InForce>> {
        const UNTAGGED: &Tags = &Tags::new();
        let clients = self.clients.pin();
        let cohorts = self.cohorts.load();
        cohorts
            .holds(clients.get(client), tags.unwrap_or(UNTAGGED))
            .map(Arc::clone)
    }

    /// Whether all are retired, and nobody is less than that.
    pub(super) fn is_everybody_retired(&self) -> bool {
        self.everybody_retired.load(Ordering::Relaxed)
    }

    /// Calls `each` with every setting.
    pub(super) fn each(&self, mut each: impl FnMut(&Arc<InForce>)) {
        self.cohorts.load().iter().for_each(&mut each);
        self.clients.pin().values().for_each(&mut each);
    }

    /// Takes in a record, unless a later version of it is known. Only one task does this.
    pub(super) fn apply(&self, version: Epoch, record: &PhaseRecord) {
        let versions = self.versions.pin();
        let known = versions.get(&record.target);
        if known.is_some_and(|known| *known >= version) {
            return;
        }
        versions.insert(record.target.clone(), version);
        let setting = InForce::of(version, record).map(Arc::new);
        match (&record.target, setting) {
            (Target::Client(client), Some(setting)) => {
                self.clients.pin().insert(client.clone(), setting);
            }
            (Target::Client(client), None) => {
                self.clients.pin().remove(client);
            }
            (target @ (Target::All | Target::Cohort(_)), setting) => {
                let cohorts = Cohorts::clone(&self.cohorts.load());
                self.cohorts.store(Arc::new(cohorts.with(target, setting)));
            }
        }
        let everybody = self.are_all_retired();
        self.everybody_retired.store(everybody, Ordering::Relaxed);
    }

    fn are_all_retired(&self) -> bool {
        let retired = |setting: &Arc<InForce>| setting.phase() == Phase::Retired;
        let cohorts = self.cohorts.load();
        cohorts.all.is_some()
            && cohorts.iter().all(retired)
            && self.clients.pin().values().all(retired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::phase::{self, Setting, Step};
    use crate::store::{Actor, Change, Record};

    fn apply(phases: &Phases, version: u64, change: &Change) -> (Epoch, PhaseRecord) {
        match &change.writes[0].record {
            Record::Phase(record) => {
                phases.apply(Epoch(version), record);
                (Epoch(version), record.clone())
            }
            other => panic!("{other:?}"),
        }
    }

    fn set(phases: &Phases, version: u64, target: &str, step: Step) -> (Epoch, PhaseRecord) {
        let at = Timestamp::from_unix(1);
        let setting = Setting::new(step, Actor::Gateway, at);
        let change = phase::set(None, target.parse().unwrap(), setting);
        apply(phases, version, &change)
    }

    fn undo(phases: &Phases, version: u64, read: (Epoch, PhaseRecord)) {
        let change = phase::undo(read, Actor::Gateway, Timestamp::from_unix(2));
        apply(phases, version, &change.unwrap());
    }

    #[test]
    fn everybody_is_retired_when_all_are_and_nobody_is_less() {
        let phases = Phases::default();
        assert!(!phases.is_everybody_retired());
        set(&phases, 1, "cohort:a", Step::Retired);
        assert!(!phases.is_everybody_retired(), "there are others");
        let all = set(&phases, 2, "all", Step::Retired);
        assert!(phases.is_everybody_retired());
        for (version, target) in [(3, "cohort:b"), (5, "client:x")] {
            let exempt = set(&phases, version, target, Step::Accept);
            assert!(!phases.is_everybody_retired(), "{target}");
            undo(&phases, version.saturating_add(1), exempt);
            assert!(phases.is_everybody_retired(), "{target}");
        }
        undo(&phases, 7, all);
        assert!(!phases.is_everybody_retired());
    }

    #[test]
    fn an_older_version_changes_nothing() {
        let phases = Phases::default();
        let retired = set(&phases, 2, "client:x", Step::Retired);
        undo(&phases, 3, retired.clone());
        phases.apply(retired.0, &retired.1);
        assert!(phases.of(&"x".parse().unwrap(), None).is_none());
    }
}
