//! Sends messages.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::{self, Timestamp};
use crate::config;
use crate::upstream::{BackendError, Receiver};
use crate::webhook::{Outcome, Secret};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const JSON: &str = "application/json";

/// The receiver of a webhook, and what it knows messages by.
#[derive(Clone)]
pub(crate) struct Sender {
    receiver: Arc<Receiver>,
    secrets: Arc<[Secret]>,
}

/// What came back.
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// The status, when it answered.
    pub(crate) status: Option<u16>,
}

impl Sender {
    /// Of `webhook`.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub(crate) fn to(webhook: &config::Webhook) -> Result<Self, BackendError> {
        Ok(Self {
            receiver: Arc::new(Receiver::new(&webhook.upstream(), &webhook.path)?),
            secrets: webhook.secrets.clone().into(),
        })
    }

    /// Sends the message `id`, signed anew each time.
    pub(crate) async fn send(&self, id: &str, body: &str) -> Sent {
        let Some(headers) = self.headers(id, body, clock::now()) else {
            let why = "it cannot be written as HTTP".to_owned();
            return Sent::failed(why);
        };
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer = match self.receiver.post(JSON, &headers, body).await {
            Ok(answer) => answer,
            Err(error) => return Sent::failed(error.to_string()),
        };
        let status = answer.status;
        let outcome = match status {
            200..=299 => Outcome::Taken,
            410 => Outcome::Gone,
            // Whoever wants messages elsewhere tells us where: nobody is followed.
            _ => Outcome::Failed {
                why: format!("it answers {status}"),
                asked: answer.retry_after,
            },
        };
        Sent {
            outcome,
            status: Some(status),
        }
    }

    fn headers(&self, id: &str, body: &str, at: Timestamp) -> Option<HeaderMap> {
        let signature = Secret::sign_with_all(&self.secrets, id, at, body);
        let mut headers = HeaderMap::new();
        headers.insert(ID, HeaderValue::from_str(id).ok()?);
        headers.insert(TIMESTAMP, HeaderValue::from(at.as_unix()));
        headers.insert(SIGNATURE, HeaderValue::from_str(&signature).ok()?);
        Some(headers)
    }
}

impl Sent {
    fn failed(why: String) -> Self {
        let asked = None;
        Self {
            outcome: Outcome::Failed { why, asked },
            status: None,
        }
    }
}
