//! Networks that are trusted with something.

use super::{Builder, Built, all};
use crate::config::problem::KeyPath;
use crate::policy::{Network, NotANetwork};

/// The widest networks that one may trust: `10.0.0.0/8` is the largest private one (RFC 1918), and
/// nobody's own network of IPv6 is wider.
const WIDEST: (u8, u8) = (8, 16);

/// Who is trusted by networks, and what it would mean to trust others, in words.
pub(super) struct Trusted {
    /// What to write when the list is missing.
    pub(super) write: &'static str,
    /// What a network does that is too wide.
    pub(super) danger: &'static str,
    /// Who alone may call from there.
    pub(super) owner: &'static str,
}

impl Builder<'_> {
    pub(super) fn networks(
        &mut self,
        at: &KeyPath,
        typed: Vec<String>,
        trusted: &Trusted,
    ) -> Built<Vec<Network>> {
        let typed = self.some(at, typed, trusted.write)?;
        all(typed.iter().enumerate().map(|(index, text)| {
            let network: Network = text.parse().map_err(|error: NotANetwork| {
                let wrong = format!("{text:?} is not a network");
                self.problem_in(at, index, wrong, error.to_string())
            })?;
            let (v4, v6) = WIDEST;
            if network.is_wider_than(v4, v6) {
                let wrong = format!("{text:?} {}", trusted.danger);
                let write = format!(
                    "name the addresses that only {}; no network wider than /{v4} (IPv6: /{v6}) is \
                     taken",
                    trusted.owner
                );
                return Err(self.problem_in(at, index, wrong, write));
            }
            Ok(network)
        }))
    }
}
