//! The bounds of an HTTP/1 request as it stands on the wire: where its head ends, and what frames its
//! body. Whatever two readers could take for different requests is refused (RFC 9112 section 11.2).
//!
//! Pingora reads more freely than that, and no longer tells what it saw: `docs/HTTP.md` lists where.

mod chunks;

pub use chunks::Chunks;

use memchr::memchr;

/// No body has more bytes than a number of so many digits says.
const LONGEST_LENGTH: usize = 18;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In bytes, with everything that stands before its end.
    pub bytes: usize,
    /// In header lines.
    pub fields: usize,
}

/// The head of a request, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Where what follows it begins.
    pub end: usize,
    /// Whether its body comes in chunks.
    pub chunked: bool,
}

/// What has no single reading, or is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A line that does not end like one, or that other readers would end elsewhere.
    #[error(
        "a line of the head does not end with CR LF, or holds a control character (RFC 9112 section 2.2)"
    )]
    Line,
    /// Not three words.
    #[error(
        "the first line is no request line: method, target and version with one space between them (RFC 9112 section 3)"
    )]
    RequestLine,
    /// Neither 1.0 nor 1.1.
    #[error("this version of HTTP is not spoken here; use HTTP/1.1, or HTTP/2 by ALPN")]
    Version,
    /// Not a name, a colon and a value.
    #[error(
        "a header line is not 'Name: value', has white space before the colon, or is folded (RFC 9112 section 5)"
    )]
    Field,
    /// A length that is none, or two.
    #[error("Content-Length is not one number in one line (RFC 9110 section 8.6)")]
    Length,
    /// Two ways to tell where the body ends.
    #[error(
        "the request says in two ways, or in none that is certain, where its body ends (RFC 9112 section 6.3); send either Content-Length or 'Transfer-Encoding: chunked'"
    )]
    TwoFramings,
    /// A coding beside, or instead of, `chunked`.
    #[error("only the transfer coding 'chunked' is known here (RFC 9112 section 6.1)")]
    Coding,
    /// A chunk that others would end elsewhere.
    #[error("the body breaks a rule of the chunked coding (RFC 9112 section 7.1)")]
    Chunk,
    /// Too many bytes.
    #[error("the head of the request is too large; send fewer and shorter header lines")]
    TooLong,
    /// Too many lines.
    #[error("the request has too many header lines; send fewer")]
    TooMany,
}

/// Reads a head as its bytes come in, each of them once.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    place: Place,
    /// Where the line begins that is not whole yet.
    line: usize,
    /// Up to where no end of it was found.
    searched: usize,
    fields: usize,
    has_length: bool,
    is_chunked: bool,
    is_http10: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing was read, or one empty line, which some clients send after a body.
    Start {
        empty: bool,
    },
    Fields,
}

impl Reader {
    /// Nothing was read yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Start { empty: false },
            line: 0,
            searched: 0,
            fields: 0,
            has_length: false,
            is_chunked: false,
            is_http10: false,
        }
    }

    /// Reads on in `bytes`, which begin as they did before. Gives the head once it is whole.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]. Where the request ends is unknown then: nothing on its connection can be
    /// believed to be the next one.
    pub fn more(&mut self, bytes: &[u8]) -> Result<Option<Whole>, Unreadable> {
        while let Some(found) = bytes
            .get(self.searched..)
            .and_then(|rest| memchr(b'\n', rest))
        {
            let line_feed = self.searched.saturating_add(found);
            let next = line_feed.saturating_add(1);
            if next > self.limits.bytes {
                return Err(Unreadable::TooLong);
            }
            let line = bytes
                .get(self.line..line_feed)
                .and_then(|line| line.strip_suffix(b"\r"))
                .ok_or(Unreadable::Line)?;
            (self.line, self.searched) = (next, next);
            if self.is_last(line)? {
                return Ok(Some(Whole {
                    end: next,
                    chunked: self.is_chunked,
                }));
            }
        }
        self.searched = bytes.len();
        if bytes.len() > self.limits.bytes {
            return Err(Unreadable::TooLong);
        }
        Ok(None)
    }

    /// Reads one line; `true` when it is the one that ends the head.
    fn is_last(&mut self, line: &[u8]) -> Result<bool, Unreadable> {
        match self.place {
            Place::Start { empty: false } if line.is_empty() => {
                self.place = Place::Start { empty: true };
            }
            Place::Start { .. } => {
                self.is_http10 = is_http10(line)?;
                self.place = Place::Fields;
            }
            Place::Fields if line.is_empty() => {
                if self.is_chunked && (self.has_length || self.is_http10) {
                    return Err(Unreadable::TwoFramings);
                }
                return Ok(true);
            }
            Place::Fields => self.field(line)?,
        }
        Ok(false)
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Unreadable> {
        self.fields = self.fields.saturating_add(1);
        if self.fields > self.limits.fields {
            return Err(Unreadable::TooMany);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            if self.has_length || !is_number || value.len() > LONGEST_LENGTH {
                return Err(Unreadable::Length);
            }
            self.has_length = true;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked {
                return Err(Unreadable::TwoFramings);
            }
            only_chunked(value)?;
            self.is_chunked = true;
        }
        Ok(())
    }
}

