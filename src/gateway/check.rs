//! `X-API-Key-Check`: a client that calls by certificate tries its key, without any risk.

use http::header::HeaderName;

use super::{Gateway, Live};
use crate::clock::{self, Timestamp};
use crate::door::Connection;
use crate::head::Head;
use crate::identity::{self, Checked, Freshness, Identity, Proof};
use crate::key::ApiKey;

/// What carries the key in the request, and the word for it in the answer.
pub(super) const API_KEY_CHECK: HeaderName = HeaderName::from_static("x-api-key-check");

impl Gateway {
    /// What the caller is told of the key that it sent to be checked. Nothing when it sent none,
    /// did not prove a certificate, or asks too often; the request goes on as it would without.
    pub(super) async fn check_key(
        &self,
        head: &Head<'_>,
        connection: &Connection,
        asker: &Identity,
        live: &Live,
        now: Timestamp,
    ) -> Option<Checked> {
        let sent = head.headers.get(API_KEY_CHECK)?;
        if asker.proof() == Proof::Key {
            return None;
        }
        let certificate = connection.verified(&self.parts.verifier, now)?;
        let limits = &self.limits;
        if !limits.may_check(certificate.fingerprint(), clock::monotonic()) {
            return None;
        }
        let several = head.headers.get_all(API_KEY_CHECK).iter().nth(1).is_some();
        let key = ApiKey::parse(sent.as_bytes(), &self.parts.format);
        let Some(key) = key.ok().filter(|_| !several) else {
            return Some(Checked::Unknown);
        };
        let check = |freshness| {
            let view = self.parts.directory.view();
            identity::check(&view, &live.peppers, &key, asker, freshness, now)
        };
        if let Some(checked) = check(Freshness::Following) {
            return Some(checked);
        }
        self.parts.directory.catch_up().await.ok()?;
        check(Freshness::Confirmed)
    }
}
