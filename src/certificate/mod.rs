//! Certificates: what they say, whether they are good, and why not.

mod alias;
mod alternative;
mod chain;
mod change;
mod codes;
mod content;
pub(crate) mod der;
mod diagnose;
mod explain;
mod explanation;
mod facts;
mod fingerprint;
mod handed;
mod judge;
mod lapsed;
mod limits;
mod name;
mod pem;
mod record;
mod revocation;
mod rules;
mod run;
mod seal;
mod strict;
mod supersede;
mod trust;
mod twin;
mod verdict;
mod verifier;
mod whole;

pub use alias::{Alias, AliasRecord, AliasState, NotAnAlias, NotAnnounced, announce, withdraw};
pub use chain::Chain;
pub use change::{AlreadyMapped, NotGiven, approve, give, remove, take_over};
pub use der::is_one_value;
pub use explanation::{
    Check, CheckOutcome, Checked, Explanation, Judgement, Lineage, Origin, Shown, ShownFacts,
};
pub use facts::{Facts, Unreadable};
pub use fingerprint::{Fingerprint, NotAFingerprint};
pub use handed::{Handed, NotHanded};
pub use lapsed::Lapsed;
pub use limits::Limits;
pub use pem::{NotUsable, certificates};
pub use record::{CertificateRecord, Mapping, Source};
pub use revocation::{
    ListFault, ListFile, ListState, Revocation, RevocationList, UnreadableList, WhenUnknown,
};
pub use seal::{CannotSeal, NotSealed, Recipient};
pub use supersede::{NotMapped, restore, supersede};
pub use trust::{Ca, Trust, TrustError};
pub use verdict::{CaIndex, Problem, Reason, Rejected, Verdict, Verified};
pub use verifier::{Examined, SameGeneration, Verifier};
pub use whole::{Age, Whole, keep_whole};

#[cfg(test)]
mod tests;
