//! Certificates: until when they are good, whether chains are whole, and for which hosts.

use std::fs;

use super::finding::{Check, Finding, Outcome};
use crate::certificate::{Ca, Facts, Limits};
use crate::clock::{self, Timestamp};
use crate::config::{Config, NamedFile};
use crate::policy::{HostPattern, Route};
use crate::tls;
use crate::tls::x509::X509;

const DAY: i64 = 86_400;
/// From so many days before the end on it is noted, warned of, and an error.
const NOTED: i64 = 30;
const WARNED: i64 = 14;
const URGENT: i64 = 3;

/// Certificates of a file, and what is told of it.
struct Bundle {
    key: String,
    certificates: Vec<X509>,
}

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let now = clock::now();
    let bundles: Vec<_> = config.files.iter().filter_map(bundle).collect();
    let mut findings: Vec<_> = bundles.iter().map(|bundle| dates(bundle, now)).collect();
    let ours = |bundle: &&Bundle| bundle.key.starts_with("listener.");
    let servers: Vec<_> = bundles.iter().filter(ours).collect();
    findings.extend(servers.iter().map(|server| chain(server)));
    let names = servers.iter().filter_map(|server| {
        let leaf = server.certificates.first()?;
        Some(dns_names(leaf))
    });
    findings.extend(hosts(&config.routes, &names.collect::<Vec<_>>()));
    let authorities = config.cas.iter().filter(|ca| !ca.is_gone);
    findings.extend(authorities.map(strength));
    findings
}

/// It was read a moment ago with the configuration, so what cannot be read now is no certificate.
fn bundle(file: &NamedFile) -> Option<Bundle> {
    if file.is_secret {
        return None;
    }
    let certificates = X509::stack_from_pem(&fs::read(&file.path).ok()?).ok()?;
    Some(Bundle {
        key: file.key.to_string(),
        certificates,
    })
}

impl Bundle {
    /// Whether all of them are needed, and not only one of them.
    fn is_chain(&self) -> bool {
        self.key.ends_with("certificate_file")
    }

    /// Clients come by each of them.
    fn is_for_clients(&self) -> bool {
        self.key.starts_with("ca[")
    }
}

fn dates(bundle: &Bundle, now: Timestamp) -> Finding {
    let facts = bundle.certificates.iter().flat_map(|x| Facts::of(x));
    let facts: Vec<_> = facts.collect();
    let finding = if bundle.is_chain() {
        judge_chain_dates(&facts, now)
    } else {
        judge_bundle_dates(&facts, now, bundle.is_for_clients())
    };
    finding.of(bundle.key.clone())
}

/// The first end among all of them is that of the chain.
fn judge_chain_dates(facts: &[Facts], now: Timestamp) -> Finding {
    let check = Check::CertificateDates;
    if let Some(early) = facts.iter().find(|facts| facts.not_before > now) {
        let found = format!("'{}' begins only at {}", early.subject, early.not_before);
        return check.error(
            found,
            "set the clock right, or name a certificate that is good now",
        );
    }
    let Some(first) = facts.iter().min_by_key(|facts| facts.not_after) else {
        return check.error("no certificate can be read", "write the file again");
    };
    let advice = "renew it, see why that did not happen by itself, and run: keyferry reload";
    ending(check, &first.subject, first.not_after, now, advice)
}

/// A certificate that ends then: the fewer days are left, the worse.
pub(super) fn ending(
    check: Check,
    subject: &str,
    end: Timestamp,
    now: Timestamp,
    advice: &str,
) -> Finding {
    if end <= now {
        return check.error(format!("'{subject}' has ended at {end}"), advice);
    }
    let days = days_until(end, now);
    let found = format!("'{subject}' ends in {days} days, at {end}");
    let outcome = match outcome(days) {
        Outcome::Warning if days <= URGENT => Outcome::Error,
        other => other,
    };
    check.judged(outcome, found, advice)
}

fn outcome(days: i64) -> Outcome {
    if days <= WARNED {
        Outcome::Warning
    } else if days <= NOTED {
        Outcome::Note
    } else {
        Outcome::Ok
    }
}

fn days_until(end: Timestamp, now: Timestamp) -> i64 {
    end.seconds_since(now).div_euclid(DAY)
}

