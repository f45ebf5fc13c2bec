//! How often each client may ask, over all gateways together.
//!
//! Every gateway counts for itself and waits for nobody. Now and then each tells what its clients
//! asked for, hears what they asked for everywhere, and from then on gives each client the same part
//! of its rate as this gateway has of its requests. The parts add up to one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use papaya::HashMap;

use super::pace::{Moment, Pace, Rate};
use crate::client::ClientId;

/// A part of the rate that nobody needs to hear of: with so many gateways it could not be exceeded.
const PART: f64 = 1.0 / 16.0;

/// The buckets of the clients that called lately.
#[derive(Debug)]
pub struct Budgets {
    rate: Rate,
    begun: Instant,
    clients: HashMap<ClientId, Budget, RandomState>,
}

/// One client's.
#[derive(Debug)]
struct Budget {
    pace: Pace,
    /// What came here since it was last told, also what was refused.
    asked: AtomicU64,
    /// What came here lately, fading; as the bits of a number of requests.
    demand: AtomicU64,
    /// The part of the rate that is given here, as the bits of a number from 0 to 1.
    share: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            asked: AtomicU64::new(0),
            demand: AtomicU64::new(0f64.to_bits()),
            share: AtomicU64::new(1f64.to_bits()),
        }
    }
}

/// A client that asks for much, and how many requests came since that was last told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Who.
    pub client: ClientId,
    /// How many.
    pub requests: u64,
}

impl Budgets {
    /// The time in which what was asked for fades to a third. Longer, and a client that goes over to
    /// another gateway finds too little there for as long; shorter, and the shares jump.
    pub const FADING: Duration = Duration::from_secs(5);

    /// Full ones, each of this rate; time is counted from when they `begun`.
    #[must_use]
    pub fn new(rate: Rate, begun: Instant) -> Self {
        Self {
            rate,
            begun,
            clients: HashMap::default(),
        }
    }

    /// The rate of each client, over all gateways together.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts a request of `client`, who is known: strangers cost no memory.
    ///
    /// # Errors
    ///
    /// When it is one too many: how long until there is room for one.
    pub fn take(&self, client: &ClientId, now: Instant) -> Result<(), Duration> {
        let map = self.clients.pin();
        let known = map.get(client);
        let budget =
            known.unwrap_or_else(|| map.get_or_insert_with(client.clone(), Budget::default));
        budget.asked.fetch_add(1, Ordering::Relaxed);
        let share = f64::from_bits(budget.share.load(Ordering::Relaxed));
        let rate = if share < 1.0 {
            self.rate.share(share)
        } else {
            self.rate
        };
        budget.pace.take(rate, Moment::since(self.begun, now))
    }

    /// What to tell after `tick`, the time since it was last told: whoever asks for more than a
    /// small part of its rate. Forgets who has a full bucket and asked for nothing.
    pub fn demands(&self, tick: Duration, now: Instant) -> Vec<Demand> {
        let faded = (-tick.as_secs_f64() / Self::FADING.as_secs_f64()).exp();
        let least = self.rate.per_second() * Self::FADING.as_secs_f64() * PART;
        let now = Moment::since(self.begun, now);
        let map = self.clients.pin();
        let mut demands = Vec::new();
        for (client, budget) in &map {
            let requests = budget.asked.swap(0, Ordering::Relaxed);
            let before = f64::from_bits(budget.demand.load(Ordering::Relaxed));
            let demand = before.mul_add(faded, approximately(requests));
            budget.demand.store(demand.to_bits(), Ordering::Relaxed);
            if demand >= least {
                demands.push(Demand {
                    client: client.clone(),
                    requests,
                });
            } else {
                budget.share.store(1f64.to_bits(), Ordering::Relaxed);
                if requests == 0 && budget.pace.is_full(now) {
                    map.remove(client);
                }
            }
        }
        demands
    }

    /// Learns what `client` asks for everywhere, `total`, just after it was told here after `tick`.
    pub fn learn(&self, client: &ClientId, total: f64, tick: Duration) {
        let map = self.clients.pin();
        let Some(budget) = map.get(client) else {
            return;
        };
        let own = f64::from_bits(budget.demand.load(Ordering::Relaxed));
        let others = (total - own).max(0.0);
        // What is told here is fresh, while that of the others has faded for half a tick on average.
        let half = (-tick.as_secs_f64() / 2.0 / Self::FADING.as_secs_f64()).exp();
        let share = own * half / own.mul_add(half, others);
        let share = if share.is_finite() { share } else { 1.0 };
        budget.share.store(share.to_bits(), Ordering::Relaxed);
    }

