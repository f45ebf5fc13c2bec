//! What memory does not tell: ask the store once, and enrol who comes for the first time.

use std::time::Duration;

use super::{Freshness, Gateway, Refusal};
use crate::certificate::Verified;
use crate::client;
use crate::clock::Timestamp;
use crate::identity::Refused;
use crate::store::{CommitError, Epoch};

/// How long a first sight waits for its turn.
const TURN: Duration = Duration::from_secs(1);

impl Gateway {
    /// Decides with what is in memory; only when that knows too little, catches up with the store
    /// and decides again, and enrols a certificate that then is still unknown.
    ///
    /// # Errors
    ///
    /// What `decide` gives, or [`Refusal::StoreUnavailable`].
    pub(super) async fn decide_confirmed<T>(
        &self,
        now: Timestamp,
        decide: impl Fn(Freshness) -> Result<T, Refusal> + Send + Sync,
    ) -> Result<T, Refusal> {
        match decide(Freshness::Following) {
            Err(Refusal::Identity(Refused::Unconfirmed)) => {}
            decided => return decided,
        }
        self.parts.directory.catch_up().await?;
        match decide(Freshness::Confirmed) {
            Err(Refusal::Identity(Refused::Unregistered(certificate))) => {
                self.enrol(&certificate, now).await?;
                decide(Freshness::Confirmed)
            }
            decided => decided,
        }
    }

    /// Makes what the enrolment makes of an unknown certificate. That another replica was faster
    /// is as good.
    async fn enrol(&self, certificate: &Verified, now: Timestamp) -> Result<(), Refusal> {
        let Some(change) = client::at_first_sight(self.parts.enrolment, certificate, now) else {
            return Ok(());
        };
        let turn = tokio::time::timeout(TURN, self.enrolments.acquire()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Refusal::Overloaded);
        };
        let known_by: Epoch = match self.parts.store.commit(&change).await {
            Ok(epoch) => epoch,
            Err(CommitError::Conflict(_)) => return Ok(self.parts.directory.catch_up().await?),
            Err(CommitError::Store(error)) => {
                tracing::warn!(%error, certificate = %certificate.fingerprint(), "cannot enrol a client");
                return Err(Refusal::StoreUnavailable);
            }
        };
        drop(turn);
        tracing::info!(
            certificate = %certificate.fingerprint(), subject = certificate.facts().subject,
            action = ?change.action, epoch = known_by.0, "a certificate was seen for the first time"
        );
        Ok(self.parts.directory.wait_for(known_by).await?)
    }
}
