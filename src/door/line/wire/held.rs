//! Small writes that wait for each other: the head of an answer and what comes with it.
//!
//! Each write would be a record of TLS. They go out with the flush that follows, and before anything is
//! waited for: Pingora does not flush what a backend has begun to answer and not ended.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pingora::protocols::IO;

use super::Wire;

/// Up to how many bytes of an answer, the head of it and what comes with it, go out as one record.
const TOGETHER: usize = 4096;

/// What was written and waits for what follows it, to become one record of TLS with it.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// How much of it is out.
    sent: usize,
    /// It was offered to the stream, and so is added to no more.
    is_offered: bool,
}

impl Held {
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes these pieces along, when they are few bytes.
    pub(super) fn take(&mut self, pieces: &[io::IoSlice<'_>]) -> Option<usize> {
        let more = pieces.iter().map(|piece| piece.len()).sum();
        let fits = self.bytes.len().saturating_add(more) <= TOGETHER;
        if !fits || self.is_offered {
            return None;
        }
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        Some(more)
    }
}

impl<S: IO> Wire<S> {
    /// Has the client get what there is, since it is waited for next.
    pub(super) fn say_before_waiting(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.held.is_empty()
            && let Poll::Ready(said) = self.poll_held(cx)
        {
            said?;
            let _whenever = Pin::new(&mut self.stream).poll_flush(cx)?;
        }
        Ok(())
    }

    /// Writes what is held.
    pub(super) fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let rest = held.bytes.get(held.sent..).unwrap_or_default();
            let written = self.poll_pieces(cx, &[io::IoSlice::new(rest)]);
            if let Poll::Ready(Ok(count)) = written {
                held.sent = held.sent.saturating_add(count);
            }
            held.is_offered = true;
            if held.sent < held.bytes.len() {
                self.held = held;
            }
            if ready!(written)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}
