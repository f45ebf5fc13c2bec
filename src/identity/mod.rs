//! Who calls: from what was presented to one identity, the same by certificate and by key.

mod check;
mod lapsed;
mod proof;

pub use check::{Checked, check};
pub use lapsed::{Grace, Purpose};
pub use proof::Proof;

use std::sync::Arc;

use crate::certificate::{CaIndex, Fingerprint, Mapping, Reason, Rejected, Verified};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::credential::{Assurance, Presented, PresentedCertificate, PresentedKey};
use crate::directory::View;
use crate::key::{ApiKey, Digest, KeyFault, KeyId, Malformed, Peppers, Scope};
use crate::phase::InForce;
use crate::store::RecordId;

/// Somebody whom the directory knows, and how that was proven. Only [`resolve`] makes one:
///
/// ```compile_fail,E0451
/// use keyferry::identity::{Identity, Proof};
/// fn forged(other: Identity) -> Identity {
///     Identity { proof: Proof::Key, ..other }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Identity {
    client: ClientId,
    key: KeyId,
    scopes: Vec<Scope>,
    proof: Proof,
    certificate: Option<(Fingerprint, Assurance)>,
    unlearned: Option<Box<Verified>>,
    renewed: Option<Box<Digest>>,
    beside: Option<Reason>,
    lapsed: bool,
    phase: Option<Arc<InForce>>,
}

impl Identity {
    /// The client.
    #[must_use]
    pub const fn client(&self) -> &ClientId {
        &self.client
    }

    /// The key id that backends see.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// What the key may be used for.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// How it was proven.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// The certificate, good and its own, that it was proven by, alone or beside a key.
    #[must_use]
    pub fn certificate(&self) -> Option<&Fingerprint> {
        self.certificate
            .as_ref()
            .map(|(certificate, _)| certificate)
    }

    /// How it is known that the client holds the key of that certificate.
    #[must_use]
    pub fn assurance(&self) -> Option<Assurance> {
        self.certificate.map(|(_, assurance)| assurance)
    }

    /// The same certificate, while what it says or who issued it is not recorded yet.
    #[must_use]
    pub fn unlearned(&self) -> Option<&Verified> {
        self.unlearned.as_deref()
    }

    /// The digest of its key to record, while the recorded one was made with an older pepper.
    #[must_use]
    pub fn renewed_digest(&self) -> Option<&Digest> {
        self.renewed.as_deref()
    }

    /// What is wrong with the certificate that came beside a good key.
    #[must_use]
    pub const fn rejected_beside(&self) -> Option<Reason> {
        self.beside
    }

    /// Whether the certificate that proved it has ended, and was accepted nevertheless.
    #[must_use]
    pub const fn is_lapsed(&self) -> bool {
        self.lapsed
    }

    /// The phase that a client which came by certificate alone is in. Whoever shows a key has moved,
    /// and no phase concerns it.
    #[must_use]
    pub const fn phase(&self) -> Option<&Arc<InForce>> {
        self.phase.as_ref()
    }
}

/// Who called.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Somebody who presented nothing.
    Nobody,
    /// Somebody known.
    Known(Identity),
}

/// Whether the directory was just compared with the store, so that what it does not know does not
/// exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may lag by an event or two: what is not found must be confirmed.
    Following,
    /// It has caught up since the request came.
    Confirmed,
}

/// Why what was presented identifies nobody.
#[derive(Debug)]
pub enum Refused {
    /// Nothing known fits, and the directory may lag: [catch up](crate::directory::Directory::catch_up)
    /// and resolve again as [`Freshness::Confirmed`]. Then it is that nobody knows, since the store
    /// holds something that is not believed.
    Unconfirmed,
    /// A key that is not whole.
    KeyMalformed(Malformed),
    /// A key that is not good. Why is for the log alone.
    KeyInvalid {
        /// The id that it names.
        id: KeyId,
        /// The fault.
        fault: KeyFault,
    },
    /// A certificate that is not good, and no key.
    CertificateRejected(Box<Rejected>),
    /// A certificate that has ended, without a key, and that may still claim one.
    CertificateLapsed(Box<Rejected>),
    /// A certificate that is good and that nobody was given.
    Unregistered(Verified),
    /// A certificate whose place a newer one of the same client has taken.
    Superseded(Fingerprint),
    /// A certificate that waits for the operator's word.
    ApprovalPending(Fingerprint),
    /// A certificate of one client beside a key of another.
    Conflict {
        /// Whose certificate.
        certificate: ClientId,
        /// Whose key.
        key: ClientId,
    },
    /// The client is disabled.
    ClientDisabled(ClientId),
}

