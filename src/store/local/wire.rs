//! What is said on the socket: one JSON object a line. A connection is for one question; the
//! answer is any number of lines with things, and one that ends it.

use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::client::{ClientId, CredentialId, History, Sighting, Use};
use crate::clock::Day;
use crate::store::{
    Batch, Change, Epoch, Event, Head, Heard, Letter, Loaded, Page, Posting, RecordId, Refused,
    Replica, Reseal, Resealed, Selection, StoreError, StoredEvent, Unreadable, Versioned,
};

/// The version of what is said. The two programs may be of different versions.
pub(super) const PROTOCOL: u32 = 2;

/// The longest line. A change with ten thousand records is about a third of this.
const LONGEST_LINE: u64 = 16 << 20;

/// The line that begins a connection.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) protocol: u32,
    /// Read only once the protocol is known to be ours.
    pub(super) ask: serde_json::Value,
}

/// What [`Store`](crate::store::Store) can be asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", deny_unknown_fields)]
pub(super) enum Question {
    Commit {
        change: Change,
    },
    Get {
        id: RecordId,
    },
    Select {
        which: Selection,
    },
    Load,
    Reseal {
        reseal: Reseal,
        from: Option<String>,
    },
    Follow {
        after: Head,
        wait: Duration,
    },
    Trail {
        after: Epoch,
    },
    Head,
    Saw {
        batch: Batch,
    },
    Sightings,
    Sighting {
        client: ClientId,
    },
    Uses,
    LastUse {
        credential: CredentialId,
    },
    Counts {
        client: ClientId,
        days: RangeInclusive<Day>,
    },
    AllCounts {
        days: RangeInclusive<Day>,
    },
    Totals {
        days: RangeInclusive<Day>,
    },
    Spent {
        phase: Epoch,
    },
    Mailbox {
        of: OfMailbox,
    },
    Announce {
        replica: Replica,
    },
    Replicas,
}

/// What it can be asked of a mailbox.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", deny_unknown_fields)]
pub(super) enum OfMailbox {
    Page { name: String },
    Letters { name: String },
    Post { posting: Posting },
}

/// A line of an answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub(super) enum Answer {
    /// A thing, with more to come.
    Record {
        record: Box<Versioned>,
    },
    /// A record in whose place there is one that is not believed.
    NotLoaded {
        refused: Refused,
    },
    Event {
        event: Event,
    },
    Stored {
        event: StoredEvent,
    },
    Sighting {
        sighting: Sighting,
    },
    Use {
        used: Use,
    },
    Damaged {
        name: Option<String>,
    },
    History {
        client: ClientId,
        history: History,
    },
    /// The end of an answer.
    Done,
    Epoch {
        epoch: Epoch,
    },
    Resealed {
        found: Resealed,
    },
    Head {
        head: Head,
    },
    Gap {
        now: Head,
    },
    Replaced {
        now: Head,
    },
    Counts {
        history: History,
    },
    Spent {
        refusals: u64,
    },
    Page {
        page: Page,
    },
    Letter {
        letter: Letter,
    },
    Posted {
        done: bool,
    },
    Replica {
        heard: Heard,
    },
    Taken {
        damaged: u64,
    },
    Conflict {
        id: RecordId,
    },
    Unavailable {
        why: String,
    },
    Refused {
        refused: Refused,
    },
    Unreadable {
        what: String,
        why: String,
    },
    Lost {
        known: Epoch,
        has: Epoch,
    },
}

impl From<Loaded> for Answer {
    fn from(loaded: Loaded) -> Self {
        match loaded {
            Ok(record) => Self::Record {
                record: Box::new(record),
            },
            Err(refused) => Self::NotLoaded { refused },
        }
    }
}

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::Unavailable { why },
            StoreError::Refused(refused) => Self::Refused { refused },
            StoreError::Unreadable(Unreadable { what, why }) => Self::Unreadable { what, why },
            StoreError::Lost { known, has } => Self::Lost { known, has },
        }
    }
}

/// Writes one line. It may stay in the buffer of `to`.
pub(super) async fn write<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    what: &T,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    if u64::try_from(line.len()).is_ok_and(|length| length <= LONGEST_LINE) {
        to.write_all(&line).await
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "it takes {} bytes, and {LONGEST_LINE} are the most; make several smaller changes",
                line.len()
            ),
        ))
    }
}

/// Reads one line; nothing at the end.
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    if from.take(LONGEST_LINE).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a line broke off, or is too long",
        ));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_an_end_does_not_fill_the_memory() {
        let endless = tokio::io::repeat(b' ');
        let mut endless = tokio::io::BufReader::new(endless);
        let error = read::<Request>(&mut endless).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_line_that_breaks_off_is_an_error_and_the_end_is_not() {
        let mut torn = &br#"{"is":"done"}"#[..];
        assert!(read::<Answer>(&mut torn).await.is_err());
        assert!(read::<Answer>(&mut &b""[..]).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_sent() {
        let why = " ".repeat(1 << 24);
        let mut sent = Vec::new();
        let error = write(&mut sent, &Answer::Unavailable { why }).await;
        assert!(error.is_err() && sent.is_empty());
    }
}
