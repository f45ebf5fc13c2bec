//! Steady load on a gateway through a fault, and the rules that every answer must keep.

mod callers;
mod verdict;

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keyferry::clock;

use super::people::{Caller, Group, claim, revoke, stranger};
use super::row::Row;
use crate::support::gateway::Gateway;
use crate::support::wait_for;
use crate::support::wire::{Answer, Tls};
use crate::support::world::World;

/// How many known clients call by each kind of credential.
const KNOWN: usize = 2;
/// How many keys there are to be revoked before new ones are issued for it.
const SPARE: usize = 20;
/// How long everybody rests between two calls.
const REST: Duration = Duration::from_millis(50);
/// How many calls everybody makes before the fault, and after it.
const ROUNDS: usize = 5;
/// How many of those who ended or came last go on calling.
const LAST: usize = 3;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) group: Group,
    /// Who of the group.
    who: usize,
    pub(crate) status: u16,
    reason: String,
    begun: Instant,
    ended: Instant,
}

impl Heard {
    /// It is what this caller should be told when all is well.
    pub(crate) fn is_good(&self) -> bool {
        match self.group {
            Group::Known | Group::New | Group::Untold => self.status == 200,
            Group::Revoked | Group::Unknown => self.status == 401,
            Group::Asking => matches!(self.status, 201 | 204),
            Group::Lost => true,
        }
    }
}

/// A gateway under load, and another one of the same store, where keys are issued and revoked.
pub(crate) struct Load<'a> {
    world: &'a World,
    one: &'a Gateway,
    other: &'a Gateway,
    /// Whether the store knows the key of this id.
    knows: &'a (dyn Fn(&str) -> bool + Sync),
    may_lose: bool,
    known_may_wait: bool,
    tls: Tls,
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    heard: Vec<Heard>,
    /// What broke a rule.
    wrong: Vec<String>,
    revoked: Vec<Ending>,
    /// Keys that were issued during the load.
    issued: Vec<String>,
    fault: Option<Instant>,
    lifted: Option<Instant>,
    recovered_by: &'static str,
    is_over: bool,
}

/// A key that is or may be revoked.
#[derive(Clone, Debug)]
struct Ending {
    key: String,
    /// It was issued during the load, so that a gateway may not know it yet.
    is_new: bool,
    /// When a gateway acknowledged it.
    acknowledged: Option<Instant>,
    /// Which gateways said that they know.
    told: [bool; 2],
}

impl<'a> Load<'a> {
    /// Known clients never hear a 503, and the store loses nothing, unless that is allowed.
    pub(crate) fn new(
        world: &'a World,
        [one, other]: [&'a Gateway; 2],
        knows: &'a (dyn Fn(&str) -> bool + Sync),
    ) -> Self {
        Self {
            world,
            one,
            other,
            knows,
            may_lose: false,
            known_may_wait: false,
            tls: Tls::trusting(&world.servers.x509),
            state: Mutex::default(),
            stopped: Condvar::new(),
        }
    }

    /// In this row the store loses what it had acknowledged.
    pub(crate) fn may_lose(mut self) -> Self {
        self.may_lose = true;
        self
    }

    /// In this row the fault lasts longer than `max_stale`.
    pub(crate) fn known_may_wait(mut self) -> Self {
        self.known_may_wait = true;
        self
    }

    /// Calls while `story` makes the fault and takes it away; then the verdict, and the row.
    pub(crate) fn through(self, fault: &'static str, story: impl FnOnce(&Self)) {
        self.run(story).write(fault);
    }

    /// The same, and gives the row.
    pub(crate) fn run(self, story: impl FnOnce(&Self)) -> Row {
        let fetched = |name: String| {
            let answer = claim(&self.tls, self.other.address(), self.world, &name);
            let answer = answer.expect("an answer before the fault");
            let key = answer.json()["key"].as_str().map(str::to_owned);
            key.unwrap_or_else(|| panic!("no key for {name}: {}", answer.json()))
        };
        let keys: Vec<_> = (0..KNOWN).map(|n| fetched(format!("by-key-{n}"))).collect();
        let spare: Vec<_> = (0..SPARE).map(|n| fetched(format!("spare-{n}"))).collect();
        let before = fetched("revoked-before".to_owned());
        let mut caller = Caller::new(&self.tls, self.one.address(), None);
        let done = revoke(&mut caller, &before).expect("an answer before the fault");
        assert_eq!(done.status, 204, "{}", done.json());

        let load = &self;
        let recovered = std::thread::scope(|scope| {
            for (who, key) in keys.iter().enumerate() {
                scope.spawn(move || load.known(who, Some(key)));
                scope.spawn(move || load.known(KNOWN + who, None));
            }
            scope.spawn(|| load.refused(Group::Revoked, || before.clone()));
            scope.spawn(|| load.refused(Group::Unknown, stranger));
            scope.spawn(|| load.first_sights());
            scope.spawn(|| load.issue());
            scope.spawn(|| load.revoke(spare));
            // Also when the story ends in a panic, or nobody would ever hear of it.
            let _over = Over(load);
            load.steady(clock::monotonic(), "all is well before the fault");
            story(load);
            load.recover()
        });
        self.judge(recovered, &keys)
    }

    /// Makes the fault.
    pub(crate) fn fault<T>(&self, make: impl FnOnce() -> T) -> T {
        self.state().fault = Some(clock::monotonic());
        make()
    }

    /// Takes the fault away, or notes that it ended by itself: `what` did it.
    pub(crate) fn lift<T>(&self, what: &'static str, lift: impl FnOnce() -> T) -> T {
        {
            let mut state = self.state();
            state.lifted = Some(clock::monotonic());
            state.recovered_by = what;
        }
        lift()
    }

    /// Waits until `count` calls that began from now on were answered so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, count: usize, holds: impl Fn(&Heard) -> bool) {
        let now = clock::monotonic();
        wait_for(what, || {
            let state = self.state();
            assert!(state.wrong.is_empty(), "{:#?}", state.wrong);
            let later = state.since(now);
            (later.filter(|heard| holds(heard)).count() >= count).then_some(())
        });
    }

