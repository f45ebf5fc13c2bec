//! Why a chain is not good: everything, not only what OpenSSL stopped at.

use super::chain::Link;
use super::codes;
use super::explain;
use super::name::short;
use super::revocation;
use super::rules::{self, Exceptions};
use super::run::{Demands, Fault, Presented, ends_in_anchor, links, run};
use super::trust::{Authority, Trust};
use super::verdict::{Problem, Reason, in_order};
use crate::tls::Demands as Rules;
use crate::tls::error::ErrorStack;

/// All problems but those of the dates, gravest first and never empty, with the chain that has
/// them. Where several authorities could be meant, it is the one with the mildest problems.
pub(super) fn diagnose(trust: &Trust, presented: &Presented<'_>) -> (Vec<Problem>, Vec<Link>) {
    let mut best: Option<(Vec<Problem>, Vec<Link>)> = None;
    let mut longest: Vec<Link> = Vec::new();
    for authority in &trust.authorities {
        let least = run(authority, Demands::LEAST, presented);
        let chain = links(&least.built);
        if !ends_in_anchor(authority, &chain) || chain.len() < 2 {
            if chain.len() > longest.len() {
                longest = chain;
            }
            continue;
        }
        let problems = under(authority, presented, &chain, least.outcome.err());
        let weight = |problems: &[Problem]| {
            let gravest = problems.first().map(|problem| problem.reason);
            (gravest, std::cmp::Reverse(problems.len()))
        };
        if best
            .as_ref()
            .is_none_or(|(other, _)| weight(&problems) > weight(other))
        {
            best = Some((problems, chain));
        }
    }
    best.unwrap_or_else(|| {
        if longest.is_empty() {
            longest.push(presented.leaf.clone());
        }
        (nowhere(trust, presented, &longest), longest)
    })
}

/// The problems of a chain that was built up to an anchor of this authority.
fn under(
    authority: &Authority,
    presented: &Presented<'_>,
    chain: &[Link],
    fault: Option<Fault>,
) -> Vec<Problem> {
    let mut problems = rules::problems(chain, Exceptions::of(authority), true);
    let forgeries = forgeries(chain);
    // Lists tell of what an issuer signed; and whoever forges its name must not have us try keys.
    if forgeries.is_empty() {
        problems.extend(revocation::ask(authority, presented, chain).problems);
    }
    problems.extend(forgeries);
    relaxed(authority, presented, chain, fault, &mut problems);
    if problems.is_empty()
        && let Err(fault) = run(authority, Demands::of(authority, None), presented).outcome
    {
        add(&mut problems, chain, fault, Reason::Invalid);
    }
    if problems.is_empty() {
        // It was refused, so it stays refused, even if no run says why.
        problems.push(Problem::new(0, Reason::Invalid, explain::UNREADABLE.into()));
    }
    in_order(problems)
}

/// Runs OpenSSL with all demands but one kind relaxed, one kind after the other, since it stops at
/// the first thing it finds. `fault` is what it finds with all of them relaxed.
fn relaxed(
    authority: &Authority,
    presented: &Presented<'_>,
    chain: &[Link],
    fault: Option<Fault>,
    problems: &mut Vec<Problem>,
) {
    let strong = Demands::of(authority, None).rules.strong;
    let nothing = Demands::LEAST.rules;
    let kinds = [
        (Reason::Weak, Rules { strong, ..nothing }),
        (
            Reason::Invalid,
            Rules {
                strict: true,
                ..nothing
            },
        ),
        (
            Reason::WrongPurpose,
            Rules {
                for_clients: true,
                ..nothing
            },
        ),
    ];
    if let Some(fault) = fault {
        add(problems, chain, fault, Reason::Invalid);
    }
    for (reason, rules) in kinds {
        let demands = Demands {
            rules,
            ..Demands::LEAST
        };
        if let Err(found) = run(authority, demands, presented).outcome
            && Some(found) != fault
        {
            add(problems, chain, found, reason);
        }
    }
}

