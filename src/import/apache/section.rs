//! The sections of a configuration: how all that is asked for at one place counts together.
//!
//! What a condition says turns round within `<RequireNone>`, and is not all within `<RequireAll>`; and what
//! `SSLRequire` asks for must hold beside everything else at its place and around it. Read without that, it
//! would let in whoever is shut out there.

use crate::import::{Entry, Mark, Sink, Why};

const NOT_ALONE: Why = Why::Syntax(
    "in its <RequireAll> something else is asked for as well, which would be lost; name the clients in a \
     table (csv)",
);
const BESIDE: Why = Why::Syntax(
    "beside it something else is asked for, and SSLRequire must hold as well, which would be lost; name the \
     clients in a table (csv)",
);
const UNPAIRED: Why = Why::Syntax("a section has no begin or no end");

/// What stands in these counts where they stand.
const TRANSPARENT: [&str; 6] = [
    "ifmodule",
    "ifdefine",
    "ifversion",
    "iffile",
    "ifdirective",
    "ifsection",
];

/// The directive that asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// Of several at one place one must hold.
    Require,
    /// Each must hold.
    SslRequire,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Any,
    None,
    /// Whatever else has directives within, by its name in small letters; the file has none.
    Place(String),
}

/// Conditions that name clients, and their lines.
type Conditions = Vec<(u32, Vec<Mark>)>;

#[derive(Debug)]
struct Section {
    kind: Kind,
    line: u32,
    /// The conditions of `Require`.
    held: Conditions,
    /// How many of its parts name clients.
    parts: usize,
    /// Whether it asks for something else, too.
    asks_more: bool,
    /// The conditions of `SSLRequire`, and how many such directives there are.
    demanded: Conditions,
    demands: usize,
    /// What counts of the places within, and whether `SSLRequire` is among it.
    within: Conditions,
    is_demanded_within: bool,
}

impl Section {
    const fn new(kind: Kind, line: u32) -> Self {
        Self {
            kind,
            line,
            held: Vec::new(),
            parts: 0,
            asks_more: false,
            demanded: Vec::new(),
            demands: 0,
            within: Vec::new(),
            is_demanded_within: false,
        }
    }

    /// All conditions of a place and of those within, and whether `SSLRequire` is among them. Where several
    /// must hold at once, none counts.
    fn settled(self, sink: Sink<'_>) -> (Conditions, bool) {
        let is_required = self.parts > 0 || self.asks_more;
        let is_beside = match self.demands {
            0 => is_required && self.is_demanded_within,
            1 => is_required || !self.within.is_empty(),
            _ => true,
        };
        let is_demanded = self.demands > 0 || self.is_demanded_within;
        let mut conditions = self.held;
        conditions.extend(self.demanded);
        conditions.extend(self.within);
        if is_beside {
            for (line, _) in conditions.drain(..) {
                sink(line, BESIDE.into());
            }
        }
        (conditions, is_demanded)
    }
}

/// The file, and the sections around a line, outer ones first.
#[derive(Debug)]
pub(super) struct Sections {
    file: Section,
    around: Vec<Section>,
}

impl Default for Sections {
    fn default() -> Self {
        Self {
            file: Section::new(Kind::Place(String::new()), 1),
            around: Vec::new(),
        }
    }
}

impl Sections {
    /// Takes the line that begins or ends a section; whether it is one.
    pub(super) fn line(&mut self, line: &str, number: u32, sink: Sink<'_>) -> bool {
        let within = line
            .strip_prefix('<')
            .and_then(|line| line.strip_suffix('>'));
        let Some(within) = within else {
            return false;
        };
        let (within, ends) = match within.strip_prefix('/') {
            Some(within) => (within, true),
            None => (within, false),
        };
        let name = within.split_whitespace().next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        let kind = match name.as_str() {
            "requireall" => Kind::All,
            "requireany" => Kind::Any,
            "requirenone" => Kind::None,
            transparent if TRANSPARENT.contains(&transparent) => return true,
            _ => Kind::Place(name),
        };
        if ends {
            self.end(&kind, number, sink);
        } else {
            self.around.push(Section::new(kind, number));
        }
        true
    }

    fn end(&mut self, kind: &Kind, number: u32, sink: Sink<'_>) {
        let Some(section) = self.around.pop_if(|section| section.kind == *kind) else {
            return sink(number, UNPAIRED.into());
        };
        let is_all = *kind == Kind::All && (section.asks_more || section.parts > 1);
        match kind {
            Kind::Place(_) => {
                let (conditions, is_demanded) = section.settled(sink);
                let place = self.place();
                place.within.extend(conditions);
                place.is_demanded_within |= is_demanded;
            }
            Kind::None => self.other(Asks::Require),
            Kind::All | Kind::Any if section.parts > 0 && !is_all => self.take(section.held),
            Kind::All | Kind::Any => {
                for (line, _) in &section.held {
                    sink(*line, NOT_ALONE.into());
                }
                // What is around it must not count without it.
                if section.parts > 0 || section.asks_more {
                    self.other(Asks::Require);
                }
            }
        }
    }

    fn innermost(&mut self) -> &mut Section {
        self.around.last_mut().unwrap_or(&mut self.file)
    }

    fn place(&mut self) -> &mut Section {
        let mut around = self.around.iter_mut().rev();
        let place = around.find(|section| matches!(section.kind, Kind::Place(_)));
        place.unwrap_or(&mut self.file)
    }

    /// Whether conditions shut out here.
    pub(super) fn is_inverted(&self) -> bool {
        self.around.iter().any(|section| section.kind == Kind::None)
    }

    /// Takes the clients that a condition names; they count once all around it does.
    pub(super) fn condition(&mut self, asks: Asks, line: u32, marks: Vec<Mark>) {
        let conditions = vec![(line, marks)];
        match asks {
            Asks::Require => self.take(conditions),
            Asks::SslRequire => {
                self.other(asks);
                self.place().demanded.extend(conditions);
            }
        }
    }

    fn take(&mut self, conditions: Conditions) {
        let section = self.innermost();
        section.held.extend(conditions);
        section.parts = section.parts.saturating_add(1);
    }

    /// Something else is asked for here.
    pub(super) fn other(&mut self, asks: Asks) {
        match asks {
            Asks::Require => self.innermost().asks_more = true,
            Asks::SslRequire => {
                let place = self.place();
                place.demands = place.demands.saturating_add(1);
            }
        }
    }

    /// The file has ended: nothing counts of a section that did not.
    pub(super) fn close(self, sink: Sink<'_>) {
        for section in &self.around {
            sink(section.line, UNPAIRED.into());
        }
        let (mut conditions, _) = self.file.settled(sink);
        conditions.sort_by_key(|(line, _)| *line);
        for (line, marks) in conditions {
            for mark in marks {
                sink(line, Entry::new(None, mark).into());
            }
        }
    }
}
