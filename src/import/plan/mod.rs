//! What was read, put together and compared with what the store has.
//!
//! It stays small for a million lines: a row holds what identifies a client and where it stands. What
//! is there already is left alone, so that an import that broke off is done again and goes on.

mod counts;
mod meet;
mod piece;
mod row;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use sha2::{Digest, Sha256};

pub use counts::Counts;
pub use piece::{Known, Piece};
pub use row::Place;

use super::name::id_of;
use super::{Entry, Found, Issued, Mark, Why};
use crate::certificate::Handed;
use crate::client::{ClientId, MOST_TAGS, Tags};
use crate::text::is_hostile;
use row::{Row, Standing, What};

/// The longest description that a client gets.
const LONGEST_DESCRIPTION: usize = 200;

/// Something that is not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// Where it stands.
    pub place: Place,
    /// Why.
    pub why: Why,
}

/// What is to become of what was read.
#[derive(Debug)]
pub struct Plan {
    issued: Issued,
    rows: Vec<Row>,
    clients: Vec<Planned>,
    by_id: HashMap<ClientId, u32>,
    /// The rows by what identifies, once all are there.
    by_mark: Vec<u32>,
    misread: Vec<Misread>,
    counts: Counts,
}

/// A client that was read of.
#[derive(Debug)]
struct Planned {
    id: ClientId,
    /// Of what the id was derived, in short: two that differ are no one client.
    origin: Option<[u8; 16]>,
    description: Option<Box<str>>,
    tags: Tags,
    place: Place,
    /// Whether the store has it.
    is_there: bool,
    /// Whether its key is to be issued anew.
    wants_key: bool,
    /// Why nothing of it is taken over.
    why_not: Option<Box<Why>>,
}

