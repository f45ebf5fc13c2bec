//! Where rows begin and end, before they are read.
//!
//! The reader of tables takes a row of any length, and what follows a quote that is not closed for one
//! field. Here each row has an end.

/// The longest row: one with a certificate is shorter.
const LONGEST: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Row,
    Field,
    Within,
    Quoted,
    /// After a quote within quotes: it ends the field, or stands for itself.
    Quote,
    Comment,
}

/// Follows the bytes of a table.
#[derive(Debug)]
pub(super) struct Rows {
    delimiter: u8,
    state: State,
    bytes: usize,
    line: u32,
    begun: u32,
}

impl Rows {
    pub(super) const fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            state: State::Row,
            bytes: 0,
            line: 1,
            begun: 1,
        }
    }

    /// Takes a byte; whether the row is still of a length that is read.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        if self.state == State::Row {
            (self.begun, self.bytes) = (self.line, 0);
        }
        if byte == b'\n' {
            self.line = self.line.saturating_add(1);
        }
        self.state = match (self.state, byte) {
            (State::Comment, b'\n') => State::Row,
            (State::Row, b'#') | (State::Comment, _) => State::Comment,
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, _) | (State::Row | State::Field | State::Quote, b'"') => State::Quoted,
            (_, b'\n' | b'\r') => State::Row,
            (_, other) if other == self.delimiter => State::Field,
            _ => State::Within,
        };
        if self.state != State::Comment {
            self.bytes = self.bytes.saturating_add(1);
        }
        self.bytes <= LONGEST
    }

    /// Whether a quote is open.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    /// The line in which the row begins.
    pub(super) const fn begun(&self) -> u32 {
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_opens_only_where_a_field_begins() {
        for (text, open, begun) in [
            ("a,\"b\nc\"\nd,\"e", true, 3),
            ("a,\"b\"\"c", true, 1),
            ("a,\"b\"\"\",\"\"\n", false, 1),
            ("a,b\"c\n", false, 1),
            ("# a,\"b\nc\n", false, 2),
            ("a;\"b", false, 1),
        ] {
            let mut rows = Rows::new(b',');
            assert!(text.bytes().all(|byte| rows.take(byte)));
            assert_eq!((rows.is_open(), rows.begun()), (open, begun), "{text:?}");
        }
        let mut rows = Rows::new(b',');
        assert!(!vec![b'"'; LONGEST + 1].iter().all(|byte| rows.take(*byte)));
    }
}
