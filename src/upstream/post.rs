//! Whom something is posted to, a collector of spans or a webhook's receiver, on connections like those to
//! backends. Its name is looked up each time, and nobody is followed elsewhere.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::connectors::http::Connector;
use pingora::prelude::HttpPeer;
use pingora::protocols::http::client::HttpSession;
use tokio::time::timeout;

use super::backend::{BackendError, Settings, template};
use super::exchange::{NoAnswer, Request, head, send};
use crate::clock::{self, Timestamp};

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(50);
/// More of an answer is not read.
const LONGEST_ANSWER: usize = 64 * 1024;
/// For so long it is read on once the head has come.
const REST: Duration = Duration::from_secs(1);
/// What we call ourselves.
const AGENT: &str = concat!("keyferry/", env!("CARGO_PKG_VERSION"));

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
    /// [`NoAnswer`]; it may have come all the same.
    pub async fn post(
        &self,
        content_type: &'static str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answered, NoAnswer> {
        let mut headers = headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let request = Request {
            method: Method::POST,
            target: &self.path,
            headers,
            body,
        };
        let mut peer = self.template.clone();
        let host = self.host(&peer).to_owned();
        let asked = async {
            let to = (&mut peer, self.address.as_str());
            let mut session = send(&self.connector, to, &host, request).await?;
            let head = head(&mut session).await?;
            let after = head.headers.get(RETRY_AFTER);
            let after = after.and_then(|after| pause(after.to_str().ok()?, clock::now()));
            let head = (head.status, after);
            Ok::<_, NoAnswer>((session, head))
        };
        let asked = timeout(self.within, asked).await;
        let (session, (status, retry_after)) = asked.map_err(|_| NoAnswer::Late)??;
        // What follows 101 is no HTTP.
        let body = if status == StatusCode::SWITCHING_PROTOCOLS {
            Bytes::new()
        } else {
            self.rest(session, &peer).await
        };
        Ok(Answered {
            status: status.as_u16(),
            retry_after,
            body,
        })
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
    use crate::upstream::exchange::tests::who_says;

    /// What a receiver is understood to say that answers `said`, and then nothing.
    async fn answered(said: &'static str) -> (Answered, Duration) {
        let (settings, peer) = who_says(said).await;
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
