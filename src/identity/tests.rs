//! Who is who, and who is nobody.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::certificate::{Ca, CertificateRecord, Chain, Source, Trust, Verifier};
use crate::client::ClientRecord;
use crate::directory::Sightings;
use crate::key::{ApiKey, Format, KeyRecord, KeyStatus, Pepper, RevokedBy};
use crate::pki::{Issued, leaf, root};
use crate::secret::Secret;
use crate::store::{Epoch, Record, Versioned};

/// Two clients, `a` and `b`, each with a certificate and a key; and a certificate of nobody.
struct World {
    view: View,
    peppers: Peppers,
    format: Format,
    verifier: Verifier,
    root: Issued,
    epoch: u64,
}

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

struct Member {
    certificate: Issued,
    key: ApiKey,
}

impl World {
    fn new() -> Self {
        let (from, until) = (NOW.as_unix() - 86_400, NOW.as_unix() + 86_400);
        let root = root("Clients").dates_unix(from, until).self_signed();
        let ca = Ca {
            name: "clients".to_owned(),
            pem: root.pem(),
            allow_missing_client_auth: false,
            allow_weak: false,
            max_depth: 1,
            ..Ca::default()
        };
        Self {
            view: View::default(),
            peppers: Peppers::new(Pepper::new(1, &Secret::new(vec![7; 32])), []),
            format: Format::new("kf", "live").unwrap(),
            verifier: Verifier::new(Trust::new(1, vec![ca]).unwrap()),
            root,
            epoch: 0,
        }
    }

    fn put(&mut self, record: impl Into<Record>) {
        self.epoch += 1;
        self.view.apply(Versioned {
            version: Epoch(self.epoch),
            record: record.into(),
        });
    }

    fn member(&mut self, name: &str) -> Member {
        let client: ClientId = name.parse().unwrap();
        let certificate = self.issue(name, -3600, 3600);
        let key = ApiKey::generate(KeyId::generate(), &self.format).unwrap();
        let mapping = Mapping::Mapped {
            client: client.clone(),
            key: key.id(),
        };
        self.put(ClientRecord::new(client, None, NOW));
        self.put(self.record(&key, name, |_| {}));
        self.put(mapped(&certificate, mapping));
        Member { certificate, key }
    }

    fn record(&self, key: &ApiKey, client: &str, change: impl Fn(&mut KeyRecord)) -> KeyRecord {
        let mut record = KeyRecord::reserved(key.id(), client.parse().unwrap(), NOW);
        record.digest = Some(key.digest(&self.peppers));
        change(&mut record);
        record
    }

    /// A certificate that is valid so many seconds around [`NOW`].
    fn issue(&self, name: &str, from: i64, until: i64) -> Issued {
        let (from, until) = (NOW.as_unix() + from, NOW.as_unix() + until);
        leaf(name).dates_unix(from, until).signed_by(&self.root)
    }

    fn presented(&self, certificate: Option<&Issued>, key: Option<&str>) -> Presented {
        let certificate = certificate.map(|issued| {
            let chain = Chain::new(&issued.x509, issued.intermediates.clone());
            let verdict = self.verifier.verify(&chain, NOW);
            match (verdict.at(NOW), verdict.lapsed(NOW)) {
                (Ok(good), _) => PresentedCertificate::Verified(good, Assurance::Proven),
                (Err(_), Some(lapsed)) => {
                    PresentedCertificate::Lapsed(Box::new(lapsed), Assurance::Proven)
                }
                (Err(bad), None) => PresentedCertificate::Rejected(Box::new(bad)),
            }
        });
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("x-api-key", HeaderValue::from_str(key).unwrap());
        }
        let certificate = certificate.unwrap_or(PresentedCertificate::Absent);
        Presented::read(&headers, certificate, &self.format).unwrap()
    }

    fn ask(
        &self,
        freshness: Freshness,
        certificate: Option<&Issued>,
        key: Option<&str>,
    ) -> Result<Caller, Refused> {
        resolve(
            &self.view,
            &self.peppers,
            &self.presented(certificate, key),
            Grace {
                purpose: Purpose::Request,
                claims: None,
                sightings: &Sightings::default(),
            },
            freshness,
            NOW,
        )
    }

    fn resolve(&self, certificate: Option<&Issued>, key: Option<&str>) -> Result<Caller, Refused> {
        self.ask(Freshness::Confirmed, certificate, key)
    }

    fn known(&self, certificate: Option<&Issued>, key: Option<&str>) -> Identity {
        match self.resolve(certificate, key) {
            Ok(Caller::Known(identity)) => identity,
            other => panic!("nobody is known: {other:?}"),
        }
    }

    fn fault(&self, key: &str) -> KeyFault {
        match self.resolve(None, Some(key)) {
            Err(Refused::KeyInvalid { fault, .. }) => fault,
            other => panic!("the key was not refused: {other:?}"),
        }
    }
}

