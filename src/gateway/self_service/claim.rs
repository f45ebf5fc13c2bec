//! `POST key`: a client fetches its key with the certificate that it has.

use http::HeaderName;
use serde::Serialize;

use super::{Answer, Call, json};
use crate::certificate::{CertificateRecord, Mapping, Verified};
use crate::client::ClientId;
use crate::gateway::{Exchange, Gateway, Refusal};
use crate::identity::Identity;
use crate::key::{ApiKey, Claim, Claimed, IdempotencyToken, KeyId, KeyRecord};
use crate::store::{CommitError, Epoch, Record, RecordId};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How often a claim is tried again that another claim got ahead of.
const TRIES: usize = 4;

#[derive(Serialize)]
struct KeyOnce<'a> {
    key: &'a str,
    key_id: KeyId,
    client_id: &'a ClientId,
    shown: &'static str,
    r#try: String,
}

pub(super) async fn answer(call: &Call<'_>, exchange: &mut Exchange) -> Result<Answer, Refusal> {
    call.same_site()?;
    let token = idempotency_token(call)?;
    let identity = call.identity(exchange).await?;
    let parts = &call.gateway.parts;
    let certificate = call
        .connection
        .verified(&parts.verifier, exchange.now)
        .ok_or(Refusal::CertificateRequired)?;
    if call.connection.is_resumed() {
        return Err(Refusal::HandshakeRequired);
    }
    for _ in 0..TRIES {
        let claim = read(
            call.gateway,
            &identity,
            &certificate,
            token.as_ref(),
            exchange,
        )
        .await?;
        let decided = claim
            .decide(&parts.format, &parts.peppers, exchange.now)
            .map_err(|_| Refusal::Internal("the system has no randomness to give"))?;
        match decided {
            Claimed::Repeated(key) => return shown(call, &identity, &key),
            Claimed::AlreadyIssued { id, at } => {
                tracing::warn!(client = %identity.client(), key_id = %id, certificate = %certificate.fingerprint(), "a claim for a key that was fetched before");
                let when = at.map_or_else(|| "before".to_owned(), |at| format!("at {at}"));
                return Err(Refusal::KeyAlreadyIssued(when));
            }
            Claimed::Issued(key, change) => match parts.store.commit(&change).await {
                Ok(epoch) => {
                    // Committed is issued: it must be shown now, even if this replica lags behind.
                    let _ = parts.directory.wait_for(epoch).await;
                    tracing::info!(client = %identity.client(), key_id = %key.id(), "a client fetched its key");
                    return shown(call, &identity, &key);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Store(_)) => return Err(Refusal::StoreUnavailable),
            },
        }
    }
    Err(Refusal::Overloaded)
}

fn idempotency_token(call: &Call<'_>) -> Result<Option<IdempotencyToken>, Refusal> {
    let sent = call.head.headers.get(IDEMPOTENCY_KEY);
    let parse = |value: &http::HeaderValue| value.to_str().unwrap_or_default().parse();
    Ok(sent.map(parse).transpose()?)
}

/// The claim, with every record that it may change as the store has it now.
async fn read<'a>(
    gateway: &Gateway,
    identity: &'a Identity,
    certificate: &Verified,
    token: Option<&'a IdempotencyToken>,
    exchange: &Exchange,
) -> Result<Claim<'a>, Refusal> {
    let parts = &gateway.parts;
    let own = certificate_record(gateway, certificate.fingerprint()).await?;
    let own = own.ok_or(Refusal::CertificateRequired)?;
    let key_id = match &own.1.mapping {
        Mapping::Mapped { client, key } if client == identity.client() => *key,
        _ => return Err(Refusal::CertificateRequired),
    };
    let known = parts.directory.view().belongings(identity.client());
    let others = known.certificates.iter();
    // The version that the claim was decided by, so that it fails when the mapping ends meanwhile.
    let mut certificates = vec![own];
    for fingerprint in others.filter(|other| *other != certificate.fingerprint()) {
        let record = certificate_record(gateway, fingerprint).await?;
        let same = |(_, record): &(Epoch, CertificateRecord)| matches!(&record.mapping, Mapping::Mapped { key, .. } if *key == key_id);
        certificates.extend(record.filter(same));
    }
    Ok(Claim {
        client: identity.client(),
        certificate: *certificate.fingerprint(),
        key: key_record(gateway, key_id).await?,
        certificates,
        token,
        repeat_until: exchange.now.plus(parts.self_service.retry_window),
    })
}

async fn certificate_record(
    gateway: &Gateway,
    fingerprint: &crate::certificate::Fingerprint,
) -> Result<Option<(Epoch, CertificateRecord)>, Refusal> {
    let stored = gateway
        .parts
        .store
        .get(&RecordId::Certificate(*fingerprint))
        .await;
    match stored
        .map_err(|_| Refusal::StoreUnavailable)?
        .map(|stored| (stored.version, stored.record))
    {
        Some((version, Record::Certificate(record))) => Ok(Some((version, record))),
        _ => Ok(None),
    }
}

async fn key_record(gateway: &Gateway, id: KeyId) -> Result<(Epoch, KeyRecord), Refusal> {
    let stored = gateway.parts.store.get(&RecordId::Key(id)).await;
    match stored
        .map_err(|_| Refusal::StoreUnavailable)?
        .map(|stored| (stored.version, stored.record))
    {
        Some((version, Record::Key(record))) => Ok((version, record)),
        _ => Err(Refusal::Internal(
            "a certificate maps to a key id that has no record",
        )),
    }
}

fn shown(call: &Call<'_>, identity: &Identity, key: &ApiKey) -> Result<Answer, Refusal> {
    let (authority, base) = (&call.head.authority, &call.gateway.parts.self_service.path);
    json(
        201,
        &KeyOnce {
            key: key.reveal(),
            key_id: key.id(),
            client_id: identity.client(),
            shown: "once",
            r#try: format!(
                "curl -H 'Authorization: Bearer {}' https://{authority}{base}whoami",
                key.reveal()
            ),
        },
    )
}
