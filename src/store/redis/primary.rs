//! Which server is the primary now.
//!
//! All our keys share one slot of a cluster, so in every shape one server matters at a time. The
//! library's own clients for sentinels and clusters are not used: the first does not hear when the
//! sentinels change their mind, and the second looks after every node of the cluster, without
//! deadlines of ours.

use std::sync::{Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Cmd, Value, from_redis_value};

use super::dial::{Connection, Dial};
use super::failure::{Elsewhere, Failure};
use super::sentinel::Watched;
use super::settings::{Address, Settings, Shape};
use super::vote::{each, vote};

/// The slot of a cluster that all keys with `{kf}` in their names belong to.
const SLOT: u16 = 7088;

/// The way to the primary.
pub(super) struct Primary {
    shape: Shape,
    way: Way,
    dial: Dial,
    /// How long finding it may take.
    limit: Duration,
    /// Where it is by the word of somebody who just knew; used once.
    hint: Lock<Option<Address>>,
}

/// Who says where it is.
enum Way {
    Fixed(Address),
    Sentinels(Box<Watched>),
    Nodes(Vec<Address>),
}

impl Primary {
    pub(super) fn new(settings: &Settings) -> Self {
        let limit = settings.connect_timeout;
        let dial =
            |login, database, tls: &Option<_>| Dial::new(login, database, tls.clone(), limit);
        Self {
            dial: dial(&settings.login, settings.database, &settings.tls),
            way: match &settings.shape {
                Shape::Single(address) => Way::Fixed(address.clone()),
                Shape::Sentinel(sentinels) => {
                    let dial = dial(&sentinels.login, 0, &sentinels.tls);
                    Way::Sentinels(Watched::new(sentinels, dial, limit).into())
                }
                Shape::Cluster(nodes) => Way::Nodes(nodes.clone()),
            },
            shape: settings.shape.clone(),
            limit,
            hint: Lock::default(),
        }
    }

    pub(super) const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Connects to the primary. Whether it is one has still to be asked.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let hint = self.hint().take();
        let address = match (hint, &self.way) {
            (Some(address), _) => address,
            (None, Way::Fixed(address)) => address.clone(),
            (None, Way::Sentinels(sentinels)) => sentinels.primary().await?,
            (None, Way::Nodes(nodes)) => self.owner(nodes).await?,
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

    /// Waits until the sentinels name another primary than `known`. Without sentinels, for ever.
    pub(super) async fn switched(&self, known: &Address) {
        match &self.way {
            Way::Sentinels(sentinels) => sentinels.switched(known).await,
            Way::Fixed(_) | Way::Nodes(_) => std::future::pending().await,
        }
    }

    /// Whom each of those who know the primary names; nobody where it has a fixed address.
    pub(super) async fn opinions(&self) -> Vec<(Address, Result<Option<Address>, Failure>)> {
        match &self.way {
            Way::Fixed(_) => Vec::new(),
            Way::Sentinels(sentinels) => sentinels.opinions().await,
            Way::Nodes(nodes) => each(nodes, &self.dial, &slots(), self.limit, owner).await,
        }
    }

    /// What each sentinel knows of the primary, where there are sentinels.
    pub(super) async fn described(&self) -> Vec<Result<Value, Failure>> {
        match &self.way {
            Way::Sentinels(sentinels) => sentinels.described().await,
            Way::Fixed(_) | Way::Nodes(_) => Vec::new(),
        }
    }

    /// The node of the cluster that serves our keys, by the word of `nodes`.
    async fn owner(&self, nodes: &[Address]) -> Result<Address, Failure> {
        let nobody = format!("no node of the Redis cluster serves the keys (slot {SLOT})");
        vote(nodes, &self.dial, slots(), self.limit, owner, nobody).await
    }

    fn hint(&self) -> MutexGuard<'_, Option<Address>> {
        self.hint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slots() -> Cmd {
    let mut question = redis::cmd("CLUSTER");
    question.arg("SLOTS");
    question
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
