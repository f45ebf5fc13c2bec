//! What many threads raise and count at once, without a lock.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};

use arc_swap::ArcSwapOption;

use crate::client::{ClientId, Counted, Counts, LastRefusal, LastUse, Seen, Sighting};
use crate::clock::{Day, Timestamp};

/// A time that only grows.
#[derive(Debug)]
struct Latest(AtomicI64);

const NEVER: i64 = i64::MIN;

impl Default for Latest {
    fn default() -> Self {
        Self(AtomicI64::new(NEVER))
    }
}

impl Latest {
    fn get(&self) -> Option<Timestamp> {
        let at = self.0.load(Ordering::Relaxed);
        (at != NEVER).then(|| Timestamp::from_unix(at))
    }

    fn raise(&self, at: Option<Timestamp>) {
        // Most requests fall into a second that is noted already, and only read.
        if let Some(at) = at.filter(|at| self.get() < Some(*at)) {
            self.0.fetch_max(at.as_unix(), Ordering::Relaxed);
        }
    }
}

/// What is seen of one client.
#[derive(Debug, Default)]
pub(super) struct Activity {
    seen: Times,
    refused: ArcSwapOption<LastRefusal>,
    /// As far as the store knows it.
    told: Times,
    refusal_told: Latest,
    /// Requests since they were last taken, of even days and of odd ones: they are taken so often
    /// that no more than two days meet here.
    counts: [Counters; 2],
    /// The minute in which it last added to the budget of a brownout.
    spent: Minute,
}

/// When something was last counted that counts once a minute.
#[derive(Debug)]
struct Minute(AtomicI64);

impl Default for Minute {
    fn default() -> Self {
        Self(AtomicI64::new(NEVER))
    }
}

impl Minute {
    const SECONDS: u64 = 60;

    /// Whether it counts now. Of many at once, one does. A clock that was set back begins anew.
    fn counts(&self, now: Timestamp) -> bool {
        let (last, now) = (self.0.load(Ordering::Relaxed), now.as_unix());
        let relaxed = Ordering::Relaxed;
        last.abs_diff(now) >= Self::SECONDS
            && self.0.compare_exchange(last, now, relaxed, relaxed).is_ok()
    }
}

#[derive(Debug, Default)]
struct Times {
    by_certificate: Latest,
    by_key: Latest,
    conflict: Latest,
}

#[derive(Debug, Default)]
struct Counters {
    by_certificate: AtomicU32,
    by_key: AtomicU32,
    refused: AtomicU32,
}

impl Times {
    fn get(&self) -> [Option<Timestamp>; 3] {
        [&self.by_certificate, &self.by_key, &self.conflict].map(Latest::get)
    }
}

impl Counters {
    fn take(&self) -> Counts {
        let take = |count: &AtomicU32| u64::from(count.swap(0, Ordering::Relaxed));
        Counts {
            by_certificate: take(&self.by_certificate),
            by_key: take(&self.by_key),
            refused: take(&self.refused),
        }
    }

