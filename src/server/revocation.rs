//! How it stands with revocation lists, as metrics and log tell it.

use std::collections::BTreeSet;

use crate::certificate::{ListFault, ListState, Trust};
use crate::clock::Timestamp;
use crate::config::Problem;
use crate::telemetry::Metrics;

/// The states of a list that is as it should be, of one that a newer one has taken the place of,
/// and of a file that cannot be read as one.
const USABLE: &str = "usable";
const REPLACED: &str = "replaced";
const UNREADABLE: &str = "unreadable";

/// What is known of the lists in use, and what was told of them.
#[derive(Default)]
pub(super) struct Shown {
    /// The authorities whose certificates are asked about.
    authorities: Vec<String>,
    lists: Vec<ListState>,
    /// What is wrong.
    told: BTreeSet<String>,
}

impl Shown {
    /// Goes on with other lists.
    pub(super) fn begin(&mut self, trust: &Trust, metrics: &Metrics, now: Timestamp) {
        let before = std::mem::take(&mut self.authorities);
        self.authorities = trust.asking().map(str::to_owned).collect();
        self.lists = trust.lists(now);
        for ca in &self.authorities {
            let accepted = &metrics.revocation_unknown_accepted;
            accepted.with_label_values(&[ca.as_str()]);
        }
        for gone in before.iter().filter(|ca| !self.authorities.contains(ca)) {
            let gauges = [
                &metrics.crl_usable,
                &metrics.crl_entries,
                &metrics.crl_next_update,
            ];
            for gauge in gauges {
                let _ = gauge.remove_label_values(&[gone.as_str()]);
            }
            let accepted = &metrics.revocation_unknown_accepted;
            let _ = accepted.remove_label_values(&[gone.as_str()]);
            for state in states() {
                let _ = metrics
                    .crl_lists
                    .remove_label_values(&[gone.as_str(), state]);
            }
        }
    }

    /// Sets the metrics, and logs what has become wrong or right. `unreadable` are the files that
    /// cannot be read, by authority.
    pub(super) fn look(
        &mut self,
        unreadable: &[(String, Problem)],
        metrics: &Metrics,
        now: Timestamp,
    ) {
        let mut wrong = BTreeSet::new();
        for ca in &self.authorities {
            let lists = || self.lists.iter().filter(|list| list.ca == *ca);
            let files = unreadable.iter().filter(|(of, _)| of == ca);
            let counts = states().map(|state| {
                let is_in = |list: &&ListState| state_of(list, now) == state;
                let files = files.clone().filter(|_| state == UNREADABLE).count();
                (state, lists().filter(is_in).count().saturating_add(files))
            });
            for (state, count) in counts {
                let gauge = metrics.crl_lists.with_label_values(&[ca.as_str(), state]);
                gauge.set(whole(count));
            }
            let before = wrong.len();
            wrong.extend(lists().filter_map(|list| list.warning(now)));
            wrong.extend(files.map(|(_, problem)| problem.to_string()));
            let counting = || lists().filter(|list| !list.is_replaced && list.fault(now).is_none());
            if counting().next().is_none() {
                wrong.insert(format!(
                    "ca {ca}: there is no revocation list that can be used"
                ));
            }
            let set = |gauge: &prometheus::IntGaugeVec, value: i64| {
                gauge.with_label_values(&[ca.as_str()]).set(value);
            };
            set(&metrics.crl_usable, i64::from(wrong.len() == before));
            set(
                &metrics.crl_entries,
                whole(lists().map(|list| list.entries).sum()),
            );
            let next = counting().filter_map(|list| list.until).min();
            set(&metrics.crl_next_update, next.map_or(0, Timestamp::as_unix));
        }
        for problem in wrong.difference(&self.told) {
            tracing::error!(problem, "a revocation list is not in order");
        }
        for mended in self.told.difference(&wrong) {
            tracing::info!(mended, "a revocation list is in order again, or gone");
        }
        self.told = wrong;
    }
}

/// Every state.
fn states() -> impl Iterator<Item = &'static str> {
    let faults = ListFault::ALL.iter().map(|fault| fault.as_str());
    [USABLE, REPLACED, UNREADABLE].into_iter().chain(faults)
}

fn state_of(list: &ListState, now: Timestamp) -> &'static str {
    match list.fault(now) {
        _ if list.is_replaced => REPLACED,
        Some(fault) => fault.as_str(),
        None => USABLE,
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
