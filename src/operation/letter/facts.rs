//! What a letter may say of a client.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Api;
use crate::certificate::{self, CertificateRecord, Fingerprint, Mapping};
use crate::client::{ClientId, ClientRecord, Contact, Stage, Tags};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord};
use crate::operation::Operator;
use crate::operation::progress::Progress;
use crate::operation::records::Records;
use crate::operation::table::printable;
use crate::operation::view::moment;
use crate::phase::{InForce, Phase};

/// What is known of a client: the names that templates use (docs/LETTERS.md). Moments are as
/// `2026-11-23T14:44:00Z`, so that the earlier one is the lesser text.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "LetterFacts")]
pub(super) struct Facts {
    pub(super) client_id: ClientId,
    /// The e-mail addresses in its certificates, of the certificate in use first.
    pub(super) to: Vec<Contact>,
    pub(super) description: Option<String>,
    pub(super) tags: Tags,
    pub(super) is_disabled: bool,
    pub(super) stage: Stage,
    /// When it last called by certificate.
    #[schemars(schema_with = "moment")]
    pub(super) by_certificate: Option<String>,
    /// When it last called by key.
    #[schemars(schema_with = "moment")]
    pub(super) by_key: Option<String>,
    /// What identifies it; the one in use comes first.
    pub(super) certificates: Vec<Certificate>,
    /// When the last of them ends, when that is known of all.
    #[schemars(schema_with = "moment")]
    pub(super) certificates_end: Option<String>,
    /// The keys that were issued to it and are good; the one that was used last comes first.
    pub(super) keys: Vec<GoodKey>,
    /// Whether it can fetch a key by one of its certificates, now.
    pub(super) can_claim: bool,
    #[serde(flatten)]
    pub(super) decided: Decided,
    /// Where it calls the API.
    pub(super) url: String,
    /// Where it helps itself: `whoami` and `key` are below.
    pub(super) self_service: String,
    /// When the letter is written.
    #[schemars(schema_with = "moment")]
    pub(super) now: Option<String>,
}

/// What was decided about the client's certificates.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub(super) struct Decided {
    pub(super) phase: Phase,
    /// Since when it is in this phase, when one was set.
    #[schemars(schema_with = "moment")]
    pub(super) phase_since: Option<String>,
    #[schemars(schema_with = "moment")]
    pub(super) announced_at: Option<String>,
    /// When certificates end.
    #[schemars(schema_with = "moment")]
    pub(super) sunset: Option<String>,
    /// The page about the move.
    pub(super) guide: Option<String>,
    /// When certificates are refused for a while, in that phase and until that is over.
    pub(super) brownout: Option<Brownout>,
}

/// When certificates are refused for a while.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "LetterBrownout")]
pub(super) struct Brownout {
    /// When the client is refused next; now, when it is refused now.
    #[schemars(schema_with = "moment")]
    pub(super) next: Option<String>,
    #[schemars(schema_with = "moment")]
    pub(super) ends: Option<String>,
    /// When, in words.
    pub(super) schedule: String,
}

/// A certificate. What it says of itself is unknown while only its fingerprint is.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "LetterCertificate")]
pub(super) struct Certificate {
    pub(super) fingerprint: Fingerprint,
    pub(super) subject: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) serial: Option<String>,
    #[schemars(schema_with = "moment")]
    pub(super) not_before: Option<String>,
    #[schemars(schema_with = "moment")]
    pub(super) not_after: Option<String>,
    pub(super) has_ended: bool,
    #[schemars(schema_with = "moment")]
    pub(super) last_used: Option<String>,
}

/// A key, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "LetterKey")]
pub(super) struct GoodKey {
    pub(super) key_id: KeyId,
    #[schemars(schema_with = "moment")]
    pub(super) issued_at: Option<String>,
    #[schemars(schema_with = "moment")]
    pub(super) expires_at: Option<String>,
    #[schemars(schema_with = "moment")]
    pub(super) last_used: Option<String>,
}

/// Whom to write to about a client with these certificates, which are in their order.
pub(crate) fn contacts(certificates: &[&CertificateRecord]) -> Vec<Contact> {
    let facts = certificates.iter();
    Contact::of(facts.filter_map(|record| record.facts.as_ref()))
}

/// What identifies a client.
#[derive(Default)]
struct Has<'a> {
    certificates: Vec<&'a CertificateRecord>,
    keys: Vec<&'a KeyRecord>,
}

/// Records by client, of whom there may be many.
pub(super) struct Writer<'a> {
    records: &'a Records,
    progress: &'a Progress,
    of: HashMap<&'a ClientId, Has<'a>>,
    api: Api,
    self_service: &'a str,
    expired_grace: Option<Duration>,
    now: Timestamp,
}