fn mapped(certificate: &Issued, mapping: Mapping) -> CertificateRecord {
    CertificateRecord::new(
        Fingerprint::of(&certificate.x509.to_der().unwrap()),
        mapping,
        Source::Operator,
        NOW,
    )
}

#[test]
fn certificate_and_key_give_the_same_identity() {
    let mut world = World::new();
    let a = world.member("a");
    for (certificate, key, proof) in [
        (Some(&a.certificate), None, Proof::Certificate(CaIndex(0))),
        (None, Some(a.key.reveal()), Proof::Key),
        (
            Some(&a.certificate),
            Some(a.key.reveal()),
            Proof::Both(CaIndex(0)),
        ),
    ] {
        let identity = world.known(certificate, key);
        assert_eq!(
            (identity.client().as_str(), identity.key()),
            ("a", a.key.id())
        );
        assert_eq!(identity.proof(), proof);
    }
    assert!(matches!(world.resolve(None, None), Ok(Caller::Nobody)));
}

#[test]
fn k6_a_certificate_beside_the_key_of_another_client_refuses_both() {
    let mut world = World::new();
    let (a, b) = (world.member("a"), world.member("b"));
    let refused = world.resolve(Some(&a.certificate), Some(b.key.reveal()));
    assert!(
        matches!(refused, Err(Refused::Conflict { .. })),
        "{refused:?}"
    );
}

#[test]
fn k7_a_bad_key_is_refused_beside_a_good_certificate() {
    let mut world = World::new();
    let a = world.member("a");
    world.known(Some(&a.certificate), None);
    let other = ApiKey::generate(a.key.id(), &world.format).unwrap();
    for key in [other.reveal(), "kf_live_cut"] {
        assert!(
            world.resolve(Some(&a.certificate), Some(key)).is_err(),
            "{key}"
        );
    }
}

#[test]
fn a_good_key_passes_beside_a_bad_certificate_whose_state_is_recorded() {
    let mut world = World::new();
    let a = world.member("a");
    let expired = world.issue("a", -7200, -3600);
    assert!(matches!(
        world.resolve(Some(&expired), None),
        Err(Refused::CertificateRejected(_))
    ));
    let identity = world.known(Some(&expired), Some(a.key.reveal()));
    assert_eq!(
        (identity.proof(), identity.rejected_beside()),
        (Proof::Key, Some(Reason::Expired))
    );
}

#[test]
fn k13_every_fault_of_a_key_is_told_apart_for_the_log() {
    let mut world = World::new();
    let a = world.member("a");
    let with = |world: &mut World, change: fn(&mut KeyRecord)| {
        let record = world.record(&a.key, "a", change);
        world.put(record);
        world.fault(a.key.reveal())
    };
    let unknown = ApiKey::generate(KeyId::generate(), &world.format).unwrap();
    let wrong = ApiKey::generate(a.key.id(), &world.format).unwrap();
    assert_eq!(world.fault(unknown.reveal()), KeyFault::Unknown);
    assert_eq!(world.fault(wrong.reveal()), KeyFault::WrongSecret);
    assert_eq!(
        with(&mut world, |key| key.digest = None),
        KeyFault::WrongSecret
    );
    assert_eq!(
        with(&mut world, |key| key.expires_at = Some(NOW)),
        KeyFault::Expired
    );
    assert_eq!(
        with(&mut world, |key| key.status = KeyStatus::Revoked {
            at: NOW,
            by: RevokedBy::Operator
        }),
        KeyFault::Revoked
    );
}

