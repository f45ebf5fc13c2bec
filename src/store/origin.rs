//! From where a change was caused.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::{fmt, fs};

use serde::{Deserialize, Serialize};

/// From where a change was caused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Origin {
    /// A request.
    Request {
        /// Its id, as in the access line.
        id: String,
        /// The address that it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// A machine: that of the operator, or of the gateway.
    Host {
        /// Its name.
        name: String,
    },
}

impl Origin {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        Self::Host {
            name: host().to_owned(),
        }
    }
}

/// The name of this machine.
#[must_use]
pub fn host() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        named(name.trim())
    })
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { id, address: None } => write!(f, "request {id}"),
            Self::Request {
                id,
                address: Some(address),
            } => write!(f, "{address} (request {id})"),
            Self::Host { name } => f.write_str(name),
        }
    }
}

/// A name that cannot be taken for something else in a line.
fn named(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = (1..=64).contains(&name.len()) && name.chars().all(is_plain);
    if fits { name } else { "unknown" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_plain_name() {
        assert_eq!(Origin::here(), Origin::here());
        assert_eq!(named("gateway-1.example"), "gateway-1.example");
        for bad in ["", "a b", "a\nb", "ä", &"x".repeat(65)] {
            assert_eq!(named(bad), "unknown", "{bad}");
        }
    }
}
