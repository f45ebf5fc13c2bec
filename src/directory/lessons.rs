//! What is learned of those who prove themselves: noted then, and recorded afterwards. What
//! certificates say that the operator only named, so that their renewals can be recognised; and the
//! digests of keys under the current pepper, so that the one before it can go.

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::certificate::{Fingerprint, Verified, Whole};
use crate::client;
use crate::clock::Timestamp;
use crate::key::{self, Digest, KeyId};
use crate::store::{Change, CommitError, Origin, Record, RecordId, Store, StoreError, Versioned};

/// How many wait to be recorded. Those beyond are noted at a later use.
const MOST: usize = 16_384;

/// What is to be recorded. Noting takes no lock and waits for nothing. What is lost here, since the
/// store failed or the process ended, is noted again at the next use.
#[derive(Default)]
pub struct Lessons {
    waiting: HashMap<Fingerprint, Lesson, RandomState>,
    digests: HashMap<KeyId, Digest, RandomState>,
}

/// How much was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// What certificates say.
    pub certificates: usize,
    /// Digests of keys.
    pub digests: usize,
}

#[derive(Clone)]
struct Lesson {
    certificate: Verified,
    ca: String,
    whole: Option<Whole>,
}

impl Lessons {
    /// Notes a certificate that identified its client, the name of its authority, and all of it where
    /// `whole` gives that.
    pub fn note(&self, certificate: &Verified, ca: &str, whole: impl FnOnce() -> Option<Whole>) {
        let waiting = self.waiting.pin();
        let fingerprint = certificate.fingerprint();
        if waiting.len() >= MOST || waiting.contains_key(fingerprint) {
            return;
        }
        let lesson = Lesson {
            certificate: certificate.clone(),
            ca: ca.to_owned(),
            whole: whole(),
        };
        waiting.insert(*fingerprint, lesson);
    }

    /// Notes the digest of a key that proved itself by one of an older pepper.
    pub fn note_digest(&self, id: KeyId, digest: Digest) {
        let digests = self.digests.pin();
        if digests.len() < MOST {
            digests.insert(id, digest);
        }
    }

    /// Records what was noted, one after the other, so that a flood of them is no flood of changes
    /// at the store. That another change got ahead of one is as good: what it left out is noted
    /// again.
    ///
    /// # Errors
    ///
    /// When the store fails. That one is forgotten until its next use, the others still wait.
    pub async fn record(&self, store: &dyn Store, now: Timestamp) -> Result<Recorded, StoreError> {
        let waiting: Vec<Fingerprint> = self.waiting.pin().keys().copied().collect();
        let mut recorded = Recorded::default();
        for fingerprint in waiting {
            let lesson = self.waiting.pin().remove(&fingerprint).cloned();
            if let Some(lesson) = lesson
                && lesson.record(store, now).await?
            {
                recorded.certificates = recorded.certificates.saturating_add(1);
            }
        }
        let digests: Vec<KeyId> = self.digests.pin().keys().copied().collect();
        for id in digests {
            let digest = self.digests.pin().remove(&id).copied();
            if let Some(digest) = digest
                && record_digest(id, digest, store, now).await?
            {
                recorded.digests = recorded.digests.saturating_add(1);
            }
        }
        Ok(recorded)
    }
}

/// Records the digest of a key; whether it was changed.
async fn record_digest(
    id: KeyId,
    digest: Digest,
    store: &dyn Store,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(Versioned {
        version,
        record: Record::Key(record),
    }) = store.get(&RecordId::Key(id)).await?
    else {
        return Ok(false);
    };
    commit(key::digest_anew((version, record), digest, now), store).await
}

/// Makes a change of the gateway's own; whether there is one and nobody got ahead of it.
async fn commit(change: Option<Change>, store: &dyn Store) -> Result<bool, StoreError> {
    let Some(change) = change else {
        return Ok(false);
    };
    match store.commit(&change.caused_from(Origin::here())).await {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict(_)) => Ok(false),
        Err(CommitError::Store(error)) => Err(error),
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
        let certificate = (&self.certificate, self.whole.as_ref());
        let change = client::learned(known, certificate, &self.ca, is_twin_known, now);
        commit(change, store).await
    }
}
