//! `keyferry verify`: before one backend, lets through what came through the gateway, and nothing else.
//!
//! Requests are read as strictly as the gateway reads them ([`crate::door::Http`]), so that nothing
//! is hidden behind one that is good. Then [`Guard::admit`] decides. [`Proxy`] carries it out before
//! the backend, or [`Answering`] tells it to a proxy that asks.

mod answer;
mod app;
mod body;
mod metrics;
mod open;
mod pass;
mod proxy;
mod refusal;
mod seen;
#[cfg(feature = "tower")]
pub mod tower;
mod unread;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderMap, Method};

pub use answer::Answering;
pub use app::{App, Patience};
pub use body::body_fits;
pub use metrics::Metrics;
pub use open::OpenPaths;
pub use proxy::{Exchange, Proxy};
pub use refusal::Refusal;
pub use seen::Seen;
pub use unread::Unread;

pub use crate::front::Form;

use crate::clock::{self, Timestamp};
use crate::head::{self, Head};
use crate::sign::{Message, Names, Verifier, VerifyingKey, Vouched, header};

/// Decides whether a request came through the gateway.
pub struct Guard {
    /// By whose secrets. Others take their place while it runs.
    pub verifier: ArcSwap<Verifier>,
    /// What was believed in the last minute; none: what comes twice is believed twice.
    pub seen: Option<Seen>,
    /// Where no signature is asked for.
    pub open: OpenPaths,
    /// Headers of an old proxy that a request keeps whose signature is good, though it does not cover
    /// them; no other keeps them.
    pub keep: Vec<HeaderName>,
    /// What came of requests.
    pub metrics: Metrics,
}

/// Why a request may go on. [`Guard::admit`] alone makes it.
#[derive(Clone, Debug)]
#[must_use]
pub enum Admitted {
    /// The gateway vouches for this caller.
    Verified(Vouched),
    /// The path is open, and the request claims no identity.
    Open,
}

impl Guard {
    /// Believes signatures by `keys`, each once; remembers `remember` of the last minute at most, or, with
    /// 0, none. No path is open.
    ///
    /// # Errors
    ///
    /// When two of its metrics have one name.
    pub fn believing<K: Into<VerifyingKey>>(
        keys: impl IntoIterator<Item = K>,
        remember: usize,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new()?;
        Ok(Self {
            verifier: ArcSwap::from_pointee(Verifier::new(keys, Names::default())),
            seen: (remember > 0).then(|| Seen::new(remember, metrics.remembered.clone())),
            open: OpenPaths::new(Vec::new()),
            keep: Vec::new(),
            metrics,
        })
    }

    /// The whole decision on a request that asked for `target`: it has one reading, no header in
    /// disguise, and a signature of the gateway's that nobody used before; or its path is open, and it
    /// claims nothing that would need a signature.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; it must go nowhere then.
    pub fn admit(
        &self,
        request: &Parts,
        target: &[u8],
        now: Timestamp,
    ) -> Result<Admitted, Refusal> {
        if matches!(request.method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method);
        }
        let head = Head::of(request, target)?;
        let verifier = Arc::clone(&self.verifier.load());
        if let Some(name) = header::disguised(head.headers, verifier.names()) {
            return Err(Refusal::Disguised(name.as_str().to_owned()));
        }
        if !claims_identity(head.headers, verifier.names()) {
            return if self.open.has(head.canonical_path()) {
                Ok(Admitted::Open)
            } else {
                Err(Refusal::Unsigned)
            };
        }
        let message = Message {
            method: head.method.as_str(),
            authority: &head.authority,
            path: head.path,
            query: head.query,
            content_digest: None,
        };
        let vouched = verifier.verify(&message, head.headers, now)?;
        if let Some(seen) = &self.seen {
            seen.once(&vouched, now)?;
        }
        Ok(Admitted::Verified(vouched))
    }
}

impl Guard {
    /// Counts what goes on.
    fn let_through(&self, admitted: &Admitted) {
        let signed_with = match admitted {
            Admitted::Verified(vouched) => Some(vouched.signed_with.as_str()),
            Admitted::Open => None,
        };
        self.metrics.passed(signed_with);
    }

    /// Counts what does not, and tells why.
    fn refused(&self, refusal: &Refusal, request_id: &str, peer: Option<SocketAddr>) {
        self.metrics.refused(refusal);
        tracing::info!(
            request_id,
            reason = refusal.reason(),
            detail = %refusal,
            status = refusal.status().as_u16(),
            peer = peer.map(tracing::field::display),
            "refused"
        );
    }
}

/// The name of a request in logs and refusals: its own, or a new one.
fn request_id(headers: &HeaderMap, names: &Names) -> String {
    let sent = head::request_id(headers, &names.request_id);
    sent.map_or_else(|| clock::unique().to_string(), str::to_owned)
}

fn claims_identity(headers: &HeaderMap, names: &Names) -> bool {
    names
        .identity()
        .iter()
        .any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
