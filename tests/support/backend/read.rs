//! Reads a request of HTTP/1.1 (RFC 9112), leniently: the backend sees what there is.

use std::io::{Error, Result};

use sha2::{Digest as _, Sha256};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};

use super::{Recorded, values};

/// How much of a body is kept.
const KEPT: usize = 64 * 1024;

/// The next request with its whole body; nothing when the peer has closed.
pub(super) async fn request<S>(stream: &mut S) -> Result<Option<Recorded>>
where
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    let first = line(stream, &mut head).await?;
    if head.is_empty() {
        return Ok(None);
    }
    let headers = fields(stream, &mut head).await?;
    if !values(&headers, "expect").is_empty() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    let mut body = Body::default();
    let mut trailers = Vec::new();
    if values(&headers, "transfer-encoding").contains(&"chunked") {
        loop {
            let size = line(stream, &mut Vec::new()).await?;
            let size = u64::from_str_radix(&size, 16).map_err(Error::other)?;
            if size == 0 {
                break;
            }
            body.take(stream, size).await?;
            line(stream, &mut Vec::new()).await?;
        }
        trailers = fields(stream, &mut Vec::new()).await?;
    } else if let Some(length) = values(&headers, "content-length").first() {
        body.take(stream, length.parse().map_err(Error::other)?)
            .await?;
    }
    let mut words = first.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    Ok(Some(Recorded {
        method: word(),
        target: word(),
        headers,
        trailers,
        body_bytes: body.bytes,
        body_sha256: hex::encode(body.hash.finalize()),
        body: String::from_utf8(body.start).unwrap_or_default(),
        head,
        connection: 0,
        peer: None,
    }))
}

/// One line without its end; the bytes are added to `raw`.
async fn line<S: AsyncBufRead + Unpin>(stream: &mut S, raw: &mut Vec<u8>) -> Result<String> {
    let start = raw.len();
    stream.read_until(b'\n', raw).await?;
    let text = String::from_utf8_lossy(&raw[start..]);
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Field lines up to the empty one.
async fn fields<S>(stream: &mut S, raw: &mut Vec<u8>) -> Result<Vec<(String, String)>>
where
    S: AsyncBufRead + Unpin,
{
    let mut fields = Vec::new();
    loop {
        let line = line(stream, raw).await?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

#[derive(Default)]
struct Body {
    bytes: u64,
    hash: Sha256,
    start: Vec<u8>,
}

impl Body {
    async fn take<S>(&mut self, stream: &mut S, size: u64) -> Result<()>
    where
        S: AsyncBufRead + Unpin,
    {
        let mut part = stream.take(size);
        let mut left = size;
        let mut buffer = vec![0; KEPT];
        while left > 0 {
            let read = part.read(&mut buffer).await?;
            if read == 0 {
                return Err(Error::other("the body was cut off"));
            }
            let data = &buffer[..read];
            self.hash.update(data);
            let room = KEPT.saturating_sub(self.start.len()).min(read);
            self.start.extend_from_slice(&data[..room]);
            left -= read as u64;
            self.bytes += read as u64;
        }
        Ok(())
    }
}
