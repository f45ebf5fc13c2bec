//! What other gateways know of clients, read out of their files.
//!
//! A reader says of each line what it means, or why it means nothing that can be taken over: it
//! guesses nothing, and repeats nothing of a line, which may hold a secret. [`Plan`] puts what was
//! read together and compares it with what the store has; nothing here reads files or writes records.
//!
//! What lets in more than the clients that it names (a default, a pattern) is refused: here everybody
//! is somebody.

mod apache;
mod apisix;
mod csv;
mod document;
mod envoy;
mod format;
mod haproxy;
mod ingress;
mod issued;
mod kong;
mod lines;
mod mark;
mod name;
mod nginx;
mod pem;
mod plan;
mod tyk;
mod why;

use std::io::{self, BufRead};

pub use format::Format;
pub use issued::Issued;
pub use mark::{Mark, Told};
pub use plan::{Counts, Known, Misread, Piece, Place, Plan};
pub use why::{Kind, Why};

use crate::client::Tags;
use crate::clock::Timestamp;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A client, and what identifies it.
    Entry(Box<Entry>),
    /// Somebody whom the other gateway does not let in. Nor does this one.
    Denied,
    /// Nothing that can be taken over.
    Refused(Why),
}

/// A client, and what identifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the file calls the client; none where it only lets in.
    pub called: Option<Box<str>>,
    /// What identifies it.
    pub mark: Mark,
    /// What it is, in the operator's words.
    pub description: Option<Box<str>>,
    /// Its cohorts.
    pub tags: Tags,
}

impl Entry {
    /// A client of which no more is known.
    fn new(called: Option<&str>, mark: Mark) -> Self {
        Self {
            called: called.map(Box::from),
            mark,
            description: None,
            tags: Tags::new(),
        }
    }
}

impl From<Entry> for Found {
    fn from(entry: Entry) -> Self {
        Self::Entry(Box::new(entry))
    }
}

impl From<Why> for Found {
    fn from(why: Why) -> Self {
        Self::Refused(why)
    }
}

impl<T: Into<Self>> From<Result<T, Why>> for Found {
    fn from(read: Result<T, Why>) -> Self {
        read.map_or_else(Self::Refused, Into::into)
    }
}

/// Where a reader puts what it finds, with the number of the line.
pub type Sink<'a> = &'a mut dyn FnMut(u32, Found);

/// Reads what `input` holds in this format, and gives how many lines there were. `name` is the file's
/// without its folder: certificates are called by it. What ended before `now` lets nobody in.
///
/// # Errors
///
/// When `input` fails.
pub fn read(
    format: Format,
    name: &str,
    now: Timestamp,
    input: &mut dyn BufRead,
    sink: Sink<'_>,
) -> io::Result<u32> {
    match format {
        Format::Nginx => nginx::read(input, sink),
        Format::HaproxyMap => haproxy::map(input, sink),
        Format::HaproxyAcl => haproxy::acl(input, sink),
        Format::Apache => apache::configuration(input, sink),
        Format::ApacheMap => apache::map(input, sink),
        Format::ApacheUsers => apache::users(input, sink),
        Format::IngressNginx => document::read(input, &ingress::read, sink),
        Format::Envoy => document::read(input, &envoy::read, sink),
        Format::Tyk => document::read(input, &|node, sink| tyk::read(node, now, sink), sink),
        Format::Kong => document::read(input, &kong::read, sink),
        Format::Apisix => document::read(input, &apisix::read, sink),
        Format::Csv => csv::read(input, sink),
        Format::Pem => pem::read(name, input, sink),
    }
}

#[cfg(test)]
mod tests;
