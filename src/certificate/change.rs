//! What the operator does to certificates.

use super::{CertificateRecord, Facts, Fingerprint, Handed, Mapping, Source};
use crate::client::{ClientId, ClientRecord, Disabled, Holdings};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord};
use crate::store::{Action, Actor, Change, Epoch, Record, Write};

/// Why a certificate was not given to a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGiven {
    /// The client is disabled.
    #[error(transparent)]
    Disabled(#[from] Disabled),
    /// It is somebody else's.
    #[error(transparent)]
    AlreadyMapped(#[from] AlreadyMapped),
}

/// The certificate belongs to another client, and a certificate names exactly one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the certificate {fingerprint} belongs to the client {by}; \
     to take it away from there: keyferry certificate remove {fingerprint}"
)]
pub struct AlreadyMapped {
    /// The certificate.
    pub fingerprint: Fingerprint,
    /// The client.
    pub by: ClientId,
}

/// Gives a certificate to a client. `known` is its record, when there is one: a certificate that
/// waits for approval, or that was removed, can be given like any other. None when the client has
/// it already, and no more of it is to be recorded.
///
/// It goes by the key id of the client's other certificates, or else by the last one that the client
/// had, also when that key has ended: then it claims none, as the others do not, until the operator
/// says so. Only a client that never had a key id gets a new one.
///
/// # Errors
///
/// [`NotGiven`].
pub fn give(
    handed: &Handed,
    known: Option<(Epoch, CertificateRecord)>,
    to: &Holdings,
    actor: Actor,
    now: Timestamp,
) -> Result<Option<Change>, NotGiven> {
    to.expect_active()?;
    if let Some((_, record)) = &known
        && let Mapping::Mapped { client, .. } | Mapping::Superseded { client, .. } = &record.mapping
    {
        if client != to.id() {
            let (fingerprint, by) = (record.fingerprint, client.clone());
            return Err(AlreadyMapped { fingerprint, by }.into());
        }
        if matches!(record.mapping, Mapping::Mapped { .. }) {
            return Ok(completed(handed, known, actor, now));
        }
    }
    let mut writes = vec![to.hold()];
    let known_key = to.key_of_certificates(now);
    let key = known_key.unwrap_or_else(KeyId::generate);
    if known_key.is_none() {
        let reserved = KeyRecord::reserved(key, to.id().clone(), now);
        writes.push(Write::create(reserved));
    }
    writes.push(mapped(handed, known, (to.id().clone(), key), now));
    Ok(Some(Change::new(
        Action::CertificateAdded,
        actor,
        now,
        writes,
    )))
}

/// Lets the certificate that `change` gives to a client take over from `old`, the one that it was
/// seen to renew, and go by the same key id, when that is the client's as well; otherwise it renews
/// none.
#[must_use]
pub fn take_over(
    mut change: Change,
    fingerprint: Fingerprint,
    old: Option<&(Epoch, CertificateRecord)>,
) -> Change {
    let is_same = |client: &ClientId, other: &Mapping| matches!(other, Mapping::Mapped { client: own, .. } if own == client);
    let mut given = change
        .writes
        .iter_mut()
        .filter_map(|write| match &mut write.record {
            Record::Certificate(record) if record.fingerprint == fingerprint => Some(record),
            _ => None,
        });
    let Some(record) = given.next() else {
        return change;
    };
    record.proposed = None;
    let old = old.filter(|(_, old)| {
        matches!(&record.mapping, Mapping::Mapped { client, .. } if is_same(client, &old.mapping))
    });
    record.renews = old.map(|(_, old)| old.fingerprint);
    if let Some((version, old)) = old {
        record.mapping = old.mapping.clone();
        let old = CertificateRecord {
            renewed_by: Some(fingerprint),
            ..old.clone()
        };
        change.writes.push(Write::replace(*version, old));
        change.action = Action::CertificateRenewed;
    }
    change
}

/// Makes a client of its own, with a reserved key id, for a certificate that waits for approval.
/// The client is named after what the certificate calls itself.
#[must_use]
pub fn approve(
    (version, record): (Epoch, CertificateRecord),
    actor: Actor,
    now: Timestamp,
) -> Change {
    let key = KeyId::generate();
    let handed = Handed::from(&record);
    let facts = handed.facts.as_ref();
    let name = facts.and_then(Facts::common_name);
    let client = ClientId::suggest(name.as_deref(), key);
    let description = facts.map(|facts| facts.subject.clone());
    let writes = vec![
        Write::create(ClientRecord::new(client.clone(), description, now)),
        Write::create(KeyRecord::reserved(key, client.clone(), now)),
        mapped(&handed, Some((version, record)), (client, key), now),
    ];
    Change::new(Action::CertificateAdded, actor, now, writes)
}

