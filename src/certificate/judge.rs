//! From a chain to a verdict: the strict run first, and only if it fails the search for why.

use std::sync::Arc;

use super::CaIndex;
use super::chain::{Chain, Link};
use super::diagnose::diagnose;
use super::revocation::{self, Findings};
use super::rules::{self, Exceptions};
use super::run::{Demands, Presented, ends_in_anchor, links, run};
use super::trust::{Authority, Trust};
use super::twin::Forms;
use super::verdict::{Dates, Outcome, Problem, Reason, Verdict};
use crate::clock::Timestamp;
use crate::tls::stack::Stack;
use crate::tls::x509::X509;

/// Verifies a chain; gives the certificates that the verdict is about as well. `known` are
/// intermediates of earlier good chains.
pub(super) fn judge(
    trust: &Trust,
    chain: &Chain,
    known: &[Arc<Link>],
    now: Timestamp,
) -> (Verdict, Vec<Link>) {
    let mut verdict = Verdict {
        fingerprint: *chain.fingerprint(),
        generation: trust.generation(),
        facts: None,
        outcome: Outcome::Bad(Vec::new()),
        forms: Arc::default(),
        unknown: None,
        dates: Vec::new(),
        span: (
            Timestamp::from_unix(i64::MIN),
            Timestamp::from_unix(i64::MAX),
        ),
    };
    let (leaf, sent) = match chain.read() {
        Ok(read) => read,
        Err(unfit) => {
            verdict.facts = unfit.facts.map(Arc::new);
            let problem = Problem::new(unfit.depth, Reason::Invalid, unfit.detail);
            verdict.outcome = Outcome::Bad(vec![problem]);
            return (verdict, Vec::new());
        }
    };
    verdict.facts = Some(Arc::new(leaf.content.facts.clone()));
    let resumed = chain.is_resumed();
    let remembered = known.iter().filter(|_| resumed).map(AsRef::as_ref);
    let candidates = || sent.iter().chain(remembered.clone());
    verdict.span = span(trust, candidates(), now);
    let Some(others) = stack(candidates().filter(|link| link.counts(candidates(), now))) else {
        let detail = "Your certificate could not be checked. Try again.".to_owned();
        verdict.outcome = Outcome::Bad(vec![Problem::new(0, Reason::Invalid, detail)]);
        return (verdict, Vec::new());
    };
    let presented = Presented {
        leaf,
        sent,
        others,
        known,
        resumed,
        now,
    };
    let links = if let Some((ca, Accepted { links, unknown })) = accepted(trust, &presented) {
        verdict.outcome = Outcome::Good(ca);
        verdict.unknown = unknown.map(Into::into);
        if let [leaf, issuer, ..] = links.as_slice() {
            verdict.forms = Arc::new(Forms::of(&leaf.x509, &issuer.x509));
        }
        links
    } else {
        let (problems, links) = diagnose(trust, &presented);
        verdict.outcome = Outcome::Bad(problems);
        links
    };
    let dates = links.iter().enumerate();
    verdict.dates = dates.map(|(depth, link)| Dates::of(link, depth)).collect();
    (verdict, links)
}

/// A chain that is good under an authority.
struct Accepted {
    links: Vec<Link>,
    /// Why nobody can tell whether it was revoked, where that is let pass.
    unknown: Option<String>,
}

/// The authority under which the chain is good, if need be at another time than now: of several,
/// the one that is nearest to the client's certificate, whatever the order in the configuration.
fn accepted(trust: &Trust, presented: &Presented<'_>) -> Option<(CaIndex, Accepted)> {
    let now = presented.now;
    let authorities = || (0..).map(CaIndex).zip(&trust.authorities);
    let at_once = authorities()
        .filter_map(|(ca, authority)| Some((ca, accept(authority, presented, Some(now))?)))
        .min_by_key(|(_, accepted)| accepted.links.len());
    at_once.or_else(|| {
        authorities().find_map(|(ca, authority)| {
            let accepted = accept(authority, presented, None)?;
            match common_moment(&accepted.links, now) {
                // Never valid together, and so refused by its dates at any time.
                None => Some((ca, accepted)),
                // Apart from the time it is good: so it must be good when its time comes.
                Some(moment) => Some((ca, accept(authority, presented, Some(moment))?)),
            }
        })
    })
}

/// The whole of our demands under one authority, with its exceptions and no others: the chain, if
/// they are met. This is the only way to a good verdict.
fn accept(
    authority: &Authority,
    presented: &Presented<'_>,
    valid_at: Option<Timestamp>,
) -> Option<Accepted> {
    let demands = Demands::of(authority, valid_at);
    let run = run(authority, demands, presented);
    run.outcome.ok()?;
    let links = links(&run.built);
    let whole = links.len() == run.built.len();
    let own = links.first().map(|leaf| leaf.fingerprint) == Some(presented.leaf.fingerprint);
    let anchored = links.len() > 1 && ends_in_anchor(authority, &links);
    let good = rules::problems(&links, Exceptions::of(authority), true).is_empty();
    if !(whole && own && anchored && good) {
        return None;
    }
    let Findings { problems, unknown } = revocation::ask(authority, presented, &links);
    problems.is_empty().then_some(Accepted { links, unknown })
}

/// The moment nearest to now at which all certificates are valid together.
fn common_moment(links: &[Link], now: Timestamp) -> Option<Timestamp> {
    let facts = || links.iter().map(|link| &link.content.facts);
    let first = facts().map(|facts| facts.not_before).max()?;
    let end = facts().map(|facts| facts.not_after).min()?;
    let last = Timestamp::from_unix(end.as_unix().saturating_sub(1));
    (first <= last).then(|| now.clamp(first, last))
}

/// The time around now in which no possible issuer begins or ends to be valid.
fn span<'a>(
    trust: &Trust,
    others: impl Iterator<Item = &'a Link>,
    now: Timestamp,
) -> (Timestamp, Timestamp) {
    let changes = others
        .map(|link| &link.content.facts)
        .flat_map(|facts| [facts.not_before, facts.not_after])
        .chain(trust.changes.iter().copied());
    let (mut from, mut until) = (
        Timestamp::from_unix(i64::MIN),
        Timestamp::from_unix(i64::MAX),
    );
    for change in changes {
        if change <= now {
            from = from.max(change);
        } else {
            until = until.min(change);
        }
    }
    (from, until)
}

pub(super) fn stack<'a>(links: impl Iterator<Item = &'a Link>) -> Option<Stack<X509>> {
    let mut stack = Stack::new().ok()?;
    for link in links {
        stack.push(link.x509.clone()).ok()?;
    }
    Some(stack)
}
