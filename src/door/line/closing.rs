//! Why we end a connection, and what its client is told.

use std::io;

use crate::telemetry::Metrics;

/// Why we end a connection or a stream on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The head of a request, or a frame of HTTP/2 that is not DATA, was begun and did not come.
    SlowHead,
    /// The body of a request comes too slowly.
    SlowBody,
    /// The client reads nothing of what is sent to it.
    NotReading,
    /// It is old, was asked to go, and stays.
    TooOld,
    /// Whoever is served on it would be refused now, with this code.
    Refused(&'static str),
    /// The gateway stops.
    Stopping,
}

/// The whole answer to a head that did not come.
const TIMED_OUT: &str = concat!(
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\n",
    "Content-Length: 159\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
    r#"{"type":"about:blank","title":"The request came too slowly","status":408,"#,
    r#""detail":"The head of the request took too long to come.","reason":"request_timeout"}"#,
    "\n"
);

impl Closing {
    /// Every one but those that carry the code of a refusal.
    pub const ALL: [Self; 5] = [
        Self::SlowHead,
        Self::SlowBody,
        Self::NotReading,
        Self::TooOld,
        Self::Stopping,
    ];

    /// As metrics, logs and WebSocket clients see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::NotReading => "not_reading",
            Self::TooOld => "too_old",
            Self::Refused(code) => code,
            Self::Stopping => "stopping",
        }
    }

    /// What that means, for whoever reads the log.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::SlowHead => "the head of a request was not whole within connections.head_timeout",
            Self::SlowBody => {
                "the body of a request came more slowly than connections.body_minimum_rate"
            }
            Self::NotReading => {
                "the client read nothing of what was sent within connections.write_timeout"
            }
            Self::TooOld => "the connection was older than connections.max_age, and stayed",
            Self::Refused(_) => "the credential of what was under way is no longer accepted",
            Self::Stopping => "the gateway stops",
        }
    }

    /// Counts it.
    pub fn count(self, metrics: &Metrics) {
        let closed = &metrics.connections_closed;
        closed.with_label_values(&[self.as_str()]).inc();
    }

    /// What a reader or writer is told.
    pub(super) fn error(self) -> io::Error {
        let kind = match self {
            Self::SlowHead | Self::SlowBody | Self::NotReading => io::ErrorKind::TimedOut,
            Self::TooOld | Self::Refused(_) | Self::Stopping => io::ErrorKind::ConnectionAborted,
        };
        io::Error::new(kind, self.as_str())
    }

    /// Whether the gateway may still write: it has an answer to give.
    pub(super) const fn is_answered(self) -> bool {
        matches!(self, Self::SlowBody)
    }

    /// What is said on HTTP/1.1 before it is closed.
    pub(super) fn last_words(self, upgraded: bool) -> Vec<u8> {
        match self {
            _ if upgraded => self.close_frame(),
            Self::SlowHead => TIMED_OUT.as_bytes().to_vec(),
            _ => Vec::new(),
        }
    }

    /// A close frame of WebSocket (RFC 6455 section 5.5.1): "policy violation", or "going away".
    fn close_frame(self) -> Vec<u8> {
        let status: u16 = match self {
            Self::Stopping => 1001,
            _ => 1008,
        };
        let reason = self.as_str().as_bytes();
        let mut frame = vec![
            0x88,
            u8::try_from(reason.len().saturating_add(2)).unwrap_or(2),
        ];
        frame.extend_from_slice(&status.to_be_bytes());
        frame.extend_from_slice(reason);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_slow_head_is_as_long_as_it_says() {
        let (head, body) = TIMED_OUT.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}", body.len());
        assert!(head.contains(&length), "{length}");
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }

    #[test]
    fn a_close_frame_says_status_and_reason() {
        let frame = Closing::Refused("key_invalid").last_words(true);
        assert_eq!(frame, b"\x88\x0d\x03\xf0key_invalid");
        assert_eq!(Closing::Stopping.last_words(true)[2..4], [0x03, 0xe9]);
    }
}
