//! The outcome of every check, told from what the verification found.

use super::{Check, CheckOutcome, Checked, Findings, Lineage};
use crate::certificate::chain::Link;
use crate::certificate::codes;
use crate::certificate::explain;
use crate::certificate::name::short;
use crate::certificate::revocation::{self, Revocation};
use crate::certificate::{Problem, Reason, Verified};
use crate::tls;

/// Every check, in order.
pub(super) fn checks(findings: &Findings<'_>) -> Vec<Checked> {
    Check::ALL
        .map(|check| {
            let (outcome, detail) = outcome(check, findings);
            Checked {
                check,
                outcome,
                detail,
            }
        })
        .into()
}

fn outcome(check: Check, findings: &Findings<'_>) -> (CheckOutcome, String) {
    let problems = match &findings.verdict {
        Ok(_) => &[][..],
        Err(rejected) => rejected.problems(),
    };
    if findings.verdict.is_err()
        && findings.links.is_empty()
        && problems.iter().all(|p| of(p) != check)
    {
        let unread = "A certificate cannot be read, and so nothing else is looked at.";
        return (CheckOutcome::NotChecked, unread.to_owned());
    }
    let failed: Vec<&Problem> = problems.iter().filter(|p| of(p) == check).collect();
    if !failed.is_empty() {
        let mut detail: Vec<_> = failed
            .iter()
            .map(|problem| problem.detail.clone())
            .collect();
        detail.extend(
            (check == Check::Completeness)
                .then(|| remembered(findings))
                .flatten(),
        );
        detail.extend(
            (check == Check::Revocation)
                .then(|| foreign(findings))
                .flatten(),
        );
        return (CheckOutcome::Failed, detail.join(" "));
    }
    let not_checked = |why: &str| (CheckOutcome::NotChecked, why.to_owned());
    let is = |reason| problems.iter().any(|problem| problem.reason == reason);
    let incomplete = is(Reason::ChainIncomplete);
    let nowhere = findings.verdict.is_err() && !is_anchored(findings);
    match check {
        Check::Trust if incomplete => {
            not_checked("Where the chain leads can be told once it is complete.")
        }
        Check::Completeness if nowhere && !ends_by_itself(findings.links) => not_checked(
            "The chain does not lead to an accepted authority, whose intermediates would be known.",
        ),
        Check::NameConstraints | Check::Revocation if nowhere => {
            not_checked("That takes a chain that leads to an accepted authority.")
        }
        Check::Revocation => match (revocation_of(findings), &findings.verdict) {
            (None, _) => not_checked(explain::NO_LISTS),
            (
                Some(_),
                Ok(Verified {
                    unknown: Some(why), ..
                }),
            ) => not_checked(&explain::accepted_all_the_same(why)),
            (Some(_), _) => ok(explain::CLEAR),
        },
        Check::Lineage => match findings.lineage {
            Lineage::Superseded => (CheckOutcome::Failed, explain::SUPERSEDED.to_owned()),
            Lineage::Current => ok("No newer certificate has taken its place."),
            Lineage::Unknown => not_checked("It is not looked up whose certificate it is."),
        },
        Check::Completeness => ok(&length(findings.links)),
        Check::Trust => ok(&trusted(findings)),
        Check::Dates => ok(&dates(findings)),
        Check::Purpose => ok(purpose(findings.links)),
        Check::Strength => ok(&strength(findings.links)),
        Check::Rules => ok("The rules of RFC 5280 are kept."),
        Check::NameConstraints => ok("No issuer of the chain forbids the names."),
    }
}

fn ok(detail: &str) -> (CheckOutcome, String) {
    (CheckOutcome::Ok, detail.to_owned())
}

