//! The server name in a `ClientHello`, read before OpenSSL is asked: only by the name it is known
//! what becomes of the client's certificate, and OpenSSL looks for a session to resume before it
//! tells the name.
//!
//! OpenSSL reads the name once more; whoever makes the two differ gets no further.

/// The longest beginning of a connection that is looked at; a usual `ClientHello` has 2 KiB, and it
/// may come in many records.
pub const LONGEST: usize = 96 * 1024;
/// The longest `ClientHello`: as long as its extensions can be (RFC 8446 section 4.1.2).
const LONGEST_HELLO: usize = 68 * 1024;

/// What the beginning of a connection tells of the name.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// It takes more bytes to say.
    Unfinished,
    /// The name in lower case; none when there is none, or nothing that can be read.
    Known(Option<String>),
    /// It is too long, or written as nobody writes it, so that OpenSSL could read another name.
    Unclear,
}

/// Reads the beginning of a connection (RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3), each
/// record once.
#[derive(Debug, Default)]
pub struct Reader {
    /// How many bytes of records were read.
    read: usize,
    /// What they hold.
    message: Vec<u8>,
}

/// It is none, and OpenSSL will say so.
struct NotAHello;

impl Reader {
    /// What is known once `bytes` have come, all since the connection began.
    pub fn read(&mut self, bytes: &[u8]) -> Reading {
        loop {
            match self.hello() {
                Ok(Some(hello)) if hello.len() > LONGEST_HELLO => return Reading::Unclear,
                Ok(Some(hello)) => return Reading::Known(server_name(hello)),
                Ok(None) => {}
                Err(NotAHello) => return Reading::Known(None),
            }
            match record(bytes.get(self.read..).unwrap_or_default()) {
                Ok(Some([])) => return Reading::Unclear,
                Ok(_) if self.read >= LONGEST => return Reading::Unclear,
                Ok(Some(part)) => {
                    let length = part.len().saturating_add(RECORD_HEADER);
                    self.read = self.read.saturating_add(length);
                    self.message.extend_from_slice(part);
                }
                Ok(None) if bytes.len() < LONGEST => return Reading::Unfinished,
                Ok(None) => return Reading::Unclear,
                Err(NotAHello) => return Reading::Known(None),
            }
        }
    }

    /// The body of the `ClientHello`; none while it is not whole.
    fn hello(&self) -> Result<Option<&[u8]>, NotAHello> {
        const CLIENT_HELLO: usize = 1;
        let mut body = Bytes(&self.message);
        match body.number(1) {
            Some(CLIENT_HELLO) => Ok(body.vector(3).map(|Bytes(hello)| hello)),
            Some(_) => Err(NotAHello),
            None => Ok(None),
        }
    }
}

const RECORD_HEADER: usize = 5;

/// What the first record of `bytes` holds of the handshake; none while it is not whole.
fn record(bytes: &[u8]) -> Result<Option<&[u8]>, NotAHello> {
    const HANDSHAKE: usize = 22;
    let mut record = Bytes(bytes);
    let header = [record.number(1), record.number(1), record.number(1)];
    if header[0].is_some_and(|kind| kind != HANDSHAKE) || header[1].is_some_and(|major| major != 3)
    {
        return Err(NotAHello);
    }
    Ok(record.vector(2).map(|Bytes(part)| part))
}

/// A server name in the one form by which names are compared; none for an empty one.
pub(super) fn normal(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    Some(name).filter(|name| !name.is_empty())
}

