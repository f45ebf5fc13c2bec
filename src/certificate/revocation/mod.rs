//! Whether a certificate was revoked, by the lists that the operator gave (RFC 5280 section 6.3).
//!
//! The safe bindings of OpenSSL take lists from files only, so the check is ours. It fails closed:
//! a list that says nothing that we could rely on clears nobody, and a certificate is only clear
//! when lists that hold now cover every reason for which it could have been revoked. But whoever
//! stands on a list that its issuer signed is revoked, even when the list is out of date.

mod entries;
mod file;
mod list;
mod scope;
mod signature;
mod signer;
mod state;

pub use file::{ListFile, Revocation, WhenUnknown};
pub use list::{RevocationList, UnreadableList};
pub use state::{ListFault, ListState};

use super::chain::Link;
use super::explain;
use super::name::short;
use super::run::Presented;
use super::trust::Authority;
use super::verdict::{Problem, Reason};
use crate::clock::Timestamp;
use entries::Entry;
use list::at_most;
use scope::{Point, Reasons, same_name};
use signer::signers;

/// How deep the check of a list's signer may lead to other lists and their signers.
const DEEPEST: u8 = 2;

/// What the lists say of a certificate.
enum Status {
    Clear,
    Revoked {
        at: Timestamp,
        why: &'static str,
    },
    /// Nobody can tell; why not.
    Unknown(String),
}

/// What a check is made with.
#[derive(Clone, Copy)]
struct Check<'a> {
    revocation: &'a Revocation,
    authority: &'a Authority,
    presented: &'a Presented<'a>,
    /// The chain in question, up to its anchor.
    chain: &'a [Link],
    depth: u8,
}

/// What the lists of an authority say of a chain up to one of its anchors.
#[derive(Default)]
pub(super) struct Findings {
    /// What it is refused for.
    pub(super) problems: Vec<Problem>,
    /// Why nobody can tell whether it was revoked, where it is accepted all the same.
    pub(super) unknown: Option<String>,
}

/// Asks the lists of this authority; when it has none and needs none, nobody asks.
pub(super) fn ask(authority: &Authority, presented: &Presented<'_>, chain: &[Link]) -> Findings {
    let Some(revocation) = &authority.revocation else {
        return Findings::default();
    };
    let check = Check {
        revocation,
        authority,
        presented,
        chain,
        depth: 0,
    };
    let problems = check.problems();
    if revocation.when_unknown == WhenUnknown::Refuse {
        return Findings {
            problems,
            unknown: None,
        };
    }
    let (unknown, problems): (Vec<_>, Vec<_>) = problems
        .into_iter()
        .partition(|problem| problem.reason == Reason::RevocationUnknown);
    Findings {
        problems,
        unknown: unknown.into_iter().next().map(|problem| problem.detail),
    }
}

