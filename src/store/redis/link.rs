//! Asking Redis: on which connection, what when it fails, and where to ask instead.
//!
//! A connection that failed in any way is given up, and the next question makes a new one to the
//! server that is the primary then.

use std::sync::{Mutex as Lock, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, Value, from_redis_value};
use tokio::sync::Mutex;

use super::breaker::Breaker;
use super::dial::{Connection, within};
use super::failure::{Elsewhere, Failure};
use super::primary::Primary;
use super::settings::{Settings, Shape};
use crate::clock;
use crate::store::{Acknowledged, StoreError};

/// After so long the server is asked again whether it is the primary: one that was demoted may keep
/// its connections and go on answering.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often a question follows where a cluster sends it.
const REDIRECTIONS: usize = 5;
/// The pause when a cluster says to try again.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// How long a change that takes something away waits for the replicas.
const REPLICATION: Duration = Duration::from_millis(200);

/// The way to Redis.
pub(super) struct Link {
    primary: Primary,
    response_timeout: Duration,
    /// How long to wait for a connection.
    patience: Duration,
    breaker: Breaker,
    /// The connection for everything that is answered at once.
    shared: Lane,
    /// The connection of the session that was kept.
    kept: Lock<Option<Connection>>,
}

/// A connection of one's own, for what must come from one server: whoever reads in parts, or reads
/// on from where they were, must not be led to a server that remembers something else. So it is
/// never made anew, and a question that fails ends the session.
///
/// While a question waits, others would wait behind it, and should it be given up midway the
/// connection goes with it.
pub(super) struct Session<'a> {
    link: &'a Link,
    connection: Connection,
}

/// A connection to the primary, made when it is needed.
#[derive(Default)]
struct Lane(Mutex<Slot>);

#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    /// Which connection it is: whoever gives one up must not give up a later one.
    number: u64,
    /// When the server was last asked whether it is the primary.
    checked: Option<Instant>,
}

/// How sure it must be that the server is the primary.
#[derive(Clone, Copy)]
pub(super) enum Care {
    /// It was within [`HEARTBEAT`].
    Usual,
    /// It is, and nothing says that it was replaced.
    Current,
}

/// A script for the server.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    pub(super) fn new(code: &'static str) -> Self {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Self { code, hash }
    }
}

impl Link {
    pub(super) fn new(settings: &Settings) -> Self {
        let finding = settings.connect_timeout.saturating_mul(2);
        let patience = finding.saturating_add(settings.response_timeout);
        Self {
            primary: Primary::new(settings),
            response_timeout: settings.response_timeout,
            patience,
            breaker: Breaker::new(patience.saturating_add(settings.response_timeout)),
            shared: Lane::default(),
            kept: Lock::default(),
        }
    }

    /// Asks, and waits as long as any answer may take.
    pub(super) async fn ask<T: FromRedisValue>(&self, question: &Cmd) -> Result<T, StoreError> {
        self.ask_with(question, Care::Usual).await
    }

    /// The same with this care.
    pub(super) async fn ask_with<T: FromRedisValue>(
        &self,
        question: &Cmd,
        care: Care,
    ) -> Result<T, StoreError> {
        let answer = self.put(&self.shared, question, care).await;
        self.read(answer.map(|(answer, _)| answer))
    }

