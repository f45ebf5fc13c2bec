//! The sessions that a gateway keeps in its memory, for `listener.sessions = "memory"`.
//!
//! They are kept encoded, as a ticket would hold them. OpenSSL's own memory of sessions takes five times
//! as much (docs/PERFORMANCE.md), has one lock for each context, and forgets whoever leaves by a reset.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::resumption::Period;
use crate::secret::{Secret, SecretBytes};

/// What OpenSSL names a session by: random bytes.
type Id = [u8; 32];

/// Handshakes that happen at the same time seldom want the same of so many locks.
const SHELVES: usize = 16;
/// What a session takes beside its own bytes, in the tables and of the allocator (measured: docs/PERFORMANCE.md).
const BESIDE: usize = 288;

/// The sessions of one period, as many as there is room for. Those that came by a certificate that is
/// good have half of it to themselves: whoever has none could begin as many as he likes.
pub(super) struct Kept {
    period: Period,
    bytes: u32,
    of_certificates: [Mutex<Shelf>; SHELVES],
    of_others: [Mutex<Shelf>; SHELVES],
}

/// Some of them, in the order of their last use.
struct Shelf {
    sessions: LruCache<Id, Arc<SecretBytes>>,
    /// How much they take, and may take.
    taken: usize,
    room: usize,
}

impl Kept {
    /// None yet, and room for so many bytes.
    pub(super) fn new(bytes: u32, period: Period) -> Self {
        let room = usize::try_from(bytes).unwrap_or(usize::MAX) / 2 / SHELVES;
        let shelves = || std::array::from_fn(|_| Mutex::new(Shelf::new(room)));
        Self {
            period,
            bytes,
            of_certificates: shelves(),
            of_others: shelves(),
        }
    }

    /// Whether these are to go on with.
    pub(super) fn are_for(&self, bytes: u32, period: Period) -> bool {
        (self.bytes, self.period) == (bytes, period)
    }

    /// Keeps a session of whoever showed a certificate, which is good or not, or none. With one that is
    /// not, it would not be resumed.
    pub(super) fn keep(&self, id: &[u8], session: Vec<u8>, certificate: Option<bool>) {
        let shelves = match certificate {
            Some(true) => &self.of_certificates,
            None => &self.of_others,
            Some(false) => return,
        };
        let session = Arc::new(Secret::new(session));
        if let Ok(id) = id.try_into() {
            shelf(shelves, &id).put(id, session);
        }
    }

    /// Has no room any more. Connections that are open hold on to it, for as long as they last.
    pub(super) fn end(&self) {
        for shelf in self.of_certificates.iter().chain(&self.of_others) {
            *shelf.lock().unwrap_or_else(PoisonError::into_inner) = Shelf::new(0);
        }
    }

    /// The session of this name, if it is still there.
    pub(super) fn find(&self, id: &[u8]) -> Option<Arc<SecretBytes>> {
        let id = id.try_into().ok()?;
        let find = |shelves| shelf(shelves, &id).sessions.get(&id).cloned();
        find(&self.of_certificates).or_else(|| find(&self.of_others))
    }
}

fn shelf<'a>(shelves: &'a [Mutex<Shelf>; SHELVES], [first, ..]: &Id) -> MutexGuard<'a, Shelf> {
    let [any, ..] = shelves;
    let shelf = shelves.get(usize::from(*first) % SHELVES).unwrap_or(any);
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    fn new(room: usize) -> Self {
        Self {
            sessions: LruCache::unbounded(),
            taken: 0,
            room,
        }
    }

    /// Puts a session there, and takes away those that were not used for longest.
    fn put(&mut self, id: Id, session: Arc<SecretBytes>) {
        self.taken = self.taken.saturating_add(weight(&session));
        if let Some(same) = self.sessions.put(id, session) {
            self.taken = self.taken.saturating_sub(weight(&same));
        }
        while self.taken > self.room {
            let Some((_, oldest)) = self.sessions.pop_lru() else {
                return;
            };
            self.taken = self.taken.saturating_sub(weight(&oldest));
        }
    }
}

