//! Clients that come by themselves: the first sight of a verified certificate.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ClientId, ClientRecord};
use crate::certificate::{CertificateRecord, Facts, Fingerprint, Mapping, Source, Verified};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord};
use crate::store::{Action, Actor, Change, Write};

/// What becomes of a certificate that is verified and unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enrolment {
    /// Its client and key id are made at once.
    Auto,
    /// It is listed, and waits for the operator's word.
    Approve,
    /// It is refused: only certificates that the operator named are clients.
    Registered,
}

impl Enrolment {
    /// The word for the file, logs and screens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Approve => "approve",
            Self::Registered => "registered",
        }
    }
}

/// The change that `mode` makes at the first sight of `certificate`; none when it makes none.
///
/// The certificate's record must not exist yet, so of many replicas that see it at once, one makes
/// the client and its key id, and the others learn of a conflict.
#[must_use]
pub fn at_first_sight(mode: Enrolment, certificate: &Verified, now: Timestamp) -> Option<Change> {
    let (fingerprint, facts) = (*certificate.fingerprint(), certificate.facts());
    let (action, mut writes) = match mode {
        Enrolment::Auto => (
            Action::CertificateEnrolled,
            new_client(fingerprint, facts, now),
        ),
        Enrolment::Approve => {
            let record = seen(fingerprint, facts, Mapping::Pending, now);
            (Action::CertificatePending, vec![Write::create(record)])
        }
        Enrolment::Registered => return None,
    };
    if let Some(twin) = certificate.twin() {
        // It must not be known either, and never enrols from now on.
        let mut record = seen(*twin, facts, Mapping::Twin { of: fingerprint }, now);
        record.facts = None;
        writes.push(Write::create(record));
    }
    Some(Change::new(action, Actor::Gateway, now, writes))
}

/// A client, its key id without a key, and its certificate.
fn new_client(fingerprint: Fingerprint, facts: &Arc<Facts>, now: Timestamp) -> Vec<Write> {
    let id = KeyId::generate();
    let client = ClientId::suggest(facts.common_name().as_deref(), id);
    let key = KeyRecord::reserved(id, client.clone(), now);
    let mapping = Mapping::Mapped {
        client: client.clone(),
        key: id,
    };
    vec![
        Write::create(ClientRecord::new(client, Some(facts.subject.clone()), now)),
        Write::create(key),
        Write::create(seen(fingerprint, facts, mapping, now)),
    ]
}

fn seen(
    fingerprint: Fingerprint,
    facts: &Arc<Facts>,
    mapping: Mapping,
    now: Timestamp,
) -> CertificateRecord {
    CertificateRecord::new(fingerprint, mapping, Source::FirstSight, now)
        .with_facts(Some(Facts::clone(facts)))
}
