//! The gateway's side.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::net::UnixListener as Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::socket_path;
use super::wire::{self, Answer, OfMailbox, PROTOCOL, Question, Request};
use crate::client::{History, Use};
use crate::clock::Day;
use crate::socket;
use crate::store::embedded::Embedded;
use crate::store::{
    Change, CommitError, Committed, Epoch, Follow, Head, Legible, Selection, Store, StoreError,
};

/// The most questions that are answered at a time.
const AT_A_TIME: usize = 64;
/// How long a question, and each line of an answer, may take to go over the socket.
const TRANSFER: Duration = Duration::from_secs(10);
/// The longest wait for events that is granted.
const LONGEST_FOLLOW: Duration = Duration::from_mins(1);
/// How long the gateway may take to act by a change before that is acknowledged all the same.
const ACT: Duration = Duration::from_secs(1);
/// How long answers that are under way may take once the gateway ends.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long to pause when the system has no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket next to an open store.
///
/// It holds the store, so whatever it finds in the socket's place was left by a process that is
/// gone, and may be replaced.
pub struct Listener {
    socket: Bound,
    path: PathBuf,
    /// Whose questions are answered, beside root's.
    owner: u32,
    asked: Asked,
}

/// Who answers.
#[derive(Clone)]
struct Asked {
    store: Arc<Embedded>,
    /// Up to where the gateway acts by what the store knows.
    acts_by: Option<watch::Receiver<Head>>,
}

/// Why the socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the socket {path} for commands cannot be made: {source}")]
pub struct BindError {
    /// Where it should be.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl Listener {
    /// Makes the socket next to the file of `store`, for its owner only.
    ///
    /// # Errors
    ///
    /// [`BindError`], among others when the path is longer than the 107 bytes that the system
    /// allows a socket, and when something that is no socket is in its place.
    pub fn bind(store: Arc<Embedded>) -> Result<Self, BindError> {
        let path = socket_path(store.path());
        match socket::bind(&path) {
            Ok((socket, owner)) => Ok(Self {
                socket,
                path,
                owner,
                asked: Asked {
                    store,
                    acts_by: None,
                },
            }),
            Err(source) => Err(BindError { path, source }),
        }
    }

    /// Acknowledges a change only when the gateway acts by it, as `acts_by` tells: whoever revokes
    /// a key is told so when it is refused.
    #[must_use]
    pub fn acknowledging(mut self, acts_by: watch::Receiver<Head>) -> Self {
        self.asked.acts_by = Some(acts_by);
        self
    }

    /// Answers until `shutdown`; then removes the socket, and gives the answers that are under
    /// way a moment to end.
    ///
    /// # Errors
    ///
    /// When the runtime cannot take the socket.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
        let listener = UnixListener::from_std(self.socket)?;
        let mut answers = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept(), if answers.len() < AT_A_TIME => match accepted {
                    Ok((stream, _)) => {
                        if socket::is_of(&stream, self.owner, "store") {
                            answers.spawn(converse(stream, self.asked.clone()));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a command's connection");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_) = answers.join_next() => {}
            }
        }
        drop(listener);
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the socket");
        }
        let ending = async { while answers.join_next().await.is_some() {} };
        let _ = timeout(LAST_ANSWERS, ending).await;
        Ok(())
    }
}

impl Asked {
    async fn commit(&self, change: &Change) -> Answer {
        match self.store.commit(change).await {
            Ok(Committed { epoch, .. }) => {
                if let Some(mut acts_by) = self.acts_by.clone() {
                    // It is made, whether or not the gateway knows soon.
                    let _ = timeout(ACT, acts_by.wait_for(|known| known.epoch >= epoch)).await;
                }
                Answer::Epoch { epoch }
            }
            Err(CommitError::Conflict(id)) => Answer::Conflict { id },
            Err(CommitError::Store(error)) => error.into(),
        }
    }
}

type Lines = BufWriter<tokio::net::unix::OwnedWriteHalf>;