/// The name that the `ClientHello` with this body asks for.
fn server_name(hello: &[u8]) -> Option<String> {
    const VERSION_AND_RANDOM: usize = 34;
    const SERVER_NAME: usize = 0;
    const HOST_NAME: usize = 0;
    let mut hello = Bytes(hello);
    hello.take(VERSION_AND_RANDOM)?;
    // The session's id, the cipher suites, and the ways to compress.
    for prefix in [1, 2, 1] {
        hello.vector(prefix)?;
    }
    let mut extensions = hello.vector(2)?;
    loop {
        let (kind, mut extension) = (extensions.number(2)?, extensions.vector(2)?);
        if kind == SERVER_NAME {
            let mut names = extension.vector(2)?;
            let kind = names.number(1)?;
            let name = std::str::from_utf8(names.vector(2)?.0).ok()?;
            return normal(name).filter(|_| kind == HOST_NAME);
        }
    }
}

/// Bytes that are read from the front; nothing once they do not suffice.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes.
    fn number(&mut self, length: usize) -> Option<usize> {
        let bytes = self.take(length)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        )
    }

    /// What follows its own length, which has so many bytes.
    fn vector(&mut self, prefix: usize) -> Option<Self> {
        let length = self.number(prefix)?;
        self.take(length).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;
    use crate::tls::ssl::{HandshakeError, SslConnector, SslMethod};

    /// Takes what is written, and never answers.
    #[derive(Debug)]
    struct Sink(Vec<u8>);

    impl io::Read for Sink {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The first flight of OpenSSL to `name`.
    fn hello(name: Option<&str>) -> Vec<u8> {
        let connector = SslConnector::builder(SslMethod::tls()).unwrap().build();
        let client = connector
            .configure()
            .unwrap()
            .use_server_name_indication(name.is_some());
        match client.connect(name.unwrap_or("unnamed"), Sink(Vec::new())) {
            Err(HandshakeError::WouldBlock(waiting)) => waiting.get_ref().0.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn read(bytes: &[u8]) -> Reading {
        Reader::default().read(bytes)
    }

    fn known(name: &str) -> Reading {
        Reading::Known(Some(name.to_owned()))
    }

    #[test]
    fn the_name_of_a_real_client_is_read_once_it_is_there() {
        let bytes = hello(Some("Api.Example.com"));
        assert_eq!(read(&bytes), known("api.example.com"));
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), Reading::Unfinished, "{length}");
        }
        assert_eq!(read(&hello(None)), Reading::Known(None));
        // However it comes.
        let mut reader = Reader::default();
        for length in 0..bytes.len() {
            assert_eq!(reader.read(&bytes[..length]), Reading::Unfinished);
        }
        assert_eq!(reader.read(&bytes), known("api.example.com"));
    }

    #[test]
    fn a_hello_may_come_in_many_records() {
        let whole = hello(Some("a.example"));
        let (header, message) = whole.split_at(5);
        let mut pieces = Vec::new();
        for part in message.chunks(7) {
            pieces.extend_from_slice(&header[..3]);
            pieces.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
            pieces.extend_from_slice(part);
        }
        assert_eq!(read(&pieces), known("a.example"));
    }

    #[test]
    fn what_is_no_hello_is_not_waited_for() {
        for bytes in [
            &b"GET /"[..],
            b"\x16\x02",
            b"\x16\x03\x01\x00\x04\x02\x00\x00\x01",
            b"\x17\x03\x03",
        ] {
            assert_eq!(read(bytes), Reading::Known(None), "{bytes:?}");
        }
    }

    #[test]
    fn r11_more_than_a_hello_can_have_is_not_waited_for() {
        let record = [&b"\x16\x03\x01\x00\xfb\x01"[..], &[0xff; 250]].concat();
        let mut endless = record.repeat(LONGEST / record.len());
        assert_eq!(endless.len(), LONGEST);
        assert_eq!(read(&endless), Reading::Unclear);
        endless.pop();
        assert_eq!(read(&endless), Reading::Unfinished);
        // OpenSSL passes over some of these.
        assert_eq!(read(b"\x16\x03\x01\x00\x00"), Reading::Unclear);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..300, byte: u8) {
            let _ = read(&bytes);
            let mut damaged = hello(Some("a.example"));
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            let _ = read(&damaged);
        }
    }
}
