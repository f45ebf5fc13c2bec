//! Who signed a revocation list, and may.

use super::scope::same_name;
use super::{Check, DEEPEST, Revocation, RevocationList, Status};
use crate::certificate::chain::Link;
use crate::certificate::judge::stack;
use crate::certificate::run::{Demands, Presented, ends_in_anchor, links, run};
use crate::certificate::trust::Authority;
use crate::clock::Timestamp;

/// The certificates whose key signed a list, and that bear its issuer's name: those of the chain,
/// then those that the operator trusts or gave with the lists, then those that came along.
pub(super) fn signers<'a>(
    check: &Check<'a>,
    list: &'a RevocationList,
) -> impl Iterator<Item = &'a Link> {
    let chain = check.chain.iter();
    let own = known(check.authority, check.revocation);
    let sent = check.presented.sent.iter();
    chain
        .chain(own)
        .chain(sent)
        .filter(|link| signed(link, list))
}

/// The certificates by which the operator lets lists be signed.
pub(super) fn known<'a>(
    authority: &'a Authority,
    revocation: &'a Revocation,
) -> impl Iterator<Item = &'a Link> {
    authority.anchors.iter().chain(revocation.issuers())
}

pub(super) fn signed(signer: &Link, list: &RevocationList) -> bool {
    let content = &signer.content;
    content.may_sign_lists != Some(false)
        && same_name(&content.subject, &list.issuer)
        && list.is_signed_by(signer)
}

/// The verification of a certificate that signs lists, up to an anchor of the authority: its chain,
/// when it is good apart from whether it was revoked.
pub(super) fn chain_of(authority: &Authority, presented: &Presented<'_>) -> Option<Vec<Link>> {
    let mut demands = Demands::of(authority, Some(presented.now));
    demands.rules.for_clients = false;
    let run = run(authority, demands, presented);
    let chain = links(&run.built);
    let good =
        run.outcome.is_ok() && chain.len() == run.built.len() && ends_in_anchor(authority, &chain);
    good.then_some(chain)
}

/// What is presented when it is this certificate that is to be verified.
pub(super) fn presented<'a>(
    signer: &Link,
    revocation: &Revocation,
    sent: &[Link],
    now: Timestamp,
) -> Option<Presented<'a>> {
    let others = stack(sent.iter().chain(revocation.issuers()))?;
    Some(Presented {
        leaf: signer.clone(),
        sent: sent.to_vec(),
        others,
        known: &[],
        resumed: false,
        now,
    })
}

impl Check<'_> {
    /// Whether a list that `signer` signed tells of `link`: the issuer's own, or that of a
    /// certificate whose own chain is good up to the same anchor (RFC 5280 section 6.3.3 (f)).
    pub(super) fn may_sign(&self, signer: &Link, link: &Link) -> bool {
        let is = |other: &Link| other.fingerprint == signer.fingerprint;
        // What issued the certificate stands above it in the chain, and is verified with it.
        let at = self
            .chain
            .iter()
            .position(|l| l.fingerprint == link.fingerprint);
        let above = self
            .chain
            .iter()
            .skip(at.map_or(0, |at| at.saturating_add(1)));
        if above.into_iter().any(is) || self.chain.last().is_some_and(is) {
            return true;
        }
        self.depth < DEEPEST && self.is_good(signer)
    }

    /// Whether a signer that is not part of the chain is good itself.
    fn is_good(&self, signer: &Link) -> bool {
        let (sent, now) = (&self.presented.sent, self.presented.now);
        let Some(presented) = presented(signer, self.revocation, sent, now) else {
            return false;
        };
        let Some(chain) = chain_of(self.authority, &presented) else {
            return false;
        };
        let same_anchor = chain.last().map(|last| last.fingerprint)
            == self.chain.last().map(|last| last.fingerprint);
        let check = Check {
            presented: &presented,
            chain: &chain,
            depth: self.depth.saturating_add(1),
            ..*self
        };
        let below = chain.len().saturating_sub(1);
        same_anchor
            && chain
                .iter()
                .take(below)
                .all(|link| matches!(check.status(link), Status::Clear))
    }
}
