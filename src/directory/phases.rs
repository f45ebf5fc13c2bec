//! What was set for whom, as a request reads it: without a lock, and without allocating.

use std::sync::Arc;

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::client::{ClientId, Tags};
use crate::phase::{self, InForce, Phase, PhaseRecord, Target};
use crate::store::Epoch;

pub(super) const UNTAGGED: &Tags = &Tags::new();

/// Every setting that holds.
#[derive(Default)]
pub(super) struct Phases {
    /// For all, and for cohorts: few.
    shared: HashMap<Target, Arc<InForce>, RandomState>,
    clients: HashMap<ClientId, Arc<InForce>, RandomState>,
    /// All records, also those whose settings were taken back, with their versions.
    records: HashMap<Target, (Epoch, PhaseRecord), RandomState>,
}

impl Phases {
    /// The setting that holds for `client`, which has these `tags`.
    pub(super) fn of(&self, client: &ClientId, tags: &Tags) -> Option<Arc<InForce>> {
        let (clients, shared) = (self.clients.pin(), self.shared.pin());
        phase::holding(clients.get(client), shared.values(), tags).map(Arc::clone)
    }

    /// Whether a client that nobody knows yet would be retired.
    pub(super) fn are_newcomers_retired(&self) -> bool {
        let shared = self.shared.pin();
        let held = phase::holding(None, shared.values(), UNTAGGED);
        held.is_some_and(|held| held.phase() == Phase::Retired)
    }

    /// The version of a target's record.
    pub(super) fn version(&self, target: &Target) -> Option<Epoch> {
        let records = self.records.pin();
        records.get(target).map(|(version, _)| *version)
    }

    /// Calls `each` with every record and its version.
    pub(super) fn records(&self, mut each: impl FnMut(Epoch, &PhaseRecord)) {
        for (version, record) in self.records.pin().values() {
            each(*version, record);
        }
    }

    /// Whether no setting was ever made.
    pub(super) fn is_nothing_set(&self) -> bool {
        self.records.is_empty()
    }

    /// Calls `each` with every setting.
    pub(super) fn each(&self, mut each: impl FnMut(&Arc<InForce>)) {
        self.shared.pin().values().for_each(&mut each);
        self.clients.pin().values().for_each(&mut each);
    }

    /// Takes in a record, unless a later version of it is known. Only one task does this.
    pub(super) fn apply(&self, version: Epoch, record: &PhaseRecord) {
        let records = self.records.pin();
        let known = records.get(&record.target);
        if known.is_some_and(|(known, _)| *known >= version) {
            return;
        }
        records.insert(record.target.clone(), (version, record.clone()));
        let setting = InForce::of(version, record).map(Arc::new);
        match (&record.target, setting) {
            (Target::Client(client), Some(setting)) => {
                self.clients.pin().insert(client.clone(), setting);
            }
            (Target::Client(client), None) => {
                self.clients.pin().remove(client);
            }
            (target, Some(setting)) => {
                self.shared.pin().insert(target.clone(), setting);
            }
            (target, None) => {
                self.shared.pin().remove(target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::phase::{Setting, Step};
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
    fn newcomers_are_under_what_holds_for_whoever_has_no_tags() {
        let phases = Phases::default();
        assert!(!phases.are_newcomers_retired());
        set(&phases, 1, "cohort:a", Step::Retired);
        set(&phases, 2, "client:x", Step::Retired);
        assert!(!phases.are_newcomers_retired(), "they are neither");
        let all = set(&phases, 3, "all", Step::Retired);
        assert!(phases.are_newcomers_retired());
        set(&phases, 4, "cohort:b", Step::Accept);
        assert!(phases.are_newcomers_retired(), "they have no tags");
        let untagged = set(&phases, 5, "cohort:!b", Step::Accept);
        assert!(!phases.are_newcomers_retired());
        undo(&phases, 6, untagged);
        undo(&phases, 7, all);
        assert!(!phases.are_newcomers_retired());
    }

    #[test]
    fn an_older_version_changes_nothing() {
        let phases = Phases::default();
        let retired = set(&phases, 2, "client:x", Step::Retired);
        undo(&phases, 3, retired.clone());
        phases.apply(retired.0, &retired.1);
        assert!(phases.of(&"x".parse().unwrap(), &Tags::new()).is_none());
    }
}
