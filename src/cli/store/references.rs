//! Whether records fit together: what one names, there is.

use std::collections::{BTreeMap, BTreeSet};

use crate::certificate::{AliasState, Mapping};
use crate::client::ClientId;
use crate::store::backup::is_revoked;
use crate::store::{Record, RecordId};

/// The records that there are, whose each is, and which of them each names.
#[derive(Default)]
pub(super) struct References {
    there: BTreeMap<RecordId, Option<ClientId>>,
    named: Vec<(RecordId, RecordId)>,
}

impl References {
    /// Takes in a record. What is revoked may name what is gone.
    pub(super) fn take(&mut self, record: &Record) {
        let id = record.id();
        if !is_revoked(record) {
            let named = named(record).into_iter();
            self.named.extend(named.map(|other| (id.clone(), other)));
        }
        self.there.insert(id, record.owner().cloned());
    }

    /// What is the own of each client that has something.
    pub(super) fn owned(&self) -> BTreeMap<&ClientId, BTreeSet<&RecordId>> {
        let mut owned = BTreeMap::<_, BTreeSet<_>>::new();
        for (id, owner) in &self.there {
            if let Some(owner) = owner {
                owned.entry(owner).or_default().insert(id);
            }
        }
        owned
    }

    /// The records that name others which are missing, and those.
    pub(super) fn missing(&self) -> impl Iterator<Item = &(RecordId, RecordId)> {
        let is_missing = |(_, named): &&(RecordId, RecordId)| !self.there.contains_key(named);
        self.named.iter().filter(is_missing)
    }

    /// The records that name keys of other clients, and those.
    pub(super) fn foreign(&self) -> impl Iterator<Item = &(RecordId, RecordId)> {
        self.named.iter().filter(|(id, named)| {
            let owners = self.there.get(id).zip(self.there.get(named));
            matches!(named, RecordId::Key(_)) && owners.is_some_and(|(own, other)| own != other)
        })
    }
}

/// The records that this one names.
fn named(record: &Record) -> Vec<RecordId> {
    let mut named: Vec<_> = record
        .owner()
        .cloned()
        .map(RecordId::Client)
        .into_iter()
        .collect();
    match record {
        Record::Certificate(certificate) => {
            if let Mapping::Mapped { key, .. } = &certificate.mapping {
                named.push(RecordId::Key(*key));
            }
            let others = [certificate.renews, certificate.renewed_by];
            named.extend(others.into_iter().flatten().map(RecordId::Certificate));
        }
        Record::Alias(alias) => {
            if let AliasState::Bound { to } = alias.state {
                named.push(RecordId::Certificate(to));
            }
        }
        Record::Key(key) => named.extend(key.rotated_to.map(RecordId::Key)),
        Record::Client(_) | Record::Phase(_) => {}
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Alias, AliasRecord, CertificateRecord, Fingerprint, Source};
    use crate::client::ClientRecord;
    use crate::clock::Timestamp;
    use crate::key::{KeyId, KeyRecord, KeyStatus, RevokedBy};

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn client(id: &str) -> Record {
        ClientRecord::new(id.parse().unwrap(), None, NOW).into()
    }

    fn found(records: &[Record]) -> (usize, usize) {
        let mut references = References::default();
        for record in records {
            references.take(record);
        }
        (references.missing().count(), references.foreign().count())
    }

    #[test]
    fn what_is_missing_or_anothers_is_found() {
        let id = KeyId::generate();
        let key = |client: &str| KeyRecord::reserved(id, client.parse().unwrap(), NOW);
        let mapping = Mapping::Mapped {
            client: "a".parse().unwrap(),
            key: id,
        };
        let (own, old) = (Fingerprint::of(b"own"), Fingerprint::of(b"old"));
        let certificate = CertificateRecord::new(own, mapping, Source::Operator, NOW);
        let renewing = CertificateRecord {
            renews: Some(old),
            ..certificate.clone()
        };
        let alias = AliasRecord::new(Alias::Sha1([1; 20]), "a".parse().unwrap(), NOW);
        let bound = alias.clone().bound(old);
        let all = [
            client("a"),
            key("a").into(),
            certificate.clone().into(),
            alias.into(),
        ];
        assert_eq!(found(&all), (0, 0));
        assert_eq!(found(&all[1..]), (3, 0), "the client is missing");
        assert_eq!(
            found(&[&all[..1], &all[2..]].concat()),
            (1, 0),
            "the key is"
        );
        let others = [
            client("a"),
            client("b"),
            key("b").into(),
            certificate.into(),
        ];
        assert_eq!(found(&others), (0, 1), "the key is another client's");
        let with = |record: Record| [&all[..], &[record]].concat();
        assert_eq!(found(&with(renewing.into())), (1, 0));
        assert_eq!(found(&with(bound.into())), (1, 0));
        let rotated = KeyRecord {
            rotated_to: Some(KeyId::generate()),
            ..key("a")
        };
        assert_eq!(found(&with(rotated.clone().into())), (1, 0));
        // What is revoked lets nobody in, whatever it names.
        let status = KeyStatus::Revoked {
            at: NOW,
            by: RevokedBy::Operator,
        };
        let revoked = KeyRecord { status, ..rotated };
        assert_eq!(found(&[revoked.into()]), (0, 0));
    }
}