/// Adds what OpenSSL found, unless our own rules told of it in better words.
fn add(problems: &mut Vec<Problem>, chain: &[Link], fault: Fault, reason: Reason) {
    let reason = codes::reason(fault.code).unwrap_or(reason);
    let told = |problem: &Problem| problem.reason == reason && problem.depth == fault.depth;
    if problems.iter().any(told) {
        return;
    }
    let depth = usize::try_from(fault.depth).unwrap_or(usize::MAX);
    let name = match depth {
        0 => "",
        depth => chain
            .get(depth)
            .map_or("", |link| &link.content.facts.subject),
    };
    problems.push(Problem {
        fault: fault.code,
        ..Problem::new(depth, reason, explain::other(name, fault.text))
    });
}

/// Certificates that the next one of the chain did not sign. OpenSSL may stop at a milder fault
/// before it comes to the signatures.
fn forgeries(chain: &[Link]) -> Vec<Problem> {
    let pairs = chain.iter().zip(chain.iter().skip(1)).enumerate();
    let forged = pairs.filter(|(_, (link, issuer))| {
        let key = issuer.x509.public_key();
        !key.is_ok_and(|key| link.x509.verify(&key).unwrap_or(false))
    });
    let problems = forged.map(|(depth, (link, issuer))| {
        let name = if depth == 0 {
            ""
        } else {
            &link.content.facts.subject
        };
        let detail = explain::forged(name, &short(&issuer.content.facts.subject));
        Problem::new(depth, Reason::Untrusted, detail)
    });
    let problems = problems.collect();
    let _ = ErrorStack::get();
    problems
}

/// The problems of a chain that leads to no anchor.
fn nowhere(trust: &Trust, presented: &Presented<'_>, chain: &[Link]) -> Vec<Problem> {
    let mut problems = rules::problems(chain, Exceptions::NONE, false);
    problems.extend(forgeries(chain));
    let top = chain.last().unwrap_or(&presented.leaf);
    // What else would be wrong if its top were trusted; this only ever adds problems.
    let stand_in = Authority::stand_in(top);
    let fault = run(&stand_in, Demands::LEAST, presented).outcome.err();
    relaxed(&stand_in, presented, chain, fault, &mut problems);
    let issued = |link: &&Link| {
        link.content.subject == top.content.issuer && link.fingerprint != top.fingerprint
    };
    let depth = chain.len().saturating_sub(1);
    if let Some(issuer) = presented.sent.iter().find(issued)
        && (!issuer.content.ca || issuer.content.may_issue == Some(false))
    {
        // OpenSSL does not even take it for an issuer.
        let detail = explain::not_an_authority(&issuer.content.facts.subject);
        problems.push(Problem::new(depth, Reason::Invalid, detail));
    }
    let (reason, detail) = missing(trust, presented, top, chain.len());
    problems.push(Problem::new(depth, reason, detail));
    in_order(problems)
}

/// Why there is no way on from `top`, where a chain of `length` certificates ends. Without the
/// issuer's certificate nobody can tell a stranger from an intermediate that was left out: it is
/// taken for the latter when it issued an earlier good chain, or when no intermediate came along
/// at all, as roots need not be sent. Either way the certificate is refused.
fn missing(
    trust: &Trust,
    presented: &Presented<'_>,
    top: &Link,
    length: usize,
) -> (Reason, String) {
    let content = &top.content;
    let issuer = short(&content.facts.issuer);
    let named = |link: &Link| link.content.subject == content.issuer;
    let sent = presented.sent.len().saturating_add(1);
    if trust.anchors().next().is_none() {
        (Reason::Untrusted, explain::NOBODY.into())
    } else if trust.anchors().any(named) {
        (Reason::Untrusted, explain::same_name(&issuer))
    } else if content.subject == content.issuer {
        let detail = explain::self_signed(&issuer, &trust.all_accepted());
        (Reason::Untrusted, detail)
    } else if presented.sent.iter().any(named) {
        (Reason::Untrusted, explain::unknown_issuer(&issuer, trust))
    } else if presented.resumed {
        (Reason::ChainIncomplete, explain::RESUMED.into())
    } else if length == 1 || presented.known.iter().any(|link| named(link)) {
        let detail = explain::incomplete(sent, &issuer, trust);
        (Reason::ChainIncomplete, detail)
    } else {
        (Reason::Untrusted, explain::unknown_issuer(&issuer, trust))
    }
}
