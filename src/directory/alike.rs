//! Which certificates have the same key or the same names: where a renewal is looked for.
//!
//! What identifies nobody any more is found as well, so that who was shut out is not taken for
//! somebody new. What is found are candidates: their records decide.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::RandomState;

use super::rows::Link;
use super::shards::{Row, Shards};
use crate::certificate::{CertificateRecord, Facts, Fingerprint, Mapping};

/// With how many others a certificate is compared. When there are more, it is nobody's for sure.
const MOST: usize = 32;
/// How many of one key or name are kept, with all that were renewed.
const MOST_KEPT: usize = 1024;

/// The certificates that are alike.
#[derive(Default)]
pub(super) struct Alike {
    groups: Shards<Member>,
    hasher: RandomState,
}

/// One certificate of a group.
#[derive(Clone)]
struct Member {
    /// A number that is computed from a key, or from the names. It is another one in every
    /// process, so that nobody can choose certificates that collide.
    group: u32,
    /// The place of the certificate.
    certificate: u32,
}

impl Row for Member {
    fn place(&self) -> u32 {
        self.group
    }
}

/// The certificates that may be alike one that was asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Them, each once.
    pub certificates: Vec<Fingerprint>,
    /// There are more of the same key.
    pub too_many_keys: bool,
    /// There are more of the same names.
    pub too_many_names: bool,
}

impl Alike {
    /// Without any certificate, and with the same numbers for their groups.
    pub(super) fn empty(&self) -> Self {
        Self {
            groups: Shards::default(),
            hasher: self.hasher.clone(),
        }
    }

    /// Takes certificates at these places over from `known`, which has the same numbers.
    pub(super) fn stay(&self, known: &Self, places: &HashSet<u32>) {
        if places.is_empty() {
            return;
        }
        known.groups.each(|member| {
            if places.contains(&member.certificate) {
                self.put(member.clone());
            }
        });
    }

    /// Takes in a certificate as it is now.
    pub(super) fn apply(&self, record: &CertificateRecord) {
        let Some(facts) = &record.facts else {
            return;
        };
        if matches!(record.mapping, Mapping::Pending | Mapping::Twin { .. }) {
            return;
        }
        let certificate = Link::from(&record.fingerprint).place();
        for group in self.numbers(facts) {
            self.put(Member { group, certificate });
        }
    }

    fn put(&self, member: Member) {
        let known = self.members(member.group);
        if known.len() < MOST_KEPT && !known.contains(&member.certificate) {
            self.groups.put(member, |_| false);
        }
    }

    /// From now on others read while certificates are taken in.
    pub(super) fn share(&self) {
        self.groups.share();
    }

    /// Those that may have the key or the names of a certificate with these facts. A lineage of
    /// any length is one candidate: what took over from a certificate is compared in its place,
    /// when it is in the same group. `at` calls with each certificate of a place, and with the one
    /// that took over from it.
    pub(super) fn to(
        &self,
        facts: &Facts,
        at: impl Fn(u32, &mut dyn FnMut(Fingerprint, Option<Link>)),
    ) -> Candidates {
        let [keys, names] = self.numbers(facts).map(|group| {
            let members = self.members(group);
            if members.len() >= MOST_KEPT {
                return None;
            }
            let mut all = Vec::new();
            for place in members {
                at(place, &mut |one, successor| all.push((one, successor)));
            }
            let is_last = |(_, successor): &&(Fingerprint, Option<Link>)| {
                !all.iter()
                    .any(|(one, _)| Some(Link::from(one)) == *successor)
            };
            let last: Vec<_> = all.iter().filter(is_last).map(|(one, _)| *one).collect();
            (last.len() <= MOST).then_some(last)
        });
        let mut found = Candidates {
            too_many_keys: keys.is_none(),
            too_many_names: names.is_none(),
            certificates: [keys, names].into_iter().flatten().flatten().collect(),
        };
        found.certificates.sort_unstable();
        found.certificates.dedup();
        found
    }

    fn members(&self, group: u32) -> Vec<u32> {
        let mut members = Vec::new();
        self.groups
            .each_at(group, |member| members.push(member.certificate));
        members
    }

