//! What there is to say about a certificate: what came, every check and its outcome, the verdict.
//!
//! Nothing is decided here. The verdict is the one that [`super::Verifier`] gives every request;
//! an explanation only puts it into words, and nothing is ever verified by one.

mod advice;
mod checks;
mod text;

use serde::{Serialize, Serializer};

use super::chain::{Chain, Link};
use super::trust::Trust;
use super::{Facts, Fingerprint, Problem, Reason, Rejected, Verified};
use crate::clock::Timestamp;
use checks::checks;

/// Everything about a certificate that was presented, in words. It serializes to the stable form
/// of `keyferry explain --output json`.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Explanation {
    /// What a request with it would meet now.
    pub verdict: Judgement,
    /// Why it is rejected, gravest first, each once; empty when it is verified.
    #[schemars(with = "Vec<String>")]
    pub reasons: Vec<Reason>,
    /// The certificate authority of the configuration that it is verified under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// By which clock it was judged.
    pub checked_at: String,
    /// The chain as it was built: the client's certificate first.
    pub chain: Vec<Shown>,
    /// What came, in its order: the client's certificate first.
    pub sent: Vec<Shown>,
    /// Every check and its outcome.
    pub checks: Vec<Checked>,
    /// Everything that is wrong, gravest first.
    pub problems: Vec<Problem>,
}

/// The verdict in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It is good.
    Verified,
    /// It is not.
    Rejected,
}

/// A certificate as it is shown.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Shown {
    /// Its SHA-256.
    pub sha256: Fingerprint,
    /// What it says of itself, as far as that can be read.
    #[serde(flatten)]
    pub facts: Option<ShownFacts>,
    /// How it came to be here.
    pub origin: Origin,
    /// Whether the chain goes through it.
    pub used: bool,
}

/// What a certificate says of itself; names are escaped.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[expect(
    missing_docs,
    reason = "they are those of Facts, with the times as text"
)]
pub struct ShownFacts {
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    pub not_before: String,
    pub not_after: String,
    pub spki_sha256: String,
}

/// How a certificate came to be in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "HowItCame")]
pub enum Origin {
    /// It was sent.
    Sent,
    /// The operator trusts it.
    Trusted,
    /// It was sent on an earlier connection.
    Remembered,
}

/// One check and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Checked {
    /// What was checked.
    #[schemars(with = "String")]
    pub check: Check,
    /// What came of it.
    pub outcome: CheckOutcome,
    /// One sentence or more.
    pub detail: String,
}

/// What is checked about a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Whether all certificates up to an authority's are there.
    Completeness,
    /// Whether it leads to an authority that is trusted, by signatures that are right.
    Trust,
    /// Whether all of it is valid now.
    Dates,
    /// Whether it may be used by a client.
    Purpose,
    /// Whether keys and signatures are strong enough.
    Strength,
    /// Whether the rules of RFC 5280 are kept, apart from those that have a check of their own.
    Rules,
    /// Whether the issuers' name constraints (RFC 5280 section 4.2.1.10) are kept.
    NameConstraints,
    /// Whether none of it was revoked.
    Revocation,
    /// Whether a newer certificate has taken its place.
    Lineage,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// Nothing is wrong.
    Ok,
    /// Something is.
    Failed,
    /// Nobody can tell, or nobody asked.
    NotChecked,
}

/// What is known of a certificate's place among those of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lineage {
    /// There is no directory to ask, or the certificate is nobody's.
    #[default]
    Unknown,
    /// No other has taken its place.
    Current,
    /// Another one has, and it is refused for that.
    Superseded,
}

/// What an explanation is made of.
pub(super) struct Findings<'a> {
    pub(super) trust: &'a Trust,
    pub(super) chain: &'a Chain,
    /// The verdict, as every request gets it.
    pub(super) verdict: Result<Verified, Rejected>,
    /// The chain that it is about, as far as it could be built.
    pub(super) links: &'a [Link],
    /// Whether an intermediate of this subject, in DER, came with an earlier good chain.
    pub(super) is_known: &'a dyn Fn(&[u8]) -> bool,
    pub(super) lineage: Lineage,
    pub(super) now: Timestamp,
}

impl Explanation {
    pub(super) fn of(findings: &Findings<'_>) -> Self {
        let checks = checks(findings);
        let mut problems = match &findings.verdict {
            Ok(_) => Vec::new(),
            Err(rejected) => rejected.problems().to_vec(),
        };
        if findings.lineage == Lineage::Superseded
            && problems.iter().all(|p| p.reason != Reason::Superseded)
        {
            let detail = super::explain::SUPERSEDED.to_owned();
            problems.push(Problem::new(0, Reason::Superseded, detail));
            problems = super::verdict::in_order(problems);
        }
        let mut reasons: Vec<_> = problems.iter().map(|problem| problem.reason).collect();
        reasons.dedup();
        let ca = findings.verdict.as_ref().ok();
        Self {
            verdict: if problems.is_empty() {
                Judgement::Verified
            } else {
                Judgement::Rejected
            },
            reasons,
            ca: ca.map(|good| findings.trust.ca_name(good.ca()).to_owned()),
            checked_at: findings.now.to_string(),
            chain: chain(findings),
            sent: sent(findings),
            checks,
            problems,
        }
    }

    /// Whether it is good.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verdict == Judgement::Verified
    }

    /// What to do next, in a sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        advice::advice(self.reasons.first().copied())
    }

    /// What the client sent as its own certificate.
    #[must_use]
    pub fn leaf(&self) -> Option<&Shown> {
        self.sent.first()
    }
}

fn chain(findings: &Findings<'_>) -> Vec<Shown> {
    let sent: Vec<_> = findings.chain.shown().map(|(print, _)| print).collect();
    let shown = findings.links.iter().map(|link| Shown {
        sha256: link.fingerprint,
        facts: Some(ShownFacts::of(&link.content.facts)),
        origin: match () {
            () if findings.trust.is_anchor(&link.fingerprint) => Origin::Trusted,
            () if sent.contains(&link.fingerprint) => Origin::Sent,
            () => Origin::Remembered,
        },
        used: true,
    });
    shown.collect()
}

fn sent(findings: &Findings<'_>) -> Vec<Shown> {
    let used = |print: &Fingerprint| findings.links.iter().any(|link| link.fingerprint == *print);
    let shown = findings.chain.shown().map(|(sha256, facts)| Shown {
        sha256,
        facts: facts.as_ref().map(ShownFacts::of),
        origin: Origin::Sent,
        used: used(&sha256),
    });
    shown.collect()
}

impl ShownFacts {
    fn of(facts: &Facts) -> Self {
        Self {
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            serial: facts.serial.clone(),
            not_before: facts.not_before.to_string(),
            not_after: facts.not_after.to_string(),
            spki_sha256: facts.spki.clone(),
        }
    }
}

impl Check {
    /// Every check, in the order in which they are told.
    pub const ALL: [Self; 9] = [
        Self::Completeness,
        Self::Trust,
        Self::Dates,
        Self::Purpose,
        Self::Strength,
        Self::Rules,
        Self::NameConstraints,
        Self::Revocation,
        Self::Lineage,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completeness => "completeness",
            Self::Trust => "trust",
            Self::Dates => "dates",
            Self::Purpose => "purpose",
            Self::Strength => "signature_strength",
            Self::Rules => "rules",
            Self::NameConstraints => "name_constraints",
            Self::Revocation => "revocation",
            Self::Lineage => "lineage",
        }
    }
}

impl Serialize for Check {
    /// As its stable name.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
