//! What memory does not tell: ask the store once, and enrol who comes for the first time.

use std::time::Duration;

use super::{Exchange, FirstSights, Freshness, Gateway, Refusal};
use crate::certificate::Verified;
use crate::clock;
use crate::head::Head;
use crate::identity::Refused;
use crate::store::{Action, Change, CommitError, Committed, Origin, RecordId};

/// How long a first sight waits for its turn.
const TURN: Duration = Duration::from_secs(1);

/// How often a first sight is decided again that another change got ahead of.
const TRIES: usize = 4;

impl Gateway {
    /// Decides with what is in memory; only when that knows too little, catches up with the store
    /// and decides again, and enrols a certificate that then is still unknown. A wrong key is counted
    /// for the address of this `head`.
    ///
    /// # Errors
    ///
    /// What `decide` gives, or [`Refusal::StoreUnavailable`].
    pub(super) async fn decide_confirmed<T>(
        &self,
        head: &Head<'_>,
        exchange: &Exchange,
        decide: impl Fn(Freshness) -> Result<T, Refusal> + Send + Sync,
    ) -> Result<T, Refusal> {
        let decided = match decide(Freshness::Following) {
            Err(Refusal::Identity(Refused::Unconfirmed)) => {
                self.may_ask_for(head, exchange.peer)?;
                self.confirm(exchange, decide).await
            }
            decided => decided,
        };
        decided.map_err(|refusal| self.count_wrong_key(refusal, exchange.peer))
    }

    /// Decides once more, with all that the store knows.
    async fn confirm<T>(
        &self,
        exchange: &Exchange,
        decide: impl Fn(Freshness) -> Result<T, Refusal> + Send + Sync,
    ) -> Result<T, Refusal> {
        self.parts.directory.catch_up().await?;
        match decide(Freshness::Confirmed) {
            Err(Refusal::Identity(Refused::Unregistered(certificate)))
                if self.is_unknown(&certificate) =>
            {
                self.enrol(&certificate, exchange).await?;
                decide(Freshness::Confirmed)
            }
            decided => decided,
        }
    }

    /// Makes what becomes of an unknown certificate. That another replica was faster is as good.
    async fn enrol(&self, certificate: &Verified, exchange: &Exchange) -> Result<(), Refusal> {
        let view = self.parts.directory.view();
        if certificate
            .twin()
            .is_some_and(|twin| view.certificate(twin).is_some())
        {
            // It becomes nobody's, and must not use up what others may need.
            return Ok(());
        }
        drop(view);
        let turn = tokio::time::timeout(TURN, self.enrolments.acquire()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Refusal::Overloaded);
        };
        for _ in 0..TRIES {
            let Some(change) = self.first_sight(certificate, exchange).await? else {
                return Ok(());
            };
            let change = exchange.keeping_shown(change).caused_from(Origin::here());
            // It may have lost everything since it was asked for this certificate.
            let change = change.following(self.parts.directory.epoch());
            if !self.may_become_known(certificate, &change, exchange)? {
                return Ok(());
            }
            match self.parts.store.commit(&change).await {
                Ok(Committed { epoch, .. }) => {
                    drop(turn);
                    self.tell(certificate, &change, epoch.0, exchange);
                    self.parts.directory.wait_for(epoch).await?;
                    // What is known here may be of another history that counted as far.
                    if self.is_unknown(certificate) {
                        return Err(Refusal::StoreUnavailable);
                    }
                    return Ok(());
                }
                Err(CommitError::Conflict(id)) => {
                    self.parts.directory.catch_up().await?;
                    let own = RecordId::Certificate(*certificate.fingerprint());
                    if id == own && self.is_unknown(certificate) {
                        // What stands in the store in its place is not believed: nobody knows.
                        return Err(Refusal::StoreUnavailable);
                    }
                    if is_own(&id, certificate) || !self.is_unknown(certificate) {
                        return Ok(());
                    }
                }
                Err(CommitError::Store(error)) => {
                    tracing::warn!(
                        %error, certificate = %certificate.fingerprint(),
                        request_id = exchange.request_id, "cannot enrol a client"
                    );
                    return Err(self.parts.directory.note(error).into());
                }
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Bounds a flood of good certificates: by the minute, and for those of new clients by a
    /// number, since a flood that goes on for days shall not fill the store either.
    fn may_become_known(
        &self,
        certificate: &Verified,
        change: &Change,
        exchange: &Exchange,
    ) -> Result<bool, Refusal> {
        let most: FirstSights = exchange.live.first_sights;
        let known = self.parts.directory.view().certificates_known();
        if change.action != Action::CertificateRenewed && known >= most.at_most {
            tracing::error!(
                certificate = %certificate.fingerprint(), request_id = exchange.request_id,
                "no more certificates become known by themselves: enrolment.at_most"
            );
            return Ok(false);
        }
        let counted = self
            .limits
            .first_sight(certificate.ca(), most, clock::monotonic());
        counted.map_err(|_| Refusal::Overloaded)?;
        Ok(true)
    }

    /// Whether there is no record of the certificate here.
    fn is_unknown(&self, certificate: &Verified) -> bool {
        let view = self.parts.directory.view();
        view.certificate(certificate.fingerprint()).is_none()
    }

    fn tell(&self, certificate: &Verified, change: &Change, epoch: u64, exchange: &Exchange) {
        let by = change.reason.as_ref().map(ToString::to_string);
        tracing::info!(
            certificate = %certificate.fingerprint(), subject = certificate.facts().subject,
            action = ?change.action, by, epoch, request_id = exchange.request_id,
            "a certificate was seen for the first time"
        );
        if let Some(rung) = by {
            let outcome = match change.action {
                Action::CertificateRenewed => "followed",
                _ => "pending",
            };
            let renewals = &self.parts.metrics.renewals;
            renewals.with_label_values(&[rung.as_str(), outcome]).inc();
        }
    }
}

/// Whether somebody else wrote the very certificate, or its other form.
fn is_own(id: &RecordId, certificate: &Verified) -> bool {
    match id {
        RecordId::Certificate(id) => {
            id == certificate.fingerprint() || Some(id) == certificate.twin()
        }
        _ => false,
    }
}
