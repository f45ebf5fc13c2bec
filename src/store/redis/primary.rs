//! Which server is the primary now.
//!
//! All our keys share one slot of a cluster, so in every shape one server matters at a time. The
//! library's own clients for sentinels and clusters are not used: the first does not hear when the
//! sentinels change their mind, and the second looks after every node of the cluster, without
//! deadlines of ours.

use std::sync::{Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Cmd, PushInfo, PushKind, Value, from_redis_value};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dial::{Connection, Dial};
use super::failure::{Elsewhere, Failure};
use super::settings::{Address, Sentinels, Settings, Shape};
use crate::clock;

/// The slot of a cluster that all keys with `{kf}` in their names belong to.
const SLOT: u16 = 7088;

/// On which the sentinels tell of another primary.
const SWITCHED: &str = "+switch-master";
/// The pause after no sentinel could be listened to.
const PAUSE: Duration = Duration::from_secs(1);

/// The way to the primary.
pub(super) struct Primary {
    shape: Shape,
    dial: Dial,
    /// For the sentinels, where there are some.
    sentinel_dial: Option<Dial>,
    /// How long finding it may take.
    limit: Duration,
    /// Where it is by the word of somebody who just knew; used once.
    hint: Lock<Option<Address>>,
    /// A sentinel that is listened to.
    listening: Mutex<Option<Listening>>,
}

struct Listening {
    pushes: UnboundedReceiver<PushInfo>,
    _connection: Connection,
}

impl Primary {
    pub(super) fn new(settings: &Settings) -> Self {
        let limit = settings.connect_timeout;
        let dial =
            |login, database, tls: &Option<_>| Dial::new(login, database, tls.clone(), limit);
        Self {
            dial: dial(&settings.login, settings.database, &settings.tls),
            sentinel_dial: match &settings.shape {
                Shape::Sentinel(sentinels) => Some(dial(&sentinels.login, 0, &sentinels.tls)),
                _ => None,
            },
            shape: settings.shape.clone(),
            limit,
            hint: Lock::default(),
            listening: Mutex::default(),
        }
    }

    pub(super) const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Connects to the primary. Whether it is one has still to be asked.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let hint = self.hint().take();
        let address = match (hint, &self.shape) {
            (Some(address), _) => address,
            (None, Shape::Single(address)) => address.clone(),
            (None, Shape::Sentinel(sentinels)) => self.named_by(sentinels).await?,
            (None, Shape::Cluster(nodes)) => self.owner(nodes).await?,
        };
        self.connect_to(&address).await
    }

    /// Connects to a server that a node of the cluster named.
    pub(super) async fn connect_to(&self, address: &Address) -> Result<Connection, Failure> {
        let config = AsyncConnectionConfig::new();
        self.dial.open(address, config).await
    }

    /// Where to ask instead, when the server at `asked` failed so. Who moved is remembered.
    pub(super) fn elsewhere(&self, failure: &Failure, asked: &Address) -> Option<Elsewhere> {
        let Shape::Cluster(_) = self.shape else {
            return None;
        };
        let elsewhere = failure.elsewhere(asked);
        if let Some(Elsewhere::Moved(address)) = &elsewhere {
            *self.hint() = Some(address.clone());
        }
        elsewhere
    }

    /// Waits until a sentinel tells of another primary than `known`. Without sentinels, for ever.
    pub(super) async fn switched(&self, known: &Address) {
        let (Shape::Sentinel(sentinels), Some(dial)) = (&self.shape, &self.sentinel_dial) else {
            return std::future::pending().await;
        };
        let mut slot = self.listening.lock().await;
        loop {
            if slot.is_none() {
                *slot = listen(sentinels, dial, self.limit).await;
            }
            let Some(listening) = &mut *slot else {
                tokio::time::sleep(clock::jittered(PAUSE)).await;
                continue;
            };
            match listening.pushes.recv().await {
                Some(push) if push.kind == PushKind::Message => {
                    let now = switch(push, &sentinels.master);
                    // Where it is now, more than half of them say: one alone is not believed.
                    if now.is_some_and(|now| now != *known) {
                        return;
                    }
                }
                Some(push) if push.kind != PushKind::Disconnection => {}
                _ => *slot = None,
            }
        }
    }

    /// The primary by the word of the sentinels.
    async fn named_by(&self, sentinels: &Sentinels) -> Result<Address, Failure> {
        let mut question = redis::cmd("SENTINEL");
        question
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&sentinels.master);
        let dial = self.sentinel_dial.as_ref().unwrap_or(&self.dial);
        let unknown = format!(
            "the sentinels know no primary {:?}; check store.sentinel.master",
            sentinels.master
        );
        let read = |named, _: &Address| {
            let named: Option<(String, u16)> = from_redis_value(named)?;
            Ok(named.map(|(host, port)| Address { host, port }))
        };
        vote(
            &sentinels.addresses,
            dial,
            question,
            self.limit,
            read,
            unknown,
        )
        .await
    }

    /// The node of the cluster that serves our keys, by the word of `nodes`.
    async fn owner(&self, nodes: &[Address]) -> Result<Address, Failure> {
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let nobody = format!("no node of the Redis cluster serves the keys (slot {SLOT})");
        vote(nodes, &self.dial, question, self.limit, owner, nobody).await
    }

    fn hint(&self) -> MutexGuard<'_, Option<Address>> {
        self.hint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks all `voters` at once; gives the address that more than half of them name, or else the one
