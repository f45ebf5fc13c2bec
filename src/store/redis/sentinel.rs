//! Whom the sentinels name.
//!
//! One of them is listened to, since it tells of a failover when that happens. It may be wrong, or
//! gone without a word: so its word leads only to a vote of all, and it is asked now and then.

use std::sync::OnceLock;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Cmd, PushInfo, PushKind, Value, from_redis_value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::dial::{Connection, Dial};
use super::failure::Failure;
use super::settings::{Address, Sentinels};
use super::vote::{each, vote};
use crate::clock;

/// On which the sentinels tell of another primary.
const SWITCHED: &str = "+switch-master";
/// The pause after no sentinel could be listened to, or when the one that is contradicts most of
/// them: in a failover some know it earlier.
const PAUSE: Duration = Duration::from_secs(1);
/// After so long without a word the sentinel that is listened to is asked.
const QUIET: Duration = Duration::from_secs(2);

/// The sentinels, watched once somebody waits for what they say.
pub(super) struct Watched {
    voters: Voters,
    watch: OnceLock<Watch>,
}

#[derive(Clone)]
struct Voters {
    sentinels: Sentinels,
    dial: Dial,
    limit: Duration,
}

/// The task that watches, and whom most named last.
struct Watch {
    task: JoinHandle<()>,
    named: watch::Receiver<Option<Address>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The sentinel that is listened to.
struct Listening {
    connection: Connection,
    pushes: UnboundedReceiver<PushInfo>,
}

impl Watched {
    /// `limit` is how long a vote may take, and an answer.
    pub(super) fn new(sentinels: &Sentinels, dial: Dial, limit: Duration) -> Self {
        let sentinels = sentinels.clone();
        Self {
            voters: Voters {
                sentinels,
                dial,
                limit,
            },
            watch: OnceLock::new(),
        }
    }

    /// The primary by the word of most sentinels.
    pub(super) async fn primary(&self) -> Result<Address, Failure> {
        self.voters.vote().await
    }

    /// Whom each of them names.
    pub(super) async fn opinions(&self) -> Vec<(Address, Result<Option<Address>, Failure>)> {
        let Voters {
            sentinels,
            dial,
            limit,
        } = &self.voters;
        let question = self.voters.question();
        let read = |answer, _: &Address| read(answer);
        each(&sentinels.addresses, dial, &question, *limit, read).await
    }

    /// What each of them knows of the primary.
    pub(super) async fn described(&self) -> Vec<Result<Value, Failure>> {
        let Voters {
            sentinels,
            dial,
            limit,
        } = &self.voters;
        let mut question = redis::cmd("SENTINEL");
        question.arg("MASTER").arg(&sentinels.master);
        let as_it_is = |answer, _: &Address| Ok(answer);
        let all = each(&sentinels.addresses, dial, &question, *limit, as_it_is).await;
        all.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Waits until most sentinels name another primary than `known`.
    pub(super) async fn switched(&self, known: &Address) {
        let watch = self.watch.get_or_init(|| {
            let (sender, named) = watch::channel(None);
            let task = tokio::spawn(self.voters.clone().watch(sender));
            Watch { task, named }
        });
        let mut named = watch.named.clone();
        let is_another = |now: &Option<Address>| now.as_ref().is_some_and(|now| now != known);
        if named.wait_for(is_another).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Voters {
    /// Tells for ever whom most sentinels name.
    async fn watch(self, named: watch::Sender<Option<Address>>) {
        loop {
            for address in &self.sentinels.addresses {
                match self.listen(address).await {
                    Ok(listening) => self.heed(listening, &named).await,
                    Err(failure) => {
                        tracing::debug!(sentinel = %address, ?failure, "cannot listen to a sentinel");
                    }
                }
            }
            tokio::time::sleep(clock::jittered(PAUSE)).await;
        }
    }

    /// Lets all vote, now and when the sentinel that is listened to contradicts, until it says
    /// nothing any more.
    async fn heed(&self, mut listening: Listening, named: &watch::Sender<Option<Address>>) {
        loop {
            if let Ok(most) = self.vote().await {
                named.send_replace(Some(most));
            }
            let Some(mut word) = self.ask(&mut listening.connection).await else {
                return;
            };
            while named.borrow().as_ref() == Some(&word) {
                word = match timeout(QUIET, listening.pushes.recv()).await {
                    Ok(Some(push)) if push.kind == PushKind::Message => {
                        switch(push, &self.sentinels.master).unwrap_or(word)
                    }
                    Ok(Some(push)) if push.kind != PushKind::Disconnection => word,
                    Ok(_) => return,
                    Err(_) => match self.ask(&mut listening.connection).await {
                        Some(word) => word,
                        None => return,
                    },
                };
            }
            tokio::time::sleep(clock::jittered(PAUSE)).await;
        }
    }

    async fn listen(&self, address: &Address) -> Result<Listening, Failure> {
        let (sender, pushes) = unbounded_channel();
        let config = AsyncConnectionConfig::new().set_push_sender(sender);
        let mut connection = self.dial.clone().pushed().open(address, config).await?;
        connection.subscribe(SWITCHED, self.limit).await?;
        Ok(Listening { connection, pushes })
    }

    /// Whom one sentinel names; nothing when it does not answer.
    async fn ask(&self, sentinel: &mut Connection) -> Option<Address> {
        let answer = sentinel.ask(&self.question(), self.limit).await;
        read(answer.ok()?).ok().flatten()
    }

    async fn vote(&self) -> Result<Address, Failure> {
        let nobody = format!(
            "the sentinels know no primary {:?}; check store.sentinel.master",
            self.sentinels.master
        );
        let read = |answer, _: &Address| read(answer);
        let (voters, question) = (&self.sentinels.addresses, self.question());
        vote(voters, &self.dial, question, self.limit, read, nobody).await
    }

    fn question(&self) -> Cmd {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME");
        question.arg(&self.sentinels.master);
        question
    }
}

fn read(answer: Value) -> Result<Option<Address>, Failure> {
    let named: Option<(String, u16)> = from_redis_value(answer)?;
    Ok(named.map(|(host, port)| Address { host, port }))
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
