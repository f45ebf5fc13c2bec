//! Connections: TCP, TLS, the login, and a deadline for each step.
//!
//! The library makes none of them: with it TLS would come in by another name (native-tls), and its
//! own connection manager keeps a connection whose answers time out, and one that was refused for
//! its password or leads to a server that became a replica: it would not recover.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value, from_redis_value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::failure::Failure;
use super::settings::{Address, Login};
use super::tls::Tls;

/// A key that no version of this program has.
pub(super) const NOBODYS: &str = "kf:{kf}:nobodys";

/// How to be let in by servers of one kind.
#[derive(Clone)]
pub(super) struct Dial {
    login: RedisConnectionInfo,
    tls: Option<Tls>,
    limit: Duration,
}

/// A connection; each clone is the same one. It ends with its last clone, whatever the server
/// still holds back.
#[derive(Clone)]
pub(super) struct Connection {
    asks: MultiplexedConnection,
    /// Where it leads.
    pub(super) address: Address,
    _driver: Arc<Driver>,
}

/// The task that moves the bytes.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Dial {
    /// `limit` is how long a connection may take.
    pub(super) fn new(login: &Login, database: u16, tls: Option<Tls>, limit: Duration) -> Self {
        // The library's name, which shows in CLIENT LIST, a user would need leave to set.
        let mut info = RedisConnectionInfo::default()
            .set_skip_set_lib_name()
            .set_db(database.into());
        if let Some(user) = &login.user {
            info = info.set_username(user);
        }
        if let Some(password) = &login.password {
            info = info.set_password(password.expose());
        }
        Self {
            login: info,
            tls,
            limit,
        }
    }

    /// The same, for connections on which the server speaks unasked.
    pub(super) fn pushed(mut self) -> Self {
        self.login = self.login.set_protocol(redis::ProtocolVersion::RESP3);
        self
    }

    /// Connects to the server at `address`.
    pub(super) async fn open(
        &self,
        address: &Address,
        config: AsyncConnectionConfig,
    ) -> Result<Connection, Failure> {
        match timeout(self.limit, self.connect(address, config)).await {
            Ok(connected) => connected,
            Err(_) => Err(Failure::Silence(format!(
                "no connection to Redis at {address} within {:?}",
                self.limit
            ))),
        }
    }

    async fn connect(
        &self,
        address: &Address,
        config: AsyncConnectionConfig,
    ) -> Result<Connection, Failure> {
        let silent = |why: &dyn std::fmt::Display| {
            Failure::Silence(format!("no connection to Redis at {address}: {why}"))
        };
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = stream.map_err(|error| silent(&error))?;
        stream.set_nodelay(true).map_err(|error| silent(&error))?;
        match &self.tls {
            None => self.log_in(stream, address, config).await,
            Some(tls) => {
                let stream = tls.greet(stream, address).await;
                let stream = stream.map_err(|why| silent(&why))?;
                self.log_in(stream, address, config).await
            }
        }
    }

    async fn log_in(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: &Address,
        config: AsyncConnectionConfig,
    ) -> Result<Connection, Failure> {
        // Every wait has its deadline here, so the library needs none of its own.
        let config = config
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let (asks, driver) =
            MultiplexedConnection::new_with_config(&self.login, stream, config).await?;
        Ok(Connection {
            asks,
            address: address.clone(),
            _driver: Arc::new(Driver(tokio::spawn(driver))),
        })
    }
}

impl Connection {
    /// Asks, and waits no longer than `limit` for the answer.
    pub(super) async fn ask(&mut self, question: &Cmd, limit: Duration) -> Result<Value, Failure> {
        let answer = within(limit, self.asks.send_packed_command(question)).await??;
        Ok(answer.extract_error()?)
    }

    /// Asks several things that must come to the server one right after the other.
    pub(super) async fn ask_all<const N: usize>(
        &mut self,
        questions: [&Cmd; N],
        limit: Duration,
    ) -> Result<[Result<Value, Failure>; N], Failure> {
        let mut all = redis::pipe();
        for question in questions {
            all.add_command(question.clone());
        }
        let answers = within(limit, self.asks.send_packed_commands(&all, 0, N)).await??;
        let mut answers = answers
            .into_iter()
            .map(|answer| Ok(answer.extract_error()?));
        Ok(questions.map(|_| answers.next().unwrap_or(Ok(Value::Nil))))
    }

    /// How many replicas the server has, which must be a primary.
    pub(super) async fn replicas(&mut self, limit: Duration) -> Result<usize, Failure> {
        let role = self.ask(&redis::cmd("ROLE"), limit).await?;
        replicas(role)
    }

    /// Asks a server that must be a primary still.
    pub(super) async fn ask_primary(
        &mut self,
        question: &Cmd,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let [role, answer] = self.ask_all([&redis::cmd("ROLE"), question], limit).await?;
        replicas(role?)?;
        answer
    }

    /// Asks a server that must be a primary still, and have the replicas without which it is told to
    /// take no writes: one that is cut off from them may have been replaced, and what it says be old.
    pub(super) async fn ask_current(
        &mut self,
        question: &Cmd,
        limit: Duration,
    ) -> Result<Value, Failure> {
        // It changes nothing, but is a write. Unlike most it is taken also when memory is full, which
        // would be told instead.
        let mut write = redis::cmd("EXPIRE");
        write.arg(NOBODYS).arg(1);
        let questions = [&redis::cmd("ROLE"), &write, question];
        let [role, written, answer] = self.ask_all(questions, limit).await?;
        replicas(role?)?;
        match written {
            Err(failure) if failure.is_too_few_replicas() => Err(failure),
            _ => answer,
        }
    }

    pub(super) async fn subscribe(
        &mut self,
        channel: &str,
        limit: Duration,
    ) -> Result<(), Failure> {
        Ok(within(limit, self.asks.subscribe(channel)).await??)
    }
}

/// The replicas of the primary that answered `ROLE` so.
fn replicas(role: Value) -> Result<usize, Failure> {
    let role: Vec<Value> = from_redis_value(role)?;
    let [kind, _, replicas] = <[Value; 3]>::try_from(role).map_err(|_| Failure::NotPrimary)?;
    if from_redis_value::<String>(kind)? != "master" {
        return Err(Failure::NotPrimary);
    }
    Ok(from_redis_value::<Vec<Value>>(replicas)?.len())
}

pub(super) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = T>,
) -> Result<T, Failure> {
    timeout(limit, answer)
        .await
        .map_err(|_| Failure::Silence(format!("no answer from Redis within {limit:?}")))
}
