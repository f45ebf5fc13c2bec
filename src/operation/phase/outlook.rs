//! Which phase holds for which client, as things are or as a change would make them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::client::{ClientId, ClientRecord};
use crate::clock::Timestamp;
use crate::operation::Operator;
use crate::operation::progress::Progress;
use crate::operation::records::Records;
use crate::phase::{self, InForce, Phase, PhaseRecord, Target};
use crate::store::{Change, Epoch, Record};

/// Every setting.
#[derive(Default)]
pub(crate) struct Outlook {
    /// For all, and for cohorts.
    shared: BTreeMap<Target, Arc<InForce>>,
    clients: BTreeMap<ClientId, Arc<InForce>>,
}

/// The clients that a setting concerns.
#[derive(Clone, Debug, Default, Serialize, schemars::JsonSchema)]
pub(super) struct Concerned {
    /// How many it holds for.
    pub(super) total: usize,
    /// Those that called by certificate within the window, and so would notice; or may have.
    pub(super) by_certificate: Vec<ClientId>,
    /// Those of them that may have: their last times in the store cannot be read.
    pub(super) unreadable: Vec<ClientId>,
    /// Those of them that have no key.
    pub(super) without_key: Vec<ClientId>,
}

impl Outlook {
    /// As things are.
    pub(crate) fn of(records: &Records) -> Self {
        let mut outlook = Self::default();
        for (version, record) in records.phases.values() {
            outlook.take(*version, record);
        }
        outlook
    }

    /// As `change` would make them.
    pub(super) fn after(records: &Records, change: &Change) -> Self {
        let mut outlook = Self::of(records);
        for write in &change.writes {
            if let Record::Phase(record) = &write.record {
                outlook.take(records.epoch.next(), record);
            }
        }
        outlook
    }

    fn take(&mut self, version: Epoch, record: &PhaseRecord) {
        let setting = InForce::of(version, record).map(Arc::new);
        match (&record.target, setting) {
            (Target::Client(client), Some(setting)) => {
                self.clients.insert(client.clone(), setting);
            }
            (Target::Client(client), None) => {
                self.clients.remove(client);
            }
            (target, Some(setting)) => {
                self.shared.insert(target.clone(), setting);
            }
            (target, None) => {
                self.shared.remove(target);
            }
        }
    }

    /// What holds for `client`.
    pub(crate) fn holds(&self, client: &ClientRecord) -> Option<&Arc<InForce>> {
        let own = self.clients.get(&client.id);
        phase::holding(own, self.shared.values(), &client.tags)
    }

    /// What is or would be in force for `target` as a whole: what was set for it, else for more.
    pub(super) fn of_target(&self, target: &Target, records: &Records) -> Option<&Arc<InForce>> {
        let all = self.shared.get(&Target::All);
        match target {
            Target::All | Target::Cohort(_) => self.shared.get(target).or(all),
            Target::Client(id) => {
                let client = records.clients.get(id).map(|(_, client)| client);
                client.map_or(all, |client| self.holds(client))
            }
        }
    }

    /// The clients for which what was set for `target` holds.
    pub(super) fn concerned(
        &self,
        target: &Target,
        records: &Records,
        progress: &Progress,
        operator: &Operator,
    ) -> Concerned {
        Concerned::of(records, progress, operator, |client| {
            let held = self.holds(client);
            held.is_some_and(|held| held.target == *target)
        })
    }

    /// The clients that are retired here, and were not `before`.
    pub(super) fn newly_retired(
        &self,
        before: &Self,
        records: &Records,
        progress: &Progress,
        operator: &Operator,
    ) -> Concerned {
        let is_retired = |outlook: &Self, client: &ClientRecord| {
            let held = outlook.holds(client);
            held.is_some_and(|held| held.phase() == Phase::Retired)
        };
        Concerned::of(records, progress, operator, |client| {
            is_retired(self, client) && !is_retired(before, client)
        })
    }
}

impl Concerned {
    /// Those active clients that are meant.
    fn of(
        records: &Records,
        progress: &Progress,
        operator: &Operator,
        is_meant: impl Fn(&ClientRecord) -> bool,
    ) -> Self {
        let mut concerned = Self::default();
        let clients = records.clients.values().map(|(_, client)| client);
        for client in clients.filter(|client| client.is_active() && is_meant(client)) {
            concerned.total = concerned.total.saturating_add(1);
            let last = progress.seen(&client.id).by_certificate;
            let is_unreadable = progress.is_unreadable(&client.id);
            let is_late = |last: Timestamp| last.plus(progress.window()) < operator.now;
            if !is_unreadable && last.is_none_or(is_late) {
                continue;
            }
            concerned.by_certificate.push(client.id.clone());
            if is_unreadable {
                concerned.unreadable.push(client.id.clone());
            }
            if !progress.has_key(&client.id) {
                concerned.without_key.push(client.id.clone());
            }
        }
        concerned
    }
}
