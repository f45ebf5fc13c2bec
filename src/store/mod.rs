//! The store remembers: clients, certificates, keys, and every change to them.
//!
//! [`Store`] is the port; its documentation is the contract, and `contract` tests it on every
//! adapter. Changes are optimistic: a [`Change`] names the version of every record that it
//! replaces, and is carried out whole or not at all. So the rules of the domain live in the core
//! as functions that make changes, and an adapter only compares, writes and counts.

mod authentic;
pub mod backup;
mod batch;
mod change;
mod days;
pub mod embedded;
mod event;
mod history;
pub mod local;
mod mailbox;
mod origin;
mod record;
pub mod redis;
mod replica;
mod reseal;
mod stored;

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;

pub use authentic::{RecordKey, RecordKeyVersion, RecordKeys, Refusal, Refused, What};
pub use batch::{Batch, BatchId, DayCounts, Spent};
pub use change::{Action, Actor, Change, NotAReason, Reason, Write};
pub use event::Event;
pub use history::{EventHash, Follow, Head, ReadOn, StoredEvent, read_on};
pub use local::open_embedded;
pub use mailbox::{Letter, Page, Posting, SLOTS};
pub use origin::{Origin, host};
pub use record::{Record, RecordId, Selection, Unreadable, Versioned};
pub use replica::{Heard, REPLICAS_KEPT, Replica, ReplicaState};
pub use reseal::{Reseal, Resealed};
pub use stored::Loaded;

use crate::client::{ClientId, CredentialId, History, LastUse, Sighting, Use};
use crate::clock::Day;
use crate::limit::Demand;

/// The number of a change. It grows by exactly one with every change, so whoever has seen all
/// events up to an epoch knows everything up to it, and a missing number is a lost event.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Before any change. As the expected version of a record: it must not exist.
    pub const NONE: Self = Self(0);

    /// The last one that there can be. No store lives to see it, so a later one was made up; and the
    /// directory could not tell it from others, which is the older.
    pub const LAST: Self = Self((1 << 48) - 1);

    /// The epoch of the change after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How many events a store keeps, unless told otherwise. Whoever is further behind loads everything.
pub const EVENTS_KEPT: u64 = 1_000_000;

/// The store does not answer, or answers what cannot be trusted. Never "there is no such record".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer in time, or none that means anything.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// A record or an event that is not authentic, damaged, or written by a newer program.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Anything else that this program cannot read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It has fewer changes than were known.
    #[error("the store lost changes: it is at {}, and was at {}", .has.0, .known.0)]
    Lost {
        /// Up to which one they were known.
        known: Epoch,
        /// Up to which one it has them.
        has: Epoch,
    },
}

/// Why a change was not carried out. In either case nothing of it was, except that after
/// [`StoreError::Unavailable`] it is unknown whether it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A record is no longer the version that the change was made for: read again, decide again.
    #[error("{0} was changed by somebody else")]
    Conflict(RecordId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub epoch: Epoch,
    /// Who else has it already: asked only for a change that takes something away, of a store that
    /// has replicas.
    pub replicas: Option<Acknowledged>,
}

/// How many replicas of the store acknowledged a change in time. A failover to one that did not
/// would undo the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Acknowledged {
    /// So many did.
    pub by: usize,
    /// So many are connected.
    pub of: usize,
}

impl std::fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "acknowledged by {} of {} replicas", self.by, self.of)
    }
}

impl From<Epoch> for Committed {
    fn from(epoch: Epoch) -> Self {
        Self {
            epoch,
            replicas: None,
        }
    }
}

/// What could be read of what was seen, and of whom or what the rest is, which is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legible<T, Of> {
    /// What could be read.
    pub entries: Vec<T>,
    /// Whose each entry is that could not; none when not even that can be told.
    pub damaged: Vec<Option<Of>>,
}

impl<T, Of> Default for Legible<T, Of> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            damaged: Vec::new(),
        }
    }
}

/// A store of records.
///
/// # Contract
///
/// 1. **All or nothing.** [`Store::commit`] checks every expected version, then writes every
///    record under one new epoch together with one event that carries them, or does nothing.
///    It does nothing, too, where the store has lost what the change follows.
/// 2. **One winner.** Of several changes that expect the same version of a record, one is carried
///    out; the others get [`CommitError::Conflict`].
/// 3. **No gaps.** Epochs are 1, 2, 3 …; every epoch has exactly one event, and each event holds the
///    hash of the one before it. [`Store::follow`] gives no event that does not follow on the head
///    that it was given.
/// 4. **Durable.** An acknowledged change survives the death of the process.
/// 5. **Absent is not unavailable.** `Ok(None)` means that there is no such record. Whatever
///    keeps the store from knowing is an error, and a record that is not authentic is an error too:
///    [`StoreError::Refused`]. To [`Store::load`] it costs only itself.
/// 6. **Consistent load.** [`Store::load`] gives every record as of some moment at or after the
///    head that it returns, so that applying the events after that head, skipping what is older
///    than a record's version, gives the present. Clients are as of a moment that is no later than
///    that of the other records: who has a client has all that it was given until that version.
/// 7. **Sightings merge.** [`Store::saw`] keeps the latest time of each kind whatever the order;
///    it makes no event and no epoch.
/// 8. **A batch counts once.** The counts of a batch are added whole, or not at all, and once
///    however often it is told. That needs its writer to tell one batch at a time, with numbers
///    that grow.
/// 9. **Counts last.** The counts of the last [`DAYS`](crate::client::Counts::DAYS) days are kept,
///    and not much more.
/// 10. **Damage costs itself.** A last time that cannot be read is left out and told of, and holds
///     up no other. Asked for alone it is an error: what cannot be read is not what never was.
/// 11. **One client is found among millions.** [`Store::select`] misses no record that was the
///     client's when it was asked, and gives none that is not; what it costs depends on how many
///     are selected, not on how many there are.
/// 12. **A mailbox changes whole.** [`Store::post`] does all that it is given, when the mailbox still
///     has the version that is expected, or nothing; it makes no event and no epoch. What is not
///     authentic in a mailbox is not given.
/// 13. **Gateways hear of each other.** [`Store::replicas`] gives each gateway that told of itself within
///     [`REPLICAS_KEPT`] once, with what it told last; how long ago that was, one clock says for all.
#[async_trait]
pub trait Store: Send + Sync {
    /// Carries out a change.
    ///
    /// # Errors
    ///
    /// [`CommitError::Conflict`] when a version is not the expected one, and [`StoreError::Lost`]
    /// when the store is not as far as [`Change::follows`] says.
    async fn commit(&self, change: &Change) -> Result<Committed, CommitError>;

