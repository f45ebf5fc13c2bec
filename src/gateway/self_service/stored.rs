//! Records as the store has them now, for the calls that change them.

use crate::certificate::{CertificateRecord, Fingerprint, Mapping};
use crate::client::{ClientId, Holdings};
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

/// The client `id` with its certificates; of its keys, `key` and the one that took its place.
pub(super) async fn holdings(
    gateway: &Gateway,
    id: &ClientId,
    key: KeyId,
) -> Result<Option<Holdings>, Refusal> {
    let Some((version, Record::Client(client))) =
        get(gateway, RecordId::Client(id.clone())).await?
    else {
        return Ok(None);
    };
    let mut certificates = Vec::new();
    let known = gateway.parts.directory.view().belongings(id).certificates;
    for fingerprint in &known {
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
