//! What a Redis tells of itself: facts for the operator, and no judgement. Nothing is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Value, from_redis_value};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dial::{Connection, Dial};
use super::failure::Failure;
use super::primary::Primary;
use super::rights;
use super::settings::{Address, Login, Settings, Shape};
use super::tls::Tls;
use crate::certificate::Facts;
use crate::clock::{self, Timestamp};
use crate::store::StoreError;

/// How often the way there and back is measured.
const ROUNDS: usize = 9;

/// What was found.
#[derive(Debug)]
pub struct Inspection {
    /// Those who know which server is the primary, sentinels or nodes, and whom each names.
    pub voters: Vec<Voter>,
    /// How many sentinels must agree on a failover, as each of them says.
    pub quorums: Vec<Told<u64>>,
    /// The server that takes the changes, or why it cannot be asked.
    pub server: Result<Server, StoreError>,
}

/// Somebody who knows which server is the primary.
#[derive(Debug)]
pub struct Voter {
    /// Where it is.
    pub address: Address,
    /// Whom it names, or why it cannot be asked.
    pub names: Result<Option<Address>, String>,
}

/// A server.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// What it is to others.
    pub role: Role,
    /// When the certificate that it shows ends, where it shows one.
    pub certificate_ends: Option<Timestamp>,
    /// The way there and back, the median of several.
    pub round_trip: Duration,
    /// The commands that are needed, and that our user may not give.
    pub denied: Vec<&'static str>,
    /// What it is, and of which version.
    pub version: Told<(String, String)>,
    /// By how many seconds its clock is ahead of ours.
    pub clock_ahead: Told<i64>,
    /// The lines of `INFO`.
    pub info: Told<BTreeMap<String, String>>,
    /// Settings that `INFO` does not tell.
    pub settings: Told<BTreeMap<String, String>>,
    /// What our user may do and nobody here needs, as rules.
    pub unneeded: Told<Vec<String>>,
    /// The lines of `CLUSTER INFO`, where it is a node of a cluster.
    pub cluster: Option<Told<BTreeMap<String, String>>>,
}

/// What a server is to others.
#[derive(Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes changes.
    Primary {
        /// By how many bytes of changes each connected replica is behind.
        behind: Vec<u64>,
    },
    /// It repeats what another one does.
    Replica {
        /// Which.
        of: String,
        /// How its connection is.
        link: String,
    },
    /// It serves something else.
    Other(String),
}

/// What was asked, unless it is not known.
pub type Told<T> = Result<T, Untold>;

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untold {
    /// The user may not ask it.
    NotAllowed,
    /// It was not answered.
    Failed(String),
}

/// Asks the Redis of `settings` what it tells of itself; what our user may not know, of
/// `administrator`, if there is one.
///
/// # Errors
///
/// When `administrator` is not let in.
pub async fn inspect(
    settings: &Settings,
    administrator: Option<&Login>,
) -> Result<Inspection, StoreError> {
    let primary = Primary::new(settings);
    let (voters, quorums, server) = tokio::join!(primary.opinions(), primary.described(), async {
        let ours = primary.connect().await?;
        let theirs = match administrator {
            Some(login) => Some(connect_as(login, settings, &ours.address).await),
            None => None,
        };
        Ok::<_, Failure>((ours, theirs))
    });
    let explain = |failure: &Failure| failure.explain(&settings.shape);
    let voters = voters.into_iter().map(|(address, names)| Voter {
        address,
        names: names.map_err(|failure| explain(&failure).to_string()),
    });
    let server = match server {
        Ok((_, Some(Err(failure)))) => return Err(explain(&failure)),
        Ok((ours, theirs)) => {
            let mut ours = Asker::new(ours, settings);
            let theirs = theirs.and_then(Result::ok);
            let theirs = theirs.map(|connection| Asker::new(connection, settings));
            look(&mut ours, theirs, settings).await
        }
        Err(failure) => Err(failure),
    };
    Ok(Inspection {
        voters: voters.collect(),
        quorums: quorums.into_iter().map(quorum).collect(),
        server: server.map_err(|failure| explain(&failure)),
    })
}

