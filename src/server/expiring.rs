//! How many clients are about to lose what they call with.

use std::time::Duration;

use crate::client::Stage;
use crate::clock::Timestamp;
use crate::directory::Ends;
use crate::telemetry::Metrics;

/// How far ahead it is looked, each including the ones before.
const WINDOWS: [(&str, Duration); 3] = [
    ("7d", Duration::from_hours(7 * 24)),
    ("30d", Duration::from_hours(30 * 24)),
    ("90d", Duration::from_hours(90 * 24)),
];

/// Clients whose certificates all end within a window while they depend on them, and clients whose
/// keys all do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expiring {
    certificates: [i64; WINDOWS.len()],
    keys: [i64; WINDOWS.len()],
}

impl Expiring {
    /// Counts an active client.
    pub(super) fn count(&mut self, stage: Stage, ends: Ends, now: Timestamp) {
        // Of one that has moved, certificates no longer matter.
        let certificates = ends.certificates.filter(|_| stage != Stage::KeyOnly);
        for (end, counts) in [
            (certificates, &mut self.certificates),
            (ends.keys, &mut self.keys),
        ] {
            let Some(end) = end.filter(|end| *end > now) else {
                continue;
            };
            for ((_, window), count) in WINDOWS.iter().zip(counts) {
                *count = count.saturating_add(i64::from(end <= now.plus(*window)));
            }
        }
    }

    /// Shows the counts.
    pub(super) fn set(&self, metrics: &Metrics) {
        for (kind, counts) in [("cert", self.certificates), ("key", self.keys)] {
            for ((window, _), count) in WINDOWS.iter().zip(counts) {
                metrics
                    .clients_expiring
                    .with_label_values(&[kind, window])
                    .set(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_by_the_last_end_of_what_it_depends_on() {
        let now = Timestamp::from_unix(1_800_000_000);
        let days = |days: u64| Some(now.plus(Duration::from_hours(days * 24)));
        let counted = |stage, certificates, keys| {
            let mut expiring = Expiring::default();
            expiring.count(stage, Ends { certificates, keys }, now);
            (expiring.certificates, expiring.keys)
        };
        let dual = |certificates, keys| counted(Stage::Dual, certificates, keys);
        assert_eq!(dual(days(8), days(89)), ([0, 1, 1], [0, 0, 1]));
        assert_eq!(dual(days(91), None), ([0; 3], [0; 3]));
        assert_eq!(dual(days(7), days(0)), ([1, 1, 1], [0; 3]));
        let moved = counted(Stage::KeyOnly, days(1), days(1));
        assert_eq!(moved, ([0; 3], [1, 1, 1]));
    }
}