/// Who calls, by the directory's `view`, at `now`.
///
/// A key that was presented must be good, whatever comes beside it; only then a certificate is
/// looked at, and only to see that it is not somebody else's.
///
/// # Errors
///
/// [`Refused`]. Everything that is not found while the view is only [`Freshness::Following`] is
/// [`Refused::Unconfirmed`].
pub fn resolve(
    view: &View,
    peppers: &Peppers,
    presented: &Presented,
    grace: Grace<'_>,
    freshness: Freshness,
    now: Timestamp,
) -> Result<Caller, Refused> {
    let lookup = Lookup { view, freshness };
    let by_key = match presented.key() {
        PresentedKey::Absent => None,
        PresentedKey::Malformed(malformed) => return Err(Refused::KeyMalformed(*malformed)),
        PresentedKey::Key(key) => Some(lookup.by_key(key, peppers, now)?),
    };
    match (by_key, presented.certificate()) {
        (None, PresentedCertificate::Absent) => Ok(Caller::Nobody),
        (Some(identity), PresentedCertificate::Absent) => Ok(Caller::Known(identity)),
        (None, PresentedCertificate::Verified(good, by)) => {
            lookup.by_certificate(good, *by).map(Caller::Known)
        }
        (None, PresentedCertificate::Rejected(rejected)) => {
            Err(Refused::CertificateRejected(rejected.clone()))
        }
        (None, PresentedCertificate::Lapsed(lapsed, by)) => {
            lookup.by_lapsed(lapsed, *by, grace).map(Caller::Known)
        }
        (Some(identity), PresentedCertificate::Lapsed(lapsed, _)) => Ok(Caller::Known(Identity {
            beside: Some(lapsed.rejected().reason()),
            ..identity
        })),
        (Some(identity), PresentedCertificate::Rejected(rejected)) => Ok(Caller::Known(Identity {
            beside: Some(rejected.reason()),
            ..identity
        })),
        (Some(identity), PresentedCertificate::Verified(good, by)) => {
            lookup.both(identity, good, *by).map(Caller::Known)
        }
    }
}

struct Lookup<'a> {
    view: &'a View,
    freshness: Freshness,
}