impl<'a> Writer<'a> {
    /// For letters to `chosen`; who has what is found in one look through all `records`.
    pub(super) fn new(
        (records, progress): (&'a Records, &'a Progress),
        chosen: &[&'a ClientRecord],
        api: Api,
        operator: &'a Operator,
    ) -> Self {
        let (settings, now) = (&operator.settings, operator.now);
        let chosen = chosen.iter();
        let mut of: HashMap<_, Has<'a>> = chosen.map(|one| (&one.id, Has::default())).collect();
        for (_, record) in records.certificates.values() {
            if let Mapping::Mapped { client, .. } = &record.mapping
                && let Some(has) = of.get_mut(client)
            {
                has.certificates.push(record);
            }
        }
        for (_, key) in records.keys.values() {
            if key.is_good(now)
                && let Some(has) = of.get_mut(&key.client)
            {
                has.keys.push(key);
            }
        }
        let uses = progress.last_uses();
        for has in of.values_mut() {
            uses.sort(&mut has.certificates);
            let newest = |key: &&KeyRecord| Reverse((uses.key(key), key.issued_at));
            has.keys.sort_by_key(newest);
        }
        Self {
            records,
            progress,
            of,
            api,
            self_service: &settings.self_service,
            expired_grace: settings.expired_grace,
            now,
        }
    }

    /// What a letter may say of `client`, who is among the chosen.
    pub(super) fn facts(&self, client: &ClientRecord) -> Facts {
        let has = self.of.get(&client.id);
        let (of, keys) = has.map_or((&[][..], &[][..]), |has| (&*has.certificates, &*has.keys));
        let seen = self.progress.seen(&client.id);
        let end = self.progress.certificates_end(&client.id);
        let setting = self.progress.setting(client);
        Facts {
            client_id: client.id.clone(),
            to: contacts(of),
            description: client.description.as_deref().map(printable),
            tags: client.tags.clone(),
            is_disabled: !client.is_active(),
            stage: self.progress.stage(client),
            by_certificate: seen.by_certificate.map(text),
            by_key: seen.by_key.map(text),
            certificates: of.iter().map(|record| self.certificate(record)).collect(),
            certificates_end: end.map(text),
            keys: keys.iter().map(|key| self.key(key)).collect(),
            can_claim: client.is_active()
                && of.iter().any(|record| self.can_claim(record, setting)),
            decided: Decided::of(setting, client, self.now),
            url: self.api.to_string(),
            self_service: format!("{}{}", self.api, self.self_service),
            now: Some(text(self.now)),
        }
    }

    fn certificate(&self, record: &CertificateRecord) -> Certificate {
        let facts = record.facts.as_ref();
        Certificate {
            fingerprint: record.fingerprint,
            subject: facts.map(|facts| printable(&facts.subject)),
            issuer: facts.map(|facts| printable(&facts.issuer)),
            serial: facts.map(|facts| facts.serial.clone()),
            not_before: facts.map(|facts| text(facts.not_before)),
            not_after: facts.map(|facts| text(facts.not_after)),
            has_ended: facts.is_some_and(|facts| self.has_ended(facts)),
            last_used: self.progress.last_uses().certificate(record).map(text),
        }
    }

    fn key(&self, record: &KeyRecord) -> GoodKey {
        GoodKey {
            key_id: record.id,
            issued_at: record.issued_at.map(text),
            expires_at: record.expires_at.map(text),
            last_used: self.progress.last_uses().key(record).map(text),
        }
    }

    fn has_ended(&self, facts: &certificate::Facts) -> bool {
        facts.not_after <= self.now
    }

    /// Whether whoever has this certificate can fetch a key by it now.
    fn can_claim(&self, record: &CertificateRecord, setting: Option<&InForce>) -> bool {
        let Mapping::Mapped { key, .. } = &record.mapping else {
            return false;
        };
        let key = self.records.keys.get(key);
        // What is not known of it is left to the gateway.
        let facts = record.facts.as_ref();
        let is_in_time = facts.is_none_or(|facts| {
            let is_lapsed = || self.may_claim_lapsed(record, facts, setting);
            facts.not_before <= self.now && (!self.has_ended(facts) || is_lapsed())
        });
        is_in_time && key.is_some_and(|(_, key)| key.is_claimable())
    }

    /// Whether this certificate, which has ended, is let in for a while: the newest, by the client's phase, or
    /// when it was used before (`self_service.expired_grace`).
    fn may_claim_lapsed(
        &self,
        record: &CertificateRecord,
        facts: &certificate::Facts,
        setting: Option<&InForce>,
    ) -> bool {
        let is_within = |period| self.now < facts.not_after.plus(period);
        let is_accepted = setting.and_then(|setting| setting.expired_for);
        let was_used = self.progress.last_uses().certificate(record);
        let was_used = was_used.is_some_and(|last| last < facts.not_after);
        record.renewed_by.is_none()
            && (is_accepted.is_some_and(is_within)
                || was_used && self.expired_grace.is_some_and(is_within))
    }
}

impl Decided {
    fn of(setting: Option<&InForce>, client: &ClientRecord, now: Timestamp) -> Self {
        let brownout = setting.and_then(|setting| setting.brownout());
        let guide = setting.and_then(|setting| setting.guide.as_ref());
        Self {
            phase: setting.map_or(Phase::Accept, |setting| setting.phase()),
            phase_since: setting.map(|setting| text(setting.since)),
            announced_at: setting.and_then(|setting| setting.announced).map(text),
            sunset: setting.and_then(|setting| setting.sunset).map(text),
            guide: guide.map(|guide| guide.as_str().to_owned()),
            brownout: brownout.and_then(|brownout| {
                let plan = &brownout.plan;
                Some(Brownout {
                    next: Some(text(plan.next_for(&client.id, now)?)),
                    ends: plan.ends.map(text),
                    schedule: plan.schedule.to_string(),
                })
            }),
        }
    }
}

fn text(at: Timestamp) -> String {
    at.to_string()
}
