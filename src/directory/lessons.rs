//! What certificates say that the operator only named: noted when they are verified, and recorded
//! afterwards, so that their renewals can be recognised.

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::certificate::{Fingerprint, Verified};
use crate::client;
use crate::clock::Timestamp;
use crate::store::{CommitError, Origin, Record, RecordId, Store, StoreError, Versioned};

/// How many wait to be recorded. Those beyond are noted at a later use.
const MOST: usize = 16_384;

/// The certificates of which something is to be recorded. Noting takes no lock and waits for
/// nothing. What is lost here, since the store failed or the process ended, is noted again at the
/// certificate's next use.
#[derive(Default)]
pub struct Lessons {
    waiting: HashMap<Fingerprint, Lesson, RandomState>,
}

#[derive(Clone)]
struct Lesson {
    certificate: Verified,
    ca: String,
}

impl Lessons {
    /// Notes a certificate that identified its client, and the name of its authority.
    pub fn note(&self, certificate: &Verified, ca: &str) {
        let waiting = self.waiting.pin();
        let fingerprint = certificate.fingerprint();
        if waiting.len() >= MOST || waiting.contains_key(fingerprint) {
            return;
        }
        let lesson = Lesson {
            certificate: certificate.clone(),
            ca: ca.to_owned(),
        };
        waiting.insert(*fingerprint, lesson);
    }

    /// Records what was noted, one after the other, so that a flood of them is no flood of changes
    /// at the store; gives how many it recorded. That another change got ahead of one is as good:
    /// what it left out is noted again.
    ///
    /// # Errors
    ///
    /// When the store fails. That one is forgotten until its next use, the others still wait.
    pub async fn record(&self, store: &dyn Store, now: Timestamp) -> Result<usize, StoreError> {
        let waiting: Vec<Fingerprint> = self.waiting.pin().keys().copied().collect();
        let mut recorded = 0usize;
        for fingerprint in waiting {
            let lesson = self.waiting.pin().remove(&fingerprint).cloned();
            if let Some(lesson) = lesson
                && lesson.record(store, now).await?
            {
                recorded = recorded.saturating_add(1);
            }
        }
        Ok(recorded)
    }
}

impl Lesson {
    async fn record(&self, store: &dyn Store, now: Timestamp) -> Result<bool, StoreError> {
        let id = RecordId::Certificate(*self.certificate.fingerprint());
        let Some(Versioned {
            version,
            record: Record::Certificate(record),
        }) = store.get(&id).await?
        else {
            return Ok(false);
        };
        let is_twin_known = match self.certificate.twin() {
            Some(twin) => store.get(&RecordId::Certificate(*twin)).await?.is_some(),
            None => false,
        };
        let known = (version, record);
        let change = client::learned(known, &self.certificate, &self.ca, is_twin_known, now);
        let Some(change) = change else {
            return Ok(false);
        };
        match store.commit(&change.caused_from(Origin::here())).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(CommitError::Store(error)) => Err(error),
        }
    }
}
