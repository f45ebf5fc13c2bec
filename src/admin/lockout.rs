//! Whoever shows wrong tokens is not listened to for a while, from the address that they came from.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::clock;
use crate::limit::{Moment, Paces, Rate, network};

/// So many wrong tokens may come at once, and one in this time afterwards.
const WRONG: u32 = 10;
const AGAIN: Duration = Duration::from_mins(1);

/// How many wrong tokens came from each address, in memory of a fixed size.
pub(super) struct Lockout {
    begun: Instant,
    wrong: Paces,
}

impl Lockout {
    pub(super) fn new() -> Self {
        Self {
            begun: clock::monotonic(),
            wrong: Paces::new(Rate::new(1, AGAIN, WRONG)),
        }
    }

    /// How many seconds nobody there is listened to any more; none when everybody is.
    pub(super) fn wait(&self, peer: Option<IpAddr>) -> Option<u64> {
        let wait = self.wrong.wait(origin(peer), self.now());
        (!wait.is_zero()).then(|| wait.as_secs().saturating_add(1))
    }

    /// A wrong token came from there.
    pub(super) fn wrong(&self, peer: Option<IpAddr>) {
        let is_first = self.wrong.take(origin(peer), self.now()).is_ok()
            && !self.wrong.wait(origin(peer), self.now()).is_zero();
        if is_first {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(
                address = peer,
                "{WRONG} wrong tokens came to the admin listener from one address, which is not listened to now"
            );
        }
    }

    fn now(&self) -> Moment {
        Moment::since(self.begun, clock::monotonic())
    }
}

fn origin(peer: Option<IpAddr>) -> u128 {
    network(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}