/// Takes the certificate that was read away from whoever it identifies. Its record stays, so that
/// it does not enrol again. None when it was removed before.
#[must_use]
pub fn remove(
    (version, record): (Epoch, CertificateRecord),
    actor: Actor,
    now: Timestamp,
) -> Option<Change> {
    if matches!(record.mapping, Mapping::Removed { .. }) {
        return None;
    }
    let removed = CertificateRecord {
        mapping: Mapping::Removed { at: now },
        // Programs that do not know it must read this all the same.
        whole: None,
        ..record
    };
    Some(Change::new(
        Action::CertificateRemoved,
        actor,
        now,
        vec![Write::replace(version, removed)],
    ))
}

/// Records the whole of a certificate that its client has already, when it was handed over and only now.
fn completed(
    handed: &Handed,
    known: Option<(Epoch, CertificateRecord)>,
    actor: Actor,
    now: Timestamp,
) -> Option<Change> {
    let (version, record) = known.filter(|(_, record)| record.whole.is_none())?;
    let completed = CertificateRecord {
        whole: Some(handed.whole.clone()?),
        facts: record.facts.or_else(|| handed.facts.clone()),
        ..record
    };
    let writes = vec![Write::replace(version, completed)];
    Some(Change::new(Action::CertificateLearned, actor, now, writes))
}

