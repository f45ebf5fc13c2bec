//! What the operator does to clients.

use super::{ClientId, ClientRecord, ClientStatus};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};

/// Makes a client, without any credential. There must be none of that name, not even a disabled
/// one: a name is never reused.
#[must_use]
pub fn add(id: ClientId, description: Option<String>, actor: Actor, now: Timestamp) -> Change {
    Change::new(
        Action::ClientAdded,
        actor,
        now,
        vec![Write::create(ClientRecord::new(id, description, now))],
    )
}

/// Disables the client that was read: neither its certificates nor its keys are accepted any more.
/// None when they are not anyway.
#[must_use]
pub fn disable(read: (Epoch, ClientRecord), actor: Actor, now: Timestamp) -> Option<Change> {
    let disabled = ClientStatus::Disabled { at: now };
    read.1
        .is_active()
        .then(|| switch(read, disabled, Action::ClientDisabled, actor, now))
}

/// Enables the client that was read, with the certificates and keys that it has. None when it is
/// active.
#[must_use]
pub fn enable(read: (Epoch, ClientRecord), actor: Actor, now: Timestamp) -> Option<Change> {
    let active = ClientStatus::Active;
    (!read.1.is_active()).then(|| switch(read, active, Action::ClientEnabled, actor, now))
}

fn switch(
    (version, record): (Epoch, ClientRecord),
    status: ClientStatus,
    action: Action,
    actor: Actor,
    now: Timestamp,
) -> Change {
    Change::new(
        action,
        actor,
        now,
        vec![Write::replace(version, ClientRecord { status, ..record })],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Record;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn client(change: &Change) -> (Epoch, ClientRecord) {
        match change.writes.as_slice() {
            [
                Write {
                    expected,
                    record: Record::Client(record),
                },
            ] => (*expected, record.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_client_is_added_where_there_is_none() {
        let id: ClientId = "acme".parse().unwrap();
        let change = add(id.clone(), None, Actor::Gateway, NOW);
        assert_eq!(
            client(&change),
            (Epoch::NONE, ClientRecord::new(id, None, NOW))
        );
    }

    #[test]
    fn a_client_is_disabled_and_enabled_once() {
        let read = client(&add("acme".parse().unwrap(), None, Actor::Gateway, NOW)).1;
        assert!(enable((Epoch(1), read.clone()), Actor::Gateway, NOW).is_none());
        let change = disable((Epoch(1), read.clone()), Actor::Gateway, NOW).unwrap();
        let (expected, disabled) = client(&change);
        assert_eq!(
            (expected, disabled.status),
            (Epoch(1), ClientStatus::Disabled { at: NOW })
        );
        assert!(disable((Epoch(2), disabled.clone()), Actor::Gateway, NOW).is_none());
        let change = enable((Epoch(2), disabled), Actor::Gateway, NOW).unwrap();
        assert_eq!(client(&change), (Epoch(2), read));
    }
}
