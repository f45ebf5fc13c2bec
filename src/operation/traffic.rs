//! Requests by the kind of their credential, and each client's days.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use serde::Serialize;

use super::Failure;
use super::Operator;
use super::progress::Progress;
use super::records::Records;
use crate::client::{ClientId, ClientStatus, Counts};
use crate::clock::{Day, Timestamp};
use crate::foresight::Life;
use crate::key::{KeyRecord, KeyStatus};

/// Requests of some days.
#[derive(Clone, Copy, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Traffic {
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// Of the requests that were served, those for a certificate alone: 0 to 1; null when none
    /// was served.
    pub(crate) certificate_share: Option<f64>,
}

impl Traffic {
    pub(crate) fn of(counts: Counts) -> Self {
        let served = counts.by_certificate.saturating_add(counts.by_key);
        Self {
            counts,
            certificate_share: share(counts.by_certificate, served),
        }
    }
}

/// `part` of `all`, to a thousandth; none of nothing.
pub(crate) fn share(part: u64, all: u64) -> Option<f64> {
    let thousandths = u128::from(part)
        .saturating_mul(1000)
        .checked_div(u128::from(all))?;
    let thousandths = u32::try_from(thousandths).unwrap_or(u32::MAX);
    Some(f64::from(thousandths) / 1000.0)
}

/// `0.625` as `62.5 %`.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

impl Operator {
    /// The life of every client, as far back as requests are counted.
    pub(crate) async fn lives(
        &self,
        records: &Records,
        progress: &Progress,
    ) -> Result<HashMap<ClientId, Life>, Failure> {
        let today = self.now.day();
        let mut lives: HashMap<_, _> = HashMap::with_capacity(records.clients.len());
        for (id, (_, client)) in &records.clients {
            let mut life = Life::new(client.created_at.day(), today);
            life.disabled = match client.status {
                ClientStatus::Active => None,
                ClientStatus::Disabled { at } => Some(at.day()),
            };
            life.saw(progress.seen(id));
            lives.insert(id.clone(), life);
        }
        for (_, key) in records.keys.values() {
            if let (Some(life), Some(span)) = (lives.get_mut(&key.client), usable_days(key)) {
                life.keys.push(span);
            }
        }
        let days: RangeInclusive<Day> = today.minus(Counts::DAYS.saturating_sub(1))..=today;
        self.all_counts(days, &mut |client, history| {
            if let Some(life) = lives.get_mut(&client) {
                life.called(&history);
            }
        })
        .await?;
        Ok(lives)
    }
}

/// From when until when `key` could be used; none while it is only reserved.
fn usable_days(key: &KeyRecord) -> Option<(Day, Option<Day>)> {
    let revoked = match key.status {
        KeyStatus::Active => None,
        KeyStatus::Revoked { at, .. } => Some(at),
    };
    let until = [revoked, key.expires_at].into_iter().flatten().min();
    Some((key.issued_at?.day(), until.map(Timestamp::day)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_was_served() {
        let of = |by_certificate, by_key| {
            percent(
                Traffic::of(Counts {
                    by_certificate,
                    by_key,
                    refused: 9,
                })
                .certificate_share,
            )
        };
        assert_eq!(of(0, 0), "–");
        assert_eq!(of(5, 3), "62.5 %");
        assert_eq!(of(u64::MAX, 0), "100.0 %");
        assert_eq!(of(0, 7), "0.0 %");
    }
}
