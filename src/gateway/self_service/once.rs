//! The one answer that shows a key.

use serde::Serialize;

use super::{Answer, Call, json};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::gateway::Refusal;
use crate::identity::Identity;
use crate::key::{ApiKey, KeyId, KeyRecord};

#[derive(Serialize)]
struct KeyOnce<'a> {
    key: &'a str,
    key_id: KeyId,
    client_id: &'a ClientId,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<Replaced>,
    shown: &'static str,
    r#try: String,
}

/// The key whose place the new one took.
#[derive(Serialize)]
struct Replaced {
    key_id: KeyId,
    expires_at: Option<String>,
}

/// The answer to a claim.
pub(super) fn claimed(
    call: &Call<'_>,
    identity: &Identity,
    key: &ApiKey,
) -> Result<Answer, Refusal> {
    shown(call, identity, key, None, None)
}

/// The answer to a rotation: the new key has this end, and `old` goes on until its own.
pub(super) fn rotated(
    call: &Call<'_>,
    identity: &Identity,
    key: &ApiKey,
    expires_at: Option<Timestamp>,
    old: &KeyRecord,
) -> Result<Answer, Refusal> {
    let replaced = Replaced {
        key_id: old.id,
        expires_at: old.expires_at.map(|at| at.to_string()),
    };
    shown(call, identity, key, expires_at, Some(replaced))
}

fn shown(
    call: &Call<'_>,
    identity: &Identity,
    key: &ApiKey,
    expires_at: Option<Timestamp>,
    replaces: Option<Replaced>,
) -> Result<Answer, Refusal> {
    let (authority, base) = (&call.head.authority, &call.live.self_service.path);
    json(
        201,
        &KeyOnce {
            key: key.reveal(),
            key_id: key.id(),
            client_id: identity.client(),
            expires_at: expires_at.map(|at| at.to_string()),
            replaces,
            shown: "once",
            r#try: format!(
                "curl -H 'Authorization: Bearer {}' https://{authority}{base}whoami",
                key.reveal()
            ),
        },
    )
}
