//! Which certificates have the same key or the same names: where a renewal is looked for.
//!
//! What identifies nobody any more is found as well, so that who was shut out is not taken for
//! somebody new. What is found are candidates: their records decide.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::certificate::{CertificateRecord, Facts, Fingerprint, Mapping};

/// With how many others a certificate is compared. When there are more, it is nobody's for sure.
const MOST: usize = 32;
/// How many of one key or name are kept, with all that were renewed.
const MOST_KEPT: usize = 1024;

/// The certificates that are alike. Asked at a first sight only, so there is a lock; and compact,
/// since all certificates are in it.
#[derive(Default)]
pub(super) struct Alike {
    known: Mutex<Known>,
    hasher: RandomState,
}

#[derive(Default)]
struct Known {
    /// Each certificate once.
    all: Vec<Fingerprint>,
    /// By a number that is computed from a key, or from the names. It is another one in every
    /// process, so that nobody can choose certificates that collide.
    groups: HashMap<u64, Group, RandomState>,
}

/// Certificates by their place in the list of all.
enum Group {
    One(u32),
    Some(Box<[u32]>),
    TooMany,
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
    /// Takes in a certificate as it is now.
    pub(super) fn apply(&self, record: &CertificateRecord) {
        let Some(facts) = &record.facts else {
            return;
        };
        if matches!(record.mapping, Mapping::Pending | Mapping::Twin { .. }) {
            return;
        }
        let mut known = self.known();
        let mut place = None;
        for number in self.numbers(facts) {
            let group = known.groups.get(&number);
            if matches!(group, Some(Group::TooMany)) {
                continue;
            }
            let has = group.and_then(|group| known.place_in(group, &record.fingerprint));
            if has.is_some() {
                place = has;
                continue;
            }
            // More than can be numbered are as good as too many.
            let own = place.or_else(|| u32::try_from(known.all.len()).ok());
            let group = match (group, own) {
                (_, None) => Group::TooMany,
                (None, Some(own)) => Group::One(own),
                (Some(group), Some(own)) => group.with(own),
            };
            known.groups.insert(number, group);
            if place.is_none() {
                known.all.push(record.fingerprint);
                place = own;
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that may have the key or the names of a certificate with these facts. A lineage of
    /// any length is one candidate: what `successor` says took over from a certificate is compared
    /// in its place, when it is in the same group.
    pub(super) fn to(
        &self,
        facts: &Facts,
        successor: impl Fn(&Fingerprint) -> Option<Fingerprint>,
    ) -> Candidates {
        let known = self.known();
        let [keys, names] = self
            .numbers(facts)
            .map(|number| match known.groups.get(&number) {
                None => Some(Vec::new()),
                Some(Group::TooMany) => None,
                Some(group) => {
                    let all: Vec<_> = known.of(group).collect();
                    let is_last =
                        |one: &&Fingerprint| !successor(one).is_some_and(|by| all.contains(&by));
                    let last: Vec<_> = all.iter().filter(is_last).copied().collect();
                    (last.len() <= MOST).then_some(last)
                }
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

    /// The numbers of a certificate's key and of its names.
    fn numbers(&self, facts: &Facts) -> [u64; 2] {
        use std::hash::BuildHasher as _;
        let Facts {
            spki,
            issuer,
            subject,
            alternative_names,
            ..
        } = facts;
        [
            self.hasher.hash_one(spki),
            self.hasher.hash_one((issuer, subject, alternative_names)),
        ]
    }
}

impl Known {
    fn of(&self, group: &Group) -> impl Iterator<Item = Fingerprint> {
        let places = group.places().iter();
        places.filter_map(|place| self.all.get(usize::try_from(*place).ok()?).copied())
    }

    fn place_in(&self, group: &Group, fingerprint: &Fingerprint) -> Option<u32> {
        let mut both = group.places().iter().zip(self.of(group));
        both.find(|(_, one)| one == fingerprint)
            .map(|(place, _)| *place)
    }
}

impl Group {
    fn places(&self) -> &[u32] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Some(some) => some,
            Self::TooMany => &[],
        }
    }

    fn with(&self, place: u32) -> Self {
        match self {
            Self::TooMany => Self::TooMany,
            known if known.places().len() >= MOST_KEPT => Self::TooMany,
            known => Self::Some([known.places(), &[place]].concat().into()),
        }
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
        let known = |one: &Fingerprint| all.iter().find(|record| record.fingerprint == *one);
        let successor = |one: &Fingerprint| {
            let record = known(one).filter(|one| matches!(one.mapping, Mapping::Mapped { .. }));
            record.and_then(|record| record.renewed_by)
        };
        alike.to(&facts(key, subject), successor).certificates
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
        let alike = all(&|_| "k".to_owned(), "CN=acme");
        let next = |one: &Fingerprint| {
            let after = (0..99).zip(1..100).find(|(n, _)| name(*n) == *one);
            after.map(|(_, after)| name(after))
        };
        let candidates = alike.to(&facts("k", "CN=acme"), next);
        assert_eq!(candidates.certificates, [name(99)]);

        let alike = all(&|n| n.to_string(), "CN=device");
        let candidates = alike.to(&facts("7", "CN=device"), |_| None);
        assert!(candidates.too_many_names && !candidates.too_many_keys);
        assert_eq!(candidates.certificates, [name(7)]);
    }
}
