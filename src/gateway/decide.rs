//! The decision on a request, with all that is noted and counted of it.

use std::sync::Arc;

use super::exchange::{Exchange, Leave};
use super::{Gateway, Refusal};
use crate::door::Connection;
use crate::head::Head;

impl Gateway {
    /// Leave for the request of this `head`, however its answer then comes about. Who called and what was
    /// thought of it is noted in either case; where the gateway only observes, it is recorded.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(super) async fn decide(
        &self,
        head: &Head<'_>,
        connection: &Connection,
        exchange: &mut Exchange,
    ) -> Result<Leave, Refusal> {
        let now = exchange.now;
        let admit = |freshness| self.admit(head, connection, &exchange.live, freshness, now);
        let decided = self.decide_confirmed(head, exchange, admit).await;
        let decided = decided.and_then(|permit| self.within_budget(permit, exchange));
        match &decided {
            Ok(permit) => {
                exchange.route = Some(Arc::clone(permit.route()));
                if let Some(identity) = permit.identity() {
                    self.served(identity, exchange);
                    exchange.note_identity(identity);
                    let checked = self.check_key(head, connection, identity, &exchange.live, now);
                    exchange.key_check = checked.await;
                }
            }
            Err(refusal) => {
                exchange.route = exchange.live.route(head).ok().cloned();
                if let Some(caller) = refusal.caller() {
                    self.saw(caller, exchange);
                    let checked = self.check_key(head, connection, caller, &exchange.live, now);
                    exchange.key_check = checked.await;
                }
            }
        }
        match exchange.observed(head) {
            Some(observed) => {
                self.record(head, exchange.peer, &decided, exchange);
                Ok(Leave::Observed(observed))
            }
            None => Ok(Leave::Permitted(decided?)),
        }
    }
}
