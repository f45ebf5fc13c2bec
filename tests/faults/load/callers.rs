//! Those who call, each over and over.

use std::collections::VecDeque;

use keyferry::clock;

use super::{Ending, LAST, Load, REST};
use crate::people::{Caller, Group, certificate, claim, revoke};

impl Load<'_> {
    pub(super) fn known(&self, who: usize, key: Option<&str>) {
        let shown = key
            .is_none()
            .then(|| certificate(self.world, &format!("by-certificate-{who}")));
        let mut caller = Caller::new(&self.tls, self.one.address(), shown);
        while self.goes_on(REST) {
            self.hear(Group::Known, who, || caller.call("GET", "/", key));
        }
    }

    pub(super) fn refused(&self, group: Group, key: impl Fn() -> String) {
        let mut caller = Caller::new(&self.tls, self.one.address(), None);
        while self.goes_on(2 * REST) {
            let key = key();
            self.hear(group, 0, || caller.call("GET", "/", Some(&key)));
        }
    }

    /// Certificates that nobody saw before come, and come again until they are let in.
    pub(super) fn first_sights(&self) {
        let mut waiting = None;
        for number in 0.. {
            if !self.goes_on(4 * REST) {
                return;
            }
            let caller = waiting.take().unwrap_or_else(|| {
                let shown = certificate(self.world, &format!("first-sight-{number}"));
                Caller::new(&self.tls, self.one.address(), Some(shown))
            });
            let mut caller = caller;
            let answer = self.hear(Group::New, 0, || caller.call("GET", "/", None));
            if answer.is_none_or(|answer| answer.status == 503) {
                waiting = Some(caller);
            }
        }
    }

    /// Keys are issued at the other gateway, and used at this one until they are let in.
    pub(super) fn issue(&self) {
        let mut caller = Caller::new(&self.tls, self.one.address(), None);
        let mut waiting = VecDeque::new();
        for turn in 0.. {
            if !self.goes_on(2 * REST) {
                return;
            }
            if waiting.is_empty() || turn % 4 == 0 {
                let key = self.fetch();
                self.state().issued.extend(key.clone());
                waiting.extend(key);
            }
            let Some(key) = waiting.pop_front() else {
                continue;
            };
            let group = |status| {
                // Whether it was lost is seen at the end.
                if status == 401 && self.may_lose {
                    Group::Lost
                } else {
                    Group::New
                }
            };
            let answer = self.hear_as(group, 1, || caller.call("GET", "/", Some(&key)));
            if answer.is_none_or(|answer| answer.status == 503) {
                waiting.push_back(key);
            }
        }
    }

    /// A new client fetches its key at the other gateway.
    fn fetch(&self) -> Option<String> {
        let name = format!("issued-{}", uuid::Uuid::now_v7());
        let to = self.other.address();
        let answer = self.hear(Group::Asking, 0, || claim(&self.tls, to, self.world, &name))?;
        let key = answer.json()["key"].as_str().map(str::to_owned);
        if !matches!(answer.status, 201 | 503) {
            self.wrong(format!("a new client asked for its key: {}", answer.json()));
        }
        key
    }

    /// Keys are revoked at one gateway and the other in turn, and tried at both.
    pub(super) fn revoke(&self, spare: Vec<String>) {
        let (mut spare, mut waiting) = (spare.into_iter(), None);
        let gateways = [self.one.address(), self.other.address()];
        let mut callers = gateways.map(|to| Caller::new(&self.tls, to, None));
        for turn in 0.. {
            if !self.goes_on(4 * REST) {
                return;
            }
            let at = turn % 2;
            let next = waiting.take();
            let next = next.or_else(|| spare.next().map(|key| (key, false, false)));
            let next = next.or_else(|| self.fetch().map(|key| (key, true, false)));
            if let Some((key, is_new, is_tried)) = next {
                let asked = self.hear(Group::Asking, 1, || revoke(&mut callers[at], &key));
                let status = asked.map_or(503, |answer| answer.status);
                let mut told = [false; 2];
                told[at] = status != 503;
                match status {
                    // That it is revoked already comes of an attempt whose answer was lost.
                    204 | 401 if status == 204 || is_tried => self.state().revoked.push(Ending {
                        key,
                        is_new,
                        acknowledged: (status == 204).then(clock::monotonic),
                        told,
                    }),
                    // Whether it was lost is seen at the end.
                    401 => self.state().issued.push(key),
                    503 => waiting = Some((key, is_new, true)),
                    _ => self.wrong(format!("{status} to who revoked its key")),
                }
            }
            let from = self.state().revoked.len().saturating_sub(LAST);
            for number in from.. {
                if !self.try_revoked(number, &mut callers) {
                    break;
                }
            }
        }
    }

    /// Tries a revoked key at both gateways; whether there is one of that number.
    fn try_revoked(&self, number: usize, callers: &mut [Caller<'_>; 2]) -> bool {
        let Some(ending) = self.state().revoked.get(number).cloned() else {
            return false;
        };
        for (at, caller) in callers.iter_mut().enumerate() {
            let mut call = || caller.call("GET", "/", Some(&ending.key));
            if at == 1 {
                let answer = call();
                self.was_tried(number, at, answer.map(|answer| answer.status));
                continue;
            }
            let group = |status| match status {
                503 if ending.is_new && !ending.told[at] => Group::New,
                200 if !ending.told[at] => Group::Untold,
                _ => Group::Revoked,
            };
            // Nobody else of the group has this number.
            let answer = self.hear_as(group, number + 1, call);
            if let Some(answer) = answer {
                self.was_tried(number, at, Ok(answer.status));
            }
        }
        true
    }

    pub(super) fn was_tried(&self, number: usize, at: usize, status: Result<u16, String>) {
        let mut state = self.state();
        let ending = &mut state.revoked[number];
        match status {
            Ok(401) => ending.told[at] = true,
            Ok(503) => {}
            Ok(200) if !ending.told[at] => {}
            other => {
                let what = format!("{other:?} at gateway {at} to {ending:?}");
                state.wrong.push(what);
            }
        }
    }
}
