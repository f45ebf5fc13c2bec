//! Certificates: what they say, whether they are good, and why not.

mod facts;
mod fingerprint;
mod record;
mod verdict;

pub use facts::Facts;
pub use fingerprint::{Fingerprint, NotAFingerprint};
pub use record::{CertificateRecord, Mapping, Source};
pub use verdict::{CaIndex, Problem, Reason, Rejected, Verified};
