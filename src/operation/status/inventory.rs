//! What there is: certificates and keys, counted.

use std::time::Duration;

use serde::Serialize;

use crate::certificate::Mapping;
use crate::clock::Timestamp;
use crate::operation::progress::Progress;
use crate::operation::records::Records;
use crate::operation::table::add_one;

const DAY: Duration = Duration::from_hours(24);

/// Certificates of active clients by the time that they have left. What is within 7 days is
/// within 30 days too.
#[derive(Default, Serialize, schemars::JsonSchema)]
#[schemars(rename = "CertificatesCounted")]
pub(super) struct Certificates {
    pub(super) mapped: usize,
    pub(super) expired: usize,
    pub(super) expiring_within_7_days: usize,
    pub(super) expiring_within_30_days: usize,
    /// Only their fingerprints are known.
    pub(super) expiry_unknown: usize,
    /// Certificates that wait for the operator's word; they are nobody's yet.
    pub(super) pending: usize,
}

/// Keys of active clients.
#[derive(Default, Serialize, schemars::JsonSchema)]
#[schemars(rename = "KeysCounted")]
pub(super) struct Keys {
    pub(super) issued: usize,
    /// Issued since their client last called by key.
    pub(super) never_used: usize,
}

impl Certificates {
    pub(super) fn of(records: &Records, now: Timestamp) -> Self {
        let mut counts = Self::default();
        for (_, certificate) in records.certificates.values() {
            match &certificate.mapping {
                Mapping::Mapped { client, .. } if records.is_active(client) => {}
                Mapping::Pending => {
                    add_one(&mut counts.pending);
                    continue;
                }
                Mapping::Mapped { .. }
                | Mapping::Superseded { .. }
                | Mapping::Removed { .. }
                | Mapping::Twin { .. } => continue,
            }
            add_one(&mut counts.mapped);
            match certificate.facts.as_ref().map(|facts| facts.not_after) {
                None => add_one(&mut counts.expiry_unknown),
                Some(end) if end <= now => add_one(&mut counts.expired),
                Some(end) => {
                    if end <= now.plus(DAY.saturating_mul(7)) {
                        add_one(&mut counts.expiring_within_7_days);
                    }
                    if end <= now.plus(DAY.saturating_mul(30)) {
                        add_one(&mut counts.expiring_within_30_days);
                    }
                }
            }
        }
        counts
    }
}

impl Keys {
    pub(super) fn of(records: &Records, progress: &Progress, now: Timestamp) -> Self {
        let mut counts = Self::default();
        for (_, key) in records.keys.values() {
            if !key.is_issued() || key.usable(now).is_err() || !records.is_active(&key.client) {
                continue;
            }
            add_one(&mut counts.issued);
            if progress.seen(&key.client).by_key < key.issued_at {
                add_one(&mut counts.never_used);
            }
        }
        counts
    }
}
