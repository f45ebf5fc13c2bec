//! Where spans are posted to, on connections like those to backends.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::prelude::HttpPeer;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::backend::{BackendError, Settings, template};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(50);
/// More of an answer is not read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A collector of spans.
pub struct Collector {
    host: String,
    path: String,
    within: Duration,
    template: HttpPeer,
    connector: Connector,
}

/// What the collector answered.
#[derive(Debug)]
pub struct Collected {
    /// The status.
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotCollected {
    /// Its name leads nowhere.
    #[error("its name cannot be resolved: {0}")]
    Name(#[from] std::io::Error),
    /// It has no address.
    #[error("its name has no address")]
    Nowhere,
    /// Nobody answered, or what came is no answer.
    #[error("{0}")]
    Http(#[from] Box<pingora::Error>),
    /// Not in time.
    #[error("no answer in time")]
    Late,
}

impl Collector {
    /// The collector at the one address of `settings`, where spans are posted to `path`.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when TLS cannot be set up.
    pub fn new(settings: &Settings, path: &str) -> Result<Self, BackendError> {
        Ok(Self {
            host: settings.addresses.first().cloned().unwrap_or_default(),
            path: path.to_owned(),
            within: settings.read_timeout,
            template: template(settings)?,
            connector: Connector::new(None),
        })
    }

    /// Posts `body`.
    ///
    /// # Errors
    ///
    /// [`NotCollected`]; it may have come all the same.
    pub async fn post(&self, body: Bytes) -> Result<Collected, NotCollected> {
        let posted = timeout(self.within, self.exchange(body)).await;
        posted.map_err(|_| NotCollected::Late)?
    }

    async fn exchange(&self, body: Bytes) -> Result<Collected, NotCollected> {
        let mut peer = self.template.clone();
        let mut request = RequestHeader::build("POST", self.path.as_bytes(), None)?;
        request.insert_header(HOST, &self.host)?;
        request.insert_header(USER_AGENT, concat!("keyferry/", env!("CARGO_PKG_VERSION")))?;
        request.insert_header(CONTENT_TYPE, "application/x-protobuf")?;
        request.insert_header(CONTENT_LENGTH, body.len())?;
        let mut found = Err(NotCollected::Nowhere);
        for address in lookup_host(&self.host).await? {
            peer._address = address.into();
            found = match self.connector.get_http_session(&peer).await {
                Ok((session, _)) => Ok(session),
                Err(error) => Err(error.into()),
            };
            if found.is_ok() {
                break;
            }
        }
        let mut session = found?;
        session.write_request_header(Box::new(request)).await?;
        session.write_request_body(body, true).await?;
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let head = session.response_header().ok_or(NotCollected::Late)?;
        let retry_after = head.headers.get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|after| after.to_str().ok()?.parse().ok());
        let status = head.status.as_u16();
        let mut read = BytesMut::new();
        while let Some(more) = session.read_response_body().await? {
            read.extend_from_slice(&more);
            if read.len() > LONGEST_ANSWER {
                session.shutdown().await;
                break;
            }
        }
        let idle = Some(IDLE);
        self.connector
            .release_http_session(session, &peer, idle)
            .await;
        Ok(Collected {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: read.freeze(),
        })
    }
}
