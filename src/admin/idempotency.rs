//! Requests that are sent again since their answer was lost
//! (draft-ietf-httpapi-idempotency-key-header): they are done once, and answered twice.
//!
//! What is remembered is of this gateway alone, and goes with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::{HeaderMap, HeaderName, StatusCode};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::answer::Problem;
use crate::clock;
use crate::key::IdempotencyToken;

/// By which somebody names a request.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How long an answer is remembered.
const LONG: Duration = Duration::from_hours(24);
/// How long one is that holds a secret.
const SHORT: Duration = Duration::from_mins(10);
/// How many requests are remembered.
const MOST: usize = 4096;
/// How many bytes their answers have together.
const BYTES: usize = 16 << 20;

/// The SHA-256 of what it stands for.
type Name = [u8; 32];

/// The requests of the last day.
#[derive(Default)]
pub(super) struct Remembered(Mutex<HashMap<Name, Entry>>);

struct Entry {
    /// What was asked for.
    request: Name,
    begun: Instant,
    answer: State,
}

enum State {
    /// It is being done.
    UnderWay,
    /// This was the answer.
    Known(Kept),
    /// It held a secret, or there was no room for it.
    Gone,
}

/// An answer, to be given again.
struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

/// A request that nobody made before, for as long as it is being done.
pub(super) struct Turn {
    of: Arc<Remembered>,
    name: Name,
}

/// What is to be done with a request that somebody named.
pub(super) enum Begun {
    /// It is done now.
    Now(Turn),
    /// It was done, and this was the answer.
    Before(Response),
}

/// The one request that somebody names by `key`: who it is, and what is asked for.
pub(super) fn named(
    headers: &HeaderMap,
    who: &str,
    request: &[&[u8]],
) -> Result<Option<(Name, Name)>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let token = key.to_str().ok().filter(|_| keys.next().is_none());
    let token = token.and_then(|key| key.parse::<IdempotencyToken>().ok());
    token.ok_or_else(|| Problem::bad_request(crate::key::NotAToken.to_string()))?;
    let whole = request.iter().fold(Sha256::new(), |hash, part| {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hash.chain_update(length.to_be_bytes()).chain_update(part)
    });
    // No name of a token has a line end in it.
    let name = { Sha256::new().chain_update(who) }
        .chain_update(b"\n")
        .chain_update(key.as_bytes());
    Ok(Some((name.finalize().into(), whole.finalize().into())))
}

impl Remembered {
    /// The answer that was given before, or the right to do it now.
    pub(super) fn begin(self: &Arc<Self>, (name, request): (Name, Name)) -> Result<Begun, Problem> {
        let now = clock::monotonic();
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| now.saturating_duration_since(entry.begun) < LONG);
        if let Some(known) = entries.get(&name) {
            return known.again(request).map(Begun::Before);
        }
        make_room(&mut entries)?;
        let entry = Entry {
            request,
            begun: now,
            answer: State::UnderWay,
        };
        entries.insert(name, entry);
        let of = Arc::clone(self);
        Ok(Begun::Now(Turn { of, name }))
    }

    fn forget_secret(&self, name: &Name) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(name) {
            entry.answer = State::Gone;
        }
    }
}

/// The oldest give their places up; never one that is being done.
fn make_room(entries: &mut HashMap<Name, Entry>) -> Result<(), Problem> {
    let size = |entry: &Entry| match &entry.answer {
        State::Known(kept) => kept.body.len(),
        State::UnderWay | State::Gone => 0,
    };
    while entries.len() >= MOST
        || entries.values().map(size).fold(0, usize::saturating_add) >= BYTES
    {
        let done = entries
            .iter()
            .filter(|(_, entry)| !matches!(entry.answer, State::UnderWay));
        let oldest = done
            .min_by_key(|(_, entry)| entry.begun)
            .map(|(name, _)| *name);
        let oldest = oldest.ok_or_else(|| {
            let detail = "too many requests with an Idempotency-Key are under way";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        })?;
        entries.remove(&oldest);
    }
    Ok(())
}

