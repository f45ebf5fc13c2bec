//! Whom something is posted to, a collector of spans or a webhook's receiver, on connections like those to
//! backends. Its name is looked up each time, and nobody is followed elsewhere.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::prelude::HttpPeer;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::backend::{BackendError, Settings, template};
use crate::clock::{self, Timestamp};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(50);
/// More of an answer is not read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Whom something is posted to.
pub struct Receiver {
    address: String,
    path: String,
    within: Duration,
    template: HttpPeer,
    connector: Connector,
}

/// What it answered.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
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
}

impl Receiver {
    /// The receiver at the one address of `settings`, which is posted to at `path`.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when TLS cannot be set up.
    pub fn new(settings: &Settings, path: &str) -> Result<Self, BackendError> {
        Ok(Self {
            address: settings.addresses.first().cloned().unwrap_or_default(),
            path: path.to_owned(),
            within: settings.read_timeout,
            template: template(settings)?,
            connector: Connector::new(None),
        })
    }

    /// Posts `body`, which is of this kind, with these `headers`.
    ///
    /// # Errors
    ///
    /// [`Unanswered`]; it may have come all the same.
    pub async fn post(
        &self,
        content_type: &'static str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answered, Unanswered> {
        let content_type = HeaderValue::from_static(content_type);
        let posted = timeout(self.within, self.exchange(content_type, headers, body)).await;
        posted.map_err(|_| Unanswered::Late)?
    }

    async fn exchange(
        &self,
        content_type: HeaderValue,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answered, Unanswered> {
        let mut peer = self.template.clone();
        let mut request = RequestHeader::build("POST", self.path.as_bytes(), None)?;
        request.insert_header(HOST, self.host(&peer))?;
        request.insert_header(USER_AGENT, concat!("keyferry/", env!("CARGO_PKG_VERSION")))?;
        request.insert_header(CONTENT_TYPE, content_type)?;
        request.insert_header(CONTENT_LENGTH, body.len())?;
        for (name, value) in headers {
            request.insert_header(name, value)?;
        }
        let mut found = Err(Unanswered::Nowhere);
        for address in lookup_host(&self.address).await? {
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
        let head = session.response_header().ok_or(Unanswered::Late)?;
        let retry_after = head.headers.get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|after| pause(after.to_str().ok()?, clock::now()));
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
        Ok(Answered {
            status,
            retry_after,
            body: read.freeze(),
        })
    }

    /// Its host as it is named in requests: with the port, where that is not what everybody expects.
    fn host(&self, peer: &HttpPeer) -> &str {
        let expected = if peer.is_tls() { ":443" } else { ":80" };
        let host = self.address.strip_suffix(expected);
        host.unwrap_or(&self.address)
    }
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

/// The pause that a header `Retry-After` asks for (RFC 9110 section 10.2.3): seconds, or a date.
fn pause(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let seconds = Timestamp::from_http(text)?.seconds_since(now);
    Some(Duration::from_secs(seconds.try_into().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
        let now = Timestamp::from_http("Mon, 23 Nov 2026 07:29:59 GMT").unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            ("Mon, 23 Nov 2026 07:31:00 GMT", Some(61)),
            ("Mon, 23 Nov 2026 07:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(
                pause(text, now).map(|pause| pause.as_secs()),
                seconds,
                "{text}"
            );
        }
    }
}
