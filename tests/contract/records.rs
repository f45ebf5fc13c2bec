//! Records and changes to try with.

use keyferry::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use keyferry::client::{ClientId, ClientRecord, ClientStatus};
use keyferry::clock::Timestamp;
use keyferry::key::{KeyId, KeyRecord};
use keyferry::store::{
    Action, Actor, Change, CommitError, Committed, Epoch, Record, RecordId, Store, Write,
};

pub(crate) const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

pub(crate) fn client_id(id: &str) -> ClientId {
    id.parse().unwrap()
}

pub(crate) fn id(id: &str) -> RecordId {
    RecordId::Client(client_id(id))
}

pub(crate) fn client(id: &str) -> ClientRecord {
    ClientRecord::new(client_id(id), None, NOW)
}

/// The client with something to tell its versions apart.
pub(crate) fn described(id: &str, description: &str) -> ClientRecord {
    ClientRecord::new(client_id(id), Some(description.to_owned()), NOW)
}

pub(crate) fn disabled(id: &str) -> ClientRecord {
    ClientRecord {
        status: ClientStatus::Disabled { at: NOW },
        ..client(id)
    }
}

pub(crate) fn description(record: &Record) -> Option<&str> {
    match record {
        Record::Client(client) => client.description.as_deref(),
        Record::Certificate(_) | Record::Alias(_) | Record::Key(_) | Record::Phase(_) => None,
    }
}

pub(crate) fn change(writes: Vec<Write>) -> Change {
    Change::new(
        Action::ClientAdded,
        Actor::Operator {
            name: "root".to_owned(),
        },
        NOW,
        writes,
    )
}

pub(crate) fn create(record: impl Into<Record>) -> Change {
    change(vec![Write::create(record)])
}

pub(crate) fn replace(version: Epoch, record: impl Into<Record>) -> Change {
    change(vec![Write::replace(version, record)])
}

/// The first sight of a certificate: a client, a key id and the mapping, all new.
pub(crate) fn enrolment(fingerprint: Fingerprint) -> Change {
    let id = KeyId::generate();
    let client = ClientId::suggest(Some("acme"), id);
    let key = KeyRecord::reserved(id, client.clone(), NOW);
    let certificate = CertificateRecord::new(
        fingerprint,
        Mapping::Mapped {
            client: client.clone(),
            key: key.id,
        },
        Source::FirstSight,
        NOW,
    );
    Change::new(
        Action::CertificateEnrolled,
        Actor::Gateway,
        NOW,
        vec![
            Write::create(ClientRecord::new(client, None, NOW)),
            Write::create(key),
            Write::create(certificate),
        ],
    )
}

/// Carries out one change after another, each on what the one before left, until told to stop.
pub(crate) async fn count_up(store: &dyn Store, name: &str, times: u32) {
    let mut version = Epoch::NONE;
    for n in 0..times {
        let next = replace(version, described(name, &n.to_string()));
        version = store.commit(&next).await.unwrap().epoch;
    }
}

pub(crate) fn conflict(result: Result<Committed, CommitError>) -> Option<RecordId> {
    match result {
        Err(CommitError::Conflict(id)) => Some(id),
        Ok(_) => None,
        Err(CommitError::Store(error)) => panic!("{error}"),
    }
}