#[test]
fn k11_a_disabled_client_is_refused_by_certificate_and_by_key() {
    let mut world = World::new();
    let a = world.member("a");
    let mut client = ClientRecord::new("a".parse().unwrap(), None, NOW);
    client.status = crate::client::ClientStatus::Disabled { at: NOW };
    world.put(client);
    for (certificate, key) in [(Some(&a.certificate), None), (None, Some(a.key.reveal()))] {
        assert!(matches!(
            world.resolve(certificate, key),
            Err(Refused::ClientDisabled(_))
        ));
    }
}

#[test]
fn a_certificate_that_nobody_was_given_identifies_nobody() {
    let mut world = World::new();
    let stranger = world.issue("stranger", -3600, 3600);
    assert!(matches!(
        world.resolve(Some(&stranger), None),
        Err(Refused::Unregistered(_))
    ));
    world.put(mapped(&stranger, Mapping::Pending));
    assert!(matches!(
        world.resolve(Some(&stranger), None),
        Err(Refused::ApprovalPending(_))
    ));
    world.put(mapped(&stranger, Mapping::Removed { at: NOW }));
    assert!(matches!(
        world.resolve(Some(&stranger), None),
        Err(Refused::Unregistered(_))
    ));
}

#[test]
fn o2_a_mapping_to_a_key_that_is_not_there_or_is_anothers_identifies_nobody() {
    let mut world = World::new();
    let (a, b) = (world.member("a"), world.member("b"));
    let stranger = world.issue("stranger", -3600, 3600);
    for (client, key) in [
        ("a", KeyId::generate()),
        ("a", b.key.id()),
        ("c", a.key.id()),
    ] {
        let mapping = Mapping::Mapped {
            client: client.parse().unwrap(),
            key,
        };
        world.put(mapped(&stranger, mapping));
        assert!(
            world.resolve(Some(&stranger), None).is_err(),
            "{client} {key}"
        );
    }
}

#[test]
fn what_is_not_found_while_following_is_unconfirmed_and_never_refused() {
    let world = World::new();
    let stranger = world.issue("stranger", -3600, 3600);
    let unknown = ApiKey::generate(KeyId::generate(), &world.format).unwrap();
    for (certificate, key) in [(Some(&stranger), None), (None, Some(unknown.reveal()))] {
        let following = world.ask(Freshness::Following, certificate, key);
        assert!(
            matches!(following, Err(Refused::Unconfirmed)),
            "{following:?}"
        );
        let confirmed = world.resolve(certificate, key);
        assert!(
            !matches!(confirmed, Err(Refused::Unconfirmed)),
            "{confirmed:?}"
        );
    }
}

#[test]
fn a_superseded_certificate_identifies_nobody_and_hides_behind_no_key() {
    let mut world = World::new();
    let (a, b) = (world.member("a"), world.member("b"));
    let old = world.issue("old", -3600, 3600);
    world.put(mapped(
        &old,
        Mapping::Superseded {
            client: "a".parse().unwrap(),
            key: a.key.id(),
            at: NOW,
        },
    ));
    let refused = world.resolve(Some(&old), None);
    assert!(matches!(refused, Err(Refused::Superseded(_))));
    let beside = world.resolve(Some(&old), Some(a.key.reveal()));
    let Ok(Caller::Known(identity)) = beside else {
        panic!("a good key was refused: {beside:?}");
    };
    assert_eq!(identity.proof(), Proof::Key);
    assert_eq!(identity.rejected_beside(), Some(Reason::Superseded));
    let refused = world.resolve(Some(&old), Some(b.key.reveal()));
    assert!(matches!(refused, Err(Refused::Conflict { .. })));
}
