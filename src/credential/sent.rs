//! A certificate that somebody sent, with what was thought of it last.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::{Assurance, PresentedCertificate};
use crate::certificate::{Chain, Examined, Explanation, Lineage, Verdict, Verified, Verifier};
use crate::clock::Timestamp;

/// A certificate that was sent: by the client in its handshake, or by a front for its client. Every
/// request asks anew what is thought of it.
pub struct Sent {
    chain: Chain,
    verdict: ArcSwap<Verdict>,
    /// Kept once somebody asked: anybody may, as often as they like.
    examined: ArcSwapOption<Examined>,
}

impl Sent {
    /// One that came with this chain.
    #[must_use]
    pub fn new(chain: Chain, verifier: &Verifier, now: Timestamp) -> Self {
        Self {
            verdict: ArcSwap::new(verifier.verify(&chain, now)),
            examined: ArcSwapOption::empty(),
            chain,
        }
    }

    /// The certificate with what came beside it.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What a request presents with it at `now`, by the trust of now.
    #[must_use]
    pub fn presented(
        &self,
        verifier: &Verifier,
        assurance: Assurance,
        now: Timestamp,
    ) -> PresentedCertificate {
        let verdict = self.verdict(verifier, now);
        match (verdict.at(now), verdict.lapsed(now)) {
            (Ok(good), _) => PresentedCertificate::Verified(good, assurance),
            (Err(_), Some(lapsed)) => PresentedCertificate::Lapsed(Box::new(lapsed), assurance),
            (Err(rejected), None) => PresentedCertificate::Rejected(Box::new(rejected)),
        }
    }

    /// The certificate, when it is good.
    #[must_use]
    pub fn verified(&self, verifier: &Verifier, now: Timestamp) -> Option<Verified> {
        self.verdict(verifier, now).at(now).ok()
    }

    /// Everything about it, in words, with the verdict of any request that shows it.
    #[must_use]
    pub fn explain(&self, verifier: &Verifier, lineage: Lineage, now: Timestamp) -> Explanation {
        let verdict = self.verdict(verifier, now);
        let known = self.examined.load_full();
        let known = known.filter(|examined| examined.is_of(&verdict));
        let examined = known.unwrap_or_else(|| {
            let examined = Arc::new(verifier.examine(verdict, &self.chain, now));
            self.examined.store(Some(Arc::clone(&examined)));
            examined
        });
        verifier.explain_examined(&self.chain, &examined, lineage, now)
    }

    fn verdict(&self, verifier: &Verifier, now: Timestamp) -> Arc<Verdict> {
        let last = self.verdict.load();
        let current = verifier.current(&last, &self.chain, now);
        if !Arc::ptr_eq(&last, &current) {
            self.verdict.store(Arc::clone(&current));
        }
        current
    }
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sent({})", self.chain.fingerprint())
    }
}
