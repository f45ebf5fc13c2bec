//! Certificates that are kept as they are, where backends are told of them (docs/MASQUERADE.md):
//! elsewhere none is, and nothing is paid for it.

use foldhash::fast::RandomState;
use papaya::HashMap;

use super::View;
use crate::certificate::{Age, CertificateRecord, Fingerprint, Whole};
use crate::client::ClientId;
use crate::directory::rows::ClientRow;

/// Those of certificates that identify somebody, with their age; or nothing at all.
#[derive(Default)]
pub(super) struct Kept(Option<HashMap<Fingerprint, (Age, Whole), RandomState>>);

impl Kept {
    /// Without any, and keeping some or not.
    pub(super) fn keeping(keeps: bool) -> Self {
        Self(keeps.then(HashMap::default))
    }

    /// Whether the certificate is kept, or need not be.
    pub(super) fn is_settled(&self, fingerprint: &Fingerprint) -> bool {
        let kept = self.0.as_ref();
        kept.is_none_or(|kept| kept.pin().contains_key(fingerprint))
    }

    /// The certificate, when it is kept.
    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<Whole> {
        Some(self.0.as_ref()?.pin().get(fingerprint)?.1.clone())
    }

    /// Takes in a certificate as it is now.
    pub(super) fn apply(&self, record: &CertificateRecord) {
        let Some(kept) = &self.0 else {
            return;
        };
        match Age::of(record).zip(record.whole.clone()) {
            Some(whole) => _ = kept.pin().insert(record.fingerprint, whole),
            None => _ = kept.pin().remove(&record.fingerprint),
        }
    }

    /// Takes over a certificate from `known`, when that kept it. Else it is loaded when it can be.
    pub(super) fn stay(&self, known: &Self, fingerprint: &Fingerprint) {
        if let (Some(kept), Some(known)) = (&self.0, &known.0)
            && let Some(whole) = known.pin().get(fingerprint)
        {
            kept.pin().insert(*fingerprint, whole.clone());
        }
    }
}

impl View {
    /// The same view, still without any record, which keeps certificates as they are, or not.
    pub(in crate::directory) fn keeping_whole(self, keeps: bool) -> Self {
        Self {
            whole: Kept::keeping(keeps),
            ..self
        }
    }

    /// The certificate of the client that was issued last, of those that identify it and are kept as
    /// they are. Neither its end nor its revocation takes it away: who takes the certificate away from
    /// the client does.
    #[must_use]
    pub fn newest_whole(&self, client: &ClientId) -> Option<Whole> {
        let kept = self.whole.0.as_ref()?;
        let newest = |row: &ClientRow| {
            let mut newest: Option<(Age, Whole)> = None;
            for place in row.has.get() {
                self.certificates.each_at(*place, |certificate| {
                    let fingerprint = certificate.fingerprint();
                    let is_own = certificate.mapped() == Some(row.number);
                    let kept = kept.pin();
                    if let Some((age, whole)) = kept.get(&fingerprint).filter(|_| is_own)
                        && newest.as_ref().is_none_or(|(known, _)| known < age)
                    {
                        newest = Some((*age, whole.clone()));
                    }
                });
            }
            newest.map(|(_, whole)| whole)
        };
        self.of_client(client, newest).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Mapping, Source};
    use crate::clock::Timestamp;
    use crate::key::KeyId;
    use crate::pki;
    use crate::store::{Epoch, Versioned};

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn record(name: &str, from: i64, client: &str) -> CertificateRecord {
        let issued = pki::leaf(name).dates_unix(from, 4_000).self_signed();
        let der = issued.x509.to_der().unwrap();
        let mapping = Mapping::Mapped {
            client: client.parse().unwrap(),
            key: KeyId::generate(),
        };
        let fingerprint = Fingerprint::of(&der);
        CertificateRecord {
            whole: Some(der.into()),
            ..CertificateRecord::new(fingerprint, mapping, Source::FirstSight, NOW)
        }
    }

    struct World {
        view: View,
        epoch: Epoch,
    }

    impl World {
        fn put(&mut self, record: &CertificateRecord) {
            self.epoch = self.epoch.next();
            self.view.apply(Versioned {
                version: self.epoch,
                record: record.clone().into(),
            });
        }

        fn newest(&self) -> Option<Whole> {
            self.view.newest_whole(&"acme".parse().unwrap())
        }
    }

    fn world(keeps: bool) -> World {
        World {
            view: View::default().keeping_whole(keeps),
            epoch: Epoch::NONE,
        }
    }

    #[test]
    fn a_client_is_known_by_the_newest_certificate_that_identifies_it() {
        let mut world = world(true);
        let [old, new] = [("old", 1_000), ("new", 2_000)].map(|(n, from)| record(n, from, "acme"));
        let others = record("other", 3_000, "globex");
        for record in [&new, &old, &others] {
            world.put(record);
        }
        assert_eq!(world.newest(), new.whole);
        for mapping in [
            Mapping::Removed { at: NOW },
            Mapping::Pending,
            match new.mapping.clone() {
                Mapping::Mapped { client, key } => Mapping::Superseded {
                    client,
                    key,
                    at: NOW,
                },
                other => other,
            },
        ] {
            world.put(&new);
            assert_eq!(world.newest(), new.whole);
            world.put(&CertificateRecord {
                mapping,
                ..new.clone()
            });
            assert_eq!(world.newest(), old.whole);
        }
        // What is not the certificate of its record is nobody's.
        let whole = others.whole;
        world.put(&CertificateRecord { whole, ..old });
        assert_eq!(world.newest(), None);
    }

    #[test]
    fn nothing_is_kept_where_nobody_is_told() {
        let mut world = world(false);
        let record = record("acme", 1_000, "acme");
        world.put(&record);
        assert_eq!(world.newest(), None);
        assert!(world.view.whole.is_settled(&record.fingerprint));
    }
}
