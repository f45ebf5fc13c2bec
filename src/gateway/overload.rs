//! What is refused because it is too much: requests at once, of one client, and wrong keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Version;
use prometheus::IntGauge;

use super::{Exchange, Gateway, Refusal};
use crate::clock;
use crate::credential::{Presented, PresentedCertificate, PresentedKey};
use crate::head::Head;
use crate::identity::{Identity, Refused};
use crate::limit::{AtOnce, Budgets, Counted, Moment, Paces, Rate, network};
use crate::policy::{Network, Permit};
use crate::telemetry::Metrics;

/// What the gateway bounds.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Requests under way.
    pub requests_at_once: u32,
    /// Requests under way from one address, where one connection can have many of them; of IPv6, from
    /// one /64.
    pub requests_per_address: u32,
    /// Requests of each client; none: as many as it likes.
    pub per_client: Option<PerClient>,
    /// Wrong keys from one address within a minute; of IPv6, from one /64.
    pub wrong_keys_per_address: u32,
    /// Addresses to which nothing applies that counts by address.
    pub exempt: Vec<Network>,
}

/// How often each client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerClient {
    /// On average.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Bounds {
    /// The buckets of the clients, when there is a rate.
    #[must_use]
    pub fn budgets(&self) -> Option<Arc<Budgets>> {
        let PerClient { per_second, burst } = self.per_client?;
        let rate = Rate::new(per_second, Duration::from_secs(1), burst);
        Some(Arc::new(Budgets::new(rate, clock::monotonic())))
    }
}

/// What is too much, and when it no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Of what.
    pub what: TooMany,
    /// How long until then.
    pub after: Duration,
}

/// Of what there was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// Calls for keys, by one credential or from one address.
    KeyCalls,
    /// Requests of one client, of which there may be so many.
    Requests(PerClient),
    /// Wrong keys from one address.
    WrongKeys,
    /// Requests under way from one address.
    AtOnce,
}

impl Limited {
    /// In whole seconds, as a header tells it; no earlier than it is true.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        let seconds = self.after.as_secs();
        let begun = u64::from(self.after.subsec_nanos() > 0);
        Duration::from_secs(seconds.saturating_add(begun).max(1))
    }

    /// `RateLimit-Policy` and `RateLimit`, of whoever has a rate
    /// (draft-ietf-httpapi-ratelimit-headers-10).
    pub(super) fn rate_limit(&self) -> Option<(String, String)> {
        let TooMany::Requests(PerClient { per_second, .. }) = self.what else {
            return None;
        };
        let seconds = self.retry_after().as_secs();
        Some((
            format!("\"client\";q={per_second};w=1"),
            format!("\"client\";r=0;t={seconds}"),
        ))
    }

    /// One sentence or more for a human.
    #[must_use]
    pub fn detail(&self) -> String {
        let what = match self.what {
            TooMany::KeyCalls => {
                "Too many keys were asked for by this credential or from this address".to_owned()
            }
            TooMany::Requests(PerClient { per_second, burst }) => format!(
                "This client sends more than {per_second} requests a second (and {burst} at once)"
            ),
            TooMany::WrongKeys => {
                "Too many wrong keys came from this address; a good one is accepted from it"
                    .to_owned()
            }
            TooMany::AtOnce => "Too many requests from this address are under way".to_owned(),
        };
        format!(
            "{what}; try again in {} seconds.",
            self.retry_after().as_secs()
        )
    }
}

/// What is counted for these bounds.
pub(super) struct Overload {
    bounds: Bounds,
    budgets: Option<Arc<Budgets>>,
    under_way: Arc<UnderWay>,
    of_addresses: Arc<AtOnce>,
    wrong_keys: Paces,
    begun: Instant,
    metrics: Metrics,
}

/// How many requests are under way.
#[derive(Debug)]
struct UnderWay {
    number: AtomicU64,
    gauge: IntGauge,
}

/// One request that is under way, for as long as it is.
#[derive(Debug)]
pub(super) struct Turn {
    under_way: Arc<UnderWay>,
    of_address: Option<Counted>,
}

/// When whoever has too much under way may try again.
const SOON: Duration = Duration::from_secs(1);

impl Overload {
    pub(super) fn new(bounds: Bounds, budgets: Option<Arc<Budgets>>, metrics: &Metrics) -> Self {
        let per_client = bounds.per_client;
        let limits = [
            ("requests_at_once", Some(bounds.requests_at_once)),
            ("requests_per_address", Some(bounds.requests_per_address)),
            (
                "requests_per_second",
                per_client.map(|each| each.per_second),
            ),
            ("burst", per_client.map(|each| each.burst)),
            (
                "wrong_keys_per_address",
                Some(bounds.wrong_keys_per_address),
            ),
        ];
        for (limit, most) in limits {
            if let Some(most) = most {
                metrics.limit.with_label_values(&[limit]).set(most.into());
            }
        }
        for limit in [
            "requests_at_once",
            "requests_per_address",
            "requests_per_second",
            "wrong_keys_per_address",
        ] {
            metrics.requests_limited.with_label_values(&[limit]);
        }
        let wrong = bounds.wrong_keys_per_address;
        Self {
            budgets,
            under_way: Arc::new(UnderWay {
                number: AtomicU64::new(0),
                gauge: metrics.requests_under_way.clone(),
            }),
            of_addresses: AtOnce::new(bounds.requests_per_address),
            wrong_keys: Paces::new(Rate::new(wrong, Duration::from_mins(1), wrong)),
            begun: clock::monotonic(),
            metrics: metrics.clone(),
            bounds,
        }
    }

