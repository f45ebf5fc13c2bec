//! Fronts: proxies before us that end the clients' TLS and forward their certificates.
//!
//! A front is believed when it calls from its own addresses *and* proves to be it, on every request
//! anew. Then the certificate that it forwards is its client's, and is verified by us like any
//! other; that the client holds the key to it is only [asserted](crate::credential::Assurance).
//! Whatever else carries such headers is no front, and its headers count for nothing.

mod format;
mod pem;
mod signed;
mod xfcc;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use quick_cache::sync::Cache;
use subtle::{Choice, ConstantTimeEq as _};

pub use format::{Format, Unreadable};
pub use signed::FRONT_SIGNATURE;

use crate::certificate::{Chain, Fingerprint, Trust, Verifier};
use crate::clock::Timestamp;
use crate::credential::Sent;
use crate::head::Head;
use crate::policy::Network;
use crate::secret::SecretBytes;

/// The header with a front's secret.
pub const FRONT_SECRET: HeaderName = HeaderName::from_static("x-front-secret");

/// How many forwarded certificates are remembered that are good, and how many others; apart, so that
/// a flood of bad ones cannot push out the good.
const MOST_GOOD: usize = 4096;
const MOST_BAD: usize = 256;

/// A front.
pub struct Front {
    /// Its name in logs and metrics.
    pub name: String,
    /// Where it calls from.
    pub from: Vec<Network>,
    /// How it shows that it is the front.
    pub shows: Shows,
    /// How it forwards certificates.
    pub format: Format,
    /// Whether a client that comes through it may be given a key by its certificate.
    pub may_claim: bool,
    /// The header whose last address is the client's; the client's address is not known without.
    pub client_address: Option<HeaderName>,
}

/// How a front shows that it is one.
pub enum Shows {
    /// With a certificate in its handshake with us, that is good by these authorities and has one of
    /// these names, as [`crate::certificate::Facts`] writes them. The authorities are not those of
    /// the clients.
    Named(Verifier, Vec<String>),
    /// With one of these very certificates, in its handshake with us.
    Pinned(Vec<Fingerprint>),
    /// With one of these secrets, in [`FRONT_SECRET`].
    Secret(Vec<SecretBytes>),
    /// With a signature by one of these secrets, in [`FRONT_SIGNATURE`].
    Signed(Vec<SecretBytes>),
}

/// All fronts, and the certificates that they forwarded lately.
pub struct Fronts {
    all: Vec<Front>,
    good: Cache<[u8; 32], Arc<Sent>>,
    bad: Cache<[u8; 32], Arc<Sent>>,
}

/// Where a request came from, for fronts.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// The address that connected, and the one that a balancer there named.
    pub addresses: [Option<IpAddr>; 2],
    /// The certificate of the connection.
    pub sent: Option<&'a Sent>,
    /// The client's certificate by the header of the PROXY protocol.
    pub told: Option<&'a [u8]>,
    /// The request.
    pub head: &'a Head<'a>,
}

