//! What is noted of those who call, in memory alone: when and from where each was seen, and how
//! many requests came. Whoever is not known leaves nothing.

use super::{Conflict, Exchange, Gateway, Refusal};
use crate::client::{ClientId, Counted, CredentialId, LastRefusal, LastUse, RefusalCode};
use crate::clock::Timestamp;
use crate::identity::{Identity, Proof, Refused};
use crate::key::KeyFault;

impl Gateway {
    /// Notes a request that may go to its backend.
    pub(super) fn served(&self, identity: &Identity, exchange: &Exchange) {
        let seen = identity.proof().seen(exchange.now);
        let sightings = &self.parts.sightings;
        sightings.served(identity.client(), seen, exchange.now);
        self.used(identity, exchange);
    }

    /// Notes that somebody proved who it is, whatever becomes of the request.
    pub(super) fn saw(&self, identity: &Identity, exchange: &Exchange) {
        let seen = identity.proof().seen(exchange.now);
        self.parts.sightings.note(identity.client(), seen);
        self.used(identity, exchange);
    }

    /// Counts a request that was answered here, of somebody who was seen.
    pub(super) fn served_here(&self, exchange: &Exchange) {
        if let (Some((client, _)), Some(counted)) = (&exchange.caller, exchange.counted) {
            let sightings = &self.parts.sightings;
            sightings.count(client, counted, exchange.now);
        }
    }

    /// Notes a refusal, for the client that the request proved to be.
    pub(super) fn refused(&self, refusal: &Refusal, exchange: &Exchange) {
        let (code, at) = (refusal.code(), exchange.now);
        if code.status() >= 500 {
            return;
        }
        let sightings = &self.parts.sightings;
        let note = |client: &ClientId| {
            let code = RefusalCode::known(code.as_str());
            sightings.refused(client, LastRefusal { at, code });
        };
        if let Refusal::Identity(Refused::Conflict { certificate, key }) = refusal {
            // It concerns both; the request is counted once.
            for client in [certificate, key] {
                note(client);
                sightings.conflicted(client, at);
            }
            sightings.count(certificate, Counted::Refused, at);
            self.parts.conflicts.note(Conflict {
                certificate: certificate.clone(),
                key: key.clone(),
                at,
            });
        } else if let Some(client) = self.whose(refusal, exchange) {
            note(&client);
            sightings.count(&client, Counted::Refused, at);
        }
    }

    /// Counts a refusal by a brownout, which stops itself after so many; of one client, one a
    /// minute.
    pub(super) fn spent(&self, refusal: &Refusal, now: Timestamp) {
        if let (Some((phase, _)), Some(caller)) = (refusal.brownout(), refusal.caller()) {
            let sightings = &self.parts.sightings;
            sightings.spent(phase, caller.client(), now);
        }
    }

    /// Whose request was refused. A key that was not proven is anybody's: its id is no secret.
    fn whose(&self, refusal: &Refusal, exchange: &Exchange) -> Option<ClientId> {
        if let Some((client, _)) = &exchange.caller {
            return Some(client.clone());
        }
        let Refusal::Identity(refused) = refusal else {
            return None;
        };
        let view = self.parts.directory.view();
        match refused {
            Refused::KeyInvalid {
                id,
                fault: KeyFault::Revoked | KeyFault::Expired,
            } => view.key(id).map(|key| key.client().clone()),
            Refused::CertificateRejected(rejected) | Refused::CertificateLapsed(rejected) => {
                view.owner(rejected.fingerprint())
            }
            Refused::Unregistered(certificate) => view.owner(certificate.fingerprint()),
            Refused::Superseded(fingerprint) => view.owner(fingerprint),
            Refused::ClientDisabled(client) => Some(client.clone()),
            Refused::KeyInvalid { .. }
            | Refused::KeyMalformed(_)
            | Refused::ApprovalPending(_)
            | Refused::Conflict { .. }
            | Refused::Unconfirmed => None,
        }
    }

    fn used(&self, identity: &Identity, exchange: &Exchange) {
        if let Some(certificate) = identity.unlearned() {
            let trust = self.parts.verifier.trust();
            let ca = trust.ca_name(certificate.ca());
            let whole = || exchange.shown();
            self.parts.lessons.note(certificate, ca, whole);
        }
        if let Some(digest) = identity.renewed_digest() {
            self.parts.lessons.note_digest(identity.key(), *digest);
        }
        let Some(from) = exchange.peer else {
            return;
        };
        let last = LastUse {
            at: exchange.now,
            from,
        };
        let key = match identity.proof() {
            Proof::Key | Proof::Both(_) => Some(CredentialId::Key(identity.key())),
            Proof::Certificate(_) => None,
        };
        // A use after its end says nothing of whether it was used while it was good.
        let certificate = identity.certificate().filter(|_| !identity.is_lapsed());
        let certificate = certificate.copied();
        let certificate = certificate.map(CredentialId::Certificate);
        for credential in certificate.into_iter().chain(key) {
            self.parts.sightings.used(credential, last);
        }
    }
}
