//! Whom something is posted to, a collector of spans or a webhook's receiver, on connections like those to
//! backends. Its name is looked up each time, and nobody is followed elsewhere.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::prelude::HttpPeer;
use pingora::protocols::http::client::HttpSession;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::backend::{BackendError, Settings, template};
use crate::clock::{self, Timestamp};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(50);
/// More of an answer is not read.
const LONGEST_ANSWER: usize = 64 * 1024;
/// For so long it is read on once the head has come.
const REST: Duration = Duration::from_secs(1);

/// The one status of 1xx after which no other head comes.
const SWITCHING: u16 = 101;

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
    /// The body, as much of it as came in time.
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

    /// Posts `body`, which is of this kind, with these `headers`. The head of the answer decides: a body
    /// that does not end is no reason to post again what was taken.
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
        let mut peer = self.template.clone();
        let asked = async {
            let asked = self.ask(&mut peer, content_type, headers, body);
            let mut session = asked.await?;
            let head = head(&mut session).await?;
            Ok::<_, Unanswered>((session, head))
        };
        let asked = timeout(self.within, asked).await;
        let (session, (status, retry_after)) = asked.map_err(|_| Unanswered::Late)??;
        // What follows 101 is no HTTP.
        let body = if status == SWITCHING {
            Bytes::new()
        } else {
            self.rest(session, &peer).await
        };
        Ok(Answered {
            status,
            retry_after,
            body,
        })
    }

    /// Sends the request to the first address that is there.
    async fn ask(
        &self,
        peer: &mut HttpPeer,
        content_type: HeaderValue,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<HttpSession, Unanswered> {
        let mut request = RequestHeader::build("POST", self.path.as_bytes(), None)?;
        request.insert_header(HOST, self.host(peer))?;
        request.insert_header(USER_AGENT, concat!("keyferry/", env!("CARGO_PKG_VERSION")))?;
        request.insert_header(CONTENT_TYPE, content_type)?;
        request.insert_header(CONTENT_LENGTH, body.len())?;
        for (name, value) in headers {
            request.insert_header(name, value)?;
        }
        let mut found = Err(Unanswered::Nowhere);
        for address in lookup_host(&self.address).await? {
            peer._address = address.into();
            found = match self.connector.get_http_session(peer).await {
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
        Ok(session)
    }

    /// What follows the head, as much of it as comes within [`REST`].
    async fn rest(&self, mut session: HttpSession, peer: &HttpPeer) -> Bytes {
        let mut read = BytesMut::new();
        let reading = async {
            while let Ok(more) = session.read_response_body().await {
                let Some(more) = more else {
                    return true;
                };
                read.extend_from_slice(&more);
                if read.len() > LONGEST_ANSWER {
                    break;
                }
            }
            false
        };
        let has_ended = timeout(REST, reading).await.unwrap_or(false);
        if !has_ended {
            let _ = timeout(REST, session.shutdown()).await;
        }
        // Of HTTP/2 only the stream is over.
        if has_ended || matches!(session, HttpSession::H2(_)) {
            let released = self
                .connector
                .release_http_session(session, peer, Some(IDLE));
            released.await;
        }
        read.freeze()
    }

    /// Its host as it is named in requests: with the port, where that is not what everybody expects.
    fn host(&self, peer: &HttpPeer) -> &str {
        let expected = if peer.is_tls() { ":443" } else { ":80" };
        let host = self.address.strip_suffix(expected);
        host.unwrap_or(&self.address)
    }
}

/// Status and pause of the head that counts. Others may come before it (RFC 9110 section 15.2): Pingora
/// leaves it to us to read on, and panics over HTTP/1 when the body of one of these is read. It drops them
/// itself over HTTP/2, where it panics when a head is read twice.
async fn head(session: &mut HttpSession) -> Result<(u16, Option<Duration>), Unanswered> {
    loop {
        session.read_response_header().await?;
        let head = session.response_header().ok_or(Unanswered::Late)?;
        let status = head.status.as_u16();
        let is_last = !head.status.is_informational() || status == SWITCHING;
        if is_last || !matches!(session, HttpSession::H1(_)) {
            let after = head.headers.get(RETRY_AFTER);
            let after = after.and_then(|after| pause(after.to_str().ok()?, clock::now()));
            return Ok((status, after));
        }
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::upstream::Protocol;

    /// What a receiver is understood to say that answers `said`, and then nothing.
    async fn answered(said: &'static str) -> (Answered, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings {
            name: "receiver".to_owned(),
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
        let receiver = Receiver::new(&settings, "/").unwrap();
        let begun = clock::monotonic();
        let (headers, body) = (HeaderMap::new(), Bytes::from_static(b"{}"));
        let posted = receiver.post("application/json", &headers, body);
        let answered = posted.await.unwrap();
        let took = begun.elapsed();
        peer.abort();
        (answered, took)
    }

    #[tokio::test]
    async fn heads_that_do_not_count_are_read_over() {
        let created = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n\
            HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
        let (answer, _) = answered(created).await;
        assert_eq!((answer.status, answer.retry_after), (201, None));
        assert_eq!(answer.body, "ok");
        let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\nother";
        let (answer, _) = answered(switching).await;
        assert_eq!((answer.status, answer.body.len()), (101, 0));
    }

    #[tokio::test]
    async fn the_head_counts_though_the_body_does_not_end() {
        for said in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nno chunk\r\n",
        ] {
            let (answer, took) = answered(said).await;
            assert_eq!(answer.status, 200, "{said}");
            assert!(took < Duration::from_secs(5), "{said}: {took:?}");
        }
    }

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
