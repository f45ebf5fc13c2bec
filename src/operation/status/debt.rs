//! What is still owed: backends that get the headers of an old proxy (docs/MASQUERADE.md).

use std::collections::HashSet;

use serde::Serialize;

use crate::certificate::Mapping;
use crate::operation::Operator;
use crate::operation::progress::Progress;
use crate::operation::records::Records;
use crate::operation::table::add_one;

/// Those backends, and the active clients with a key that can be used, which may come to them by it.
#[derive(Default, Serialize, schemars::JsonSchema)]
pub(super) struct Debt {
    pub(super) backends: Vec<String>,
    /// Clients for whom their recorded certificate stands.
    pub(super) clients: usize,
    /// Clients of whom no certificate is recorded as it is: they get none of the headers.
    pub(super) clients_not_served: usize,
}

impl Debt {
    pub(super) fn of(operator: &Operator, records: &Records, progress: &Progress) -> Self {
        let mut debt = Self {
            backends: operator.settings.masquerading.clone(),
            ..Self::default()
        };
        if debt.backends.is_empty() {
            return debt;
        }
        let certificates = records.certificates.values();
        let served = certificates.filter_map(|(_, record)| match &record.mapping {
            Mapping::Mapped { client, .. } => record.whole.as_ref().map(|_| client),
            _ => None,
        });
        let served: HashSet<_> = served.collect();
        for (_, client) in records.clients.values() {
            if client.is_active() && progress.has_key(&client.id) {
                add_one(if served.contains(&client.id) {
                    &mut debt.clients
                } else {
                    &mut debt.clients_not_served
                });
            }
        }
        debt
    }
}
