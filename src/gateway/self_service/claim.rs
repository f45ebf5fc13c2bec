//! `POST key`: a client fetches its key with the certificate that it has.

use super::{Answer, Call, TRIES, once};
use crate::certificate::{CertificateRecord, Fingerprint, Mapping};
use crate::credential::Assurance;
use crate::gateway::limit::Credential;
use crate::gateway::{Exchange, Gateway, Refusal};
use crate::identity::{Identity, Purpose, Refused};
use crate::key::{Claim, Claimed, IdempotencyToken};
use crate::store::{CommitError, Committed};

pub(super) async fn answer(call: &Call<'_>, exchange: &mut Exchange) -> Result<Answer, Refusal> {
    call.same_site()?;
    let token = call.idempotency_token()?;
    let identity = call.identity_for(Purpose::Claim, exchange).await?;
    let parts = &call.gateway.parts;
    let certificate = identity.certificate().copied();
    let certificate = certificate.ok_or(Refusal::CertificateRequired)?;
    if identity.assurance() == Some(Assurance::Asserted { may_claim: false }) {
        return Err(Refusal::CertificateAsserted);
    }
    if call.connection.is_resumed() {
        return Err(Refusal::HandshakeRequired);
    }
    call.count(Credential::Certificate(certificate), exchange)?;
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
            .decide(&parts.format, &exchange.live.peppers, exchange.now)
            .map_err(|_| Refusal::Internal("the system has no randomness to give"))?;
        match decided {
            Claimed::Repeated(key) => return once::claimed(call, &identity, &key),
            Claimed::AlreadyIssued {
                id,
                ended: Some(at),
                ..
            } => return Err(Refusal::KeyEnded { id, at }),
            Claimed::AlreadyIssued {
                id,
                at,
                ended: None,
            } => {
                tracing::warn!(client = %identity.client(), key_id = %id, certificate = %certificate, request_id = exchange.request_id, "a claim for a key that was fetched before");
                let when = at.map_or_else(|| "before".to_owned(), |at| format!("at {at}"));
                return Err(Refusal::KeyAlreadyIssued(when));
            }
            Claimed::Issued(key, change) => match parts
                .store
                .commit(&{ exchange.keeping_shown(*change) }.caused_from(exchange.origin()))
                .await
            {
                Ok(Committed { epoch, .. }) => {
                    // Committed is issued: it must be shown now, even if this replica lags behind.
                    let _ = parts.directory.wait_for(epoch).await;
                    tracing::info!(client = %identity.client(), key_id = %key.id(), request_id = exchange.request_id, "a client fetched its key");
                    return once::claimed(call, &identity, &key);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Store(error)) => return Err(parts.directory.note(error).into()),
            },
        }
    }
    Err(Refusal::Overloaded)
}

/// The claim, with every record that it may change as the store has it now.
async fn read<'a>(
    gateway: &Gateway,
    identity: &Identity,
    certificate: &Fingerprint,
    token: Option<&'a IdempotencyToken>,
    exchange: &Exchange,
) -> Result<Claim<'a>, Refusal> {
    let directory = &gateway.parts.directory;
    let of = directory
        .client_with_certificates(identity.client())
        .await?;
    let of = of.ok_or(Refusal::CertificateRequired)?;
    let disabled = of.expect_active();
    disabled.map_err(|disabled| Refused::ClientDisabled(disabled.0))?;
    let mut certificates = of.certificates.iter().map(|(_, record)| record);
    let key = match certificates.find(|own| own.fingerprint == *certificate) {
        Some(CertificateRecord {
            mapping: Mapping::Mapped { key, .. },
            ..
        }) => directory.stored_key(*key).await?,
        _ => return Err(Refusal::CertificateRequired),
    };
    Ok(Claim {
        of,
        certificate: *certificate,
        key: key.ok_or(MAPS_TO_NOTHING)?,
        token,
        repeat_until: exchange.now.plus(exchange.live.self_service.retry_window),
    })
}

const MAPS_TO_NOTHING: Refusal =
    Refusal::Internal("a certificate maps to a key id that has no record");