impl Entry {
    fn again(&self, request: Name) -> Result<Response, Problem> {
        let conflict = |reason, detail| Err(Problem::new(StatusCode::CONFLICT, reason, detail));
        if self.request != request {
            let detail =
                "this Idempotency-Key was sent with another request; make a new one for each";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Problem::new(status, "idempotency_key_reused", detail));
        }
        match &self.answer {
            State::UnderWay => conflict(
                "under_way",
                "the request with this Idempotency-Key is being done; ask again in a moment",
            ),
            State::Gone => conflict(
                "answer_gone",
                "this was done, and its answer is no longer kept, since it held a secret or was too long",
            ),
            State::Known(kept) => {
                let mut answer = Response::new(Body::from(kept.body.to_vec()));
                *answer.status_mut() = kept.status;
                answer.headers_mut().clone_from(&kept.headers);
                Ok(answer)
            }
        }
    }
}

impl Turn {
    /// Remembers what came of it. When it is not known what did, because something that is needed does not
    /// answer, it may be tried again.
    pub(super) async fn end(self, answer: Response, is_secret: bool) -> Response {
        if answer.status().is_server_error() {
            return answer;
        }
        let (head, body) = answer.into_parts();
        // It was made here, and is whole.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let kept = Kept {
            status: head.status,
            headers: head.headers.clone(),
            body: Zeroizing::new(body.to_vec()),
        };
        let answer = if body.len() > BYTES / 16 {
            State::Gone
        } else {
            State::Known(kept)
        };
        let mut entries = { self.of.0.lock() }.unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&self.name) {
            entry.answer = answer;
        }
        drop(entries);
        if is_secret {
            let (of, name) = (Arc::clone(&self.of), self.name);
            tokio::spawn(async move {
                tokio::time::sleep(SHORT).await;
                of.forget_secret(&name);
            });
        }
        Response::from_parts(head, Body::from(body))
    }
}

impl Drop for Turn {
    /// What was not remembered is as if it had not been asked for.
    fn drop(&mut self) {
        let mut entries = { self.of.0.lock() }.unwrap_or_else(PoisonError::into_inner);
        let is_under_way = |entry: &Entry| matches!(entry.answer, State::UnderWay);
        if entries.get(&self.name).is_some_and(is_under_way) {
            entries.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn name(key: &str, who: &str, request: &str) -> Option<(Name, Name)> {
        let headers = [(IDEMPOTENCY_KEY, key.parse().unwrap())];
        named(&headers.into_iter().collect(), who, &[request.as_bytes()]).unwrap()
    }

    fn now(all: &Arc<Remembered>, request: (Name, Name)) -> Turn {
        match all.begin(request).unwrap() {
            Begun::Now(turn) => turn,
            Begun::Before(_) => panic!("it was done before"),
        }
    }

    fn answer(text: &str) -> Response {
        text.to_owned().into_response()
    }

    async fn text(answer: Response) -> Vec<u8> {
        to_bytes(answer.into_body(), 1 << 20)
            .await
            .unwrap()
            .to_vec()
    }

    #[tokio::test]
    async fn it_is_done_once_and_answered_twice() {
        let all = Arc::new(Remembered::default());
        let key = "a key of sixteen characters".replace(' ', "-");
        let one = name(&key, "ci", "x").unwrap();
        let turn = now(&all, one);
        let under_way = all.begin(one).err().unwrap();
        assert_eq!(under_way.into_response().status(), 409);
        turn.end(answer("done"), true).await;
        let Begun::Before(again) = all.begin(one).unwrap() else {
            panic!("it is done again");
        };
        assert_eq!(text(again).await, b"done");
        let other = all.begin(name(&key, "ci", "y").unwrap()).err().unwrap();
        assert_eq!(other.into_response().status(), 422);
        // Of somebody else, the same key is another.
        now(&all, name(&key, "other", "y").unwrap());
        all.forget_secret(&one.0);
        let gone = all.begin(one).err().unwrap();
        assert_eq!(gone.into_response().status(), 409);
    }

    #[tokio::test]
    async fn what_failed_may_be_tried_again_and_memory_is_bounded() {
        let all = Arc::new(Remembered::default());
        let one = |number: usize| name(&format!("key-{number:032}"), "ci", "x").unwrap();
        let turn = now(&all, one(0));
        let failed = StatusCode::SERVICE_UNAVAILABLE.into_response();
        turn.end(failed, false).await;
        drop(now(&all, one(0)));
        for number in 0..MOST + 10 {
            let turn = now(&all, one(number));
            turn.end(answer("done"), false).await;
        }
        assert_eq!(all.0.lock().unwrap().len(), MOST);
        let headers = [(IDEMPOTENCY_KEY, "short".parse().unwrap())];
        assert!(named(&headers.into_iter().collect(), "ci", &[]).is_err());
    }
}
