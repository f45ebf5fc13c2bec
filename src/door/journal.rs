//! The journal of handshakes that failed: who, why, how often, from when to when.
//!
//! It is bounded whatever comes: each reason has its own share, in which a newcomer takes the place
//! of an address that came once, long ago, rather than of one that fails again and again; but those
//! that fail again and again leave a quarter to newcomers. So
//! neither a scan of the port nor a flood from many addresses hides the clients that have a
//! problem. Only failed handshakes and the operator's questions take its lock.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::failure::Failure;
use super::notes::Offer;
use crate::clock::Timestamp;

/// How many addresses are kept of each reason: with all reasons, somewhat less than 4,096.
const SHARE: usize = 212;
/// How many of them at least are for addresses that failed once: those that fail again and again do
/// not keep a newcomer out, nor do newcomers push more of them out than that.
const NEWCOMERS: usize = SHARE / 4;
/// How many characters of OpenSSL's words are kept.
const WORDS: usize = 240;
/// How long an address that failed more than once is kept before those that failed once.
const AGAIN: Duration = Duration::from_hours(6);

/// Where a client calls from: an address of IPv4, or a network of IPv6 with 64 bits, since that is
/// what one machine has to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(IpAddr);

impl Origin {
    /// The origin of a connection from `address`. An address of IPv4 that is written as one of IPv6
    /// (RFC 4291 section 2.5.5.2) is one of IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Ipv6Addr::from(network).into()
            }
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// Handshakes that failed for one reason from one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// OpenSSL's words at the last; empty when it was not asked.
    pub words: String,
    /// What the client offered at the last.
    pub offer: Offer,
}

/// What is known of one reason.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// How many handshakes failed for it, also from origins that are no longer kept.
    pub count: u64,
    /// The origins that are kept.
    pub origins: HashMap<Origin, Entry>,
}

/// The journal.
#[derive(Debug)]
pub struct Journal {
    since: Timestamp,
    shares: Mutex<BTreeMap<Failure, Share>>,
}

impl Journal {
    /// An empty one, begun at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            shares: Mutex::default(),
        }
    }

    /// When it was begun.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// All that it knows.
    #[must_use]
    pub fn read(&self) -> BTreeMap<Failure, Share> {
        let shares = self.shares.lock();
        shares.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a handshake that failed at `now`.
    pub(super) fn note(
        &self,
        address: IpAddr,
        failure: Failure,
        words: &str,
        offer: Offer,
        now: Timestamp,
    ) {
        let words: String = words.chars().take(WORDS).collect();
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(failure).or_default();
        share.note(Origin::of(address), words, offer, now);
    }
}