fn weight(session: &SecretBytes) -> usize {
    session.expose().len().saturating_add(BESIDE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::door::Resumption;
    use crate::door::resumption::Resuming;

    const USUAL: usize = 900;

    fn none() -> Kept {
        Kept::new(1 << 20, Period::of(Timestamp::from_unix(0)))
    }

    /// The name of the session with this number.
    fn id(number: u32) -> Id {
        let mut id = [0; 32];
        // Names are random; these come to every shelf in turn.
        id[0] = number.to_le_bytes()[0];
        id[1..5].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn there(sessions: &Kept, numbers: std::ops::Range<u32>) -> usize {
        let found = numbers.filter(|number| sessions.find(&id(*number)).is_some());
        found.count()
    }

    #[test]
    fn r19_strangers_push_no_session_out_that_began_with_a_good_certificate() {
        let flood = |certificate: Option<bool>| {
            let sessions = none();
            for client in 0..100 {
                sessions.keep(&id(client), vec![0; USUAL], Some(true));
            }
            assert_eq!(there(&sessions, 0..100), 100);
            for stranger in 1000..100_000 {
                sessions.keep(&id(stranger), vec![0; USUAL], certificate);
            }
            (there(&sessions, 0..100), there(&sessions, 99_900..100_000))
        };
        assert_eq!(flood(Some(true)), (0, 100), "the control: who has the same");
        assert_eq!(flood(None), (100, 100));
        assert_eq!(flood(Some(false)), (100, 0), "they would not be resumed");
    }

    #[test]
    fn r19_sessions_take_no_more_than_their_room_however_long_they_are() {
        let sessions = none();
        for number in 0..20_000 {
            let length = usize::try_from(number % 7_000).unwrap();
            let certificate = (number % 3 == 0).then_some(true);
            sessions.keep(&id(number), vec![0; length], certificate);
        }
        let shelves = sessions.of_certificates.iter().chain(&sessions.of_others);
        let mut taken = 0;
        for shelf in shelves {
            let shelf = shelf.lock().unwrap();
            let all = shelf.sessions.iter();
            let all: usize = all.map(|(_, session)| weight(session)).sum();
            assert!(shelf.taken == all && all <= shelf.room);
            taken += all;
        }
        assert!(
            (1 << 19..=1 << 20).contains(&taken),
            "not full, or too full: {taken}"
        );
        // One that is longer than all the room of its shelf leaves that empty, and harms no other.
        sessions.keep(&id(7), vec![0; 1 << 20], Some(true));
        assert!(sessions.find(&id(7)).is_none());
        sessions.keep(&id(7), vec![0; USUAL], Some(true));
        assert!(sessions.find(&id(7)).is_some() && sessions.find(&id(7)[1..]).is_none());
        // A memory that another one took the place of.
        sessions.end();
        sessions.keep(&id(8), vec![0; USUAL], None);
        assert_eq!(there(&sessions, 0..20_000), 0);
    }

    /// R8: as a ticket of one period is not opened in the next.
    #[test]
    fn r8_no_session_is_kept_for_longer_than_half_a_day() {
        let at = |hours| Timestamp::from_unix(1_795_392_000).plus(Duration::from_hours(hours));
        let (wanted, more) = (Resumption::Memory(1 << 20), Resumption::Memory(1 << 21));
        let resuming = Resuming::new(&wanted, at(0)).unwrap();
        assert!(resuming.is_for(&wanted, at(11)) && !resuming.is_for(&wanted, at(12)));
        assert!(!resuming.is_for(&more, at(0)));
        assert!(!resuming.is_for(&Resumption::Tickets(None), at(0)));
        let tickets = Resuming::new(&Resumption::Tickets(None), at(0)).unwrap();
        assert!(!tickets.is_for(&wanted, at(0)));
    }
}