    fn is_none(&self) -> bool {
        let counts = [&self.by_certificate, &self.by_key, &self.refused];
        counts
            .iter()
            .all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

impl Activity {
    pub(super) fn raise(&self, seen: Seen) {
        self.seen.by_certificate.raise(seen.by_certificate);
        self.seen.by_key.raise(seen.by_key);
    }

    pub(super) fn conflict(&self, at: Timestamp) {
        self.seen.conflict.raise(Some(at));
    }

    /// Keeps the latest refusal; of two within one second the first.
    pub(super) fn refuse(&self, refusal: LastRefusal) {
        let at = refusal.at;
        let is_old =
            |known: &Option<Arc<LastRefusal>>| known.as_ref().is_some_and(|known| known.at >= at);
        if is_old(&self.refused.load()) {
            return;
        }
        let refusal = Arc::new(refusal);
        self.refused.rcu(|known| {
            if is_old(known) {
                known.clone()
            } else {
                Some(Arc::clone(&refusal))
            }
        });
    }

    pub(super) fn count(&self, counted: Counted, day: Day) {
        let counters = self.counters(day);
        let count = match counted {
            Counted::ByCertificate => &counters.by_certificate,
            Counted::ByKey => &counters.by_key,
            Counted::Refused => &counters.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a refusal of it adds to the budget of a brownout.
    pub(super) fn spends(&self, now: Timestamp) -> bool {
        self.spent.counts(now)
    }

    /// The requests since the last time; those of the other parity were yesterday's.
    pub(super) fn take_counts(&self, today: Day) -> impl Iterator<Item = (Day, Counts)> {
        [today.minus(1), today]
            .into_iter()
            .map(|day| (day, self.counters(day)))
            .filter(|(_, counters)| !counters.is_none())
            .map(|(day, counters)| (day, counters.take()))
    }

    fn counters(&self, day: Day) -> &Counters {
        let [even, odd] = &self.counts;
        if day.number().is_multiple_of(2) {
            even
        } else {
            odd
        }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            by_certificate: self.seen.by_certificate.get(),
            by_key: self.seen.by_key.get(),
        }
    }

    pub(super) fn sighting(&self, client: &ClientId) -> Sighting {
        Sighting {
            client: client.clone(),
            seen: self.seen(),
            conflict: self.seen.conflict.get(),
            refused: self.refused.load().as_deref().cloned(),
        }
    }

    /// Whether the store does not know all of it.
    pub(super) fn is_news(&self) -> bool {
        let refused = self.refused.load().as_ref().map(|refusal| refusal.at);
        self.seen.get() != self.told.get() || refused != self.refusal_told.get()
    }

    /// Takes in what the store knows.
    pub(super) fn is_told(&self, sighting: &Sighting) {
        // In this order: what is told was seen, whoever looks in between.
        for times in [&self.seen, &self.told] {
            times.by_certificate.raise(sighting.seen.by_certificate);
            times.by_key.raise(sighting.seen.by_key);
            times.conflict.raise(sighting.conflict);
        }
        if let Some(refusal) = &sighting.refused {
            self.refuse(refusal.clone());
            self.refusal_told.raise(Some(refusal.at));
        }
    }
}

/// The last use of one credential: a time and an address, which are read and written together.
///
/// The version is odd while somebody writes. Whoever finds it so, or is overtaken, lets the other
/// one's use stand for its own, which is of the same moment.
#[derive(Debug, Default)]
pub(super) struct UseCell {
    version: AtomicU64,
    at: Latest,
    from: [AtomicU64; 2],
    told: Latest,
}

impl UseCell {
    /// Keeps the latest use; of several within one second the first.
    pub(super) fn raise(&self, last: LastUse) {
        if self.at.get() >= Some(last.at) {
            return;
        }
        let version = self.version.load(Ordering::Relaxed);
        let writing = version | 1;
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        let mine = writing != version
            && self
                .version
                .compare_exchange(version, writing, acquire, relaxed)
                .is_ok();
        if !mine {
            return;
        }
        fence(Ordering::Release);
        // Another may have written a later one just before.
        if self.at.get() < Some(last.at) {
            let [high, low] = &self.from;
            let bits = bits(last.from);
            high.store(bits[0], Ordering::Relaxed);
            low.store(bits[1], Ordering::Relaxed);
            self.at.raise(Some(last.at));
        }
        self.version
            .store(writing.wrapping_add(1), Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<LastUse> {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let [high, low] = &self.from;
            let bits = [high.load(Ordering::Relaxed), low.load(Ordering::Relaxed)];
            let at = self.at.get();
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                let from = address(bits);
                return at.map(|at| LastUse { at, from });
            }
            std::hint::spin_loop();
        }
    }

    /// The last use, when the store does not know it.
    pub(super) fn news(&self) -> Option<LastUse> {
        self.get().filter(|last| self.told.get() < Some(last.at))
    }

    /// Whether the store knows no use of it, as far as is known here.
    pub(super) fn is_untold(&self) -> bool {
        self.told.get().is_none()
    }

    pub(super) fn is_told(&self, at: Timestamp) {
        self.told.raise(Some(at));
    }
}

fn bits(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .to_bits()
    .to_be_bytes();
    let (high, low) = bits.split_at(8);
    [high, low].map(|half| half.try_into().map_or(0, u64::from_be_bytes))
}

fn address([high, low]: [u64; 2]) -> IpAddr {
    let bits = u128::from(high) << 64 | u128::from(low);
    IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(n: i64) -> LastUse {
        let from = Ipv6Addr::from_bits(u128::from(n.unsigned_abs()) * ((1 << 64) + 1));
        LastUse {
            at: Timestamp::from_unix(n),
            from: from.into(),
        }
    }

    #[test]
    fn a_use_is_read_as_it_was_written_whoever_else_writes() {
        const LAST: i64 = 200_000;
        let cell = UseCell::default();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (1..=LAST).for_each(|n| cell.raise(used(n))));
            }
            let mut before = None;
            while before != Some(used(LAST)) {
                let now = cell.get();
                assert!(now >= before, "{now:?} after {before:?}");
                if let Some(now) = now {
                    assert_eq!(now, used(now.at.as_unix()), "time and address of one use");
                }
                before = now;
            }
        });
    }

    #[test]
    fn an_address_is_kept_whole() {
        for text in ["192.0.2.1", "2001:db8::1", "::", "255.255.255.255"] {
            let from: IpAddr = text.parse().unwrap();
            assert_eq!(address(bits(from)), from);
        }
    }

    #[test]
    fn the_requests_before_midnight_are_counted_for_the_day_before() {
        let (today, activity) = (Day::from_number(20_000), Activity::default());
        activity.count(Counted::ByKey, today.minus(1));
        activity.count(Counted::ByKey, today.minus(1));
        activity.count(Counted::Refused, today);
        let taken: Vec<_> = activity.take_counts(today).collect();
        let day = |by_key, refused| Counts {
            by_key,
            refused,
            ..Counts::default()
        };
        assert_eq!(taken, [(today.minus(1), day(2, 0)), (today, day(0, 1))]);
        assert_eq!(activity.take_counts(today).count(), 0);
    }
}
