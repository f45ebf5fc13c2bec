//! What becomes of a record that a store has when a backup has another one of the same name.
//!
//! Two histories do not tell which of two records is the later one, but a record's life does: a key
//! is reserved, issued, rotated, revoked, and never goes back. So each part of a record is taken from
//! whichever is further, and what is revoked in one of both is revoked. What has no such order, as a
//! client's tags or the phases of a target, stays as the store has it.

use super::content;
use crate::certificate::{AliasRecord, AliasState, CertificateRecord, Mapping};
use crate::client::ClientRecord;
use crate::key::{KeyRecord, KeyStatus};
use crate::store::Record;

/// What became of a record of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The store has the same.
    Same,
    /// The store had none of that name.
    Added,
    /// It is revoked in the backup, and the store had it alive.
    Revoked,
    /// It is further in the backup, and the store has it as far now.
    Advanced,
    /// The store's is another one, and stays.
    Stays,
    /// It is another client's in the store, and stays: the operator has to say whose it is.
    Anothers,
}

/// Whether a record lets nobody in any more who once was, or could have been.
#[must_use]
pub const fn is_revoked(record: &Record) -> bool {
    match record {
        Record::Client(client) => !client.is_active(),
        Record::Certificate(certificate) => rank(&certificate.mapping) > MAPPED,
        Record::Alias(alias) => matches!(alias.state, AliasState::Withdrawn { .. }),
        Record::Key(key) => matches!(key.status, KeyStatus::Revoked { .. }),
        Record::Phase(_) => false,
    }
}

/// What the record `known` becomes, and how that came.
pub(super) fn merge(known: &Record, from: &Record) -> (Outcome, Record) {
    let merged: Record = match (known, from) {
        (Record::Client(known), Record::Client(from)) => client(known, from).into(),
        (Record::Certificate(known), Record::Certificate(from)) => certificate(known, from).into(),
        (Record::Alias(known), Record::Alias(from)) => alias(known, from).into(),
        (Record::Key(known), Record::Key(from)) => key(known, from).into(),
        (known, _) => known.clone(),
    };
    let outcome = if content(&merged) != content(known) {
        if is_revoked(&merged) && !is_revoked(known) {
            Outcome::Revoked
        } else {
            Outcome::Advanced
        }
    } else if content(known) == content(from) {
        Outcome::Same
    } else if is_anothers(known, from) {
        Outcome::Anothers
    } else {
        Outcome::Stays
    };
    (outcome, merged)
}

/// Whether both are good, for different clients.
fn is_anothers(known: &Record, from: &Record) -> bool {
    let owners = known.owner().zip(from.owner());
    owners.is_some_and(|(known, from)| known != from) && !is_revoked(known) && !is_revoked(from)
}

fn client(known: &ClientRecord, from: &ClientRecord) -> ClientRecord {
    let status = if known.is_active() {
        from.status
    } else {
        known.status
    };
    ClientRecord {
        status,
        ..known.clone()
    }
}

const MAPPED: u8 = 1;

/// How far a certificate is.
const fn rank(mapping: &Mapping) -> u8 {
    match mapping {
        Mapping::Pending => 0,
        Mapping::Mapped { .. } => MAPPED,
        Mapping::Twin { .. } => 2,
        Mapping::Superseded { .. } => 3,
        Mapping::Removed { .. } => 4,
    }
}

fn certificate(known: &CertificateRecord, from: &CertificateRecord) -> CertificateRecord {
    let is_further = rank(&from.mapping) > rank(&known.mapping);
    let mapping = if is_further { from } else { known }.mapping.clone();
    let whole = known.whole.as_ref().or(from.whole.as_ref());
    // As `certificate remove` and `supersede` leave it.
    let whole = whole.filter(|_| matches!(mapping, Mapping::Mapped { .. } | Mapping::Pending));
    CertificateRecord {
        whole: whole.cloned(),
        mapping,
        facts: known.facts.clone().or_else(|| from.facts.clone()),
        ca: known.ca.clone().or_else(|| from.ca.clone()),
        renews: known.renews.or(from.renews),
        renewed_by: known.renewed_by.or(from.renewed_by),
        ..known.clone()
    }
}

/// An announcement for one client says nothing of one for another.
fn alias(known: &AliasRecord, from: &AliasRecord) -> AliasRecord {
    let rank = |state: &AliasState| match state {
        AliasState::Open => 0,
        AliasState::Bound { .. } => 1,
        AliasState::Withdrawn { .. } => 2,
    };
    let is_further = known.client == from.client && rank(&from.state) > rank(&known.state);
    let state = if is_further { from } else { known }.state;
    AliasRecord {
        state,
        ..known.clone()
    }
}

fn key(known: &KeyRecord, from: &KeyRecord) -> KeyRecord {
    if known.client != from.client {
        return known.clone();
    }
    let status = match known.status {
        KeyStatus::Active => from.status,
        KeyStatus::Revoked { .. } => known.status,
    };
    let is_issued_there = from.is_issued() && !known.is_issued();
    let furthest = if is_issued_there { from } else { known };
    let mut digest = furthest.digest;
    let pepper = |digest: Option<crate::key::Digest>| digest.map(|digest| digest.pepper());
    // Of the same key: one that was fetched again under its id is another.
    if from.issued_at == furthest.issued_at && pepper(from.digest) > pepper(digest) {
        digest = from.digest;
    }
    let ends = [known.expires_at, from.expires_at];
    KeyRecord {
        status,
        digest,
        // The earlier end holds: a rotation sets one.
        expires_at: ends.into_iter().flatten().min(),
        rotated_to: known.rotated_to.or(from.rotated_to),
        receipt: furthest
            .receipt
            .clone()
            .filter(|_| status == KeyStatus::Active),
        ..furthest.clone()
    }
}
