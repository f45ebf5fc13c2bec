//! One request and its answer, on a connection like those to backends.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, StatusCode};
use pingora::ErrorType;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::HttpPeer;
use pingora::protocols::http::client::HttpSession;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::backend::{BackendError, Settings, template};

/// What is asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// GET or POST.
    pub method: Method,
    /// Path and query.
    pub target: &'a str,
    /// All of them but `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body; empty for GET.
    pub body: Bytes,
}

/// The answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// TLS cannot be set up.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Its name leads nowhere.
    #[error("its name cannot be resolved: {0}")]
    Name(#[from] std::io::Error),
    /// It has no address.
    #[error("its name has no address")]
    Nowhere,
    /// Nobody answered, or what came is no answer.
    #[error("{}", in_short(.0))]
    Http(#[from] Box<pingora::Error>),
    /// Not in time.
    #[error("no answer in time")]
    Late,
    /// It does not end.
    #[error("the answer is too long")]
    TooLong,
}

/// Sends `request` to the one address of `settings` for this `host`, and reads the answer, which is
/// whole within the time and has at most so many bytes.
///
/// # Errors
///
/// [`NoAnswer`]; what was asked for may have been done all the same.
pub async fn exchange(
    settings: &Settings,
    host: &str,
    request: Request<'_>,
    (within, most): (Duration, usize),
) -> Result<Answer, NoAnswer> {
    let whole = async {
        let (connector, mut peer) = (Connector::new(None), template(settings)?);
        let name = settings.addresses.first().map_or("", String::as_str);
        let mut session = send(&connector, (&mut peer, name), host, request).await?;
        let status = head(&mut session).await?.status;
        let mut body = BytesMut::new();
        // What follows 101 is no HTTP.
        while status != StatusCode::SWITCHING_PROTOCOLS
            && let Some(more) = session.read_response_body().await?
        {
            body.extend_from_slice(&more);
            if body.len() > most {
                return Err(NoAnswer::TooLong);
            }
        }
        session.shutdown().await;
        Ok(Answer {
            status,
            body: body.freeze(),
        })
    };
    timeout(within, whole).await.map_err(|_| NoAnswer::Late)?
}

/// Sends `request` for this `host` to the first address of the peer's name that is there.
pub(super) async fn send(
    connector: &Connector,
    (peer, name): (&mut HttpPeer, &str),
    host: &str,
    request: Request<'_>,
) -> Result<HttpSession, NoAnswer> {
    let method = request.method.as_str();
    let mut head = RequestHeader::build(method, request.target.as_bytes(), None)?;
    head.insert_header(HOST, host)?;
    head.insert_header(CONTENT_LENGTH, request.body.len())?;
    for (name, value) in &request.headers {
        head.append_header(name, value)?;
    }
    let mut found = Err(NoAnswer::Nowhere);
    for address in lookup_host(name).await? {
        peer._address = address.into();
        found = match connector.get_http_session(peer).await {
            Ok((session, _)) => Ok(session),
            Err(error) => Err(error.into()),
        };
        if found.is_ok() {
            break;
        }
    }
    let mut session = found?;
    session.write_request_header(Box::new(head)).await?;
    if !request.body.is_empty() {
        session.write_request_body(request.body, true).await?;
    }
    session.finish_request_body().await?;
    Ok(session)
}

/// The head that counts. Others may come before it (RFC 9110 section 15.2): Pingora leaves it to us to read
/// on, and panics over HTTP/1 when the body of one of these is read. It drops them itself over HTTP/2, where it
/// panics when a head is read twice.
pub(super) async fn head(session: &mut HttpSession) -> pingora::Result<&ResponseHeader> {
    loop {
        session.read_response_header().await?;
        let status = session.response_header().map(|head| head.status);
        let counts = |status: StatusCode| {
            !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
        };
        if status.is_none_or(counts) || !matches!(session, HttpSession::H1(_)) {
            break;
        }
    }
    let missing = || pingora::Error::new(ErrorType::InvalidHTTPHeader);
    session.response_header().ok_or_else(missing)
}

/// What went wrong, without where it did: that may be nobody else's business.
fn in_short(error: &pingora::Error) -> String {
    let what = error.root_etype().as_str();
    let cause = error.root_cause();
    if cause.is::<pingora::Error>() {
        what.to_owned()
    } else {
        format!("{what}: {cause}")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::upstream::Protocol;

    /// Somebody who answers the body `{}` with what was `said`, and then nothing.
    pub(in crate::upstream) async fn who_says(said: &'static str) -> (Settings, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings {
            name: "somebody".to_owned(),
            addresses: vec![listener.local_addr().unwrap().to_string()],
            protocol: Protocol::Http1,
            tls: None,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            health_check: None,
        };
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"{}") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            stream.write_all(said.as_bytes()).await.unwrap();
            // Until the other side has had enough.
            let _ = stream.read_buf(&mut asked).await;
        });
        (settings, peer)
    }

    #[tokio::test]
    async fn the_head_that_counts_is_that_of_the_answer() {
        for (said, status, body) in [
            (
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno",
                409,
                "no",
            ),
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\nother",
                101,
                "",
            ),
        ] {
            let (settings, peer) = who_says(said).await;
            let request = Request {
                method: Method::POST,
                target: "/",
                headers: HeaderMap::new(),
                body: Bytes::from_static(b"{}"),
            };
            let bounds = (Duration::from_secs(5), 100);
            let answer = exchange(&settings, "somebody", request, bounds)
                .await
                .unwrap();
            assert_eq!(
                (answer.status.as_u16(), &answer.body[..]),
                (status, body.as_bytes())
            );
            peer.abort();
        }
    }
}