/// named most often by those who answer in time. One of them alone may be cut off from the others.
async fn vote(
    voters: &[Address],
    dial: &Dial,
    question: Cmd,
    limit: Duration,
    read: impl Fn(Value, &Address) -> Result<Option<Address>, Failure>,
    nobody: String,
) -> Result<Address, Failure> {
    let mut asking = JoinSet::new();
    for voter in voters {
        let (dial, voter, question) = (dial.clone(), voter.clone(), question.clone());
        asking.spawn(async move {
            let asked = async {
                let mut connection = dial.open(&voter, AsyncConnectionConfig::new()).await?;
                connection.ask(&question, limit).await
            };
            (asked.await, voter)
        });
    }
    let mut named: Vec<(Address, usize)> = Vec::new();
    let mut failure = Failure::Silence(format!("{nobody}, or none answers within {limit:?}"));
    let counting = async {
        while let Some(asked) = asking.join_next().await {
            let Ok((answer, voter)) = asked else {
                continue;
            };
            match answer.and_then(|answer| read(answer, &voter)) {
                Ok(Some(address)) => {
                    if count(&mut named, address) > voters.len() / 2 {
                        return;
                    }
                }
                Ok(None) => failure = Failure::Silence(nobody.clone()),
                Err(other) => failure = other,
            }
        }
    };
    // What was counted until then counts.
    let _late = timeout(limit, counting).await;
    let most = named.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(address, _)| address).ok_or(failure)
}

/// How often `address` was named, this time included.
fn count(named: &mut Vec<(Address, usize)>, address: Address) -> usize {
    if let Some((_, count)) = named.iter_mut().find(|(known, _)| *known == address) {
        *count = count.saturating_add(1);
        return *count;
    }
    named.push((address, 1));
    1
}

/// Who serves [`SLOT`], when the node at `asked` answered `CLUSTER SLOTS` so.
fn owner(slots: Value, asked: &Address) -> Result<Option<Address>, Failure> {
    for range in from_redis_value::<Vec<Vec<Value>>>(slots)? {
        let mut range = range.into_iter();
        let mut next = || range.next().unwrap_or(Value::Nil);
        let (first, last): (u16, u16) = (from_redis_value(next())?, from_redis_value(next())?);
        if (first..=last).contains(&SLOT) {
            let mut node = from_redis_value::<Vec<Value>>(next())?.into_iter();
            let mut next = || node.next().unwrap_or(Value::Nil);
            let host: Option<String> = from_redis_value(next())?;
            let port = from_redis_value(next())?;
            let host = host.unwrap_or_default();
            return Ok(Some(Address::of_node(&host, port, asked)));
        }
    }
    Ok(None)
}

/// Listens to the first sentinel that lets us.
async fn listen(sentinels: &Sentinels, dial: &Dial, limit: Duration) -> Option<Listening> {
    let dial = dial.clone().pushed();
    for address in &sentinels.addresses {
        let (sender, pushes) = unbounded_channel();
        let config = AsyncConnectionConfig::new().set_push_sender(sender);
        let listening = async {
            let mut connection = dial.open(address, config).await?;
            connection.subscribe(SWITCHED, limit).await?;
            Ok::<_, Failure>(connection)
        };
        match listening.await {
            Ok(connection) => {
                return Some(Listening {
                    pushes,
                    _connection: connection,
                });
            }
            Err(failure) => {
                tracing::debug!(sentinel = %address, ?failure, "cannot listen to a sentinel");
            }
        }
    }
    None
}

/// The new primary when the message is of `master`: `<name> <old host> <port> <new host> <port>`.
fn switch(message: PushInfo, master: &str) -> Option<Address> {
    let text = message.data.into_iter().next_back()?;
    let text: String = from_redis_value(text).ok()?;
    let mut words = text.split(' ');
    let named = words.next()?;
    let (host, port) = (words.nth(2)?.to_owned(), words.next()?.parse().ok()?);
    (named == master).then_some(Address { host, port })
}