/// Who brought a request.
pub enum Brought<'a> {
    /// No front.
    ByNone,
    /// Somebody at the address of this front who forwards a certificate, and does not prove to be it.
    ByStranger(&'a Front),
    /// This front.
    By(&'a Front),
}

impl Fronts {
    /// These fronts.
    #[must_use]
    pub fn new(fronts: Vec<Front>) -> Self {
        let room = |most| if fronts.is_empty() { 0 } else { most };
        Self {
            good: Cache::new(room(MOST_GOOD)),
            bad: Cache::new(room(MOST_BAD)),
            all: fronts,
        }
    }

    /// Whether a front at one of these addresses shows a certificate, and so has to be asked for it.
    #[must_use]
    pub fn asks(&self, addresses: [Option<IpAddr>; 2]) -> bool {
        let by_secret = |front: &&Front| matches!(front.shows, Shows::Secret(_) | Shows::Signed(_));
        let mut asked = self.all.iter().filter(|front| !by_secret(front));
        asked.any(|front| addresses.into_iter().flatten().any(|a| front.is_at(a)))
    }

    /// Whether one of them calls from this address.
    #[must_use]
    pub fn are_at(&self, address: IpAddr) -> bool {
        self.all.iter().any(|front| front.is_at(address))
    }

    /// The authorities of the fronts' own certificates.
    pub fn authorities(&self) -> impl Iterator<Item = Arc<Trust>> {
        self.all.iter().filter_map(|front| match &front.shows {
            Shows::Named(verifier, _) => Some(verifier.trust()),
            Shows::Pinned(_) | Shows::Secret(_) | Shows::Signed(_) => None,
        })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|front| front.name.as_str())
    }

    /// Who brought the request that arrives so.
    #[must_use]
    pub fn brought(&self, arrival: Arrival<'_>, now: Timestamp) -> Brought<'_> {
        let addresses = || arrival.addresses.into_iter().flatten();
        let is_at = |front: &&Front| addresses().any(|address| front.is_at(address));
        let mut at = self.all.iter().filter(is_at);
        let found = at.clone().find(|front| front.is_shown(arrival, now));
        match found {
            Some(front) => Brought::By(front),
            None => at
                .find(|front| front.format.carries(arrival.head.headers, arrival.told))
                .map_or(Brought::ByNone, Brought::ByStranger),
        }
    }

    /// The certificate that `front` forwards for its client; none when it forwards none.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when there are two readings of what it forwards, or none.
    pub fn forwarded(
        &self,
        front: &Front,
        arrival: Arrival<'_>,
        verifier: &Verifier,
        now: Timestamp,
    ) -> Result<Option<Arc<Sent>>, Unreadable> {
        let Some(forwarded) = front.format.find(arrival.head.headers, arrival.told)? else {
            return Ok(None);
        };
        let key = forwarded.digest();
        if let Some(sent) = self.good.get(&key).or_else(|| self.bad.get(&key)) {
            return Ok(Some(sent));
        }
        let (leaf, others) = forwarded.read()?;
        let sent = Arc::new(Sent::new(Chain::from_der(&leaf, &others), verifier, now));
        let is_good = sent.verified(verifier, now).is_some();
        let remembered = if is_good { &self.good } else { &self.bad };
        remembered.insert(key, Arc::clone(&sent));
        Ok(Some(sent))
    }
}

impl Front {
    fn is_at(&self, address: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(address))
    }

    fn is_shown(&self, arrival: Arrival<'_>, now: Timestamp) -> bool {
        match &self.shows {
            Shows::Named(verifier, names) => arrival.sent.is_some_and(|sent| {
                let verdict = verifier.verify(sent.chain(), now);
                verdict.at(now).is_ok_and(|good| {
                    let own = &good.facts().alternative_names;
                    names.iter().any(|name| own.contains(name))
                })
            }),
            Shows::Pinned(pinned) => arrival
                .sent
                .is_some_and(|sent| pinned.contains(sent.chain().fingerprint())),
            Shows::Signed(secrets) => signed::is_signed(arrival.head, &self.format, secrets, now),
            Shows::Secret(secrets) => {
                only(arrival.head.headers, &FRONT_SECRET).is_some_and(|shown| {
                    let right = secrets.iter().map(|s| s.expose().ct_eq(shown.as_bytes()));
                    right.fold(Choice::from(0), |any, one| any | one).into()
                })
            }
        }
    }

    /// The client's address, where the front tells it: the last one, since what stands before may
    /// be the client's own words.
    #[must_use]
    pub fn client_address(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let last = headers
            .get_all(self.client_address.as_ref()?)
            .iter()
            .next_back();
        let last = last?.to_str().ok()?.rsplit(',').next()?.trim();
        let address = last.parse::<IpAddr>();
        address
            .or_else(|_| last.parse::<SocketAddr>().map(|socket| socket.ip()))
            .ok()
            .map(|address| address.to_canonical())
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

impl std::fmt::Debug for Fronts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.all.iter().map(|front| &front.name);
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests;
