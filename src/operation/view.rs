//! Records as commands show them. The names of the fields are what scripts rely on.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::progress::Progress;
use super::table::relative_or;
use crate::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use crate::client::{ClientId, ClientRecord, ClientStatus, Flag, Stage, Tags};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord, KeyStatus, Scope};
use crate::phase::Phase;

/// A client with how far it has moved.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ClientView {
    pub(crate) client_id: ClientId,
    pub(crate) status: &'static str,
    pub(crate) stage: Stage,
    pub(crate) flags: Vec<Flag>,
    pub(crate) phase: Phase,
    pub(crate) tags: Tags,
    pub(crate) description: Option<String>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) disabled_at: Option<Timestamp>,
    pub(crate) last_seen: SeenView,
}

/// When a client last called with each kind of credential.
#[derive(Clone, Copy, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct SeenView {
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) by_certificate: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) by_key: Option<Timestamp>,
    /// A time that is missing may be one that cannot be read.
    pub(crate) unreadable: bool,
}

impl SeenView {
    /// How long ago `at` was, one of these.
    pub(crate) fn since(&self, at: Option<Timestamp>, now: Timestamp) -> String {
        let missing = if self.unreadable {
            "unreadable"
        } else {
            "never"
        };
        relative_or(at, now, missing)
    }
}

/// A certificate and whom it identifies.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct CertificateView {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) status: &'static str,
    pub(crate) client_id: Option<ClientId>,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) source: Source,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) removed_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) superseded_at: Option<Timestamp>,
    pub(crate) ca: Option<String>,
    /// The certificate of the same client that it took over from.
    pub(crate) renews: Option<Fingerprint>,
    /// The certificate that took over from it.
    pub(crate) renewed_by: Option<Fingerprint>,
    /// The client that it seems to belong to, while it is pending.
    pub(crate) proposed_client_id: Option<ClientId>,
    pub(crate) subject: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) serial: Option<String>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) not_before: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) not_after: Option<Timestamp>,
    /// Whether all of it is recorded, for backends that are told of it.
    pub(crate) whole: bool,
}

/// A key, without its secret.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct KeyView {
    pub(crate) key_id: KeyId,
    pub(crate) client_id: ClientId,
    pub(crate) status: &'static str,
    pub(crate) scopes: Vec<Scope>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) issued_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(crate) revoked_at: Option<Timestamp>,
}

/// What [`rfc_3339`] makes of a moment.
pub(crate) fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}

/// A moment as `2026-11-23T14:44:00Z`, or null.
#[expect(
    clippy::ref_option,
    reason = "serde hands over a reference to the field"
)]
pub(crate) fn rfc_3339<S: serde::Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

/// The same of a moment that there is.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(crate) fn in_rfc_3339<S: serde::Serializer>(
    at: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

impl Progress {
    /// `client` as it is shown.
    pub(crate) fn view(&self, client: &ClientRecord) -> ClientView {
        let seen = self.seen(&client.id);
        let (status, disabled_at) = match client.status {
            ClientStatus::Active => ("active", None),
            ClientStatus::Disabled { at } => ("disabled", Some(at)),
        };
        ClientView {
            client_id: client.id.clone(),
            status,
            stage: self.stage(client),
            flags: self.flags(client),
            phase: self.phase(client),
            tags: client.tags.clone(),
            description: client.description.clone(),
            created_at: Some(client.created_at),
            disabled_at,
            last_seen: SeenView {
                by_certificate: seen.by_certificate,
                by_key: seen.by_key,
                unreadable: self.is_damaged(&client.id),
            },
        }
    }
}

impl ClientView {
    /// What wants attention, in one cell.
    pub(crate) fn flags(&self) -> String {
        let flags: Vec<_> = self.flags.iter().map(|flag| flag.as_str()).collect();
        flags.join(" ")
    }
}

impl CertificateView {
    pub(crate) fn of(record: &CertificateRecord) -> Self {
        let (status, mapped, ended_at) = match &record.mapping {
            Mapping::Mapped { client, key } => ("mapped", Some((client.clone(), *key)), None),
            Mapping::Superseded { client, key, at } => {
                ("superseded", Some((client.clone(), *key)), Some(*at))
            }
            Mapping::Pending => ("pending", None, None),
            Mapping::Twin { .. } => ("twin", None, None),
            Mapping::Removed { at } => ("removed", None, Some(*at)),
        };
        let (client_id, key_id) = mapped.unzip();
        let facts = record.facts.clone();
        Self {
            fingerprint: record.fingerprint,
            status,
            client_id,
            key_id,
            source: record.source,
            created_at: Some(record.created_at),
            removed_at: ended_at.filter(|_| status == "removed"),
            superseded_at: ended_at.filter(|_| status == "superseded"),
            ca: record.ca.clone(),
            renews: record.renews,
            renewed_by: record.renewed_by,
            proposed_client_id: record.proposed.clone(),
            not_before: facts.as_ref().map(|facts| facts.not_before),
            not_after: facts.as_ref().map(|facts| facts.not_after),
            whole: record.whole.is_some(),
            subject: facts.as_ref().map(|facts| facts.subject.clone()),
            issuer: facts.as_ref().map(|facts| facts.issuer.clone()),
            serial: facts.map(|facts| facts.serial),
        }
    }

    /// As much of the fingerprint as names it in tables and to commands.
    pub(crate) fn short(&self) -> String {
        short(self.fingerprint)
    }
}

/// As much of a fingerprint as names it in tables and to commands.
pub(crate) fn short(fingerprint: Fingerprint) -> String {
    fingerprint.to_string().chars().take(16).collect()
}

impl KeyView {
    pub(crate) fn of(record: &KeyRecord, now: Timestamp) -> Self {
        let (status, revoked_at) = match (record.status, record.is_issued()) {
            (KeyStatus::Revoked { at, .. }, _) => ("revoked", Some(at)),
            (KeyStatus::Active, false) => ("reserved", None),
            (KeyStatus::Active, true) if record.usable(now).is_err() => ("expired", None),
            (KeyStatus::Active, true) => ("active", None),
        };
        Self {
            key_id: record.id,
            client_id: record.client.clone(),
            status,
            scopes: record.scopes.clone(),
            created_at: Some(record.created_at),
            issued_at: record.issued_at,
            expires_at: record.expires_at,
            revoked_at,
        }
    }

    /// The scopes in one cell.
    pub(crate) fn scopes(&self) -> String {
        let scopes: Vec<_> = self.scopes.iter().map(Scope::as_str).collect();
        scopes.join(" ")
    }
}
