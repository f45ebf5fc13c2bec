//! Behind a front, a connection is not its client's: each request on it is another client's, by what
//! the front forwards with it.

use std::borrow::Cow;

use super::{Exchange, Gateway, Refusal};
use crate::door::Connection;
use crate::front::{Arrival, Brought, Fronts};
use crate::head::{Head, Malformed};
use crate::telemetry::Metrics;
use crate::trace::Believe;

/// What a front forwarded, for counting.
const RESULTS: [&str; 4] = ["certificate", "no_certificate", "malformed", STRANGER];
const STRANGER: &str = "not_authenticated";

/// Shows what is counted of the `fronts` from the beginning.
pub fn begin_counting(fronts: &Fronts, metrics: &Metrics) {
    for name in fronts.names() {
        for result in RESULTS {
            metrics.fronts.with_label_values(&[name, result]);
        }
    }
}

/// Forgets the series of those that were there `before` and are no more.
pub fn forget_fronts(before: &Fronts, now: &Fronts, metrics: &Metrics) {
    for gone in before
        .names()
        .filter(|name| now.names().all(|known| known != *name))
    {
        for result in RESULTS {
            let _ = metrics.fronts.remove_label_values(&[gone, result]);
        }
    }
}

impl Gateway {
    /// The connection as the client of this one request has it. Of a front that proves to be one it
    /// carries what the front forwards, and nothing of the front's own; of who only behaves like it,
    /// at its address, neither. Everybody else's stays as it is, whatever headers came. It may be a
    /// question, which only some fronts have.
    ///
    /// # Errors
    ///
    /// When what the front forwards has not one reading.
    pub(super) fn clients<'a>(
        &self,
        head: &Head<'_>,
        connection: &'a Connection,
        is_question: bool,
        exchange: &mut Exchange,
    ) -> Result<Cow<'a, Connection>, Refusal> {
        let through = connection.through();
        let arrival = Arrival {
            addresses: [through.map(|through| through.address), exchange.connected],
            sent: connection.sent(),
            told: through.and_then(|through| through.certificate.as_deref()),
            head,
            is_question,
        };
        let (live, now) = (&exchange.live, exchange.now);
        let metrics = &self.parts.metrics;
        let count = |name: &str, result| {
            metrics.fronts.with_label_values(&[name, result]).inc();
        };
        let policy = live.asking.policy(Some(head.host()));
        let without = || connection.forwarding(None, false, policy);
        let believed = match live.fronts.brought(arrival, now) {
            Brought::ByNone if connection.is_unasked() => return Ok(noted(without(), exchange)),
            Brought::ByNone => return Ok(Cow::Borrowed(connection)),
            Brought::ByStranger(front) => {
                count(&front.name, STRANGER);
                tracing::warn!(front = front.name, peer = ?exchange.peer, request_id = exchange.request_id, "somebody at the address of a front forwards a certificate, or asks, and does not prove to be the front");
                // Should it be the front after all, its own certificate is still nobody's.
                return Ok(noted(without(), exchange));
            }
            Brought::By(believed) => believed,
        };
        let front = believed.front();
        let forwarded = live
            .fronts
            .forwarded(front, arrival, &self.parts.verifier, now);
        count(
            &front.name,
            match &forwarded {
                Ok(Some(_)) => "certificate",
                Ok(None) => "no_certificate",
                Err(_) => "malformed",
            },
        );
        if let Some(address) = front.client_address(head.headers) {
            exchange.peer = Some(address);
        }
        let may_claim = front.may_claim;
        exchange.front = Some(believed);
        if exchange.live.tracing.believe == Believe::Fronts {
            exchange.follow(head.headers, &self.parts.format);
        }
        let certificate = forwarded.map_err(Malformed::Forwarded)?;
        let own = connection.forwarding(certificate, may_claim, policy);
        Ok(noted(own, exchange))
    }
}

/// The connection, noted for the account of the request.
fn noted<'a>(own: Connection, exchange: &mut Exchange) -> Cow<'a, Connection> {
    exchange.behind_front = Some(own.clone());
    Cow::Owned(own)
}
