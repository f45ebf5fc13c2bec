//! What is written for a client, by the same changes as by the commands for one.

use std::slice::Chunks;

use super::row::{Row, Standing, What};
use super::{Plan, Planned};
use crate::certificate::{self, AliasRecord, CertificateRecord};
use crate::client::{ClientId, ClientRecord, Holdings};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Record, RecordId, Write};

/// How many rows of a client one change takes in.
const AT_ONCE: usize = 50;

/// A client with some of its rows.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    client: &'a Planned,
    rows: &'a [Row],
    /// Whether rows of the client were written before.
    goes_on: bool,
}

/// Records of the store that a piece is decided on.
#[derive(Debug, Default)]
pub struct Known {
    /// The client, with all that is its own.
    pub holdings: Option<Holdings>,
    /// The certificates of the piece's rows.
    pub certificates: Vec<(Epoch, CertificateRecord)>,
    /// Their other names.
    pub aliases: Vec<(Epoch, AliasRecord)>,
}

impl Plan {
    /// What is to be written, a piece at a time.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let pieces = self.of_clients().flat_map(Piece::split);
        pieces.filter(Piece::has_work)
    }

    /// Every client with all of its rows.
    pub(super) fn of_clients(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut rest = self.rows.as_slice();
        (0_u32..).zip(&self.clients).map(move |(at, client)| {
            let end = rest.partition_point(|row| row.client <= at);
            let (rows, after) = rest.split_at(end);
            rest = after;
            Piece {
                client,
                rows,
                goes_on: false,
            }
        })
    }
}

impl<'a> Piece<'a> {
    fn split(self) -> impl Iterator<Item = Self> {
        let parts: Chunks<'a, Row> = self.rows.chunks(AT_ONCE);
        let none = self.rows.is_empty().then_some(&[][..]);
        parts
            .chain(none)
            .enumerate()
            .map(move |(number, rows)| Self {
                rows,
                goes_on: number > 0,
                ..self
            })
    }

    /// Whose it is.
    #[must_use]
    pub const fn id(&self) -> &'a ClientId {
        &self.client.id
    }

    /// Whether the store has no such client.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        !self.client.is_there
    }

    pub(super) const fn wants_key(&self) -> bool {
        self.client.wants_key
    }

    /// Whether anything of the client is taken over, or is there already.
    pub(super) fn is_taken(&self) -> bool {
        let is_refused = |row: &Row| row.standing == Standing::Refused;
        let all_refused = !self.rows.is_empty() && self.rows.iter().all(is_refused);
        self.client.why_not.is_none() && !all_refused
    }

    fn has_work(&self) -> bool {
        let is_new = self.is_new() && !self.goes_on;
        self.is_taken() && (is_new || self.pending().next().is_some())
    }

    fn pending(&self) -> impl Iterator<Item = &'a Row> + use<'a> {
        self.rows.iter().filter(|row| row.is_pending())
    }

    /// How many rows are written with it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.pending().count()
    }

    /// What is done.
    #[must_use]
    pub fn action(&self) -> Action {
        let mut whats = self.pending().map(|row| &row.what).peekable();
        if whats.peek().is_none() {
            Action::ClientAdded
        } else if whats.all(|what| matches!(what, What::Alias(_))) {
            Action::CertificateAnnounced
        } else {
            Action::CertificateAdded
        }
    }

    /// Whether rows of the client were written with the piece before.
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Whether it can be decided without a look at the store.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let mut pending = self.pending();
        self.is_new() && !self.goes_on && pending.all(|row| row.standing == Standing::New)
    }

    /// The records beside the client's own that it is decided on.
    #[must_use]
    pub fn records(&self) -> Vec<RecordId> {
        let ids = self.pending().map(|row| match &row.what {
            What::Fingerprint(fingerprint) => RecordId::Certificate(*fingerprint),
            What::Certificate(handed) => RecordId::Certificate(handed.fingerprint),
            What::Alias(alias) => RecordId::Alias(*alias),
        });
        ids.collect()
    }

    /// The writes that it comes to. All of a certificate is recorded where `keeps_whole`.
    ///
    /// # Errors
    ///
    /// Why what the store has meanwhile does not allow it.
    pub fn writes(
        &self,
        mut known: Known,
        keeps_whole: bool,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Vec<Write>, String> {
        let mut to = known.holdings.take().unwrap_or_else(|| self.nobody(now));
        let mut writes = Vec::new();
        if to.client.0 == Epoch::NONE {
            writes.push(Write::create(to.client.1.clone()));
        }
        for row in self.pending() {
            let change = change(&row.what, &known, &to, keeps_whole, actor, now)?;
            for write in change.into_iter().flat_map(|change| change.writes) {
                learn(&mut to, &write);
                lay(&mut writes, write);
            }
        }
        Ok(writes)
    }

    /// The client before it is made.
    fn nobody(&self, now: Timestamp) -> Holdings {
        let id = self.client.id.clone();
        let description = self.client.description.clone().map(String::from);
        let record = ClientRecord {
            tags: self.client.tags.clone(),
            ..ClientRecord::new(id, description, now)
        };
        Holdings {
            client: (Epoch::NONE, record),
            certificates: Vec::new(),
            keys: Vec::new(),
        }
    }
}

fn change(
    what: &What,
    known: &Known,
    to: &Holdings,
    keeps_whole: bool,
    actor: &Actor,
    now: Timestamp,
) -> Result<Option<Change>, String> {
    let handed = match what {
        What::Alias(alias) => {
            let mut aliases = known.aliases.iter();
            let known = aliases.find(|(_, record)| record.alias == *alias).cloned();
            let change = certificate::announce(*alias, known, to, actor.clone(), now);
            return change.map_err(|why| why.to_string());
        }
        What::Fingerprint(fingerprint) => certificate::Handed::by(*fingerprint),
        What::Certificate(handed) if keeps_whole => certificate::Handed::clone(handed),
        What::Certificate(handed) => certificate::Handed::clone(handed).forgetting_whole(),
    };
    let mut certificates = known.certificates.iter();
    let known = certificates.find(|(_, record)| record.fingerprint == handed.fingerprint);
    let change = certificate::give(&handed, known.cloned(), to, actor.clone(), now);
    change.map_err(|why| why.to_string())
}

/// What the client is given by this piece goes with the next of it: one key id for all.
fn learn(to: &mut Holdings, write: &Write) {
    match &write.record {
        Record::Certificate(record) => to.certificates.push((write.expected, record.clone())),
        Record::Key(record) => to.keys.push((write.expected, record.clone())),
        Record::Client(_) | Record::Alias(_) | Record::Phase(_) => {}
    }
}

/// One write to a record: what it becomes last, of what it was first.
fn lay(writes: &mut Vec<Write>, write: Write) {
    let id = write.record.id();
    match writes.iter_mut().find(|known| known.record.id() == id) {
        Some(known) => known.record = write.record,
        None => writes.push(write),
    }
}
