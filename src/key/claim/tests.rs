//! Claims, decided.

use super::*;
use crate::certificate::Source;
use crate::client::ClientRecord;
use crate::key::{Pepper, RevokedBy};
use crate::secret::Secret;
use crate::store::Record;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const LATER: Timestamp = Timestamp::from_unix(1_800_000_600);

struct World {
    client: ClientRecord,
    format: Format,
    peppers: Peppers,
}

impl World {
    fn new() -> Self {
        Self {
            client: ClientRecord::new("acme".parse().unwrap(), None, NOW),
            format: Format::new("kf", "live").unwrap(),
            peppers: Peppers::new(Pepper::new(1, &Secret::new(vec![9; 32])), []),
        }
    }

    fn reserved(&self) -> KeyRecord {
        KeyRecord::reserved(KeyId::generate(), self.client.id.clone(), NOW)
    }

    fn claim(
        &self,
        key: &KeyRecord,
        certificate: &[u8],
        token: Option<&str>,
        now: Timestamp,
    ) -> Claimed {
        let token: Option<IdempotencyToken> = token.map(|token| token.parse().unwrap());
        let mapped = |certificate, key| {
            let client = self.client.id.clone();
            let mapping = Mapping::Mapped { client, key };
            let fingerprint = Fingerprint::of(certificate);
            CertificateRecord::new(fingerprint, mapping, Source::FirstSight, NOW)
        };
        let own = mapped(certificate, key.id);
        let other = mapped(b"of another key", KeyId::generate());
        let claim = Claim {
            certificate: own.fingerprint,
            of: Holdings {
                client: (Epoch(2), self.client.clone()),
                certificates: vec![(Epoch(4), own), (Epoch(5), other)],
                keys: Vec::new(),
            },
            key: (Epoch(3), key.clone()),
            token: token.as_ref(),
            repeat_until: LATER,
        };
        claim.decide(&self.format, &self.peppers, now).unwrap()
    }

    /// The key and the records that a claim which must succeed writes.
    fn issue(&self, key: &KeyRecord, token: Option<&str>) -> (ApiKey, Vec<Write>) {
        match self.claim(key, b"certificate", token, NOW) {
            Claimed::Issued(key, change) => (key, change.writes),
            other => panic!("not issued: {other:?}"),
        }
    }
}

fn written(writes: &[Write]) -> KeyRecord {
    match &writes[1].record {
        Record::Key(record) => record.clone(),
        other => panic!("not a key: {other:?}"),
    }
}

#[test]
fn a_reserved_id_gets_its_key_and_keeps_its_name() {
    let world = World::new();
    let reserved = world.reserved();
    let (key, writes) = world.issue(&reserved, None);
    let expected: Vec<_> = writes.iter().map(|write| write.expected).collect();
    // The client is held, so that nothing else that it is given at the same time passes as well.
    assert!(matches!(writes[0].record, Record::Client(_)));
    assert_eq!(
        (key.id(), expected),
        (reserved.id, vec![Epoch(2), Epoch(3), Epoch(4)])
    );
    assert!(key.matches(written(&writes).digest.as_ref(), &world.peppers));
}

#[test]
fn c6_a_key_that_was_fetched_is_not_shown_again() {
    let world = World::new();
    let (_, writes) = world.issue(&world.reserved(), None);
    let again = world.claim(&written(&writes), b"certificate", None, NOW);
    assert!(matches!(again, Claimed::AlreadyIssued { .. }));
}

#[test]
fn c4_the_same_token_and_certificate_see_the_same_key_until_the_window_ends() {
    let world = World::new();
    let token = "0123456789abcdef";
    let (key, writes) = world.issue(&world.reserved(), Some(token));
    let issued = written(&writes);
    match world.claim(&issued, b"certificate", Some(token), NOW) {
        Claimed::Repeated(again) => assert_eq!(again.reveal(), key.reveal()),
        other => panic!("not repeated: {other:?}"),
    }
    for (certificate, token, now) in [
        (&b"certificate"[..], Some("another-token-0123"), NOW),
        (b"certificate", None, NOW),
        (b"another", Some(token), NOW),
        (b"certificate", Some(token), LATER),
    ] {
        let refused = world.claim(&issued, certificate, token, now);
        assert!(
            matches!(refused, Claimed::AlreadyIssued { .. }),
            "{token:?} {now}"
        );
    }
}

#[test]
fn c4_an_answer_is_repeated_though_the_pepper_changed_meanwhile() {
    let mut world = World::new();
    let token = "0123456789abcdef";
    let (key, writes) = world.issue(&world.reserved(), Some(token));
    let pepper = |version, byte| Pepper::new(version, &Secret::new(vec![byte; 32]));
    world.peppers = Peppers::new(pepper(2, 8), [pepper(1, 9)]);
    match world.claim(&written(&writes), b"certificate", Some(token), NOW) {
        Claimed::Repeated(again) => assert_eq!(again.reveal(), key.reveal()),
        other => panic!("not repeated: {other:?}"),
    }
    world.peppers = Peppers::new(pepper(2, 8), []);
    let gone = world.claim(&written(&writes), b"certificate", Some(token), NOW);
    assert!(matches!(gone, Claimed::AlreadyIssued { .. }));
}

#[test]
fn after_the_operator_revoked_a_key_a_new_id_takes_the_certificates_along() {
    let world = World::new();
    let mut revoked = world.reserved();
    revoked.status = KeyStatus::Revoked {
        at: NOW,
        by: RevokedBy::Operator,
    };
    let (key, writes) = world.issue(&revoked, None);
    assert_ne!(key.id(), revoked.id);
    assert_eq!(
        (writes[1].expected, writes[2].expected),
        (Epoch::NONE, Epoch(4))
    );
    let Record::Certificate(certificate) = &writes[2].record else {
        panic!("no certificate")
    };
    let mapping = Mapping::Mapped {
        client: world.client.id.clone(),
        key: key.id(),
    };
    assert_eq!(certificate.mapping, mapping);
}

#[test]
fn c6_a_certificate_alone_gets_no_key_after_one_that_its_client_gave_up_or_that_expired() {
    let world = World::new();
    let (_, writes) = world.issue(&world.reserved(), None);
    let fetched = written(&writes);
    let given_up = KeyRecord {
        status: KeyStatus::Revoked {
            at: NOW,
            by: RevokedBy::Client,
        },
        ..fetched.clone()
    };
    let expired = KeyRecord {
        expires_at: Some(NOW),
        ..fetched
    };
    for record in [given_up, expired] {
        let refused = world.claim(&record, b"certificate", None, NOW);
        assert!(
            matches!(refused, Claimed::AlreadyIssued { .. }),
            "{record:?}"
        );
    }
}

#[test]
fn a_token_is_long_enough_not_to_be_guessed() {
    for bad in [
        "",
        "short",
        "0123456789abcde",
        "0123456789abcde\n",
        "0123456789 abcdef",
    ] {
        assert!(bad.parse::<IdempotencyToken>().is_err(), "{bad:?}");
    }
}