impl Lookup<'_> {
    fn by_key(&self, key: &ApiKey, peppers: &Peppers, now: Timestamp) -> Result<Identity, Refused> {
        let entry = self.view.key(&key.id());
        let digest = entry.as_ref().and_then(|entry| entry.digest());
        let proven = key.matches(digest, peppers);
        let invalid = |fault| Refused::KeyInvalid {
            id: key.id(),
            fault,
        };
        let Some(entry) = &entry else {
            let unknown = invalid(KeyFault::Unknown);
            return Err(self.unless_doubted(&RecordId::Key(key.id()), unknown));
        };
        if digest.is_none() {
            return Err(self.confirmed(invalid(KeyFault::WrongSecret)));
        }
        if !proven {
            return Err(invalid(KeyFault::WrongSecret));
        }
        entry.usable(now).map_err(invalid)?;
        self.active(entry.client())?;
        Ok(Identity {
            client: entry.client().clone(),
            key: key.id(),
            scopes: entry.scopes().to_vec(),
            proof: Proof::Key,
            certificate: None,
            unlearned: None,
            renewed: digest.and_then(|digest| key.renewed(digest, peppers).map(Box::new)),
            beside: None,
            lapsed: false,
            phase: None,
        })
    }

    fn by_certificate(
        &self,
        certificate: &Verified,
        assurance: Assurance,
    ) -> Result<Identity, Refused> {
        let unregistered = || Refused::Unregistered(certificate.clone());
        let Some((mapping, is_learned)) = self.view.identified(certificate.fingerprint()) else {
            let id = RecordId::Certificate(*certificate.fingerprint());
            return Err(self.unless_doubted(&id, unregistered()));
        };
        match mapping {
            Mapping::Removed { .. } | Mapping::Twin { .. } => Err(unregistered()),
            Mapping::Superseded { .. } => Err(Refused::Superseded(*certificate.fingerprint())),
            Mapping::Pending => Err(Refused::ApprovalPending(*certificate.fingerprint())),
            Mapping::Mapped { client, key } => {
                let shown = ((*certificate.fingerprint(), assurance), certificate.ca());
                let identity = self.mapped((client, key), shown, unregistered)?;
                Ok(Identity {
                    unlearned: to_learn(certificate, is_learned),
                    ..identity
                })
            }
        }
    }

    /// The client that a certificate maps to, seen under the key id that it maps to.
    fn mapped(
        &self,
        (client, key): (ClientId, KeyId),
        (certificate, ca): ((Fingerprint, Assurance), CaIndex),
        otherwise: impl FnOnce() -> Refused,
    ) -> Result<Identity, Refused> {
        let entry = self.view.key(&key);
        let Some(entry) = entry.filter(|entry| *entry.client() == client) else {
            return Err(self.unless_doubted(&RecordId::Key(key), otherwise()));
        };
        self.active(&client)?;
        Ok(Identity {
            scopes: entry.scopes().to_vec(),
            proof: Proof::Certificate(ca),
            certificate: Some(certificate),
            unlearned: None,
            renewed: None,
            beside: None,
            lapsed: false,
            phase: self.view.phase_of(&client),
            client,
            key,
        })
    }

    /// A good key and a good certificate. A certificate that nobody was given adds nothing; one of
    /// another client refuses both.
    fn both(
        &self,
        identity: Identity,
        certificate: &Verified,
        assurance: Assurance,
    ) -> Result<Identity, Refused> {
        let Some((mapping, is_learned)) = self.view.identified(certificate.fingerprint()) else {
            return Ok(identity);
        };
        match mapping {
            Mapping::Mapped { client, .. } if client == identity.client => Ok(Identity {
                proof: Proof::Both(certificate.ca()),
                certificate: Some((*certificate.fingerprint(), assurance)),
                unlearned: to_learn(certificate, is_learned),
                ..identity
            }),
            Mapping::Superseded { client, .. } if client == identity.client => Ok(Identity {
                beside: Some(Reason::Superseded),
                ..identity
            }),
            Mapping::Mapped { client, .. } | Mapping::Superseded { client, .. } => {
                Err(Refused::Conflict {
                    certificate: client,
                    key: identity.client,
                })
            }
            Mapping::Pending | Mapping::Removed { .. } | Mapping::Twin { .. } => Ok(identity),
        }
    }

    fn active(&self, client: &ClientId) -> Result<(), Refused> {
        match self.view.is_client_active(client) {
            Some(true) => Ok(()),
            Some(false) => Err(Refused::ClientDisabled(client.clone())),
            None => {
                let unknown = Refused::ClientDisabled(client.clone());
                Err(self.unless_doubted(&RecordId::Client(client.clone()), unknown))
            }
        }
    }

    /// [`Self::confirmed`], unless something that is not believed stands in the place of the record:
    /// then nobody knows.
    fn unless_doubted(&self, id: &RecordId, refused: Refused) -> Refused {
        if self.view.is_doubted(id) {
            return Refused::Unconfirmed;
        }
        self.confirmed(refused)
    }

    /// `refused`, once the directory is known to have caught up.
    fn confirmed(&self, refused: Refused) -> Refused {
        match self.freshness {
            Freshness::Following => Refused::Unconfirmed,
            Freshness::Confirmed => refused,
        }
    }
}

/// The certificate, unless what it says is recorded: only then something is kept of it.
fn to_learn(certificate: &Verified, is_learned: bool) -> Option<Box<Verified>> {
    (!is_learned).then(|| Box::new(certificate.clone()))
}

#[cfg(test)]
mod tests;