fn mapped(
    handed: &Handed,
    known: Option<(Epoch, CertificateRecord)>,
    (client, key): (ClientId, KeyId),
    now: Timestamp,
) -> Write {
    let mapping = Mapping::Mapped { client, key };
    let (facts, whole) = (handed.facts.clone(), handed.whole.clone());
    match known {
        Some((version, record)) => Write::replace(
            version,
            CertificateRecord {
                mapping,
                facts: facts.or(record.facts),
                whole: whole.or(record.whole),
                ..record
            },
        ),
        None => Write::create(CertificateRecord {
            facts,
            whole,
            ..CertificateRecord::new(handed.fingerprint, mapping, Source::Operator, now)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;
    use crate::pki;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn handed(name: &str) -> Handed {
        let issued = pki::leaf(name).self_signed();
        Handed::read(&issued.pem()).unwrap()
    }

    fn client(name: &str, keys: Vec<(Epoch, KeyRecord)>) -> Holdings {
        Holdings {
            client: (
                Epoch(1),
                ClientRecord::new(name.parse().unwrap(), None, NOW),
            ),
            certificates: Vec::new(),
            keys,
        }
    }

    fn reserved() -> (Epoch, KeyRecord) {
        let record = KeyRecord::reserved(KeyId::generate(), "acme".parse().unwrap(), NOW);
        (Epoch(2), record)
    }

    fn certificates(change: &Change) -> Vec<(Epoch, CertificateRecord)> {
        let records = change
            .writes
            .iter()
            .filter_map(|write| match &write.record {
                Record::Certificate(record) => Some((write.expected, record.clone())),
                _ => None,
            });
        records.collect()
    }

    fn keys(change: &Change) -> Vec<KeyId> {
        let records = change
            .writes
            .iter()
            .filter_map(|write| match &write.record {
                Record::Key(record) => Some(record.id),
                _ => None,
            });
        records.collect()
    }

    fn key_of(record: &CertificateRecord) -> KeyId {
        match &record.mapping {
            Mapping::Mapped { key, .. } => *key,
            other => panic!("{other:?}"),
        }
    }

    fn given(known: Option<(Epoch, CertificateRecord)>, to: &Holdings) -> Change {
        give(&handed("alice"), known, to, Actor::Gateway, NOW)
            .unwrap()
            .unwrap()
    }

    /// Older programs know no `whole`: what they cannot read binds none of them.
    #[test]
    fn every_program_can_read_that_a_certificate_was_removed() {
        let change = given(None, &client("acme", Vec::new()));
        let [(_, record)] = &certificates(&change)[..] else {
            panic!("{change:?}");
        };
        let json = |record: &CertificateRecord| serde_json::to_string(record).unwrap();
        assert!(json(record).contains("\"whole\""));
        let change = remove((Epoch(3), record.clone()), Actor::Gateway, NOW).unwrap();
        let removed = certificates(&change).remove(0).1;
        assert!(!json(&removed).contains("\"whole\""));
    }

    #[test]
    fn c6_a_certificate_that_is_added_or_approved_gets_no_second_key() {
        let (version, mut issued) = reserved();
        issued.issued_at = Some(NOW);
        issued.digest = serde_json::from_value(serde_json::json!({
            "pepper": 1, "bytes": "00".repeat(32)
        }))
        .unwrap();
        let issued = (version, issued);
        let revoke = |key: &(Epoch, KeyRecord)| {
            let actor = Actor::Client {
                id: key.1.client.clone(),
            };
            match key::revoke(key.clone(), actor, NOW).writes.remove(0).record {
                Record::Key(revoked) => (Epoch(4), revoked),
                other => panic!("{other:?}"),
            }
        };
        let (waiting, revoked) = (reserved(), revoke(&issued));
        for (keys, expected) in [
            (vec![issued.clone(), waiting.clone()], &issued),
            (vec![waiting.clone()], &waiting),
            (vec![revoked.clone(), waiting.clone()], &revoked),
            (vec![revoked.clone()], &revoked),
        ] {
            let change = given(None, &client("acme", keys));
            assert_eq!(key_of(&certificates(&change)[0].1), expected.1.id);
            assert_eq!(self::keys(&change), []);
        }

        // What renews another goes by the key id of that one, whatever else there is.
        let acme = client("acme", vec![issued.clone(), revoked]);
        let (_, mut old) = certificates(&given(None, &acme)).remove(0);
        old.fingerprint = Fingerprint::of(b"old");
        old.mapping = Mapping::Mapped {
            client: acme.id().clone(),
            key: waiting.1.id,
        };
        let renewal = given(None, &acme);
        let fingerprint = handed_fingerprint(&renewal);
        let change = take_over(renewal, fingerprint, Some(&(Epoch(3), old)));
        assert_eq!(key_of(&certificates(&change)[0].1), waiting.1.id);
    }

    fn handed_fingerprint(change: &Change) -> Fingerprint {
        certificates(change)[0].1.fingerprint
    }

    /// C6: else whoever holds an old certificate could claim the key that comes after one that
    /// its client gave up.
    #[test]
    fn an_old_certificate_does_not_follow_to_a_new_key_id() {
        let mut acme = client("acme", Vec::new());
        let first = certificates(&given(None, &acme)).remove(0);
        acme.certificates = vec![(Epoch(5), first.1.clone())];
        let second = give(&handed("bob"), None, &acme, Actor::Gateway, NOW);
        let written = certificates(&second.unwrap().unwrap());
        assert_eq!(written.len(), 1);
        assert_ne!(key_of(&written[0].1), key_of(&first.1));
    }

    #[test]
    fn a_certificate_belongs_to_one_client() {
        let acme = client("acme", vec![reserved()]);
        let (_, record) = certificates(&given(None, &acme)).remove(0);
        let known = Some((Epoch(3), record.clone()));
        let handed = Handed::from(&record);
        let again = |to| give(&handed, known.clone(), to, Actor::Gateway, NOW);
        assert!(again(&acme).unwrap().is_none(), "it has it already");
        let refused = again(&client("other", Vec::new())).unwrap_err();
        assert!(matches!(refused, NotGiven::AlreadyMapped(by) if by.by.as_str() == "acme"));
    }

    #[test]
    fn what_was_removed_or_waits_can_be_given_and_keeps_its_facts() {
        let acme = client("acme", vec![reserved()]);
        let (_, mut record) = certificates(&given(None, &acme)).remove(0);
        record.whole = None;
        let removed = remove((Epoch(3), record.clone()), Actor::Gateway, NOW).unwrap();
        let (_, removed) = certificates(&removed).remove(0);
        assert!(remove((Epoch(4), removed.clone()), Actor::Gateway, NOW).is_none());
        let mut pending = removed.clone();
        pending.mapping = Mapping::Pending;
        for before in [removed, pending] {
            let handed = Handed {
                fingerprint: record.fingerprint,
                facts: None,
                whole: None,
                others: 0,
            };
            let known = Some((Epoch(4), before));
            let change = give(&handed, known, &acme, Actor::Gateway, NOW);
            let (expected, after) = certificates(&change.unwrap().unwrap()).remove(0);
            assert_eq!((expected, &after), (Epoch(4), &record));
        }
    }

    #[test]
    fn an_approved_certificate_gets_a_client_of_its_own() {
        let alice = handed("Alice GmbH");
        let pending =
            CertificateRecord::new(alice.fingerprint, Mapping::Pending, Source::FirstSight, NOW)
                .with_facts(alice.facts);
        let change = approve((Epoch(6), pending), Actor::Gateway, NOW);
        let (expected, record) = certificates(&change).remove(0);
        assert!(
            matches!(&record.mapping, Mapping::Mapped { client, .. } if client.as_str().starts_with("alice-gmbh-")),
            "{record:?}"
        );
        assert_eq!((expected, keys(&change)), (Epoch(6), vec![key_of(&record)]));
        assert!(
            record
                .facts
                .is_some_and(|facts: Facts| facts.subject.contains("Alice"))
        );
    }
}
