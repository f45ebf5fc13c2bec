//! `GET /handshakes`: which handshakes failed, by reason and address.
//!
//! `?reason=` and `?address=` narrow it down. Moments are seconds since the Unix epoch.

use std::cmp::Reverse;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::query::Query;
use crate::clock::Timestamp;
use crate::door::{Failure, Journal, Offer, Origin};

/// The answer. The program that reads it may be of another version than the one that writes it, so
/// reasons are text, and their explanation comes along.
#[derive(Debug, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Report {
    /// When the gateway began to keep the journal: at its start.
    pub since: Timestamp,
    /// The reasons that there were.
    pub reasons: Vec<Reason>,
    /// Who failed, the last first.
    pub failures: Vec<Line>,
}

/// One reason, over all addresses.
#[derive(Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[schemars(rename = "HandshakeFailure")]
pub struct Reason {
    /// As in the metric `keyferry_tls_handshake_failures_total`.
    pub reason: String,
    /// How many handshakes failed for it, also from addresses that are no longer kept.
    pub count: u64,
    /// What it means.
    pub meaning: String,
    /// What to do.
    pub remedy: String,
}

/// One reason and one address.
#[derive(Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[schemars(rename = "FailedHandshakes")]
pub struct Line {
    /// As in the metric.
    pub reason: String,
    /// An address of IPv4 (`192.0.2.7`) or a network of IPv6 (`2001:db8::/64`).
    pub address: String,
    /// How many handshakes.
    pub count: u64,
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// OpenSSL's words at the last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub openssl: String,
    /// What the client offered at the last.
    #[serde(flatten)]
    pub offer: Offer,
}

/// What the journal knows of what `query` asks for; why it makes no sense otherwise.
pub(super) fn report(journal: &Journal, query: &Query) -> Result<Report, String> {
    let [reason, address] = query.only(["reason", "address"])?;
    let reason = reason.map(failure_named).transpose()?;
    let origin = address.map(origin_named).transpose()?;
    let (mut reasons, mut failures) = (Vec::new(), Vec::new());
    for (failure, share) in journal.read() {
        if reason.is_some_and(|reason| reason != failure) {
            continue;
        }
        reasons.push(Reason {
            reason: failure.as_str().to_owned(),
            count: share.count,
            meaning: failure.meaning().to_owned(),
            remedy: failure.remedy().to_owned(),
        });
        let asked = share.origins.into_iter();
        let asked = asked.filter(|(found, _)| origin.is_none_or(|origin| origin == *found));
        failures.extend(asked.map(|(found, entry)| Line {
            reason: failure.as_str().to_owned(),
            address: found.to_string(),
            count: entry.count,
            first: entry.first,
            last: entry.last,
            openssl: entry.words,
            offer: entry.offer,
        }));
    }
    if origin.is_some() {
        reasons.retain(|known| failures.iter().any(|line| line.reason == known.reason));
    }
    failures.sort_by_cached_key(|line| (Reverse(line.last), line.address.clone()));
    Ok(Report {
        since: journal.since(),
        reasons,
        failures,
    })
}

fn failure_named(name: &str) -> Result<Failure, String> {
    Failure::named(name).ok_or_else(|| {
        let all = Failure::ALL.map(Failure::as_str).join(", ");
        format!("there is no reason {name:?}; use one of {all}")
    })
}

/// An address, or a network as the report writes it.
fn origin_named(text: &str) -> Result<Origin, String> {
    let address = text.strip_suffix("/64").unwrap_or(text);
    let address = address.parse::<IpAddr>();
    address
        .map(Origin::of)
        .map_err(|_| format!("{text:?} is not an IP address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_finds_its_network() {
        let named = |text: &str| origin_named(text).map(|origin| origin.to_string());
        assert_eq!(named("192.0.2.7").as_deref(), Ok("192.0.2.7"));
        assert_eq!(named("2001:db8::7").as_deref(), Ok("2001:db8::/64"));
        assert_eq!(named("2001:db8::/64").as_deref(), Ok("2001:db8::/64"));
        assert!(named("somewhere").is_err());
    }

    #[test]
    fn an_empty_journal_is_an_empty_report() {
        let journal = Journal::new(Timestamp::from_unix(7));
        let report = report(&journal, &Query::default()).unwrap();
        assert_eq!(report.since, Timestamp::from_unix(7));
        assert!(report.reasons.is_empty() && report.failures.is_empty());
    }
}
