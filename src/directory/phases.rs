//! What was set for whom, as a request reads it: without a lock, and without allocating.

use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::client::{ClientId, Tags};
use crate::phase::{Cohorts, InForce, PhaseRecord, Target};
use crate::store::Epoch;

/// Every setting that holds.
#[derive(Default)]
pub(super) struct Phases {
    cohorts: ArcSwap<Cohorts>,
    clients: HashMap<ClientId, Arc<InForce>, RandomState>,
    /// The versions of all records, also of those whose settings were taken back.
    versions: HashMap<Target, Epoch, RandomState>,
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
    }
}
