//! How far the clients are, and what about them wants attention.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Failure;
use super::Operator;
use super::phase::Outlook;
use super::records::Records;
use crate::certificate::{CertificateRecord, Mapping};
use crate::client::{
    ClientId, ClientRecord, CredentialId, Evidence, Flag, Seen, Sighting, Stage, Use, used_apart,
};
use crate::clock::{Day, Timestamp};
use crate::key::KeyRecord;
use crate::phase::{InForce, Phase};
use crate::store::Legible;

/// What was seen of every client, and what each has.
pub(crate) struct Progress {
    sightings: HashMap<ClientId, Sighting>,
    /// Those of whom something cannot be read; none stands for whoever it may be.
    damaged: HashSet<Option<ClientId>>,
    holdings: HashMap<ClientId, Has>,
    /// Those two of whose certificates were used in two places at about the same time.
    used_apart: HashSet<ClientId>,
    last_uses: LastUses,
    window: Duration,
    outlook: Outlook,
    now: Timestamp,
}

/// When each credential was last used.
pub(crate) struct LastUses(HashMap<CredentialId, Timestamp>);

impl LastUses {
    fn of(uses: &[Use]) -> Self {
        let uses = uses.iter();
        Self(uses.map(|used| (used.credential, used.last.at)).collect())
    }

    pub(crate) fn certificate(&self, record: &CertificateRecord) -> Option<Timestamp> {
        let credential = CredentialId::Certificate(record.fingerprint);
        self.0.get(&credential).copied()
    }

    pub(crate) fn key(&self, record: &KeyRecord) -> Option<Timestamp> {
        self.0.get(&CredentialId::Key(record.id)).copied()
    }

    /// Puts certificates into the order in which they matter: what was used last comes first, and of
    /// what was never used the newest.
    pub(crate) fn sort(&self, certificates: &mut [&CertificateRecord]) {
        certificates.sort_by_key(|record| {
            let begin = record.facts.as_ref().map(|facts| facts.not_before);
            let newest = (self.certificate(record), begin, record.created_at);
            (std::cmp::Reverse(newest), record.fingerprint)
        });
    }
}

/// What a client has.
#[derive(Clone, Copy, Debug, Default)]
struct Has {
    /// When the last of its certificates ends; unknown when that is not known of one of them.
    certificates_end: Option<Timestamp>,
    is_end_unknown: bool,
    /// When the first of the keys that it can use was issued.
    issued: Option<Timestamp>,
}

impl Progress {
    pub(crate) async fn read(operator: &Operator, records: &Records) -> Result<Self, Failure> {
        let (sightings, uses) = (operator.sightings().await?, operator.uses().await?);
        Ok(Self::of(records, sightings, &uses, operator))
    }

    /// As [`Self::read`], of those clients alone that the records and the rest are about.
    pub(crate) fn of(
        records: &Records,
        sightings: Legible<Sighting, ClientId>,
        uses: &[Use],
        operator: &Operator,
    ) -> Self {
        let by_client = |sighting: Sighting| (sighting.client.clone(), sighting);
        Self {
            sightings: sightings.entries.into_iter().map(by_client).collect(),
            damaged: sightings.damaged.into_iter().collect(),
            holdings: holdings(records, operator.now),
            used_apart: apart(records, uses),
            last_uses: LastUses::of(uses),
            window: operator.settings.window,
            outlook: Outlook::of(records),
            now: operator.now,
        }
    }

    /// The day as of which it is.
    pub(crate) fn today(&self) -> Day {
        self.now.day()
    }

    /// When each credential was last used.
    pub(crate) const fn last_uses(&self) -> &LastUses {
        &self.last_uses
    }

    /// How far back a certificate counts as still in use.
    pub(crate) const fn window(&self) -> Duration {
        self.window
    }

    /// What was seen of `client`.
    pub(crate) fn sighting(&self, client: &ClientId) -> Option<&Sighting> {
        self.sightings.get(client)
    }