    /// One record as it is now.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn get(&self, id: &RecordId) -> Result<Option<Versioned>, StoreError>;

    /// Some of the records as they are now.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn select(&self, which: &Selection) -> Result<Vec<Versioned>, StoreError>;

    /// Calls `each` with every record, or why it is refused; gives the head from which to follow.
    ///
    /// # Errors
    ///
    /// When the store fails midway; what was given until then is worth nothing.
    async fn load(&self, each: &mut (dyn FnMut(Loaded) + Send)) -> Result<Head, StoreError>;

    /// Takes a step through all records, counts which record key signed them, and as `reseal` says
    /// signs those anew that the current one did not. That is no change: versions stay, and there
    /// is no event. Begins at the beginning, or goes on at what the last step gave as the next.
    ///
    /// # Errors
    ///
    /// When the store cannot tell, or does not take it.
    async fn reseal(&self, reseal: Reseal, from: Option<&str>) -> Result<Resealed, StoreError>;

    /// The events after `after`, waiting up to `wait` for the first.
    ///
    /// # Errors
    ///
    /// When the store cannot tell; [`StoreError::Refused`] when the next event is not authentic.
    async fn follow(&self, after: Head, wait: Duration) -> Result<Follow, StoreError>;

    /// Some of the events after `after` as they are stored, from the first that is kept; none at the
    /// end.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn trail(&self, after: Epoch) -> Result<Vec<StoredEvent>, StoreError>;

    /// The number and the hash of the last change.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Takes in what a gateway saw: merges the times, adds the counts. Gives how many of the stored
    /// entries that it met were damaged: a time is replaced then, and counts stay as they are, so
    /// that none holds up the rest.
    ///
    /// # Errors
    ///
    /// When the store did not take it, or it is not known whether it did: tell the same batch
    /// again.
    async fn saw(&self, batch: &Batch) -> Result<u64, StoreError>;

    /// What was seen of every client.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn sightings(&self) -> Result<Legible<Sighting, ClientId>, StoreError>;

    /// What was seen of `client`.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn sighting(&self, client: &ClientId) -> Result<Legible<Sighting, ClientId>, StoreError>;

    /// The last use of every credential.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn uses(&self) -> Result<Legible<Use, CredentialId>, StoreError>;

    /// The last use of one credential; none when it was never used. Cheap enough to be asked for a
    /// request.
    ///
    /// # Errors
    ///
    /// When the store cannot tell, or the time is damaged.
    async fn last_use(&self, credential: &CredentialId) -> Result<Option<LastUse>, StoreError>;

    /// The requests of `client` on these days.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn counts(
        &self,
        client: &ClientId,
        days: RangeInclusive<Day>,
    ) -> Result<History, StoreError>;

    /// Calls `each` with the requests of every client on these days; with a client several times
    /// when the days are many, each time with other days.
    ///
    /// # Errors
    ///
    /// When the store fails midway.
    async fn all_counts(
        &self,
        days: RangeInclusive<Day>,
        each: &mut (dyn FnMut(ClientId, History) + Send),
    ) -> Result<(), StoreError>;

    /// The requests of all clients together on these days.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn totals(&self, days: RangeInclusive<Day>) -> Result<History, StoreError>;

    /// Adds to what each of these clients asks of all gateways that use the store, which fades within
    /// [`Budgets::FADING`](crate::limit::Budgets::FADING), and gives what that is now, in the same
    /// order; none when no other gateway uses it. What is lost of it is soon made good.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn demands(&self, _told: &[Demand]) -> Result<Option<Vec<f64>>, StoreError> {
        Ok(None)
    }

    /// How many requests the brownout of this version of a phase refused. Cheap enough to be asked
    /// every few seconds.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn spent(&self, phase: Epoch) -> Result<u64, StoreError>;

    /// Keeps what a gateway tells of itself, in the place of what it told before.
    ///
    /// # Errors
    ///
    /// When the store did not take it: tell it again.
    async fn announce(&self, replica: &Replica) -> Result<(), StoreError>;

    /// The gateways that told of themselves lately, and the names of those that told what cannot be read.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn replicas(&self) -> Result<Legible<Heard, String>, StoreError>;

    /// The page of a mailbox; none when there is no such mailbox. Cheap enough to be asked every few
    /// seconds.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn mailbox(&self, name: &str) -> Result<Option<Page>, StoreError>;

    /// The letters of a mailbox, and the slots of those that are not believed.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    async fn letters(&self, mailbox: &str) -> Result<Legible<Letter, u16>, StoreError>;

    /// Changes a mailbox; whether it had the version that was expected.
    ///
    /// # Errors
    ///
    /// When the store did not take it, or it is not known whether it did: read the page again.
    async fn post(&self, posting: &Posting) -> Result<bool, StoreError>;
}
