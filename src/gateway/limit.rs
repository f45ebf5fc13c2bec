//! How often: counted in memory of a fixed size, whatever is counted.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pingora_limits::estimator::Estimator;

use super::{FirstSights, SelfService};
use crate::certificate::{CaIndex, Fingerprint};
use crate::client::ClientId;
use crate::clock;
use crate::limit::network;

/// In which everything is counted, in seconds.
const WINDOW: u64 = 60;
/// A count is never too low; with so many cells it is too high for next to nobody.
const ROWS: usize = 4;
const CELLS: usize = 4096;
/// How often a certificate may have keys checked within a window.
const CHECKS: u32 = 60;

/// Counts within each minute, for every key that is counted by.
///
/// Minutes are those since it began, by the clock that never goes back: the time of day may be set as
/// it will.
///
/// The memory is a count-min sketch: keys share cells, so a count can be too high, never too low.
/// How keys fall into cells is another secret in every process, so nobody aims at somebody else's.
pub(super) struct Limit {
    counts: Estimator,
    begun: Instant,
    window: AtomicU64,
}

impl Limit {
    pub(super) fn new(begun: Instant) -> Self {
        Self {
            counts: Estimator::new(ROWS, CELLS),
            begun,
            window: AtomicU64::new(0),
        }
    }

    /// Counts one more, of which there may be so many.
    ///
    /// # Errors
    ///
    /// When it is one too many: how long until it is counted anew.
    pub(super) fn count(&self, key: impl Hash, most: u32, now: Instant) -> Result<(), Duration> {
        let seconds = now.saturating_duration_since(self.begun).as_secs();
        let window = seconds / WINDOW;
        // Only forward: who read the clock before the turn of the minute and comes after it must not
        // make everything count anew.
        if self.window.fetch_max(window, Ordering::Relaxed) < window {
            self.counts.reset();
        }
        if self.counts.incr(key, 1) <= isize::try_from(most).unwrap_or(isize::MAX) {
            return Ok(());
        }
        Err(Duration::from_secs(WINDOW.saturating_sub(seconds % WINDOW)))
    }
}

/// The limits of the gateway.
pub(super) struct Limits {
    credential: Limit,
    address: Limit,
    checks: Limit,
    first_sights: Limit,
}

/// Whom or what a call for a key counts for: the certificate that claims, the client that rotates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Credential {
    Certificate(Fingerprint),
    Client(ClientId),
}

impl Limits {
    pub(super) fn new() -> Self {
        let begun = clock::monotonic();
        let limit = || Limit::new(begun);
        Self {
            credential: limit(),
            address: limit(),
            checks: limit(),
            first_sights: limit(),
        }
    }

    /// Counts a claim or a rotation by somebody who proved to hold `credential`.
    ///
    /// By the credential first, which nobody has but its owner: what is too much there counts no
    /// further. So whoever floods from an address that it shares with others uses up its own share
    /// of it and not theirs, and nobody is refused for what another did elsewhere.
    ///
    /// # Errors
    ///
    /// How long until it is counted anew.
    pub(super) fn key_call(
        &self,
        credential: Credential,
        peer: Option<IpAddr>,
        most: &SelfService,
        now: Instant,
    ) -> Result<(), Duration> {
        self.credential
            .count(credential, most.per_credential, now)?;
        self.address.count(peer.map(network), most.per_address, now)
    }

    /// Counts a look at whether a key is good, by the holder of this certificate.
    pub(super) fn may_check(&self, certificate: &Fingerprint, now: Instant) -> bool {
        self.checks.count(certificate, CHECKS, now).is_ok()
    }

    /// Counts a certificate of this authority that was never seen before.
    ///
    /// # Errors
    ///
    /// How long until it is counted anew.
    pub(super) fn first_sight(
        &self,
        ca: CaIndex,
        most: FirstSights,
        now: Instant,
    ) -> Result<(), Duration> {
        self.first_sights.count(ca, most.per_minute, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k14_a_request_from_the_minute_before_does_not_turn_the_count_back() {
        let (limit, at) = limit();
        let (before, now) = (at(59), at(61));
        assert!(limit.count("a", 2, before).is_ok());
        assert!(limit.count("a", 2, now).is_ok() && limit.count("a", 2, now).is_ok());
        assert!(limit.count("a", 2, now).is_err());
        // It read the clock before the turn of the minute.
        assert!(limit.count("b", 2, before).is_ok());
        assert!(limit.count("a", 2, now).is_err());
        assert!(
            limit.count("a", 2, at(121)).is_ok(),
            "the next minute counts anew"
        );
    }

    /// A limit, and its moments by the second since it began.
    fn limit() -> (Limit, impl Fn(u64) -> Instant) {
        let begun = clock::monotonic();
        let at = move |second| begun.checked_add(Duration::from_secs(second)).unwrap();
        (Limit::new(begun), at)
    }

    const MOST: SelfService = SelfService {
        path: String::new(),
        retry_window: Duration::from_mins(10),
        expired_grace: None,
        per_credential: 10,
        per_address: 60,
    };

    fn credential(name: &str) -> Credential {
        Credential::Certificate(Fingerprint::of(name.as_bytes()))
    }

    #[test]
    fn what_is_one_too_many_may_come_again_when_the_minute_is_over() {
        let (limit, at) = limit();
        assert!((0..2).all(|_| limit.count("a", 2, at(10)).is_ok()));
        assert_eq!(limit.count("a", 2, at(15)), Err(Duration::from_secs(45)));
        assert!(limit.count("b", 2, at(15)).is_ok());
        assert!(limit.count("a", 2, at(59)).is_err());
        assert_eq!(limit.count("a", 2, at(59)), Err(Duration::from_secs(1)));
        assert!(limit.count("a", 2, at(60)).is_ok());
    }

    #[test]
    fn k14_whoever_floods_uses_up_its_own_share_and_nobody_elses() {
        let (limits, now) = (Limits::new(), clock::monotonic());
        let here: Option<IpAddr> = "192.0.2.1".parse().ok();
        for _ in 0..10_000 {
            let _ = limits.key_call(credential("attacker"), here, &MOST, now);
        }
        assert!(
            limits
                .key_call(credential("attacker"), here, &MOST, now)
                .is_err()
        );
        // A victim behind the same address, and one elsewhere.
        let elsewhere: Option<IpAddr> = "192.0.2.2".parse().ok();
        for address in [here, elsewhere] {
            assert!(
                limits
                    .key_call(credential("victim"), address, &MOST, now)
                    .is_ok()
            );
        }
        // Many certificates at one address are bounded by the address.
        let taken = (0..1000)
            .filter(|n| {
                limits
                    .key_call(credential(&format!("fleet-{n}")), elsewhere, &MOST, now)
                    .is_ok()
            })
            .count();
        assert!((50..60).contains(&taken), "{taken}");
    }

    #[test]
    fn c7_a_flood_of_a_hundred_thousand_keys_costs_no_memory_and_hits_hardly_anybody() {
        let (limit, at) = limit();
        for n in 0..100_000 {
            let _ = limit.count(n, 100, at(0));
        }
        let hit = (200_000..201_000).filter(|n| limit.count(n, 100, at(1)).is_err());
        assert_eq!(hit.count(), 0);
    }
}
