//! Who may have signed a revocation list.

use super::scope::same_name;
use super::{Check, DEEPEST, RevocationList, Status};
use crate::certificate::chain::Link;
use crate::certificate::judge::stack;
use crate::certificate::run::{Demands, Presented, ends_in_anchor, links, run};
use crate::tls::error::ErrorStack;

/// The certificates whose key signed a list, and that bear its issuer's name: those of the chain,
/// then those that the operator trusts, then those that came along.
pub(super) fn signers<'a>(
    check: &Check<'a>,
    list: &'a RevocationList,
) -> impl Iterator<Item = &'a Link> {
    let chain = check.chain.iter();
    let anchors = check.authority.anchors.iter();
    let sent = check.presented.sent.iter();
    chain.chain(anchors).chain(sent).filter(|link| {
        let content = &link.content;
        let signed = || {
            let key = link.x509.public_key();
            let signed = key.is_ok_and(|key| list.x509.verify(&key).unwrap_or(false));
            let _ = ErrorStack::get();
            signed
        };
        content.may_sign_lists != Some(false)
            && same_name(&content.subject, &list.issuer)
            && signed()
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
        let now = self.presented.now;
        let Some(others) = stack(self.presented.sent.iter()) else {
            return false;
        };
        let presented = Presented {
            leaf: signer.clone(),
            sent: self.presented.sent.clone(),
            others,
            known: self.presented.known,
            resumed: self.presented.resumed,
            now,
        };
        let demands = Demands {
            for_clients: false,
            ..Demands::of(self.authority, Some(now))
        };
        let run = run(self.authority, demands, &presented);
        let chain = links(&run.built);
        let same_anchor = chain.last().map(|last| last.fingerprint)
            == self.chain.last().map(|last| last.fingerprint);
        let good = run.outcome.is_ok()
            && chain.len() == run.built.len()
            && ends_in_anchor(self.authority, &chain)
            && same_anchor;
        let check = Check {
            presented: &presented,
            chain: &chain,
            depth: self.depth.saturating_add(1),
            ..*self
        };
        let below = chain.len().saturating_sub(1);
        good && chain
            .iter()
            .take(below)
            .all(|link| matches!(check.status(link), Status::Clear))
    }
}
