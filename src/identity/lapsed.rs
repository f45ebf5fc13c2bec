//! What a certificate may still do whose validity has ended, when that is all that is wrong.

use std::time::Duration;

use super::{Identity, Lookup, Refused};
use crate::certificate::{Lapsed, Mapping};
use crate::client::CredentialId;
use crate::credential::Assurance;
use crate::directory::Sightings;

/// What the operator allows a certificate that has ended, beside what its client's phase allows.
#[derive(Clone, Copy)]
pub struct Grace<'a> {
    /// What it is shown for.
    pub purpose: Purpose,
    /// For how long after its end it may claim its key; none when it may not.
    pub claims: Option<Duration>,
    /// What was seen of it.
    pub sightings: &'a Sightings,
}

/// What a credential is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Any request.
    Request,
    /// To claim the client's key, and nothing else.
    Claim,
}

impl Lookup<'_> {
    /// Whom a lapsed certificate identifies: the newest of its client's, when the client's phase
    /// accepts it still; or, for a claim, when the operator allows that and the certificate was
    /// used while it was valid. Everybody else is told that it has ended.
    pub(super) fn by_lapsed(
        &self,
        lapsed: &Lapsed,
        assurance: Assurance,
        grace: Grace<'_>,
    ) -> Result<Identity, Refused> {
        let fingerprint = lapsed.fingerprint();
        let rejected = || Refused::CertificateRejected(Box::new(lapsed.rejected().clone()));
        let is_newest = self.view.is_newest(fingerprint);
        let mapping = self.view.certificate(fingerprint).filter(|_| is_newest);
        let Some(Mapping::Mapped { client, key }) = mapping else {
            return Err(rejected());
        };
        let phase = self.view.phase_of(&client);
        let accepted = phase
            .and_then(|phase| phase.expired_for)
            .is_some_and(|period| lapsed.is_within(period));
        let seen = grace
            .sightings
            .credential(&CredentialId::Certificate(*fingerprint));
        let may_claim = grace.claims.is_some_and(|grace| lapsed.is_within(grace))
            && seen.is_some_and(|last| last.at < lapsed.ended());
        if !accepted && !may_claim {
            return Err(rejected());
        }
        let identity = self.mapped(
            (client, key),
            ((*fingerprint, assurance), lapsed.ca()),
            rejected,
        )?;
        if accepted || grace.purpose == Purpose::Claim {
            return Ok(Identity {
                lapsed: true,
                ..identity
            });
        }
        Err(Refused::CertificateLapsed(Box::new(
            lapsed.rejected().clone(),
        )))
    }
}