    /// When `client` was seen.
    pub(crate) fn seen(&self, client: &ClientId) -> Seen {
        self.sighting(client)
            .map(|sighting| sighting.seen)
            .unwrap_or_default()
    }

    /// Whether it cannot be read when `client` last called by certificate, if it ever did.
    pub(crate) fn is_unreadable(&self, client: &ClientId) -> bool {
        self.seen(client).by_certificate.is_none() && self.is_damaged(client)
    }

    /// Whether something may be missing from what was seen of `client`.
    pub(crate) fn is_damaged(&self, client: &ClientId) -> bool {
        let is_damaged = |of| self.damaged.contains(&of);
        is_damaged(None) || is_damaged(Some(client.clone()))
    }

    /// When the last certificate of `client` ends, when that is known.
    pub(crate) fn certificates_end(&self, client: &ClientId) -> Option<Timestamp> {
        self.holdings.get(client)?.certificates_end()
    }

    /// Whether `client` has a key that it can use.
    pub(crate) fn has_key(&self, client: &ClientId) -> bool {
        let has = self.holdings.get(client);
        has.is_some_and(|has| has.issued.is_some())
    }

    /// How far `client` has moved.
    pub(crate) fn stage(&self, client: &ClientRecord) -> Stage {
        let issued = self.has_key(&client.id);
        let seen = self.seen(&client.id);
        Stage::of(client.is_active(), issued, seen, self.window, self.now)
    }

    /// The phase that `client` is in.
    pub(crate) fn phase(&self, client: &ClientRecord) -> Phase {
        self.setting(client)
            .map_or(Phase::Accept, |held| held.phase())
    }

    /// What was set for `client`, alone or with others, as it holds.
    pub(crate) fn setting(&self, client: &ClientRecord) -> Option<&InForce> {
        self.outlook.holds(client).map(AsRef::as_ref)
    }

    /// What about `client` wants attention.
    pub(crate) fn flags(&self, client: &ClientRecord) -> Vec<Flag> {
        let has = self.holdings.get(&client.id).copied().unwrap_or_default();
        let evidence = Evidence {
            stage: self.stage(client),
            created_at: client.created_at,
            sighting: self.sighting(&client.id),
            certificates_end: has.certificates_end(),
            has_key: has.issued.is_some(),
            used_apart: self.used_apart.contains(&client.id),
            used_key: has.issued.is_some() && self.seen(&client.id).by_key >= has.issued,
        };
        evidence.flags(self.now)
    }
}

impl Has {
    fn certificates_end(&self) -> Option<Timestamp> {
        self.certificates_end.filter(|_| !self.is_end_unknown)
    }
}

/// The clients two of whose certificates were used apart.
fn apart(records: &Records, uses: &[Use]) -> HashSet<ClientId> {
    let mut by_client = HashMap::<&ClientId, Vec<Use>>::new();
    for used in uses {
        let CredentialId::Certificate(fingerprint) = &used.credential else {
            continue;
        };
        if let Some((_, record)) = records.certificates.get(fingerprint)
            && let Mapping::Mapped { client, .. } = &record.mapping
        {
            by_client.entry(client).or_default().push(*used);
        }
    }
    by_client.retain(|_, uses| used_apart(uses, Flag::AT_ONCE).is_some());
    by_client.into_keys().cloned().collect()
}

fn holdings(records: &Records, now: Timestamp) -> HashMap<ClientId, Has> {
    let mut holdings = HashMap::<ClientId, Has>::with_capacity(records.clients.len());
    for (_, certificate) in records.certificates.values() {
        let Mapping::Mapped { client, .. } = &certificate.mapping else {
            continue;
        };
        let has = holdings.entry(client.clone()).or_default();
        match &certificate.facts {
            Some(facts) => {
                has.certificates_end = has.certificates_end.max(Some(facts.not_after));
            }
            None => has.is_end_unknown = true,
        }
    }
    for (_, key) in records.keys.values() {
        if key.is_good(now) {
            let has = holdings.entry(key.client.clone()).or_default();
            let first = [has.issued, key.issued_at].into_iter().flatten().min();
            has.issued = first;
        }
    }
    holdings
}