/// One that is good is enough, unless clients come by each of them.
fn judge_bundle_dates(facts: &[Facts], now: Timestamp, clients_come: bool) -> Finding {
    let check = Check::CertificateDates;
    let mut good: Vec<_> = facts
        .iter()
        .filter(|facts| facts.not_before <= now && now < facts.not_after)
        .collect();
    good.sort_by_key(|facts| facts.not_after);
    let (all, ended) = (facts.len(), facts.len().saturating_sub(good.len()));
    let (Some(first), Some(last)) = (good.first(), good.last()) else {
        let advice = "put the authority's present certificate into it, and run: keyferry reload";
        return check.error(
            format!("none of its {all} certificates is good now"),
            advice,
        );
    };
    let next = if clients_come { first } else { last };
    let days = days_until(next.not_after, now);
    let found = format!(
        "{} of {all} certificates are good, '{}' for {days} days",
        good.len(),
        next.subject
    );
    let advice = "put its successor into the file beside it, and run: keyferry reload; clients or \
                  servers below it are refused when it ends";
    if outcome(days) == Outcome::Ok && ended > 0 && clients_come {
        let advice = "take those that have ended out: nobody comes by them any more";
        return check.note(found, advice);
    }
    check.judged(outcome(days), found, advice)
}

/// Each is signed by the next, and the last one by somebody whom clients know.
fn chain(server: &Bundle) -> Finding {
    let check = Check::CertificateChain;
    let of = |finding: Finding| finding.of(server.key.clone());
    let pairs = server.certificates.windows(2);
    for pair in pairs {
        if let [one, next] = pair
            && !(tls::has_issued(next, one) && has_signed(next, one))
        {
            let name = |x: &X509| Facts::of(x).map(|facts| facts.subject).unwrap_or_default();
            let found = format!("'{}' is not signed by '{}'", name(one), name(next));
            return of(check.error(
                found,
                "put the server's certificate first, then its issuer, then that one's issuer",
            ));
        }
    }
    let number = server.certificates.len();
    let Some(last) = server.certificates.last() else {
        return of(check.error("no certificate can be read", "write the file again"));
    };
    let issuer = Facts::of(last)
        .map(|facts| facts.issuer)
        .unwrap_or_default();
    of(match (has_signed(last, last), number) {
        (true, 1) => check.note(
            "it has signed itself",
            "clients must be given this certificate to trust; for others have it signed by an \
             authority that they know",
        ),
        (true, _) => check.ok(format!("{number} certificates, up to the root")),
        (false, 1) => check.note(
            format!("no intermediate; clients must know '{issuer}' themselves"),
            "if that is an intermediate, put its certificate into the file behind the server's",
        ),
        (false, _) => check.ok(format!("{number} certificates, signed by '{issuer}'")),
    })
}

fn has_signed(by: &X509, of: &X509) -> bool {
    let key = by.public_key();
    key.is_ok_and(|key| of.verify(&key).unwrap_or(false))
}

fn dns_names(leaf: &X509) -> Vec<String> {
    let names = leaf.subject_alt_names().into_iter().flatten();
    names
        .filter_map(|name| name.dnsname().map(str::to_ascii_lowercase))
        .collect()
}

