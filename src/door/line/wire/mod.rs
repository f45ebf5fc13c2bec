//! What Pingora reads and writes: the TLS stream, with the deadlines of its [`Line`] kept.

mod held;
mod parting;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::frames::{Http2, WebSocket};
use super::{Closing, Lifetimes, Line};
use held::Held;
use parting::End;

/// A stream that ends when its client is too slow, or when its line is closed.
#[derive(Debug)]
pub(in crate::door) struct Wire<S> {
    stream: S,
    line: Arc<Line>,
    head_timeout: Duration,
    write_timeout: Duration,
    /// What the client began and has to finish, and until when; set once it is waited for.
    owed: Option<(u32, Pin<Box<Sleep>>)>,
    /// Until when the client has to read some of what waits for it.
    stalled: Option<Pin<Box<Sleep>>>,
    spoken: Spoken,
    held: Held,
    end: End,
}

/// What is spoken, and where in it the stream is.
#[derive(Debug)]
enum Spoken {
    /// Bytes of the request came at this turn of the line.
    Http1 {
        heard: Option<u32>,
    },
    Http2(Http2),
    /// Whether the stream still has to be offered bytes that it did not take.
    WebSocket {
        sent: WebSocket,
        is_full: bool,
    },
}

impl<S: IO> Wire<S> {
    pub(in crate::door) fn new(stream: S, line: Arc<Line>, lifetimes: &Lifetimes) -> Self {
        let spoken = match stream.selected_alpn_proto() {
            Some(ALPN::H2) => Spoken::Http2(Http2::new()),
            _ => Spoken::Http1 { heard: None },
        };
        Self {
            stream,
            line,
            head_timeout: lifetimes.head_timeout,
            write_timeout: lifetimes.write_timeout,
            owed: None,
            stalled: None,
            spoken,
            held: Held::default(),
            end: End::Open,
        }
    }

    /// What the client began and did not finish.
    fn owed_by_client(&self) -> Option<u32> {
        match &self.spoken {
            Spoken::Http1 { heard } => {
                let turn = self.line.turn.load(Ordering::Relaxed);
                heard.filter(|heard| *heard == turn)
            }
            Spoken::Http2(frames) => frames.owed(),
            Spoken::WebSocket { .. } => None,
        }
    }

    /// Notes what came.
    fn heard(&mut self, bytes: &[u8]) {
        match &mut self.spoken {
            Spoken::Http1 { heard } => {
                let turn = self.line.turn.load(Ordering::Relaxed);
                if turn & 1 == 0 && !bytes.is_empty() {
                    *heard = Some(turn);
                }
            }
            Spoken::Http2(frames) => frames.pass(bytes),
            Spoken::WebSocket { .. } => {}
        }
    }

    /// The client is waited for: not longer than it may take for what it began.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(now_owed) = self.owed_by_client() else {
            self.owed = None;
            return Poll::Pending;
        };
        let since = self.owed.take().filter(|(owed, _)| *owed == now_owed);
        let (_, timer) = self.owed.insert(since.unwrap_or_else(|| {
            let timer = Box::pin(tokio::time::sleep(self.head_timeout));
            (now_owed, timer)
        }));
        ready!(timer.as_mut().poll(cx));
        self.line.close(Closing::SlowHead);
        Poll::Ready(())
    }

    /// The client has to read before anything more can be written: not too late.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.line.writer.register(cx.waker());
        let timeout = self.write_timeout;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        self.line.close(Closing::NotReading);
        self.end = End::Closed;
        Poll::Ready(Closing::NotReading.error())
    }

    /// Whether a frame of a WebSocket was begun that must go out whole.
    fn is_within_frame(&self) -> bool {
        match &self.spoken {
            Spoken::WebSocket { sent, is_full } => *is_full || !sent.is_between_frames(),
            Spoken::Http1 { .. } | Spoken::Http2(_) => false,
        }
    }

    /// From the answer 101 on, what is written is followed frame by frame.
    fn follow_upgrade(&mut self) {
        if matches!(self.spoken, Spoken::Http1 { .. }) && self.line.upgraded.load(Ordering::Acquire)
        {
            self.spoken = Spoken::WebSocket {
                sent: WebSocket::new(),
                is_full: false,
            };
        }
    }

    /// How much of `bytes` ends the frame that was begun. What the stream was offered and could not
    /// take is offered again as it was: TLS has made a record of it, and takes nothing shorter.
    fn rest_of_frame<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let end = match &self.spoken {
            Spoken::WebSocket { sent, is_full } if !is_full => sent.until_between_frames(bytes),
            _ => bytes.len(),
        };
        bytes.get(..end).unwrap_or(bytes)
    }

    /// Writes these pieces, as many of their bytes as the stream takes.
    fn poll_pieces(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let written = match pieces {
            [piece] => stream.poll_write(cx, piece),
            pieces => stream.poll_write_vectored(cx, pieces),
        };
        if let Spoken::WebSocket { sent, is_full } = &mut self.spoken {
            *is_full = written.is_pending();
            if let Poll::Ready(Ok(mut count)) = written {
                for piece in pieces {
                    let taken = count.min(piece.len());
                    sent.pass(piece.get(..taken).unwrap_or(piece));
                    count = count.saturating_sub(taken);
                }
                if self.line.closing().is_some() {
                    // Whoever waits for the end of the frame goes on.
                    self.line.reader.wake();
                }
            }
        }
        if written.is_pending() {
            return self.poll_stalled(cx).map(Err);
        }
        self.stalled = None;
        written
    }
}

