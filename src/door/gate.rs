//! The gate: how many connections there may be, and how many handshakes begin.
//!
//! What is refused here is closed before anything of TLS is read or written. A connection is first
//! *pending*, while its handshake is under way, and then *open*; each has a bound of its own, so
//! that handshakes that never complete cost nobody a connection that works.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Lock, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntGauge};
use tokio::sync::oneshot;

use crate::clock;
use crate::limit::{AtOnce, Counted, Moment, Pace, Paces, Rate, network};
use crate::policy::Network;
use crate::telemetry::Metrics;

/// How often it is told that connections are refused for one reason.
const TELL_EVERY: u64 = 10;

/// What the gate bounds.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Open connections.
    pub connections: u32,
    /// Connections from one address, pending ones too; of IPv6, from one /64.
    pub connections_per_address: u32,
    /// Connections whose handshake is under way.
    pub pending: u32,
    /// Handshakes that begin within a second.
    pub handshakes_per_second: u32,
    /// Connections that are made within a second from one address; of IPv6, from one /64.
    pub handshakes_per_address: u32,
    /// Addresses to which nothing that counts by address applies.
    pub exempt: Vec<Network>,
}

/// Why a connection is closed, or was: the labels of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    Connections,
    ConnectionsPerAddress,
    Pending,
    Handshakes,
    HandshakesPerAddress,
}

impl Rejected {
    const ALL: [Self; 5] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::Pending,
        Self::Handshakes,
        Self::HandshakesPerAddress,
    ];

    /// The setting that is to blame.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Pending => "pending",
            Self::Handshakes => "handshakes_per_second",
            Self::HandshakesPerAddress => "handshakes_per_address",
        }
    }
}

/// Everything that is counted of connections.
pub(super) struct Gate {
    bounds: Bounds,
    begun: Instant,
    open: AtomicUsize,
    /// The connections of each address.
    addresses: Arc<AtOnce>,
    waiting: Lock<Waiting>,
    all: (Pace, Rate),
    each: Paces,
    counters: Vec<(Rejected, Refusals)>,
    open_gauge: IntGauge,
    pending_gauge: IntGauge,
}

/// The connections whose handshakes are under way, the oldest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    places: BTreeMap<u64, oneshot::Sender<()>>,
}

struct Refusals {
    counter: IntCounter,
    /// When they were last told of, in seconds, and how many there were then.
    told: AtomicU64,
    before: AtomicU64,
}

/// A connection that may try its handshake.
pub(super) struct Arrival {
    gate: Arc<Gate>,
    place: u64,
    /// Ends when the place is needed for another.
    displaced: Option<oneshot::Receiver<()>>,
    pub(super) guest: Guest,
}

/// The address that a connection counts for, once it is known.
#[derive(Default)]
pub(super) struct Guest(OnceLock<Counted>);

/// A connection whose handshake is complete.
pub(super) struct Open {
    gate: Arc<Gate>,
    _guest: Guest,
}

impl Gate {
    pub(super) fn new(bounds: &Bounds, metrics: &Metrics) -> Arc<Self> {
        let second = |number| Rate::new(number, Duration::from_secs(1), number);
        let limits = [
            (Rejected::Connections, bounds.connections),
            (
                Rejected::ConnectionsPerAddress,
                bounds.connections_per_address,
            ),
            (Rejected::Pending, bounds.pending),
            (Rejected::Handshakes, bounds.handshakes_per_second),
            (
                Rejected::HandshakesPerAddress,
                bounds.handshakes_per_address,
            ),
        ];
        for (limit, most) in limits {
            let gauge = metrics.limit.with_label_values(&[limit.as_str()]);
            gauge.set(most.into());
        }
        let refusals = |rejected: Rejected| {
            let counter = &metrics.connections_rejected;
            let counter = counter.with_label_values(&[rejected.as_str()]);
            (rejected, Refusals::of(counter))
        };
        Arc::new(Self {
            begun: clock::monotonic(),
            open: AtomicUsize::new(0),
            addresses: AtOnce::new(bounds.connections_per_address),
            waiting: Lock::default(),
            all: (Pace::default(), second(bounds.handshakes_per_second)),
            each: Paces::new(second(bounds.handshakes_per_address)),
            counters: Rejected::ALL.map(refusals).into(),
            open_gauge: metrics.connections.with_label_values(&["open"]),
            pending_gauge: metrics.connections.with_label_values(&["pending"]),
            bounds: bounds.clone(),
        })
    }

