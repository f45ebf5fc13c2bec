//! The sections that say how several `Require` count together.
//!
//! What a condition says turns round within `<RequireNone>`, and is not all within `<RequireAll>`: read
//! without them, it would let in whoever is shut out there.

use crate::import::{Entry, Mark, Sink, Why};

const NOT_ALONE: Why = Why::Syntax(
    "in its <RequireAll> something else is asked for as well, which would be lost; name the clients in a \
     table (csv)",
);
const UNPAIRED: Why =
    Why::Syntax("a section <RequireAll>, <RequireAny> or <RequireNone> has no begin or no end");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Any,
    None,
}

#[derive(Debug)]
struct Section {
    kind: Kind,
    line: u32,
    /// The conditions within that name clients.
    held: Vec<(u32, Vec<Mark>)>,
    /// How many of its parts name clients.
    parts: usize,
    /// Whether it asks for something else, too.
    asks_more: bool,
}

/// The sections around a line, outer ones first.
#[derive(Debug, Default)]
pub(super) struct Sections(Vec<Section>);

impl Sections {
    /// Takes the line that begins or ends a section; whether it is one.
    pub(super) fn line(&mut self, line: &str, number: u32, sink: Sink<'_>) -> bool {
        let Some(name) = line.strip_prefix('<') else {
            return false;
        };
        let name = name.strip_suffix('>').unwrap_or(name).trim();
        let (name, ends) = match name.strip_prefix('/') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let kind = match name.to_ascii_lowercase().as_str() {
            "requireall" => Kind::All,
            "requireany" => Kind::Any,
            "requirenone" => Kind::None,
            _ => return false,
        };
        if ends {
            self.end(kind, number, sink);
        } else {
            self.0.push(Section {
                kind,
                line: number,
                held: Vec::new(),
                parts: 0,
                asks_more: false,
            });
        }
        true
    }

    fn end(&mut self, kind: Kind, number: u32, sink: Sink<'_>) {
        let Some(section) = self.0.pop_if(|section| section.kind == kind) else {
            return sink(number, UNPAIRED.into());
        };
        if kind == Kind::None {
            self.other();
        } else if kind == Kind::All && section.parts > 0 && (section.asks_more || section.parts > 1)
        {
            for (line, _) in section.held {
                sink(line, NOT_ALONE.into());
            }
            // What is around it must not count without it.
            self.other();
        } else if section.parts > 0 {
            self.take(section.held, sink);
        } else if section.asks_more {
            self.other();
        }
    }

    /// Whether conditions shut out here.
    pub(super) fn is_inverted(&self) -> bool {
        self.0.iter().any(|section| section.kind == Kind::None)
    }

    /// Takes the clients that a condition names; they count once all around it does.
    pub(super) fn condition(&mut self, line: u32, marks: Vec<Mark>, sink: Sink<'_>) {
        self.take(vec![(line, marks)], sink);
    }

    fn take(&mut self, conditions: Vec<(u32, Vec<Mark>)>, sink: Sink<'_>) {
        if let Some(section) = self.0.last_mut() {
            section.held.extend(conditions);
            section.parts = section.parts.saturating_add(1);
            return;
        }
        for (line, marks) in conditions {
            for mark in marks {
                sink(line, Entry::new(None, mark).into());
            }
        }
    }

    /// Something else is asked for here.
    pub(super) fn other(&mut self) {
        if let Some(section) = self.0.last_mut() {
            section.asks_more = true;
        }
    }

    /// The file has ended: nothing counts of a section that did not.
    pub(super) fn close(&self, sink: Sink<'_>) {
        for section in &self.0 {
            sink(section.line, UNPAIRED.into());
        }
    }
}
