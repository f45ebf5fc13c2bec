//! The connections to Redis, and what its errors mean.
//!
//! A connection that failed in any way is given up, and the next question makes a new one. The
//! library's own connection manager keeps a connection whose answers time out, and one that was
//! refused for its password or leads to a server that became a replica: it would not recover.

use std::future::Future;
use std::sync::{Mutex as Lock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::store::StoreError;

/// The way to one Redis server.
pub(super) struct Link {
    client: Client,
    connect_timeout: Duration,
    response_timeout: Duration,
    shared: Mutex<Shared>,
    /// The connection for questions that wait, while none does.
    waiting: Lock<Option<MultiplexedConnection>>,
}

/// The connection for everything else.
#[derive(Default)]
struct Shared {
    connection: Option<MultiplexedConnection>,
    /// Which connection it is: whoever gives one up must not give up a later one.
    number: u64,
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
    pub(super) fn new(
        client: Client,
        connect_timeout: Duration,
        response_timeout: Duration,
    ) -> Self {
        Self {
            client,
            connect_timeout,
            response_timeout,
            shared: Mutex::default(),
            waiting: Lock::default(),
        }
    }

    /// Asks, and waits as long as any answer may take.
    pub(super) async fn ask<T: FromRedisValue>(&self, question: &Cmd) -> Result<T, StoreError> {
        self.try_ask(question)
            .await?
            .map_err(|error| explain(&error))
    }

    /// Runs a script, sending its code only to a server that does not know it.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[String],
    ) -> Result<T, StoreError> {
        let question = |how, what: &str| {
            let mut question = redis::cmd(how);
            question.arg(what).arg(keys.len()).arg(keys).arg(arguments);
            question
        };
        match self.try_ask(&question("EVALSHA", &script.hash)).await? {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.ask(&question("EVAL", script.code)).await
            }
            known => known.map_err(|error| explain(&error)),
        }
    }

    /// Asks a question whose answer the server may hold back for `wait`.
    ///
    /// While it waits, the connection belongs to it: others would wait behind it, and should it
    /// be given up midway the connection goes with it.
    pub(super) async fn ask_waiting<T: FromRedisValue>(
        &self,
        question: &Cmd,
        wait: Duration,
    ) -> Result<T, StoreError> {
        let idle = self.idle().take();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let deadline = self.response_timeout.saturating_add(wait);
        let answer = within(deadline, question.query_async(&mut connection)).await?;
        let answer = answer.map_err(|error| explain(&error))?;
        *self.idle() = Some(connection);
        Ok(answer)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_ask<T: FromRedisValue>(
        &self,
        question: &Cmd,
    ) -> Result<RedisResult<T>, StoreError> {
        let patience = self.connect_timeout.saturating_add(self.response_timeout);
        let (mut connection, number) = within(patience, self.connection()).await??;
        let answer = within(self.response_timeout, question.query_async(&mut connection)).await;
        let failed = match &answer {
            Ok(Ok(_)) => false,
            Ok(Err(error)) => error.code() != Some("NOSCRIPT"),
            Err(_) => true,
        };
        if failed {
            let mut shared = self.shared.lock().await;
            if shared.number == number {
                shared.connection = None;
            }
        }
        answer
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut shared = self.shared.lock().await;
        if let Some(connection) = &shared.connection {
            return Ok((connection.clone(), shared.number));
        }
        let connection = self.connect().await?;
        shared.number = shared.number.wrapping_add(1);
        shared.connection = Some(connection.clone());
        Ok((connection, shared.number))
    }

    async fn connect(&self) -> Result<MultiplexedConnection, StoreError> {
        // Every wait has its deadline here, so the library needs none of its own.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| explain(&error)),
            Err(_) => Err(StoreError::Unavailable(format!(
                "no connection to Redis within {:?}",
                self.connect_timeout
            ))),
        }
    }
}

async fn within<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, StoreError> {
    timeout(limit, answer)
        .await
        .map_err(|_| StoreError::Unavailable(format!("no answer from Redis within {limit:?}")))
}

/// What the server's error codes mean, and what to do.
const ADVICE: [(&str, &str); 12] = [
    (
        "LOADING",
        "Redis is still loading its data; it answers when it has",
    ),
    (
        "READONLY",
        "this Redis is a read-only replica; name the primary in store.url",
    ),
    (
        "OOM",
        "Redis has reached maxmemory; give it more (its maxmemory-policy must be noeviction)",
    ),
    (
        "MISCONF",
        "Redis cannot save to its disk and takes no writes; look at its log",
    ),
    (
        "NOAUTH",
        "Redis asks for a password; name it in store.password_file",
    ),
    (
        "WRONGPASS",
        "Redis refuses the user or the password; check store.url and store.password_file",
    ),
    (
        "NOPERM",
        "Redis does not allow this user what is needed; docs/STORE.md has the list",
    ),
    (
        "MASTERDOWN",
        "this Redis is a replica that lost its primary",
    ),
    ("CLUSTERDOWN", "the Redis cluster is down"),
    (
        "MOVED",
        "this Redis is a node of a cluster, and not the one for these keys",
    ),
    ("NOREPLICAS", "Redis has too few replicas to take a write"),
    (
        "WRONGTYPE",
        "the keys kf:{kf}:… hold something else; give Keyferry a database of its own",
    ),
];

/// What came of asking. It never means that something is absent.
pub(super) fn explain(error: &RedisError) -> StoreError {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    // Redis 6 wraps what a script ran into: `ERR Error running script …: -OOM command …`. And a
    // long question is refused before the password is asked for.
    let meant = |known: &str| {
        code == known
            || detail.contains(&format!("-{known} "))
            || (known == "NOAUTH" && detail.contains("unauthenticated"))
    };
    let advice = ADVICE.iter().find(|(known, _)| meant(known));
    let text = match advice {
        Some((known, advice)) => format!("{advice} ({known})"),
        None if error.kind() == ErrorKind::AuthenticationFailed => {
            "Redis refuses the user or the password; check store.url and store.password_file"
                .to_owned()
        }
        None => format!("Redis: {error}"),
    };
    StoreError::Unavailable(text)
}
