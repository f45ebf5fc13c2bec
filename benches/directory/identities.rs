//! As many identities as are asked for, each a client with a certificate and a key.

use keyferry::certificate::{CertificateRecord, Facts, Fingerprint, Mapping, Source};
use keyferry::client::{ClientId, ClientRecord};
use keyferry::clock::Timestamp;
use keyferry::directory::View;
use keyferry::key::{self, ApiKey, Digest, Format, KeyId, KeyRecord, Pepper, Peppers};
use keyferry::secret::Secret;
use keyferry::store::{Actor, Epoch, Record, Versioned};

pub(crate) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// One identity. It is computed from its number and its generation, so that whoever measures keeps
/// nothing beside the directory.
pub(crate) struct Identity {
    pub(crate) client: ClientId,
    pub(crate) certificate: Fingerprint,
    pub(crate) key: KeyId,
    number: u32,
}

impl Identity {
    pub(crate) fn new(number: u32, generation: u32) -> Self {
        let [key, certificate] = ["key", "certificate"]
            .map(|kind| Fingerprint::of(format!("{kind} {number} {generation}").as_bytes()));
        let random = key.to_string();
        Self {
            client: format!("client-{number:08}").parse().unwrap(),
            certificate,
            key: format!("0197f3c2a1b27{}8{}", &random[..3], &random[3..18])
                .parse()
                .unwrap(),
            number,
        }
    }

    fn client_record(&self) -> ClientRecord {
        ClientRecord::new(self.client.clone(), None, NOW)
    }

    fn key_record(&self, digest: Digest) -> KeyRecord {
        let mut key = KeyRecord::reserved(self.key, self.client.clone(), NOW);
        key.digest = Some(digest);
        key.issued_at = Some(NOW);
        key
    }

    fn certificate_record(&self) -> CertificateRecord {
        let Self { number, .. } = self;
        let facts = Facts {
            subject: format!("CN=client-{number:08},OU=Machines,O=Example,C=DE"),
            issuer: "CN=Clients 2026,O=Example,C=DE".to_owned(),
            alternative_names: vec![format!("DNS:client-{number:08}.example.com")],
            serial: format!("{number:016x}"),
            spki: Fingerprint::of(self.certificate.as_bytes()).to_string(),
            not_before: NOW,
            not_after: NOW,
        };
        let mapping = Mapping::Mapped {
            client: self.client.clone(),
            key: self.key,
        };
        CertificateRecord {
            ca: Some("clients".to_owned()),
            ..CertificateRecord::new(self.certificate, mapping, Source::FirstSight, NOW)
                .with_facts(Some(facts))
        }
    }
}

/// Writes into a directory as the store's events do.
pub(crate) struct Writer {
    digest: Digest,
    epoch: u64,
}

impl Writer {
    pub(crate) fn new() -> Self {
        let format = Format::new("kf", "live").unwrap();
        let key = ApiKey::generate(KeyId::generate(), &format).unwrap();
        let peppers = Peppers::new(Pepper::new(1, &Secret::new(vec![7; 32])), []);
        Self {
            digest: key.digest(&peppers),
            epoch: 0,
        }
    }

    /// The records of an identity.
    pub(crate) fn records(&self, one: &Identity) -> [Record; 3] {
        [
            one.client_record().into(),
            one.certificate_record().into(),
            one.key_record(self.digest).into(),
        ]
    }

    /// The identities `0..number`, in the order of a store: all clients first.
    pub(crate) fn load(&mut self, view: &View, number: u32) {
        let all = || (0..number).map(|number| Identity::new(number, 0));
        all().for_each(|one| self.apply(view, one.client_record()));
        all().for_each(|one| self.apply(view, one.certificate_record()));
        all().for_each(|one| self.apply(view, one.key_record(self.digest)));
    }

    /// A new client with a certificate and a key.
    pub(crate) fn enrol(&mut self, view: &View, number: u32) {
        let new = Identity::new(number, 0);
        self.apply(view, new.client_record());
        self.apply(view, new.key_record(self.digest));
        self.apply(view, new.certificate_record());
    }

    /// Another certificate and another key in place of those of the generation before, the key of
    /// which is revoked.
    pub(crate) fn renew(&mut self, view: &View, number: u32, generation: u32) {
        let [old, new] = [generation - 1, generation].map(|one| Identity::new(number, one));
        self.apply(view, new.key_record(self.digest));
        self.apply(
            view,
            CertificateRecord {
                renews: Some(old.certificate),
                ..new.certificate_record()
            },
        );
        self.apply(
            view,
            CertificateRecord {
                renewed_by: Some(new.certificate),
                ..old.certificate_record()
            },
        );
        let known = (Epoch(self.epoch), old.key_record(self.digest));
        let revoked = key::revoke(known, Actor::Gateway, NOW);
        for write in revoked.writes {
            self.apply(view, write.record);
        }
    }

    /// The other form of an ECDSA certificate, beside it.
    pub(crate) fn twin(&mut self, view: &View, of: Fingerprint) {
        let fingerprint = Fingerprint::of(&[of.as_bytes().as_slice(), b"twin"].concat());
        let twin = Mapping::Twin { of };
        let record = CertificateRecord::new(fingerprint, twin, Source::FirstSight, NOW);
        self.apply(view, record);
    }

    fn apply(&mut self, view: &View, record: impl Into<Record>) {
        self.epoch += 1;
        view.apply(Versioned {
            version: Epoch(self.epoch),
            record: record.into(),
        });
    }
}

/// The memory of this process that is resident, in bytes.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.unwrap().parse::<usize>().unwrap() * 1024
}