    /// A turn for one more request.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overloaded`] when too many are under way.
    pub(super) fn enter(&self) -> Result<Turn, Refusal> {
        let most = u64::from(self.bounds.requests_at_once);
        let more = |number: u64| (number < most).then(|| number.saturating_add(1));
        let number = &self.under_way.number;
        let entered = number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if entered.is_err() {
            self.limited("requests_at_once");
            return Err(Refusal::Overloaded);
        }
        self.under_way.gauge.inc();
        Ok(Turn {
            under_way: Arc::clone(&self.under_way),
            of_address: None,
        })
    }

    /// Counts the turn of `exchange` for its address, so that nobody takes all of them. What has a
    /// connection to itself is counted with that; what a front brings, where it tells for whom.
    ///
    /// # Errors
    ///
    /// [`Refusal::RateLimited`] when too many of them are under way.
    pub(super) fn share(&self, exchange: &mut Exchange, version: Version) -> Result<(), Refusal> {
        let is_shared = exchange.front.is_some() || version == Version::HTTP_2;
        let fronts = &exchange.live.fronts;
        let peer = exchange.peer.filter(|peer| !fronts.are_at(*peer));
        let counted = self.counted(peer).filter(|_| is_shared);
        let (Some((network, _)), Some(turn)) = (counted, &mut exchange.turn) else {
            return Ok(());
        };
        turn.of_address = self.of_addresses.enter(network);
        if turn.of_address.is_none() {
            return Err(self.refuse(TooMany::AtOnce, "requests_per_address", SOON));
        }
        Ok(())
    }

    /// Counts a request of whoever this is.
    fn request(&self, identity: &Identity) -> Result<(), Refusal> {
        let (Some(budgets), Some(each)) = (&self.budgets, self.bounds.per_client) else {
            return Ok(());
        };
        let taken = budgets.take(identity.client(), clock::monotonic());
        let what = TooMany::Requests(each);
        taken.map_err(|after| self.refuse(what, "requests_per_second", after))
    }

    /// The network that is counted for, and the time.
    fn counted(&self, peer: Option<IpAddr>) -> Option<(u128, Moment)> {
        let peer = peer?;
        let is_exempt = self.bounds.exempt.iter().any(|own| own.contains(peer));
        let now = Moment::since(self.begun, clock::monotonic());
        (!is_exempt).then(|| (network(peer), now))
    }

    fn too_many_wrong_keys(&self, after: Duration) -> Refusal {
        self.refuse(TooMany::WrongKeys, "wrong_keys_per_address", after)
    }

    fn refuse(&self, what: TooMany, limit: &str, after: Duration) -> Refusal {
        self.limited(limit);
        Refusal::RateLimited(Limited { what, after })
    }

    fn limited(&self, limit: &str) {
        self.metrics
            .requests_limited
            .with_label_values(&[limit])
            .inc();
    }
}

impl Gateway {
    /// A request that is permitted may still be one too many of its client's.
    pub(super) fn within_budget(
        &self,
        permit: Permit,
        exchange: &mut Exchange,
    ) -> Result<Permit, Refusal> {
        if let Some(identity) = permit.identity()
            && let Err(refusal) = self.overload.request(identity)
        {
            exchange.note_identity(identity);
            self.saw(identity, exchange);
            return Err(refusal);
        }
        Ok(permit)
    }

    /// Refuses a key that is not known here, before the store is asked about it, where too many wrong
    /// ones came from the same address. A good key is known here within a moment of being issued, so
    /// only one that came before its news has to come again.
    pub(super) fn may_ask_for(&self, head: &Head<'_>, peer: Option<IpAddr>) -> Result<(), Refusal> {
        let overload = &self.overload;
        let Some((network, now)) = overload.counted(peer) else {
            return Ok(());
        };
        let after = overload.wrong_keys.wait(network, now);
        if after.is_zero() || !self.shows_unknown_key(head) {
            return Ok(());
        }
        Err(overload.too_many_wrong_keys(after))
    }

    fn shows_unknown_key(&self, head: &Head<'_>) -> bool {
        let certificate = PresentedCertificate::Absent;
        let presented = Presented::read(head.headers, certificate, &self.parts.format);
        match presented.as_ref().map(Presented::key) {
            Ok(PresentedKey::Key(key)) => self.parts.directory.view().key(&key.id()).is_none(),
            _ => false,
        }
    }

    /// Counts a wrong key for the address that it came from, and for nobody and nothing else: what is
    /// known of the key, or whose id it names, is not touched. Whoever shows a good one never gets here.
    pub(super) fn count_wrong_key(&self, refusal: Refusal, peer: Option<IpAddr>) -> Refusal {
        let Refusal::Identity(Refused::KeyInvalid { .. } | Refused::KeyMalformed(_)) = refusal
        else {
            return refusal;
        };
        let Some((network, now)) = self.overload.counted(peer) else {
            return refusal;
        };
        match self.overload.wrong_keys.take(network, now) {
            Ok(()) => refusal,
            Err(after) => self.overload.too_many_wrong_keys(after),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.under_way.number.fetch_sub(1, Ordering::Relaxed);
        self.under_way.gauge.dec();
    }
}
