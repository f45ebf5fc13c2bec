//! Networks: who is meant by an address, or by the beginning of one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address, or all that begin like it: `10.0.0.5`, `10.1.0.0/16`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The text is neither an address nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANetwork {
    /// Something else altogether.
    #[error("write an IP address such as \"10.0.0.5\", or a network such as \"10.1.0.0/16\"")]
    Text,
    /// Bits are set that the prefix leaves open, so that it is not clear what is meant.
    #[error("the address goes on where the network ends; write {0}")]
    HostBits(Network),
}

impl Network {
    /// Whether `address` is in it. An IPv4 address is the same when it is written as IPv6.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                masked(address.to_canonical(), self.bits) == self.address
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether any address is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// Whether it holds more than a network of `v4` bits, or of `v6` bits when it is one of IPv6.
    #[must_use]
    pub const fn is_wider_than(&self, v4: u8, v6: u8) -> bool {
        match self.address {
            IpAddr::V4(_) => self.bits < v4,
            IpAddr::V6(_) => self.bits < v6,
        }
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork::Text)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let plain = |bits: &&str| {
            bits.bytes().all(|b| b.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'))
        };
        let bits = match bits {
            None => most,
            Some(bits) => Some(bits)
                .filter(plain)
                .and_then(|bits| bits.parse().ok())
                .filter(|bits| *bits <= most)
                .ok_or(NotANetwork::Text)?,
        };
        let network = Self {
            address: masked(address, bits),
            bits,
        };
        if network.address == address {
            Ok(network)
        } else {
            Err(NotANetwork::HostBits(network))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits == whole {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

/// `address` with everything but its first `bits` cleared.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32u32.saturating_sub(bits))
                .unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128u32.saturating_sub(bits))
                .unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_what_begins_like_it() {
        let holds = |text: &str, address: &str| network(text).contains(address.parse().unwrap());
        assert!(holds("10.1.0.0/16", "10.1.255.3") && !holds("10.1.0.0/16", "10.2.0.0"));
        assert!(holds("10.0.0.5", "10.0.0.5") && !holds("10.0.0.5", "10.0.0.6"));
        assert!(holds("10.0.0.5", "::ffff:10.0.0.5") && !holds("10.0.0.5", "::5"));
        assert!(holds("2001:db8::/32", "2001:db8:1::2") && !holds("2001:db8::/32", "2001:db9::"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "203.0.113.9"));
    }

    #[test]
    fn a_network_has_one_form() {
        for text in [
            "10.0.0.5",
            "10.1.0.0/16",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::1",
        ] {
            assert_eq!(network(text).to_string(), text);
        }
        for text in [
            "",
            "x",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0.1:80",
            " 10.0.0.1",
            "*",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork::Text), "{text:?}");
        }
        assert_eq!(
            "10.1.2.3/16".parse::<Network>(),
            Err(NotANetwork::HostBits(network("10.1.0.0/16")))
        );
    }
}
