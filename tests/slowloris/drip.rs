//! Connections that send a byte from time to time, and never what is waited for.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::support::wire::{Tls, Wire};
use crate::support::world::HOST;

/// Some connections, a third of each kind.
pub(crate) struct Dripping {
    to: SocketAddr,
    tls: Tls,
    open: Vec<Option<Slow>>,
    next: usize,
    comes_again: bool,
}

/// One of them.
enum Slow {
    Handshake(TcpStream, usize),
    Head(Wire),
    Body(Wire),
}

/// The first bytes of a `ClientHello` of 508; zeros follow.
const HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

impl Dripping {
    /// `count` of them; they come again when they are closed, or not.
    pub(crate) fn new(to: SocketAddr, tls: Tls, count: usize, comes_again: bool) -> Self {
        let open = std::iter::repeat_with(|| None).take(count).collect();
        Self {
            to,
            tls,
            open,
            next: 0,
            comes_again,
        }
    }

    /// Opens all of them.
    pub(crate) fn open(&mut self) {
        for index in 0..self.open.len() {
            self.open[index] = self.connect(index);
            if index % 100 == 0 {
                self.drip();
            }
        }
    }

    fn connect(&self, index: usize) -> Option<Slow> {
        if index.is_multiple_of(3) {
            let tcp = TcpStream::connect(self.to).ok()?;
            tcp.set_nonblocking(true).expect("a socket");
            return Some(Slow::Handshake(tcp, 0));
        }
        let mut wire = self.tls.connect(self.to, None).ok()?;
        let (method, rest) = if index % 3 == 1 {
            ("GET", "a: ")
        } else {
            ("POST", "Content-Length: 1000000\r\n\r\n")
        };
        wire.send(format!("{method} /open HTTP/1.1\r\nHost: {HOST}\r\n{rest}").as_bytes());
        wire.never_wait();
        Some(if method == "GET" {
            Slow::Head(wire)
        } else {
            Slow::Body(wire)
        })
    }

    /// The next hundredth of them send a byte; who was closed comes again, if that is what it does.
    pub(crate) fn drip(&mut self) {
        let some = self.open.len().div_ceil(100);
        for _ in 0..some {
            let index = self.next;
            self.next = (index + 1) % self.open.len();
            let Some(slow) = &mut self.open[index] else {
                continue;
            };
            let lives = match slow {
                Slow::Handshake(tcp, sent) => {
                    let byte = HELLO.get(*sent).copied().unwrap_or(0);
                    *sent += 1;
                    let read = tcp.read(&mut [0]).map_err(|error| error.kind());
                    read == Err(ErrorKind::WouldBlock) && tcp.write_all(&[byte]).is_ok()
                }
                Slow::Head(wire) | Slow::Body(wire) => !wire.is_over() && wire.send(b"x"),
            };
            if !lives {
                self.open[index] = self.comes_again.then(|| self.connect(index)).flatten();
            }
        }
    }
}