impl<S: IO> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.line.closing().is_none() {
            let before = buf.filled().len();
            let read = Pin::new(&mut this.stream).poll_read(cx, buf);
            if read.is_ready() {
                this.heard(buf.filled().get(before..).unwrap_or_default());
                return read;
            }
            this.say_before_waiting(cx)?;
            this.line.reader.register(cx.waker());
            // It may have been closed before the waker was there.
            if this.poll_patience(cx).is_pending() && this.line.closing().is_none() {
                return Poll::Pending;
            }
        }
        let Some(closing) = this.line.closing() else {
            return Poll::Pending;
        };
        if !closing.is_answered() {
            ready!(this.poll_end(closing, cx));
        }
        Poll::Ready(Err(closing.error()))
    }
}

impl<S: IO> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.held.is_empty() {
            this.follow_upgrade();
        }
        if let Some(closing) = this.line.closing()
            && !closing.is_answered()
            && !this.is_within_frame()
        {
            ready!(this.poll_end(closing, cx));
            return Poll::Ready(Err(closing.error()));
        }
        if matches!(this.end, End::Closed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.is_within_frame() && this.line.closing().is_some() {
            let bytes = pieces.iter().find(|piece| !piece.is_empty());
            let bytes = this.rest_of_frame(bytes.map_or(&[], |piece| &**piece));
            return this.poll_pieces(cx, &[io::IoSlice::new(bytes)]);
        }
        if !matches!(this.spoken, Spoken::WebSocket { .. }) {
            if let Some(taken) = this.held.take(pieces) {
                return Poll::Ready(Ok(taken));
            }
            ready!(this.poll_held(cx))?;
        }
        this.poll_pieces(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.end, End::Closed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_held(cx))?;
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if flushed.is_pending() {
            return this.poll_stalled(cx).map(Err);
        }
        this.stalled = None;
        flushed
    }

    /// A stream that is cut off does not end properly: its client must not take it for whole.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closing = this.line.closing();
        if closing.is_some_and(|closing| !closing.is_answered()) || matches!(this.end, End::Closed)
        {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_held(cx))?;
        let parted = Pin::new(&mut this.stream).poll_shutdown(cx);
        if parted.is_pending() {
            return this.poll_stalled(cx).map(Err);
        }
        parted
    }
}

#[async_trait]
impl<S: IO> Shutdown for Wire<S> {
    async fn shutdown(&mut self) {
        let _ = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl<S: IO> UniqueID for Wire<S> {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl<S: IO> Ssl for Wire<S> {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl<S: IO> GetTimingDigest for Wire<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl<S: IO> GetProxyDigest for Wire<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl<S: IO> GetSocketDigest for Wire<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl<S: IO> Peek for Wire<S> {}