    /// Runs a script, sending its code only to a server that does not know it.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[String],
    ) -> Result<T, StoreError> {
        let answer = self.run_on(&self.shared, script, keys, arguments).await;
        self.read(answer.map(|(answer, _)| answer))
    }

    /// Runs a script that writes, then waits a moment for the replicas to have it too. On a
    /// connection of its own: others would wait behind it.
    pub(super) async fn run_and_replicate<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[String],
    ) -> Result<(T, Option<Acknowledged>), StoreError> {
        let ran = self.run_on(&Lane::default(), script, keys, arguments).await;
        let (answer, connection) = ran.map_err(|failure| self.explain(&failure))?;
        Ok((self.read(Ok(answer))?, self.replicate(connection).await))
    }

    /// A connection of one's own to the primary.
    pub(super) async fn session(&self) -> Result<Session<'_>, StoreError> {
        let connecting = async {
            self.admit()?;
            let connected = within(self.patience, self.connect()).await.flatten();
            self.note(&connected);
            connected
        };
        let connected = connecting.await;
        let connection = connected.map_err(|failure| self.explain(&failure))?;
        Ok(Session {
            link: self,
            connection,
        })
    }

    /// The session that was kept last, while nobody else has it; or else a new one.
    pub(super) async fn kept_session(&self) -> Result<Session<'_>, StoreError> {
        let kept = self.kept().take();
        match kept {
            Some(connection) => Ok(Session {
                link: self,
                connection,
            }),
            None => self.session().await,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self) -> Result<(), Failure> {
        let admitted = self.breaker.admit(clock::monotonic());
        admitted.map_err(Failure::Silence)
    }

    fn note<T>(&self, answer: &Result<T, Failure>) {
        match answer {
            Err(Failure::Silence(why)) => self.breaker.unanswered(clock::monotonic(), why),
            _ => self.breaker.answered(),
        }
    }

    /// Connects to the primary, which has just said that it is one.
    async fn connect(&self) -> Result<Connection, Failure> {
        let mut connection = self.primary.connect().await?;
        connection.replicas(self.response_timeout).await?;
        Ok(connection)
    }

    fn read<T: FromRedisValue>(&self, answer: Result<Value, Failure>) -> Result<T, StoreError> {
        let read = answer.and_then(|answer| Ok(from_redis_value(answer)?));
        read.map_err(|failure| self.explain(&failure))
    }

    fn explain(&self, failure: &Failure) -> StoreError {
        failure.explain(self.primary.shape())
    }

    async fn run_on(
        &self,
        lane: &Lane,
        script: &Script,
        keys: &[&str],
        arguments: &[String],
    ) -> Result<(Value, Connection), Failure> {
        let question = |how, what: &str| {
            let mut question = redis::cmd(how);
            question.arg(what).arg(keys.len()).arg(keys).arg(arguments);
            question
        };
        let known = question("EVALSHA", &script.hash);
        match self.put(lane, &known, Care::Usual).await {
            Err(failure) if failure.is_unknown_script() => {
                let whole = question("EVAL", script.code);
                self.put(lane, &whole, Care::Usual).await
            }
            ran => ran,
        }
    }

    /// Asks on the connection of `lane`, unless nothing was answered for long; gives also the
    /// connection on which the answer came.
    async fn put(
        &self,
        lane: &Lane,
        question: &Cmd,
        care: Care,
    ) -> Result<(Value, Connection), Failure> {
        self.admit()?;
        // However often it is sent on: nobody waits for longer than without a cluster.
        let longest = self.patience.saturating_add(self.response_timeout);
        let asking = Box::pin(self.put_where_it_leads(lane, question, care));
        let answer = within(longest, asking).await.flatten();
        self.note(&answer);
        answer
    }

    async fn put_where_it_leads(
        &self,
        lane: &Lane,
        question: &Cmd,
        care: Care,
    ) -> Result<(Value, Connection), Failure> {
        let limit = self.response_timeout;
        let mut redirections = 0..REDIRECTIONS;
        loop {
            let (mut connection, number, check) = self.connection(lane).await?;
            let answer = match care {
                Care::Current => connection.ask_current(question, limit).await,
                Care::Usual if check => connection.ask_primary(question, limit).await,
                Care::Usual => connection.ask(question, limit).await,
            };
            let mut failure = match answer {
                Ok(answer) => return Ok((answer, connection)),
                Err(failure) => failure,
            };
            let mut elsewhere = self.primary.elsewhere(&failure, &connection.address);
            if let Some(Elsewhere::Ask(address)) = elsewhere {
                let mut there = self.primary.connect_to(&address).await?;
                let asking = redis::cmd("ASKING");
                let answers = there.ask_all([&asking, question], limit).await;
                failure = match answers.and_then(|[asked, answer]| asked.and(answer)) {
                    Ok(answer) => return Ok((answer, there)),
                    Err(failure) => failure,
                };
                // It has some of the keys by now, or has them all: the one that sent us here knows.
                let is_moving = self.primary.elsewhere(&failure, &address).is_some();
                elsewhere = is_moving.then_some(Elsewhere::Later);
            } else if elsewhere != Some(Elsewhere::Later) && !failure.is_unknown_script() {
                lane.give_up(number).await;
            }
            if elsewhere.is_none() || redirections.next().is_none() {
                return Err(failure);
            }
            if elsewhere == Some(Elsewhere::Later) {
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }

    /// The connection of `lane`, its number, and whether to ask again if it leads to the primary.
    async fn connection(&self, lane: &Lane) -> Result<(Connection, u64, bool), Failure> {
        let taking = async {
            let mut slot = lane.0.lock().await;
            let now = clock::monotonic();
            if let Some(connection) = slot.connection.clone() {
                let since = |at| now.saturating_duration_since(at);
                let check = slot.checked.is_none_or(|at| since(at) >= HEARTBEAT);
                if check {
                    slot.checked = Some(now);
                }
                return Ok((connection, slot.number, check));
            }
            let connection = self.connect().await?;
            slot.number = slot.number.wrapping_add(1);
            slot.checked = Some(now);
            slot.connection = Some(connection.clone());
            Ok((connection, slot.number, false))
        };
        within(self.patience, taking).await.flatten()
    }

    /// Waits until the replicas have what was written on `connection`. The change stands, whatever
    /// comes of it.
    async fn replicate(&self, mut connection: Connection) -> Option<Acknowledged> {
        let mut by_of = Acknowledged { by: 0, of: 0 };
        let waited = async {
            by_of.of = connection.replicas(self.response_timeout).await?;
            if by_of.of > 0 {
                let mut wait = redis::cmd("WAIT");
                wait.arg(by_of.of).arg(REPLICATION.as_millis().to_string());
                let limit = self.response_timeout.saturating_add(REPLICATION);
                by_of.by = from_redis_value(connection.ask(&wait, limit).await?)?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = waited.await {
            let error = self.explain(&failure);
            tracing::warn!(%error, "a change was made, but whether replicas have it is not known");
            return Some(by_of);
        }
        // With sentinels a primary without replicas lost them: it is meant to have some.
        let meant = matches!(self.primary.shape(), Shape::Sentinel(_));
        (meant || by_of.of > 0).then_some(by_of)
    }
}

impl Lane {
    async fn give_up(&self, number: u64) {
        let mut slot = self.0.lock().await;
        if slot.number == number {
            slot.connection = None;
        }
    }
}

impl Session<'_> {
    /// Asks, and waits as long as any answer may take.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, question: &Cmd) -> Result<T, StoreError> {
        let answer = self.connection.ask(question, self.link.response_timeout);
        let answer = answer.await;
        self.read(answer)
    }

    /// Asks a server that is still the primary, as far as it can tell.
    pub(super) async fn ask_current<T: FromRedisValue>(
        &mut self,
        question: &Cmd,
    ) -> Result<T, StoreError> {
        let limit = self.link.response_timeout;
        let answer = self.connection.ask_current(question, limit).await;
        self.read(answer)
    }

    /// Asks a question whose answer the server may hold back for `wait`. It ends early, and fails,
    /// when the sentinels name another primary.
    pub(super) async fn ask_waiting<T: FromRedisValue>(
        &mut self,
        question: &Cmd,
        wait: Duration,
    ) -> Result<T, StoreError> {
        let limit = self.link.response_timeout.saturating_add(wait);
        let known = self.connection.address.clone();
        let answer = tokio::select! {
            answer = self.connection.ask(question, limit) => answer,
            () = self.link.primary.switched(&known) => {
                self.link.shared.0.lock().await.connection = None;
                Err(Failure::NotPrimary)
            }
        };
        self.read(answer)
    }

    /// Leaves the connection to whoever asks for the kept session next.
    pub(super) fn keep(self) {
        *self.link.kept() = Some(self.connection);
    }

    fn read<T: FromRedisValue>(&self, answer: Result<Value, Failure>) -> Result<T, StoreError> {
        self.link.note(&answer);
        if let Err(failure) = &answer {
            // Only to remember it: here nothing is asked elsewhere.
            let _ = self
                .link
                .primary
                .elsewhere(failure, &self.connection.address);
        }
        self.link.read(answer)
    }
}
