//! `GET keys` and `DELETE keys/{key-id}`: a client's own keys, without secrets.

use http::header::CONTENT_LENGTH;
use serde::Serialize;

use super::{Answer, CANNOT_ANSWER, Call, TRIES, built, days_left, json};
use crate::directory::Directory;
use crate::gateway::{Exchange, Refusal};
use crate::identity::Proof;
use crate::key::{self, KeyId, KeyStatus, Scope};
use crate::store::{Actor, CommitError, Committed, Epoch};

#[derive(Serialize)]
struct Keys {
    keys: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    key_id: KeyId,
    status: &'static str,
    issued_at: Option<String>,
    expires_at: Option<String>,
    /// Whole days until then; 0 when it has come.
    days_left: Option<i64>,
    scopes: Vec<Scope>,
}

pub(super) async fn list(call: &Call<'_>, exchange: &mut Exchange) -> Result<Answer, Refusal> {
    let identity = call.identity(exchange).await?;
    let view = call.gateway.parts.directory.view();
    let keys = view.belongings(identity.client()).keys;
    let keys = keys.iter().filter_map(|id| view.key(id)).map(|key| {
        let status = match (key.status(), key.is_issued()) {
            (KeyStatus::Revoked { .. }, _) => "revoked",
            (KeyStatus::Active, false) => "reserved",
            (KeyStatus::Active, true) if key.usable(exchange.now).is_err() => "expired",
            (KeyStatus::Active, true) => "active",
        };
        Listed {
            key_id: key.id(),
            status,
            issued_at: key.issued_at().map(|at| at.to_string()),
            expires_at: key.expires_at().map(|at| at.to_string()),
            days_left: days_left(key.expires_at(), exchange.now),
            scopes: key.scopes().to_vec(),
        }
    });
    json(
        200,
        &Keys {
            keys: keys.collect(),
        },
    )
}

pub(super) async fn revoke(
    call: &Call<'_>,
    id: &str,
    exchange: &mut Exchange,
) -> Result<Answer, Refusal> {
    call.same_site()?;
    let identity = call.identity(exchange).await?;
    if let Proof::Certificate(_) = identity.proof() {
        // Else whoever stole the certificate could take the key away, and claim the next.
        return Err(Refusal::KeyRequired);
    }
    let id: KeyId = id.parse().map_err(|_| Refusal::ResourceNotFound)?;
    let parts = &call.gateway.parts;
    for _ in 0..TRIES {
        let stored = parts.directory.stored_key(id).await?;
        let own = stored.filter(|(_, record)| record.client == *identity.client());
        let (version, record) = own.ok_or(Refusal::ResourceNotFound)?;
        if let KeyStatus::Revoked { .. } = record.status {
            // By whom and when it was revoked stays as it is: what the client may claim hangs on it.
            return gone(&parts.directory, id, version).await;
        }
        let actor = Actor::Client {
            id: identity.client().clone(),
        };
        match parts
            .store
            .commit(
                &key::revoke((version, record), actor, exchange.now).caused_from(exchange.origin()),
            )
            .await
        {
            Ok(Committed { epoch, replicas }) => {
                let replicas = replicas.map(tracing::field::display);
                tracing::warn!(
                    client = %identity.client(), key_id = %id, replicas,
                    request_id = exchange.request_id, "a client revoked its key"
                );
                return gone(&parts.directory, id, epoch).await;
            }
            Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Store(error)) => return Err(parts.directory.note(error).into()),
        }
    }
    Err(Refusal::Overloaded)
}

/// Says so once it is known here that the key was revoked by the change `epoch`.
async fn gone(directory: &Directory, id: KeyId, epoch: Epoch) -> Result<Answer, Refusal> {
    directory.wait_for(epoch).await?;
    // What is known here may be of another history that counted as far: it is being replaced.
    let status = directory.view().key(&id).map(|key| key.status());
    if status == Some(KeyStatus::Active) {
        return Err(Refusal::StoreUnavailable);
    }
    let mut head = built(204)?;
    head.insert_header(CONTENT_LENGTH, 0)
        .map_err(|_| CANNOT_ANSWER)?;
    Ok(Answer {
        head,
        body: bytes::Bytes::new(),
    })
}
