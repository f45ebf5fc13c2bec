//! A command's side.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::wire::{self, Answer, OfMailbox, PROTOCOL, Question, Request};
use crate::client::{ClientId, CredentialId, History, LastUse, Sighting, Use};
use crate::clock::Day;
use crate::store::{
    Batch, Change, CommitError, Committed, Epoch, Follow, Head, Heard, Legible, Letter, Loaded,
    Page, Posting, RecordId, Replica, Reseal, Resealed, Selection, Store, StoreError, StoredEvent,
    Unreadable, Versioned,
};

/// How long the gateway may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// How long it may take from one line of its answer to the next.
const NEXT_LINE: Duration = Duration::from_secs(10);

/// The store of a gateway, through its socket. Each question takes a connection of its own, so
/// that none waits for another and a gateway that was started again is found.
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The store of the gateway that listens on `socket`.
    ///
    /// # Errors
    ///
    /// When none answers there.
    pub async fn connect(socket: &Path) -> Result<Self, StoreError> {
        let socket = socket.to_owned();
        let client = Self { socket };
        client.head().await?;
        Ok(client)
    }

    async fn ask(&self, question: &Question) -> Result<Lines, StoreError> {
        let asking = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            let request = Request {
                protocol: PROTOCOL,
                ask: serde_json::to_value(question)?,
            };
            wire::write(&mut stream, &request).await?;
            stream.flush().await?;
            Ok(stream)
        };
        let stream = in_time(CONNECT, asking).await?;
        let wait = match question {
            Question::Follow { wait, .. } => NEXT_LINE.saturating_add(*wait),
            _ => NEXT_LINE,
        };
        Ok(Lines {
            stream: BufReader::new(stream),
            wait,
        })
    }

    /// Asks what has a single line as answer.
    async fn ask_for_one(&self, question: &Question) -> Result<Answer, StoreError> {
        self.ask(question).await?.next().await
    }

    /// Asks what has a list as answer, of which `entry` takes a line.
    async fn ask_for_list<T, Of: FromStr>(
        &self,
        question: &Question,
        entry: impl Fn(Answer) -> Option<T> + Send,
    ) -> Result<Legible<T, Of>, StoreError> {
        let mut lines = self.ask(question).await?;
        let mut read = Legible::default();
        loop {
            match lines.next().await? {
                Answer::Done => return Ok(read),
                Answer::Damaged { name } => {
                    read.damaged.push(name.and_then(|name| name.parse().ok()));
                }
                line => read.entries.push(entry(line).ok_or_else(unexpected)?),
            }
        }
    }
}

/// The lines of an answer.
struct Lines {
    stream: BufReader<UnixStream>,
    wait: Duration,
}

impl Lines {
    async fn next(&mut self) -> Result<Answer, StoreError> {
        match in_time(self.wait, wire::read(&mut self.stream)).await? {
            Some(Answer::Unavailable { why }) => Err(StoreError::Unavailable(why)),
            Some(Answer::Refused { refused }) => Err(refused.into()),
            Some(Answer::Unreadable { what, why }) => Err(Unreadable { what, why }.into()),
            Some(Answer::Lost { known, has }) => Err(StoreError::Lost { known, has }),
            Some(answer) => Ok(answer),
            None => Err(StoreError::Unavailable(
                "the gateway ended the connection; it answers only its own user and root"
                    .to_owned(),
            )),
        }
    }
}

async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, StoreError> {
    match timeout(limit, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(StoreError::Unavailable(format!("the gateway: {error}"))),
        Err(_) => Err(StoreError::Unavailable(format!(
            "no answer from the gateway within {limit:?}"
        ))),
    }
}

fn sighting(line: Answer) -> Option<Sighting> {
    match line {
        Answer::Sighting { sighting } => Some(sighting),
        _ => None,
    }
}

fn unexpected() -> StoreError {
    StoreError::Unavailable("the gateway gives an answer to another question".to_owned())
}

#[async_trait]
impl Store for Client {
    async fn commit(&self, change: &Change) -> Result<Committed, CommitError> {
        let change = change.clone();
        match self.ask_for_one(&Question::Commit { change }).await? {
            Answer::Epoch { epoch } => Ok(epoch.into()),
            Answer::Conflict { id } => Err(CommitError::Conflict(id)),
            _ => Err(unexpected().into()),
        }
    }

    async fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError> {
        match self.ask_for_one(&Question::Get { id: id.clone() }).await? {
            Answer::Record { record } if record.record.id() == *id => Ok(Some(*record)),
            Answer::Done => Ok(None),
            _ => Err(unexpected()),
        }
    }

    async fn select(&self, which: &Selection) -> Result<Vec<Versioned>, StoreError> {
        let which = which.clone();
        let mut lines = self.ask(&Question::Select { which }).await?;
        let mut selected = Vec::new();
        loop {
            match lines.next().await? {
                Answer::Record { record } => selected.push(*record),
                Answer::Done => return Ok(selected),
                _ => return Err(unexpected()),
            }
        }
    }

    async fn load(&self, each: &mut (dyn FnMut(Loaded) + Send)) -> Result<Head, StoreError> {
        let mut lines = self.ask(&Question::Load).await?;
        loop {
            match lines.next().await? {
                Answer::Record { record } => each(Ok(*record)),
                Answer::NotLoaded { refused } => each(Err(refused)),
                Answer::Head { head } => return Ok(head),
                _ => return Err(unexpected()),
            }
        }
    }