impl Share {
    fn note(&mut self, origin: Origin, words: String, offer: Offer, now: Timestamp) {
        self.count = self.count.saturating_add(1);
        if !self.origins.contains_key(&origin) {
            self.make_room(now);
        }
        let entry = self.origins.entry(origin).or_insert_with(|| Entry {
            count: 0,
            first: now,
            last: now,
            words: String::new(),
            offer: Offer::default(),
        });
        entry.count = entry.count.saturating_add(1);
        (entry.last, entry.words, entry.offer) = (now, words, offer);
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.origins.len() < SHARE {
            return;
        }
        let came_again = |entry: &Entry| entry.count > 1 && entry.last.plus(AGAIN) > now;
        let again = self.origins.values().filter(|entry| came_again(entry));
        let too_many = again.count() > SHARE.saturating_sub(NEWCOMERS);
        let least = self
            .origins
            .iter()
            .filter(|(_, entry)| came_again(entry) == too_many)
            .min_by_key(|(_, entry)| entry.last);
        if let Some(origin) = least.map(|(origin, _)| *origin) {
            self.origins.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn v4(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number).into()
    }

    fn fail(journal: &Journal, address: IpAddr, failure: Failure, now: i64) {
        journal.note(address, failure, "", Offer::default(), at(now));
    }

    fn kept(journal: &Journal, failure: Failure, address: IpAddr) -> Option<Entry> {
        let shares = journal.read();
        shares
            .get(&failure)?
            .origins
            .get(&Origin::of(address))
            .cloned()
    }

    #[test]
    fn failures_are_counted_by_origin_and_reason() {
        let journal = Journal::new(at(1));
        let client = v4(7);
        let offer = Offer {
            server_name: Some("api.example.com".to_owned()),
            ..Offer::default()
        };
        fail(&journal, client, Failure::PlainHttp, 10);
        journal.note(client, Failure::PlainHttp, "words", offer.clone(), at(20));
        fail(&journal, client, Failure::NotTls, 30);
        let entry = kept(&journal, Failure::PlainHttp, client).unwrap();
        assert_eq!((entry.count, entry.first, entry.last), (2, at(10), at(20)));
        assert_eq!((entry.words.as_str(), entry.offer), ("words", offer));
        assert_eq!(kept(&journal, Failure::NotTls, client).unwrap().count, 1);
        assert_eq!(kept(&journal, Failure::NotTls, v4(8)), None);
    }

    #[test]
    fn a_machine_with_a_network_of_ipv6_is_one_origin() {
        let origin = |text: &str| Origin::of(text.parse().unwrap()).to_string();
        assert_eq!(origin("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(origin("2001:db8:1:2:ffff::1"), "2001:db8:1:2::/64");
        assert_eq!(origin("2001:db8:1:3::1"), "2001:db8:1:3::/64");
        assert_eq!(origin("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(origin("::1"), "::/64");
    }

    #[test]
    fn a_flood_from_many_addresses_fills_its_own_share_only() {
        let journal = Journal::new(at(0));
        fail(&journal, v4(7), Failure::ServerDistrusted, 0);
        for number in 100..100_000 {
            fail(&journal, v4(number), Failure::NotTls, i64::from(number));
        }
        assert!(kept(&journal, Failure::ServerDistrusted, v4(7)).is_some());
        let shares = journal.read();
        let flooded = &shares[&Failure::NotTls];
        assert_eq!((flooded.count, flooded.origins.len()), (99_900, SHARE));
        assert!(SHARE * Failure::ALL.len() <= 4096);
    }

    #[test]
    fn those_that_came_once_do_not_push_out_one_that_comes_again() {
        let journal = Journal::new(at(0));
        let failure = Failure::VersionTooOld;
        let (again, once) = (v4(7), v4(8));
        fail(&journal, once, failure, 0);
        fail(&journal, again, failure, 0);
        fail(&journal, again, failure, 1);
        for number in 100..10_000 {
            fail(&journal, v4(number), failure, 2);
        }
        assert!(kept(&journal, failure, once).is_none(), "the control");
        assert_eq!(kept(&journal, failure, again).unwrap().count, 2);
        // Not for ever: what has not come for hours makes room like any other.
        for number in 20_000..30_000 {
            fail(&journal, v4(number), failure, 24 * 3600);
        }
        assert!(kept(&journal, failure, again).is_none());
    }

    #[test]
    fn those_that_come_again_do_not_keep_a_newcomer_out() {
        let journal = Journal::new(at(0));
        let failure = Failure::VersionTooOld;
        let share = u32::try_from(SHARE).unwrap();
        let again = 100..100 + share;
        for number in again.clone().chain(again.clone()) {
            fail(&journal, v4(number), failure, i64::from(number));
        }
        let is_kept = |address| kept(&journal, failure, address).is_some();
        assert!(again.clone().all(|number| is_kept(v4(number))), "all full");
        // Two clients with a problem, and others that go on to come again.
        fail(&journal, v4(7), failure, 1000);
        fail(&journal, v4(8), failure, 1001);
        for number in again.clone().rev().take(100) {
            fail(&journal, v4(number), failure, 1002);
        }
        assert!(is_kept(v4(7)) && is_kept(v4(8)));
        // Newcomers take each other's places, and a quarter at most.
        for number in 10_000..20_000 {
            fail(&journal, v4(number), failure, i64::from(number));
        }
        assert!(!is_kept(v4(7)));
        let left = again.filter(|number| is_kept(v4(*number))).count();
        assert_eq!(left, SHARE - NEWCOMERS);
        assert!(is_kept(v4(99 + share)) && !is_kept(v4(100)));
        assert_eq!(journal.read()[&failure].origins.len(), SHARE);
    }

    #[test]
    fn words_are_cut_where_they_become_a_flood_themselves() {
        let journal = Journal::new(at(0));
        let long = "é".repeat(100_000);
        journal.note(v4(7), Failure::Other, &long, Offer::default(), at(0));
        let entry = kept(&journal, Failure::Other, v4(7)).unwrap();
        assert_eq!(entry.words.chars().count(), WORDS);
    }
}
