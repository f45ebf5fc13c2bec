//! What a gateway that only observes has seen: whom it would have refused, and where its own view
//! of who calls differs from what the existing gateway says.
//!
//! Everything is bounded: so many rows of each kind, so much of a header's value. What does not fit
//! is counted as left out.

mod report;
mod rows;
mod text;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderName;
use serde::{Deserialize, Serialize};

pub use report::{Report, Shared, Split};
pub use text::HeaderText;

use crate::certificate::Fingerprint;
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::key::KeyId;
use rows::Rows;

/// How many rows of each kind are kept.
pub const MOST_ROWS: usize = 10_000;

/// What was seen since the gateway started. Noting takes no lock.
#[derive(Debug)]
pub struct Observations {
    since: Timestamp,
    identity_header: Option<HeaderName>,
    requests: AtomicU64,
    left_out: AtomicU64,
    refusals: Rows<Refused>,
    claims: Rows<Claim>,
}

/// One observed request.
#[derive(Debug)]
pub struct Observation {
    /// What would have been decided.
    pub would: Would,
    /// Who calls, as the existing gateway says; none when it says nothing, or nothing is compared.
    pub told: Option<HeaderText>,
    /// The address that the request came from.
    pub address: IpAddr,
    /// When.
    pub at: Timestamp,
}

/// What would have been decided.
#[derive(Debug)]
pub enum Would {
    /// Forwarded for this client.
    Know(ClientId),
    /// Forwarded for nobody, on a route that asks for no credential.
    AskNobody,
    /// Refused with this code.
    Refuse {
        /// The code.
        reason: &'static str,
        /// Who it was, as far as that is known.
        who: Who,
    },
}

/// Whoever would have been refused, as far as is known.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[schemars(rename = "ObservedWho")]
pub struct Who {
    /// The client.
    pub client_id: Option<ClientId>,
    /// The certificate.
    pub fingerprint: Option<Fingerprint>,
    /// The key.
    pub key_id: Option<KeyId>,
}

/// A kind of refusal that would have been.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refused {
    reason: &'static str,
    who: Who,
    address: IpAddr,
}

/// What the existing gateway said of a request, beside what would have been decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Claim {
    told: Option<HeaderText>,
    known: Result<ClientId, &'static str>,
}

/// Everything that was seen, at one moment.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Snapshot {
    /// Since when.
    pub since: Timestamp,
    /// The header that is compared.
    pub identity_header: Option<String>,
    /// How many requests were observed.
    pub requests: u64,
    /// How many of them found no place in the rows below.
    pub left_out: u64,
    /// Requests that would have been refused.
    pub refusals: Vec<RefusalRow>,
    /// What the existing gateway said, beside what would have been decided.
    pub identities: Vec<IdentityRow>,
}

/// Requests that would have been refused for one reason, from one address.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RefusalRow {
    /// The code.
    pub reason: String,
    /// Who it was.
    #[serde(flatten)]
    pub who: Who,
    /// The address.
    pub address: IpAddr,
    /// How often and when.
    #[serde(flatten)]
    pub seen: Times,
}

/// Requests of which the existing gateway said the same, and of which we think the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IdentityRow {
    /// The value of the header.
    pub value: Option<HeaderText>,
    /// Whom we know it to be.
    pub client_id: Option<ClientId>,
    /// Why we would have refused it.
    pub reason: Option<String>,
    /// How often and when.
    #[serde(flatten)]
    pub seen: Times,
}

/// How often something was seen, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "ObservedTimes")]
pub struct Times {
    /// How often.
    pub count: u64,
    /// First.
    pub first: Timestamp,
    /// Last.
    pub last: Timestamp,
}

impl Observations {
    /// Nothing yet, at the moment `since`; `identity_header` is the header that is compared.
    #[must_use]
    pub fn begin(since: Timestamp, identity_header: Option<HeaderName>) -> Self {
        Self::bounded(since, identity_header, MOST_ROWS)
    }

    fn bounded(since: Timestamp, identity_header: Option<HeaderName>, most: usize) -> Self {
        Self {
            since,
            identity_header,
            requests: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            refusals: Rows::new(most),
            claims: Rows::new(most),
        }
    }

    /// Notes a request.
    pub fn note(&self, observation: Observation) {
        let Observation {
            would,
            told,
            address,
            at,
        } = observation;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut kept = true;
        let known = match would {
            Would::AskNobody => return,
            Would::Know(client) => Ok(client),
            Would::Refuse { reason, who } => {
                let refused = Refused {
                    reason,
                    who,
                    address,
                };
                kept = self.refusals.note(refused, at);
                Err(reason)
            }
        };
        if known.is_ok() || told.is_some() {
            kept &= self.claims.note(Claim { told, known }, at);
        }
        if !kept {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything that was seen.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let refusals = self.refusals.rows(|refused, seen| RefusalRow {
            reason: refused.reason.to_owned(),
            who: refused.who.clone(),
            address: refused.address,
            seen,
        });
        let identities = self.claims.rows(|claim, seen| IdentityRow {
            value: claim.told.clone(),
            client_id: claim.known.clone().ok(),
            reason: claim.known.clone().err().map(str::to_owned),
            seen,
        });
        Snapshot {
            since: self.since,
            identity_header: self.identity_header.as_ref().map(ToString::to_string),
            requests: self.requests.load(Ordering::Relaxed),
            left_out: self.left_out.load(Ordering::Relaxed),
            refusals,
            identities,
        }
    }
}

#[cfg(test)]
mod tests;
