//! A client with a certificate, and two authorities of one name.

use super::super::*;
use crate::certificate::{Ca, Chain, Fingerprint, Trust, Verifier};
use crate::client::{ClientRecord, ClientStatus};
use crate::pki::{Issued, Spec, leaf, root};
use crate::store::Record;

pub(super) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// A client `acme` with a certificate of the authority `clients`; and a second authority, `others`,
/// that bears the same name.
pub(super) struct World {
    pub(super) verifier: Verifier,
    pub(super) clients: Issued,
    pub(super) others: Issued,
    pub(super) old: Issued,
    pub(super) key: KeyId,
    pub(super) related: Related,
}

pub(super) fn day(spec: Spec) -> Spec {
    spec.dates_unix(NOW.as_unix() - 86_400, NOW.as_unix() + 86_400)
}

impl World {
    pub(super) fn new() -> Self {
        let [clients, others] = [(); 2].map(|()| day(root("Clients")).self_signed());
        let ca = |name: &str, root: &Issued| Ca {
            name: name.to_owned(),
            pem: root.pem(),
            allow_missing_client_auth: false,
            allow_weak: false,
            max_depth: 1,
            ..Ca::default()
        };
        let cas = vec![ca("clients", &clients), ca("others", &others)];
        let mut world = Self {
            verifier: Verifier::new(Trust::new(1, cas).unwrap()),
            old: day(leaf("acme")).signed_by(&clients),
            clients,
            others,
            key: KeyId::generate(),
            related: Related::default(),
        };
        let old = world.old.clone();
        world.add("acme", &old);
        world
    }

    pub(super) fn verified(&self, issued: &Issued) -> Verified {
        let chain = Chain::new(&issued.x509, []);
        self.verifier.verify(&chain, NOW).at(NOW).unwrap()
    }

    /// Gives a client a certificate, as if it had been seen.
    pub(super) fn add(&mut self, client: &str, issued: &Issued) -> &mut CertificateRecord {
        let id: ClientId = client.parse().unwrap();
        let key = KeyRecord::reserved(self.key, id.clone(), NOW);
        let mapping = Mapping::Mapped {
            client: id.clone(),
            key: key.id,
        };
        let verified = self.verified(issued);
        let trust = self.verifier.trust();
        let record = seen(&verified, trust.ca_name(verified.ca()), mapping, NOW);
        if self.related.clients.iter().all(|known| *known.id() != id) {
            self.related.clients.push(Holdings {
                client: (Epoch(1), ClientRecord::new(id, None, NOW)),
                certificates: vec![(Epoch(2), record.clone())],
                keys: vec![(Epoch(1), key)],
            });
        }
        self.related.certificates.push((Epoch(2), record));
        &mut self.related.certificates.last_mut().unwrap().1
    }

    pub(super) fn old(&mut self) -> &mut CertificateRecord {
        &mut self.related.certificates[0].1
    }

    pub(super) fn disable(&mut self) {
        let status = ClientStatus::Disabled { at: NOW };
        self.related.clients[0].client.1.status = status;
    }

    pub(super) fn announce(&mut self, alias: Alias, client: &str) -> &mut AliasRecord {
        let record = AliasRecord::new(alias, client.parse().unwrap(), NOW);
        self.related.aliases.push((Epoch(3), record));
        &mut self.related.aliases.last_mut().unwrap().1
    }

    pub(super) fn same_key(&self) -> Issued {
        day(leaf("another name"))
            .key(&self.old.key)
            .signed_by(&self.clients)
    }

    pub(super) fn same_name(&self) -> Issued {
        day(leaf("acme")).signed_by(&self.clients)
    }

    pub(super) fn sees(&self, issued: &Issued, policy: Renewal) -> Seen {
        let verified = self.verified(issued);
        let trust = self.verifier.trust();
        let ca = trust.ca_name(verified.ca());
        match recognise(&verified, ca, policy, &self.related, NOW) {
            Recognised::Nobody => Seen::Nobody,
            Recognised::Refused(rung, why) => Seen::Refused(rung, why),
            Recognised::As(rung, change) => {
                let own = Fingerprint::of(&issued.x509.to_der().unwrap());
                let record = written(&change, &own).expect("its record");
                assert!(change.writes.iter().all(|write| match &write.record {
                    Record::Certificate(record) if record.fingerprint == own =>
                        write.expected == Epoch::NONE,
                    _ => true,
                }));
                let twin = verified
                    .twin()
                    .map(|twin| written(&change, twin).unwrap().mapping);
                assert_eq!(twin, verified.twin().map(|_| Mapping::Twin { of: own }));
                let aliases = self.related.aliases.iter();
                let is_sha1 = |named: &&(_, AliasRecord)| matches!(named.1.alias, Alias::Sha1(_));
                for (_, named) in aliases.filter(|_| rung == Rung::Sha1).filter(is_sha1) {
                    let is_bound = |write: &Write| matches!(&write.record, Record::Alias(alias) if *alias == named.clone().bound(own));
                    assert!(change.writes.iter().any(is_bound), "{named:?}");
                }
                match &record.mapping {
                    Mapping::Mapped { client, key } => {
                        assert_eq!(*key, self.key);
                        if let Some(old) = record.renews {
                            let old = written(&change, &old).expect("its predecessor");
                            assert_eq!(old.renewed_by, Some(own));
                        }
                        Seen::Given(rung, client.to_string())
                    }
                    Mapping::Pending => {
                        Seen::Waits(rung, record.proposed.map(|client| client.to_string()))
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

pub(super) fn written(change: &Change, fingerprint: &Fingerprint) -> Option<CertificateRecord> {
    change.writes.iter().find_map(|write| match &write.record {
        Record::Certificate(record) if record.fingerprint == *fingerprint => Some(record.clone()),
        _ => None,
    })
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nobody,
    Given(Rung, String),
    Waits(Rung, Option<String>),
    Refused(Rung, Why),
}

pub(super) fn acme() -> String {
    "acme".to_owned()
}

pub(super) fn all(follow: Follow) -> Renewal {
    Renewal {
        same_key: follow,
        same_name: follow,
        successor: follow,
    }
}
