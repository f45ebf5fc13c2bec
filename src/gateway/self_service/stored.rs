//! Records as the store has them now, for the calls that change them.

use crate::certificate::{CertificateRecord, Fingerprint, Mapping};
use crate::client::{ClientId, Holdings};
use crate::clock::Timestamp;
use crate::gateway::{Gateway, Refusal};
use crate::key::{KeyId, KeyRecord};
use crate::store::{Epoch, Record, RecordId};

pub(super) async fn certificate_record(
    gateway: &Gateway,
    fingerprint: &Fingerprint,
) -> Result<Option<(Epoch, CertificateRecord)>, Refusal> {
    match get(gateway, RecordId::Certificate(*fingerprint)).await? {
        Some((version, Record::Certificate(record))) => Ok(Some((version, record))),
        _ => Ok(None),
    }
}

pub(super) async fn key_record(
    gateway: &Gateway,
    id: KeyId,
) -> Result<Option<(Epoch, KeyRecord)>, Refusal> {
    match get(gateway, RecordId::Key(id)).await? {
        Some((version, Record::Key(record))) => Ok(Some((version, record))),
        _ => Ok(None),
    }
}

/// The client `id` with its certificates and keys: `key` and the one that took its place as the store
/// has them, and the others that can be used at `now`.
///
/// Those are counted from memory, once it knows all that was given to the client until the client's
/// record was read. What is given to it later writes that record, so a change made of this fails.
pub(super) async fn holdings(
    gateway: &Gateway,
    id: &ClientId,
    key: KeyId,
    now: Timestamp,
) -> Result<Option<Holdings>, Refusal> {
    let Some((version, Record::Client(client))) =
        get(gateway, RecordId::Client(id.clone())).await?
    else {
        return Ok(None);
    };
    let directory = &gateway.parts.directory;
    directory.wait_for(version).await?;
    let known = directory.view().belongings(id);
    let mut certificates = Vec::new();
    for fingerprint in &known.certificates {
        let record = certificate_record(gateway, fingerprint).await?;
        let is_own = |(_, record): &(Epoch, CertificateRecord)| matches!(&record.mapping, Mapping::Mapped { client, .. } if client == id);
        certificates.extend(record.filter(is_own));
    }
    let mut keys = Vec::new();
    let mut next = Some(key);
    while let Some(key) = next.filter(|_| keys.len() < 2) {
        let record = key_record(gateway, key).await?;
        let record = record.filter(|(_, record)| record.client == *id);
        next = record.as_ref().and_then(|(_, record)| record.rotated_to);
        keys.extend(record);
    }
    let view = directory.view();
    for other in known.keys.iter().filter_map(|id| view.key(id)) {
        let is_read = keys.iter().any(|(_, key)| key.id == other.record().id);
        if !is_read && other.usable(now).is_ok() {
            keys.push((other.version(), other.record().clone()));
        }
    }
    Ok(Some(Holdings {
        client: (version, client),
        certificates,
        keys,
    }))
}

async fn get(gateway: &Gateway, id: RecordId) -> Result<Option<(Epoch, Record)>, Refusal> {
    let stored = gateway.parts.store.get(&id).await;
    let stored = stored.map_err(|_| Refusal::StoreUnavailable)?;
    Ok(stored.map(|stored| (stored.version, stored.record)))
}
