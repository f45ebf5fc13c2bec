//! Taking a revocation back.

use std::time::Duration;

use super::{KeyId, KeyRecord, KeyStatus};
use crate::client::{Disabled, Holdings, TooManyKeys};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Write};

/// Why a revocation stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRestored {
    /// The client is disabled.
    #[error(transparent)]
    Disabled(#[from] Disabled),
    /// It is none of the client's.
    #[error("there is no key {0}; see: keyferry key list")]
    Unknown(KeyId),
    /// It was revoked too long ago.
    #[error(
        "the key {0} was revoked at {1}, too long ago to take that back (key.restore_window); issue another with: keyferry key issue"
    )]
    TooLate(KeyId, Timestamp),
    /// It would have ended meanwhile.
    #[error(
        "the key {0} ended by itself at {1}; issue another with: keyferry key issue, or key rotate"
    )]
    Ended(KeyId, Timestamp),
    /// Another key took its place before.
    #[error("the key {0} was rotated to {1}, which is the one to use")]
    Rotated(KeyId, KeyId),
    /// The client has got another key since.
    #[error(
        "the client has got the key {1} since the key {0} was revoked; both at once would be one too many. To end that one: keyferry key revoke {1}"
    )]
    Replaced(KeyId, KeyId),
    /// The client has as many keys as it may have without it.
    #[error(transparent)]
    TooMany(#[from] TooManyKeys),
}

/// Lets the key `id` work again that was revoked less than `window` ago, by whomever. None when it
/// is not revoked. The client may then have no more than `most` keys that can be used. A key stays
/// revoked once another one took its place: whoever revoked it then went on without it.
///
/// # Errors
///
/// [`NotRestored`].
pub fn restore(
    of: &Holdings,
    id: KeyId,
    window: Duration,
    most: usize,
    actor: Actor,
    now: Timestamp,
) -> Result<Option<Change>, NotRestored> {
    let known = of.keys.iter().find(|(_, key)| key.id == id);
    let (version, key) = known.ok_or(NotRestored::Unknown(id))?;
    let KeyStatus::Revoked { at, .. } = key.status else {
        return Ok(None);
    };
    of.expect_active()?;
    if now >= at.plus(window) {
        return Err(NotRestored::TooLate(id, at));
    }
    if let Some(end) = key.expires_at.filter(|end| now >= *end) {
        return Err(NotRestored::Ended(id, end));
    }
    if let Some(next) = key.rotated_to {
        return Err(NotRestored::Rotated(id, next));
    }
    let mut others = of.keys.iter().map(|(_, key)| key);
    let since = |key: &&KeyRecord| key.id != id && key.issued_at.is_some_and(|issued| issued >= at);
    if let Some(other) = others.find(since) {
        return Err(NotRestored::Replaced(id, other.id));
    }
    of.expect_room(most, now)?;
    let restored = KeyRecord {
        status: KeyStatus::Active,
        ..key.clone()
    };
    let writes = vec![of.hold(), Write::replace(*version, restored)];
    Ok(Some(Change::new(Action::KeyRestored, actor, now, writes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{self, ClientRecord};
    use crate::key::{ApiKey, Format, Pepper, Peppers, RevokedBy};
    use crate::secret::Secret;
    use crate::store::{Epoch, Record};

    const REVOKED: Timestamp = Timestamp::from_unix(1_800_000_000);
    const WINDOW: Duration = Duration::from_hours(24);

    fn key(issued: Timestamp) -> KeyRecord {
        let format = Format::new("kf", "live").unwrap();
        let peppers = Peppers::new(Pepper::new(1, &Secret::new(vec![9; 32])), []);
        let key = ApiKey::generate(KeyId::generate(), &format).unwrap();
        KeyRecord {
            digest: Some(key.digest(&peppers)),
            issued_at: Some(issued),
            ..KeyRecord::reserved(key.id(), "acme".parse().unwrap(), issued)
        }
    }

    fn revoked() -> KeyRecord {
        KeyRecord {
            status: KeyStatus::Revoked {
                at: REVOKED,
                by: RevokedBy::Operator,
            },
            ..key(Timestamp::from_unix(1_700_000_000))
        }
    }

    fn of(keys: Vec<KeyRecord>) -> Holdings {
        let client = ClientRecord::new("acme".parse().unwrap(), None, REVOKED);
        Holdings {
            client: (Epoch(1), client),
            certificates: Vec::new(),
            keys: keys.into_iter().map(|key| (Epoch(2), key)).collect(),
        }
    }

    fn after(of: &Holdings, seconds: u64) -> Result<Option<Change>, NotRestored> {
        let now = REVOKED.plus(Duration::from_secs(seconds));
        restore(of, of.keys[0].1.id, WINDOW, 2, Actor::Gateway, now)
    }

    #[test]
    fn k10_a_revocation_is_taken_back_within_the_window_and_not_a_second_later() {
        let of = of(vec![revoked(), key(Timestamp::from_unix(1_750_000_000))]);
        let change = after(&of, 86_399).unwrap().unwrap();
        let restored = change.writes.iter().find_map(|write| match &write.record {
            Record::Key(key) => Some(key.status),
            _ => None,
        });
        assert_eq!(restored, Some(KeyStatus::Active));
        assert!(matches!(after(&of, 86_400), Err(NotRestored::TooLate(..))));
    }

    #[test]
    fn k10_what_ended_otherwise_or_was_replaced_stays_as_it_is() {
        let expired = KeyRecord {
            expires_at: Some(REVOKED.plus(Duration::from_mins(1))),
            ..revoked()
        };
        assert!(after(&of(vec![expired.clone()]), 59).is_ok());
        let refused = after(&of(vec![expired]), 60);
        assert!(matches!(refused, Err(NotRestored::Ended(..))));
        let rotated = KeyRecord {
            rotated_to: Some(KeyId::generate()),
            ..revoked()
        };
        let refused = after(&of(vec![rotated]), 1);
        assert!(matches!(refused, Err(NotRestored::Rotated(..))));
        for since in [0, 30] {
            let next = key(REVOKED.plus(Duration::from_secs(since)));
            let refused = after(&of(vec![revoked(), next]), 60);
            assert!(matches!(refused, Err(NotRestored::Replaced(..))));
        }
    }

    #[test]
    fn what_is_taken_back_is_one_of_as_many_keys_as_there_may_be() {
        let before = || key(Timestamp::from_unix(1_750_000_000));
        assert!(after(&of(vec![revoked(), before()]), 1).is_ok());
        let refused = after(&of(vec![revoked(), before(), before()]), 1);
        assert!(matches!(refused, Err(NotRestored::TooMany(_))));
    }

    #[test]
    fn what_is_not_revoked_is_left_alone_and_a_disabled_client_gets_nothing() {
        let active = of(vec![key(REVOKED)]);
        assert!(after(&active, 1).unwrap().is_none());
        let mut of = of(vec![revoked()]);
        let change = client::disable(of.client.clone(), Actor::Gateway, REVOKED).unwrap();
        let Record::Client(disabled) = change.writes[0].record.clone() else {
            panic!("{change:?}");
        };
        of.client.1 = disabled;
        assert!(matches!(after(&of, 1), Err(NotRestored::Disabled(_))));
    }
}
