//! Revocation lists: whether they can be used, and for how long yet.

use super::finding::{Check, Finding};
use crate::certificate::ListState;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::operation::table::how_many;

/// A list that has less than this part of its time left should have been followed by the next.
const LATE: i64 = 10;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let check = Check::CertificateLists;
    let now = clock::now();
    let states = match config.revocation_lists(now) {
        Ok(states) => states,
        Err(problems) => {
            let finding = |problem: &crate::config::Problem| {
                let finding = check.error(problem.wrong.clone(), problem.write.clone());
                finding.of(problem.place.to_string())
            };
            return problems.iter().map(finding).collect();
        }
    };
    let mut findings: Vec<_> = states.iter().map(|list| judge(list, now)).collect();
    let authorities = config.cas.iter().zip(&config.lists);
    for (ca, files) in authorities.filter(|(ca, _)| !ca.is_gone) {
        let mut own = states.iter().filter(|list| list.ca == ca.name);
        let finding = match files {
            None => check.ok("nobody asks: it has no table crl"),
            Some(_) if own.any(|list| list.fault(now).is_none()) => continue,
            Some(_) => check.error(
                "there is no list that can be used",
                "put the authority's newest list where ca.crl says",
            ),
        };
        findings.push(finding.of(ca.name.clone()));
    }
    findings
}

fn judge(list: &ListState, now: Timestamp) -> Finding {
    let check = Check::CertificateLists;
    let found = format!(
        "the list of '{}', {} on it",
        list.issuer,
        how_many(list.entries, "certificate")
    );
    let finding = match (list.fault(now), list.until) {
        _ if list.is_replaced => check.note(
            format!("{found}: a newer list has taken its place"),
            "take it away: who stands on it stays revoked by it, also when on hold no more",
        ),
        (Some(fault), _) => check.error(found, fault.advice()),
        (None, None) => check.error(found, "it does not say how long it holds"),
        (None, Some(until)) => {
            let found = format!("{found}, until {until}");
            let (left, whole) = (until.seconds_since(now), until.seconds_since(list.from));
            if left.saturating_mul(LATE) < whole {
                let advice =
                    "see why the next one has not come: nobody is clear when this one ends";
                check.warning(found, advice)
            } else {
                check.ok(found)
            }
        }
    };
    finding.of(list.file.clone())
}
