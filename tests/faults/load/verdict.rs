//! The verdict on what was heard.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Ending, Heard, KNOWN, Load, State};
use crate::people::{Caller, Group, id};
use crate::row::{Counts, Row};
use crate::support::wait_for;

impl Load<'_> {
    /// Whether every rule was kept; what was heard, as a row of the table.
    pub(super) fn judge(&self, recovered: Instant, keys: &[String]) -> Row {
        let lost = self.look_at_all(keys);
        let mut state = self.state();
        let (fault, lifted) = (
            state.fault.expect("a fault"),
            state.lifted.expect("its end"),
        );
        let State {
            heard,
            wrong,
            revoked,
            recovered_by,
            ..
        } = &mut *state;
        for heard in &*heard {
            let is_of_fault = heard.ended >= fault && heard.begun <= recovered;
            let may_wait = match heard.group {
                Group::Known | Group::Revoked | Group::Untold => self.known_may_wait,
                Group::Unknown | Group::New | Group::Asking | Group::Lost => true,
            };
            if heard.status == 503 && !(is_of_fault && may_wait) {
                wrong.push(format!("it had not to wait: {heard:?}"));
            }
            // What came later has caught up with every revocation that was acknowledged before.
            let is_told = |ending: &Ending| ending.acknowledged.is_some_and(|at| at < lifted);
            if heard.group == Group::Untold
                && heard.begun > recovered
                && is_told(&revoked[heard.who - 1])
            {
                wrong.push(format!("it was revoked long ago: {heard:?}"));
            }
            // A change that met another history each time that it was tried is told to wait, too.
            let is_told_why = match heard.group {
                Group::Asking | Group::New => {
                    ["store_unavailable", "overloaded"].contains(&&*heard.reason)
                }
                _ => heard.reason == "store_unavailable",
            };
            if heard.status == 503 && !is_told_why {
                wrong.push(format!("another reason: {heard:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(revoked.iter().any(|ending| ending.acknowledged.is_some()));
        let of_fault = heard.iter().filter(|heard| heard.ended >= fault);
        let mut counts: Counts = BTreeMap::new();
        for heard in of_fault.clone() {
            let of_group = counts.entry(heard.group).or_default();
            *of_group.entry(heard.status).or_default() += 1;
        }
        let gaps = (0..2 * KNOWN).map(|who| {
            let own = |it: &&Heard| it.group == Group::Known && it.who == who;
            longest_gap(heard.iter().filter(own))
        });
        Row {
            counts,
            lasted: lifted.duration_since(fault),
            without_service: gaps.max().unwrap_or_default(),
            slowest: of_fault
                .map(|heard| heard.ended.duration_since(heard.begun))
                .max()
                .unwrap_or_default(),
            again: recovered.duration_since(lifted),
            lost_keys: lost,
            recovered_by,
        }
    }

    /// Everybody once more, now that all is well. Gives how many keys the store has lost.
    fn look_at_all(&self, keys: &[String]) -> usize {
        let gateways = [self.one.address(), self.other.address()];
        let mut callers = gateways.map(|to| Caller::new(&self.tls, to, None));
        let (revoked, issued) = {
            let state = self.state();
            (state.revoked.clone(), state.issued.clone())
        };
        let mut lost = 0;
        for (at, caller) in callers.iter_mut().enumerate() {
            let mut status = |key: &str| {
                let answer = caller.call("GET", "/", Some(key));
                answer.expect("an answer after the fault").status
            };
            for (number, ending) in revoked.iter().enumerate() {
                wait_for("the revocation to be known", || {
                    let told = status(&ending.key);
                    self.was_tried(number, at, Ok(told));
                    (told == 401).then_some(())
                });
            }
            lost = 0;
            for key in keys.iter().chain(&issued) {
                match status(key) {
                    200 => {}
                    401 if issued.contains(key) && !(self.knows)(id(key)) => lost += 1,
                    other => self.wrong(format!("{other} to {}, which is good", id(key))),
                }
            }
            if lost > 0 && !self.may_lose {
                self.wrong(format!("the store lost {lost} keys"));
            }
        }
        lost
    }
}

/// The longest time between two good answers with another one between them.
fn longest_gap<'a>(heard: impl Iterator<Item = &'a Heard>) -> Duration {
    let (mut longest, mut last, mut is_broken) = (Duration::ZERO, None, false);
    for heard in heard {
        if !heard.is_good() {
            is_broken = true;
            continue;
        }
        if is_broken && let Some(last) = last {
            longest = longest.max(heard.ended.duration_since(last));
        }
        (last, is_broken) = (Some(heard.ended), false);
    }
    longest
}