impl Plan {
    /// Nothing yet. Subjects, common names and serial numbers are looked up in `issued`.
    #[must_use]
    pub fn new(issued: Issued) -> Self {
        Self {
            issued,
            rows: Vec::new(),
            clients: Vec::new(),
            by_id: HashMap::new(),
            by_mark: Vec::new(),
            misread: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes in what was found at a place.
    pub fn take(&mut self, place: Place, found: Found) {
        let taken = match found {
            Found::Entry(entry) => self.entry(place, *entry),
            Found::Denied => {
                self.counts.denied = self.counts.denied.saturating_add(1);
                Ok(())
            }
            Found::Refused(why) => Err(why),
        };
        if let Err(why) = taken {
            self.misread.push(Misread { place, why });
        }
    }

    /// Takes in that so many lines were read.
    pub fn count_lines(&mut self, lines: u32) {
        self.counts.lines = self.counts.lines.saturating_add(lines.into());
    }

    fn entry(&mut self, place: Place, entry: Entry) -> Result<(), Why> {
        let (id, derived) = id_of(entry.called.as_deref(), &entry.mark)?;
        let whats = self.whats(&entry.mark)?;
        let client = self.client(place, id, derived, entry)?;
        for what in whats {
            self.rows.push(Row::new(what, client, place));
        }
        Ok(())
    }

    /// What `mark` comes to: certificates by their SHA-256 wherever that is known.
    fn whats(&self, mark: &Mark) -> Result<Vec<What>, Why> {
        let certificate = |handed: &Handed| What::Certificate(Box::new(handed.clone()));
        Ok(match mark {
            Mark::Fingerprint(fingerprint) => vec![What::Fingerprint(*fingerprint)],
            Mark::Certificate(handed) => vec![certificate(handed)],
            Mark::Sha1(alias) => vec![match self.issued.by_sha1(alias) {
                Some(handed) => certificate(handed),
                None => What::Alias(*alias),
            }],
            Mark::Described(told, text) => {
                let found = self.issued.find(*told, text)?;
                found.into_iter().map(certificate).collect()
            }
            Mark::Key | Mark::Nothing => Vec::new(),
        })
    }

    fn client(
        &mut self,
        place: Place,
        id: ClientId,
        derived: Option<Box<str>>,
        entry: Entry,
    ) -> Result<u32, Why> {
        // Whoever is only let in is told apart by what identifies him.
        let origin = match (&entry.called, &entry.mark) {
            (None, Mark::Described(_, text)) => Some(short(text)),
            (None, Mark::Certificate(handed)) => told_by(handed).as_deref().map(short),
            (None, _) => None,
            (Some(_), _) => derived.as_deref().map(short),
        };
        let is_laden = |tags: &Tags| tags.len() > MOST_TAGS;
        let laden = || Why::Syntax("a client has at most 32 tags").into();
        let wants_key = entry.mark == Mark::Key;
        if let Some(&at) = self.by_id.get(&id) {
            let client = self.clients.get_mut(at as usize).ok_or(Why::Nameless)?;
            if client.origin != origin {
                client.why_not = Some(Why::OneId(id).into());
            }
            client.wants_key |= wants_key;
            client.tags.extend(entry.tags);
            if is_laden(&client.tags) {
                client.why_not = Some(laden());
            }
            return Ok(at);
        }
        let at = u32::try_from(self.clients.len()).map_err(|_| Why::File("it is too large"))?;
        let told = match (entry.called, entry.mark) {
            (None, Mark::Described(_, text)) => Some(text),
            (None, Mark::Certificate(handed)) => told_by(&handed).or(derived),
            _ => derived,
        };
        let why_not = is_laden(&entry.tags).then(laden);
        let description = entry.description.or(told);
        let description = description.map(|text| shown(&text));
        self.by_id.insert(id.clone(), at);
        self.clients.push(Planned {
            id,
            origin,
            description,
            tags: entry.tags,
            place,
            is_there: false,
            wants_key,
            why_not,
        });
        Ok(at)
    }

    /// Ends the reading: finds what stands twice.
    pub fn close(&mut self) {
        self.rows.sort_by_key(|row| row.client);
        self.rows.shrink_to_fit();
        let mut by_mark: Vec<_> = (0_u32..).take(self.rows.len()).collect();
        let key = |at: &u32| {
            self.rows
                .get(*at as usize)
                .map(|row| (row.what.key(), row.place))
        };
        by_mark.sort_unstable_by_key(key);
        let twice: Vec<_> = by_mark
            .chunk_by(|a, b| key(a).map(|(mark, _)| mark) == key(b).map(|(mark, _)| mark))
            .filter(|same| same.len() > 1)
            .map(<[u32]>::to_vec)
            .collect();
        for same in twice {
            self.settle_twice(&same);
        }
        self.by_mark = by_mark;
    }

    /// Of several rows of one certificate, the first that knows the most of it counts, unless they are
    /// of several clients.
    fn settle_twice(&mut self, same: &[u32]) {
        let clients: Vec<_> = same
            .iter()
            .filter_map(|at| self.row(*at))
            .map(|row| row.client)
            .collect();
        let first = clients.first().copied();
        if let Some(other) = clients
            .iter()
            .copied()
            .find(|client| Some(*client) != first)
        {
            for at in same {
                let of = self.row(*at).map(|row| row.client);
                let another = if of == first { Some(other) } else { first };
                if let Some(id) = another
                    .and_then(|another| self.planned(another))
                    .map(|it| it.id.clone())
                {
                    self.refuse(*at, Why::TwoClients(id));
                }
            }
            return;
        }
        let is_whole = |at: &&u32| {
            self.row(**at)
                .is_some_and(|row| matches!(row.what, What::Certificate(_)))
        };
        let kept = same.iter().find(is_whole).or_else(|| same.first()).copied();
        for at in same.iter().filter(|at| Some(**at) != kept) {
            if let Some(row) = self.rows.get_mut(*at as usize) {
                row.standing = Standing::Duplicate;
            }
        }
    }

    fn row(&self, at: u32) -> Option<&Row> {
        self.rows.get(at as usize)
    }

    fn planned(&self, at: u32) -> Option<&Planned> {
        self.clients.get(at as usize)
    }

    fn refuse(&mut self, at: u32, why: Why) {
        if let Some(row) = self.rows.get_mut(at as usize)
            && !matches!(row.standing, Standing::Refused)
        {
            row.standing = Standing::Refused;
            let place = row.place;
            self.misread.push(Misread { place, why });
        }
    }

    /// What is not taken over, in the order in which it stands.
    #[must_use]
    pub fn misread(&self) -> &[Misread] {
        &self.misread
    }

    /// The clients whose keys are to be issued anew.
    pub fn without_key(&self) -> impl Iterator<Item = &ClientId> {
        let clients = self.clients.iter();
        let wanting = clients.filter(|client| client.wants_key && client.why_not.is_none());
        wanting.map(|client| &client.id)
    }
}

/// What tells a certificate's client from others of the same common name.
fn told_by(handed: &Handed) -> Option<Box<str>> {
    let facts = handed.facts.as_ref()?;
    Some(format!("{}, issued by {}", facts.subject, facts.issuer).into())
}

/// A description that deceives nobody.
fn shown(text: &str) -> Box<str> {
    let shown = text.chars().take(LONGEST_DESCRIPTION);
    let shown = shown.map(|c| if is_hostile(c) { '\u{fffd}' } else { c });
    shown.collect::<String>().into()
}

/// Enough of a text's SHA-256 to tell it from others.
fn short(text: &str) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut begin = [0; 16];
    begin
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    begin
}
