//! HTTP/1: the head of each request is read here, as strictly as RFC 9112 allows, and handed on as it
//! came.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::chunked::Chunked;
use super::{Http, peer};
use crate::door::connection;
use crate::framing::{Chunks, Reader, Unreadable};

/// As much as Pingora begins with; most heads fit.
const USUAL_HEAD: usize = 4096;
/// How long, and for how many bytes, a client that was refused may go on sending before it is cut
/// off: a reset in between would take the answer away from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// Why no request came.
enum NoRequest {
    /// The client closed, or was silent for too long.
    Gone,
    Unreadable(Unreadable),
}

impl<A: HttpServerApp + Send + Sync + 'static> Http<A> {
    /// One request after another, until the connection ends.
    pub(super) async fn http1(&self, mut stream: Stream, shutdown: &ShutdownWatch) {
        let mut stopping = shutdown.clone();
        let mut settings: Option<HttpPersistentSettings> = None;
        loop {
            let line = connection::line(stream.get_ssl_digest().as_deref());
            if let Some(line) = &line {
                line.await_head();
            }
            let left = async {
                match &line {
                    Some(line) => line.is_left(&mut stopping).await,
                    None => drop(stopping.wait_for(|stops| *stops).await),
                }
            };
            let begun = tokio::select! {
                biased;
                begun = tokio::time::timeout(self.patience.idle, first_bytes(&mut stream)) => begun.ok(),
                () = left => None,
            };
            // What was begun is taken, also when the gateway stops meanwhile. Where there is a line, the
            // wire beneath keeps its deadline.
            let mut bytes = begun.and_then(Result::ok).unwrap_or_default();
            let head = match &line {
                _ if bytes.is_empty() => Err(NoRequest::Gone),
                Some(_) => self.head(&mut stream, &mut bytes).await,
                None => {
                    let head = self.head(&mut stream, &mut bytes);
                    let head = tokio::time::timeout(self.patience.head, head).await;
                    head.unwrap_or(Err(NoRequest::Gone))
                }
            };
            let is_chunked = match head {
                Ok(None) => false,
                Ok(Some(chunks)) => {
                    stream = Chunked::over(stream, chunks);
                    true
                }
                Err(NoRequest::Gone) => return farewell(stream).await,
                Err(NoRequest::Unreadable(why)) => return self.turn_away(stream, why).await,
            };
            if let Some(line) = &line {
                line.has_head();
            }
            let mut session = ServerSession::new_http1(stream);
            match settings {
                None => {
                    let further = self.limits.requests.saturating_sub(1);
                    session.set_keepalive_reuses_remaining(Some(further));
                }
                Some(settings) => settings.apply_to_session(&mut session),
            }
            session.set_pipelined_prefix(bytes);
            let done = self.app.process_new_http(session, shutdown).await;
            let Some((reused, kept)) = done.map(ReusedHttpStream::consume) else {
                return;
            };
            settings = kept;
            stream = if is_chunked {
                let Some(stream) = Chunked::within(reused) else {
                    return;
                };
                stream
            } else {
                reused
            };
        }
    }

    /// Reads on in `bytes` until the head of a request is whole, and perhaps beyond it. Gives what
    /// follows its body, when that comes in chunks.
    async fn head(
        &self,
        stream: &mut Stream,
        bytes: &mut BytesMut,
    ) -> Result<Option<Chunks>, NoRequest> {
        let mut reader = Reader::new(self.limits.head);
        loop {
            match reader.more(bytes) {
                Ok(Some(head)) if head.chunked => {
                    let mut chunks = Chunks::default();
                    let body = bytes.get(head.end..).unwrap_or_default();
                    chunks.more(body).map_err(NoRequest::Unreadable)?;
                    return Ok(Some(chunks));
                }
                Ok(Some(_)) => return Ok(None),
                Ok(None) => {}
                Err(why) => return Err(NoRequest::Unreadable(why)),
            }
            bytes.reserve(USUAL_HEAD);
            if !matches!(stream.read_buf(bytes).await, Ok(1..)) {
                return Err(NoRequest::Gone);
            }
        }
    }

    /// Answers what cannot be read, and closes.
    async fn turn_away(&self, mut stream: Stream, why: Unreadable) {
        let answer = self.refuse.refuse(why, peer(&stream));
        let said = async {
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            let (mut part, mut left) = (BytesMut::with_capacity(USUAL_HEAD), LINGER_BYTES);
            while left > 0 && stream.read_buf(&mut part).await? > 0 {
                left = left.saturating_sub(part.len());
                part.clear();
            }
            io::Result::Ok(())
        };
        // Whether it was heard changes nothing.
        let _heard = tokio::time::timeout(LINGER, said).await;
    }
}

/// Waits for the first bytes of a request, without room for them: most connections are idle most of
/// the time. None come when the client closed.
async fn first_bytes(stream: &mut Stream) -> io::Result<BytesMut> {
    poll_fn(|context| {
        let mut room = [MaybeUninit::uninit(); USUAL_HEAD];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut room))?;
        Poll::Ready(Ok(BytesMut::from(room.filled())))
    })
    .await
}

/// Ends TLS as it should end, for who still listens.
async fn farewell(mut stream: Stream) {
    let _gone = tokio::time::timeout(LINGER, stream.shutdown()).await;
}
