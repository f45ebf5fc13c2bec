//! `POST key/rotate`: a client gets another key by the one that it has.

use serde::Deserialize;

use super::{Answer, Call, TRIES, once};
use crate::client::{ClientId, CredentialId, Holdings};
use crate::clock::Timestamp;
use crate::credential::{Presented, PresentedCertificate, PresentedKey};
use crate::directory::{Directory, Unavailable};
use crate::gateway::limit::Credential;
use crate::gateway::{Exchange, Gateway, Refusal};
use crate::identity::{Proof, Refused};
use crate::key::{
    ApiKey, KeyFault, KeyId, KeyRecord, NotRotated, Overlap, Retry, Rotated, Rotation,
};
use crate::store::{Actor, Change, CommitError, Committed, Record};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    overlap: Overlap,
}

impl Body {
    fn read(body: &[u8]) -> Option<Self> {
        if body.is_empty() {
            return Some(Self::default());
        }
        // A list would do for serde as well.
        let object = Some(body).filter(|body| body.trim_ascii_start().starts_with(b"{"))?;
        serde_json::from_slice(object).ok()
    }
}

pub(super) async fn answer(
    call: &Call<'_>,
    body: &[u8],
    exchange: &mut Exchange,
) -> Result<Answer, Refusal> {
    call.same_site()?;
    let token = call.idempotency_token()?;
    let Body { overlap } = Body::read(body).ok_or(Refusal::NotARotation)?;
    let identity = call.identity(exchange).await?;
    if let Proof::Certificate(_) = identity.proof() {
        // Else whoever stole the certificate of a client that has moved could take it over.
        return Err(Refusal::KeyRequired);
    }
    let shown = presented(call)?;
    // Not by the key: every rotation makes another one.
    call.count(Credential::Client(identity.client().clone()), exchange)?;
    let parts = &call.gateway.parts;
    for _ in 0..TRIES {
        let of = holdings(
            &parts.directory,
            identity.client(),
            shown.id(),
            exchange.now,
        )
        .await?;
        let of = of.ok_or_else(|| ended(shown.id(), KeyFault::Unknown))?;
        let rotation = Rotation {
            of: &of,
            key: shown.id(),
            overlap,
            expires_at: None,
            successor_used: is_successor_used(call.gateway, &of, shown.id()).await?,
            most: call.live.keys_per_client,
            retry: token.as_ref().map(|token| Retry {
                token,
                shown: &shown,
                until: exchange.now.plus(call.live.self_service.retry_window),
            }),
        };
        let actor = Actor::Client {
            id: identity.client().clone(),
        };
        match rotation.decide((&parts.format, &exchange.live.peppers), actor, exchange.now) {
            Err(not) => return Err(refusal(not, exchange)),
            Ok(Rotated::Repeated(key)) => {
                let (new, old) = both(of_holdings(&of), key.id(), shown.id())?;
                return once::rotated(call, &identity, &key, new.expires_at, old);
            }
            Ok(Rotated::Issued(key, change)) => match parts
                .store
                .commit(&change.clone().caused_from(exchange.origin()))
                .await
            {
                Ok(Committed { epoch, .. }) => {
                    // Committed is issued: it must be shown now, even if this replica lags behind.
                    let _ = parts.directory.wait_for(epoch).await;
                    tracing::info!(client = %identity.client(), key_id = %key.id(), replaces = %shown.id(), %overlap, request_id = exchange.request_id, "a client rotated its key");
                    let (new, old) = both(of_change(&change), key.id(), shown.id())?;
                    return once::rotated(call, &identity, &key, new.expires_at, old);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Store(error)) => return Err(parts.directory.note(error).into()),
            },
        }
    }
    Err(Refusal::Overloaded)
}