    /// The numbers of a certificate's key and of its names.
    fn numbers(&self, facts: &Facts) -> [u32; 2] {
        let Facts {
            spki,
            issuer,
            subject,
            alternative_names,
            ..
        } = facts;
        [
            self.number(spki),
            self.number((issuer, subject, alternative_names)),
        ]
    }

    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a hash do")]
    fn number(&self, of: impl Hash) -> u32 {
        self.hasher.hash_one(of) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Source;
    use crate::clock::Timestamp;
    use crate::key::KeyId;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn facts(key: &str, subject: &str) -> Facts {
        Facts {
            subject: subject.to_owned(),
            issuer: "CN=Clients".to_owned(),
            alternative_names: Vec::new(),
            serial: "01".to_owned(),
            spki: key.to_owned(),
            not_before: NOW,
            not_after: NOW,
        }
    }

    fn record(name: &str, key: &str, subject: &str) -> CertificateRecord {
        let mapping = Mapping::Mapped {
            client: "acme".parse().unwrap(),
            key: KeyId::generate(),
        };
        let fingerprint = Fingerprint::of(name.as_bytes());
        CertificateRecord::new(fingerprint, mapping, Source::FirstSight, NOW)
            .with_facts(Some(facts(key, subject)))
    }

    fn found(all: &[&CertificateRecord], key: &str, subject: &str) -> Vec<Fingerprint> {
        let alike = Alike::default();
        for record in all {
            alike.apply(record);
        }
        let at = |place, each: &mut dyn FnMut(Fingerprint, Option<Link>)| {
            let here = |one: &&&CertificateRecord| Link::from(&one.fingerprint).place() == place;
            for record in all.iter().filter(here) {
                let is_mapped = matches!(record.mapping, Mapping::Mapped { .. });
                let successor = record.renewed_by.as_ref().filter(|_| is_mapped);
                each(record.fingerprint, successor.map(Link::from));
            }
        };
        alike.to(&facts(key, subject), at).certificates
    }

    /// `b` took over from `a`, and `c` from `b`; `a` and `b` have one key, all have one name.
    fn lineage() -> [CertificateRecord; 3] {
        let [mut a, mut b, mut c] =
            [("a", "k"), ("b", "k"), ("c", "l")].map(|(name, key)| record(name, key, "CN=acme"));
        (a.renewed_by, b.renews) = (Some(b.fingerprint), Some(a.fingerprint));
        (b.renewed_by, c.renews) = (Some(c.fingerprint), Some(b.fingerprint));
        [a, b, c]
    }

    #[test]
    fn of_a_lineage_the_newest_with_that_key_or_name_is_found() {
        let [a, b, c] = lineage();
        let all = [&c, &b, &a];
        assert_eq!(found(&all, "k", "CN=else"), [b.fingerprint]);
        assert_eq!(found(&all, "l", "CN=else"), [c.fingerprint]);
        assert!(found(&all, "m", "CN=else").is_empty());
        assert_eq!(found(&all, "m", "CN=acme"), [c.fingerprint]);
    }

    #[test]
    fn what_ended_is_found_whatever_took_over_from_it() {
        let [mut a, b, c] = lineage();
        a.mapping = Mapping::Removed { at: NOW };
        let all = [&a, &b, &c];
        assert!(found(&all, "k", "CN=else").contains(&a.fingerprint));
        assert!(found(&all, "m", "CN=acme").contains(&a.fingerprint));
    }

    #[test]
    fn a_hundred_renewals_are_one_candidate_and_a_hundred_strangers_too_many() {
        let name = |n: usize| Fingerprint::of(n.to_string().as_bytes());
        let all = |key: &dyn Fn(usize) -> String, subject| {
            let alike = Alike::default();
            for n in 0..100 {
                alike.apply(&record(&n.to_string(), &key(n), subject));
            }
            alike
        };
        let at = |place, each: &mut dyn FnMut(Fingerprint, Option<Link>), next: usize| {
            let here = |n: &usize| Link::from(&name(*n)).place() == place;
            for n in (0..100).filter(here) {
                let after = Some(n + next).filter(|after| *after != n && *after < 100);
                each(name(n), after.map(|after| (&name(after)).into()));
            }
        };
        let alike = all(&|_| "k".to_owned(), "CN=acme");
        let candidates = alike.to(&facts("k", "CN=acme"), |place, each| at(place, each, 1));
        assert_eq!(candidates.certificates, [name(99)]);

        let alike = all(&|n| n.to_string(), "CN=device");
        let candidates = alike.to(&facts("7", "CN=device"), |place, each| at(place, each, 0));
        assert!(candidates.too_many_names && !candidates.too_many_keys);
        assert_eq!(candidates.certificates, [name(7)]);
    }
}
