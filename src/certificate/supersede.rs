//! Certificates that a newer one has taken the place of.

use super::{CertificateRecord, Mapping};
use crate::client::{Disabled, Holdings};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};

/// The certificate identifies nobody, so that nothing can take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it identifies no client, so no newer one takes its place; see: keyferry certificate list")]
pub struct NotMapped;

/// Lets the certificate that was read identify nobody any more, since a newer one of its client
/// took its place. None when it was superseded before.
///
/// # Errors
///
/// [`NotMapped`].
pub fn supersede(
    (version, record): (Epoch, CertificateRecord),
    actor: Actor,
    now: Timestamp,
) -> Result<Option<Change>, NotMapped> {
    let mapping = match &record.mapping {
        Mapping::Superseded { .. } => return Ok(None),
        Mapping::Mapped { client, key } => Mapping::Superseded {
            client: client.clone(),
            key: *key,
            at: now,
        },
        Mapping::Pending | Mapping::Twin { .. } | Mapping::Removed { .. } => return Err(NotMapped),
    };
    let record = CertificateRecord {
        mapping,
        // Programs that do not know it must read this all the same.
        whole: None,
        ..record
    };
    let writes = vec![Write::replace(version, record)];
    let action = Action::CertificateSuperseded;
    Ok(Some(Change::new(action, actor, now, writes)))
}

/// Lets a certificate that was superseded identify its client `to` again: under the key that the
/// client has by now, or else under the key id that it had; never under one that waits for another
/// certificate to claim it. None when it is not superseded.
///
/// # Errors
///
/// When the client is disabled.
pub fn restore(
    (version, record): (Epoch, CertificateRecord),
    to: &Holdings,
    actor: Actor,
    now: Timestamp,
) -> Result<Option<Change>, Disabled> {
    let Mapping::Superseded { key, client, .. } = &record.mapping else {
        return Ok(None);
    };
    to.expect_active()?;
    let mapping = Mapping::Mapped {
        client: client.clone(),
        key: to.newest_issued(now).map_or(*key, |(_, key)| key.id),
    };
    let record = CertificateRecord { mapping, ..record };
    let writes = vec![to.hold(), Write::replace(version, record)];
    let action = Action::CertificateRestored;
    Ok(Some(Change::new(action, actor, now, writes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Fingerprint, Source};
    use crate::client::{ClientId, ClientRecord};
    use crate::key::{KeyId, KeyRecord};
    use crate::store::Record;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn written(change: &Change) -> CertificateRecord {
        let found = change.writes.iter().find_map(|write| match &write.record {
            Record::Certificate(record) => Some(record.clone()),
            _ => None,
        });
        found.unwrap()
    }

    #[test]
    fn what_was_superseded_is_restored_under_the_key_of_today() {
        let client: ClientId = "acme".parse().unwrap();
        let key = KeyRecord::reserved(KeyId::generate(), client.clone(), NOW);
        let mapping = Mapping::Mapped {
            client: client.clone(),
            key: key.id,
        };
        let fingerprint = Fingerprint::of(b"old");
        let old = CertificateRecord::new(fingerprint, mapping, Source::Operator, NOW);
        let change = supersede((Epoch(1), old.clone()), Actor::Gateway, NOW);
        let superseded = written(&change.unwrap().unwrap());
        let whole = CertificateRecord {
            whole: Some(b"old".to_vec().into()),
            ..old.clone()
        };
        let change = supersede((Epoch(1), whole), Actor::Gateway, NOW);
        assert_eq!(written(&change.unwrap().unwrap()), superseded);
        assert!(matches!(superseded.mapping, Mapping::Superseded { .. }));
        let again = supersede((Epoch(2), superseded.clone()), Actor::Gateway, NOW);
        assert!(again.unwrap().is_none());

        let mut to = Holdings {
            client: (Epoch(3), ClientRecord::new(client.clone(), None, NOW)),
            certificates: Vec::new(),
            keys: vec![(Epoch(3), key.clone())],
        };
        let back = |to: &Holdings| restore((Epoch(2), superseded.clone()), to, Actor::Gateway, NOW);
        assert_eq!(written(&back(&to).unwrap().unwrap()), old);
        to.keys.clear();
        assert_eq!(written(&back(&to).unwrap().unwrap()), old);
        // C6: this id waits for a certificate that was added meanwhile.
        let next = KeyRecord::reserved(KeyId::generate(), client, NOW);
        to.keys.push((Epoch(4), next.clone()));
        assert_eq!(written(&back(&to).unwrap().unwrap()), old);
        let digest = serde_json::json!({ "pepper": 1, "bytes": "00".repeat(32) });
        to.keys[0].1 = KeyRecord {
            digest: serde_json::from_value(digest).unwrap(),
            issued_at: Some(NOW),
            ..next.clone()
        };
        let restored = written(&back(&to).unwrap().unwrap());
        assert!(matches!(restored.mapping, Mapping::Mapped { key, .. } if key == next.id));
        to.client.1.status = crate::client::ClientStatus::Disabled { at: NOW };
        assert!(back(&to).is_err());
        assert!(
            restore((Epoch(2), old), &to, Actor::Gateway, NOW)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn what_identifies_nobody_cannot_be_superseded() {
        for mapping in [Mapping::Pending, Mapping::Removed { at: NOW }] {
            let fingerprint = Fingerprint::of(b"nobody's");
            let record = CertificateRecord::new(fingerprint, mapping, Source::FirstSight, NOW);
            assert_eq!(
                supersede((Epoch(1), record), Actor::Gateway, NOW).err(),
                Some(NotMapped)
            );
        }
    }
}
