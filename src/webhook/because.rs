//! What follows from a change.

use serde_json::json;

use super::message::shown;
use super::{Kind, Message};
use crate::client::ClientId;
use crate::store::{Action, Event, Record};

/// The messages about a change, always the same and in the same order.
#[must_use]
pub fn told_by(event: &Event) -> Vec<Message> {
    let how = match event.action {
        Action::KeyIssued => "operator",
        Action::KeyClaimed => "claim",
        Action::KeyRotated => "rotation",
        _ => return Vec::new(),
    };
    let keys = event.records.iter().filter_map(|record| match record {
        // Beside it stand keys that end, and ids that are only reserved.
        Record::Key(key) if key.issued_at == Some(event.at) => Some(key),
        _ => None,
    });
    let keys = keys.filter(|key| key.digest.is_some() && key.rotated_to.is_none());
    keys.map(|key| {
        let (epoch, id) = (event.epoch.to_string(), key.id.to_string());
        let data = json!({
            "client": key.client,
            "key_id": id,
            "how": how,
            "by": shown(&event.actor.to_string()),
            "expires": key.expires_at.map(|at| at.to_string()),
            "change": event.epoch,
        });
        Message::new(Kind::KeyIssued, event.at, &[&epoch, &id], data)
    })
    .collect()
}

/// The clients that were given a certificate, which may end sooner than those that they had.
#[must_use]
pub fn newly_certified(event: &Event) -> Vec<ClientId> {
    let gives = matches!(
        event.action,
        Action::CertificateEnrolled
            | Action::CertificateAdded
            | Action::CertificateRenewed
            | Action::CertificateLearned
            | Action::CertificateRestored
    );
    if !gives {
        return Vec::new();
    }
    let certificates = event.records.iter().filter_map(|record| match record {
        Record::Certificate(certificate) if certificate.facts.is_some() => record.owner(),
        _ => None,
    });
    let mut clients: Vec<_> = certificates.cloned().collect();
    clients.sort_unstable();
    clients.dedup();
    clients
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{CertificateRecord, Facts, Fingerprint, Mapping, Source};
    use crate::clock::Timestamp;
    use crate::key::{ApiKey, Format, KeyId, KeyRecord, Pepper, Peppers};
    use crate::secret::SecretBytes;
    use crate::store::{Actor, Change, Head, Write};

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn event(action: Action, records: Vec<Record>) -> Event {
        let writes = records.into_iter().map(Write::create).collect();
        let operator = Actor::Operator {
            name: "eve\u{202e}".to_owned(),
        };
        Event::of(&Change::new(action, operator, NOW, writes), Head::default())
    }

    fn issued(id: KeyId) -> KeyRecord {
        let secret = SecretBytes::new(vec![1; 32]);
        let peppers = Peppers::new(Pepper::new(1, &secret), []);
        let key = ApiKey::generate(id, &Format::new("kf", "live").unwrap());
        KeyRecord {
            digest: Some(key.unwrap().digest(&peppers)),
            issued_at: Some(NOW),
            ..KeyRecord::reserved(id, "acme".parse().unwrap(), NOW)
        }
    }

    #[test]
    fn each_key_that_is_issued_is_told_of_and_what_stands_beside_it_is_not() {
        let [one, other, old, reserved] = [(); 4].map(|()| KeyId::generate());
        let rotated = KeyRecord {
            rotated_to: Some(one),
            ..issued(old)
        };
        let reserved = KeyRecord::reserved(reserved, "acme".parse().unwrap(), NOW);
        let records = [issued(one), rotated, reserved, issued(other)];
        let records: Vec<_> = records.into_iter().map(Record::from).collect();
        let told = told_by(&event(Action::KeyRotated, records.clone()));
        let ids: Vec<_> = told
            .iter()
            .map(|told| told.data["key_id"].clone())
            .collect();
        assert_eq!(ids, [one.to_string(), other.to_string()]);
        assert_eq!(told[0].data["by"], "operator eve\\u{202e}");
        assert_ne!(told[0].id, told[1].id);
        assert_eq!(told_by(&event(Action::KeyDigestRenewed, records)), []);
    }

    #[test]
    fn whoever_is_given_a_certificate_is_looked_at_and_nobody_for_a_record_that_is_written_again() {
        let mapping = Mapping::Mapped {
            client: "acme".parse().unwrap(),
            key: KeyId::generate(),
        };
        let named = CertificateRecord::new(
            Fingerprint::of(b"a"),
            mapping.clone(),
            Source::FirstSight,
            NOW,
        );
        let known = CertificateRecord {
            fingerprint: Fingerprint::of(b"b"),
            ..named.clone()
        };
        let known = known.with_facts(Some(Facts {
            subject: String::new(),
            issuer: String::new(),
            alternative_names: Vec::new(),
            serial: String::new(),
            spki: String::new(),
            not_before: NOW,
            not_after: NOW,
        }));
        let clients = |action, record: &CertificateRecord| {
            newly_certified(&event(action, vec![record.clone().into()])).len()
        };
        assert_eq!(clients(Action::CertificateEnrolled, &known), 1);
        assert_eq!(
            clients(Action::CertificateAdded, &named),
            0,
            "its end is unknown"
        );
        assert_eq!(clients(Action::KeyClaimed, &known), 0);
    }
}