/// Takes one question and answers it.
async fn converse(stream: UnixStream, asked: Asked) {
    let (questions, answers) = stream.into_split();
    let mut questions = BufReader::new(questions);
    let mut answers = BufWriter::new(answers);
    let done = async {
        let question = match timeout(TRANSFER, wire::read(&mut questions)).await?? {
            Some(request) => understand(request),
            None => return Ok(()),
        };
        match question {
            Ok(question) => answer(asked, question, &mut answers).await?,
            Err(why) => say(&mut answers, &Answer::Unavailable { why }).await?,
        }
        timeout(TRANSFER, answers.flush()).await?
    };
    let done: io::Result<()> = done.await;
    if let Err(error) = done {
        tracing::debug!(%error, "a command went away, or is not one of ours");
    }
}

fn understand(request: Request) -> Result<Question, String> {
    let Request { protocol, ask } = request;
    if protocol != PROTOCOL {
        return Err(format!(
            "the gateway speaks version {PROTOCOL} and the command {protocol}; use the gateway's own version"
        ));
    }
    serde_json::from_value(ask).map_err(|error| format!("the gateway does not understand: {error}"))
}

async fn say(to: &mut Lines, answer: &Answer) -> io::Result<()> {
    timeout(TRANSFER, wire::write(to, answer)).await?
}

async fn answer(asked: Asked, question: Question, to: &mut Lines) -> io::Result<()> {
    let store = &*asked.store;
    let end = match question {
        Question::Commit { change } => asked.commit(&change).await,
        Question::Get { id } => match store.get(&id).await {
            Ok(Some(record)) => Ok(record).into(),
            Ok(None) => Answer::Done,
            Err(error) => error.into(),
        },
        Question::Select { which } => select(store, &which, to).await?,
        Question::Load => return load(store, to).await,
        Question::Follow { after, wait } => {
            match store.follow(after, wait.min(LONGEST_FOLLOW)).await {
                Ok(Follow::Events { events, head }) => {
                    for event in events {
                        say(to, &Answer::Event { event }).await?;
                    }
                    Answer::Head { head }
                }
                Ok(Follow::Gap { now }) => Answer::Gap { now },
                Ok(Follow::Replaced { now }) => Answer::Replaced { now },
                Err(error) => error.into(),
            }
        }
        Question::Reseal { reseal, from } => {
            let found = store.reseal(reseal, from.as_deref()).await;
            one(found, |found| Answer::Resealed { found })
        }
        Question::Trail { after } => return trail(store, after, to).await,
        Question::Head => one(store.head().await, |head| Answer::Head { head }),
        Question::Saw { batch } => {
            one(store.saw(&batch).await, |damaged| Answer::Taken { damaged })
        }
        Question::Sightings => match store.sightings().await {
            Ok(read) => list(to, read, |sighting| Answer::Sighting { sighting }).await?,
            Err(error) => error.into(),
        },
        Question::Sighting { client } => match store.sighting(&client).await {
            Ok(read) => list(to, read, |sighting| Answer::Sighting { sighting }).await?,
            Err(error) => error.into(),
        },
        Question::Uses => match store.uses().await {
            Ok(read) => list(to, read, |used| Answer::Use { used }).await?,
            Err(error) => error.into(),
        },
        Question::LastUse { credential } => match store.last_use(&credential).await {
            Ok(Some(last)) => Answer::Use {
                used: Use { credential, last },
            },
            Ok(None) => Answer::Done,
            Err(error) => error.into(),
        },
        Question::Counts { client, days } => one(store.counts(&client, days).await, counts),
        Question::AllCounts { days } => return all_counts(store, days, to).await,
        Question::Totals { days } => one(store.totals(days).await, counts),
        Question::Spent { phase } => one(store.spent(phase).await, |refusals| Answer::Spent {
            refusals,
        }),
        Question::Mailbox { of } => mailbox(store, of, to).await?,
        Question::Announce { replica } => one(store.announce(&replica).await, |()| Answer::Done),
        Question::Replicas => match store.replicas().await {
            Ok(read) => list(to, read, |heard| Answer::Replica { heard }).await?,
            Err(error) => error.into(),
        },
    };
    say(to, &end).await
}