/// Whether the key that `key` was rotated to was ever used, here or as far as the store was told:
/// which it is at the first use, at whichever replica, within milliseconds.
async fn is_successor_used(gateway: &Gateway, of: &Holdings, key: KeyId) -> Result<bool, Refusal> {
    let old = of_holdings(of).find(|known| known.id == key);
    let Some(successor) = old.and_then(|old| old.rotated_to) else {
        return Ok(false);
    };
    let successor = CredentialId::Key(successor);
    let parts = &gateway.parts;
    if parts.sightings.credential(&successor).is_some() {
        return Ok(true);
    }
    let last = parts.store.last_use(&successor).await;
    last.map(|last| last.is_some())
        .map_err(|_| Refusal::StoreUnavailable)
}

/// The client with its certificates and keys: `key` and the one that took its place as the store
/// has them, and the others that can be used at `now` from memory, which knows all that the client
/// was given until its record was read.
async fn holdings(
    directory: &Directory,
    id: &ClientId,
    key: KeyId,
    now: Timestamp,
) -> Result<Option<Holdings>, Unavailable> {
    let Some(mut of) = directory.client_with_certificates(id).await? else {
        return Ok(None);
    };
    let mut next = Some(key);
    while let Some(key) = next.filter(|_| of.keys.len() < 2) {
        let record = directory.stored_key(key).await?;
        let record = record.filter(|(_, record)| record.client == *id);
        next = record.as_ref().and_then(|(_, record)| record.rotated_to);
        of.keys.extend(record);
    }
    let view = directory.view();
    let known = view.belongings(id).keys;
    for other in known.iter().filter_map(|id| view.key(id)) {
        let is_read = of.keys.iter().any(|(_, key)| key.id == other.id());
        if !is_read && other.usable(now).is_ok() {
            of.keys.push((other.version(), other.record()));
        }
    }
    Ok(Some(of))
}

/// The key that the request showed, once more: an identity does not hold it.
fn presented(call: &Call<'_>) -> Result<ApiKey, Refusal> {
    let format = &call.gateway.parts.format;
    let read = Presented::read(call.head.headers, PresentedCertificate::Absent, format)?;
    match read.into_key() {
        PresentedKey::Key(key) => Ok(key),
        PresentedKey::Absent | PresentedKey::Malformed(_) => Err(Refusal::KeyRequired),
    }
}

fn refusal(not: NotRotated, exchange: &Exchange) -> Refusal {
    match not {
        NotRotated::Disabled(disabled) => Refused::ClientDisabled(disabled.0).into(),
        NotRotated::Ended(id, fault) => ended(id, fault),
        NotRotated::Before(id, to) => {
            tracing::warn!(key_id = %id, rotated_to = %to, request_id = exchange.request_id, "a rotation of a key that was rotated before");
            Refusal::KeyRotated(to)
        }
        NotRotated::TooMany(many) => Refusal::TooManyKeys(many.has),
        NotRotated::Randomness(_) => Refusal::Internal("the system has no randomness to give"),
    }
}

fn ended(id: KeyId, fault: KeyFault) -> Refusal {
    Refused::KeyInvalid { id, fault }.into()
}

fn of_holdings(holdings: &Holdings) -> impl Iterator<Item = &KeyRecord> {
    holdings.keys.iter().map(|(_, key)| key)
}

fn of_change(change: &Change) -> impl Iterator<Item = &KeyRecord> {
    change
        .writes
        .iter()
        .filter_map(|write| match &write.record {
            Record::Key(key) => Some(key),
            _ => None,
        })
}

/// The new key and the old one, among `keys`.
fn both<'a>(
    keys: impl Iterator<Item = &'a KeyRecord>,
    new: KeyId,
    old: KeyId,
) -> Result<(&'a KeyRecord, &'a KeyRecord), Refusal> {
    let (mut found_new, mut found_old) = (None, None);
    for key in keys {
        if key.id == new {
            found_new = Some(key);
        } else if key.id == old {
            found_old = Some(key);
        }
    }
    let both = found_new.zip(found_old);
    both.ok_or(Refusal::Internal("a rotation lost one of its keys"))
}
