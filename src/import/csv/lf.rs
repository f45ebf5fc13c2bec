//! Lines that all end in one way, so that they can be counted.

use std::io::{self, BufRead, Read};

use super::rows::Rows;
use crate::import::Why;

/// Reads what `input` holds, with one line feed at the end of every line, the last as well.
pub(super) struct Lf<'a> {
    input: &'a mut dyn BufRead,
    /// A carriage return that was read, and after which nothing was yet.
    held: bool,
    last: u8,
    rows: Rows,
    broken: Option<Why>,
}

impl<'a> Lf<'a> {
    pub(super) const fn new(input: &'a mut dyn BufRead, delimiter: u8) -> Self {
        Self {
            input,
            held: false,
            last: b'\n',
            rows: Rows::new(delimiter),
            broken: None,
        }
    }

    /// Why it ended before its input did or within a row, and the line in which the last row, which does
    /// not count then, begins.
    pub(super) fn broken(&self) -> Option<(u32, Why)> {
        let why = self.broken.clone()?;
        Some((self.rows.begun(), why))
    }

    fn next(&mut self) -> io::Result<Option<u8>> {
        let next = self.input.fill_buf()?.first().copied();
        if self.held {
            self.held = false;
            if next != Some(b'\n') {
                return Ok(Some(b'\r'));
            }
        }
        match next {
            Some(byte) => {
                self.input.consume(1);
                if byte == b'\r' {
                    self.held = true;
                    return self.next();
                }
                Ok(Some(byte))
            }
            None if self.last == b'\n' => Ok(None),
            None => Ok(Some(b'\n')),
        }
    }
}

impl Read for Lf<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0_usize;
        for place in buffer {
            if self.broken.is_some() {
                break;
            }
            let Some(byte) = self.next()? else {
                if self.rows.is_open() {
                    self.broken = Some(Why::File("a quote is not closed"));
                }
                break;
            };
            if !self.rows.take(byte) {
                self.broken = Some(Why::File(
                    "a row is longer than 64 KiB; is a quote not closed?",
                ));
            }
            (*place, self.last) = (byte, byte);
            count = count.saturating_add(1);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_with_a_line_feed() {
        for (text, expected) in [
            ("a\r\nb\nc", "a\nb\nc\n"),
            ("a\rb\r\r\n\r", "a\rb\r\n\r\n"),
            ("", ""),
        ] {
            let mut read = String::new();
            let mut input = text.as_bytes();
            Lf::new(&mut input, b',').read_to_string(&mut read).unwrap();
            assert_eq!(read, expected, "{text:?}");
        }
    }
}