/// Every host of a route has a certificate, by the rules of clients (RFC 9525 section 6.3).
fn hosts(routes: &[Route], certificates: &[Vec<String>]) -> Vec<Finding> {
    let check = Check::CertificateNames;
    let names: Vec<&str> = certificates.iter().flatten().map(String::as_str).collect();
    let mut hosts: Vec<&str> = routes
        .iter()
        .filter_map(|route| match &route.host {
            HostPattern::Exact(host) => Some(host.as_str()),
            HostPattern::Any => None,
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    let is_covered = |host: &str| {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        names.iter().any(|name| {
            *name == host || name.strip_prefix("*.").is_some_and(|of| Some(of) == parent)
        })
    };
    let missing = hosts.iter().filter(|host| !is_covered(host));
    let mut findings: Vec<_> = missing
        .map(|host| {
            let advice = "add a [[listener.certificate]] that names the host, or correct the \
                          route's host";
            check
                .error(format!("no certificate names {host}"), advice)
                .expecting(format!("DNS:{host}"))
        })
        .collect();
    if names.is_empty() {
        let advice = "have it issued with subject alternative names: clients look at nothing else";
        findings.push(check.error("no certificate names any host", advice));
    }
    if findings.is_empty() {
        findings.push(check.ok(names.join(", ")));
    }
    findings
}

fn strength(ca: &Ca) -> Finding {
    let check = Check::CertificateStrength;
    let mut worst = check.ok("strong keys and signatures");
    if ca.allow_weak {
        worst = check.note(
            "weak certificates are accepted from it",
            "take \"weak\" out of allow when no client has one any more: keyferry certificate list",
        );
    }
    for x509 in &X509::stack_from_pem(&ca.pem).unwrap_or_default() {
        let (Ok(limits), Ok(facts)) = (Limits::of(x509), Facts::of(x509)) else {
            continue;
        };
        let found = judge_limits(&facts.subject, &limits);
        if let Some(found) = found.filter(|found| found.outcome > worst.outcome) {
            worst = found;
        }
    }
    worst.of(format!("ca {}", ca.name))
}

fn judge_limits(subject: &str, limits: &Limits) -> Option<Finding> {
    let check = Check::CertificateStrength;
    let weak = match (limits.weak_key, limits.weak_signature) {
        (Some(bits), _) => Some(format!("the key of '{subject}' has {bits} bits")),
        (None, Some(digest)) => Some(format!("'{subject}' was signed with {digest}")),
        (None, None) => None,
    };
    if let Some(found) = weak {
        let advice = "who can break it makes clients of his own; move to another authority, and \
                      give this one max_depth and routes as narrow as can be";
        return Some(check.warning(found, advice));
    }
    limits.constrains_names.then(|| {
        check.note(
            format!("'{subject}' says which names there may be below it"),
            "clients with other names are refused as certificate_invalid; try one with: keyferry \
             explain FILE",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn facts(from: i64, until: i64) -> Facts {
        let at = |days: i64| {
            let seconds = days.saturating_mul(DAY);
            Timestamp::from_unix(NOW.as_unix().saturating_add(seconds))
        };
        Facts {
            subject: "CN=a".to_owned(),
            issuer: "CN=b".to_owned(),
            alternative_names: Vec::new(),
            serial: String::new(),
            spki: String::new(),
            not_before: at(from),
            not_after: at(until),
        }
    }

    #[test]
    fn a_chain_ends_with_the_first_of_its_certificates() {
        for (days, outcome) in [
            (31, Outcome::Ok),
            (30, Outcome::Note),
            (14, Outcome::Warning),
            (3, Outcome::Error),
            (-1, Outcome::Error),
        ] {
            let found = judge_chain_dates(&[facts(-1, 900), facts(-1, days)], NOW);
            assert_eq!(found.outcome, outcome, "{days} {found:?}");
        }
        let early = judge_chain_dates(&[facts(1, 900)], NOW);
        assert_eq!(early.outcome, Outcome::Error);
    }

    #[test]
    fn of_a_bundle_one_is_enough_unless_clients_come_by_each() {
        let two = [facts(-9, -1), facts(-9, 900)];
        let outcome = |facts: &[Facts], clients| judge_bundle_dates(facts, NOW, clients).outcome;
        assert_eq!(outcome(&two, false), Outcome::Ok);
        assert_eq!(outcome(&two, true), Outcome::Note);
        let ending = [facts(-9, 10), facts(-9, 900)];
        assert_eq!(outcome(&ending, false), Outcome::Ok);
        assert_eq!(outcome(&ending, true), Outcome::Warning);
        assert_eq!(outcome(&[facts(-9, -1)], false), Outcome::Error);
    }

    #[test]
    fn every_host_of_a_route_needs_a_name() {
        let route = |host: &str| Route {
            name: String::new(),
            host: host.parse().unwrap(),
            path: "/".to_owned(),
            backend: 0,
            accept: crate::policy::Accept::Either,
            scopes: Vec::new(),
            cas: Vec::new(),
        };
        let names = [vec!["*.example.com".to_owned(), "b.org".to_owned()]];
        let outcome = |host: &str| hosts(&[route(host)], &names)[0].outcome;
        for good in ["a.example.com", "b.org", "*"] {
            assert_eq!(outcome(good), Outcome::Ok, "{good}");
        }
        for bad in ["example.com", "a.b.example.com", "a.b.org"] {
            assert_eq!(outcome(bad), Outcome::Error, "{bad}");
        }
        assert_eq!(hosts(&[route("*")], &[])[0].outcome, Outcome::Error);
    }
}
