//! The statements of nginx' configuration language, a line at a time.

use crate::import::Why;

/// How many words a statement has at most, and how many bytes: nobody writes more of what is read here.
const MOST_WORDS: usize = 64;
const LONGEST: usize = 64 * 1024;

/// How a statement ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a semicolon.
    Semicolon,
    /// It opens a block.
    Open,
    /// It closes the block around it.
    Close,
}

/// Words up to a semicolon or a brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) line: u32,
    pub(super) words: Vec<String>,
    pub(super) end: End,
}

/// Takes lines, and gives statements.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    words: Vec<String>,
    /// The word that is begun, if one is.
    word: Option<String>,
    quote: Option<char>,
    /// A quoted word has ended, and nothing may follow on it.
    is_closed: bool,
    is_escaped: bool,
    line: u32,
    bytes: usize,
}

impl Scanner {
    /// Takes a line, and gives the statements that end in it to `each`.
    ///
    /// # Errors
    ///
    /// When the rest of the statement means nothing; it goes on with the next line.
    pub(super) fn line(
        &mut self,
        number: u32,
        line: &str,
        each: &mut dyn FnMut(Statement),
    ) -> Result<(), Why> {
        let taken = self.characters(number, line, each);
        if taken.is_err() {
            *self = Self::default();
        }
        taken
    }

    fn characters(
        &mut self,
        number: u32,
        line: &str,
        each: &mut dyn FnMut(Statement),
    ) -> Result<(), Why> {
        self.bytes = self.bytes.saturating_add(line.len());
        if self.bytes > LONGEST || self.words.len() > MOST_WORDS {
            return Err(Why::Syntax(
                "a statement is too long; is a quote or a semicolon missing?",
            ));
        }
        for c in line.chars().chain(['\n']) {
            if self.is_idle() {
                self.line = number;
            }
            if let Some(quote) = self.quote {
                self.quoted(c, quote);
            } else if c == '#' && self.word.is_none() {
                self.is_closed = false;
                return Ok(());
            } else {
                self.bare(c, each)?;
            }
        }
        Ok(())
    }

    /// Whether no statement is begun.
    const fn is_idle(&self) -> bool {
        self.words.is_empty() && self.word.is_none()
    }

    /// Whether a statement is begun that does not end.
    pub(super) const fn is_open(&self) -> bool {
        !self.is_idle()
    }

    fn quoted(&mut self, c: char, quote: char) {
        let word = self.word.get_or_insert_default();
        if self.is_escaped {
            self.is_escaped = false;
            unescape(c, word);
        } else if c == '\\' {
            self.is_escaped = true;
        } else if c == quote {
            self.quote = None;
            self.is_closed = true;
            self.words.extend(self.word.take());
        } else {
            word.push(c);
        }
    }

    fn bare(&mut self, c: char, each: &mut dyn FnMut(Statement)) -> Result<(), Why> {
        if self.is_escaped {
            self.is_escaped = false;
            unescape(c, self.word.get_or_insert_default());
            return Ok(());
        }
        let in_variable = self.word.as_ref().is_some_and(|word| word.ends_with('$'));
        match c {
            ' ' | '\t' | '\n' | '\r' => self.words.extend(self.word.take()),
            ';' => self.end(End::Semicolon, each),
            '{' if !in_variable => self.end(End::Open, each),
            '}' if self.is_idle() => self.end(End::Close, each),
            _ if self.is_closed => {
                return Err(Why::Syntax("something follows right on a closing quote"));
            }
            '"' | '\'' if self.word.is_none() => {
                self.quote = Some(c);
                self.word = Some(String::new());
            }
            '\\' => self.is_escaped = true,
            _ => self.word.get_or_insert_default().push(c),
        }
        self.is_closed = false;
        Ok(())
    }

    fn end(&mut self, end: End, each: &mut dyn FnMut(Statement)) {
        self.words.extend(self.word.take());
        self.bytes = 0;
        each(Statement {
            line: self.line,
            words: std::mem::take(&mut self.words),
            end,
        });
    }
}

/// What nginx makes of a character after a backslash.
fn unescape(c: char, word: &mut String) {
    match c {
        '"' | '\'' | '\\' => word.push(c),
        't' => word.push('\t'),
        'r' => word.push('\r'),
        'n' => word.push('\n'),
        other => word.extend(['\\', other]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> (Vec<(u32, Vec<String>, End)>, bool) {
        let (mut scanner, mut found, mut wrong) = (Scanner::default(), Vec::new(), false);
        for (number, line) in (1..).zip(text.lines()) {
            let mut each = |one: Statement| found.push((one.line, one.words, one.end));
            wrong |= scanner.line(number, line, &mut each).is_err();
        }
        (found, wrong || scanner.is_open())
    }

    #[test]
    fn words_are_read_as_nginx_reads_them() {
        let text = "map $a $b { # a comment\n  \"CN=Acme\\, Inc\" 'it''s' ; # another\n";
        assert!(statements(text).1);
        let text = "map $a ${b} { # a comment\n  \"CN=A\\, \\\"B\\\"\"\n x#y;}\ndefault \"\";\n";
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(
            statements(text),
            (
                vec![
                    (1, words(&["map", "$a", "${b}"]), End::Open),
                    (2, words(&["CN=A\\, \"B\"", "x#y"]), End::Semicolon),
                    (3, words(&[]), End::Close),
                    (4, words(&["default", ""]), End::Semicolon),
                ],
                false
            )
        );
        assert!(statements("\"never closed").1 && statements("a b").1);
        assert!(statements(&format!("\"{}", "x\n".repeat(70_000))).1);
    }
}
