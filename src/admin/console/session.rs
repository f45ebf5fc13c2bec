//! Who is at the console: sessions, each begun with a token of the API.
//!
//! A browser holds a random id in a cookie that no script reads and no other site makes it send. What
//! changes something carries a second random value besides, which stands in the console's own forms only.
//! A session is worth no more than its token: when that is gone from the configuration, so is the session.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::admin::access::{Token, Who};

/// The name of the cookie.
pub(super) const NAME: &str = "keyferry_console";
/// How many sessions there are at a time. The one that was idle for longest makes room.
const MOST: usize = 1_000;
/// How long a session may be idle, and last.
const IDLE: Duration = Duration::from_mins(30);
const LONGEST: Duration = Duration::from_hours(12);
/// How many sessions one token has at a time.
const OF_ONE: usize = 20;
/// How many forms of a session are remembered that were sent.
const SENT: usize = 1_000;
/// How long a random value is as text.
const CHANCE: usize = 43;

/// All sessions, by the hash of their ids.
#[derive(Default)]
pub(in crate::admin) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

struct Session {
    /// The SHA-256 of its token.
    token: [u8; 32],
    csrf: String,
    begun: Instant,
    used: Instant,
    /// What the next page says first.
    notice: Option<Notice>,
    /// The forms that were sent, the latest last.
    sent: Vec<String>,
}

/// What came of the last action.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) text: String,
    /// How it is taken back.
    pub(super) undo: Option<Undo>,
}

/// An operation and its parameters.
pub(super) type Undo = (String, Vec<(String, String)>);

/// Somebody at the console.
#[derive(Clone, Debug)]
pub(in crate::admin) struct Seat {
    pub(super) who: Who,
    pub(super) csrf: String,
    /// Of its session.
    id: [u8; 32],
}

impl Sessions {
    /// Begins a session of whoever has `token`; gives the id for the cookie.
    pub(super) fn begin(&self, token: [u8; 32], now: Instant) -> Result<String, getrandom::Error> {
        let (id, csrf) = (chance()?, chance()?);
        let session = Session {
            token,
            csrf,
            begun: now,
            used: now,
            notice: None,
            sent: Vec::new(),
        };
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.lasts(now));
        // Whoever has a token takes room from himself first.
        let own = sessions
            .iter()
            .filter(|(_, session)| session.token == token);
        let own = (own.clone().count() >= OF_ONE)
            .then(|| idlest(own))
            .flatten();
        let all = (sessions.len() >= MOST)
            .then(|| idlest(sessions.iter()))
            .flatten();
        if let Some(id) = own.or(all) {
            sessions.remove(&id);
        }
        sessions.insert(hashed(&id), session);
        Ok(id)
    }

    /// Who sent `headers`, if a session of his lasts and its token is among `tokens`.
    pub(in crate::admin) fn seat(
        &self,
        headers: &HeaderMap,
        tokens: &[Token],
        now: Instant,
    ) -> Option<Seat> {
        let id = hashed(cookie(headers)?);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&id).filter(|session| session.lasts(now))?;
        let token = tokens.iter().find(|token| token.digest == session.token)?;
        session.used = now;
        Some(Seat {
            who: Who {
                name: token.name.clone(),
                role: token.role,
            },
            csrf: session.csrf.clone(),
            id,
        })
    }

    /// Ends the session of `seat`.
    pub(super) fn end(&self, seat: &Seat) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&seat.id);
    }

    /// Takes it back that a form was sent: nothing came of it.
    pub(super) fn was_not(&self, seat: &Seat, once: &str) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get_mut(&seat.id) {
            session.sent.retain(|sent| sent != once);
        }
    }

    /// Whether a form that carries `once` is sent for the first time.
    pub(super) fn is_first(&self, seat: &Seat, once: &str) -> bool {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(session) = sessions.get_mut(&seat.id) else {
            return false;
        };
        if once.len() != CHANCE || session.sent.iter().any(|sent| sent == once) {
            return false;
        }
        if session.sent.len() >= SENT {
            session.sent.remove(0);
        }
        session.sent.push(once.to_owned());
        true
    }

    /// Leaves `notice` for the next page of `seat`.
    pub(super) fn leave(&self, seat: &Seat, notice: Notice) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get_mut(&seat.id) {
            session.notice = Some(notice);
        }
    }

    /// What was left for this page.
    pub(super) fn notice(&self, seat: &Seat) -> Option<Notice> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get_mut(&seat.id)?.notice.take()
    }
}

impl Session {
    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.used) < IDLE && now.duration_since(self.begun) < LONGEST
    }
}

impl Seat {
    /// Whether a form with this value is one of the session's own.
    pub(super) fn sent(&self, csrf: &str) -> bool {
        bool::from(self.csrf.as_bytes().ct_eq(csrf.as_bytes()))
    }
}

/// The session that was idle for longest.
fn idlest<'a>(sessions: impl Iterator<Item = (&'a [u8; 32], &'a Session)>) -> Option<[u8; 32]> {
    let idlest = sessions.min_by_key(|(_, session)| session.used);
    idlest.map(|(id, _)| *id)
}

/// 32 random bytes as text.
pub(super) fn chance() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Whoever reads this memory finds no id that a browser could show.
fn hashed(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

/// The session's id, when there is one cookie of the name.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut own = pairs.filter_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='));
    let first = own.next()?;
    own.next().is_none().then_some(first)
}
