//! What has to be known to find Redis and to be let in.

use std::fmt;
use std::time::Duration;

use super::tls::Tls;
use crate::secret::Secret;
use crate::store::{EVENTS_KEPT, RecordKeys};

/// Where Redis is, who asks, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the server is found that takes the changes.
    pub shape: Shape,
    /// Who asks it.
    pub login: Login,
    /// The number of the database; a cluster has only 0.
    pub database: u16,
    /// TLS with every server; none for plain text.
    pub tls: Option<Tls>,
    /// How long a connection may take, with TLS and login, and how long finding the server may.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// What records and events are authenticated with.
    pub record_keys: RecordKeys,
    /// About how many events to keep.
    pub events_kept: u64,
}

/// How the server is found that takes the changes.
#[derive(Clone, Debug)]
pub enum Shape {
    /// It has a fixed address.
    Single(Address),
    /// Sentinels know it.
    Sentinel(Sentinels),
    /// It is the node of a cluster that serves our keys, which these nodes know.
    Cluster(Vec<Address>),
}

/// Those who know which server is the primary.
#[derive(Clone, Debug)]
pub struct Sentinels {
    /// Where they are.
    pub addresses: Vec<Address>,
    /// What they call the primary and its replicas.
    pub master: String,
    /// Who asks them.
    pub login: Login,
    /// TLS with them; none for plain text.
    pub tls: Option<Tls>,
}

/// A user's name and password. Without a name: the default user.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The user's name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret<String>>,
}

/// A host, by name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// An IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Settings {
    /// How long a connection may take unless told otherwise.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
    /// How long an answer may take unless told otherwise. A disk that is slow to sync takes a large
    /// part of it.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

    /// Redis of this shape, in plain text, for the default user without a password, and with the
    /// usual patience. Nothing in it is signed.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            login: Login {
                user: None,
                password: None,
            },
            database: 0,
            tls: None,
            connect_timeout: Self::CONNECT_TIMEOUT,
            response_timeout: Self::RESPONSE_TIMEOUT,
            record_keys: RecordKeys::none(),
            events_kept: EVENTS_KEPT,
        }
    }
}

impl Address {
    /// The last colon ends the host: servers write IPv6 addresses without brackets. A node that does
    /// not know its own host has the one at which it was `asked`.
    pub(super) fn told(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        Some(Self::of_node(host, port, asked))
    }

    pub(super) fn of_node(host: &str, port: u16, asked: &Self) -> Self {
        let host = match host {
            "" | "?" => asked.host.as_str(),
            known => known,
        };
        let host = host.to_owned();
        Self { host, port }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shape.fmt(f)?;
        if self.database != 0 {
            write!(f, ", database {}", self.database)?;
        }
        f.write_str(if self.tls.is_some() { ", TLS" } else { "" })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[Address]| {
            let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            list.join(" ")
        };
        match self {
            Self::Single(address) => address.fmt(f),
            Self::Sentinel(Sentinels {
                addresses, master, ..
            }) => write!(f, "{master} of the sentinels {}", list(addresses)),
            Self::Cluster(addresses) => write!(f, "cluster of {}", list(addresses)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_tells_is_an_address() {
        let asked = Address {
            host: "asked".to_owned(),
            port: 1,
        };
        for (told, shown) in [
            ("10.0.0.1:6379", "10.0.0.1:6379"),
            ("fd00::1:6379", "[fd00::1]:6379"),
            (":6380", "asked:6380"),
            ("?:6380", "asked:6380"),
        ] {
            let address = Address::told(told, &asked).unwrap();
            assert_eq!(address.to_string(), shown);
        }
        assert_eq!(Address::told("6379", &asked), None);
        assert_eq!(Address::told("host:", &asked), None);
    }
}
