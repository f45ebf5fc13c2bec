//! Verifies chains, and remembers the verdicts.

use std::sync::Arc;

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;

use super::chain::Link;
use super::explanation::Findings;
use super::judge::judge;
use super::{Chain, Explanation, Fingerprint, Lineage, Trust, Verdict};
use crate::clock::Timestamp;

/// How many good verdicts are remembered, and how many others; apart, so that a flood of bad
/// certificates cannot push out the good ones.
const MOST_GOOD: usize = 16_384;
const MOST_BAD: usize = 1_024;
/// How many intermediates of good chains are remembered to explain by, and for resumed sessions.
const MOST_KNOWN: usize = 256;

/// Another set of certificate authorities must have another generation, since verdicts are
/// remembered under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("generation {0} is in use already; give the new certificate authorities another one")]
pub struct SameGeneration(pub u64);

/// The certificate and what was sent along, under one generation.
type Key = (Fingerprint, Fingerprint, u64);

/// Verifies chains under the certificate authorities of the day.
pub struct Verifier {
    trust: ArcSwap<Trust>,
    good: Cache<Key, Arc<Verdict>>,
    bad: Cache<Key, Arc<Verdict>>,
    /// The last good verdict of each certificate: a resumed session knows nothing else.
    leaves: Cache<(Fingerprint, u64), Arc<Verdict>>,
    /// Intermediates of good chains: to tell which one is missing, and to verify a resumed
    /// session with when its verdict is forgotten. They are not trusted: a chain through one must
    /// verify as any other.
    known: Cache<Fingerprint, Arc<Link>>,
}

/// What there is to explain a chain by.
pub struct Examined {
    verdict: Arc<Verdict>,
    links: Vec<Link>,
}

impl Examined {
    /// Whether it was found together with this verdict.
    #[must_use]
    pub fn is_of(&self, verdict: &Arc<Verdict>) -> bool {
        Arc::ptr_eq(&self.verdict, verdict)
    }
}

impl Verifier {
    /// A verifier that has seen nothing yet.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            trust: ArcSwap::from_pointee(trust),
            good: Cache::new(MOST_GOOD),
            bad: Cache::new(MOST_BAD),
            leaves: Cache::new(MOST_GOOD),
            known: Cache::new(MOST_KNOWN),
        }
    }

    /// The verdict about a chain; a remembered one where it still holds. Ask the verdict itself
    /// ([`Verdict::at`]) whether the certificate is good.
    pub fn verify(&self, chain: &Chain, now: Timestamp) -> Arc<Verdict> {
        let trust = self.trust.load();
        let leaf = (*chain.fingerprint(), trust.generation());
        let key = (*chain.fingerprint(), *chain.sent(), trust.generation());
        let remembered = if chain.is_resumed() {
            self.leaves.get(&leaf)
        } else {
            self.good.get(&key).or_else(|| self.bad.get(&key))
        };
        if let Some(verdict) = remembered.filter(|verdict| verdict.holds(now)) {
            return verdict;
        }
        let known: Vec<_> = self.known.iter().map(|(_, link)| link).collect();
        let (verdict, links) = judge(&trust, chain, &known, now);
        let verdict = Arc::new(verdict);
        match (verdict.is_good(), chain.is_resumed()) {
            (true, resumed) => {
                self.leaves.insert(leaf, Arc::clone(&verdict));
                if !resumed {
                    self.good.insert(key, Arc::clone(&verdict));
                }
                let between = links.len().saturating_sub(2);
                for link in links.into_iter().skip(1).take(between) {
                    self.known.insert(link.fingerprint, Arc::new(link));
                }
            }
            (false, false) => self.bad.insert(key, Arc::clone(&verdict)),
            // The full chain may become known at any moment.
            (false, true) => {}
        }
        verdict
    }

    /// The same verdict while it holds, otherwise a new one: the certificate authorities may have
    /// been replaced, or an issuer may have begun or ended to be valid. Cheap enough for every
    /// request.
    pub fn current(&self, verdict: &Arc<Verdict>, chain: &Chain, now: Timestamp) -> Arc<Verdict> {
        let same = verdict.generation() == self.generation()
            && verdict.fingerprint() == chain.fingerprint();
        if same && verdict.holds(now) {
            Arc::clone(verdict)
        } else {
            self.verify(chain, now)
        }
    }

    /// The chain that `verdict` about `chain` was found by, which no verdict keeps. It costs as much
    /// as a verification: whoever can be asked again and again must keep it.
    pub fn examine(&self, verdict: Arc<Verdict>, chain: &Chain, now: Timestamp) -> Examined {
        let known: Vec<_> = self.known.iter().map(|(_, link)| link).collect();
        let (_, links) = judge(&self.trust.load(), chain, &known, now);
        Examined { verdict, links }
    }

    /// Everything about a chain, in words, with the very verdict that [`Self::verify`] gives every
    /// request.
    pub fn explain(&self, chain: &Chain, lineage: Lineage, now: Timestamp) -> Explanation {
        let examined = self.examine(self.verify(chain, now), chain, now);
        self.explain_examined(chain, &examined, lineage, now)
    }

    /// The same, of a chain that was examined before.
    pub fn explain_examined(
        &self,
        chain: &Chain,
        examined: &Examined,
        lineage: Lineage,
        now: Timestamp,
    ) -> Explanation {
        let trust = self.trust.load();
        let known: Vec<_> = self.known.iter().map(|(_, link)| link).collect();
        Explanation::of(&Findings {
            trust: &trust,
            chain,
            verdict: examined.verdict.at(now),
            links: &examined.links,
            is_known: &|subject| known.iter().any(|link| link.content.subject == subject),
            lineage,
            now,
        })
    }

    /// Takes other certificate authorities from now on. Verdicts under the old ones are no longer
    /// [`current`](Self::current).
    ///
    /// # Errors
    /// When the generation is the one in use; nothing is changed then.
    pub fn replace(&self, trust: Trust) -> Result<(), SameGeneration> {
        if trust.generation() == self.generation() {
            return Err(SameGeneration(trust.generation()));
        }
        self.trust.store(Arc::new(trust));
        self.good.clear();
        self.bad.clear();
        self.leaves.clear();
        Ok(())
    }

    /// Which set of certificate authorities is in use.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.trust.load().generation()
    }

    /// The certificate authorities in use.
    #[must_use]
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.load_full()
    }
}
