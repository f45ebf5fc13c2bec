//! Issuing: the operator gives a client its key.

use super::{ApiKey, Format, KeyId, KeyRecord, Peppers, Scope};
use crate::client::{Disabled, Holdings, TooManyKeys};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};

/// How a key that is issued shall be.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The first moment at which it is no longer good; none when it does not end by itself.
    pub expires_at: Option<Timestamp>,
    /// What it may be used for, where routes ask for scopes.
    pub scopes: Vec<Scope>,
}

/// Why no key was issued.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// The client is disabled.
    #[error(transparent)]
    Disabled(#[from] Disabled),
    /// It has as many as it may have.
    #[error(transparent)]
    TooMany(#[from] TooManyKeys),
    /// The system has no randomness to give.
    #[error("the system has no randomness to give: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// Issues a key, once the change is carried out. A client that has only a reserved key id gets the
/// key under that id, so that backends see the same one before and after. Otherwise it gets a new
/// id. The client's certificates then map to the key; its earlier keys go on as they were, of which
/// there may be fewer than `most`.
///
/// # Errors
///
/// [`NotIssued`].
pub fn issue(
    to: &Holdings,
    wish: Wish,
    most: usize,
    (format, peppers): (&Format, &Peppers),
    actor: Actor,
    now: Timestamp,
) -> Result<(ApiKey, Change), NotIssued> {
    to.expect_active()?;
    to.expect_room(most, now)?;
    let reserved = match to.newest_issued(now) {
        Some(_) => None,
        None => to.reserved(now).cloned(),
    };
    let (expected, record) = reserved.unwrap_or_else(|| {
        let record = KeyRecord::reserved(KeyId::generate(), to.id().clone(), now);
        (Epoch::NONE, record)
    });
    let key = ApiKey::generate(record.id, format)?;
    let issued = KeyRecord {
        digest: Some(key.digest(peppers)),
        issued_at: Some(now),
        expires_at: wish.expires_at,
        scopes: wish.scopes,
        receipt: None,
        ..record
    };
    let mut writes = vec![
        to.hold(),
        Write {
            expected,
            record: issued.into(),
        },
    ];
    writes.extend(to.map_to(key.id()));
    let change = Change::new(Action::KeyIssued, actor, now, writes);
    Ok((key, change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
    use crate::client::{self, ClientId, ClientRecord};
    use crate::key::{Pepper, revoke};
    use crate::secret::Secret;
    use crate::store::Record;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    const MOST: usize = 3;

    fn format() -> Format {
        Format::new("kf", "live").unwrap()
    }

    fn peppers() -> Peppers {
        Peppers::new(Pepper::new(1, &Secret::new(vec![0; 32])), [])
    }

    fn holdings(keys: Vec<(Epoch, KeyRecord)>, mapped_to: Option<KeyId>) -> Holdings {
        let id: ClientId = "acme".parse().unwrap();
        let certificate = mapped_to.map(|key| {
            let record = CertificateRecord::new(
                Fingerprint::of(b"a certificate"),
                Mapping::Mapped {
                    client: id.clone(),
                    key,
                },
                Source::Operator,
                NOW,
            );
            (Epoch(3), record)
        });
        Holdings {
            client: (Epoch(1), ClientRecord::new(id, None, NOW)),
            certificates: certificate.into_iter().collect(),
            keys,
        }
    }

    fn reserved() -> KeyRecord {
        KeyRecord::reserved(KeyId::generate(), "acme".parse().unwrap(), NOW)
    }

    fn issued(wish: Wish, to: &Holdings) -> (ApiKey, KeyRecord, Epoch, Change) {
        let by = (&format(), &peppers());
        let (key, change) = issue(to, wish, MOST, by, Actor::Gateway, NOW).unwrap();
        let mut found = change
            .writes
            .iter()
            .filter_map(|write| match &write.record {
                Record::Key(record) => Some((record.clone(), write.expected)),
                _ => None,
            });
        let (record, expected) = found.next().unwrap();
        assert!(found.next().is_none() && record.id == key.id());
        (key, record, expected, change)
    }

    fn mapped_to(change: &Change) -> Vec<KeyId> {
        let mapped = change
            .writes
            .iter()
            .filter_map(|write| match &write.record {
                Record::Certificate(CertificateRecord {
                    mapping: Mapping::Mapped { key, .. },
                    ..
                }) => Some(*key),
                _ => None,
            });
        mapped.collect()
    }

    #[test]
    fn a_reserved_key_id_gets_the_key() {
        let reserved = reserved();
        let to = holdings(vec![(Epoch(2), reserved.clone())], Some(reserved.id));
        let wish = Wish {
            expires_at: Some(NOW.plus(std::time::Duration::from_mins(1))),
            scopes: vec!["orders:read".parse().unwrap()],
        };
        let (key, record, expected, change) = issued(wish.clone(), &to);
        assert_eq!((key.id(), expected), (reserved.id, Epoch(2)));
        assert!(key.matches(record.digest.as_ref(), &peppers()));
        assert_eq!(
            (record.issued_at, record.expires_at, record.scopes),
            (Some(NOW), wish.expires_at, wish.scopes)
        );
        assert_eq!(mapped_to(&change), [], "they map to it already");
    }

    #[test]
    fn a_second_key_has_an_id_of_its_own_to_which_the_certificates_then_map() {
        let (_, first, ..) = issued(Wish::default(), &holdings(Vec::new(), None));
        let before = first.id;
        let to = holdings(vec![(Epoch(2), first)], Some(before));
        let (key, _, expected, change) = issued(Wish::default(), &to);
        assert!(key.id() != before && expected == Epoch::NONE);
        assert_eq!(mapped_to(&change), [key.id()]);
    }

    #[test]
    fn a_revoked_id_is_not_used_again() {
        let (_, first, ..) = issued(Wish::default(), &holdings(Vec::new(), None));
        for record in [first, reserved()] {
            let change = revoke((Epoch(2), record.clone()), Actor::Gateway, NOW);
            let Record::Key(revoked) = change.writes[0].record.clone() else {
                panic!("{change:?}");
            };
            let to = holdings(vec![(Epoch(4), revoked)], Some(record.id));
            let (key, _, _, change) = issued(Wish::default(), &to);
            assert_ne!(key.id(), record.id);
            assert_eq!(mapped_to(&change), [key.id()]);
        }
    }

    #[test]
    fn there_are_only_so_many_keys_that_can_be_used_at_the_same_time() {
        let mut to = holdings(Vec::new(), None);
        for version in 0..3 {
            let (_, key, ..) = issued(Wish::default(), &to);
            to.keys.push((Epoch(version), key));
        }
        // What is only reserved is no key.
        to.keys.push((Epoch(9), reserved()));
        let again = |to: &Holdings| {
            let by = (&format(), &peppers());
            issue(to, Wish::default(), MOST, by, Actor::Gateway, NOW).map(drop)
        };
        let refused = again(&to);
        let Err(NotIssued::TooMany(TooManyKeys {
            has: 3, most: 3, ..
        })) = refused
        else {
            panic!("{refused:?}");
        };
        to.keys[0].1.expires_at = Some(NOW);
        assert!(again(&to).is_ok(), "one has ended");
    }

    #[test]
    fn two_keys_that_are_issued_at_once_conflict() {
        let to = holdings(Vec::new(), None);
        let expects = |change: &Change| {
            let ids = change.writes.iter().map(|w| (w.expected, w.record.id()));
            ids.collect::<Vec<_>>()
        };
        let (_, _, _, one) = issued(Wish::default(), &to);
        let (_, _, _, other) = issued(Wish::default(), &to);
        let both = |id: &_| expects(&other).contains(id) && id.0 != Epoch::NONE;
        assert!(expects(&one).iter().any(both), "{one:?} {other:?}");
    }

    #[test]
    fn k11_a_disabled_client_gets_no_key() {
        let mut to = holdings(Vec::new(), None);
        let change = client::disable(to.client.clone(), Actor::Gateway, NOW).unwrap();
        let Record::Client(disabled) = change.writes[0].record.clone() else {
            panic!("{change:?}");
        };
        to.client = (Epoch(2), disabled);
        let refused = issue(
            &to,
            Wish::default(),
            MOST,
            (&format(), &peppers()),
            Actor::Gateway,
            NOW,
        );
        assert!(matches!(refused, Err(NotIssued::Disabled(_))));
    }
}
