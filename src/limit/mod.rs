//! How often: token buckets in memory of a fixed size, or of no more than those who are known. And how
//! much at once.
//!
//! A bucket is one number: when it would be full again (GCRA). Taking from it is one exchange of an
//! atomic, so nobody waits for anybody.

mod at_once;
mod budget;
mod pace;

use std::net::IpAddr;

pub use at_once::{AtOnce, Counted};
pub use budget::{Budgets, Demand};
pub use pace::{Moment, Pace, Paces, Rate};

/// The address as far as one party cannot choose it freely: of IPv6, the first 64 bits.
#[must_use]
pub fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_as_far_as_its_owner_cannot_choose_it() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