/// Reads a request line; whether its version is 1.0.
fn is_http10(line: &[u8]) -> Result<bool, Unreadable> {
    let mut words = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Unreadable::RequestLine);
    };
    if !is_token(method) || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(Unreadable::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Unreadable::Version)
        }
        _ => Err(Unreadable::RequestLine),
    }
}

/// The name of a header line and its value without the white space around it.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Unreadable> {
    let colon = memchr(b':', line).ok_or(Unreadable::Field)?;
    let (name, rest) = line.split_at_checked(colon).ok_or(Unreadable::Field)?;
    let value = rest.get(1..).unwrap_or_default();
    if !value.iter().all(|b| *b == b'\t' || !b.is_ascii_control()) {
        return Err(Unreadable::Line);
    }
    if is_token(name) {
        Ok((name, value.trim_ascii()))
    } else {
        Err(Unreadable::Field)
    }
}

/// Refuses every list of transfer codings but `chunked`, once.
fn only_chunked(value: &[u8]) -> Result<(), Unreadable> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Ok(());
    }
    let codings = || value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let times = codings().filter(|coding| is_chunked(coding)).count();
    if times <= 1 && codings().all(is_token) {
        Err(Unreadable::Coding)
    } else {
        Err(Unreadable::TwoFramings)
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 200,
        fields: 5,
    };

    fn read(bytes: &[u8]) -> Result<Option<Whole>, Unreadable> {
        Reader::new(LIMITS).more(bytes)
    }

    #[test]
    fn a_head_ends_where_its_empty_line_ends() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tChunked \r\n\r\n";
        let whole = Whole {
            end: head.len(),
            chunked: true,
        };
        assert_eq!(read(format!("{head}0\r\n\r\n").as_bytes()), Ok(Some(whole)));
        assert_eq!(read(b"\r\nGET / HTTP/1.0\r\nA: \xe9\r\n"), Ok(None));
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_ends() {
        let line = format!("GET /{} HTTP/1.1", "x".repeat(200));
        assert_eq!(read(line.as_bytes()), Err(Unreadable::TooLong));
        let lines = format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(6));
        assert_eq!(read(lines.as_bytes()), Err(Unreadable::TooMany));
    }

    /// Parts of which hostile heads are made.
    fn part() -> impl Strategy<Value = &'static [u8]> {
        prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\n"[..],
            b"GET",
            b" ",
            b"HTTP/1.0",
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b"\t",
            b":",
            b"Content-Length: 1\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"A: b",
            b"\xff",
        ])
    }

    proptest! {
        #[test]
        fn h8_how_the_bytes_come_in_changes_nothing(parts in prop::collection::vec(part(), 0..12)) {
            let bytes = parts.concat();
            let at_once = read(&bytes);
            let mut reader = Reader::new(LIMITS);
            let mut one_by_one = Ok(None);
            for end in 0..=bytes.len() {
                one_by_one = reader.more(&bytes[..end]);
                if one_by_one != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(at_once, one_by_one);
        }

        #[test]
        fn h8_what_is_read_has_one_reading(parts in prop::collection::vec(part(), 0..12)) {
            let bytes = parts.concat();
            if let Ok(Some(whole)) = read(&bytes) {
                let head = &bytes[..whole.end];
                let text = String::from_utf8_lossy(head);
                prop_assert!(text.ends_with("\r\n\r\n"));
                prop_assert_eq!(text.matches("\r\n").count(), text.matches(['\r', '\n']).count() / 2);
                let framings = ["Content-Length", "Transfer"].map(|name| text.matches(name).count());
                prop_assert!(framings == [0, 0] || framings == [0, 1] || framings == [1, 0]);
                // Pingora's reader agrees on where it ends.
                let mut fields = [httparse::EMPTY_HEADER; 16];
                let mut request = httparse::Request::new(&mut fields);
                prop_assert_eq!(request.parse(&bytes), Ok(httparse::Status::Complete(whole.end)));
            }
        }
    }
}
