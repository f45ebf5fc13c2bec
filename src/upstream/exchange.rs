//! One request and the whole of its answer, on a connection like those to backends.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
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
    /// Its name has no address.
    #[error("its name has no address")]
    Nowhere,
    /// Nobody answered, or what came is no answer.
    #[error("{0}")]
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
    let exchanged = timeout(within, send(settings, host, request, most)).await;
    exchanged.map_err(|_| NoAnswer::Late)?
}

async fn send(
    settings: &Settings,
    host: &str,
    request: Request<'_>,
    most: usize,
) -> Result<Answer, NoAnswer> {
    let mut peer = template(settings)?;
    let method = request.method.as_str();
    let mut head = RequestHeader::build(method, request.target.as_bytes(), None)?;
    head.insert_header("Host", host)?;
    head.insert_header("Content-Length", request.body.len())?;
    for (name, value) in &request.headers {
        head.append_header(name, value)?;
    }
    let connector = Connector::new(None);
    let mut found = Err(NoAnswer::Nowhere);
    let name = settings.addresses.first().map_or("", String::as_str);
    for address in lookup_host(name).await? {
        peer._address = SocketAddr::into(address);
        found = match connector.get_http_session(&peer).await {
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
    session.read_response_header().await?;
    let status = session.response_header().map(|head| head.status);
    let status = status.ok_or(NoAnswer::Late)?;
    let mut body = BytesMut::new();
    while let Some(more) = session.read_response_body().await? {
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
}
