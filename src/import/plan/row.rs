//! One line's credential.

use crate::certificate::{Alias, Fingerprint, Handed};

/// Where something stands: the file by its number in the order in which they were named, and the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of the file, from 0.
    pub file: u32,
    /// The line, from 1.
    pub line: u32,
}

/// What identifies a client.
#[derive(Debug)]
pub(super) enum What {
    /// A certificate of which no more is known.
    Fingerprint(Fingerprint),
    /// A certificate as it is.
    Certificate(Box<Handed>),
    /// A certificate that is bound at first sight.
    Alias(Alias),
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is to be written.
    New,
    /// It is to be written over a certificate that waits for the operator's word.
    Waiting,
    /// The store has it.
    There,
    /// Another row says the same.
    Duplicate,
    /// It is not taken over.
    Refused,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: What,
    pub(super) client: u32,
    pub(super) place: Place,
    pub(super) standing: Standing,
}

impl Row {
    pub(super) const fn new(what: What, client: u32, place: Place) -> Self {
        Self {
            what,
            client,
            place,
            standing: Standing::New,
        }
    }

    /// Whether something is to be written for it.
    pub(super) const fn is_pending(&self) -> bool {
        matches!(self.standing, Standing::New | Standing::Waiting)
    }
}

impl What {
    /// What two rows of the same certificate share.
    pub(super) fn key(&self) -> (u8, [u8; 32]) {
        match self {
            Self::Fingerprint(fingerprint) => (0, *fingerprint.as_bytes()),
            Self::Certificate(handed) => (0, *handed.fingerprint.as_bytes()),
            Self::Alias(alias) => key_of_alias(alias),
        }
    }
}

pub(super) fn key_of_alias(alias: &Alias) -> (u8, [u8; 32]) {
    match alias {
        Alias::Sha1(bytes) => {
            let mut key = [0; 32];
            key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            (1, key)
        }
        Alias::Spki(bytes) => (2, *bytes),
    }
}