    /// Nobody knows what is asked for elsewhere: each client has its whole rate here.
    pub fn forget_others(&self) {
        for (_, budget) in &self.clients.pin() {
            budget.share.store(1f64.to_bits(), Ordering::Relaxed);
        }
    }

    /// How many clients have a bucket.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether nobody called lately.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}

/// A number of requests as one that can fade.
fn approximately(requests: u64) -> f64 {
    f64::from(u32::try_from(requests).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers of the tests' own"
)]
mod tests {
    use super::*;
    use crate::clock;

    const TICK: Duration = Duration::from_secs(1);

    fn client(name: &str) -> ClientId {
        name.parse().unwrap()
    }

    /// The store, as several gateways see it: what was told, fading.
    #[derive(Default)]
    struct Total(f64, f64);

    impl Total {
        fn tell(&mut self, requests: u64, at: f64) -> f64 {
            let faded = ((self.1 - at) / Budgets::FADING.as_secs_f64()).exp();
            *self = Self(self.0.mul_add(faded, approximately(requests)), at);
            self.0
        }
    }

    /// What passes within a minute at gateways that are asked `offered` times a second each, from
    /// the tenth second on, and that tell each other or not.
    fn passed(offered: &[u32], together: bool) -> u32 {
        let begun = clock::monotonic();
        let rate = Rate::new(100, Duration::from_secs(1), 100);
        let gateways: Vec<_> = offered.iter().map(|_| Budgets::new(rate, begun)).collect();
        let (acme, mut total, mut passed) = (client("acme"), Total::default(), 0);
        for ms in 0..70_000u32 {
            let now = begun + Duration::from_millis(ms.into());
            for (index, (gateway, offered)) in gateways.iter().zip(offered).enumerate() {
                let due = |ms: u32| u64::from(ms) * u64::from(*offered) / 1000;
                for _ in due(ms)..due(ms + 1) {
                    let took = gateway.take(&acme, now).is_ok();
                    passed += u32::from(took && ms >= 10_000);
                }
                // Not all tell at the same moment.
                let phase = u32::try_from(index).unwrap() * 370 % 1000;
                if together && ms % 1000 == phase {
                    for told in gateway.demands(TICK, now) {
                        let total = total.tell(told.requests, f64::from(ms) / 1000.0);
                        gateway.learn(&told.client, total, TICK);
                    }
                }
            }
        }
        passed
    }

    #[test]
    fn what_passes_at_all_gateways_together_is_near_the_rate() {
        let expected = 6000;
        for offered in [
            &[150, 150][..],
            &[1000, 200],
            &[400, 50, 50],
            &[90, 90, 90, 90],
        ] {
            let alone = passed(offered, false);
            assert!(alone > expected * 13 / 10, "{offered:?}: {alone}");
            let together = passed(offered, true);
            let off = together.abs_diff(expected);
            assert!(off < expected / 10, "{offered:?}: {together}");
        }
        // Who asks for less than its rate is refused nowhere.
        assert_eq!(passed(&[45, 45], true), 5400);
    }

    #[test]
    fn a_client_that_has_gone_costs_nothing() {
        let begun = clock::monotonic();
        let budgets = Budgets::new(Rate::new(10, Duration::from_secs(1), 10), begun);
        for n in 0..100 {
            budgets.take(&client(&format!("c{n}")), begun).unwrap();
        }
        assert_eq!(budgets.demands(TICK, begun), []);
        assert_eq!(budgets.len(), 100);
        budgets.demands(TICK, begun + TICK);
        assert!(budgets.is_empty());
    }

    #[test]
    fn one_client_takes_nothing_from_another() {
        let now = clock::monotonic();
        let budgets = Budgets::new(Rate::new(1, Duration::from_secs(1), 5), now);
        let passed = (0..100).filter(|_| budgets.take(&client("a"), now).is_ok());
        assert_eq!(passed.count(), 5);
        assert!(budgets.take(&client("b"), now).is_ok());
    }
}