    /// Nobody was answered so who called after `since`.
    #[track_caller]
    pub(crate) fn never(&self, what: &str, since: Instant, holds: impl Fn(&Heard) -> bool) {
        let state = self.state();
        let found = state.since(since).find(|heard| holds(heard));
        assert!(found.is_none(), "{what}: {found:?}");
    }

    /// Waits until everybody who is known has called a few times more.
    #[track_caller]
    pub(crate) fn rounds(&self) {
        for who in 0..2 * KNOWN {
            self.until("the known to call", ROUNDS, |heard| {
                heard.group == Group::Known && heard.who == who
            });
        }
    }

    /// Waits until everybody was answered as it should be since `since`.
    #[track_caller]
    fn steady(&self, since: Instant, what: &str) {
        wait_for(what, || {
            let state = self.state();
            let mut good: BTreeMap<_, usize> = BTreeMap::new();
            for heard in state.since(since).filter(|heard| heard.is_good()) {
                *good.entry((heard.group, heard.who)).or_default() += 1;
            }
            let known = (0..2 * KNOWN).map(|who| (Group::Known, who));
            let others = [Group::Revoked, Group::Unknown].map(|group| (group, 0));
            let rare = [
                (Group::New, 0),
                (Group::New, 1),
                (Group::Asking, 0),
                (Group::Asking, 1),
            ];
            let has = |who, least| good.get(&who).is_some_and(|count| *count >= least);
            let all = known.chain(others).all(|who| has(who, ROUNDS));
            (all && rare.into_iter().all(|who| has(who, 1))).then_some(())
        });
    }

    /// Waits until all is as before the fault, and a while longer. Gives when it was so at first.
    fn recover(&self) -> Instant {
        let lifted = self.state().lifted.expect("the fault is over");
        let recovered = wait_for("new ones to work again", || self.first_good(lifted));
        self.steady(clock::monotonic(), "all is well after the fault");
        recovered
    }

    /// When each kind of call had been answered well once after `since`.
    fn first_good(&self, since: Instant) -> Option<Instant> {
        let known = (0..2 * KNOWN).map(|who| (Group::Known, who));
        let mut kinds = known.chain([
            (Group::Unknown, 0),
            (Group::New, 0),
            (Group::New, 1),
            (Group::Asking, 0),
            (Group::Asking, 1),
        ]);
        let state = self.state();
        kinds.try_fold(since, |latest, kind| {
            let mut later = state.heard.iter().filter(|heard| heard.begun > since);
            let first = later.find(|heard| heard.is_good() && (heard.group, heard.who) == kind)?;
            Some(latest.max(first.ended))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rests; whether to go on.
    fn goes_on(&self, rest: Duration) -> bool {
        let waited = self
            .stopped
            .wait_timeout_while(self.state(), rest, |state| !state.is_over);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.is_over
    }

    /// Notes the answer to a call; gives it when there is one.
    fn hear(
        &self,
        group: Group,
        who: usize,
        call: impl FnOnce() -> Result<Answer, String>,
    ) -> Option<Answer> {
        self.hear_as(|_| group, who, call)
    }

    fn hear_as(
        &self,
        group: impl FnOnce(u16) -> Group,
        who: usize,
        call: impl FnOnce() -> Result<Answer, String>,
    ) -> Option<Answer> {
        let begun = clock::monotonic();
        let answer = call();
        let ended = clock::monotonic();
        match answer {
            Ok(answer) => {
                let heard = Heard {
                    group: group(answer.status),
                    who,
                    status: answer.status,
                    reason: answer.reason(),
                    begun,
                    ended,
                };
                // Whoever is asking judges for itself.
                if !heard.is_good() && heard.status != 503 && heard.group != Group::Asking {
                    self.wrong(format!("{heard:?}"));
                }
                self.state().heard.push(heard);
                Some(answer)
            }
            Err(why) => {
                self.wrong(format!("no answer: {why}"));
                None
            }
        }
    }

    fn wrong(&self, what: String) {
        self.state().wrong.push(what);
    }
}

impl State {
    /// What was asked after `since`, the last first. What came in before was asked before.
    fn since(&self, since: Instant) -> impl Iterator<Item = &Heard> {
        let latest = self.heard.iter().rev();
        let answered = latest.take_while(move |heard| heard.ended > since);
        answered.filter(move |heard| heard.begun > since)
    }
}

struct Over<'a>(&'a Load<'a>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.stopped.notify_all();
    }
}
