//! The fleet: its certificates, and the traffic that never stops.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::member::{Field, Member, Situation, Uses};
use crate::support::Over;
use crate::support::pki::{Issued, Spec, intermediate, leaf};
use crate::support::wire::Shown;

pub(crate) const DAY: i64 = 86_400;

/// How many members call at the same time.
const WORKERS: usize = 8;

/// How long all members together may take for a turn each.
const PATIENCE: Duration = Duration::from_secs(20);
/// And how much longer for each of them.
const PATIENCE_EACH: Duration = Duration::from_millis(100);

/// All members, and the word to stop.
pub(crate) struct Fleet {
    members: Vec<Mutex<Member>>,
    /// How many turns each has ended by itself.
    turns: Vec<AtomicUsize>,
    next: AtomicUsize,
    stop: AtomicBool,
}

impl Fleet {
    /// So many members with certificates by `authority`.
    pub(crate) fn new(size: usize, authority: &Issued) -> Self {
        let between = intermediate("Fleet Issuing CA").signed_by(authority);
        let of_situation = |(situation, hundredths): (Situation, usize)| {
            let count = (size * hundredths / 100).max(1);
            (0..count).map(move |number| (situation, number))
        };
        let all = Situation::ALL.into_iter().flat_map(of_situation);
        let members: Vec<_> = all
            .map(|(situation, number)| {
                let name = format!("{situation:?}-{number}").to_lowercase();
                Mutex::new(member(name, situation, authority, &between))
            })
            .collect();
        Self {
            turns: members.iter().map(|_| AtomicUsize::new(0)).collect(),
            members,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Every member, one after the other.
    pub(crate) fn each(&self, mut with: impl FnMut(&mut Member)) {
        for member in &self.members {
            with(&mut lock(member));
        }
    }

    /// The names of the members in a situation.
    pub(crate) fn named(&self, situation: Situation) -> Vec<String> {
        let mut names = Vec::new();
        self.each(|member| {
            if member.situation == situation {
                names.push(member.name.clone());
            }
        });
        names
    }

    /// Keeps everybody calling, over and over, while `story` goes on.
    pub(crate) fn call_while<T>(&self, field: &Field, story: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while !self.stop.load(Ordering::Relaxed) {
                        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.members.len();
                        lock(&self.members[turn]).turn(field);
                        self.turns[turn].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let _stop = Over(&self.stop);
            story()
        })
    }

    /// Waits until everybody has begun and ended at least `turns` turns from now on.
    pub(crate) fn wait_turns(&self, turns: usize) {
        let size = u32::try_from(self.len() * turns).expect("a fleet, not a nation");
        let patience = PATIENCE + PATIENCE_EACH * size;
        let start = self.turns();
        crate::support::wait_longer("everybody's turn", patience, || {
            let now = self.turns();
            let all = start
                .iter()
                .zip(&now)
                .all(|(start, now)| now - start > turns);
            all.then_some(())
        });
    }

    fn turns(&self) -> Vec<usize> {
        let turns = self.turns.iter();
        turns.map(|turns| turns.load(Ordering::Relaxed)).collect()
    }
}

fn lock(member: &Mutex<Member>) -> MutexGuard<'_, Member> {
    member.lock().unwrap_or_else(PoisonError::into_inner)
}

fn member(name: String, situation: Situation, authority: &Issued, between: &Issued) -> Member {
    let subject = || leaf(&name);
    let by = |spec: Spec, issuer: &Issued| Shown {
        issued: spec.signed_by(issuer),
        whole: situation != Situation::Incomplete,
    };
    let shown = match situation {
        Situation::Incomplete => by(subject(), between),
        Situation::Lapsed => by(subject().dates(-90 * DAY, -60 * DAY), authority),
        _ => by(subject(), authority),
    };
    let next = match situation {
        Situation::Renewing => Some(by(subject().key(&shown.issued.key), authority)),
        Situation::Rekeying => Some(by(subject(), authority)),
        _ => None,
    };
    Member {
        name,
        situation,
        shown,
        uses: Uses::Certificate,
        key: None,
        next,
        mistaken: None,
        is_away: matches!(situation, Situation::Lapsing | Situation::Offline),
        listens: !matches!(situation, Situation::Laggard | Situation::Holdout),
        turns: 0,
        requests: 0,
        refused: std::collections::BTreeMap::new(),
        failures: Vec::new(),
    }
}
