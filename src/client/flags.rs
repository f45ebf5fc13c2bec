//! What about a client wants attention, beside its stage.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Sighting, Stage};
use crate::clock::Timestamp;

/// Something that wants attention.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// It depends on certificates, and the last of them ends soon.
    Expiring,
    /// It depends on certificates, and all of them have ended.
    Expired,
    /// Its certificate came beside another client's key, or its key beside another's certificate.
    Conflict,
    /// Two of its certificates were used from two places at about the same time: one may be a copy
    /// in other hands.
    Clone,
    /// Nothing came from it for long.
    Silent,
    /// It has a key, and never used one.
    Unclaimed,
}

impl Flag {
    /// Every flag, the most urgent first.
    pub const ALL: [Self; 6] = [
        Self::Expiring,
        Self::Expired,
        Self::Conflict,
        Self::Clone,
        Self::Silent,
        Self::Unclaimed,
    ];

    /// How far ahead a certificate's end is near, and how far back a conflict and a call count.
    pub const HORIZON: Duration = Duration::from_hours(30 * 24);

    /// How near in time two certificates must have been used to look like copies.
    pub const AT_ONCE: Duration = Duration::from_hours(24);

    /// The word for screens, filters and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Conflict => "conflict",
            Self::Clone => "clone",
            Self::Silent => "silent",
            Self::Unclaimed => "unclaimed",
        }
    }
}

/// What is known of a client.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// How far it has moved.
    pub stage: Stage,
    /// When it became known.
    pub created_at: Timestamp,
    /// What was seen of it; none when nothing ever was.
    pub sighting: Option<&'a Sighting>,
    /// When the last of its certificates ends; none when it has none, or when that is not known of
    /// one of them.
    pub certificates_end: Option<Timestamp>,
    /// Whether it has a key that it can use.
    pub has_key: bool,
    /// Whether one of its keys was ever used.
    pub used_key: bool,
    /// Whether two of its certificates were used apart ([`crate::client::used_apart`]).
    pub used_apart: bool,
}

impl Evidence<'_> {
    /// When something came from it last, accepted or not.
    #[must_use]
    pub fn last_call(&self) -> Option<Timestamp> {
        let sighting = self.sighting?;
        let refused = sighting.refused.as_ref().map(|refused| refused.at);
        let (certificate, key) = (sighting.seen.by_certificate, sighting.seen.by_key);
        certificate.max(key).max(refused)
    }

    /// What about it wants attention at `now`. Nothing does of a retired client; and of one that has
    /// moved, its certificates no longer matter.
    #[must_use]
    pub fn flags(&self, now: Timestamp) -> Vec<Flag> {
        let is_raised = |flag: &Flag| match flag {
            Flag::Expiring => self.ends(|end| now < end && end <= now.plus(Flag::HORIZON)),
            Flag::Expired => self.ends(|end| end <= now),
            Flag::Conflict => {
                let conflict = self.sighting.and_then(|sighting| sighting.conflict);
                conflict.is_some_and(|at| at.plus(Flag::HORIZON) >= now)
            }
            Flag::Clone => self.used_apart,
            Flag::Silent => {
                let last = self.last_call().unwrap_or(self.created_at);
                last.plus(Flag::HORIZON) < now
            }
            Flag::Unclaimed => self.has_key && !self.used_key,
        };
        let mut flags = Flag::ALL.to_vec();
        flags.retain(|flag| self.stage != Stage::Retired && is_raised(flag));
        flags
    }

    fn ends(&self, when: impl Fn(Timestamp) -> bool) -> bool {
        self.stage != Stage::KeyOnly && self.certificates_end.is_some_and(when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{LastRefusal, RefusalCode, Seen};

    fn day(number: i64) -> Timestamp {
        Timestamp::from_unix(number.saturating_mul(86_400))
    }

    const NEW: Evidence<'_> = Evidence {
        stage: Stage::CertOnly,
        created_at: Timestamp::from_unix(99 * 86_400),
        sighting: None,
        certificates_end: None,
        has_key: false,
        used_key: false,
        used_apart: false,
    };

    fn flags(evidence: Evidence<'_>) -> Vec<&'static str> {
        let flags = evidence.flags(day(100));
        flags.into_iter().map(Flag::as_str).collect()
    }

    fn seen(by_certificate: i64) -> Sighting {
        Sighting {
            seen: Seen {
                by_certificate: Some(day(by_certificate)),
                by_key: None,
            },
            ..Sighting::nothing_of("a".parse().unwrap())
        }
    }

    #[test]
    fn an_end_matters_while_the_client_depends_on_certificates() {
        let at = |stage, end| {
            flags(Evidence {
                stage,
                certificates_end: Some(end),
                ..NEW
            })
        };
        assert_eq!(at(Stage::CertOnly, day(130)), ["expiring"]);
        assert_eq!(at(Stage::Dual, day(101)), ["expiring"]);
        assert_eq!(at(Stage::CertOnly, day(131)), [""; 0]);
        assert_eq!(at(Stage::KeyIssued, day(100)), ["expired"]);
        assert_eq!(at(Stage::KeyOnly, day(100)), [""; 0]);
        assert_eq!(at(Stage::Retired, day(100)), [""; 0]);
        assert_eq!(flags(NEW), [""; 0]);
    }

    #[test]
    fn silent_is_who_sent_nothing_for_thirty_days_not_even_what_was_refused() {
        let mut sighting = seen(70);
        let with = |sighting: &Sighting| {
            flags(Evidence {
                sighting: Some(sighting),
                created_at: day(1),
                ..NEW
            })
        };
        assert_eq!(with(&sighting), [""; 0]);
        assert_eq!(with(&seen(69)), ["silent"]);
        sighting = seen(10);
        sighting.refused = Some(LastRefusal {
            at: day(99),
            code: RefusalCode::known("certificate_expired"),
        });
        assert_eq!(with(&sighting), [""; 0]);
        let never = Evidence {
            created_at: day(69),
            ..NEW
        };
        assert_eq!(flags(never), ["silent"]);
    }

    #[test]
    fn a_conflict_is_told_for_thirty_days_and_a_key_until_one_is_used() {
        let mut sighting = seen(99);
        for (at, told) in [(70, &["conflict"][..]), (69, &[])] {
            sighting.conflict = Some(day(at));
            let evidence = Evidence {
                sighting: Some(&sighting),
                ..NEW
            };
            assert_eq!(flags(evidence), told);
        }
        for (has_key, used_key, told) in [
            (true, false, &["unclaimed"][..]),
            (true, true, &[]),
            (false, false, &[]),
        ] {
            let evidence = Evidence {
                has_key,
                used_key,
                ..NEW
            };
            assert_eq!(flags(evidence), told);
        }
    }
}