/// Which check a problem belongs to.
fn of(problem: &Problem) -> Check {
    match problem.reason {
        Reason::ChainIncomplete => Check::Completeness,
        Reason::Untrusted => Check::Trust,
        Reason::NotYetValid | Reason::Expired => Check::Dates,
        Reason::WrongPurpose => Check::Purpose,
        Reason::Weak => Check::Strength,
        Reason::Invalid if codes::is_name_constraint(problem.fault) => Check::NameConstraints,
        Reason::Invalid => Check::Rules,
        Reason::Revoked | Reason::RevocationUnknown => Check::Revocation,
        Reason::Superseded => Check::Lineage,
    }
}

fn is_anchored(findings: &Findings<'_>) -> bool {
    let last = findings.links.last();
    findings.links.len() > 1 && last.is_some_and(|last| findings.trust.is_anchor(&last.fingerprint))
}

fn ends_by_itself(links: &[Link]) -> bool {
    links
        .last()
        .is_some_and(|last| last.content.subject == last.content.issuer)
}

/// Whether the certificate that is missing came with other chains, and so is to be had.
fn remembered(findings: &Findings<'_>) -> Option<String> {
    let top = findings.links.last()?;
    (findings.is_known)(&top.content.issuer).then(|| {
        let issuer = short(&top.content.facts.issuer);
        format!("The server has seen '{issuer}' in a good chain: the certificate exists, and only has to be sent.")
    })
}

/// What the authority that the chain leads to tells of revocation by.
fn revocation_of<'a>(findings: &Findings<'a>) -> Option<&'a Revocation> {
    let last = findings.links.last();
    let authority = match &findings.verdict {
        Ok(good) => findings.trust.authority(good.ca()),
        Err(_) => findings.trust.authority_of(&last?.fingerprint),
    };
    authority?.revocation.as_ref()
}

/// Lists that were given and tell of nothing here.
fn foreign(findings: &Findings<'_>) -> Option<String> {
    let names = revocation::foreign(revocation_of(findings)?, findings.links);
    (!names.is_empty()).then(|| explain::foreign_lists(&names))
}

fn length(links: &[Link]) -> String {
    if links.len() < 2 {
        return "The chain came with the connection that this one resumes.".to_owned();
    }
    match links.len().saturating_sub(2) {
        0 => "An authority issued it directly; no intermediate is needed.".to_owned(),
        1 => "The intermediate between it and the authority is there.".to_owned(),
        between => format!("All {between} intermediates between it and the authority are there."),
    }
}

fn trusted(findings: &Findings<'_>) -> String {
    let last = findings.links.last();
    let anchor = last.map_or_else(String::new, |last| short(&last.content.facts.subject));
    match &findings.verdict {
        Ok(good) if findings.links.len() > 1 => format!(
            "It leads to '{anchor}', which is accepted as '{}'.",
            findings.trust.ca_name(good.ca())
        ),
        Ok(good) => format!(
            "It was verified on the connection that this one resumes, under '{}'.",
            findings.trust.ca_name(good.ca())
        ),
        Err(_) => format!("It leads to '{anchor}', which is accepted."),
    }
}

fn dates(findings: &Findings<'_>) -> String {
    let mut ends = findings
        .links
        .iter()
        .map(|link| link.content.facts.not_after);
    let Some(own) = ends.next() else {
        return format!("All is valid; this server's clock says {}.", findings.now);
    };
    let now = findings.now;
    let left = explain::span(own.seconds_since(now));
    let clock = format!("this server's clock says {now}");
    match ends.min().filter(|first| *first < own) {
        Some(first) => format!(
            "It is valid until {own}, {left} from now, but one of its issuers only until {first}; {clock}."
        ),
        None => format!("It is valid until {own}, {left} from now; {clock}."),
    }
}

fn purpose(links: &[Link]) -> &'static str {
    match links.first().map(|leaf| leaf.content.client_auth) {
        Some(None) => {
            "It does not say what it may be used for, which its authority is allowed to leave out."
        }
        _ => "It may be used by a TLS client.",
    }
}

fn strength(links: &[Link]) -> String {
    let key = links.first().and_then(|leaf| leaf.x509.public_key().ok());
    let bits = key.map_or(0, |key| tls::security_bits(&key));
    format!("Its key has {bits} bits of security, and every signature is strong enough.")
}
