//! Clients that come by themselves: the first sight of a verified certificate.

use serde::{Deserialize, Serialize};

use super::{ClientId, ClientRecord};
use crate::certificate::{CertificateRecord, Facts, Mapping, Source, Verified, Whole};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord};
use crate::store::{Action, Actor, Change, Epoch, Write};

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

/// The change that `mode` makes at the first sight of `certificate`, which the authority `ca`
/// issued; none when it makes none.
///
/// The certificate's record must not exist yet, so of many replicas that see it at once, one makes
/// the client and its key id, and the others learn of a conflict.
#[must_use]
pub fn at_first_sight(
    mode: Enrolment,
    certificate: &Verified,
    ca: &str,
    now: Timestamp,
) -> Option<Change> {
    let (action, mut writes) = match mode {
        Enrolment::Auto => (
            Action::CertificateEnrolled,
            new_client(certificate, ca, now),
        ),
        Enrolment::Approve => {
            let record = seen(certificate, ca, Mapping::Pending, now);
            (Action::CertificatePending, vec![Write::create(record)])
        }
        Enrolment::Registered => return None,
    };
    writes.extend(twin(certificate, now));
    Some(Change::new(action, Actor::Gateway, now, writes))
}

/// The change that records what a certificate says which the operator only named, and that the
/// authority `ca` issued it, now that it was verified; none when that is recorded, or when it
/// identifies nobody any more. Nothing else of the record changes. All of it is recorded when it is
/// given as well.
///
/// Its other form is recorded as at a first sight, unless that `is_twin_known`.
#[must_use]
pub fn learned(
    (version, record): (Epoch, CertificateRecord),
    (certificate, whole): (&Verified, Option<&Whole>),
    ca: &str,
    is_twin_known: bool,
    now: Timestamp,
) -> Option<Change> {
    let is_mapped = matches!(record.mapping, Mapping::Mapped { .. });
    let is_known = record.is_learned() && (record.whole.is_some() || whole.is_none());
    if is_known || !is_mapped || record.fingerprint != *certificate.fingerprint() {
        return None;
    }
    let learned = CertificateRecord {
        ca: record.ca.or_else(|| Some(ca.to_owned())),
        facts: record
            .facts
            .or_else(|| Some(Facts::clone(certificate.facts()))),
        whole: record.whole.or_else(|| whole.cloned()),
        ..record
    };
    let twin = twin(certificate, now).filter(|_| !is_twin_known);
    let writes = std::iter::once(Write::replace(version, learned)).chain(twin);
    let (action, writes) = (Action::CertificateLearned, writes.collect());
    Some(Change::new(action, Actor::Gateway, now, writes))
}

/// A client, its key id without a key, and its certificate.
fn new_client(certificate: &Verified, ca: &str, now: Timestamp) -> Vec<Write> {
    let facts = certificate.facts();
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
        Write::create(seen(certificate, ca, mapping, now)),
    ]
}

/// The other form of the certificate: it must not be known either, and never enrols from now on.
pub(super) fn twin(certificate: &Verified, now: Timestamp) -> Option<Write> {
    let of = *certificate.fingerprint();
    let twin = *certificate.twin()?;
    let record = CertificateRecord::new(twin, Mapping::Twin { of }, Source::FirstSight, now);
    Some(Write::create(record))
}

/// A certificate that is seen for the first time.
pub(super) fn seen(
    certificate: &Verified,
    ca: &str,
    mapping: Mapping,
    now: Timestamp,
) -> CertificateRecord {
    let fingerprint = *certificate.fingerprint();
    CertificateRecord {
        ca: Some(ca.to_owned()),
        facts: Some(Facts::clone(certificate.facts())),
        ..CertificateRecord::new(fingerprint, mapping, Source::FirstSight, now)
    }
}