async fn connect_as(
    login: &Login,
    settings: &Settings,
    address: &Address,
) -> Result<Connection, Failure> {
    let dial = Dial::new(login, 0, settings.tls.clone(), settings.connect_timeout);
    dial.open(address, AsyncConnectionConfig::new()).await
}

/// Asks one thing after the other, and nothing more once there was no answer.
struct Asker {
    connection: Connection,
    limit: Duration,
    silent: Option<String>,
}

impl Asker {
    fn new(connection: Connection, settings: &Settings) -> Self {
        Self {
            connection,
            limit: settings.response_timeout,
            silent: None,
        }
    }

    async fn ask<T: FromRedisValue>(&mut self, question: &Cmd) -> Told<T> {
        if let Some(why) = &self.silent {
            return Err(Untold::Failed(why.clone()));
        }
        let answer = self.connection.ask(question, self.limit).await;
        if let Err(Failure::Silence(why)) = &answer {
            self.silent = Some(why.clone());
        }
        read(answer)
    }

    async fn words<T: FromRedisValue>(&mut self, question: &str) -> Told<T> {
        self.ask(&words(question)).await
    }
}

fn words(question: &str) -> Cmd {
    let mut question = question.split(' ');
    let mut command = redis::cmd(question.next().unwrap_or_default());
    command.arg(question.collect::<Vec<_>>());
    command
}

fn read<T: FromRedisValue>(answer: Result<Value, Failure>) -> Told<T> {
    let answer = answer.and_then(|answer| Ok(from_redis_value(answer)?));
    answer.map_err(|failure| match failure {
        Failure::Refusal(error) if error.code() == Some("NOPERM") => Untold::NotAllowed,
        Failure::Refusal(error) => Untold::Failed(error.to_string()),
        Failure::Silence(why) => Untold::Failed(why),
        Failure::NotPrimary => Untold::Failed("it is a read-only replica".to_owned()),
    })
}

async fn look(
    ours: &mut Asker,
    theirs: Option<Asker>,
    settings: &Settings,
) -> Result<Server, Failure> {
    let (role, round_trip) = role_and_round_trip(ours).await?;
    let is_cluster = matches!(settings.shape, Shape::Cluster(_));
    let mut denied = Vec::new();
    for (name, command) in rights::needed(is_cluster) {
        if ours.ask::<Value>(&command).await == Err(Untold::NotAllowed) {
            denied.push(name);
        }
    }
    let address = ours.connection.address.clone();
    let certificate_ends = match &settings.tls {
        Some(tls) => timeout(settings.connect_timeout, certificate_ends(tls, &address))
            .await
            .unwrap_or_default(),
        None => None,
    };
    // Everybody is told the version; for the rest one needs leave.
    let version = ours.words::<BTreeMap<String, Value>>("HELLO").await;
    let mut theirs = theirs;
    let asker = theirs.as_mut().unwrap_or(ours);
    let user = settings.login.user.as_deref().unwrap_or("default");
    Ok(Server {
        address,
        role,
        certificate_ends,
        round_trip,
        denied,
        version: version.map(|told| (text(&told, "server"), text(&told, "version"))),
        clock_ahead: clock_ahead(asker).await,
        info: asker.words("INFO").await.map(|told: String| lines(&told)),
        settings: hidden_settings(asker).await,
        unneeded: unneeded(asker, user).await,
        cluster: if is_cluster {
            let told = asker.words("CLUSTER INFO").await;
            Some(told.map(|told: String| lines(&told)))
        } else {
            None
        },
    })
}

async fn certificate_ends(tls: &Tls, address: &Address) -> Option<Timestamp> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = tls.greet(stream.ok()?, address).await.ok()?;
    let shown = stream.ssl().peer_certificate()?;
    Some(Facts::of(&shown).ok()?.not_after)
}

