//! The end of a connection that we close: the last words, and the time to hear them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::IO;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use super::{Closing, Spoken, Wire};

/// How long the last words to a client may take, and its answer to them.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(3);

/// How far the end is.
#[derive(Debug)]
pub(super) enum End {
    Open,
    /// The last words, and how many of their bytes were said.
    Saying(Vec<u8>, usize, Pin<Box<Sleep>>),
    Flushing(Pin<Box<Sleep>>),
    Parting(Pin<Box<Sleep>>),
    /// What the client sends is read, or it would not get to read the last words.
    Listening(Pin<Box<Sleep>>),
    Closed,
}

impl<S: IO> Wire<S> {
    /// Says the last words, once the frame that was begun is out, and waits until the client heard
    /// them; but not for long.
    pub(super) fn poll_end(&mut self, closing: Closing, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.end {
                End::Open => {
                    let words = self.last_words(closing);
                    self.end = if words.is_empty() {
                        End::Closed
                    } else {
                        let timer = Box::pin(tokio::time::sleep(LAST_WORDS_WITHIN));
                        End::Saying(words, 0, timer)
                    };
                }
                End::Saying(_, _, timer)
                | End::Flushing(timer)
                | End::Parting(timer)
                | End::Listening(timer) => {
                    if timer.as_mut().poll(cx).is_ready() || ready!(self.poll_say(cx)).is_err() {
                        self.end = End::Closed;
                    }
                }
                End::Closed => return Poll::Ready(()),
            }
        }
    }

    fn last_words(&self, closing: Closing) -> Vec<u8> {
        match &self.spoken {
            Spoken::Http1 { .. } => closing.last_words(false),
            Spoken::WebSocket { sent, .. } if sent.has_closed => Vec::new(),
            Spoken::WebSocket { .. } => closing.last_words(true),
            Spoken::Http2(_) => Vec::new(),
        }
    }

    /// One step of the end.
    fn poll_say(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_within_frame() && matches!(self.end, End::Saying(_, 0, _)) {
            self.line.reader.register(cx.waker());
            return Poll::Pending;
        }
        let stream = Pin::new(&mut self.stream);
        match std::mem::replace(&mut self.end, End::Closed) {
            End::Saying(words, mut said, timer) => {
                let rest = words.get(said..).unwrap_or_default();
                let written = stream.poll_write(cx, rest)?;
                if let Poll::Ready(written) = written {
                    said = said.saturating_add(written);
                }
                self.end = if said < words.len() {
                    End::Saying(words, said, timer)
                } else {
                    End::Flushing(timer)
                };
                written.map(|_| Ok(()))
            }
            End::Flushing(timer) => {
                let flushed = stream.poll_flush(cx)?;
                self.end = match flushed {
                    Poll::Ready(()) => End::Parting(timer),
                    Poll::Pending => End::Flushing(timer),
                };
                flushed.map(Ok)
            }
            End::Parting(timer) => {
                let parted = stream.poll_shutdown(cx)?;
                self.end = match parted {
                    Poll::Ready(()) => End::Listening(timer),
                    Poll::Pending => End::Parting(timer),
                };
                parted.map(Ok)
            }
            End::Listening(timer) => {
                let mut room = [0; 1024];
                let mut room = ReadBuf::new(&mut room);
                let read = stream.poll_read(cx, &mut room)?;
                if read.is_pending() || !room.filled().is_empty() {
                    self.end = End::Listening(timer);
                }
                read.map(Ok)
            }
            end @ (End::Open | End::Closed) => {
                self.end = end;
                Poll::Ready(Ok(()))
            }
        }
    }
}
