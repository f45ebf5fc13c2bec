//! Fronts: proxies before us that end the clients' TLS and forward their certificates.
//!
//! A front is believed when it calls from its own addresses *and* proves to be it, on every request
//! anew. Then the certificate that it forwards is its client's, and is verified by us like any
//! other; that the client holds the key to it is only [asserted](crate::credential::Assurance).
//! Whatever else carries such headers is no front, and its headers count for nothing.

mod asked;
mod format;
mod pem;
mod signed;
mod xfcc;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use subtle::ConstantTimeEq as _;

pub use asked::{Form, Unclear};
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
/// How long a header usually is with a certificate and one intermediate. Clients may send others
/// along, that differ each time: memory is bounded by all their lengths.
const USUAL: usize = 4096;

/// Certificates that were forwarded, by all that was, and how long that was.
type Forwarded = Cache<[u8; 32], (Arc<Sent>, u64), Length>;

/// What is longer takes more room.
#[derive(Clone)]
struct Length;

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
    /// In which form it asks about each request that it got. Then it does nothing else: nothing that
    /// comes from it goes to a backend.
    pub asks: Option<Form>,
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
    all: Vec<Arc<Front>>,
    good: Forwarded,
    bad: Forwarded,
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
    /// Whether it is a question, which only a front that [asks](Front::asks) has.
    pub is_question: bool,
}

/// A front that was believed: to be asked again whether it still would be.
#[derive(Clone)]
pub struct Believed {
    front: Arc<Front>,
    addresses: [Option<IpAddr>; 2],
    /// Which of its secrets it showed, where it shows one.
    secret: usize,
}

/// Who brought a request.
pub enum Brought<'a> {
    /// No front.
    ByNone,
    /// Somebody at the address of this front who forwards a certificate, or asks, and does not prove to
    /// be it.
    ByStranger(&'a Front),
    /// A front.
    By(Believed),
}

impl Fronts {
    /// These fronts.
    #[must_use]
    pub fn new(fronts: Vec<Front>) -> Self {
        let room = |most| if fronts.is_empty() { 0 } else { most };
        Self {
            good: remembering(room(MOST_GOOD)),
            bad: remembering(room(MOST_BAD)),
            all: fronts.into_iter().map(Arc::new).collect(),
        }
    }

    /// Whether a front at one of these addresses shows a certificate, and so has to be asked for it.
    #[must_use]
    pub fn asks(&self, addresses: [Option<IpAddr>; 2]) -> bool {
        let by_secret =
            |front: &&Arc<Front>| matches!(front.shows, Shows::Secret(_) | Shows::Signed(_));
        let mut asked = self.all.iter().filter(|front| !by_secret(front));
        asked.any(|front| front.is_at(addresses))
    }

    /// Whether one of them calls from this address.
    #[must_use]
    pub fn are_at(&self, address: IpAddr) -> bool {
        self.all
            .iter()
            .any(|front| front.is_at([Some(address), None]))
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
        let addresses = arrival.addresses;
        let mut at = self.all.iter().filter(|front| front.is_at(addresses));
        let found = at.clone().find_map(|front| {
            Some(Believed {
                secret: front.shown(arrival, now)?,
                front: Arc::clone(front),
                addresses,
            })
        });
        match found {
            Some(front) => Brought::By(front),
            None => at
                .find(|front| front.is_played_by(arrival))
                .map_or(Brought::ByNone, |front| Brought::ByStranger(front)),
        }
    }

    /// Whether a front that was believed, and whose connection has this certificate, still would be:
    /// whatever it forwarded goes with it.
    #[must_use]
    pub fn still_believe(&self, believed: &Believed, sent: Option<&Sent>, now: Timestamp) -> bool {
        let is_same = |front: &&Arc<Front>| {
            front.name == believed.front.name && front.is_at(believed.addresses)
        };
        let mut same = self.all.iter().filter(is_same);
        same.any(|front| match front.shows.secrets() {
            Some(secrets) => {
                let shown = believed.front.shows.secrets();
                let shown = shown.and_then(|shown| shown.get(believed.secret));
                shown.is_some_and(|shown| secrets.iter().any(|s| s.expose() == shown.expose()))
            }
            None => front.shows.is_certificate(sent, now),
        })
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
        if let Some((sent, _)) = self.good.get(&key).or_else(|| self.bad.get(&key)) {
            return Ok(Some(sent));
        }
        let (leaf, others) = forwarded.read()?;
        let sent = Arc::new(Sent::new(Chain::from_der(&leaf, &others), verifier, now));
        let is_good = sent.verified(verifier, now).is_some();
        let remembered = if is_good { &self.good } else { &self.bad };
        remembered.insert(key, (Arc::clone(&sent), forwarded.length()));
        Ok(Some(sent))
    }
}

impl Front {
    fn is_at(&self, addresses: [Option<IpAddr>; 2]) -> bool {
        let mut addresses = addresses.into_iter().flatten();
        addresses.any(|address| self.from.iter().any(|network| network.contains(address)))
    }

    /// Whether what arrives so behaves like the front.
    fn is_played_by(&self, arrival: Arrival<'_>) -> bool {
        self.format.carries(arrival.head.headers, arrival.told)
            || (arrival.is_question && self.asks.is_some())
    }

    /// By which of its secrets it is shown to be the front; 0 when it is by its certificate.
    fn shown(&self, arrival: Arrival<'_>, now: Timestamp) -> Option<usize> {
        match &self.shows {
            Shows::Named(..) | Shows::Pinned(_) => {
                let is_shown = self.shows.is_certificate(arrival.sent, now);
                is_shown.then_some(0)
            }
            Shows::Signed(secrets) => signed::signed_by(arrival.head, &self.format, secrets, now),
            Shows::Secret(secrets) => {
                let shown = only(arrival.head.headers, &FRONT_SECRET)?.as_bytes();
                secrets.iter().position(|s| s.expose().ct_eq(shown).into())
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

impl Shows {
    /// The secrets, unless it shows a certificate.
    fn secrets(&self) -> Option<&[SecretBytes]> {
        match self {
            Self::Secret(secrets) | Self::Signed(secrets) => Some(secrets),
            Self::Named(..) | Self::Pinned(_) => None,
        }
    }

    /// Whether the certificate of a connection shows it.
    fn is_certificate(&self, sent: Option<&Sent>, now: Timestamp) -> bool {
        sent.is_some_and(|sent| match self {
            Self::Named(verifier, names) => {
                let verdict = verifier.verify(sent.chain(), now);
                verdict.at(now).is_ok_and(|good| {
                    let own = &good.facts().alternative_names;
                    names.iter().any(|name| own.contains(name))
                })
            }
            Self::Pinned(pinned) => pinned.contains(sent.chain().fingerprint()),
            Self::Secret(_) | Self::Signed(_) => false,
        })
    }
}

impl Believed {
    /// The front.
    #[must_use]
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.front.name
    }
}

impl std::fmt::Debug for Believed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Room for what so many usual headers forward.
fn remembering(most: usize) -> Forwarded {
    let bytes = u64::try_from(most.saturating_mul(USUAL)).unwrap_or(u64::MAX);
    Cache::with_weighter(most, bytes, Length)
}

impl Weighter<[u8; 32], (Arc<Sent>, u64)> for Length {
    fn weight(&self, _: &[u8; 32], (_, length): &(Arc<Sent>, u64)) -> u64 {
        *length
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
