//! The gateways that use the store, in memory: the file belongs to one process, and so to one gateway.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock;
use crate::store::Legible;
use crate::store::replica::{Heard, REPLICAS_KEPT, Replica};

/// What each gateway told last, by its name.
#[derive(Default)]
pub(super) struct Replicas(Mutex<BTreeMap<String, (Instant, Replica)>>);

impl Replicas {
    /// Keeps what a gateway tells of itself.
    pub(super) fn announce(&self, replica: &Replica) {
        let told = (clock::monotonic(), replica.clone());
        self.lately().insert(replica.id.clone(), told);
    }

    /// Those that told lately.
    pub(super) fn all(&self) -> Legible<Heard, String> {
        let heard = |(at, replica): &(Instant, Replica)| Heard {
            replica: replica.clone(),
            ago: at.elapsed().as_secs(),
        };
        Legible {
            entries: self.lately().values().map(heard).collect(),
            damaged: Vec::new(),
        }
    }

    fn lately(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, Replica)>> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, (at, _)| at.elapsed() <= REPLICAS_KEPT);
        told
    }
}