/// The issuers of lists that have nothing to do with a chain, to be named.
pub(super) fn foreign(revocation: &Revocation, chain: &[Link]) -> Vec<String> {
    let lists = revocation.lists().filter(|list| {
        let mut issuers = chain.iter().map(|link| &link.content.issuer);
        !list.scope.indirect && !issuers.any(|issuer| same_name(issuer, &list.issuer))
    });
    let mut names: Vec<_> = lists.map(|list| short(list.issuer())).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Check<'_> {
    fn problems(&self) -> Vec<Problem> {
        let chain = self.chain;
        let links = chain.iter().zip(chain.iter().skip(1)).enumerate();
        let found = links.filter_map(|(depth, (link, issuer))| {
            let name = match depth {
                0 => "",
                _ => link.content.facts.subject.as_str(),
            };
            let by = short(&issuer.content.facts.subject);
            let (reason, detail) = match self.status(link) {
                Status::Clear => return None,
                Status::Revoked { at, why } => {
                    (Reason::Revoked, explain::revoked(name, &by, at, why))
                }
                Status::Unknown(why) => (
                    Reason::RevocationUnknown,
                    explain::revocation_unknown(name, &why),
                ),
            };
            Some(Problem::new(depth, reason, detail))
        });
        found.collect()
    }

    fn status(&self, link: &Link) -> Status {
        let (content, now) = (&link.content, self.presented.now);
        let Ok(points) = points(link) else {
            let why = "the certificate does not say properly where its revocation is published";
            return Status::Unknown(why.to_owned());
        };
        let mut covered = Reasons::NONE;
        let mut faults = Vec::new();
        let about = |list: &&RevocationList| {
            list.scope.takes(content.ca) && !reasons(list, &points, link).are_none()
        };
        let lists: Vec<_> = self.revocation.lists().filter(about).collect();
        for list in &lists {
            if let Some(fault) = self.fault(list, link) {
                faults.push(fault);
                continue;
            }
            if let Some(entry) = self.entry(list, &lists, link) {
                return Status::Revoked {
                    at: entry.at,
                    why: entry.why(),
                };
            }
            if list.base.is_some() {
                continue;
            }
            if !list.is_current(now) {
                faults.push(explain::list_out_of_date(list.issuer(), list.until, now));
            } else if self.lacks_a_delta(list, &lists, link) {
                faults.push(explain::delta_not_usable(list.issuer()));
            } else {
                covered = covered.or(reasons(list, &points, link));
            }
        }
        if covered.are_all() {
            return Status::Clear;
        }
        if lists.iter().all(|list| list.base.is_some()) {
            faults.push(explain::no_list(&short(&content.facts.issuer)));
        } else if faults.is_empty() {
            faults.push(explain::reasons_left_out(&short(&content.facts.issuer)));
        }
        Status::Unknown(faults.join("; "))
    }

    /// Why nothing that a list says is believed.
    fn fault(&self, list: &RevocationList, link: &Link) -> Option<String> {
        if list.strange {
            return Some(explain::list_not_understood(list.issuer()));
        }
        let signed = signers(self, list).any(|signer| self.may_sign(signer, link));
        (!signed).then(|| explain::list_not_signed(list.issuer()))
    }

    /// Whether there are deltas that go on where `complete` ends, and none that can be used.
    fn lacks_a_delta(
        &self,
        complete: &RevocationList,
        lists: &[&RevocationList],
        link: &Link,
    ) -> bool {
        let deltas: Vec<_> = lists
            .iter()
            .filter(|delta| delta.goes_on_after(complete))
            .collect();
        let usable = |delta: &&&&RevocationList| {
            delta.adds_to(complete)
                && delta.is_current(self.presented.now)
                && self.fault(delta, link).is_none()
        };
        !deltas.is_empty() && deltas.iter().find(usable).is_none()
    }

    /// What a list says of a certificate. A delta that fits to it may take a revocation back.
    fn entry(
        &self,
        list: &RevocationList,
        lists: &[&RevocationList],
        link: &Link,
    ) -> Option<Entry> {
        let content = &link.content;
        let serial = &content.serial;
        let entry = list.entry(serial, &content.issuer)?;
        // In any other list than a delta it is an entry like any other.
        if entry.is_removal() && list.base.is_some() {
            return None;
        }
        let takes_back = |delta: &&&RevocationList| {
            delta.adds_to(list)
                && delta.is_current(self.presented.now)
                && delta
                    .entry(serial, &content.issuer)
                    .is_some_and(|entry| entry.is_removal())
                && self.fault(delta, link).is_none()
        };
        lists.iter().find(takes_back).is_none().then_some(entry)
    }
}

impl RevocationList {
    /// Whether it is a delta of `complete`'s scope, with news.
    fn goes_on_after(&self, complete: &Self) -> bool {
        let (Some(own), Some(number)) = (&self.number, &complete.number) else {
            return false;
        };
        self.base.is_some()
            && complete.base.is_none()
            && !at_most(own, number)
            && self.scope == complete.scope
            && same_name(&self.issuer, &complete.issuer)
    }

    /// Whether it is a delta that can be added to `complete` (section 5.2.4).
    fn adds_to(&self, complete: &Self) -> bool {
        let (Some(base), Some(number)) = (&self.base, &complete.number) else {
            return false;
        };
        self.goes_on_after(complete) && at_most(base, number)
    }
}

/// Where the revocation of a certificate may be published: where it says so, and where its issuer
/// publishes without being asked.
fn points(link: &Link) -> Result<Vec<Point>, super::der::NotDer> {
    let content = &link.content;
    let mut points = match &content.crl_points {
        Some(points) => Point::read(points, &content.issuer)?,
        None => Vec::new(),
    };
    points.push(Point::of_issuer(&content.issuer));
    Ok(points)
}

/// Which reasons a list covers for a certificate with these points.
fn reasons(list: &RevocationList, points: &[Point], link: &Link) -> Reasons {
    let issuer = &link.content.issuer;
    let covered = points
        .iter()
        .map(|point| point.covered_by(&list.issuer, &list.scope, issuer));
    covered.fold(Reasons::NONE, Reasons::or)
}
