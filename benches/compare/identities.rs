//! Identities in a store: each a client with a key and a certificate.

use anyhow::{Context as _, Result};
use keyferry::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use keyferry::client::{ClientId, ClientRecord};
use keyferry::clock::Timestamp;
use keyferry::key::{ApiKey, Format, KeyId, KeyRecord, Peppers};
use keyferry::store::{Action, Actor, Change, Store, Write};

/// How many identities are written in one change.
const AT_ONCE: usize = 200;

/// A client, and what it can prove itself with.
pub(crate) struct Identity {
    pub(crate) client: ClientId,
    pub(crate) key_id: KeyId,
    pub(crate) key: ApiKey,
    pub(crate) certificate: Fingerprint,
}

/// Makes an identity for each of `certificates`.
pub(crate) fn make(
    certificates: impl IntoIterator<Item = Fingerprint>,
    format: &Format,
) -> Result<Vec<Identity>> {
    let one = |(number, certificate): (usize, Fingerprint)| {
        let key_id = KeyId::generate();
        Ok(Identity {
            client: format!("client-{number:05}").parse()?,
            key_id,
            key: ApiKey::generate(key_id, format)?,
            certificate,
        })
    };
    certificates.into_iter().enumerate().map(one).collect()
}

/// Writes them all into `store`, as the operator would.
pub(crate) async fn write(
    identities: &[Identity],
    store: &dyn Store,
    peppers: &Peppers,
    now: Timestamp,
) -> Result<()> {
    for some in identities.chunks(AT_ONCE) {
        let change = Change::new(
            Action::KeyIssued,
            Actor::Operator {
                name: "bench".to_owned(),
            },
            now,
            some.iter()
                .flat_map(|identity| records(identity, peppers, now))
                .collect(),
        );
        store.commit(&change).await.context("writing identities")?;
    }
    Ok(())
}

fn records(identity: &Identity, peppers: &Peppers, now: Timestamp) -> [Write; 3] {
    let client = identity.client.clone();
    let mut key = KeyRecord::reserved(identity.key_id, client.clone(), now);
    key.digest = Some(identity.key.digest(peppers));
    key.issued_at = Some(now);
    let certificate = CertificateRecord::new(
        identity.certificate,
        Mapping::Mapped {
            client: client.clone(),
            key: identity.key_id,
        },
        Source::Operator,
        now,
    );
    [
        Write::create(ClientRecord::new(client, None, now)),
        Write::create(key),
        Write::create(certificate),
    ]
}
