//! What there may be at once, and how often.

use super::network::Trusted;
use super::{Builder, Built};
use crate::config::file;
use crate::config::problem::KeyPath;
use crate::config::settings::Limits;
use crate::{door, gateway};

const EXEMPT: Trusted = Trusted {
    write: "name addresses, or take it away",
    danger: "exempts strangers from the limits by address",
    owner: "your own or your partners' machines use",
};

impl Builder<'_> {
    pub(super) fn limits(&mut self, typed: file::Limits) -> Built<Limits> {
        let at = KeyPath::top("limits");
        let exempt = if typed.exempt.is_empty() {
            Ok(Vec::new())
        } else {
            self.networks(&at.key("exempt"), typed.exempt, &EXEMPT)
        };
        if typed.burst.is_some() && typed.requests_per_second.is_none() {
            let wrong = "there is no rate that it belongs to";
            let write = "write requests_per_second, too, or take it away";
            self.problem(&at.key("burst"), wrong, write);
        }
        let mut positive = |name, number: u32| self.at_least_one(&at.key(name), number);
        let connections = positive("connections", typed.connections);
        let per_address = positive("connections_per_address", typed.connections_per_address);
        let pending = positive("pending", typed.pending);
        let handshakes = positive("handshakes_per_second", typed.handshakes_per_second);
        let from_one = positive("handshakes_per_address", typed.handshakes_per_address);
        let requests = positive("requests_at_once", typed.requests_at_once);
        let wrong_keys = positive("wrong_keys_per_address", typed.wrong_keys_per_address);
        let rate = typed.requests_per_second;
        let rate = rate.map(|number| positive("requests_per_second", number));
        let burst = typed.burst.map(|number| positive("burst", number));
        let (rate, burst, exempt) = (rate.transpose()?, burst.transpose()?, exempt?);
        let per_address = per_address?;
        Ok(Limits {
            door: door::Bounds {
                connections: connections?,
                connections_per_address: per_address,
                pending: pending?,
                handshakes_per_second: handshakes?,
                handshakes_per_address: from_one?,
                exempt: exempt.clone(),
            },
            gateway: gateway::Bounds {
                requests_at_once: requests?,
                requests_per_address: per_address,
                per_client: rate.map(|rate| gateway::PerClient {
                    per_second: rate,
                    burst: burst.unwrap_or(rate),
                }),
                wrong_keys_per_address: wrong_keys?,
                exempt,
            },
        })
    }
}