async fn role_and_round_trip(ours: &mut Asker) -> Result<(Role, Duration), Failure> {
    let mut times = Vec::with_capacity(ROUNDS);
    let mut role = Value::Nil;
    for _ in 0..ROUNDS {
        let begun = clock::monotonic();
        role = ours.connection.ask(&words("ROLE"), ours.limit).await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
    Ok((read_role(role)?, median))
}

fn read_role(role: Value) -> Result<Role, Failure> {
    let mut role = from_redis_value::<Vec<Value>>(role)?.into_iter();
    let mut next = || role.next().unwrap_or(Value::Nil);
    let kind: String = from_redis_value(next())?;
    Ok(match kind.as_str() {
        "master" => {
            let written: u64 = from_redis_value(next())?;
            let replicas: Vec<(String, String, u64)> = from_redis_value(next())?;
            let behind = |(_, _, has): &(String, String, u64)| written.saturating_sub(*has);
            Role::Primary {
                behind: replicas.iter().map(behind).collect(),
            }
        }
        "slave" => {
            let (host, port): (String, u16) =
                (from_redis_value(next())?, from_redis_value(next())?);
            let of = Address { host, port };
            let link = from_redis_value(next())?;
            let of = of.to_string();
            Role::Replica { of, link }
        }
        _ => Role::Other(kind),
    })
}

/// Both are in whole seconds, and ours is read on both sides.
async fn clock_ahead(asker: &mut Asker) -> Told<i64> {
    let before = clock::now();
    let (theirs, _): (i64, i64) = asker.words("TIME").await?;
    let theirs = Timestamp::from_unix(theirs);
    let after = clock::now();
    Ok(if theirs < before {
        theirs.seconds_since(before)
    } else {
        theirs.seconds_since(after).max(0)
    })
}

/// Each by itself: all of them would hold secrets.
async fn hidden_settings(asker: &mut Asker) -> Told<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for name in ["save", "appendfsync", "min-replicas-*"] {
        let told: BTreeMap<String, String> = asker.words(&format!("CONFIG GET {name}")).await?;
        settings.extend(told);
    }
    Ok(settings)
}

async fn unneeded(asker: &mut Asker, user: &str) -> Told<Vec<String>> {
    let mut question = redis::cmd("ACL");
    question.arg("GETUSER").arg(user);
    let told: BTreeMap<String, Value> = asker.ask(&question).await?;
    let mut unneeded = rights::unneeded(&text(&told, "commands"));
    // A list of patterns, until Redis 7 made it one text of them.
    let keys = told.get("keys").cloned().unwrap_or(Value::Nil);
    let keys: Vec<String> = from_redis_value(keys).unwrap_or_else(|_| vec![text(&told, "keys")]);
    if keys.iter().any(|keys| keys == "*" || keys == "~*") {
        unneeded.push("~*".to_owned());
    }
    Ok(unneeded)
}

fn quorum(described: Result<Value, Failure>) -> Told<u64> {
    let told: BTreeMap<String, String> = read(described)?;
    let quorum = told.get("quorum").and_then(|quorum| quorum.parse().ok());
    quorum.ok_or_else(|| Untold::Failed("it names no quorum".to_owned()))
}

fn text(told: &BTreeMap<String, Value>, name: &str) -> String {
    let value = told.get(name).cloned().unwrap_or(Value::Nil);
    from_redis_value(value).unwrap_or_default()
}

fn lines(told: &str) -> BTreeMap<String, String> {
    let pairs = told.lines().filter_map(|line| line.split_once(':'));
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.trim().to_owned());
    pairs.map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_is_told() {
        let text = |text: &str| Value::BulkString(text.into());
        let replica = |at: &str| Value::Array(vec![text("10.0.0.2"), text("6379"), text(at)]);
        let replicas = Value::Array(vec![replica("90"), replica("100")]);
        let told = Value::Array(vec![text("master"), Value::Int(100), replicas]);
        let behind = vec![10, 0];
        assert_eq!(read_role(told).unwrap(), Role::Primary { behind });
        let port = Value::Int(6379);
        let words = vec![text("slave"), text("10.0.0.1"), port, text("connect")];
        let (of, link) = ("10.0.0.1:6379".to_owned(), "connect".to_owned());
        let told = read_role(Value::Array(words)).unwrap();
        assert_eq!(told, Role::Replica { of, link });
    }
}