    async fn reseal(&self, reseal: Reseal, from: Option<&str>) -> Result<Resealed, StoreError> {
        let from = from.map(str::to_owned);
        match self.ask_for_one(&Question::Reseal { reseal, from }).await? {
            Answer::Resealed { found } => Ok(found),
            _ => Err(unexpected()),
        }
    }

    async fn follow(&self, after: Head, wait: Duration) -> Result<Follow, StoreError> {
        let mut lines = self.ask(&Question::Follow { after, wait }).await?;
        let mut events = Vec::new();
        loop {
            match lines.next().await? {
                Answer::Event { event } => events.push(event),
                Answer::Head { head } => return Ok(Follow::Events { events, head }),
                Answer::Gap { now } => return Ok(Follow::Gap { now }),
                Answer::Replaced { now } => return Ok(Follow::Replaced { now }),
                _ => return Err(unexpected()),
            }
        }
    }

    async fn trail(&self, after: Epoch) -> Result<Vec<StoredEvent>, StoreError> {
        let mut lines = self.ask(&Question::Trail { after }).await?;
        let mut events = Vec::new();
        loop {
            match lines.next().await? {
                Answer::Stored { event } => events.push(event),
                Answer::Done => return Ok(events),
                _ => return Err(unexpected()),
            }
        }
    }

    async fn head(&self) -> Result<Head, StoreError> {
        match self.ask_for_one(&Question::Head).await? {
            Answer::Head { head } => Ok(head),
            _ => Err(unexpected()),
        }
    }

    async fn saw(&self, batch: &Batch) -> Result<u64, StoreError> {
        let batch = batch.clone();
        match self.ask_for_one(&Question::Saw { batch }).await? {
            Answer::Taken { damaged } => Ok(damaged),
            _ => Err(unexpected()),
        }
    }

    async fn sightings(&self) -> Result<Legible<Sighting, ClientId>, StoreError> {
        self.ask_for_list(&Question::Sightings, sighting).await
    }

    async fn sighting(&self, client: &ClientId) -> Result<Legible<Sighting, ClientId>, StoreError> {
        let client = client.clone();
        let question = Question::Sighting { client };
        self.ask_for_list(&question, sighting).await
    }

    async fn uses(&self) -> Result<Legible<Use, CredentialId>, StoreError> {
        let entry = |line| match line {
            Answer::Use { used } => Some(used),
            _ => None,
        };
        self.ask_for_list(&Question::Uses, entry).await
    }

    async fn last_use(&self, credential: &CredentialId) -> Result<Option<LastUse>, StoreError> {
        let credential = *credential;
        match self.ask_for_one(&Question::LastUse { credential }).await? {
            Answer::Use { used } => Ok(Some(used.last)),
            Answer::Done => Ok(None),
            _ => Err(unexpected()),
        }
    }

    async fn counts(
        &self,
        client: &ClientId,
        days: RangeInclusive<Day>,
    ) -> Result<History, StoreError> {
        let client = client.clone();
        match self.ask_for_one(&Question::Counts { client, days }).await? {
            Answer::Counts { history } => Ok(history),
            _ => Err(unexpected()),
        }
    }

    async fn all_counts(
        &self,
        days: RangeInclusive<Day>,
        each: &mut (dyn FnMut(ClientId, History) + Send),
    ) -> Result<(), StoreError> {
        let mut lines = self.ask(&Question::AllCounts { days }).await?;
        loop {
            match lines.next().await? {
                Answer::History { client, history } => each(client, history),
                Answer::Done => return Ok(()),
                _ => return Err(unexpected()),
            }
        }
    }

    async fn totals(&self, days: RangeInclusive<Day>) -> Result<History, StoreError> {
        match self.ask_for_one(&Question::Totals { days }).await? {
            Answer::Counts { history } => Ok(history),
            _ => Err(unexpected()),
        }
    }

    async fn spent(&self, phase: Epoch) -> Result<u64, StoreError> {
        match self.ask_for_one(&Question::Spent { phase }).await? {
            Answer::Spent { refusals } => Ok(refusals),
            _ => Err(unexpected()),
        }
    }

    async fn announce(&self, replica: &Replica) -> Result<(), StoreError> {
        let replica = replica.clone();
        match self.ask_for_one(&Question::Announce { replica }).await? {
            Answer::Done => Ok(()),
            _ => Err(unexpected()),
        }
    }

    async fn replicas(&self) -> Result<Legible<Heard, String>, StoreError> {
        let heard = |line| match line {
            Answer::Replica { heard } => Some(heard),
            _ => None,
        };
        self.ask_for_list(&Question::Replicas, heard).await
    }

    async fn mailbox(&self, name: &str) -> Result<Option<Page>, StoreError> {
        let name = name.to_owned();
        let of = OfMailbox::Page { name };
        match self.ask_for_one(&Question::Mailbox { of }).await? {
            Answer::Page { page } => Ok(Some(page)),
            Answer::Done => Ok(None),
            _ => Err(unexpected()),
        }
    }

    async fn letters(&self, mailbox: &str) -> Result<Legible<Letter, u16>, StoreError> {
        let name = mailbox.to_owned();
        let of = OfMailbox::Letters { name };
        let entry = |line| match line {
            Answer::Letter { letter } => Some(letter),
            _ => None,
        };
        self.ask_for_list(&Question::Mailbox { of }, entry).await
    }

    async fn post(&self, posting: &Posting) -> Result<bool, StoreError> {
        let posting = posting.clone();
        let of = OfMailbox::Post { posting };
        match self.ask_for_one(&Question::Mailbox { of }).await? {
            Answer::Posted { done } => Ok(done),
            _ => Err(unexpected()),
        }
    }
}
