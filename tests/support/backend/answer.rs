//! The answers of the recording backend, by path.

use std::fmt::Write as _;
use std::io::Result;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::super::signature::verify;
use super::{Belief, Recorded, Shared, values};

/// Writes the answer; `false` when the connection is to be closed.
pub(super) async fn write<S>(stream: &mut S, request: &Recorded, shared: &Shared) -> Result<bool>
where
    S: AsyncWrite + Unpin,
{
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let number = |name: &str| -> usize {
        let found = pairs(query).find(|(key, _)| *key == name);
        found.map_or(0, |(_, value)| value.parse().expect("a number"))
    };
    let is_believed = match &shared.belief {
        Belief::All => true,
        Belief::Signed => !request.all("signature").is_empty(),
        Belief::SignedWith(secret) => verify(request, secret).is_ok(),
    };
    match path {
        _ if !is_believed => echo(stream, 401, [], request).await?,
        "/bytes" => zeroes(stream, number("n")).await?,
        "/sse" => events(stream, number("n"), shared).await?,
        "/slow" => {
            wait(shared).await;
            echo(stream, 200, [], request).await?;
        }
        "/headers" => echo(stream, 200, pairs(query), request).await?,
        "/trailers" => trailers(stream, query).await?,
        "/drop" => {
            if shared.dropped.fetch_add(1, Ordering::SeqCst) < number("times") {
                return Ok(false);
            }
            echo(stream, 200, [], request).await?;
        }
        _ => {
            let status = path.strip_prefix("/status/");
            let status = status.map_or(200, |status| status.parse().expect("a status"));
            echo(stream, status, [], request).await?;
        }
    }
    Ok(!values(&request.headers, "connection").contains(&"close"))
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

async fn wait(shared: &Shared) {
    let permit = shared.proceed.acquire().await.expect("it is never closed");
    permit.forget();
}

async fn echo<'a, S: AsyncWrite + Unpin>(
    stream: &mut S,
    status: u16,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    request: &Recorded,
) -> Result<()> {
    let body = serde_json::to_vec(request)?;
    let mut head = format!("HTTP/1.1 {status} As-Asked\r\nContent-Type: application/json\r\n");
    // Never with 204 (RFC 9110 section 8.6): clients that speak HTTP/2 refuse that.
    if status != 204 {
        write!(head, "Content-Length: {}\r\n", body.len()).expect("text takes it");
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("text takes it");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    if request.method != "HEAD" && status != 204 && status != 304 {
        stream.write_all(&body).await?;
    }
    Ok(())
}

async fn zeroes<S: AsyncWrite + Unpin>(stream: &mut S, count: usize) -> Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let block = vec![0; 64 * 1024];
    let mut left = count;
    while left > 0 {
        let part = left.min(block.len());
        stream.write_all(&block[..part]).await?;
        left -= part;
    }
    Ok(())
}

async fn events<S>(stream: &mut S, count: usize, shared: &Shared) -> Result<()>
where
    S: AsyncWrite + Unpin,
{
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for number in 1..=count {
        if number > 1 {
            wait(shared).await;
        }
        let event = format!("data: {number}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await?;
        stream.flush().await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

async fn trailers<S: AsyncWrite + Unpin>(stream: &mut S, query: &str) -> Result<()> {
    let names: Vec<_> = pairs(query).map(|(name, _)| name).collect();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: {}\r\n\r\n4\r\nbody\r\n0\r\n",
        names.join(", ")
    );
    for (name, value) in pairs(query) {
        write!(answer, "{name}: {value}\r\n").expect("text takes it");
    }
    answer.push_str("\r\n");
    stream.write_all(answer.as_bytes()).await
}