async fn select(store: &dyn Store, which: &Selection, to: &mut Lines) -> io::Result<Answer> {
    match store.select(which).await {
        Ok(records) => {
            for record in records {
                say(to, &Ok(record).into()).await?;
            }
            Ok(Answer::Done)
        }
        Err(error) => Ok(error.into()),
    }
}

async fn mailbox(store: &dyn Store, of: OfMailbox, to: &mut Lines) -> io::Result<Answer> {
    Ok(match of {
        OfMailbox::Page { name } => one(store.mailbox(&name).await, |page| {
            page.map_or(Answer::Done, |page| Answer::Page { page })
        }),
        OfMailbox::Letters { name } => match store.letters(&name).await {
            Ok(read) => list(to, read, |letter| Answer::Letter { letter }).await?,
            Err(error) => error.into(),
        },
        OfMailbox::Post { posting } => {
            one(store.post(&posting).await, |done| Answer::Posted { done })
        }
    })
}

/// An answer of one line.
fn one<T>(result: Result<T, StoreError>, line: impl FnOnce(T) -> Answer) -> Answer {
    result.map_or_else(Answer::from, line)
}

const fn counts(history: History) -> Answer {
    Answer::Counts { history }
}

/// Sends what could be read and what is damaged, line by line; gives the end.
async fn list<T, Of: ToString>(
    to: &mut Lines,
    read: Legible<T, Of>,
    line: impl Fn(T) -> Answer,
) -> io::Result<Answer> {
    for entry in read.entries {
        say(to, &line(entry)).await?;
    }
    for of in read.damaged {
        let name = of.map(|of| of.to_string());
        say(to, &Answer::Damaged { name }).await?;
    }
    Ok(Answer::Done)
}

/// Sends the things that `lines` come from while they are still read. The store does not wait for
/// the socket: what a slow reader has not taken yet is held in memory.
async fn stream(
    to: &mut Lines,
    reading: impl Future<Output = Result<Answer, StoreError>>,
    mut lines: mpsc::UnboundedReceiver<Answer>,
) -> io::Result<()> {
    let socket = &mut *to;
    let sending = async move {
        while let Some(line) = lines.recv().await {
            say(socket, &line).await?;
        }
        Ok(())
    };
    let (read, sent): (_, io::Result<()>) = tokio::join!(reading, sending);
    sent?;
    say(to, &read.unwrap_or_else(Answer::from)).await
}

async fn load(store: &dyn Store, to: &mut Lines) -> io::Result<()> {
    let (sender, lines) = mpsc::unbounded_channel();
    let reading = async move {
        let head = store
            .load(&mut |loaded| {
                // When nobody takes it any more, the other half has failed and tells why.
                let _ = sender.send(loaded.into());
            })
            .await?;
        Ok(Answer::Head { head })
    };
    stream(to, reading, lines).await
}

async fn trail(store: &dyn Store, after: Epoch, to: &mut Lines) -> io::Result<()> {
    let end = match store.trail(after).await {
        Ok(events) => {
            for event in events {
                say(to, &Answer::Stored { event }).await?;
            }
            Answer::Done
        }
        Err(error) => error.into(),
    };
    say(to, &end).await
}

async fn all_counts(
    store: &dyn Store,
    days: RangeInclusive<Day>,
    to: &mut Lines,
) -> io::Result<()> {
    let (sender, lines) = mpsc::unbounded_channel();
    let reading = async move {
        store
            .all_counts(days, &mut |client, history| {
                let _ = sender.send(Answer::History { client, history });
            })
            .await?;
        Ok(Answer::Done)
    };
    stream(to, reading, lines).await
}