    /// Lets a connection try its handshake. It counts for `address` when that is known already.
    ///
    /// When too many try, the oldest gives its place up: who completes a handshake at all does so
    /// in a moment, so under a flood of such as never will, others still come through. It goes when its
    /// turn comes; until as many wait for that as there are places, no more are taken in.
    pub(super) fn arrive(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Arrival, Rejected> {
        if self.open.load(Ordering::Relaxed) >= most(self.bounds.connections) {
            return Err(self.reject(Rejected::Connections, address));
        }
        let most_pending = i64::from(self.bounds.pending).saturating_mul(2);
        if self.pending_gauge.get() >= most_pending {
            return Err(self.reject(Rejected::Pending, address));
        }
        let guest = Guest::default();
        if let Some(address) = address {
            guest.counts_for(self, address)?;
        }
        let (sender, displaced) = oneshot::channel();
        let (place, oldest) = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let full = waiting.places.len() >= most(self.bounds.pending);
            let oldest = full.then(|| waiting.places.pop_first()).flatten();
            let place = waiting.next;
            waiting.next = place.wrapping_add(1);
            waiting.places.insert(place, sender);
            (place, oldest)
        };
        // Its own end tells why it was closed.
        drop(oldest);
        self.pending_gauge.inc();
        Ok(Arrival {
            gate: Arc::clone(self),
            place,
            displaced: Some(displaced),
            guest,
        })
    }

    /// Counts a refusal, and tells of it now and then.
    fn reject(&self, rejected: Rejected, address: Option<IpAddr>) -> Rejected {
        let refusals = self.counters.iter().find(|(known, _)| *known == rejected);
        let Some((_, refusals)) = refusals else {
            return rejected;
        };
        if let Some(since) = refusals.count(self.begun.elapsed().as_secs()) {
            tracing::warn!(
                limit = rejected.as_str(),
                last = address.map(tracing::field::display),
                since,
                "connections are refused; see docs/LIMITS.md"
            );
        }
        rejected
    }

    /// Lets a handshake begin whose `ClientHello` has come: from here on it costs arithmetic. Who only
    /// connects, and says nothing, takes nothing from those who do.
    pub(super) fn begin(&self, address: Option<IpAddr>) -> Result<(), Rejected> {
        let (pace, rate) = &self.all;
        let taken = pace.take(*rate, self.now());
        taken.map_err(|_| self.reject(Rejected::Handshakes, address))
    }

    fn now(&self) -> Moment {
        Moment::since(self.begun, clock::monotonic())
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let mut exempt = self.bounds.exempt.iter();
        exempt.any(|network| network.contains(address))
    }
}

impl Guest {
    /// The connection is `address`'s; at most once.
    pub(super) fn counts_for(&self, gate: &Arc<Gate>, address: IpAddr) -> Result<(), Rejected> {
        if gate.is_exempt(address) {
            return Ok(());
        }
        let network = network(address);
        if gate.each.take(network, gate.now()).is_err() {
            return Err(gate.reject(Rejected::HandshakesPerAddress, Some(address)));
        }
        let Some(counted) = gate.addresses.enter(network) else {
            return Err(gate.reject(Rejected::ConnectionsPerAddress, Some(address)));
        };
        // It goes out again with what it is kept in.
        let _ = self.0.set(counted);
        Ok(())
    }
}

impl Arrival {
    /// Waits until its place is needed for another.
    pub(super) fn displaced(&mut self) -> impl Future<Output = ()> + use<> {
        let displaced = self.displaced.take();
        async move {
            match displaced {
                // Whoever takes the place only lets go of the other end.
                Some(displaced) => drop(displaced.await),
                None => std::future::pending().await,
            }
        }
    }

    /// Its place went to another.
    pub(super) fn make_room(self, address: Option<IpAddr>) -> Rejected {
        self.gate.reject(Rejected::Pending, address)
    }

    /// Its handshake is complete.
    pub(super) fn open(mut self, address: Option<IpAddr>) -> Result<Open, Rejected> {
        let gate = Arc::clone(&self.gate);
        let bound = most(gate.bounds.connections);
        let more = |open: usize| (open < bound).then(|| open.saturating_add(1));
        let opened = gate
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if opened.is_err() {
            return Err(gate.reject(Rejected::Connections, address));
        }
        gate.open_gauge.inc();
        Ok(Open {
            gate,
            _guest: std::mem::take(&mut self.guest),
        })
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let waiting = self.gate.waiting.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.places.remove(&self.place);
        drop(waiting);
        self.gate.pending_gauge.dec();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Ordering::Relaxed);
        self.gate.open_gauge.dec();
    }
}

impl Refusals {
    const fn of(counter: IntCounter) -> Self {
        Self {
            counter,
            told: AtomicU64::new(0),
            before: AtomicU64::new(0),
        }
    }

    /// Counts one more; how many there were since it was last told, when it is to be told again.
    fn count(&self, second: u64) -> Option<u64> {
        self.counter.inc();
        let due = |told: u64| {
            (told == 0 || second >= told.saturating_add(TELL_EVERY)).then_some(second.max(1))
        };
        (self.told)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .ok()?;
        let now = self.counter.get();
        Some(now.saturating_sub(self.before.swap(now, Ordering::Relaxed)))
    }
}

fn most(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
